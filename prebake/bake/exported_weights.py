"""The weight files that graphs point into: published ones, and those that the export derives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from prebake.bake.convert import from_torch
from prebake.bake.documents import digest_file
from prebake.bake.errors import BakeError
from prebake.bake.exported import WEIGHTS, Exported
from prebake.bake.safetensors_file import Tensor
from prebake.bake.settings import Settings
from prebake.bake.shards import write_shards


class ExportedWeights:
    """What one export has of them; derived files are of ``shard`` bytes at most."""

    def __init__(self, settings: Settings, checkpoint: Path, exported: Exported, shard: int) -> None:
        self._settings = settings
        self._checkpoint = checkpoint
        self._exported = exported
        self._shard = shard
        self._converted: dict[str, tuple[Path, ...]] = {}

    def convert(self, folder: str, tensors: Mapping[str, torch.Tensor]) -> tuple[Path, ...]:
        """Write the derived ``model.safetensors`` of a folder; the paths of its parts, and of their index."""
        path = f"{folder}/{WEIGHTS}"
        if folder in self._converted or path in self.published:
            raise BakeError(
                f"{path} exists already.", next_action="Convert a folder's weights once, or do not ship that file."
            )
        self._converted[folder] = self.derive(folder, WEIGHTS, from_torch(tensors))
        return self._converted[folder]

    def derive(self, folder: str, name: str, tensors: Mapping[str, Tensor]) -> tuple[Path, ...]:
        """Write a file of weights below ``folder``, in parts where it is large; their paths."""
        stem = name.removesuffix(".safetensors")
        paths = write_shards(self._exported.derived_file(folder), stem, tensors, self._shard)
        for path in paths:
            place = f"{folder}/{path.name}"
            if place in {each.path for each in self._settings.ship} or place in self._exported.derived:
                raise BakeError(f"{place} exists already.", next_action="Do not ship that file: the export makes it.")
            self._exported.derived[place] = digest_file(path)
        return paths

    def of(self, component: str) -> Iterator[Path]:
        """The weight files of the component's folder: derived, and shipped as published."""
        folder = f"{self._settings.folder(component)}/"
        for path in sorted(self._exported.derived):
            if path.startswith(folder) and path.endswith(".safetensors"):
                yield self._exported.derived_file(path)
        for path in sorted(each.path for each in self._settings.ship):
            if path.startswith(folder) and path.endswith(".safetensors") and "/" not in path.removeprefix(folder):
                yield self._checkpoint / path

    def drop_unread(self) -> None:
        """Converted weights of a folder all of whose graphs have weights of another precision of their own."""
        names = self._settings.components
        read = {self._settings.folder(name) for name, each in names.items() if not each.precision.makes_weights}
        for folder in self._converted.keys() - read:
            for path in self._converted[folder]:
                del self._exported.derived[f"{folder}/{path.name}"]
                path.unlink()

    @property
    def published(self) -> set[str]:
        """Paths of the checkpoint that no derived file may take."""
        return {each.path for each in (*self._settings.ship, *self._settings.reshard)}
