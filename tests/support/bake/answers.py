"""``python answers.py MODELS INPUTS OUT``: what a baked folder's first component answers, opened by the container's own code.

INPUTS: a safetensors file of a case, its inputs under ``inputs/``. If MODELS is a folder of graphs, each is opened in both ways,
its 8-bit products as they are and exact, and answers to the input of its name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from entrypoints.hardware.int8_saturation import saturates_here
from entrypoints.manifest.reader import read_manifest
from prebake.bake.graphs.sessions import open_session
from prebake.bake.model_folder.export_folder import read_inputs
from prebake.bake.weights.numpy_arrays import read_arrays, write_arrays
from prebake.documents.component import SessionSettings
from tests.support.bake.sessions import open_graph_of


def answer_folder(models: Path, case: Path) -> dict[str, np.ndarray]:
    manifest = read_manifest(models)
    component = next(iter(manifest.components.values()))
    return open_graph_of(models, component).run(read_inputs(case))


def answer_graphs(folder: Path, inputs: Path) -> dict[str, np.ndarray]:
    given, found = read_arrays(inputs), {"saturates": np.array(saturates_here())}
    for path in sorted(folder.glob("*.onnx")):
        for name, exact in (("exact", True), ("plain", False)):
            session = open_session(path, SessionSettings(saturates=exact), ["CPUExecutionProvider"])
            found[f"{path.stem} {name}"] = session.run(None, {"x": given[path.stem]})[0]
    return found


if __name__ == "__main__":
    source, inputs, out = map(Path, sys.argv[1:])
    write_arrays(out, (answer_folder if (source / "manifest.json").exists() else answer_graphs)(source, inputs))
