"""What compiling ahead saves where torch serves: ``python -m tests.benchmarks.torch_cache``.

zimage's sample is baked with libraries of AOTInductor, on the GPU where there is one. Then its warm-up request is answered in
fresh processes in turn, weights being there: by the libraries, by ``torch.compile`` from nothing (which needs a C++ compiler on
a CPU), and by the blocks as they are. The bound is 5, of the medians of the first two.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from entrypoints.runtime.compile_cache import compile_blocks
from entrypoints.runtime.torch_network import NetworkFiles
from images.zimage import sample
from prebake.bake.compilers.torch_model import AOT, EAGER, CompiledForm, open_model, time_start
from prebake.bake.model_folder.compile_job import CompileJob
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.stages.export import export_image
from prebake.bake.trials.trial import Infer, StartupTiming, run_in_fresh_process, time_startup
from prebake.measure.report.report_files import write_document
from tests.support.bake.host_bake import bake_folder
from tests.support.models.zimage_serving import torch_settings

NOTHING = "torch.compile from nothing"
BOUND = 5.0


@dataclass(frozen=True)
class Baked:
    job: CompileJob
    parts: Mapping[str, NetworkFiles]
    libraries: CompiledForm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="fresh processes of each way")
    runs = parser.parse_args().runs
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as folder:
        baked = bake(Path(folder), device)
        found: dict[str, list[StartupTiming]] = {AOT: [], NOTHING: [], EAGER: []}
        for run in range(runs):
            for way, own in found.items():
                own.append(time_way(baked, device, way))
                print(f"{run + 1}/{runs} {way}: {own[-1]}", file=sys.stderr)
    write_document(Path("build/bench/torch_cache.json"), summary := summarize(found, device))
    show(found, summary)


def bake(folder: Path, device: str) -> Baked:
    checkpoint, models, exported = folder / "checkpoint", folder / "models", folder / "exported"
    sample.write(checkpoint, 1)
    precision = "bf16" if device == "cuda" else "fp32"
    settings = replace(torch_settings(checkpoint, precision), target=device, compiled="aot")
    bake_folder("zimage", checkpoint, settings, models, artifacts=True)
    export_image(settings, checkpoint, exported)
    manifest = json.loads((models / "manifest.json").read_bytes())
    parts = {
        name: NetworkFiles(models, name, each["config"], tuple(each["byte_ranges"]))
        for name, each in manifest["components"].items()
    }
    libraries = {
        name: {index: models / library["folder"] for library in own["libraries"] for index in library["blocks"]}
        for name, component in manifest["components"].items()
        for own in component.get("artifacts", [])
    }
    return Baked(CompileJob(settings, Exported.load(exported), models), parts, CompiledForm(AOT, libraries))


def time_way(baked: Baked, device: str, way: str) -> StartupTiming:
    if way == NOTHING:
        return run_in_fresh_process(time_nothing, baked, device)
    chosen = baked.libraries if way == AOT else CompiledForm(EAGER)
    return run_in_fresh_process(time_start, baked.job, baked.parts, device, chosen)


def time_nothing(baked: Baked, device: str) -> StartupTiming:
    opened = open_model(baked.job, baked.parts, device)

    def take() -> Infer:
        for network in opened.networks.values():
            compile_blocks(network.blocks)
        return opened.answer_warmup

    return time_startup(take)


def summarize(found: Mapping[str, list[StartupTiming]], device: str) -> dict[str, object]:
    first = {way: median(each.to_first for each in own) for way, own in found.items()}
    ratio = first[NOTHING] / first[AOT]
    seconds = {way: [each._asdict() for each in own] for way, own in found.items()}
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {
        "device": name,
        "torch": torch.__version__,
        "seconds": seconds,
        "ratio": round(ratio, 2),
        "bound": BOUND,
        "met": ratio >= BOUND,
    }


def show(found: Mapping[str, list[StartupTiming]], summary: Mapping[str, object]) -> None:
    print(f"{'':28} first answer (least to most)   later")
    for way, own in found.items():
        first = sorted(each.to_first for each in own)
        later = median(each.later for each in own)
        print(f"{way:28} {median(first):7.3f} s ({first[0]:.3f} to {first[-1]:.3f})   {later:.3f} s")
    verdict = "met" if summary["met"] else "missed"
    print(f"without over with: {summary['ratio']} times, bound {BOUND:g}: {verdict} ({summary['device']})")


if __name__ == "__main__":
    main()
