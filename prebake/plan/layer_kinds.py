"""The kinds of layers, and every fact that follows from the kind alone. A new kind is one more member here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class LayerSource(Enum):
    """Where a layer's files come from."""

    PACKAGES = "packages"
    CODE = "code"
    CHECKPOINT = "checkpoint"
    EXPORT = "export"
    ARTIFACT = "artifact"
    GRAPHS = "graphs"


@dataclass(frozen=True)
class KindFacts:
    """What holds for every layer of a kind.

    ``source`` is what its files come from. ``on_any_base``: the files do not come from a build on the base image, so the
    layer is the same on every base. ``under_models``: the files lie under /models, so the layer goes to the weights image
    if weights are a volume. ``engine_bytes``: what the Engine needs at most while the layer is built, 0 if that follows from
    the layer's files.
    """

    source: LayerSource
    on_any_base: bool = False
    under_models: bool = False
    engine_bytes: int = 0


class LayerKind(StrEnum):
    """A kind of layer, with the facts of ``KindFacts``."""

    facts: KindFacts

    def __new__(cls, value: str, facts: KindFacts) -> LayerKind:
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.facts = facts
        return kind

    # 4 GiB: the image and its export, while BuildKit installs the packages.
    DEPENDENCIES = "dependencies", KindFacts(LayerSource.PACKAGES, engine_bytes=4 * 2**30)
    WEIGHTS = "weights", KindFacts(LayerSource.CHECKPOINT, on_any_base=True, under_models=True)
    DERIVED = "derived", KindFacts(LayerSource.EXPORT, under_models=True)
    COMPILED = "compiled", KindFacts(LayerSource.ARTIFACT, on_any_base=True, under_models=True)
    GRAPHS = "graphs", KindFacts(LayerSource.GRAPHS, under_models=True)
    CODE = "code", KindFacts(LayerSource.CODE, engine_bytes=2**26)

    @property
    def source(self) -> LayerSource:
        return self.facts.source

    @property
    def on_any_base(self) -> bool:
        return self.facts.on_any_base

    @property
    def under_models(self) -> bool:
        return self.facts.under_models

    def annotations(self, paths: tuple[str, ...]) -> dict[str, str]:
        """ModelPack's name for the file of a layer that holds one (its model-spec, "Pre-defined Annotation Keys")."""
        if self is LayerKind.WEIGHTS and len(paths) == 1:
            return {"org.cncf.model.filepath": paths[0].removeprefix("/models/")}
        return {}


MODEL_KINDS = frozenset(kind for kind in LayerKind if kind.under_models)
"""The kinds of layers of what lies under /models."""
