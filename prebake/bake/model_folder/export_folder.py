"""The exported folder, which the export stage hands to the compile stage, and its ``exported.json``.

- ``derived/<folder>/*.safetensors``: weights that the export converted, or split from too large a file
- ``graphs/<component>/model.onnx``: the graph before optimization, and the file of its constants, named as in the image
- ``cases/<component>/<n>.safetensors``: inputs and the framework's outputs, for the parity check
- ``models/**``: assets and the warm-up request, at their places in the image
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prebake.bake.errors import BakeError
from prebake.bake.parity.compare import Case, Tolerance
from prebake.bake.parity.tolerances import ToleranceBasis
from prebake.bake.weights.numpy_arrays import Array, read_arrays, write_arrays
from prebake.documents.canonical import canonical_json
from prebake.errors import newer_schema

GRAPH = "model.onnx"
WEIGHTS = "model.safetensors"
_SCHEMA = 1
_IN, _OUT, _TEXT = "inputs/", "outputs/", "text/"


@dataclass(frozen=True)
class ExportedComponent:
    """A component of the exported folder.

    tolerance: the largest allowed difference from the framework's outputs. cases: the number of cases.
    report: counts and bytes of initializers by their place (``prebake.bake.graphs.external_data``).
    reduced: how its weights were reduced to another precision than fp32; empty in fp32.
    ranges: the smallest and largest length of each free axis; None if an axis has no largest.
    allowances: by output, the terms of its tolerance (``prebake.bake.parity.tolerances``).
    published: for a published graph, the bytes of its weights and how they were folded
    (``prebake.bake.published.graph_preparation.ConstantFolding``).
    """

    tolerance: Tolerance
    cases: int
    _: KW_ONLY
    report: Mapping[str, int] = field(default_factory=dict)
    reduced: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    allowances: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)

    @property
    def basis(self) -> dict[str, str]:
        """The reason for each output's tolerance, as a sentence for people."""
        return {name: str(ToleranceBasis.read(terms)) for name, terms in self.allowances.items()}


@dataclass(frozen=True)
class Exported:
    """The content of the folder: its components, the sha256 of derived files, the paths of assets below ``models/``, and the
    warm-up request."""

    folder: Path
    components: dict[str, ExportedComponent] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    assets: list[str] = field(default_factory=list)
    warmup: dict[str, Any] = field(default_factory=dict)

    def graph(self, component: str) -> Path:
        return self.folder / "graphs" / component / GRAPH

    def constants(self, component: str, path: str) -> Path:
        """The file of a component's constants, by its ``path`` in the image."""
        return self.folder / "graphs" / component / Path(path).name

    def derived_file(self, path: str) -> Path:
        return self.folder / "derived" / path

    def model_file(self, path: str) -> Path:
        return self.folder / "models" / path

    def write_case(self, component: str, number: int, case: Case) -> None:
        arrays: dict[str, Array] = {_IN + name: array for name, array in case.inputs.items()}
        arrays |= {_OUT + name: array for name, array in case.outputs.items()}
        write_arrays(self.case(component, number), dict(_encode(*entry) for entry in arrays.items()))

    def cases(self, component: str) -> Sequence[Case]:
        """The component's cases, in the order of ``export.py``."""
        return [self._read_case(component, number) for number in range(self.components[component].cases)]

    def save(self) -> None:
        """Write ``exported.json``, which marks the export as complete."""
        content = {key: value for key, value in asdict(self).items() if key != "folder"}
        (self.folder / "exported.json").write_bytes(canonical_json({"schema": _SCHEMA, **content}))

    @classmethod
    def load(cls, folder: Path) -> Exported:
        """Read ``exported.json``. Raises BakeError if the folder has no complete export of this schema."""
        try:
            content = json.loads((folder / "exported.json").read_bytes())
        except (OSError, ValueError) as error:
            raise _incomplete(folder, str(error)) from None
        if (schema := content.pop("schema", None)) != _SCHEMA:
            raise _incomplete(folder, f"exported.json {newer_schema(schema, _SCHEMA) or 'has another schema'}")
        components = {name: ExportedComponent(**entry) for name, entry in content.pop("components").items()}
        return cls(folder, components, **content)

    def case(self, component: str, number: int) -> Path:
        """The file of a case: inputs under ``inputs/``, the framework's outputs under ``outputs/``."""
        return self.folder / "cases" / component / f"{number}.safetensors"

    def _read_case(self, component: str, number: int) -> Case:
        arrays = _read(self.case(component, number))
        return Case(_select(arrays, _IN), _select(arrays, _OUT))


def _incomplete(folder: Path, why: str) -> BakeError:
    return BakeError(f"{folder} has no complete export: {why}.", next_action="run the export stage again")


def read_inputs(case: Path) -> dict[str, Array]:
    """The inputs in a case's file, by name."""
    return _select(_read(case), _IN)


def _read(case: Path) -> dict[str, Array]:
    return dict(_decode(*entry) for entry in read_arrays(case).items())


def _encode(name: str, array: Array) -> tuple[str, Array]:
    """safetensors has no type for strings: an array of strings becomes the bytes of a JSON document, under a name with a
    prefix."""
    if array.dtype != object:
        return name, array
    text = json.dumps({"shape": list(array.shape), "text": array.reshape(-1).tolist()})
    return _TEXT + name, np.frombuffer(text.encode(), np.uint8)


def _decode(name: str, array: Array) -> tuple[str, Array]:
    if not name.startswith(_TEXT):
        return name, array
    document = json.loads(array.tobytes())
    return name.removeprefix(_TEXT), np.array(document["text"], object).reshape(document["shape"])


def _select(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
