"""Which baselines do the same work as the image, and which names are a registry's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import ImageFacts
from prebake.io.log import silent
from prebake.measure.client import Request
from prebake.measure.gate.errors import BaselineUnusable
from prebake.measure.warmup_request import WarmupRequest
from prebake.workflow.benchmark import baseline as module
from prebake.workflow.benchmark.baseline import Baseline, _registry_reference, get_baseline, require_comparable
from prebake.workflow.requests import BuildRequest

BASELINE = Baseline("toy:before", "tag", "toy:before")
WARMUP = WarmupRequest(Request({"prompt": "x"}), b'{"values": [1.0, 2.0]}', "application/json", 0.01)


def compare(theirs: dict[str, WarmupRequest], *, other_answers: bool = False) -> None:
    require_comparable(BASELINE, {"toy": WARMUP}, theirs, other_answers=other_answers)


def test_answers_within_the_tolerance_are_the_same() -> None:
    compare({"toy": replace(WARMUP, answer=b'{"values": [1.005, 2.0]}')})


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (replace(WARMUP, answer=b'{"values": [1.5, 2.0]}'), r"another answer to the same request \(by 0.5"),
        (replace(WARMUP, answer=b'{"values": [1.0]}'), r"another answer to the same request \(by inf"),
        (replace(WARMUP, request=Request({"prompt": "y"})), r"another warm-up request \(fields prompt\)"),
        (replace(WARMUP, request=Request({"prompt": "x", "seed": "1"})), r"another warm-up request \(fields seed\)"),
        (replace(WARMUP, media_type="text/plain"), "text/plain, not application/json"),
    ],
)
def test_other_work_is_refused_unless_it_is_allowed(other: WarmupRequest, reason: str) -> None:
    with pytest.raises(BaselineUnusable, match=rf"toy:before does other work at its start:\n  toy: .*{reason}"):
        compare({"toy": other})
    compare({"toy": other}, other_answers=True)


def test_another_model_is_always_refused() -> None:
    with pytest.raises(BaselineUnusable, match="another model: foley, not toy"):
        compare({"foley": WARMUP}, other_answers=True)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("ghcr.io/me/toy:main", "ghcr.io"),
        ("localhost:5000/toy", "localhost:5000"),
        (f"registry.example.com/toy@sha256:{'0' * 64}", "registry.example.com"),
        ("docker.io/me/toy:v1", "docker.io"),
        ("prebake/toy:cpu-sample", None),
        ("feature/faster-start", None),
        ("main", None),
        ("HEAD~1", None),
        ("v1.0^{}", None),
    ],
)
def test_a_name_with_a_host_is_a_registrys(name: str, host: str | None) -> None:
    found = _registry_reference(name)
    assert (found.host if found else None) == host


def test_a_tag_that_the_build_moves_does_not_move_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Engine's names are a dictionary; what a real Engine does with them is tested in tests/e2e/commands/test_gate.py."""
    names = {"prebake/toy:cpu-sample": "sha256:" + "a" * 64}

    def inspect(_: Connection, name: str) -> ImageFacts:
        return ImageFacts(name, names[name], 0, (), {})

    monkeypatch.setattr(module, "has_image", lambda _, name: name in names)
    monkeypatch.setattr(module, "inspect_image", inspect)
    monkeypatch.setattr(module, "tag_image", lambda _, name, tag: names.update({tag: names[name]}))
    request = BuildRequest(Path(), "toy")
    found = get_baseline(Connection("unix:///nowhere", Path("docker")), "prebake/toy:cpu-sample", request, silent)
    names["prebake/toy:cpu-sample"] = "sha256:" + "b" * 64  # as the build does it
    assert names[found.image] == "sha256:" + "a" * 64
    assert (found.given, found.kind) == ("prebake/toy:cpu-sample", "tag")
