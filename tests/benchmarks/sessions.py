"""What opening a baked graph costs beside optimising it at load: ``python -m tests.benchmarks.sessions``; `make bench` runs it.

An encoder of 400 MB (minilm's architecture, weights from a seed) is exported and baked. Then sessions open in fresh processes, in
turn: the exported graph as ONNX Runtime opens it by default, everything optimised and packed at load, and the baked one as
the container does. Answers of both are compared.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from images.minilm import sample
from prebake.bake.arrays import read_arrays
from prebake.bake.component import Component, Session
from prebake.bake.export import export_image
from prebake.bake.exported import Exported
from prebake.bake.local import bake_folder, shipped
from prebake.bake.sessions import open_session
from prebake.bake.settings import Settings
from prebake.measure.report import write_document
from prebake.measure.statistics import ratio_interval, summarise
from tests.benchmarks.precision import SHIPPED, fetch_checkpoint

BOUND = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=400_000_000, help="bytes of weights")
    parser.add_argument("--runs", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as name:
        ways, case = prepare(Path(name), asked.size)
        found: dict[str, list[list[float]]] = {way: [] for way in ways}
        for _ in range(asked.runs + 1):
            for way, (graph, baked) in ways.items():
                found[way].append(in_fresh_process(graph, case, baked=baked))
    show({way: runs[1:] for way, runs in found.items()}, asked.size)  # the first run fills the page cache


def prepare(folder: Path, size: int) -> tuple[dict[str, tuple[Path, bool]], Path]:
    """Both graphs, and a case to ask them with."""
    checkpoint = fetch_checkpoint(folder / "checkpoint")
    for old in ("config.json", "model.safetensors"):
        (checkpoint / "minilm" / old).unlink()
    sample.write(checkpoint / "minilm", 1, size)
    settings = Settings(
        image="minilm",
        module="images.minilm.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components={"minilm": Component(session=Session())},
        ship=shipped(checkpoint, [*SHIPPED, "minilm/model.safetensors"]),
    )
    export_image(settings, checkpoint, folder / "exported")
    bake_folder("minilm", checkpoint, settings, folder / "models")
    exported, plain = Exported.load(folder / "exported"), folder / "plain"
    plain.mkdir()
    os.link(checkpoint / "minilm/model.safetensors", plain / "model.safetensors")
    for file in exported.graph("minilm").parent.iterdir():
        shutil.copyfile(file, plain / file.name)
    ways = {"optimised at load": (plain / "model.onnx", False), "baked": (folder / "models/minilm/model.onnx", True)}
    return ways, exported.case("minilm", 0)


def in_fresh_process(graph: Path, case: Path, *, baked: bool) -> list[float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(start, graph, case, baked).result()


def start(graph: Path, case: Path, baked: bool) -> list[float]:
    """Seconds until open and of the first answer, and that answer's sum."""
    import time

    import onnxruntime as ort

    arrays = read_arrays(case)
    begin = time.perf_counter()
    opened = (
        open_session(graph, Session(), ["CPUExecutionProvider"])
        if baked
        else ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    )
    seconds = time.perf_counter() - begin
    given = {each.name: arrays[f"inputs/{each.name}"] for each in opened.get_inputs()}
    begin = time.perf_counter()
    answer = opened.run(None, given)[0]
    return [seconds, time.perf_counter() - begin, float(np.abs(answer).sum())]


def show(found: dict[str, list[list[float]]], size: int) -> None:
    opened = {way: [run[0] for run in runs] for way, runs in found.items()}
    both = {way: [run[0] + run[1] for run in runs] for way, runs in found.items()}
    sums = [run[2] for runs in found.values() for run in runs]
    assert np.allclose(sums, sums[0], rtol=1e-4), sums
    names = list(found)
    document: dict[str, object] = {"size": size, "runs": len(next(iter(found.values())))}
    for what, seconds in (("open", opened), ("until the first answer", both)):
        medians = {way: summarise(values).median for way, values in seconds.items()}
        low, high = ratio_interval(seconds[names[0]], seconds[names[1]])
        ratio = medians[names[0]] / medians[names[1]]
        document[what] = {**medians, "ratio": ratio, "interval_95": [low, high]}
        print(f"{what}: " + ", ".join(f"{way} {value:.3f} s" for way, value in medians.items()), end="; ")
        print(
            f"{ratio:.1f} times (95% interval {low:.1f} to {high:.1f})"
            + (f", asked for {BOUND}" if what == "open" else "")
        )
    write_document(Path("build/bench/sessions.json"), document)


if __name__ == "__main__":
    main()
