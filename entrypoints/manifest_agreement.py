"""Whether the parts of a manifest agree with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from entrypoints.checks import suggest
from entrypoints.layout import SCHEMA


def cross_check(document: Mapping[str, Any]) -> list[str]:
    """Problems between the parts: an unknown schema, files that nobody lists, ranges past the end of their file."""
    files = document["files"]
    named = {f"warmup.{part}": document["warmup"][part] for part in ("request", "answer")}
    problems = [] if document["schema"] == SCHEMA else [f"schema: should be {SCHEMA}"]
    for name, component in document["components"].items():
        own = "config" if "runtime" in component else "graph"
        named[f"components.{name}.{own}"] = component[own]
        named.update({f"components.{name}.reads": file for file in component["reads"] if file not in files})
        for file, ranges in component["reads"].items():
            end = max((offset + length for offset, length in ranges), default=0)
            if file in files and end > files[file]["size"]:
                problems.append(f"components.{name}.reads.{file}: a range ends at {end}, after the end of the file")
        for index, each in enumerate(component.get("artifacts", [])):
            where = f"components.{name}.artifacts.{index}"
            named.update({f"{where}.{part}": each[part] for part in ("graph", "cache") if part in each})
            named.update({f"{where}.reads": file for file in each["reads"] if file not in files})
            problems += [f"{where}.libraries: {problem}" for problem in check_libraries(each)]
        problems += [f"components.{name}.buckets.{problem}" for problem in check_buckets(component)]
    networks = [name for name, component in document["components"].items() if "runtime" in component]
    if networks and "torch" not in document:
        problems.append(f"torch: is missing, and torch serves {', '.join(networks)}")
    problems += [
        f"{where}: files has no {file}{suggest(file, list(files))}"
        for where, file in named.items()
        if file not in files
    ]
    return problems


def check_libraries(artifact: Mapping[str, Any]) -> Iterator[str]:
    """Folders in which the artifact has nothing."""
    for library in artifact.get("libraries", []):
        if not any(file.startswith(f"{library['folder']}/") for file in artifact["reads"]):
            yield f"reads has nothing below {library['folder']}"


def check_buckets(component: Mapping[str, Any]) -> Iterator[str]:
    """Buckets of different axes, of axes that no input has, and values for inputs that are not there."""
    if "buckets" not in component:
        return
    shapes, axes = component["buckets"]["shapes"], list(component["buckets"]["shapes"][0])
    free = {axis for _, shape in component["inputs"].values() for axis in shape or () if isinstance(axis, str)}
    for axis in (axis for axis in axes if axis not in free):
        yield f"shapes: no input has an axis {axis}{suggest(axis, sorted(free))}"
    for number, shape in enumerate(shapes):
        if set(shape) != set(axes):
            yield f"shapes[{number}]: should name {', '.join(axes)}, names {', '.join(shape)}"
    for name in component["buckets"]["pad"]:
        if name not in component["inputs"]:
            yield f"pad: no input is called {name}{suggest(name, list(component['inputs']))}"
