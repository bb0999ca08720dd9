"""Assign files to layers, and list the inputs of each layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from prebake.documents.canonical import digest_json
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.values import PlannedLayer, derived_folders, is_whole, weight_folders
from prebake.spec.image.image import ImageSpec
from prebake.spec.lock import LockedFile, LockedLayer
from prebake.spec.source_file import SourceFile

# A file of at least this size gets its own layer: it is pulled in parallel, kept over releases and shared between images.
MIN_OWN_LAYER_BYTES = 64 * 2**20
MAX_BUNDLE_BYTES = 4 * 2**30
"""The largest total size, in bytes, of small files in one layer."""


def sources_digest(files: Iterable[SourceFile]) -> str:
    return digest_json({file.path: file.sha256 for file in files})


def split_by_size(shipped: Iterable[LockedFile]) -> tuple[tuple[LockedFile, ...], tuple[LockedFile, ...]]:
    """The published files that get a layer each, and those that share one; both sorted by path."""
    files = sorted(shipped, key=lambda file: file.path)
    return tuple(file for file in files if file.size >= MIN_OWN_LAYER_BYTES), tuple(
        file for file in files if file.size < MIN_OWN_LAYER_BYTES
    )


@dataclass(frozen=True)
class Tree:
    """The published files of one layer. In a rendered context (``--render``, the naive image) they are a folder of this name, at
    ``models/<path>`` in it."""

    folder: str
    files: tuple[LockedFile, ...]


def weight_trees(shipped: Iterable[LockedFile]) -> tuple[Tree, ...]:
    """The trees of the published files, in the order of their layers: each large file alone, the small ones together.

    A tree is named after its content. BuildKit transfers only what is new in a context, and sets a known folder's time to
    when a file in it was replaced. A folder with a new name is transferred whole, with its own time.
    """
    large, small = split_by_size(file for file in shipped if is_whole(file))
    groups = [(file,) for file in large] + list(_bundles(small))
    return tuple(make_tree(files) for files in groups)


def make_tree(files: tuple[LockedFile, ...]) -> Tree:
    return Tree(f"published/{_content(files)[:16]}", files)


def _bundles(files: Iterable[LockedFile]) -> Iterator[tuple[LockedFile, ...]]:
    bundle: list[LockedFile] = []
    for file in files:
        if sum(bundled.size for bundled in bundle) + file.size > MAX_BUNDLE_BYTES:
            yield tuple(bundle)
            bundle = []
        bundle.append(file)
    if bundle:
        yield tuple(bundle)


def model_folders(shipped: Iterable[LockedFile], weights: Iterable[str], others: Iterable[str] = ()) -> tuple[str, ...]:
    """Every folder below ``models`` with a weight file or one of ``others`` in it. The graphs' layer has an entry for each
    of them, above the weights' layers."""
    paths = [*(PurePosixPath("models", file.path) for file in shipped), *map(PurePosixPath, others)]
    folders = {str(parent) for path in paths for parent in path.parents} - {"."}
    return tuple(sorted(folders | {f"models/{folder}" for folder in weights}))


def _content(files: Iterable[LockedFile]) -> str:
    return digest_json({file.path: file.sha256 for file in files})


def assign_layers(
    spec: ImageSpec,
    files: Iterable[LockedFile],
    keys: Mapping[str, str],
    app: tuple[SourceFile, ...],
    requirements: str,
    locked: Iterable[LockedLayer] = (),
) -> tuple[PlannedLayer, ...]:
    """Every layer above the base, in the order of the image: rarely changing ones first.

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


def packages_layer(keys: Mapping[str, str], requirements: str) -> PlannedLayer:
    inputs = {"base": keys["base"], "requirements": digest_json(requirements), "stages": keys["packages"]}
    return PlannedLayer("dependencies", LayerKind.DEPENDENCIES, ("/opt/prebake",), inputs)


def published_layers(trees: Iterable[Tree], locked: Iterable[LockedLayer]) -> Iterator[PlannedLayer]:
    known = tuple(locked)
    return _named_apart(_published(tree.files, known) for tree in trees)


def derived_layer(place: str, export_key: str) -> PlannedLayer:
    """``place`` is the folder, relative to /models."""
    return PlannedLayer(f"{place} (derived)", LayerKind.DERIVED, (f"/models/{place}",), {"export key": export_key})


def graphs_layer(keys: Mapping[str, str]) -> PlannedLayer:
    return PlannedLayer("graphs", LayerKind.GRAPHS, ("/models",), {"compile key": keys["compile"]})


def code_layer(keys: Mapping[str, str], app: Iterable[SourceFile]) -> PlannedLayer:
    return PlannedLayer(
        "code", LayerKind.CODE, ("/app",), {"stages": keys["code"], **{file.path: file.sha256 for file in app}}
    )


def _published(files: tuple[LockedFile, ...], locked: Iterable[LockedLayer]) -> PlannedLayer:
    content = {file.path: file.sha256 for file in files}
    return PlannedLayer(
        name=files[0].path if len(files) == 1 else "published files",
        kind=LayerKind.WEIGHTS,
        paths=tuple(f"/models/{file.path}" for file in files),
        inputs=content,
        size=sum(file.size for file in files),
        locked=next((layer for layer in locked if layer.files == content), None),
    )


def _named_apart(layers: Iterable[PlannedLayer]) -> Iterator[PlannedLayer]:
    """Number the bundles of small files, which have the same name."""
    names: Counter[str] = Counter()
    for layer in layers:
        names[layer.name] += 1
        yield replace(layer, name=f"{layer.name} {names[layer.name]}") if names[layer.name] > 1 else layer
