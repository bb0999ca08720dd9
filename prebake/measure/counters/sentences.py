"""A comparison of two starts' counts in short sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prebake.io.byte_sizes import format_bytes
from prebake.measure.counters.comparison import Change, CounterComparison, CounterValue
from prebake.measure.counters.counters import WAITS, Counters

NAMED = 5
"""How many modules or files a sentence names."""


def describe_comparison(comparison: CounterComparison) -> list[str]:
    """What moved: modules, files, the other counters, sizes. Empty if nothing did."""
    changes = comparison.changes
    new, baseline = comparison.new, comparison.baseline
    sentences = [f"not counted: {comparison.reason}"] if comparison.reason else []
    for change, side, more in (("added", new, "more"), ("removed", baseline, "less")):
        modules = [each for each in changes if (each.what, each.change) == ("module", change)]
        files = [each for each in changes if (each.what, each.change) == ("file", change)]
        sentences += _modules(modules, side, more)
        sentences += _files([each for each in files if not side.files[each.name].module], more)
    sentences += _other_bytes([each for each in changes if (each.what, each.change) == ("file", "changed")])
    sentences += [_value(value, new, baseline) for value in comparison.values if value.moved and _is_plain(value)]
    return sentences


def _is_plain(value: CounterValue) -> bool:
    """Modules and files have sentences of their own."""
    return value.unit not in ("modules", "files")


def _modules(changes: Sequence[Change], side: Counters, more: str) -> Iterator[str]:
    def name(change: Change) -> str:
        file = side.files[side.modules[change.name]]
        after = f", after {file.after}" if file.after else ""
        return f"{change.name} ({format_bytes(file.bytes)}{after})"

    if changes:
        yield f"{_count(changes, 'module')} {more}: {_listed(map(name, changes))}"


def _files(changes: Sequence[Change], more: str) -> Iterator[str]:
    if changes:
        names = (f"{each.name} ({format_bytes(each.bytes or each.baseline_bytes)})" for each in changes)
        yield f"{_count(changes, 'file')} {more}: {_listed(names)}"


def _other_bytes(changes: Sequence[Change]) -> Iterator[str]:
    if changes:
        largest = sorted(changes, key=lambda change: -abs(change.bytes - change.baseline_bytes))
        names = (f"{each.name} ({_compare_bytes(each.bytes, each.baseline_bytes)})" for each in largest)
        yield f"{_count(changes, 'file')} of which other bytes are read or mapped: {_listed(names)}"


def _value(value: CounterValue, new: Counters, baseline: Counters) -> str:
    if value.unit == "bytes":
        return f"{value.name}: {_compare_bytes(value.value, value.baseline)}"
    text = f"{value.name}: {value.value} instead of {value.baseline}"
    return f"{text} ({_listed(_grown_calls(new, baseline))})" if value.unit == "calls" else text


def _grown_calls(new: Counters, baseline: Counters) -> Iterator[str]:
    """The system calls whose number differs most, such as ``read +500``."""
    names = {*new.system_calls, *baseline.system_calls} - WAITS
    apart = {name: new.system_calls.get(name, 0) - baseline.system_calls.get(name, 0) for name in names}
    for name in sorted(filter(apart.get, apart), key=lambda name: (-abs(apart[name]), name))[:3]:
        yield f"{name} {apart[name]:+}"


def _compare_bytes(value: int, baseline: int) -> str:
    """Such as ``1.0 MiB more, 3.5 MiB``: the difference, and the value."""
    more = "more" if value > baseline else "less"
    return f"{format_bytes(abs(value - baseline))} {more}, {format_bytes(value)}"


def _count(changes: Sequence[Change], noun: str) -> str:
    return f"{len(changes)} {noun}{'' if len(changes) == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - NAMED
    return ", ".join(listed[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
