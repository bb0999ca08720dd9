"""``prebake explain``: each layer, who has it, and what a change would make again and send. Nothing is built or fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prebake.checkpoints.store import Store, default_root
from prebake.engine.base import known_base
from prebake.engine.connection import Connection, find_engine
from prebake.engine.images import known_layers
from prebake.errors import EngineUnavailable
from prebake.oci.compression import Compression
from prebake.oci.records import LayerRecord, Records
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.plan.changes import layers_touched
from prebake.plan.making import make_plan
from prebake.plan.values import Layer, Options
from prebake.render.listing import artifact_document, artifact_lines
from prebake.sizes import show_bytes
from prebake.spec.project import read_project
from prebake.workflow.artifact_finder import Finder
from prebake.workflow.artifacts import told_of
from prebake.workflow.known import known_records
from prebake.workflow.library import Library
from prebake.workflow.parts import Parts
from prebake.workflow.steps import Tell


@dataclass(frozen=True)
class Question:
    """What is to be explained; ``registry`` is a reference whose repository is asked, or None."""

    root: Path
    model: str
    options: Options
    base: str = "auto"
    registry: str | None = None
    compression: Compression = "auto"


@dataclass(frozen=True)
class Explained:
    """A layer. ``blob_size`` (bytes) and ``digest`` are None until it was made once; ``store``, ``engine`` and ``registry``
    say who has it, None where that could not be asked."""

    name: str
    kind: str
    key: str
    made_of: tuple[str, ...]
    size: int | None
    digest: str | None
    blob_size: int | None
    packing: str | None
    store: bool
    engine: bool | None
    registry: bool | None


def explain_image(question: Question, tell: Tell) -> Mapping[str, Any]:
    """The layers, and by kind of change which of them are made again, those by ``prebake compile``, and how many bytes are sent
    at most."""
    project = read_project(question.root, question.model)
    plan = make_plan(project, question.options)
    with ExitStack() as held:
        connection = _engine(tell)
        base = connection and known_base(connection, f"{plan.base.reference}@{plan.base.digest}", question.base)
        repositories = [held.enter_context(closing(_repository(question.registry, tell)))] if question.registry else []
        store = Store(default_root())
        parts = Parts(store, Library(Records(store.root), repositories), question.compression)
        plan = told_of(plan, dict(Finder(parts, tell, mend=False).all(plan)))
        found = {model.name: model.artifacts for model in plan.models}
        engine = known_layers(connection) if connection else None
        layers = [
            _explain(layer, known_records(plan, layer, parts, base or None) or (), parts, engine, repositories)
            for layer in plan.layers
        ]
    return {
        "image": plan.tag,
        "labels": plan.metadata.labels,
        "base": asdict(base) if base else None,
        "layers": [asdict(layer) for layer in layers],
        "artifacts": [artifact_document(artifact) for artifact in plan.compiled],
        "compiled": artifact_lines(plan),
        "changes": _changes(layers_touched(project, question.options, found), layers),
    }


def explained_text(explained: Mapping[str, Any]) -> str:
    """For a person."""
    rows = [("layer", "size", "sent as", "store", "Engine", "registry", "made of")]
    for layer in explained["layers"]:
        made_of = layer["made_of"][0] if len(layer["made_of"]) == 1 else f"{len(layer['made_of'])} inputs"
        places = [_mark(layer[place]) for place in ("store", "engine", "registry")]
        rows.append((layer["name"], _bytes(layer["size"]), _bytes(layer["blob_size"]), *places, made_of))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += explained["compiled"]
    lines += ["", "A change of …    makes again"]
    for name, change in explained["changes"].items():
        sent = (
            f"at most {show_bytes(change['bytes'])}"
            if change["bytes"] is not None
            else "not known before it was built once"
        )
        beside = " beside its own layers" if name == "base" else ""
        compiled = f"; {', '.join(change['compiled'])} by `prebake compile`" if change["compiled"] else ""
        lines.append(f"  {name:14} {', '.join(change['layers'])}; sends {sent}{beside}{compiled}")
    labels = [f"label   {name}={value}" for name, value in explained["labels"].items()]
    return "\n".join([f"image   {explained['image']}", *labels, "", *lines])


def _explain(
    layer: Layer,
    records: Sequence[LayerRecord],
    parts: Parts,
    engine: frozenset[str] | None,
    repositories: Sequence[Repository],
) -> Explained:
    """A layer of several parts is somewhere where all of them are."""
    return Explained(
        layer.name,
        layer.kind,
        layer.key,
        tuple(sorted(layer.inputs)),
        sum(record.unpacked for record in records) if records else layer.size,
        records[0].digest if len(records) == 1 else None,
        sum(record.size for record in records) if records else None,
        records[0].reason if records else None,
        bool(records) and all(parts.is_here(record) for record in records),
        None if engine is None else bool(records) and all(record.diff in engine for record in records),
        _at_registry(records, repositories),
    )


def _at_registry(records: Sequence[LayerRecord], repositories: Sequence[Repository]) -> bool | None:
    if not repositories:
        return None
    return bool(records) and all(repository.has(record.digest) for repository in repositories for record in records)


def _changes(touched: Mapping[str, Sequence[str]], layers: Sequence[Explained]) -> dict[str, dict[str, Any]]:
    sizes = {layer.name: layer.blob_size for layer in layers}
    machines = {layer.name for layer in layers if layer.kind == "compiled"}
    found: dict[str, dict[str, Any]] = {}
    for name, names in touched.items():
        known = [sizes.get(each) for each in names]
        total = sum(size for size in known if size is not None)
        compiled = [each for each in names if each in machines]
        found[name] = {"layers": list(names), "compiled": compiled, "bytes": None if None in known else total}
    return found


def _engine(tell: Tell) -> Connection | None:
    try:
        return find_engine()
    except EngineUnavailable as error:
        tell(f"explain: {error.message}; what it has is not known")
        return None


def _repository(reference: str, tell: Tell) -> Repository:
    return Repository(parse_reference(reference), say=tell)


def _mark(found: bool | None) -> str:
    return {True: "yes", False: "-", None: "?"}[found]


def _bytes(size: int | None) -> str:
    return "?" if size is None else show_bytes(size)
