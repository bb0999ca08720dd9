"""An image for a GPU, built and proved by the real command where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from prebake.docker.connection import Connection
from prebake.measure import client
from prebake.measure.start import START_TIMEOUT_SECONDS
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Built, Project, change_spec, clone, reach
from tests.support.repository import ROOT

_BLOCK = r"^onnxruntime(-gpu)?(\[[a-z,]+\])?==.*?(?=^\S)"


def add_target(project: Project, target: str) -> None:
    """With the packages of images for a GPU but for NVIDIA's libraries, 3 GB that nothing asks for without one."""
    folder = project.root / "images/toy/requirements"
    of_gpu = re.search(_BLOCK, (ROOT / "images/foley/requirements/cuda.txt").read_text(), re.DOTALL | re.MULTILINE)
    assert of_gpu is not None
    of_cpu = (folder / "cpu.txt").read_text()
    (folder / f"{target}.txt").write_text(re.sub(_BLOCK, of_gpu[0], of_cpu, flags=re.DOTALL | re.MULTILINE))
    change_spec(project, lambda spec: spec.update(targets=["cpu", target], fallback="error"))


@pytest.fixture(scope="module")
def built(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    project = clone(tmp_path_factory.mktemp("gpu") / "project", "toy", variables=reach(engine))
    add_target(project, "tensorrt")
    with image_name(engine) as tag:
        words = ("--model", "toy", "--target", "tensorrt", "--base", "bootstrap", "--tag", tag)
        ended = project.run(*words).expect(0)
        yield Built(project, "toy", tag, ended, project.report("toy"))


def test_it_is_proved_by_the_cpu_and_says_that_no_gpu_was_there(built: Built) -> None:
    gpu = built.report["gpu"]
    assert gpu["verified"] is False
    assert "device driver" in gpu["unavailable"]
    assert "not_started" not in gpu
    assert built.report["answer_difference"] < 1e-5
    assert "not checked on a GPU, as there is none" in built.ended.stdout
    assert "verify: the Engine has no GPU to check it on" in built.ended.stderr


def test_a_start_without_a_gpu_ends_and_names_it_as_the_image_says(engine: Connection, built: Built) -> None:
    # It may fail before the first look, and then it is never live: it answers until the delay is over.
    with EngineLauncher(engine, environment={"PREBAKE_FAILURE_EXIT_DELAY": "60"}).start(built.tag) as server:
        client.wait_until(server, has_answered, START_TIMEOUT_SECONDS, "answering")
        url = f"http://127.0.0.1:{server.port}"
        httpx.get(f"{url}/v2/health/ready", headers={"Prefer": "wait=60"}, timeout=90)
        reason = httpx.get(f"{url}/health").json()["reason"]
    assert "first: tensorrt: this machine has no NVIDIA driver: libcuda.so.1 cannot be loaded" in reason


def has_answered(port: int) -> bool:
    return client.get(port, "/v2/health/live").status in (200, 503)


def test_one_that_may_step_down_answers_and_tells_every_step(engine: Connection, built: Built) -> None:
    with EngineLauncher(engine, environment={"PREBAKE_FALLBACK": "warn"}).start(built.tag) as server:
        client.wait_until(server, client.is_live, START_TIMEOUT_SECONDS, "live")
        url = f"http://127.0.0.1:{server.port}"
        httpx.get(f"{url}/v2/health/ready", headers={"Prefer": "wait=60"}, timeout=90).raise_for_status()
        startup = httpx.get(f"{url}/startup").json()
    assert startup["opened"] == {"first": "cpu", "second": "cpu"}
    steps = {(each["component"], each["from"], each["to"], each["reason"]) for each in startup["fallbacks"]}
    assert steps == {(name, left, "cpu", "provider") for name in ("first", "second") for left in ("tensorrt", "cuda")}


def test_the_build_tells_how_engines_are_made(built: Built) -> None:
    assert "`prebake compile --model toy --target tensorrt --checkpoint small --push REF`" in built.ended.stderr
