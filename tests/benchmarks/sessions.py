"""What opening a baked graph costs beside optimizing it at load: ``python -m tests.benchmarks.sessions``; `make bench` runs it.

Two encoders of about 400 MB, weights from a seed, are exported and baked: wav2vec2-base, which is one of heygem's networks, and
minilm widened. Then sessions open in fresh processes, in turn: the exported graph as ONNX Runtime opens it by default, everything
optimized and packed at load, and the baked one by the container's own code. Answers of both are compared.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from entrypoints.hardware.cpu_quota import count_cpus
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import OnnxComponent as Served
from entrypoints.runtime.onnx_session import OnnxSession
from entrypoints.runtime.session_options import share_arena
from images.heygem import sample as heygem
from images.minilm import sample as minilm
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.stages.export import export_image
from prebake.bake.weights.numpy_arrays import read_arrays
from prebake.documents.component import ComponentSettings, SessionSettings
from prebake.documents.settings import StageSettings
from prebake.measure.bench.statistics import ratio_interval, summarize
from prebake.measure.report.report_files import write_document
from tests.benchmarks.precision import SHIPPED, fetch_checkpoint
from tests.support.bake.host_bake import compile_folder, shipped
from tests.support.bake.sessions import open_graph_of

BOUND = 10
"""Times that opening a baked graph has to be faster: what wav2vec2-base is held to."""
BYTES = 400_000_000
"""Of weights, of minilm."""
BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "conv_dim": [512] * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
"""facebook/wav2vec2-base, where heygem's sample has another size."""
LOAD, BAKED = "optimized at load", "baked"


@dataclass(frozen=True)
class Encoder:
    """One component of an image, baked below ``models``; ``plain`` is the graph as it was exported."""

    component: str
    models: Path
    plain: Path
    case: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", choices=["wav2vec2", "minilm"], help="one encoder")
    asked = parser.parse_args()
    document: dict[str, object] = {"runs": asked.runs}
    for name, prepare in {"wav2vec2": prepare_wav2vec2, "minilm": prepare_minilm}.items():
        if asked.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="prebake-bench-") as folder:
                document[name] = tell(name, compare(prepare(Path(folder)), asked.runs))
    write_document(Path("build/bench/sessions.json"), document)


def prepare_wav2vec2(folder: Path) -> Encoder:
    checkpoint = folder / "checkpoint"
    unet = {**heygem.UNET, "cross_attention_dim": BASE["hidden_size"]}
    heygem.write_networks(checkpoint, {**heygem.WAV2VEC2, **BASE}, unet, 1)
    weights = [path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*.safetensors")]
    return bake(folder, "heygem", ["wav2vec2", "unet", "vae_encoder", "vae_decoder"], weights)


def prepare_minilm(folder: Path) -> Encoder:
    checkpoint = fetch_checkpoint(folder / "checkpoint")
    for old in ("config.json", "model.safetensors"):
        (checkpoint / "minilm" / old).unlink()
    minilm.write(checkpoint / "minilm", 1, BYTES)
    return bake(folder, "minilm", ["minilm"], [*SHIPPED, "minilm/model.safetensors"])


def bake(folder: Path, image: str, components: list[str], ship: list[str]) -> Encoder:
    """The first component is the encoder."""
    checkpoint, encoder = folder / "checkpoint", components[0]
    settings = StageSettings(
        image=image,
        module=f"images.{image}.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components=dict.fromkeys(components, ComponentSettings(session=SessionSettings())),
        ship=shipped(checkpoint, ship),
    )
    export_image(settings, checkpoint, folder / "exported")
    (folder / "models").mkdir()
    compile_folder(settings, checkpoint, folder / "exported", folder / "models")
    exported, plain = Exported.load(folder / "exported"), folder / "plain"
    shutil.copytree(exported.graph(encoder).parent, plain)
    os.link(checkpoint / encoder / "model.safetensors", plain / "model.safetensors")
    return Encoder(encoder, folder / "models", plain / "model.onnx", exported.case(encoder, 0))


def compare(encoder: Encoder, runs: int) -> Mapping[str, list[list[float]]]:
    """Seconds until open and of the first answer, and that answer's sum, of each start by its way."""
    found: dict[str, list[list[float]]] = {LOAD: [], BAKED: []}
    for _ in range(runs + 1):
        for way, starts in found.items():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                starts.append(fresh.submit(start, encoder, way).result())
    return {way: starts[1:] for way, starts in found.items()}  # the first fills the page cache


def start(encoder: Encoder, way: str) -> list[float]:
    import onnxruntime as ort

    threads, arrays = count_cpus(), read_arrays(encoder.case)
    component = read_manifest(encoder.models).components[encoder.component]
    assert isinstance(component, Served), "it is a graph"
    given = {name: arrays[f"inputs/{name}"] for name in component.inputs}
    begin = time.perf_counter()
    if way == BAKED:
        share_arena()
        session = open_graph_of(encoder.models, component, threads)
    else:
        session = OnnxSession(ort.InferenceSession(str(encoder.plain), providers=["CPUExecutionProvider"]))
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    (answer, *_) = session.run(given).values()
    return [seconds, time.perf_counter() - begin, float(np.abs(answer).sum())]


def tell(name: str, found: Mapping[str, list[list[float]]]) -> dict[str, object]:
    """What was found, printed and for the document."""
    opened = {way: [run[0] for run in runs] for way, runs in found.items()}
    both = {way: [run[0] + run[1] for run in runs] for way, runs in found.items()}
    sums = [run[2] for runs in found.values() for run in runs]
    assert np.allclose(sums, sums[0], rtol=1e-4), sums
    document: dict[str, object] = {}
    for what, seconds in (("open", opened), ("until the first answer", both)):
        medians = {way: summarize(values).median for way, values in seconds.items()}
        low, high = ratio_interval(seconds[LOAD], seconds[BAKED])
        ratio = medians[LOAD] / medians[BAKED]
        document[what] = {**medians, "ratio": ratio, "interval_95": [low, high]}
        asked = f", asked for {BOUND}" if (name, what) == ("wav2vec2", "open") else ""
        print(f"{name}, {what}: " + ", ".join(f"{way} {value:.3f} s" for way, value in medians.items()), end="; ")
        print(f"{ratio:.1f} times (95% interval {low:.1f} to {high:.1f}){asked}")
    return document


if __name__ == "__main__":
    main()
