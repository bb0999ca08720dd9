"""Contradictions between the parts of a manifest whose keys and types are right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prebake.documents.manifest.json_checks import suggest
from prebake.documents.manifest.schema import SCHEMA


def find_contradictions(document: Mapping[str, Any]) -> list[str]:
    """One text each for: another schema version, a file that ``files`` lacks, a byte range past the end of its file, and more."""
    components = document["components"]
    problems = [] if document["schema"] == SCHEMA else [f"schema: should be {SCHEMA}"]
    for name, component in components.items():
        problems += find_component_problems(f"components.{name}", component, document["files"])
    networks = [name for name, component in components.items() if "runtime" in component]
    if networks and "torch" not in document:
        problems.append(f"torch: is missing, and torch serves {', '.join(networks)}")
    return problems + find_unlisted_files(document)


def find_unlisted_files(document: Mapping[str, Any]) -> list[str]:
    files = document["files"]
    references = [(f"warmup.{part}", document["warmup"][part]) for part in ("request", "answer")]
    for name, component in document["components"].items():
        references += list_references(f"components.{name}", component)
        for index, artifact in enumerate(component.get("artifacts", [])):
            references += list_references(f"components.{name}.artifacts.{index}", artifact)
    return [
        f"{where}: files has no {file}{suggest(file, list(files))}" for where, file in references if file not in files
    ]


def list_references(where: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files that a component or an artifact names, each with its place in the document."""
    yield from ((f"{where}.{key}", entry[key]) for key in ("graph", "config", "cache") if key in entry)
    yield from ((f"{where}.byte_ranges", file) for file in entry["byte_ranges"])


def find_component_problems(where: str, component: Mapping[str, Any], files: Mapping[str, Any]) -> Iterator[str]:
    for file, ranges in component["byte_ranges"].items():
        end = max((offset + length for offset, length in ranges), default=0)
        if file in files and end > files[file]["size"]:
            yield f"{where}.byte_ranges.{file}: a range ends at {end}, after the end of the file"
    for index, artifact in enumerate(component.get("artifacts", [])):
        yield from (f"{where}.artifacts.{index}.libraries: {problem}" for problem in find_empty_folders(artifact))
    yield from (f"{where}.buckets.{problem}" for problem in find_bucket_problems(component))


def find_unlisted_manifests(top: Mapping[str, Any]) -> list[str]:
    """Problems of the top manifest of several models: a model's manifest that it does not list among the files."""
    problems = [] if top["schema"] == SCHEMA else [f"schema: should be {SCHEMA}"]
    manifests = {name: entry["manifest"] for name, entry in top["models"].items()}
    return problems + [
        f"models.{name}.manifest: files has no {file}" for name, file in manifests.items() if file not in top["files"]
    ]


def find_empty_folders(artifact: Mapping[str, Any]) -> Iterator[str]:
    """Problems: folders of libraries in which the artifact has no file."""
    for library in artifact.get("libraries", []):
        if not any(file.startswith(f"{library['folder']}/") for file in artifact["byte_ranges"]):
            yield f"byte_ranges has nothing below {library['folder']}"


def find_bucket_problems(component: Mapping[str, Any]) -> Iterator[str]:
    """Problems: buckets with different axes, axes that no input has, padding values for inputs that do not exist."""
    if "buckets" not in component:
        return
    shapes, axes = component["buckets"]["shapes"], list(component["buckets"]["shapes"][0])
    free = {axis for _, shape in component["inputs"].values() for axis in shape or () if isinstance(axis, str)}
    for axis in (axis for axis in axes if axis not in free):
        yield f"shapes: no input has an axis {axis}{suggest(axis, sorted(free))}"
    for number, shape in enumerate(shapes):
        if set(shape) != set(axes):
            yield f"shapes[{number}]: should have the axes {', '.join(axes)}, has {', '.join(shape)}"
    for name in component["buckets"]["pad"]:
        if name not in component["inputs"]:
            yield f"pad: no input has the name {name}{suggest(name, list(component['inputs']))}"
