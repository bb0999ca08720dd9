"""Start one container of an image under the tracer, and read what the start did."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import RunningContainer, running
from prebake.docker.images.images import ImageFacts, inspect_image
from prebake.errors import EngineError, StartFailed
from prebake.measure import client
from prebake.measure.counters.counters import Counters, not_counted, read_counters
from prebake.measure.counters.tracer_command import INTERPRETER, tracer_command
from prebake.measure.start import START_TIMEOUT_SECONDS, check_answer
from prebake.measure.warmup_request import WarmupRequest
from prebake.plan.layer_kinds import LayerKind
from prebake.workflow.start_check.launcher import EngineLauncher, StartedServer

COUNT_SECONDS = 120.0
"""How long the container may take from its answers until it has written its counts: the tracer waits up to 60 s until it is
idle."""
ASK_SIGNAL = "SIGUSR1"


def count_start(
    connection: Connection, launcher: EngineLauncher, image: str, warmups: Mapping[str, WarmupRequest]
) -> Counters:
    """Start the image once as the launcher does, under the tracer; send every model its warm-up request at once and check the
    answers. Returns the counts from the container's first exec until it is idle after the answers.

    If tracing is impossible there, the counts say why. Raises StartFailed or AnswerDiffers if the start itself fails.
    """
    facts = inspect_image(connection, image)
    counters = _count(connection, _under_tracer(launcher.container(image), facts.config), image, warmups, facts)
    return counters.with_sizes(facts.size, layer_bytes(facts))


def layer_bytes(facts: ImageFacts) -> Mapping[str, int]:
    """The bytes of an image's layers by kind, as unpacked: ``base``, the kinds of ``LayerKind``, and ``other`` for layers that
    Prebake did not write. In the order of the image."""
    sizes: dict[str, int] = {}
    written = [layer.created_by.startswith(_WRITTEN) for layer in facts.layers]
    first = written.index(True) if True in written else 0
    for position, layer in enumerate(facts.layers):
        kind = "base" if position < first else _kind(layer.created_by)
        sizes[kind] = sizes.get(kind, 0) + layer.size
    return sizes


_WRITTEN = "prebake: "
_ARTIFACT = re.compile(r" \S+-[0-9a-f]{8,}$")  # a component and the label of its artifact


def _kind(created_by: str) -> str:
    """The names that ``prebake.plan`` gives to layers: some kinds' own, others those of a file, a folder or an artifact."""
    name = created_by.removeprefix(_WRITTEN)
    if name == created_by:
        return "other"
    if name in (LayerKind.DEPENDENCIES, LayerKind.GRAPHS, LayerKind.CODE):
        return name
    if name.endswith(" (derived)"):
        return LayerKind.DERIVED
    return LayerKind.COMPILED if _ARTIFACT.search(name) else LayerKind.WEIGHTS


def _under_tracer(spec: ContainerSpec, config: Mapping[str, Any]) -> ContainerSpec:
    command = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    return replace(spec, entrypoint=tracer_command(command), command=None)


def _count(
    connection: Connection,
    spec: ContainerSpec,
    image: str,
    warmups: Mapping[str, WarmupRequest],
    facts: ImageFacts,
) -> Counters:
    try:
        with running(connection, spec) as container:
            return _ask_and_count(container, image, warmups, _import_folders(facts.config))
    except EngineError as error:
        if f'"{INTERPRETER}"' not in error.message:  # as runc names the program that it does not find
            raise
        return not_counted(f"the tracer needs {INTERPRETER} in the image: {error.message}")


def _ask_and_count(
    container: RunningContainer, image: str, warmups: Mapping[str, WarmupRequest], roots: list[str]
) -> Counters:
    try:
        _check_answers(StartedServer(container), image, warmups)
        container.kill(ASK_SIGNAL)
        container.wait(COUNT_SECONDS)
    except StartFailed:
        counters = read_counters(container.logs(), roots)
        if counters is None or counters.counted:
            raise
        return counters
    counters = read_counters(container.logs(), roots)
    if counters is None:
        raise container.failure("ended before it was counted")
    return counters


def _check_answers(server: StartedServer, image: str, warmups: Mapping[str, WarmupRequest]) -> None:
    client.wait_until(server, client.is_live, START_TIMEOUT_SECONDS, "live")
    with ThreadPoolExecutor(len(warmups)) as clients:
        answers = dict(
            zip(warmups, clients.map(lambda each: client.ask(server, each.request), warmups.values()), strict=True)
        )
    for name, warmup in warmups.items():
        check_answer(answers[name], warmup, image, name, server)


def _import_folders(config: Mapping[str, Any]) -> list[str]:
    """The folders of PYTHONPATH in the image."""
    environment = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
    return [folder for folder in environment.get("PYTHONPATH", "").split(":") if folder]
