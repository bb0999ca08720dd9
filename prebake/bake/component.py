"""How one component is compiled and opened, as ``settings.json`` tells it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prebake.bake.reader import Reader
from prebake.errors import Problem

OPTIMIZE_LEVELS = ("disable", "basic", "extended")
OUTSIDE = ("error", "dynamic")
HALVES = ("fp16", "bf16")


@dataclass(frozen=True)
class Session:
    """How the container opens a graph. ``optimize`` is what is left to do at start: nothing, as a rule.

    ``prepack`` copies weights into the processor's preferred layout while the session opens: later runs are faster and
    the first comes later. Where ``measure``, the compile stage tries and decides (``prebake.bake.forms``).
    ``saturates``: 8-bit products of the graph do so on some processors; there it is opened with the option that avoids this
    (``entrypoints.saturation``). The compile stage finds that out (``prebake.bake.saturation``).
    """

    optimize: str = "disable"
    prepack: bool = False
    measure: bool = False
    saturates: bool = False

    @property
    def told(self) -> dict[str, object]:
        """The manifest's words."""
        return {
            "optimize": self.optimize,
            "prepack": self.prepack,
            **({"saturates": True} if self.saturates else {}),
        }


@dataclass(frozen=True)
class Precision:
    """In which numbers weights are kept and computed: fp32, fp16, bf16, int8 or int4.

    bound: the largest relative error of an output (``prebake.bake.quality``); 0 in fp32 if the export says what is allowed.
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
    def bounded(self) -> bool:
        """Whether ``bound`` decides, and not what the export allows."""
        return self.reduced or self.bound > 0

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


class ComponentReader(Reader):
    """Reads components; a fault is a problem at its field."""

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

    def _options(self, value: object, where: str) -> dict[str, dict[str, str]]:
        said = {name: self._mapping(each, f"{where}.{name}") for name, each in self._mapping(value, where).items()}
        for target, options in said.items():
            for name in options:
                self._typed(options, name, str, f"{where}.{target}")
        return said
