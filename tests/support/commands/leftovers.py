"""What a command may not leave behind, however it ended."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import LABEL
from prebake.docker.containers.owners import has_ended
from prebake.docker.images.images import list_summaries
from tests.support.commands.projects import Project

STAGES = ("prebake/export:", "prebake/device:", "prebake/compiler:")
"""The images that stages run in."""


def find_leavings(engine: Connection, project: Project, tag: str) -> list[str]:
    """Candidate tags, containers that were started of them, files in the writing, temporary files, running children."""
    with closing(engine.client()) as client:
        candidates = [
            name for image in list_summaries(client, reference=f"{tag}-candidate") for name in image["RepoTags"] or ()
        ]
        containers = [
            f"container {container.name} of {container.labels[LABEL]}"
            for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
            if container.attrs["Config"]["Image"].startswith((tag, *STAGES))
            and has_ended(str(container.labels[LABEL]))  # whoever else builds at this Engine has its own
        ]
    return [*candidates, *containers, *project.half_written(), *running_builds(project)]


def started_containers(engine: Connection, tag: str) -> list[str]:
    """Containers of an image, or of its candidate, that run now."""
    with closing(engine.client()) as client:
        running = client.containers.list(filters={"label": LABEL}, ignore_removed=True)
        return [str(each.id) for each in running if each.attrs["Config"]["Image"].startswith(tag)]


def running_builds(project: Project) -> list[str]:
    """Command lines of buildx processes that build in it."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "buildx" in words and any(word.startswith(str(project.root)) for word in words):
            found.append(" ".join(words))
    return found
