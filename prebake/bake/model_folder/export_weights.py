"""The weight files that exported graphs read: published files, and files that the export derives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from prebake.bake.errors import BakeError
from prebake.bake.model_folder.export_folder import WEIGHTS, Exported
from prebake.bake.weights.safetensors_writer import LazyTensor
from prebake.bake.weights.shards import write_shards
from prebake.bake.weights.torch_tensors import from_torch
from prebake.documents.canonical import digest_file
from prebake.documents.settings import StageSettings


class ExportedWeights:
    """The weight files of one export. Derived files have at most ``shard`` bytes."""

    def __init__(self, settings: StageSettings, checkpoint: Path, exported: Exported, shard: int) -> None:
        self._settings = settings
        self._checkpoint = checkpoint
        self._exported = exported
        self._shard = shard
        self._converted: dict[str, tuple[Path, ...]] = {}

    def convert(self, folder: str, tensors: Mapping[str, torch.Tensor]) -> tuple[Path, ...]:
        """Write the derived ``model.safetensors`` of a folder. Returns the paths of its shards and of their index."""
        path = f"{folder}/{WEIGHTS}"
        if folder in self._converted or path in self.published:
            raise BakeError(
                f"{path} exists already.", next_action="convert a folder's weights once, or do not ship that file"
            )
        self._converted[folder] = self.derive(folder, WEIGHTS, from_torch(tensors))
        return self._converted[folder]

    def derive(self, folder: str, name: str, tensors: Mapping[str, LazyTensor]) -> tuple[Path, ...]:
        """Write a weight file below ``folder``, in shards if it is large. Returns their paths."""
        stem = name.removesuffix(".safetensors")
        paths = write_shards(self._exported.derived_file(folder), stem, tensors, self._shard)
        for path in paths:
            place = f"{folder}/{path.name}"
            if place in {file.path for file in self._settings.ship} or place in self._exported.derived:
                raise BakeError(f"{place} exists already.", next_action="do not ship that file: the export writes it")
            self._exported.derived[place] = digest_file(path)
        return paths

    def of(self, component: str) -> Iterator[Path]:
        """The weight files in the component's folder: derived, and shipped as published."""
        folder = f"{self._settings.folder(component)}/"
        for path in sorted(self._exported.derived):
            if path.startswith(folder) and path.endswith(".safetensors"):
                yield self._exported.derived_file(path)
        for path in sorted(file.path for file in self._settings.ship):
            if path.startswith(folder) and path.endswith(".safetensors") and "/" not in path.removeprefix(folder):
                yield self._checkpoint / path

    def drop_unread(self) -> None:
        """Remove converted weights that no graph reads, because each graph of their folder has weights in another precision."""
        names = self._settings.components
        read = {self._settings.folder(name) for name, own in names.items() if not own.precision.makes_weights}
        for folder in self._converted.keys() - read:
            for path in self._converted[folder]:
                del self._exported.derived[f"{folder}/{path.name}"]
                path.unlink()

    @property
    def published(self) -> set[str]:
        """Paths of the checkpoint, which no derived file may have."""
        return {file.path for file in (*self._settings.ship, *self._settings.reshard)}
