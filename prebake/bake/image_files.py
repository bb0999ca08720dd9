"""What the compile stage puts under the image's ``/models``: graphs, what was compiled, assets, warm-up, and the manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

from prebake.bake.documents import sealed
from prebake.bake.job import Files, Job
from prebake.bake.manifest import MANIFEST, Compiled, describe, file_entry


def write_models(job: Job, compiled: list[Compiled], files: Files, target: Path) -> None:
    for each in compiled:
        for path, origin in ((job.settings.graph(each.name), "graph"), (job.settings.constants(each.name), "derived")):
            if (job.models / path).exists():
                files[path] = _place(job.models / path, target / path, origin)
    for made in sorted((target / "compiled").rglob("*")):
        if made.is_file():
            files[made.relative_to(target).as_posix()] = file_entry(made, "compiled")
    place_rest(job, files, target)
    manifest = describe(job.settings, compiled, files, job.exported.warmup)
    (target / MANIFEST).write_bytes(sealed(manifest))


def place_rest(job: Job, files: Files, target: Path) -> None:
    """What the export stage made besides graphs and weights: the warm-up request and assets."""
    for path in _warmup_files(job):
        files[path] = _place(job.exported.model_file(path), target / path, "warmup")
    for path in job.exported.assets:
        files[path] = _place(job.exported.model_file(path), target / path, "asset")


def _warmup_files(job: Job) -> list[str]:
    root = job.exported.folder / "models"
    found = (path.relative_to(root).as_posix() for path in (root / "warmup").rglob("*") if path.is_file())
    return sorted(set(found) - set(job.exported.assets))


def _place(source: Path, target: Path, origin: str) -> dict[str, object]:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return file_entry(target, origin)
