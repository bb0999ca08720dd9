"""``python answers.py MODELS INPUTS OUT``: what a baked folder's first component answers, opened by the container's own code.

INPUTS: a safetensors file of a case, its inputs under ``inputs/``. If MODELS is a folder of graphs, each is opened in both ways,
its 8-bit products as they are and exact, and answers to the input of its name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from entrypoints.manifest_file import read_manifest
from entrypoints.saturation import saturates_here
from entrypoints.sessions import open_session as open_component
from prebake.bake.arrays import read_arrays, write_arrays
from prebake.bake.component import Session
from prebake.bake.exported import read_inputs
from prebake.bake.sessions import open_session


def answer_folder(models: Path, case: Path) -> dict[str, np.ndarray]:
    manifest = read_manifest(models)
    component = next(iter(manifest.components.values()))
    return open_component(models, component, 1).run(read_inputs(case))  # type: ignore[arg-type]


def answer_graphs(folder: Path, inputs: Path) -> dict[str, np.ndarray]:
    given, found = read_arrays(inputs), {"saturates": np.array(saturates_here())}
    for path in sorted(folder.glob("*.onnx")):
        for name, exact in (("exact", True), ("plain", False)):
            session = open_session(path, Session(saturates=exact), ["CPUExecutionProvider"])
            found[f"{path.stem} {name}"] = session.run(None, {"x": given[path.stem]})[0]
    return found


if __name__ == "__main__":
    source, inputs, out = map(Path, sys.argv[1:])
    write_arrays(out, (answer_folder if (source / "manifest.json").exists() else answer_graphs)(source, inputs))
