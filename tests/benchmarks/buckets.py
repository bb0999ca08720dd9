"""What shape buckets cost minilm on this processor: ``python -m tests.benchmarks.buckets``.

The published model is baked once with buckets, without an Engine. Each bucket is run, its first time and later; then sentences
of some lengths are asked of the graph as they are and by their bucket, in turn, and the answers are compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np

from entrypoints.components.opener import Opener
from entrypoints.contract import Session
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import OnnxComponent as Served
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.bucket_session import BucketSession
from prebake.bake.weights.numpy_arrays import Array
from prebake.documents.component import ComponentSettings
from prebake.documents.settings import StageSettings
from prebake.measure.report.report_files import write_document
from tests.benchmarks.precision import SHIPPED, fetch_checkpoint
from tests.support.bake.host_bake import bake_folder, shipped
from tests.support.bake.sessions import open_graph_of

BUCKETS = ({"batch": 1, "tokens": 32}, {"batch": 8, "tokens": 64}, {"batch": 1, "tokens": 256})
ASKED = ((1, 12), (1, 32), (3, 20), (1, 100))
ROUNDS = 15


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as folder:
        models = bake(fetch_checkpoint(Path(folder, "checkpoint")), Path(folder, "models"))
        opener = Opener(models, read_manifest(models), Timeline(), None)
        opener.start(2)
        session = cast("BucketSession", opener.components.session("minilm"))
        graph = session._graph()
        first = {f"{each['batch']} x {each['tokens']}": run_bucket(models, each) for each in BUCKETS}
        asked = {f"{batch} x {tokens}": compare(graph, session, batch, tokens) for batch, tokens in ASKED}
    write_document(Path("build/bench/buckets.json"), {"buckets": first, "asked": asked})
    for name, times in first.items():
        print(f"bucket {name:8} first {times['first'] * 1e3:6.1f} ms, later {times['later'] * 1e3:6.1f} ms")
    for name, found in asked.items():
        print(
            f"asked  {name:8} graph {found['graph'] * 1e3:6.1f} ms, bucket {found['bucket'] * 1e3:6.1f} ms,"
            f" answers differ by {found['difference']:.2g}"
        )


def bake(checkpoint: Path, models: Path) -> Path:
    own = ComponentSettings(buckets=BUCKETS, pad={"input_ids": 0, "attention_mask": 0}, overflow="dynamic")
    settings = StageSettings(
        image="minilm",
        module="images.minilm.model",
        target="cpu",
        checkpoint="published",
        model_revision="0" * 64,
        components={"minilm": own},
        ship=shipped(checkpoint, [*SHIPPED, "minilm/model.safetensors"]),
    )
    bake_folder("minilm", checkpoint, settings, models)
    return models


def make_inputs(batch: int, tokens: int) -> dict[str, Array]:
    ids = np.random.default_rng(tokens).integers(2000, 20_000, (batch, tokens))
    return {"input_ids": ids, "attention_mask": np.ones((batch, tokens), np.int64)}


def run_bucket(models: Path, shape: Mapping[str, int]) -> dict[str, float]:
    """A bucket's first run in sessions that ran another shape before, as the warm-up request does, and the run after it."""
    component = read_manifest(models).components["minilm"]
    assert isinstance(component, Served), "minilm is a graph"
    inputs, times = make_inputs(shape["batch"], shape["tokens"]), []
    for _ in range(ROUNDS):
        graph = open_graph_of(models, component, 2)
        graph.run(make_inputs(1, 8))
        times.append([measure(graph, inputs)[0] for _ in range(2)])
    first, later = (median(each) for each in zip(*times, strict=True))
    return {"first": first, "later": later}


def compare(graph: Session, session: Session, batch: int, tokens: int) -> dict[str, float]:
    inputs = make_inputs(batch, tokens)
    plain, padded = zip(*((measure(graph, inputs), measure(session, inputs)) for _ in range(ROUNDS)), strict=True)
    return {
        "graph": median(seconds for seconds, _ in plain),
        "bucket": median(seconds for seconds, _ in padded),
        "difference": float(np.abs(plain[0][1] - padded[0][1]).max()),
    }


def measure(session: Session, inputs: Mapping[str, Array]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = session.run(inputs)["embeddings"]
    return time.perf_counter() - start, answer


if __name__ == "__main__":
    main()
