"""The container of ``prebake run``: its options follow from image.yaml and the command line."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.containers.container_spec import Bind, docker_options
from prebake.plan.values import Options
from prebake.spec.image.image import ImageSpec, Resources, Serving, Target
from prebake.spec.project import read_spec
from prebake.workflow.local_run.container import container_spec, find_ports, is_free, server_variables
from tests.support.repository import ROOT


def spec_of(name: str = "minilm", **changes: Any) -> ImageSpec:
    return read_spec(ROOT, name).model_copy(update=changes)


def options(spec: ImageSpec, target: Target = "cpu", processors: int = 4, **more: Any) -> dict[str, Any]:
    return docker_options(container_spec("x:1", spec, target, processors=processors, environment={}, **more))


def test_the_container_is_limited_by_the_resources_and_hardened_as_a_deployed_one() -> None:
    found = options(spec_of(resources=Resources(cpu="1500m", memory="3Gi")))
    assert (found["mem_limit"], found["nano_cpus"]) == (3 * 2**30, 1_500_000_000)
    assert (found["read_only"], found["cap_drop"], found["security_opt"]) == (True, ["ALL"], ["no-new-privileges"])
    assert (found["user"], found["shm_size"], found["auto_remove"]) == ("65532:65532", 256 * 2**20, True)
    assert found["device_requests"] == []


def test_it_asks_for_no_more_processors_than_the_engine_has() -> None:
    assert options(spec_of(resources=Resources(cpu="8", memory="1Gi")), processors=2)["nano_cpus"] == 2_000_000_000


@pytest.mark.parametrize("target", ["cuda", "tensorrt"])
def test_an_image_for_a_gpu_gets_all_gpus(target: Target) -> None:
    (request,) = options(spec_of(), target)["device_requests"]
    assert (request["Count"], request["Capabilities"]) == (-1, [["gpu"]])


def test_several_models_get_the_memory_of_all_of_them() -> None:
    members = [spec_of("minilm"), spec_of("heygem")]
    of_one = [options(member)["mem_limit"] for member in members]
    document = {"schema": 2, "name": "pair", "title": "Pair", "models": {"minilm": {}, "heygem": {}}}
    assert options(ImageSpec.model_validate(document), members=members)["mem_limit"] == sum(of_one)


def test_ports_are_published_on_loopback_and_grpc_at_a_free_one() -> None:
    spec = container_spec("x:1", spec_of(serving=Serving(grpc=True)), "cpu", processors=1, environment={})
    found = docker_options(replace(spec, published={8000: 8007}))
    assert found["ports"] == {"8001/tcp": ("127.0.0.1", None), "8000/tcp": ("127.0.0.1", 8007)}


def test_code_is_mounted_read_only() -> None:
    (mount,) = options(spec_of(), binds=[Bind(Path("/src/images/x"), "/app/images/x")])["mounts"]
    assert (mount["Source"], mount["Target"], mount["ReadOnly"]) == ("/src/images/x", "/app/images/x", True)


def test_variables_of_the_command_line_win_and_the_token_is_ours_without_them() -> None:
    ours = server_variables("secret", {"PORT": "1"})
    assert ours == {
        "PREBAKE_ADMIN_TOKEN": "secret",
        "PREBAKE_PORT": "8000",
        "PREBAKE_FAILURE_EXIT_DELAY": "0",
        "PORT": "1",
    }
    given = {"PREBAKE_ADMIN_TOKEN": "theirs", "PREBAKE_FAILURE_EXIT_DELAY": "3"}
    assert server_variables("secret", given) == {**given, "PREBAKE_PORT": "8000"}


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_at_which_something_listens_is_passed_over(address: str) -> None:
    with socket.socket() as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        assert not is_free(port)
        assert port not in list(find_ports(None, local=True))
        assert list(find_ports(port, local=True)) == [port], "the Engine refuses a port that was asked for"
    assert is_free(port)


def test_an_engine_elsewhere_has_ports_that_are_not_tried_here() -> None:
    assert list(find_ports(None, local=False)) == list(range(8000, 8100))


@pytest.mark.parametrize(
    ("name", "given", "tag"),
    [
        ("minilm", Options(), "prebake/minilm:cpu-published"),
        ("minilm", Options(checkpoint="sample"), "prebake/minilm:cpu-sample"),
        ("duo", Options(), "prebake/duo:cpu"),
        ("minilm", Options(tag="mine:1"), "mine:1"),
    ],
)
def test_the_image_is_the_one_that_a_build_names(name: str, given: Options, tag: str) -> None:
    assert given.image_tag(read_spec(ROOT, name)) == tag
