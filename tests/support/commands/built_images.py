"""Images that tests build by the real command, and their removal."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from docker.errors import ImageNotFound

from prebake.checkpoints.store.store import Store, default_root
from prebake.docker.connection import Connection
from tests.support.commands.projects import Built, Project, clone, reach, read_lock


@contextmanager
def image_name(engine: Connection) -> Iterator[str]:
    """A name for an image, for the length of a block; the image of that name is removed at its end."""
    name = f"prebake-test:{uuid.uuid4().hex}"
    try:
        yield name
    finally:
        remove_images(engine, [name, f"{name}-naive"])


def remove_images(engine: Connection, names: list[str]) -> None:
    with closing(engine.client()) as client:
        for name in names:
            with suppress(ImageNotFound):
                client.images.remove(name, force=True)


@contextmanager
def build_image(engine: Connection, folder: Path, model: str, *others: str) -> Iterator[Built]:
    """``model``, built in a clone. ``others``: the members of a multi-model image."""
    with build_clone(engine, clone(folder / "project", model, *others, variables=reach(engine)), model) as built:
        yield built


@contextmanager
def build_clone(engine: Connection, project: Project, model: str) -> Iterator[Built]:
    """``model``, as it is in a clone that a test may have changed."""
    with image_name(engine) as tag:
        ended = project.run("--model", model, "--tag", tag, PREBAKE_STARTS="1").expect(0)
        yield Built(project, model, tag, ended, project.report(model))


def lay_out_checkpoint(built: Built, folder: Path) -> Path:
    """The checkpoint that was baked, in ``folder``, as the framework loads it."""
    checkpoint = read_lock(built.project, built.model).checkpoints[built.report["checkpoint"]]
    for file in checkpoint.files:
        Store(default_root()).link_into(folder, file.path, file.sha256)
    return folder
