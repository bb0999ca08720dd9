"""Compares the counts of two starts: what differs, and which counters moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from prebake.measure.counters.counters import Counters

Kind = Literal["module", "file", "layer"]

_EXACT = (0.0, 0)
# By how much a counter has to differ to have moved: more than this share of the baseline, and more than this number. They are
# more than twice what counted starts of one image differed by (docs/concepts/counters.md).
_MINOR_FAULTS = (0.10, 500)
_CALLS = (0.02, 100)
_THREADS = (0.10, 2)  # an executor makes a thread if none of its threads is idle: that depends on timing
_PEAK_THREADS = (0.25, 4)


@dataclass(frozen=True)
class CounterValue:
    """``moved``: the value differs from the baseline's by more than starts of one image differ."""

    name: str
    unit: str
    value: int
    baseline: int
    moved: bool


@dataclass(frozen=True)
class Change:
    """A module, a file or a kind of layer that only one start has, or that has other bytes in both. ``bytes`` and
    ``baseline_bytes``: read and mapped by the start, or those of the layers of this kind."""

    what: Kind
    name: str
    change: Literal["added", "removed", "changed"]
    bytes: int
    baseline_bytes: int


@dataclass(frozen=True)
class CounterComparison:
    """``new`` and ``baseline`` with their differences. If one of them was not counted, only the sizes are compared."""

    new: Counters
    baseline: Counters
    values: tuple[CounterValue, ...]
    changes: tuple[Change, ...]

    @property
    def reason(self) -> str:
        """Why nothing was counted; empty if both starts were."""
        if not self.new.counted:
            return self.new.reason
        return "" if self.baseline.counted else f"baseline: {self.baseline.reason}"

    def document(self) -> dict[str, Any]:
        """The object ``counters`` of the gate's document."""
        return {
            "counted": not self.reason,
            "reason": self.reason,
            "values": [asdict(value) for value in self.values],
            "changes": [asdict(change) for change in self.changes],
        }


def compare_counters(new: Counters, baseline: Counters) -> CounterComparison:
    both = new.counted and baseline.counted
    changes = [*(_start_changes(new, baseline) if both else ()), *_layer_changes(new, baseline)]
    values = [*(_start_values(new, baseline, changes) if both else ()), *_size_values(new, baseline)]
    return CounterComparison(new, baseline, tuple(values), tuple(changes))


def _start_values(new: Counters, baseline: Counters, changes: list[Change]) -> Iterator[CounterValue]:
    def differ(what: Kind) -> bool:
        return any(change.what == what and change.change != "changed" for change in changes)

    def value(name: str, unit: str, count: Callable[[Counters], int], tolerance: tuple[float, int]) -> CounterValue:
        return _value(name, unit, count(new), count(baseline), tolerance)

    modules = len(new.modules), len(baseline.modules)
    files = len(new.files), len(baseline.files)
    yield CounterValue("modules imported", "modules", *modules, moved=differ("module"))
    yield CounterValue("files opened", "files", *files, moved=differ("file"))
    yield value("bytes read", "bytes", lambda counters: counters.bytes_read, _EXACT)
    yield value("bytes mapped", "bytes", lambda counters: counters.bytes_mapped, _EXACT)
    yield value("minor page faults", "faults", lambda counters: counters.minor_faults, _MINOR_FAULTS)
    # A major fault depends on the page cache and not on the image.
    yield CounterValue("major page faults", "faults", new.major_faults, baseline.major_faults, moved=False)
    yield value("system calls", "calls", lambda counters: counters.working_calls, _CALLS)
    yield CounterValue("system calls that wait", "calls", new.waiting_calls, baseline.waiting_calls, moved=False)
    yield value("threads created", "threads", lambda counters: counters.threads_created, _THREADS)
    yield value("threads at once", "threads", lambda counters: counters.peak_threads, _PEAK_THREADS)
    yield value("processes created", "processes", lambda counters: counters.processes_created, _EXACT)


def _size_values(new: Counters, baseline: Counters) -> Iterator[CounterValue]:
    yield _value("image", "bytes", new.image_bytes, baseline.image_bytes, _EXACT)
    for kind in [*baseline.layer_bytes, *(kind for kind in new.layer_bytes if kind not in baseline.layer_bytes)]:
        yield _value(
            f"layers: {kind}", "bytes", new.layer_bytes.get(kind, 0), baseline.layer_bytes.get(kind, 0), _EXACT
        )


def _value(name: str, unit: str, value: int, baseline: int, tolerance: tuple[float, int]) -> CounterValue:
    share, number = tolerance
    return CounterValue(name, unit, value, baseline, abs(value - baseline) > max(share * baseline, number))


def _start_changes(new: Counters, baseline: Counters) -> Iterator[Change]:
    yield from _members("module", _module_bytes(new), _module_bytes(baseline))
    ours, theirs = new.files, baseline.files
    yield from _members(
        "file", {path: ours[path].bytes for path in ours}, {path: theirs[path].bytes for path in theirs}
    )
    for path in sorted(ours.keys() & theirs.keys()):
        if (ours[path].read, ours[path].mapped) != (theirs[path].read, theirs[path].mapped):
            yield Change("file", path, "changed", ours[path].bytes, theirs[path].bytes)


def _layer_changes(new: Counters, baseline: Counters) -> Iterator[Change]:
    yield from _members("layer", new.layer_bytes, baseline.layer_bytes)
    for kind in sorted(new.layer_bytes.keys() & baseline.layer_bytes.keys()):
        if new.layer_bytes[kind] != baseline.layer_bytes[kind]:
            yield Change("layer", kind, "changed", new.layer_bytes[kind], baseline.layer_bytes[kind])


def _members(what: Kind, new: Mapping[str, int], baseline: Mapping[str, int]) -> Iterator[Change]:
    """The modules, files or kinds of layers that only one of the two starts has."""
    for name in sorted(new.keys() - baseline.keys()):
        yield Change(what, name, "added", new[name], 0)
    for name in sorted(baseline.keys() - new.keys()):
        yield Change(what, name, "removed", 0, baseline[name])


def _module_bytes(counters: Counters) -> dict[str, int]:
    return {name: counters.files[path].bytes for name, path in counters.modules.items()}
