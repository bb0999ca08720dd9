"""What one run of the compile stage works on: settings, what was exported, and the weights, checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prebake.bake.digests import digests_of_file
from prebake.bake.errors import BakeError
from prebake.bake.exported import Exported
from prebake.bake.plain import save_plain
from prebake.bake.provider_options import TENSORRT
from prebake.bake.sessions import check_providers
from prebake.bake.settings import Settings
from prebake.errors import ChecksumMismatch

Files = dict[str, dict[str, object]]


@dataclass(frozen=True)
class Job:
    """What one run of the stage works on. ``models`` holds published and derived files; graphs join them."""

    settings: Settings
    exported: Exported
    models: Path

    def graph(self, component: str) -> Path:
        return self.models / self.settings.graph(component)

    def constants(self, component: str) -> Path:
        return self.models / self.settings.constants(component)

    def exported_constants(self, component: str) -> Path:
        return self.exported.constants(component, self.settings.constants(component))


def check_components(job: Job) -> None:
    wanted, got = job.settings.components.keys(), job.exported.components.keys()
    if wanted != got:
        raise BakeError(
            f"Settings name the components {sorted(wanted)}, the export made {sorted(got)}.",
            next_action="Run the export stage again with the same settings.",
        )
    for name in sorted(wanted):
        check_providers(name, job.settings.components[name].providers)


def weight_files(job: Job) -> Files:
    """Entries of the published and the derived files. What this stage was given is checked byte for byte; a published
    file that it was not given, because no graph reads it, is as the lock says."""
    files: Files = {
        each.path: {"size": each.size, "sha256": each.sha256, "origin": "published"} for each in job.settings.ship
    }
    for path in sorted(job.exported.derived):
        size = job.models.joinpath(path).stat().st_size
        files[path] = {"size": size, "sha256": job.exported.derived[path], "origin": "derived"}
    for path, entry in files.items():
        if (job.models / path).exists():
            found = digests_of_file(job.models / path)
            if found.sha256 != entry["sha256"]:
                raise ChecksumMismatch(
                    f"{job.models / path} has the sha256 {found.sha256}, not {entry['sha256']}.",
                    next_action="Fetch the checkpoint again, then run the export stage again.",
                )
            entry["xxh3"] = found.xxh3
    return files


def own_weights(folder: str, files: Files) -> Iterator[str]:
    """Weight files that lie beside a graph of this folder."""
    for path in sorted(files):
        place, _, name = path.rpartition("/")
        if place == folder and name.endswith(".safetensors"):
            yield path


def place_graph(job: Job, name: str) -> None:
    """Put the exported graph where its weights are: external data must lie under the graph's own folder."""
    job.graph(name).parent.mkdir(parents=True, exist_ok=True)
    for leftover in (job.graph(name), job.constants(name)):
        leftover.unlink(missing_ok=True)
    shutil.copyfile(job.exported.graph(name), job.graph(name))
    if job.exported_constants(name).exists():
        shutil.copyfile(job.exported_constants(name), job.constants(name))
    if TENSORRT in job.settings.components[name].providers:
        save_plain(job.graph(name), job.graph(name))
