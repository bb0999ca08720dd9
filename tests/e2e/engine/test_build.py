from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prebake.docker.buildkit.buildx import BuildxRequest, build
from prebake.docker.buildkit.package_index import pip_access
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import copy_out, run_to_end
from prebake.docker.images.base_image import Base
from prebake.docker.images.images import inspect_image
from prebake.errors import BuildFailed, EngineError
from tests.support.repository import ROOT


def context(folder: Path, base: Base, *lines: str) -> Path:
    (folder / "Dockerfile").write_text("\n".join([f"FROM {base.reference} AS image", *lines]) + "\n")
    return folder


def into_engine(tag: str) -> tuple[str, ...]:
    return (f"type=docker,name={tag}",)


def test_a_build_gives_the_image_its_steps_and_its_layers(
    engine: Connection, base: Base, tag: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("content")
    said: list[str] = []
    folder = context(tmp_path, base, "ARG WORD", "COPY file /models/file", "RUN echo $WORD > /word", "CMD cat /word")

    first = build(engine, BuildxRequest(folder, outputs=into_engine(tag), args={"WORD": tag}), log=said.append)
    again = build(engine, BuildxRequest(folder, outputs=into_engine(tag), args={"WORD": tag}), log=said.append)

    assert [step.instruction.split()[0] for step in first.steps] == ["COPY", "RUN"]
    assert not first.steps[1].cached
    assert all(step.cached for step in again.steps)
    facts = inspect_image(engine, tag)
    assert facts.digest == first.digest == again.digest
    assert facts.size == sum(layer.size for layer in facts.layers) > base.size
    assert [layer.created_by.split()[0] for layer in facts.layers] == ["mmdebstrap", "COPY", "RUN"]
    assert facts.config["Cmd"] == ["/bin/sh", "-c", "cat /word"]
    assert any("RUN echo" in line and line.endswith(" s") for line in said)
    assert run_to_end(engine, ContainerSpec(tag), seconds=30)[1].strip() == tag
    assert copy_out(engine, tag, "/models/file", tmp_path / "out").read_text() == "content"
    with pytest.raises(EngineError, match="/models/none"):
        copy_out(engine, tag, "/models/none", tmp_path / "out")


def test_a_failing_instruction_is_named_with_what_it_printed(
    engine: Connection, base: Base, tag: str, tmp_path: Path
) -> None:
    folder = context(tmp_path, base, "RUN echo a clue && exit 7")
    with pytest.raises(BuildFailed) as caught:
        build(engine, BuildxRequest(folder, outputs=into_engine(tag)))
    assert "RUN echo a clue && exit 7" in caught.value.message
    assert caught.value.message.count("a clue") == 2
    with pytest.raises(EngineError, match="has no image"):
        inspect_image(engine, tag)


def test_a_broken_dockerfile_is_told(engine: Connection, base: Base, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="unknown instruction: COPPY"):
        build(engine, BuildxRequest(context(tmp_path, base, "COPPY a b")))


def test_pip_installs_in_a_run_with_this_machines_access(
    engine: Connection, base: Base, tag: str, tmp_path: Path
) -> None:
    access = pip_access()
    folder = context(
        tmp_path,
        base,
        "RUN --mount=type=secret,id=ca --mount=from=wheels,target=/wheels python3 -m venv /tmp/pip"
        " && PIP_CERT=/run/secrets/ca /tmp/pip/bin/pip install --target /opt/prebake --find-links /wheels packaging",
        'CMD ["python3", "-c", "import packaging; print(packaging.__file__)"]',
        "ENV PYTHONPATH=/opt/prebake",
    )
    (folder / "Dockerfile").write_text("FROM scratch AS wheels\n" + (folder / "Dockerfile").read_text())
    contexts = {"wheels": access.wheelhouse} if access.wheelhouse else {}
    secrets = {"ca": access.ca} if access.ca else {}
    build(engine, BuildxRequest(folder, outputs=into_engine(tag), secrets=secrets, named_contexts=contexts))
    assert "/opt/prebake/packaging" in run_to_end(engine, ContainerSpec(tag), seconds=30)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_buildx_and_sets_no_tag(
    engine: Connection, base: Base, tag: str, tmp_path: Path, number: signal.Signals
) -> None:
    folder = context(tmp_path, base, f"RUN echo begun {tag} && sleep 300")
    code = (
        "from pathlib import Path; from prebake.docker.buildkit.buildx import *; from prebake.docker.connection import *\n"
        f"build(find_engine(), BuildRequest(Path({str(folder)!r}), outputs={into_engine(tag)!r}))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ), stderr=subprocess.DEVNULL)
    wait_for(lambda: _commands_with(tag), "buildx")
    child.send_signal(number)
    assert child.wait(15) != 0
    wait_for(lambda: not _commands_with(tag), "the end of buildx")
    with pytest.raises(EngineError, match="has no image"):
        inspect_image(engine, tag)


def _commands_with(text: str) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes()
        except OSError:
            continue
        if b"buildx" in line and f"name={text}".encode() in line:
            found.append(line.decode())
    return found


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.02)
