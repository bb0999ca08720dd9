"""The export stage: calls ``images/<name>/export.py`` with a ``Bake``, by which the export defines the content of the image."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from prebake.bake.authoring.bake import Bake
from prebake.bake.errors import BakeError
from prebake.bake.weights.shards import MAX_SHARD_BYTES
from prebake.documents.settings import StageSettings


def export_image(settings: StageSettings, checkpoint: Path, out: Path, shard: int = MAX_SHARD_BYTES) -> None:
    """Run the image's ``export`` (``export_torch`` if torch serves) into the empty folder ``out``. The module is
    ``images.<image>.export``, unless the settings name another. Files of derived weights have at most ``shard`` bytes."""
    name = settings.exporter or f"images.{settings.image}.export"
    module, entry = _import_exporter(name), "export" if settings.runtime == "onnxruntime" else "export_torch"
    if not hasattr(module, entry):
        raise BakeError(
            f"{name} has no {entry}(bake), which a target served by {settings.runtime} needs.",
            next_action=f"write {entry} with the calls of `export`, except those of the graphs",
        )
    bake = Bake(settings.for_export(), checkpoint, out, shard)
    getattr(module, entry)(bake)
    bake.finish()


def _import_exporter(name: str) -> ModuleType:
    """Raises BakeError if the module was written for a Prebake that had other names."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "prebake":
            raise
        raise BakeError(
            f"{name} imports a name that this version of Prebake does not have: {error}.",
            next_action="import from prebake.bake.authoring; CHANGELOG.md has the new names",
        ) from error
