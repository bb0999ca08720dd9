"""What the export stage hands to the compile stage: a folder and its ``exported.json``.

- ``derived/<folder>/*.safetensors``: weights that are not published as they are needed, or in too large a file
- ``graphs/<component>/model.onnx``: the graph, not yet optimised, and its constants beside it, called as in the image
- ``cases/<component>/<n>.safetensors``: inputs and the framework's outputs, for the parity check
- ``models/**``: assets and the warm-up request, at their places in the image
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prebake.bake.allowances import Allowance
from prebake.bake.arrays import Array, read_arrays, write_arrays
from prebake.bake.documents import canonical_json
from prebake.bake.errors import BakeError
from prebake.bake.parity import Case, Tolerance
from prebake.errors import newer_schema

GRAPH = "model.onnx"
WEIGHTS = "model.safetensors"
_SCHEMA = 1
_IN, _OUT, _TEXT = "inputs/", "outputs/", "text/"


@dataclass(frozen=True)
class ExportedComponent:
    """A graph of the export stage: largest difference allowed, number of cases, where its initialisers went, where they are of
    another precision than fp32 what became of them, and the least and largest lengths of its free axes, None where there is
    no largest. ``allowances``: by output, what the allowed difference follows from (``prebake.bake.allowances``)."""

    tolerance: Tolerance
    cases: int
    report: Mapping[str, int] = field(default_factory=dict)
    reduced: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    allowances: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)
    """Of a published graph, the bytes of its weights and what became of them (``prebake.bake.published_graph.Folding``)."""

    @property
    def basis(self) -> dict[str, str]:
        """In words, by output."""
        return {name: str(Allowance.read(each)) for name, each in self.allowances.items()}


@dataclass(frozen=True)
class Exported:
    """The folder's content: components, sha256 of derived files and the paths under ``models/`` by their origin."""

    folder: Path
    components: dict[str, ExportedComponent] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    assets: list[str] = field(default_factory=list)
    warmup: dict[str, Any] = field(default_factory=dict)

    def graph(self, component: str) -> Path:
        return self.folder / "graphs" / component / GRAPH

    def constants(self, component: str, path: str) -> Path:
        """``path`` is that of the image."""
        return self.folder / "graphs" / component / Path(path).name

    def derived_file(self, path: str) -> Path:
        return self.folder / "derived" / path

    def model_file(self, path: str) -> Path:
        return self.folder / "models" / path

    def write_case(self, component: str, number: int, case: Case) -> None:
        arrays: dict[str, Array] = {_IN + name: each for name, each in case.inputs.items()}
        arrays |= {_OUT + name: each for name, each in case.outputs.items()}
        write_arrays(self.case(component, number), dict(_stored(*each) for each in arrays.items()))

    def cases(self, component: str) -> Sequence[Case]:
        """The component's cases, in the order in which ``export.py`` gave them."""
        return [self._read_case(component, number) for number in range(self.components[component].cases)]

    def save(self) -> None:
        """Write ``exported.json``: the export is complete."""
        content = {key: value for key, value in asdict(self).items() if key != "folder"}
        (self.folder / "exported.json").write_bytes(canonical_json({"schema": _SCHEMA, **content}))

    @classmethod
    def load(cls, folder: Path) -> Exported:
        """Raises BakeError where the folder holds no complete export of this schema."""
        try:
            content = json.loads((folder / "exported.json").read_bytes())
        except (OSError, ValueError) as error:
            raise _incomplete(folder, str(error)) from None
        if (schema := content.pop("schema", None)) != _SCHEMA:
            raise _incomplete(folder, f"exported.json {newer_schema(schema, _SCHEMA) or 'has another schema'}")
        components = {name: ExportedComponent(**each) for name, each in content.pop("components").items()}
        return cls(folder, components, **content)

    def case(self, component: str, number: int) -> Path:
        """The file of a case: inputs under ``inputs/``, what the framework answered under ``outputs/``."""
        return self.folder / "cases" / component / f"{number}.safetensors"

    def _read_case(self, component: str, number: int) -> Case:
        arrays = _read(self.case(component, number))
        return Case(_part(arrays, _IN), _part(arrays, _OUT))


def _incomplete(folder: Path, why: str) -> BakeError:
    return BakeError(f"{folder} holds no complete export: {why}.", next_action="Run the export stage again.")


def read_inputs(case: Path) -> dict[str, Array]:
    """Of a case's file."""
    return _part(_read(case), _IN)


def _read(case: Path) -> dict[str, Array]:
    return dict(_restored(*each) for each in read_arrays(case).items())


def _stored(name: str, array: Array) -> tuple[str, Array]:
    """safetensors has no type for text: that becomes the bytes of a JSON document, and its name says so."""
    if array.dtype != object:
        return name, array
    text = json.dumps({"shape": list(array.shape), "text": array.reshape(-1).tolist()})
    return _TEXT + name, np.frombuffer(text.encode(), np.uint8)


def _restored(name: str, array: Array) -> tuple[str, Array]:
    if not name.startswith(_TEXT):
        return name, array
    found = json.loads(array.tobytes())
    return name.removeprefix(_TEXT), np.array(found["text"], object).reshape(found["shape"])


def _part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)}
