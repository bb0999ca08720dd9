"""The starts in the documents that Prebake and its containers write, in one form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prebake.documents.manifest.json_checks import Check, anything, describe, listing, mapping, nullable
from prebake.errors import SourceError
from prebake.measure.report.report_checks import SECONDS, SIZE, TEXT, fields
from prebake.measure.start import collect_phases

KINDS = {
    "a container's /startup": ("state", "phases"),
    "a report (build/NAME/report.json) or a benchmark (build/bench/NAME.json)": ("start", "phases"),
    "a gate's result (build/bench/NAME-gate.json)": ("kind", "starts"),
}
"""The documents that have starts, each with the keys that it is known by."""


class StartUnreadable(SourceError):
    """``prebake trace`` finds no start: the file or the URL has no JSON, or a document without a start. The message has the
    keys that were looked for."""


@dataclass(frozen=True)
class RecordedStart:
    """One start. Seconds since the request for the container, but ``phases`` count from the start of the container's process:
    ``container`` seconds after the request, which is 0 if that time is not known.

    ``title`` tells it from other starts of the document. ``image``: facts about the image, for the Engine's phase.
    ``opened``: by component, the candidate that was opened; of several models by ``MODEL: COMPONENT``.
    """

    phases: Sequence[Mapping[str, Any]]
    title: str = ""
    container: float = 0.0
    ready: float | None = None
    live: float | None = None
    ttfi: float | None = None
    models: tuple[str, ...] = ()
    image: Mapping[str, Any] = field(default_factory=dict)
    opened: Mapping[str, str] = field(default_factory=dict)
    weight_bytes: int | None = None


_PHASES = listing(fields({"name": TEXT, "start": SECONDS, "seconds": nullable(SECONDS)}, {"process": TEXT}))
_OPENED = mapping(TEXT, TEXT)
_MODEL = fields({"phases": _PHASES}, {"opened": _OPENED})
_STARTUP = fields(
    {"state": TEXT, "phases": _PHASES},
    {"ready_seconds": nullable(SECONDS), "opened": _OPENED, "models": mapping(TEXT, _MODEL)},
)
_REPORT = fields(
    {"phases": _PHASES, "start": fields({"ready_seconds": SECONDS, "container_seconds": SECONDS}, {})},
    {
        "image": TEXT,
        "digest": TEXT,
        "size": SIZE,
        "models": mapping(TEXT, anything),
        "floor": fields({"weight_bytes": SIZE}, {}),
    },
)
_START = fields(
    {"ttfi_seconds": SECONDS, "phases": _PHASES},
    {"ready_seconds": nullable(SECONDS), "live_seconds": nullable(SECONDS)},
)
_IMAGE = fields({"reference": TEXT}, {"digest": nullable(TEXT), "size_bytes": SIZE})
_GATE = fields(
    {
        "image": _IMAGE,
        "baseline": nullable(_IMAGE),
        "starts": listing(fields({"image": _START, "baseline": nullable(_START)}, {}), minimum=1),
    },
    {},
)


def read_starts(document: object, where: str) -> tuple[RecordedStart, ...]:
    """The starts of a document: of a gate the median start of each image, otherwise one. Raises StartUnreadable, with every
    problem of the document. ``where`` is its place, for messages."""
    if not isinstance(document, dict):
        raise _make_unknown(where, f"is {describe(document)}, no object")
    if document.get("kind") == "gate":
        _require(_GATE, document, where)
        return tuple(_read_gate(document))
    if "start" in document and "phases" in document:
        _require(_REPORT, document, where)
        return (_read_report(document),)
    if "state" in document and "phases" in document:
        _require(_STARTUP, document, where)
        return (_read_startup(document),)
    if "layers" in document:
        raise StartUnreadable(
            f"{where} is the report of a build that timed no start: it lacks `start` and `phases`.",
            next_action="build the image into the Engine (`--output docker`), with `--starts 1` or more",
        )
    raise _make_unknown(where, "has no start")


def _make_unknown(where: str, what: str) -> StartUnreadable:
    known = [f"  {kind}: `{'` and `'.join(keys)}`" for kind, keys in KINDS.items()]
    return StartUnreadable(
        "\n".join([f"{where} {what}. The keys that were looked for:", *known]),
        next_action="name one of these documents, or the URL of a running container, such as http://localhost:8000",
    )


def _require(check: Check, document: Mapping[str, Any], where: str) -> None:
    problems: list[str] = []
    check(document, "", problems)
    if problems:
        more = [f"  and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise StartUnreadable(
            "\n".join([f"{where} has a start that cannot be read:", *(f"  {each}" for each in problems[:10]), *more]),
            next_action="write the document again: build the image, or run the benchmark again",
        )


def _read_startup(startup: Mapping[str, Any]) -> RecordedStart:
    models = startup.get("models", {})
    opened = dict(startup.get("opened", {}))
    for name, model in models.items():
        opened |= {f"{name}: {component}": candidate for component, candidate in model.get("opened", {}).items()}
    return RecordedStart(
        collect_phases(startup), ready=startup.get("ready_seconds"), models=tuple(models), opened=opened
    )


def _read_report(report: Mapping[str, Any]) -> RecordedStart:
    start = report["start"]
    return RecordedStart(
        report["phases"],
        container=start["container_seconds"],
        ready=start["ready_seconds"],
        models=tuple(report.get("models", ())),
        image={name: report[name] for name in ("image", "digest", "size") if name in report},
        weight_bytes=report.get("floor", {}).get("weight_bytes"),
    )


def _read_gate(gate: Mapping[str, Any]) -> Iterator[RecordedStart]:
    """The start of each image with the median time until the first answer; of an even number, the quicker one of the two in the
    middle. A gate may have no baseline."""
    for key, title in (("image", "new image"), ("baseline", "baseline")):
        found = [pair[key] for pair in gate["starts"] if gate[key] and pair[key]]
        if not found:
            continue
        starts = sorted(found, key=lambda start: float(start["ttfi_seconds"]))
        start, image = starts[(len(starts) - 1) // 2], gate[key]
        yield RecordedStart(
            start["phases"],
            title,
            ready=start.get("ready_seconds"),
            live=start.get("live_seconds"),
            ttfi=start["ttfi_seconds"],
            image={name: image[name] for name in ("reference", "digest", "size_bytes", "layer_bytes") if name in image},
        )
