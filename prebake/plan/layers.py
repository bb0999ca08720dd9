"""Which files share a layer, and what each layer is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prebake.plan.values import Layer, digest
from prebake.spec.image import ImageSpec
from prebake.spec.lock import LockedFile
from prebake.spec.project import SourceFile

# A file of this size gets a layer of its own: it is then pulled in parallel, kept over releases and shared between images.
LARGE = 64 * 2**20


def sources_digest(files: Iterable[SourceFile]) -> str:
    return digest({file.path: file.sha256 for file in files})


def split_by_size(shipped: Iterable[LockedFile]) -> tuple[tuple[LockedFile, ...], tuple[LockedFile, ...]]:
    """Published files with a layer of their own, and those that share one; both by path."""
    files = sorted(shipped, key=lambda file: file.path)
    return tuple(file for file in files if file.size >= LARGE), tuple(file for file in files if file.size < LARGE)


def assign_layers(
    spec: ImageSpec, shipped: Iterable[LockedFile], keys: Mapping[str, str], app: tuple[SourceFile, ...], requirements: str
) -> tuple[Layer, ...]:
    """Every layer above the base, in the order of the image: by how often it changes.

    ``keys`` holds the ``export`` and ``compile`` keys.
    """
    large, small = split_by_size(shipped)
    layers = [Layer("packages", "dependencies", ("/opt/prebake",), {"base": keys["base"], "requirements": digest(requirements)})]
    layers += [_published(file.path, (file,)) for file in large]
    layers += [_published("published files", small)] if small else []
    layers += [
        Layer(f"{name} (derived)", "derived", (f"/models/{name}",), {"export key": keys["export"]})
        for name, component in spec.components.items()
        if component.derived
    ]
    layers.append(Layer("graphs", "graphs", ("/models",), {"compile key": keys["compile"]}))
    layers.append(Layer("code", "code", ("/app",), {file.path: file.sha256 for file in app}))
    return tuple(layers)


def _published(name: str, files: tuple[LockedFile, ...]) -> Layer:
    return Layer(
        name,
        "weights",
        tuple(f"/models/{file.path}" for file in files),
        {file.path: file.sha256 for file in files},
        sum(file.size for file in files),
    )
