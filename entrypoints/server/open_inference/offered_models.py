"""The models of the protocol, each with the model of the image that answers for it."""

from __future__ import annotations

from collections.abc import Sequence

from entrypoints.open_inference.models import ImageModel, ModelDirectory, OfferedModel
from entrypoints.open_inference.routes import Route
from entrypoints.server.served_model import ServedModel


class OfferedModels:
    def __init__(self, models: Sequence[ServedModel]) -> None:
        self.served = models
        self._directory = ModelDirectory(())
        self._known: list[tuple[str, bool, int]] = []

    @property
    def directory(self) -> ModelDirectory:
        """Made again whenever more is known of a model."""
        known = [(model.label, is_known(model), len(model.timeline.fields)) for model in self.served]
        if known != self._known:
            images = [
                ImageModel(model.label, model.timeline.manifest if is_known(model) else None, model.timeline.fields)
                for model in self.served
            ]
            self._directory, self._known = ModelDirectory(images), known
        return self._directory

    def find(self, route: Route) -> tuple[OfferedModel, ServedModel]:
        """Raises UnknownModel or ModelStarting."""
        offered = self.directory.find(route.model, route.version)
        return offered, self.find_owner(offered)

    def find_owner(self, offered: OfferedModel) -> ServedModel:
        return next(model for model in self.served if model.label == offered.owner)


def is_known(model: ServedModel) -> bool:
    """Whether the model's names, tensors and fields are known: its start has come so far."""
    return model.timeline.manifest is not None and bool(model.timeline.fields or model.status.state != "starting")
