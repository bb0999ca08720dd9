"""Which components fit into the memory budgets at once. Imported only if a budget is set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from entrypoints.errors import MemoryLimitTooLow
from entrypoints.hardware.memory_limit import add_ranges
from entrypoints.hardware.providers import GPU_PROVIDERS
from entrypoints.manifest.values import ByteRanges, Manifest, OnnxComponent, TorchComponent

HOST, DEVICE = "host", "device"


class Budget(NamedTuple):
    """The budget of one kind of memory. ``size`` in bytes. ``ranges``: by component that lies in this memory, the bytes of weight
    files that it uses; a byte that several components use counts once. The memory of runs is not counted."""

    place: str
    size: int
    ranges: Mapping[str, ByteRanges]

    def count(self, names: Iterable[str]) -> int:
        """Bytes of the weights of these components, as far as they lie in this memory."""
        counted: dict[str, list[tuple[int, int]]] = {}
        return sum(
            add_ranges(counted.setdefault(file, []), ranges)
            for name in names
            for file, ranges in self.ranges.get(name, {}).items()
        )

    def holds(self, names: Collection[str]) -> bool:
        return self.count(names) <= self.size

    def shares_room(self, one: str, other: str) -> bool:
        """Whether both lie in this memory, so that one's end makes room for the other."""
        return one in self.ranges and other in self.ranges


def find_exceeded(
    manifest: Manifest, sizes: Mapping[str, int], pinned: Collection[str], available: Callable[[], list[str]]
) -> list[Budget]:
    """The budgets, if the components of the image do not fit into one of them at once; none if they do.

    ``sizes``: bytes by place, `HOST` or `DEVICE`. ``available``: gives ONNX Runtime's providers. Raises MemoryLimitTooLow, with
    the arithmetic, for a component that does not fit even alone with those that are pinned.
    """
    places = {name: find_place(component, manifest, available) for name, component in manifest.components.items()}
    budgets = [
        Budget(place, size, {name: manifest.components[name].byte_ranges for name in places if places[name] == place})
        for place, size in sizes.items()
    ]
    for budget in budgets:
        check_each_fits(budget, pinned)
    return budgets if any(not budget.holds(budget.ranges) for budget in budgets) else []


def check_each_fits(budget: Budget, pinned: Collection[str]) -> None:
    kept = [name for name in budget.ranges if name in pinned]
    for name in sorted(budget.ranges, key=lambda name: budget.count([name]), reverse=True):
        needed = budget.count({name, *kept})
        if needed > budget.size:
            others = [each for each in kept if each != name]
            beside = "".join(f", and {each} {budget.count([each]):,}, which is pinned" for each in others)
            raise MemoryLimitTooLow(
                f"the {budget.place} memory budget of {budget.size:,} bytes cannot hold {needed:,} bytes of weights: "
                f"{name} {budget.count([name]):,}{beside}",
                {"budget": budget.size, "place": budget.place, "needed": needed},
            )


def find_place(
    component: OnnxComponent | TorchComponent, manifest: Manifest, available: Callable[[], list[str]]
) -> str:
    """The memory that holds the weights while the component is open."""
    if isinstance(component, TorchComponent):
        return DEVICE if manifest.torch is not None and manifest.torch.device != "cpu" else HOST
    first = component.artifacts[0].providers[0] if component.artifacts else component.providers[0]
    return DEVICE if first in GPU_PROVIDERS and first in available() else HOST
