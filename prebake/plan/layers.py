"""Which files share a layer, and what each layer is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from prebake.plan.values import Layer, derived_folders, digest, is_whole, weight_folders
from prebake.spec.image import ImageSpec
from prebake.spec.lock import LockedFile, LockedLayer
from prebake.spec.project import SourceFile

# A file of this size gets a layer of its own: it is then pulled in parallel, kept over releases and shared between images.
LARGE = 64 * 2**20
BUNDLE = 4 * 2**30
"""Bytes of small files that share a layer at most."""


def sources_digest(files: Iterable[SourceFile]) -> str:
    return digest({file.path: file.sha256 for file in files})


def split_by_size(shipped: Iterable[LockedFile]) -> tuple[tuple[LockedFile, ...], tuple[LockedFile, ...]]:
    """Published files with a layer of their own, and those that share one; both by path."""
    files = sorted(shipped, key=lambda file: file.path)
    return tuple(file for file in files if file.size >= LARGE), tuple(file for file in files if file.size < LARGE)


@dataclass(frozen=True)
class Tree:
    """A folder of the build's context that becomes one layer of published files; its files lie at ``models/<path>`` in it."""

    folder: str
    files: tuple[LockedFile, ...]


def weight_trees(shipped: Iterable[LockedFile]) -> tuple[Tree, ...]:
    """The trees of the published files, in the order of their layers: each large file alone, the small ones together.

    A tree is named after its content. BuildKit is sent only what is new in a context, and a folder that it knows takes the
    time at which a file in it was replaced; a folder of a new name comes whole, with its own time.
    """
    large, small = split_by_size(file for file in shipped if is_whole(file))
    groups = [(file,) for file in large] + list(_bundles(small))
    return tuple(tree_of(files) for files in groups)


def tree_of(files: tuple[LockedFile, ...]) -> Tree:
    return Tree(f"published/{_content(files)[:16]}", files)


def _bundles(files: Iterable[LockedFile]) -> Iterator[tuple[LockedFile, ...]]:
    bundle: list[LockedFile] = []
    for file in files:
        if sum(each.size for each in bundle) + file.size > BUNDLE:
            yield tuple(bundle)
            bundle = []
        bundle.append(file)
    if bundle:
        yield tuple(bundle)


def model_folders(shipped: Iterable[LockedFile], weights: Iterable[str], others: Iterable[str] = ()) -> tuple[str, ...]:
    """Every folder below ``models`` that a weight file lies in, or one of ``others``: the graphs' layer carries them all, above
    the weights'."""
    paths = [*(PurePosixPath("models", file.path) for file in shipped), *map(PurePosixPath, others)]
    folders = {str(parent) for path in paths for parent in path.parents} - {"."}
    return tuple(sorted(folders | {f"models/{folder}" for folder in weights}))


def _content(files: Iterable[LockedFile]) -> str:
    return digest({file.path: file.sha256 for file in files})


def assign_layers(
    spec: ImageSpec,
    files: Iterable[LockedFile],
    keys: Mapping[str, str],
    app: tuple[SourceFile, ...],
    requirements: str,
    locked: Iterable[LockedLayer] = (),
) -> tuple[Layer, ...]:
    """Every layer above the base, in the order of the image: by how often it changes.

    ``files`` are those of the checkpoint; ``keys`` those of the base, the ``packages`` and ``code`` stages, ``export`` and
    ``compile``.
    """
    files = tuple(files)
    derived = derived_folders(spec, files)
    return (
        packages_layer(keys, requirements),
        *published_layers(weight_trees(files), locked),
        *(derived_layer(folder, keys["export"]) for folder in weight_folders(spec) if folder in derived),
        graphs_layer(keys),
        code_layer(keys, app),
    )


def packages_layer(keys: Mapping[str, str], requirements: str) -> Layer:
    inputs = {"base": keys["base"], "requirements": digest(requirements), "stages": keys["packages"]}
    return Layer("packages", "dependencies", ("/opt/prebake",), inputs)


def published_layers(trees: Iterable[Tree], locked: Iterable[LockedLayer]) -> Iterator[Layer]:
    known = tuple(locked)
    return _named_apart(_published(tree.files, known) for tree in trees)


def derived_layer(place: str, export_key: str) -> Layer:
    """``place``: the folder's, below /models."""
    return Layer(f"{place} (derived)", "derived", (f"/models/{place}",), {"export key": export_key})


def graphs_layer(keys: Mapping[str, str]) -> Layer:
    return Layer("graphs", "graphs", ("/models",), {"compile key": keys["compile"]})


def code_layer(keys: Mapping[str, str], app: Iterable[SourceFile]) -> Layer:
    return Layer("code", "code", ("/app",), {"stages": keys["code"], **{file.path: file.sha256 for file in app}})


def _published(files: tuple[LockedFile, ...], locked: Iterable[LockedLayer]) -> Layer:
    content = {file.path: file.sha256 for file in files}
    return Layer(
        files[0].path if len(files) == 1 else "published files",
        "weights",
        tuple(f"/models/{file.path}" for file in files),
        content,
        sum(file.size for file in files),
        next((layer for layer in locked if layer.files == content), None),
    )


def _named_apart(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Bundles of small files have one name, but for their number."""
    names: Counter[str] = Counter()
    for layer in layers:
        names[layer.name] += 1
        yield replace(layer, name=f"{layer.name} {names[layer.name]}") if names[layer.name] > 1 else layer
