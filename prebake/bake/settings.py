"""``settings.json``: what the plan tells the export and compile stages about one image and one target.

The plan writes it with ``to_json``, the stages read it with ``from_json``. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

from prebake.bake.documents import canonical_json
from prebake.bake.errors import SettingsInvalid
from prebake.errors import Problem

SCHEMA = 1
RUNTIMES = ("onnxruntime", "torch")
COMPILED = ("measured", "aot", "compile-cache", "none")
REPORT = "report.json"
"""What the compile stage leaves beside the image's files."""
OPTIMIZE_LEVELS = ("disable", "basic", "extended")
OUTSIDE = ("error", "dynamic")


@dataclass(frozen=True)
class Shipped:
    """A published file that the image holds, from the lock. Checkpoint and /models have it at one path."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Session:
    """How the container opens a graph. ``optimize`` is what is left to do at start: nothing, as a rule.

    ``prepack`` copies weights into the processor's preferred layout while the session opens: later runs are faster and
    the first comes later. Where ``measure``, the compile stage tries and decides (``prebake.bake.forms``).
    """

    optimize: str = "disable"
    prepack: bool = False
    measure: bool = False

    @property
    def told(self) -> dict[str, object]:
        """The manifest's words."""
        return {"optimize": self.optimize, "prepack": self.prepack}


HALVES = ("fp16", "bf16")


@dataclass(frozen=True)
class Precision:
    """In which numbers weights are kept and computed: fp32, fp16, bf16, int8 or int4.

    bound: the largest relative error of an output (``prebake.bake.quality``); of fp32 the export's tolerance counts instead.
    derived: whether the export makes the weights; else the published file has the type already.
    activations, per_channel, reduce_range, calibration: of int8; calibration is a file of the image's folder, or empty.
    block, symmetric: of int4. embeddings: of both, whether tables that are looked up in are quantised too.
    """

    type: str = "fp32"
    bound: float = 0.0
    derived: bool = True
    activations: str = "dynamic"
    per_channel: bool = True
    reduce_range: bool = True
    calibration: str = ""
    block: int = 32
    symmetric: bool = False
    embeddings: bool = True

    @property
    def reduced(self) -> bool:
        return self.type != "fp32"

    @property
    def makes_weights(self) -> bool:
        """Whether the export makes weights that no published file has."""
        return self.reduced and self.derived


@dataclass(frozen=True)
class Component:
    """How one component is compiled and run. ``folder`` has its weights, and its graph then lies beside them under the
    component's name; ``onnx`` is the file of the checkpoint that is its graph, where it is published as one, ``torch`` where
    that is torch.export's or TorchScript's; ``inputs`` are what the latter takes, by name (``float32[batch, 3]``).
    ``options`` are what image.yaml says of GPU providers, as ``{"cuda": {"use_tf32": "1"}}``.

    buckets: shapes that inputs are brought to, as lengths by free axis, each of the same axes; none where any shape is taken.
    pad: by input, what it is padded with. outside: ``error`` or ``dynamic``, for inputs that no bucket holds.
    """

    precision: Precision = Precision()
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    session: Session = Session()
    folder: str = ""
    onnx: str = ""
    torch: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    buckets: tuple[Mapping[str, int], ...] = ()
    pad: Mapping[str, float] = field(default_factory=dict)
    outside: str = "error"


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
    is what a start does that cannot take the best way: ``announce`` or ``error``."""

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
        """The path under /models of what a component's graph reads and no weight file holds."""
        own = self.folder(component) == component
        return (
            f"{component}/constants.safetensors"
            if own
            else f"{self.folder(component)}/{component}.constants.safetensors"
        )

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


class _Reader:
    """Collects problems instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def document(self, data: bytes) -> dict[str, Any]:
        try:
            document = json.loads(data)
        except ValueError as error:
            self.problems.append(Problem("settings.json", f"not JSON: {error}"))
            return {}
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            self.problems.append(Problem("schema", f"must be {SCHEMA}"))
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
        if given.get("warmup_tolerance") is not None:
            self._typed(given, "warmup_tolerance", float, "")
        return None if self.problems else Settings(**given)

    def _component(self, value: object, where: str) -> Component | None:
        given = self._known(Component, self._mapping(value, where), where)
        session = self._mapping(given.get("session", {}), f"{where}.session")
        given["session"] = self._flat(Session, session, f"{where}.session")
        given["precision"] = self._flat(Precision, given.get("precision", {}), f"{where}.precision")
        given["providers"] = tuple(given.get("providers", Component.providers))
        for name in ("folder", "onnx", "torch", "outside"):
            self._typed(given, name, str, where)
        if given.get("outside", "error") not in OUTSIDE:
            self.problems.append(Problem(f"{where}.outside", f"must be one of {', '.join(OUTSIDE)}"))
        given["buckets"] = tuple(
            self._numbers(shape, int, f"{where}.buckets[{number}]")
            for number, shape in enumerate(given.get("buckets", ()))
        )
        given["pad"] = self._numbers(given.get("pad", {}), float, f"{where}.pad")
        inputs = self._mapping(given.get("inputs", {}), f"{where}.inputs")
        for name in inputs:
            self._typed(inputs, name, str, f"{where}.inputs")
        given["options"] = self._options(given.get("options", {}), f"{where}.options")
        if session.get("optimize", "disable") not in OPTIMIZE_LEVELS:
            self.problems.append(Problem(f"{where}.session.optimize", f"must be one of {', '.join(OPTIMIZE_LEVELS)}"))
        return None if self.problems else Component(**given)

    def _numbers(self, value: object, kind: type, where: str) -> dict[str, Any]:
        given = self._mapping(value, where)
        for name in given:
            self._typed(given, name, kind, where)
        return given

    def _options(self, value: object, where: str) -> dict[str, dict[str, str]]:
        said = {name: self._mapping(each, f"{where}.{name}") for name, each in self._mapping(value, where).items()}
        for target, options in said.items():
            for name in options:
                self._typed(options, name, str, f"{where}.{target}")
        return said

    def _flat(self, kind: type[Any], value: object, where: str) -> Any:
        given = self._known(kind, self._mapping(value, where), where)
        for each in fields(kind):
            if each.name in given:
                self._typed(
                    given, each.name, {"str": str, "int": int, "bool": bool, "float": float}[str(each.type)], where
                )
        return None if self.problems else kind(**given)

    def _known(self, kind: type[Any], value: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The fields of ``kind`` in ``value``; a field it does not know, and a needed one missing, are problems."""
        names = {each.name for each in fields(kind)}
        needed = {each.name for each in fields(kind) if not _has_default(each)}
        prefix = f"{where}." if where else ""
        self.problems += [Problem(prefix + name, "no such setting") for name in sorted(value.keys() - names)]
        self.problems += [Problem(prefix + name, "missing") for name in sorted(needed - value.keys())]
        return {name: value[name] for name in value.keys() & names}

    def _mapping(self, value: object, where: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.problems.append(Problem(where, "must be an object"))
        return {}

    def _typed(self, given: Mapping[str, Any], name: str, kind: type, where: str) -> None:
        value = given.get(name)
        allowed = (float, int) if kind is float else kind
        if name in given and (not isinstance(value, allowed) or (kind in (int, float) and isinstance(value, bool))):
            self.problems.append(Problem(f"{where}.{name}".lstrip("."), f"must be {kind.__name__}, not {value!r}"))


def _has_default(each: Any) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING
