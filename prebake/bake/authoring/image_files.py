"""Files that an export adds to the image: assets and the warm-up request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from prebake.bake.errors import BakeError
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.model_folder.export_weights import ExportedWeights
from prebake.bake.parity.tolerances import ToleranceBasis
from prebake.bake.parity.warmup_tolerance import derive_warmup_tolerance
from prebake.documents.canonical import canonical_json
from prebake.documents.settings import StageSettings

_SUFFIXES = {
    "application/json": "json", "audio/wav": "wav", "image/jpeg": "jpg", "image/png": "png", "text/plain": "txt",
    "video/mp4": "mp4",
}  # fmt: skip


@dataclass(frozen=True)
class WarmupFile:
    """A file field of the warm-up request."""

    name: str
    data: bytes


class ImageFiles:
    """Writes files below ``models/`` of the export folder. Paths are relative to /models of the image."""

    def __init__(self, settings: StageSettings, checkpoint: Path, exported: Exported, weights: ExportedWeights) -> None:
        self._settings = settings
        self._checkpoint = checkpoint
        self._exported = exported
        self._weights = weights

    def add_asset(self, path: str, data: bytes) -> None:
        """Raises BakeError if ``path`` leaves /models or is taken."""
        self._check_free(path)
        self._write(path, data)
        self._exported.assets.append(path)

    def find(self, name: str) -> Path:
        """The file of an asset or of a shipped checkpoint file. Raises BakeError if ``name`` is neither."""
        shipped = name in {file.path for file in self._settings.ship}
        if name not in self._exported.assets and not shipped:
            raise BakeError(
                f"The image has no file '{name}'.",
                next_action="add it by bake.asset, or list it under `ship` in image.yaml",
            )
        return self._checkpoint / name if shipped else self._exported.model_file(name)

    def write_warmup(
        self,
        fields: Mapping[str, str | int | float | WarmupFile],
        answer: bytes,
        media_type: str,
        tolerance: float | None,
    ) -> None:
        """Raises BakeError if there is a warm-up request already."""
        if self._exported.warmup:
            raise BakeError("bake.reference was called twice.", next_action="give one warm-up request")
        paths = {"answer": f"warmup/answer.{_SUFFIXES.get(media_type, 'bin')}", "request": "warmup/request.json"}
        files = {name: value for name, value in fields.items() if isinstance(value, WarmupFile)}
        references = {name: {"file": f"warmup/{file.name}"} for name, file in files.items()}
        self._write(paths["request"], canonical_json({"fields": {**fields, **references}}))
        self._write(paths["answer"], answer)
        for file in files.values():
            self._check_free(f"warmup/{file.name}")
            self._write(f"warmup/{file.name}", file.data)
        allowed = self._derive_tolerance(answer, media_type) if tolerance is None else tolerance
        self._exported.warmup.update(paths, media_type=media_type, tolerance=allowed)

    def _derive_tolerance(self, answer: bytes, media_type: str) -> float:
        components = [component.allowances.values() for component in self._exported.components.values()]
        bases = [[ToleranceBasis.read(basis) for basis in outputs] for outputs in components]
        return derive_warmup_tolerance(answer, media_type, bases)

    def _check_free(self, path: str) -> None:
        parsed = PurePosixPath(path)
        if parsed.is_absolute() or ".." in parsed.parts or str(parsed) != path or path in ("", ".", "manifest.json"):
            raise BakeError(
                f"'{path}' cannot be a file below /models.",
                next_action="give a relative path without '..', other than manifest.json",
            )
        if (
            self._exported.model_file(path).exists()
            or path in self._weights.published
            or path in self._exported.derived
        ):
            raise BakeError(f"The image already has a file '{path}'.", next_action="choose another path")

    def _write(self, path: str, data: bytes) -> None:
        target = self._exported.model_file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
