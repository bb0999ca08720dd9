"""What an image for a GPU is started with, and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prebake.engine.connection import Connection
from prebake.engine.container_spec import docker_options
from prebake.plan.making import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.image import Target
from prebake.spec.project import read_project
from prebake.workflow.device import NONE, Device, NoGpu, find_device, why_not_on_cpu
from prebake.workflow.proving import Proof

ROOT = Path(__file__).parents[3]
NOWHERE = Connection("unix:///nowhere", Path("docker"))
SAID = 'could not select device driver "" with capabilities: [[gpu]]'


def plan_of(model: str, target: Target) -> Plan:
    return replace(make_plan(read_project(ROOT, model), Options(target)), files=())


@pytest.mark.parametrize(("device", "counts"), [(NONE, []), (Device(True), [-1]), (Device(True, SAID), [])])
def test_servers_get_the_gpus_that_are_there(device: Device, counts: list[int]) -> None:
    options = docker_options(device.launcher(NOWHERE).container("image"))
    assert [each.count for each in options["device_requests"]] == counts


def test_only_without_a_gpu_may_a_start_open_another_way_than_the_image_says() -> None:
    assert Device(True, SAID).launcher(NOWHERE).container("image").environment == {"PREBAKE_FALLBACK": "announce"}
    assert Device(True).launcher(NOWHERE).container("image").environment == {}


def test_no_engine_is_asked_for_an_image_that_is_for_no_gpu() -> None:
    assert find_device(NOWHERE, "cpu", "image") == NONE


def test_what_needs_a_gpu_says_what_the_engine_said() -> None:
    Device(True).require("A benchmark")
    with pytest.raises(NoGpu, match="A benchmark of an image for a GPU needs one") as caught:
        Device(True, SAID).require("A benchmark")
    assert SAID in str(caught.value)


def test_what_no_cpu_computes_is_not_started() -> None:
    told = {"words": {"parity": []}, "unet": {"not_compared": "no kernel for Mul"}}
    assert why_not_on_cpu(plan_of("foley", "cuda"), told) == "unet: no kernel for Mul"
    assert why_not_on_cpu(plan_of("foley", "cuda"), {"words": {"parity": []}}) == ""
    assert why_not_on_cpu(plan_of("zimage", "cuda"), {}) == "torch serves it on cuda"


def test_the_report_says_what_was_proved_where() -> None:
    assert Proof().gpu is None
    assert Proof(Device(True)).gpu == {"proved": True}
    assert Proof(Device(True, SAID)).gpu == {"proved": False, "said": SAID}
    unstarted = Proof(Device(True, SAID), "unet: no kernel for Mul")
    assert unstarted.gpu == {"proved": False, "said": SAID, "unstarted": "unet: no kernel for Mul"}
    assert "it is not started: unet: no kernel for Mul" in unstarted.plan
