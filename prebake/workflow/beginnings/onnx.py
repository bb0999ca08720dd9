"""A graph that is published as ONNX: its image needs no Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.render.environment import render_template
from prebake.spec.project import read_templates
from prebake.workflow.beginnings.beginning import UNKNOWN, Asked, InitRefused

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from prebake.bake.signature import Signature

_SAMPLE_LIMIT = 4096  # numbers of a sample that a person would still want to read
_TEXTS = {"image.yaml": "init/onnx.yaml.j2", "README.md": "init/onnx.md.j2"}


def recognise(path: Path) -> PublishedGraph | None:
    """The one ONNX file that a path means. Raises InitRefused where a folder holds several."""
    if path.is_file():
        return PublishedGraph(path) if path.suffix == ".onnx" else None
    found = sorted(path.glob("*.onnx"))
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise InitRefused(f"{path} holds several graphs: {names}.", next_action="name one of them by --from")
    return PublishedGraph(found[0]) if found else None


@dataclass(frozen=True)
class PublishedGraph:
    """An ``.onnx`` file."""

    graph: Path

    def write(self, asked: Asked) -> Mapping[str, bytes]:
        """Spec, README and, where it is small enough to be read, a sample input."""
        session, signature, parts = _look_into(asked.name, self.graph)
        sample = _sample(asked.name, session, signature)
        values = {
            "name": asked.name,
            "title": self.graph.stem if self.graph.stem != "model" else asked.name,
            "schema": asked.schema,
            "licence": asked.licence or UNKNOWN,
            "unknown": UNKNOWN,
            "folder": asked.folder(self.graph.parent),
            "files": parts,
            "graph": self.graph.name,
            "signature": signature,
            "sample": sample is not None,
        }
        templates = read_templates(asked.root)
        files = {name: render_template(templates, template, values).encode() for name, template in _TEXTS.items()}
        return {**files, **({"sample.json": sample} if sample else {})}


def _look_into(name: str, graph: Path) -> tuple[InferenceSession, Signature, list[str]]:
    """The graph opened, what it takes and gives, and its files."""
    try:
        from prebake.bake.graph_files import external_files, open_published
        from prebake.bake.signature import read_signature
    except ImportError as error:
        raise InitRefused(
            f"Looking into an ONNX file needs {error.name}, which is not installed.",
            next_action="pip install 'prebake[models]', or onnx, onnx_ir, onnxruntime and numpy alone",
        ) from error
    session = open_published(name, graph)
    return session, read_signature(name, session), [graph.name, *external_files(graph)]


def _sample(name: str, session: InferenceSession, signature: Signature) -> bytes | None:
    """None where it would be too large for a person to read, or the graph does not take what is made up."""
    from prebake.bake.signature import make_inputs

    inputs = make_inputs(signature, size=1, seed=1)
    if sum(array.size for array in inputs.values()) > _SAMPLE_LIMIT:
        return None
    try:
        session.run(None, inputs)
    except Exception:  # ONNX Runtime's exceptions share no base class but this
        return None
    lists: dict[str, Any] = {key: array.tolist() for key, array in inputs.items()}
    return json.dumps({name: lists}, indent=1).encode() + b"\n"
