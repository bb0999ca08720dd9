"""Both stages on this machine, without a container: a complete /models folder for tests and for trying a model out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prebake.bake.artifact_file import FOLDER, NAME, ArtifactFile, add_artifacts
from prebake.bake.artifacts_stage import make_artifacts
from prebake.bake.compile import compile_image
from prebake.bake.documents import digest_file, sealed
from prebake.bake.export import export_image
from prebake.bake.exported import Exported
from prebake.bake.manifest import MANIFEST
from prebake.bake.settings import REPORT, Settings, Shipped
from prebake.bake.shards import SHARD


def bake_folder(
    image: str, checkpoint: Path, settings: Settings, models: Path, shard: int = SHARD, *, artifacts: bool = False
) -> Mapping[str, Any]:
    """Bake ``images/<image>`` from ``checkpoint`` into ``models``, an empty or new folder: all of /models. Returns what the
    compile stage reports of each component. With ``artifacts`` the folder has what this machine compiles, too, and the report
    tells of it under that name.

    Published files are hard-linked where the disk allows it. Raises what the stages raise.
    """
    if image != settings.image:
        raise ValueError(f"the settings are for {settings.image}, not {image}")
    models.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="bake-", dir=models.parent) as folder:
        exported = Path(folder, "exported")
        export_image(settings, checkpoint, exported, shard)
        return compile_folder(settings, checkpoint, exported, models, artifacts=artifacts)


def compile_folder(
    settings: Settings, checkpoint: Path, exported: Path, models: Path, *, artifacts: bool = False
) -> Mapping[str, Any]:
    """``bake_folder`` of what the export stage left in ``exported``; ``models`` is there, and empty."""
    for each in settings.ship:
        _link(checkpoint / each.path, models / each.path)
    for path in Exported.load(exported).derived:
        _link(exported / "derived" / path, models / path)
    with TemporaryDirectory(prefix="compile-", dir=models.parent) as folder:
        out = Path(folder, "out")
        compile_image(settings, exported, models, out)
        shutil.copytree(out / "models", models, dirs_exist_ok=True)
        report = dict(json.loads((out / REPORT).read_bytes()))
        return {**report, **(_compile(settings, exported, models, Path(folder, "compiled")) if artifacts else {})}


def _compile(settings: Settings, exported: Path, models: Path, out: Path) -> Mapping[str, Any]:
    """Put what is kept where a build would, and tell it in the manifest."""
    make_artifacts(settings, exported, models, out)
    described = sorted(out.rglob(NAME))
    found = [ArtifactFile.from_json(path.read_bytes()) for path in described]
    for path in described:
        path.unlink()
    if found:
        shutil.copytree(out / FOLDER, models / FOLDER, dirs_exist_ok=True)
    manifest = json.loads((models / MANIFEST).read_bytes())
    (models / MANIFEST).write_bytes(sealed(add_artifacts(manifest, found)))
    return dict(json.loads((out / REPORT).read_bytes()))


def shipped(checkpoint: Path, paths: Iterable[str]) -> tuple[Shipped, ...]:
    """What a lock would say of ``paths``, from the files themselves."""
    return tuple(
        Shipped(path, (checkpoint / path).stat().st_size, digest_file(checkpoint / path)) for path in sorted(paths)
    )


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
