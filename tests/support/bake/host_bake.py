"""Runs the export and compile stages on this machine, without containers, into a complete /models folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.stages.compile_artifacts import compile_artifacts
from prebake.bake.stages.compile_graphs import compile_image
from prebake.bake.stages.export import export_image
from prebake.bake.weights.shards import MAX_SHARD_BYTES
from prebake.documents.artifact import ARTIFACT_FILE, ARTIFACTS_FOLDER, ArtifactFile, add_artifacts
from prebake.documents.canonical import digest_file
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.model_manifest import MODEL_MANIFEST
from prebake.documents.settings import REPORT, PublishedFile, StageSettings


def bake_folder(
    image: str,
    checkpoint: Path,
    settings: StageSettings,
    models: Path,
    shard: int = MAX_SHARD_BYTES,
    *,
    artifacts: bool = False,
) -> Mapping[str, Any]:
    """Bake ``images/<image>`` from ``checkpoint`` into ``models``, an empty or new folder that becomes /models.

    artifacts: also compile for this machine's hardware. The report lists the results under ``artifacts``.
    Returns the report of the compile stage, by component. Published files are hard-linked if the disk allows it. Raises the
    stages' errors.
    """
    if image != settings.image:
        raise ValueError(f"the settings are for {settings.image}, not {image}")
    models.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="bake-", dir=models.parent) as folder:
        exported = Path(folder, "exported")
        export_image(settings, checkpoint, exported, shard)
        return compile_folder(settings, checkpoint, exported, models, artifacts=artifacts)


def compile_folder(
    settings: StageSettings, checkpoint: Path, exported: Path, models: Path, *, artifacts: bool = False
) -> Mapping[str, Any]:
    """The rest of ``bake_folder`` after the export stage, whose output is ``exported``. ``models`` is an empty or new folder.

    Settings that the export does not read may differ from its own, so that several tests share one export."""
    models.mkdir(parents=True, exist_ok=True)
    for file in settings.ship:
        _link(checkpoint / file.path, models / file.path)
    for path in Exported.load(exported).derived:
        _link(exported / "derived" / path, models / path)
    with TemporaryDirectory(prefix="compile-", dir=models.parent) as folder:
        out = Path(folder, "out")
        compile_image(settings, exported, models, out)
        shutil.copytree(out / "models", models, dirs_exist_ok=True)
        report = dict(json.loads((out / REPORT).read_bytes()))
        return {**report, **(_compile(settings, exported, models, Path(folder, "compiled")) if artifacts else {})}


def _compile(settings: StageSettings, exported: Path, models: Path, out: Path) -> Mapping[str, Any]:
    """Add the compiled artifacts to the models folder and to the manifest, as a build does."""
    compile_artifacts(settings, exported, models, out)
    descriptions = sorted(out.rglob(ARTIFACT_FILE))
    artifacts = [ArtifactFile.from_json(path.read_bytes()) for path in descriptions]
    for path in descriptions:
        path.unlink()
    if artifacts:
        shutil.copytree(out / ARTIFACTS_FOLDER, models / ARTIFACTS_FOLDER, dirs_exist_ok=True)
    manifest = json.loads((models / MODEL_MANIFEST).read_bytes())
    (models / MODEL_MANIFEST).write_bytes(seal_manifest(add_artifacts(manifest, artifacts)))
    return dict(json.loads((out / REPORT).read_bytes()))


def shipped(checkpoint: Path, paths: Iterable[str]) -> tuple[PublishedFile, ...]:
    """The entries of a lock file for ``paths``, computed from the files."""
    return tuple(
        PublishedFile(path, (checkpoint / path).stat().st_size, digest_file(checkpoint / path))
        for path in sorted(paths)
    )


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
