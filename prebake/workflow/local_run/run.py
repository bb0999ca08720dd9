"""``prebake run``: starts an image that is built, shows its start and its log, and ends it with the command."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing

from prebake.docker.connection import Connection, find_engine
from prebake.docker.containers.container_spec import ImageMount
from prebake.docker.containers.containers import open_image, remove_strays
from prebake.docker.images.images import find_image
from prebake.documents.model_manifest import MODEL_MANIFEST
from prebake.errors import EngineError, NotBuilt
from prebake.io.log import Log
from prebake.measure.warmup_request import MODELS, read_warmups
from prebake.spec.project import Project, read_project
from prebake.workflow.build import build_image
from prebake.workflow.local_run.container import container_spec, server_variables
from prebake.workflow.local_run.session import Session
from prebake.workflow.local_run.watch import CodeWatch, find_entrypoints, find_unreadable, mount_code
from prebake.workflow.local_run.watched_files import WatchedFiles, find_watched
from prebake.workflow.pipeline.build_report import WEIGHTS_SUFFIX
from prebake.workflow.requests import BuildRequest, RunRequest
from prebake.workflow.start_check.launcher import EngineLauncher


def run_image(request: RunRequest, log: Log, show: Callable[[str], None]) -> None:
    """Run the image until it ends, or until Ctrl-C or SIGTERM. ``log`` gets what Prebake says, ``show`` the container's log.

    Raises NotBuilt, PortTaken, EngineError, and ContainerEnded if the container ends with another code than 0.
    """
    if request.build:
        build_image(_build_request(request), log)
    project = read_project(request.root, request.model, locked=False)
    files = _watch(project, request, log) if request.watch else None
    session = _prepare(request, project, files, log, show)
    watch = CodeWatch(files, log) if files else None
    try:
        while not _run_container(session, watch, log):
            continue
    except KeyboardInterrupt:
        if session.exit_code is None:  # it was killed, or had not started
            raise
    if error := session.end():
        raise error


def _run_container(session: Session, watch: CodeWatch | None, log: Log) -> bool:
    """One container to its end. Returns whether the command ends, too: if it watches, another container follows."""
    with session.started() as container:
        session.follow_start(container)
        if watch is None:
            container.ended.wait()
            return True
        if watch.follow(container.ended, session.client):
            return False
    if not (error := session.end()):
        return True
    log(
        f"error: {error.message}\n  next: {error.next_action}\nthe container starts again after the next change of the code"
    )
    watch.wait()
    return False


def _prepare(
    request: RunRequest, project: Project, files: WatchedFiles | None, log: Log, show: Callable[[str], None]
) -> Session:
    connection = find_engine()
    remove_strays(connection, log=log)
    image = request.options.image_tag(project.spec)
    if find_image(connection, image) is None:
        raise _not_built(request, image)
    volumes = _find_volumes(connection, image)
    container = container_spec(
        image,
        project.spec,
        request.options.target,
        members=[member.spec for member in project.models.values()],
        processors=_count_processors(connection),
        environment=server_variables(secrets.token_urlsafe(), request.environment),
        binds=mount_code(files) if files else (),
        volumes=volumes,
    )
    return Session(
        connection,
        container,
        warmups=read_warmups(EngineLauncher(connection, volumes), image),
        folder=request.root / "build" / request.model / "request",
        log=log,
        show=show,
        port=request.port,
        opens=request.open,
        json=request.json,
    )


def _watch(project: Project, request: RunRequest, log: Log) -> WatchedFiles:
    files = find_watched(project, request.options.target, find_entrypoints(request.root))
    for path in find_unreadable(files):
        log(f"warning: the container's user cannot read {path}; run `chmod o+rX {path}`")
    return files


def _find_volumes(connection: Connection, image: str) -> list[ImageMount]:
    """The weights image of a build with ``--weights volume``. A later build without it leaves the weights image in place."""
    weights = image + WEIGHTS_SUFFIX
    if find_image(connection, weights) is None:
        return []
    try:
        with open_image(connection, image) as read:
            read(f"{MODELS}/{MODEL_MANIFEST}")
    except EngineError:
        return [ImageMount(weights, "models", MODELS)]
    return []


def _count_processors(connection: Connection) -> int:
    with closing(connection.client()) as client:
        return int(client.info()["NCPU"])


def _build_request(request: RunRequest) -> BuildRequest:
    return BuildRequest(
        root=request.root,
        model=request.model,
        options=request.options,
        accepted_licenses=request.accepted_licenses,
    )


def _not_built(request: RunRequest, image: str) -> NotBuilt:
    options = request.options
    given = {
        "--target": options.target if options.target != "cpu" else None,
        "--checkpoint": options.checkpoint,
        "--tag": options.tag,
    }
    flags = "".join(f" {flag} {value}" for flag, value in given.items() if value)
    return NotBuilt(
        f"The Engine has no image {image}.",
        next_action=f"run `python build.py --model {request.model}{flags}`, or add --build to this command",
    )
