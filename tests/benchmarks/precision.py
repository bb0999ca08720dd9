"""What each precision of minilm costs and saves: ``python -m tests.benchmarks.precision``.

The image is baked once for each
precision, without an Engine; then every graph is opened and asked in turn, so that what else the machine does meets all
alike. Errors are against torch, of the sentences below; the bake's own figures, of its cases, stand beside them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from entrypoints.contract import Session as OpenedSession
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import OnnxComponent as OpenedComponent
from entrypoints.runtime.session_options import share_arena
from images.minilm import naive
from prebake.bake.parity.metrics import measure_error
from prebake.bake.weights.numpy_arrays import Array
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.kinds import open_sources
from prebake.checkpoints.store.store import Store, default_root
from prebake.documents.component import HALF_TYPES, ComponentSettings, Precision, SessionSettings
from prebake.documents.settings import StageSettings
from prebake.measure.report.report_files import write_document
from prebake.spec.project import read_project
from tests.support.bake.host_bake import bake_folder, shipped
from tests.support.bake.sessions import open_graph_of
from tests.support.repository import ROOT
from tests.support.silent_progress import silent_progress

PRECISIONS = {
    "fp32": Precision(),
    "fp16": Precision("fp16", 0.01),
    "bf16": Precision("bf16", 0.05),
    "int8": Precision("int8", 0.9),
    "int8, 8 bits": Precision("int8", 0.9, reduce_range=False),
    "int8, no tables": Precision("int8", 0.9, embeddings=False),
    "int4": Precision("int4", 0.9),
    "int4, block 16": Precision("int4", 0.9, block_size=16),
}
SHIPPED = ["minilm/sentence_bert_config.json", "minilm/tokenizer.json"]
SENTENCES = ["A container starts warm.", "The weights lie in the image.", "A man is eating a piece of bread.", "one"]
ROUNDS = 15


@dataclass(frozen=True)
class Baked:
    models: Path
    report: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of weights that the graph reads."""
        files = json.loads((self.models / "manifest.json").read_bytes())["files"]
        return sum(each["size"] for path, each in files.items() if path.endswith(".safetensors"))

    def open(self) -> tuple[OpenedSession, float]:
        component = read_manifest(self.models).components["minilm"]
        assert isinstance(component, OpenedComponent), "minilm is a graph"
        start = time.perf_counter()
        session = open_graph_of(self.models, component, 2)
        return session, time.perf_counter() - start


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as folder:
        checkpoint = fetch_checkpoint(Path(folder, "checkpoint"))
        inputs, wanted = questions(checkpoint)
        baked = {name: bake(checkpoint, name, said, Path(folder)) for name, said in PRECISIONS.items()}
        found = compare(baked, inputs, wanted)
    write_document(Path("build/bench/precision.json"), found)
    print("precision          weights   error of sentences   of the cases   open      one sentence   batch")
    for name, each in found.items():
        print(
            f"{name:16} {each['bytes'] / 1e6:6.1f} MB   {each['error']:18.4f}   {each['cases']:12.4f}"
            f"   {each['open'] * 1e3:4.0f} ms   {each['one']:7.2f} times   {each['batch']:.2f} times"
        )


def fetch_checkpoint(folder: Path) -> Path:
    """The published model as the export stage sees it."""
    project = read_project(ROOT, "minilm")
    assert project.lock is not None
    files, store = project.lock.checkpoints["published"].files, Store(default_root())
    fetch(files, store, open_sources(ROOT, "minilm"), silent_progress())
    for file in files:
        store.link_into(folder, file.path, file.sha256)
    return folder


def questions(checkpoint: Path) -> tuple[dict[str, Array], Array]:
    """A batch as the server makes it, and torch's embeddings of it."""
    model = naive.load(checkpoint)
    tokens = model.model.tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="np")
    inputs = {name: tokens[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
    return inputs, model.embed(SENTENCES)


def bake(checkpoint: Path, name: str, said: Precision, folder: Path) -> Baked:
    session = SessionSettings("basic" if said.type in HALF_TYPES else "disable", prepack=said.type == "int4")
    settings = StageSettings(
        image="minilm",
        module="images.minilm.model",
        target="cpu",
        checkpoint="published",
        model_revision="0" * 64,
        components={"minilm": ComponentSettings(said, session=session)},
        ship=shipped(checkpoint, SHIPPED if said.reduced else [*SHIPPED, "minilm/model.safetensors"]),
    )
    models = folder / name.replace(", ", "-").replace(" ", "-")
    return Baked(models, bake_folder("minilm", checkpoint, settings, models)["minilm"])


def compare(baked: Mapping[str, Baked], inputs: Mapping[str, Array], wanted: Array) -> dict[str, dict[str, float]]:
    share_arena()
    opened = {name: [each.open() for _ in range(5)] for name, each in baked.items()}
    sessions = {name: tries[-1][0] for name, tries in opened.items()}
    one = {name: array[:1, : int(inputs["attention_mask"][0].sum())] for name, array in inputs.items()}
    batch = {name: np.tile(array, (8, 1)) for name, array in inputs.items()}
    times = {"one": in_turn(sessions, one), "batch": in_turn(sessions, batch)}
    return {
        name: {
            "bytes": each.size,
            "error": measure_error(wanted, sessions[name].run(inputs)["embeddings"]).relative,
            "cases": each.report["outputs"]["embeddings"]["relative_error"],
            "open": median(seconds for _, seconds in opened[name]),
            **{kind: found[name] / found["fp32"] for kind, found in times.items()},
        }
        for name, each in baked.items()
    }


def in_turn(sessions: Mapping[str, OpenedSession], inputs: Mapping[str, Array]) -> dict[str, float]:
    """Median seconds of a run, every session once a round."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(inputs)
            seconds[name].append(time.perf_counter() - start)
    return {name: median(each[1:]) for name, each in seconds.items()}


if __name__ == "__main__":
    main()
