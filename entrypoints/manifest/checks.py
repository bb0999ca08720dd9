"""Checks of single values of the manifest that the start depends on. Each raises ValueError with the key and the value.

The builder validates every key (docs/decisions/0034). These checks are for a manifest that something else wrote: a wrong type
must end the start as a fault of the manifest, and a path must not leave the models folder.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any, TypeVar

from entrypoints.errors import ManifestFault
from entrypoints.manifest.values import Artifact, Manifest, TorchArtifact

FALLBACKS = ("warn", "error")
TORCH_DEVICES = ("cpu", "cuda")
OVERFLOWS = ("error", "dynamic")
_SEPARATOR = "/\0/"
Value = TypeVar("Value")

_WRONG_CONTENT = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""Raised while values are built from JSON of another shape."""


@contextmanager
def wrong_content_as_fault(name: str) -> Iterator[None]:
    try:
        yield
    except _WRONG_CONTENT as error:
        problem = describe_error(error)
        raise ManifestFault(
            f"{name} has the right sha256, but not the form that this Prebake writes: {problem}"
        ) from error


def describe_error(error: Exception) -> str:
    """The checks of this package raise ValueError with a sentence; Python's own errors need their name."""
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"


def build_at(place: str, build: Callable[..., Value], *entry: Any) -> Value:
    """Raises ValueError with the place of the problem."""
    try:
        return build(*entry)
    except _WRONG_CONTENT as error:
        raise ValueError(f"{place}: {describe_error(error)}") from error


def build_each(place: str, entries: Mapping[str, Any], build: Callable[[str, Any], Value]) -> dict[str, Value]:
    """A value for each entry, by its name."""
    if not isinstance(entries, dict):
        raise ValueError(f"{place} should be a JSON object")
    values = {}
    for name, entry in entries.items():
        try:
            values[name] = build(name, entry)
        except _WRONG_CONTENT as error:
            raise ValueError(f"{place}: {name}: {describe_error(error)}") from error
    return values


def read_text(entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} should be a non-empty string, is {value!r}")
    return value


def read_module(entry: Mapping[str, Any], key: str) -> str:
    value = read_text(entry, key)
    if not all(part.isidentifier() for part in value.split(".")):
        raise ValueError(f"{key} should be a module's dotted name, is {value!r}")
    return value


def read_choice(entry: Mapping[str, Any], key: str, choices: Collection[object]) -> Any:
    value = entry[key]
    if value not in choices:
        raise ValueError(f"{key} should be one of {', '.join(map(str, choices))}, is {value!r}")
    return value


def check_number(key: str, value: object, minimum: float, *, whole: bool = False) -> None:
    """A number from ``minimum``, and not infinite."""
    right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right_type or not minimum <= float(value) < inf:  # type: ignore[arg-type]
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{key} should be {kind}, {minimum:g} or more, is {value!r}")


def check_manifest_paths(manifest: Manifest) -> None:
    """Every path stays in the models folder, and every file that the start opens is listed, as only those are checked."""
    files = [manifest.warmup.request, manifest.warmup.answer]
    folders: list[str] = []
    for component in manifest.components.values():
        files += [component.main_file, *component.byte_ranges]
        for artifact in component.artifacts:
            files += artifact.files
            folders += list_folders(artifact)
            if isinstance(artifact, TorchArtifact) and artifact.cache:
                files.append(artifact.cache)
    check_paths([*manifest.files, *files, *folders])
    if unlisted := set(files) - manifest.files.keys():
        raise ValueError(f"files has no {', '.join(sorted(unlisted)[:20])}")


def list_folders(artifact: Artifact | TorchArtifact) -> list[str]:
    if isinstance(artifact, TorchArtifact):
        return [library.folder for library in artifact.libraries]
    scratch = [artifact.scratch.folder] if artifact.scratch else []
    weights = [artifact.weights_folder] if artifact.weights_folder else []
    return [*scratch, *weights, *artifact.folder_options.values()]


def check_paths(paths: Collection[str]) -> None:
    """Each is relative, without empty, ``.`` or ``..`` parts. One test over all of them: there may be thousands."""
    if not are_relative(paths):
        wrong = [repr(path) for path in paths if not are_relative([path])]
        raise ValueError(f"should be relative paths without empty, . or .. parts: {', '.join(wrong[:20])}")


def are_relative(paths: Collection[str]) -> bool:
    """For one path or more. Exact: the separator cannot occur in a path, as a file name has no NUL."""
    try:
        joined = f"/{_SEPARATOR.join(paths)}/"
        joined.encode()  # a lone surrogate is in no file name
    except (TypeError, UnicodeEncodeError):
        return False
    plain = "//" not in joined and "/./" not in joined and "/../" not in joined
    return plain and joined.count("\0") == len(paths) - 1
