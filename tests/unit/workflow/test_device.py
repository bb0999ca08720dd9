"""What an image for a GPU is started with, and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import docker_options
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.image.image import Target
from prebake.spec.project import read_project
from prebake.workflow.start_check.gpu import NO_GPU_NEEDED, GpuAccess, NoGpu, cpu_obstacle, find_gpu
from prebake.workflow.start_check.start_check import StartCheck
from tests.support.repository import ROOT

NOWHERE = Connection("unix:///nowhere", Path("docker"))
SAID = 'could not select device driver "" with capabilities: [[gpu]]'


def plan_of(model: str, target: Target) -> Plan:
    return replace(make_plan(read_project(ROOT, model), Options(target)), files=())


@pytest.mark.parametrize(
    ("device", "counts"), [(NO_GPU_NEEDED, []), (GpuAccess(True), [-1]), (GpuAccess(True, SAID), [])]
)
def test_servers_get_the_gpus_that_are_there(device: GpuAccess, counts: list[int]) -> None:
    options = docker_options(device.launcher(NOWHERE).container("image"))
    assert [each.count for each in options["device_requests"]] == counts


def test_only_without_a_gpu_may_a_start_open_another_way_than_the_image_says() -> None:
    assert GpuAccess(True, SAID).launcher(NOWHERE).container("image").environment == {"PREBAKE_FALLBACK": "warn"}
    assert GpuAccess(True).launcher(NOWHERE).container("image").environment == {}


def test_no_engine_is_asked_for_an_image_that_is_for_no_gpu() -> None:
    assert find_gpu(NOWHERE, "cpu", "image") == NO_GPU_NEEDED


def test_what_needs_a_gpu_says_what_the_engine_said() -> None:
    GpuAccess(True).require("A benchmark")
    with pytest.raises(NoGpu, match="A benchmark of an image for a GPU needs a GPU") as caught:
        GpuAccess(True, SAID).require("A benchmark")
    assert SAID in str(caught.value)


def test_what_no_cpu_computes_is_not_started() -> None:
    told = {"words": {"parity": []}, "unet": {"not_compared": "no kernel for Mul"}}
    assert cpu_obstacle(plan_of("foley", "cuda"), told) == "unet: no kernel for Mul"
    assert cpu_obstacle(plan_of("foley", "cuda"), {"words": {"parity": []}}) == ""
    assert cpu_obstacle(plan_of("zimage", "cuda"), {}) == "torch serves it, and only on cuda"


def test_the_report_says_what_was_proved_where() -> None:
    assert StartCheck().gpu is None
    assert StartCheck(GpuAccess(True)).gpu == {"verified": True}
    assert StartCheck(GpuAccess(True, SAID)).gpu == {"verified": False, "unavailable": SAID}
    not_started = StartCheck(GpuAccess(True, SAID), "unet: no kernel for Mul")
    assert not_started.gpu == {"verified": False, "unavailable": SAID, "not_started": "unet: no kernel for Mul"}
    assert "it is not started: unet: no kernel for Mul" in not_started.description
