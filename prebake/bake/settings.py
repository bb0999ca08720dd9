"""``settings.json``: what the plan tells the export and compile stages about one image and one target.

The plan writes it with ``to_json``, the stages read it with ``from_json``. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from prebake.bake.component import HALVES, Component, ComponentReader, Session
from prebake.bake.documents import canonical_json
from prebake.bake.errors import SettingsInvalid
from prebake.errors import Problem, newer_schema

SCHEMA = 1
RUNTIMES = ("onnxruntime", "torch")
COMPILED = ("measured", "aot", "compile-cache", "none")
REPORT = "report.json"
"""What the compile stage leaves beside the image's files."""


@dataclass(frozen=True)
class Shipped:
    """A published file that the image holds, from the lock. Checkpoint and /models have it at one path."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Limits:
    """What the server enforces: request bytes, waiting requests, seconds for one request."""

    body_bytes: int = 64 << 20
    queue: int = 16
    seconds: int = 600


@dataclass(frozen=True)
class Settings:
    """One image for one target. ``module`` is the served one, ``exporter`` the one whose ``export`` is called, and
    ``model_revision`` the sha256 of the code that exports it: what serves is in a layer of its own, and bakes nothing.
    ``ship`` are files that the image holds as published, ``reshard`` those that it holds in parts, as they are too large.
    ``warmup_tolerance`` is image.yaml's, where it gives one. ``runtime`` is what opens the components, ``onnxruntime`` or
    ``torch``; ``networks`` is the module that builds them in torch, and ``compiled`` what is compiled of them then. ``fallback``
    is what a start does that cannot take the best way: ``announce`` or ``error``. ``keep_published``: another target of the image
    reads the weights of published graphs as they are, so that none is left out."""

    image: str
    module: str
    target: str
    checkpoint: str
    model_revision: str
    components: Mapping[str, Component]
    ship: tuple[Shipped, ...] = ()
    reshard: tuple[Shipped, ...] = ()
    exporter: str = ""
    runtime: str = "onnxruntime"
    networks: str = ""
    compiled: str = "none"
    warmup_tolerance: float | None = None
    fallback: str = "announce"
    keep_published: bool = False
    limits: Limits = field(default_factory=Limits)

    def folder(self, component: str) -> str:
        """The folder under /models that a component's graph and weights lie in."""
        return self.components[component].folder or component

    def config(self, component: str) -> str:
        """The path under /models of what a component that torch serves is configured by."""
        return f"{self.folder(component)}/config.json"

    def graph(self, component: str) -> str:
        """The path of a component's graph under /models."""
        own = self.folder(component) == component
        return f"{component}/model.onnx" if own else f"{self.folder(component)}/{component}.onnx"

    def constants(self, component: str) -> str:
        """The path under /models of what a component's graph reads and no weight file holds: never that of its weights, which of
        a published graph are called as the component is."""
        own = self.folder(component) == component and component != "constants"
        name = "constants.safetensors" if own else f"{component}.constants.safetensors"
        return f"{self.folder(component)}/{name}"

    def keeps_half(self, component: str) -> bool:
        """Whether weights of half precision are cast to fp32 as the graph is opened, as ONNX Runtime's CPU provider has few
        kernels for less, and a published graph computes as it does. Otherwise the graph computes in that precision."""
        own = self.components[component]
        return own.precision.type in HALVES and (self.target == "cpu" or bool(own.onnx or own.torch))

    def for_export(self) -> Settings:
        """What the export stage works by: without what is the compile stage's and the container's alone, so that a change of
        that makes no graph again."""
        later: Mapping[str, Any] = {"session": Session(), "options": {}, "buckets": (), "pad": {}, "outside": "error"}
        components = {name: replace(each, **later) for name, each in self.components.items()}
        own: Mapping[str, Any] = {"warmup_tolerance": None, "fallback": "announce", "compiled": "none"}
        return replace(self, components=components, limits=Limits(), **own)

    def to_json(self) -> bytes:
        """Canonical JSON, the document's schema number included."""
        return canonical_json({"schema": SCHEMA, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> Settings:
        """The reverse of ``to_json``. Raises SettingsInvalid with every fault at once."""
        reader = _Reader()
        document = reader.document(data)
        settings = reader.settings(document) if not reader.problems else None
        if settings is None or reader.problems:
            raise SettingsInvalid("settings.json cannot be used:", reader.problems, next_action="Plan the build again.")
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

    def settings(self, document: dict[str, Any]) -> Settings | None:
        given = self._known(Settings, document, "")
        components = self._mapping(given.pop("components", {}), "components")
        given["components"] = {name: self._component(value, f"components.{name}") for name, value in components.items()}
        for name in ("ship", "reshard"):
            values = enumerate(given.get(name, ()))
            given[name] = tuple(self._flat(Shipped, value, f"{name}[{index}]") for index, value in values)
        given["limits"] = self._flat(Limits, given.get("limits", {}), "limits")
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
        return None if self.problems else Settings(**given)
