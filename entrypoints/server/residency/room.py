"""Whether models fit into the memory budgets together, and which to unload for another. Imported only if a budget is set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from entrypoints.components.budgets import DEVICE, HOST, Budget, find_place
from entrypoints.errors import MemoryLimitTooLow
from entrypoints.hardware.memory_limit import GRAPHS_BYTES, TORCH_BYTES
from entrypoints.hardware.process_memory import read_process_memory
from entrypoints.hardware.providers import GPU_PROVIDERS
from entrypoints.manifest.values import ByteRanges, Manifest
from entrypoints.server.served_model import ServedModel
from entrypoints.settings import Settings


class Budgets:
    """The budgets of a container with several models. What a model takes: the weights that its components use, of which a byte in
    a file that two models use counts once; and on the host, what its process has allocated besides."""

    def __init__(self, manifests: Mapping[str, Manifest], settings: Settings) -> None:
        self._budgets = [
            Budget(place, size, {name: find_ranges(manifest, place) for name, manifest in manifests.items()})
            for place, size in list_sizes(settings).items()
        ]
        self._allocated = {name: estimate_allocated(manifest) for name, manifest in manifests.items()}

    def note_allocated(self, name: str, size: int) -> None:
        self._allocated[name] = size

    def count(self, budget: Budget, names: Collection[str]) -> int:
        allocated = sum(self._allocated[name] for name in names) if budget.place == HOST else 0
        return budget.count(names) + allocated

    def holds(self, names: Collection[str]) -> bool:
        """A model alone may be larger: its components then make room for one another (``entrypoints.components``)."""
        return len(names) == 1 or all(self.count(budget, names) <= budget.size for budget in self._budgets)

    def check(self, pinned: Collection[str], names: Collection[str]) -> None:
        """Raises MemoryLimitTooLow, with the arithmetic, if a model never fits beside those that are pinned."""
        for budget in self._budgets if pinned else ():
            for name in names:
                together = {*pinned, name}
                if len(together) > 1 and self.count(budget, together) > budget.size:
                    each = ", ".join(f"{other} {self.count(budget, [other]):,}" for other in sorted(together))
                    raise MemoryLimitTooLow(
                        f"the {budget.place} memory budget of {budget.size:,} bytes cannot hold {name} beside what is "
                        f"pinned: together {self.count(budget, together):,} bytes ({each})",
                        {"budget": budget.size, "place": budget.place, "needed": self.count(budget, together)},
                    )


class Room:
    def __init__(self, models: Sequence[ServedModel], settings: Settings) -> None:
        self._models = models
        self._pinned = settings.pin
        manifests = {model.name: model.timeline.manifest for model in models}
        self._budgets = Budgets({name: each for name, each in manifests.items() if each is not None}, settings)
        self._taken: set[str] = set()
        """The models that are loaded, or that have got the room for it."""
        for model in models:
            if model.availability == "loaded":
                self.take(model)
                self.note_loaded(model)

    def take(self, model: ServedModel) -> None:
        self._taken.add(model.name)

    def release(self, model: ServedModel) -> None:
        self._taken.discard(model.name)

    def note_loaded(self, model: ServedModel) -> None:
        self._budgets.note_allocated(model.name, read_process_memory(model.link.process).get("Pss_Anon", 0))

    def find_victims(self, model: ServedModel) -> list[ServedModel] | None:
        """The models to unload so that this one fits; None if those that could leave are at work."""
        staying = set(self._taken)
        unused = [other for other in self._models if other.is_unused and other.name not in self._pinned]
        victims: list[ServedModel] = []
        for victim in sorted(unused, key=lambda other: other.usage.last_used):
            if self._budgets.holds({*staying, model.name}):
                break
            staying.remove(victim.name)
            victims.append(victim)
        return victims if self._budgets.holds({*staying, model.name}) else None

    def find_busy_victim(self, model: ServedModel) -> ServedModel | None:
        """The least recently used of all models that could leave; None if their room is not enough. A model whose load requests
        still wait for has not begun them: it stays."""
        candidates = {
            other.name: other
            for other in self._models
            if other.is_loaded and other.name in self._taken - {*self._pinned} and not other.usage.waiting
        }
        if not self._budgets.holds({*self._taken - candidates.keys(), model.name}):
            return None
        return min(candidates.values(), key=lambda other: other.usage.last_used, default=None)


def list_sizes(settings: Settings) -> dict[str, int]:
    """Bytes by kind of memory, of the budgets that are set."""
    sizes = {HOST: settings.host_memory, DEVICE: settings.device_memory}
    return {place: size for place, size in sizes.items() if size}


def find_ranges(manifest: Manifest, place: str) -> ByteRanges:
    """The bytes of weights that the model uses in this memory. The server process does not ask ONNX Runtime for its providers: an
    image for a GPU counts as running on one."""
    ranges: dict[str, tuple[tuple[int, int], ...]] = {}
    for component in manifest.components.values():
        if find_place(component, manifest, lambda: list(GPU_PROVIDERS)) == place:
            for file, used in component.byte_ranges.items():
                ranges[file] = (*ranges.get(file, ()), *used)
    return ranges


def estimate_allocated(manifest: Manifest) -> int:
    """Bytes, for a model that was not loaded yet."""
    return GRAPHS_BYTES + (TORCH_BYTES if manifest.torch else 0)
