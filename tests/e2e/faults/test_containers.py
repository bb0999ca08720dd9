"""Images whose content is not what was built: never ready, a plain reason at /health, an exit code of its own, and not one
answer from the model."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from prebake.docker.buildkit.buildx import BuildxRequest, build
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import Bind, ContainerSpec
from prebake.docker.containers.containers import RunningContainer, copy_out, running
from prebake.io.log import silent
from prebake.measure import client
from tests.support.commands.projects import Built

LINGER = {"PREBAKE_FAILURE_EXIT_DELAY": "4"}  # seconds that a failed server can still be asked
MANIFEST = "/models/manifest.json"
WEIGHTS = "/models/minilm/model.safetensors"
GRAPH = "/models/minilm/model.onnx"

Change = Callable[[bytes], bytes]


def flip(position: float) -> Change:
    """One bit of the byte at this share of a file."""

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[int(position * (len(changed) - 1))] ^= 1
        return bytes(changed)

    return change


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def raise_schema(content: bytes) -> bytes:
    return json.dumps({**json.loads(content), "schema": 99}).encode()


def forget_warmup(content: bytes) -> bytes:
    document = json.loads(content)
    del document["warmup"], document["digest"]
    return json.dumps(document).encode()


@dataclass
class Seen:
    """What a client saw of a container's life."""

    reasons: set[str] = field(default_factory=set)
    readiness: set[int] = field(default_factory=set)
    answers: set[int] = field(default_factory=set)


def watch(container: RunningContainer) -> tuple[Seen, int]:
    """Ask until it ends by itself; what was seen, and its exit code."""
    seen, port = Seen(), container.address(8000)[1]
    request = client.Request({"texts": "a sentence", "prompt": "a sound"})

    def ended() -> bool | None:
        try:
            health = client.get(port, "/health")
            if json.loads(health.body)["status"] == "failed":
                assert health.status == 503
                seen.reasons.add(json.loads(health.body)["reason"])
            seen.readiness.add(client.get(port, "/v2/health/ready").status)
            seen.answers.add(client.post(port, request, timeout=20).status)
        except (OSError, http.client.HTTPException, ValueError):
            pass  # not bound yet, or gone
        return True if container.ended() else None

    while ended() is None:
        pass
    return seen, container.wait(1).exit_code


def expect_fault(engine: Connection, spec: ContainerSpec, code: int, words: str) -> None:
    with running(engine, spec) as container:
        seen, exit_code = watch(container)
        log = container.logs()
    assert exit_code == code, log
    (reason,) = seen.reasons
    assert words in reason
    assert seen.readiness == {503}
    assert seen.answers == {503}
    (fault,) = [json.loads(line) for line in log.splitlines() if '"event": "fault"' in line]
    assert (fault["exit_code"], fault["reason"]) == (code, reason)
    assert fault["action"]


@pytest.mark.parametrize(
    ("path", "change", "code", "words"),
    [
        (MANIFEST, lambda _: b"\x00\xff garbage", 70, "manifest.json is not JSON"),
        (MANIFEST, cut, 70, "manifest.json is not JSON"),
        (MANIFEST, lambda _: b"", 70, "manifest.json is not JSON"),
        (MANIFEST, forget_warmup, 70, "manifest.json has no digest"),
        (MANIFEST, raise_schema, 71, "written for a newer Prebake: it has schema 99, this entrypoint reads 2"),
        (WEIGHTS, flip(0.5), 73, "minilm/model.safetensors: corrupt"),
        (WEIGHTS, flip(1.0), 73, "minilm/model.safetensors: corrupt"),
        (WEIGHTS, cut, 73, "minilm/model.safetensors: truncated"),
        (WEIGHTS, lambda _: b"", 73, "found 0"),
        (WEIGHTS, lambda content: content + b"\0", 73, "minilm/model.safetensors: longer"),
        (GRAPH, flip(0.3), 73, "minilm/model.onnx: corrupt"),
    ],
    ids=[
        "manifest corrupt",
        "manifest truncated",
        "manifest empty",
        "manifest without a digest",
        "manifest newer",
        "middle byte flipped",
        "last byte flipped",
        "weights truncated",
        "weights empty",
        "weights longer",
        "graph flipped",
    ],
)
def test_a_file_with_another_content(
    engine: Connection, minilm: Built, tmp_path: Path, path: str, change: Change, code: int, words: str
) -> None:
    """The file is replaced by a bind mount: the image's other layers are as built."""
    bad = tmp_path / "bad"
    bad.write_bytes(change(copy_out(engine, minilm.tag, path, tmp_path / "good").read_bytes()))
    spec = ContainerSpec(minilm.tag, ports=[8000], environment=LINGER, tmpfs={}, binds=[Bind(bad, path)])
    expect_fault(engine, spec, code, words)


@pytest.fixture
def derived(engine: Connection, tmp_path: Path, tag: str) -> Callable[[str, str], str]:
    """An image with one layer more, of this Dockerfile line."""

    def derive(image: str, line: str) -> str:
        (tmp_path / "Dockerfile").write_text(f"FROM {image}\nUSER 0\n{line}\nUSER 65532:65532\n")
        build(engine, BuildxRequest(tmp_path, outputs=(f"type=docker,name={tag}",)), log=silent)
        return tag

    return derive


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        (MANIFEST, 72, "manifest.json is missing"),
        (WEIGHTS, 72, "minilm/model.safetensors"),
        ("/models/warmup/answer.json", 72, "warmup/answer.json"),
    ],
)
def test_a_file_that_is_gone(
    engine: Connection, minilm: Built, derived: Callable[[str, str], str], path: str, code: int, words: str
) -> None:
    image = derived(minilm.tag, f"RUN rm {path}")
    expect_fault(engine, ContainerSpec(image, ports=[8000], environment=LINGER, tmpfs={}), code, words)


@pytest.mark.parametrize("component", ["dac", "siglip2"])
def test_a_layer_over_foleys_weights_with_one_bit_flipped(
    engine: Connection, foley: Built, tmp_path: Path, derived: Callable[[str, str], str], component: str
) -> None:
    """Derived and published weights alike; a sound would still come out, and nobody would hear that it is wrong."""
    path = f"/models/{component}/model.safetensors"
    bad = flip(0.7)(copy_out(engine, foley.tag, path, tmp_path / "good").read_bytes())
    (tmp_path / "bad").write_bytes(bad)
    image = derived(foley.tag, f"COPY --chmod=444 bad {path}")
    words = f"{component}/model.safetensors: corrupt"
    expect_fault(engine, ContainerSpec(image, ports=[8000], environment=LINGER, tmpfs={}), 73, words)


def test_a_file_that_the_user_may_not_read(
    engine: Connection, minilm: Built, derived: Callable[[str, str], str]
) -> None:
    image = derived(minilm.tag, f"RUN chmod 400 {GRAPH}")
    spec = ContainerSpec(image, ports=[8000], environment=LINGER, tmpfs={})
    expect_fault(engine, spec, 72, "minilm/model.onnx: not readable by user 65532")


def test_an_environment_that_is_not_understood_ends_it_at_once(engine: Connection, minilm: Built) -> None:
    spec = ContainerSpec(minilm.tag, environment={"PREBAKE_THREADS": "many"}, tmpfs={})
    with running(engine, spec) as container:
        assert container.wait(20).exit_code == 78
        assert "PREBAKE_THREADS" in container.logs()
