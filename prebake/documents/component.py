"""The settings of one component in ``settings.json``. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from prebake.errors import Problem

OPTIMIZE_LEVELS = ("disable", "basic", "extended")
OVERFLOW = ("error", "dynamic")
HALF_TYPES = ("fp16", "bf16")
_TYPES: Mapping[str, type] = {"str": str, "int": int, "bool": bool, "float": float}


@dataclass(frozen=True)
class SessionSettings:
    """The options by which the container opens a graph.

    optimize: the level of optimization at start, of ``OPTIMIZE_LEVELS``; as a rule ``disable``, as the compile stage did it.
    prepack: copy weights to the processor's preferred layout when the session opens. Later runs are faster, the first is later.
    measure: the compile stage decides ``prepack`` by trials (``prebake.bake.trials.prepacking``).
    saturates: 8-bit products of the graph saturate on some processors. There it is opened with the option that avoids this
        (``entrypoints.hardware.int8_saturation``). The compile stage finds them (``prebake.bake.graphs.int8_saturation``).
    """

    optimize: str = "disable"
    prepack: bool = False
    measure: bool = False
    saturates: bool = False

    def to_manifest(self) -> dict[str, object]:
        """The session's keys and values in the manifest."""
        return {
            "optimize": self.optimize,
            "prepack": self.prepack,
            **({"int8_saturates": True} if self.saturates else {}),
        }


@dataclass(frozen=True)
class Precision:
    """The data type of a component's weights and computation: fp32, fp16, bf16, int8 or int4.

    max_relative_error: the largest relative error of an output (``prebake.bake.parity.metrics``); 0 in fp32 if the
        export says what is allowed.
    derived: whether the export converts the weights; else the published file has the type already.
    activations, per_channel, reduce_range, calibration: of int8; calibration is a file of the image's folder, or empty.
    block_size, symmetric: of int4. embeddings: of both, whether embeddings (weights of Gather) are quantized too.
    """

    type: str = "fp32"
    max_relative_error: float = 0.0
    derived: bool = True
    activations: str = "dynamic"
    per_channel: bool = True
    reduce_range: bool = True
    calibration: str = ""
    block_size: int = 32
    symmetric: bool = False
    embeddings: bool = True

    @property
    def reduced(self) -> bool:
        return self.type != "fp32"

    @property
    def bounded(self) -> bool:
        """Whether ``max_relative_error`` is the bound, and not the tolerance of the export."""
        return self.reduced or self.max_relative_error > 0

    @property
    def makes_weights(self) -> bool:
        """Whether the export writes weights that no published file has."""
        return self.reduced and self.derived


@dataclass(frozen=True)
class ComponentSettings:
    """The settings of one component.

    folder: the folder of its weights, if it is not the component's own. The graph lies in it, under the component's name.
    onnx: the checkpoint's file that is its graph, if the graph is published as ONNX.
    torch: the checkpoint's file that is its graph, if it is a program of torch.export or TorchScript.
    inputs: the inputs of a TorchScript program, by name (``float32[batch, 3]``).
    options: image.yaml's options of GPU providers, as ``{"cuda": {"use_tf32": "1"}}``.
    buckets: the shapes to which inputs are padded, as lengths by free axis, all of the same axes; empty if any shape is accepted.
    pad: the padding value, by input.
    overflow: ``error`` or ``dynamic``, for inputs larger than every bucket.
    """

    precision: Precision = Precision()
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    session: SessionSettings = SessionSettings()
    folder: str = ""
    onnx: str = ""
    torch: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    buckets: tuple[Mapping[str, int], ...] = ()
    pad: Mapping[str, float] = field(default_factory=dict)
    overflow: str = "error"


class DocumentReader:
    """Reads a document, and collects all problems instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _numbers(self, value: object, kind: type, where: str) -> dict[str, Any]:
        given = self._mapping(value, where)
        for name in given:
            self._typed(given, name, kind, where)
        return given

    def _flat(self, kind: type[Any], value: object, where: str) -> Any:
        given = self._known(kind, self._mapping(value, where), where)
        for spec in fields(kind):
            if spec.name in given:
                self._typed(given, spec.name, _TYPES[str(spec.type)], where)
        return None if self.problems else kind(**given)

    def _known(self, kind: type[Any], value: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The fields of ``kind`` in ``value``. An unknown field is a problem, and so is a missing one without a default."""
        names = {spec.name for spec in fields(kind)}
        needed = {spec.name for spec in fields(kind) if not _has_default(spec)}
        prefix = f"{where}." if where else ""
        self.problems += [Problem(prefix + name, "is not a setting") for name in sorted(value.keys() - names)]
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


def _has_default(spec: Any) -> bool:
    return spec.default is not MISSING or spec.default_factory is not MISSING


class ComponentReader(DocumentReader):
    """Reads components. Each problem names its field."""

    def _component(self, value: object, where: str) -> ComponentSettings | None:
        given = self._known(ComponentSettings, self._mapping(value, where), where)
        session = self._mapping(given.get("session", {}), f"{where}.session")
        given["session"] = self._flat(SessionSettings, session, f"{where}.session")
        given["precision"] = self._flat(Precision, given.get("precision", {}), f"{where}.precision")
        given["providers"] = tuple(given.get("providers", ComponentSettings.providers))
        for name in ("folder", "onnx", "torch", "overflow"):
            self._typed(given, name, str, where)
        if given.get("overflow", "error") not in OVERFLOW:
            self.problems.append(Problem(f"{where}.overflow", f"must be one of {', '.join(OVERFLOW)}"))
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
        return None if self.problems else ComponentSettings(**given)

    def _options(self, value: object, where: str) -> dict[str, dict[str, str]]:
        given = {
            name: self._mapping(options, f"{where}.{name}") for name, options in self._mapping(value, where).items()
        }
        for target, options in given.items():
            for name in options:
                self._typed(options, name, str, f"{where}.{target}")
        return given
