"""``settings.json``: the stages' settings for one image and one target, written by the plan.

The plan writes it with ``to_json``, the stages read it with ``from_json``. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from prebake.documents.canonical import canonical_json
from prebake.documents.component import HALF_TYPES, ComponentReader, ComponentSettings, SessionSettings
from prebake.errors import Problem, SettingsInvalid, newer_schema

SCHEMA = 2
RUNTIMES = ("onnxruntime", "torch")
COMPILED = ("auto", "aot", "compile-cache", "none")
REPORT = "report.json"
"""The report that the compile stage writes beside the image's files."""


@dataclass(frozen=True)
class PublishedFile:
    """A published file of the checkpoint, from the lock. ``path`` is the same in the checkpoint and below /models."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class RequestLimits:
    """The server's limits: bytes of a request's body, requests in the queue, seconds for one request."""

    body_bytes: int = 64 << 20
    queue: int = 16
    seconds: int = 600


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """The settings of one image for one target.

    module: the served module.
    exporter: the module whose ``export`` is called.
    model_revision: the sha256 of the code that exports the model. Serving code is in a layer of its own, and not part of it.
    ship: the checkpoint's files that the image contains as published.
    reshard: the checkpoint's files that the image contains in shards, as they are too large for one layer.
    runtime: opens the components, ``onnxruntime`` or ``torch``.
    networks: the module that builds the components in torch.
    compiled: the form in which torch's blocks are compiled, of ``COMPILED``.
    warmup_tolerance: image.yaml's, if it gives one.
    fallback: what a start does if it cannot open the best candidate: ``warn`` or ``error``.
    keep_published: another target of the image reads the weights of published graphs as they are, so that all are kept.
    """

    image: str
    module: str
    target: str
    checkpoint: str
    model_revision: str
    components: Mapping[str, ComponentSettings]
    ship: tuple[PublishedFile, ...] = ()
    reshard: tuple[PublishedFile, ...] = ()
    exporter: str = ""
    runtime: str = "onnxruntime"
    networks: str = ""
    compiled: str = "none"
    warmup_tolerance: float | None = None
    fallback: str = "warn"
    keep_published: bool = False
    limits: RequestLimits = field(default_factory=RequestLimits)

    def folder(self, component: str) -> str:
        """The folder under /models that a component's graph and weights lie in."""
        return self.components[component].folder or component

    def config(self, component: str) -> str:
        """The path under /models of the configuration of a component that torch serves."""
        return f"{self.folder(component)}/config.json"

    def graph(self, component: str) -> str:
        """The path of a component's graph under /models."""
        own = self.folder(component) == component
        return f"{component}/model.onnx" if own else f"{self.folder(component)}/{component}.onnx"

    def constants(self, component: str) -> str:
        """The path under /models of the initializers of a component's graph that are in no weight file. It is never the path of a
        weight file: those of a published graph are named after the component."""
        own = self.folder(component) == component and component != "constants"
        name = "constants.safetensors" if own else f"{component}.constants.safetensors"
        return f"{self.folder(component)}/{name}"

    def keeps_half(self, component: str) -> bool:
        """Whether weights of half precision are cast to fp32 when the graph is opened, because ONNX Runtime's CPU provider
        has few kernels for half precision, and a published graph stays as it is. Otherwise the graph computes in half
        precision."""
        own = self.components[component]
        return own.precision.type in HALF_TYPES and (self.target == "cpu" or bool(own.onnx or own.torch))

    def for_export(self) -> StageSettings:
        """The settings that the export stage depends on. Those of the compile stage and of the container get their defaults,
        so that a change of them does not export again."""
        later: Mapping[str, Any] = {
            "session": SessionSettings(),
            "options": {},
            "buckets": (),
            "pad": {},
            "overflow": "error",
        }
        components = {name: replace(component, **later) for name, component in self.components.items()}
        own: Mapping[str, Any] = {"warmup_tolerance": None, "fallback": "warn", "compiled": "none"}
        return replace(self, components=components, limits=RequestLimits(), **own)

    def to_json(self) -> bytes:
        """Canonical JSON with the schema number."""
        return canonical_json({"schema": SCHEMA, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> StageSettings:
        """The reverse of ``to_json``. Raises SettingsInvalid with every problem at once."""
        reader = _Reader()
        document = reader.document(data)
        settings = reader.settings(document) if not reader.problems else None
        if settings is None or reader.problems:
            raise SettingsInvalid("settings.json cannot be used:", reader.problems, next_action="plan the build again")
        return settings


class _Reader(ComponentReader):
    """Reads the whole document."""

    def document(self, data: bytes) -> dict[str, Any]:
        try:
            document = json.loads(data)
        except ValueError as error:
            self.problems.append(Problem("settings.json", f"not JSON: {error}"))
            return {}
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            found = document.get("schema") if isinstance(document, dict) else None
            self.problems.append(Problem("schema", newer_schema(found, SCHEMA) or f"must be {SCHEMA}"))
            return {}
        return {key: value for key, value in document.items() if key != "schema"}

    def settings(self, document: dict[str, Any]) -> StageSettings | None:
        given = self._known(StageSettings, document, "")
        components = self._mapping(given.pop("components", {}), "components")
        given["components"] = {name: self._component(value, f"components.{name}") for name, value in components.items()}
        for name in ("ship", "reshard"):
            values = enumerate(given.get(name, ()))
            given[name] = tuple(self._flat(PublishedFile, value, f"{name}[{index}]") for index, value in values)
        given["limits"] = self._flat(RequestLimits, given.get("limits", {}), "limits")
        texts = (
            "image",
            "module",
            "target",
            "checkpoint",
            "model_revision",
            "runtime",
            "networks",
            "fallback",
            "compiled",
        )
        for name in texts:
            self._typed(given, name, str, "")
        if given.get("runtime", "onnxruntime") not in RUNTIMES:
            self.problems.append(Problem("runtime", f"must be one of {', '.join(RUNTIMES)}"))
        if given.get("compiled", "none") not in COMPILED:
            self.problems.append(Problem("compiled", f"must be one of {', '.join(COMPILED)}"))
        self._typed(given, "keep_published", bool, "")
        if given.get("warmup_tolerance") is not None:
            self._typed(given, "warmup_tolerance", float, "")
        return None if self.problems else StageSettings(**given)
