"""What was compiled for one kind of machine is used there, and nowhere else without a word."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from entrypoints.errors import CompiledElsewhere
from entrypoints.hardware.facts import describe_cpu, find_facts
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import Artifact, OnnxComponent
from entrypoints.runtime.fallback import Candidate, list_candidates, open_first, without_artifacts
from tests.support.container.baking import SESSION, answer, describe_file, make_linear, write_manifest
from tests.support.container.running import Server, Start, wait_until

GRAPH, DATA = "compiled/linear/model.onnx", "compiled/linear/model.bin"


def add_artifact(models: Path, manifest: dict[str, Any], **fields: str) -> dict[str, Any]:
    """A compiled form of ``linear`` for this processor, or for what ``fields`` say; it lies in a folder of its own."""
    contents = {
        GRAPH: make_linear("model.bin").SerializeToString(),
        DATA: (models / "linear/model.bin").read_bytes(),
    }
    for name, content in contents.items():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_bytes(content)
        manifest["files"][name] = {**describe_file(content), "origin": "compiled"}
    artifact = {
        "name": "native",
        "graph": GRAPH,
        "provider": "CPUExecutionProvider",
        "provider_options": {},
        "session": dict(SESSION),
        "requires": {**find_facts("CPUExecutionProvider"), **fields},
        "minimum": {},
        "byte_ranges": {DATA: [[64, 48]]},
        "key": "1" * 64,
        "key_inputs": {},
    }
    manifest["components"]["linear"]["artifacts"] = [artifact]
    write_manifest(models, manifest)
    return artifact


def add_twin(models: Path, manifest: dict[str, Any], processor: str) -> None:
    """The same for another processor, in front of what is there."""
    (own,) = manifest["components"]["linear"]["artifacts"]
    twin = {**own, "requires": {**own["requires"], "processor": processor}, "key": "2" * 64}
    manifest["components"]["linear"]["artifacts"] = [twin, own]
    write_manifest(models, manifest)


def ask(server: Server) -> list[float]:
    return list(server.post(json={"values": "1,2,3,4", "factor": 3}).json()["result"])


def count_fallbacks(server: Server) -> list[str]:
    return [line for line in server.get("/metrics").text.splitlines() if line.startswith("prebake_fallbacks_total")]


def test_what_was_compiled_for_this_machine_is_used(models: Path, manifest: dict[str, Any], start: Start) -> None:
    add_artifact(models, manifest)
    server = start().wait_for("ready")
    startup = server.get("/startup").json()
    assert startup["opened"] == {"linear": "native", "total": "cpu"}
    assert startup["fallbacks"] == server.get("/health").json()["fallbacks"] == count_fallbacks(server) == []
    assert ask(server) == pytest.approx(answer(3))


@pytest.mark.parametrize("fallback", ["warn", "error"])
def test_what_was_compiled_for_another_machine_is_no_step_beside_this_ones(
    models: Path, manifest: dict[str, Any], start: Start, fallback: str
) -> None:
    add_artifact(models, manifest)
    add_twin(models, manifest, "x86_64 amx_tile")
    server = start(PREBAKE_FALLBACK=fallback).wait_for("ready")
    assert server.get("/startup").json()["opened"]["linear"] == "native"
    assert server.get("/health").json()["fallbacks"] == count_fallbacks(server) == []
    assert ask(server) == pytest.approx(answer(3))


def test_one_step_is_told_with_every_machine_that_something_is_here_for(
    models: Path, manifest: dict[str, Any], start: Start
) -> None:
    add_artifact(models, manifest, processor="x86_64 sse")
    add_twin(models, manifest, "x86_64 amx_tile")
    (step,) = start().wait_for("ready").get("/health").json()["fallbacks"]
    assert (step["from"], step["to"], step["reason"]) == ("native", "cpu", "field")
    assert all(f"compiled for {name}" in step["detail"] for name in ("x86_64 sse", "x86_64 amx_tile"))
    refused = start(PREBAKE_FALLBACK="error").wait_for("failed")
    assert "x86_64 sse" in refused.get("/health").json()["reason"]
    assert refused.wait() == 79


def test_a_step_down_is_told_everywhere(models: Path, manifest: dict[str, Any], start: Start) -> None:
    add_artifact(models, manifest, processor="x86_64 amx_tile", onnxruntime="0.1")
    server = start().wait_for("ready")
    step = {
        "component": "linear",
        "from": "native",
        "to": "cpu",
        "reason": "field",
        "detail": f"onnxruntime: compiled for 0.1, here {onnxruntime.__version__}; "
        f"processor: compiled for x86_64 amx_tile, here {describe_cpu()}",
    }
    startup = server.get("/startup").json()
    assert startup["opened"]["linear"] == "cpu"
    assert startup["fallbacks"] == server.get("/health").json()["fallbacks"] == [step]
    assert count_fallbacks(server) == [
        'prebake_fallbacks_total{component="linear",from="native",to="cpu",reason="field"} 1'
    ]
    assert server.find_events("fallback") == [{"event": "fallback", "level": "warning", **step}]
    assert ask(server) == pytest.approx(answer(3))


@pytest.mark.parametrize("where", ["image", "environment"])
def test_a_start_that_may_not_step_down_ends(models: Path, manifest: dict[str, Any], start: Start, where: str) -> None:
    manifest["fallback"] = "error" if where == "image" else "warn"
    add_artifact(models, manifest, onnxruntime="0.1")
    server = start(**({} if where == "image" else {"PREBAKE_FALLBACK": "error"})).wait_for("failed")
    said = server.get("/health").json()["reason"]
    assert f"linear: native: onnxruntime: compiled for 0.1, here {onnxruntime.__version__}" in said
    assert server.wait() == 79


def test_the_environment_allows_what_the_image_does_not(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["fallback"] = "error"
    add_artifact(models, manifest, onnxruntime="0.1")
    assert ask(start(PREBAKE_FALLBACK="warn").wait_for("ready")) == pytest.approx(answer(3))


def test_what_needs_at_least_a_version_says_so(models: Path, manifest: dict[str, Any], start: Start) -> None:
    add_artifact(models, manifest)["minimum"] = {"onnxruntime": "99.1"}
    write_manifest(models, manifest)
    (step,) = start().wait_for("ready").get("/health").json()["fallbacks"]
    assert step["detail"] == f"onnxruntime: needs at least 99.1, here {onnxruntime.__version__}"


def test_a_provider_that_is_not_here_is_stepped_over(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["components"]["total"]["providers"] = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    write_manifest(models, manifest)
    (step,) = start().wait_for("ready").get("/health").json()["fallbacks"]
    assert (step["from"], step["to"], step["reason"]) == ("cuda", "cpu", "provider")
    refused = start(PREBAKE_FALLBACK="error").wait_for("failed")
    assert "total: cuda: this ONNX Runtime has no CUDAExecutionProvider" in refused.get("/health").json()["reason"]
    assert refused.wait() == 79


def test_a_file_that_appears_during_the_start_is_a_fault(models: Path, manifest: dict[str, Any], start: Start) -> None:
    add_artifact(models, manifest)
    server = start(TINY_REBUILT=str(models / "compiled/linear/engine.profile")).wait_for("failed")
    assert "compiled/linear/engine.profile" in server.get("/health").json()["reason"]
    assert server.wait() == 80


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("verify", ["full", "sha256"])
@pytest.mark.parametrize("name", [GRAPH, DATA])
def test_damage_of_what_is_for_another_machine_is_told_once_ready(
    models: Path, manifest: dict[str, Any], start: Start, name: str, verify: str
) -> None:
    add_artifact(models, manifest, processor="x86_64 amx_tile")
    flip(models / name, 20)
    server = start(PREBAKE_VERIFY=verify).wait_for("ready")
    assert ask(server) == pytest.approx(answer(3))
    wait_until(lambda: bool(find_damage(server)), "the damage to be told")
    assert f"{name}: corrupt" in find_damage(server)[0]
    assert [each["text"] for each in server.events if each["event"] == "notice"] == find_damage(server)
    assert server.status() == "ready"


@pytest.mark.parametrize("name", [GRAPH, DATA])
def test_damage_of_what_is_for_this_machine_ends_the_start(
    models: Path, manifest: dict[str, Any], start: Start, name: str
) -> None:
    add_artifact(models, manifest)
    flip(models / name, 20)
    server = start().wait_for("failed")
    assert f"{name}: corrupt" in server.get("/health").json()["reason"]
    assert server.wait() == 73


def test_damage_of_what_a_compiled_form_stands_in_for_is_told_once_ready(
    models: Path, manifest: dict[str, Any], start: Start
) -> None:
    add_artifact(models, manifest)
    for name in ("linear/model.onnx", "linear/model.bin"):
        flip(models / name, 70)
    server = start().wait_for("ready")
    wait_until(lambda: len(find_damage(server)) == 2, "the damage to be told")
    assert ask(server) == pytest.approx(answer(3))


def test_sizes_of_what_is_for_another_machine_are_checked_first(
    models: Path, manifest: dict[str, Any], start: Start
) -> None:
    add_artifact(models, manifest, processor="x86_64 amx_tile")
    (models / DATA).write_bytes(b"")
    assert start(PREBAKE_FAILURE_EXIT_DELAY="0").wait() == 73


def find_damage(server: Server) -> list[str]:
    return [
        text
        for text in server.get("/startup").json()["notices"]
        if "damaged, but this container does not use it" in text
    ]


@pytest.mark.parametrize("verify", ["full", "sizes"])
@pytest.mark.parametrize("seed", range(4))
def test_damage_is_refused_or_told_and_never_answered_with(
    models: Path, manifest: dict[str, Any], start: Start, verify: str, seed: int
) -> None:
    add_artifact(models, manifest)
    draw = random.Random(seed)
    name = draw.choice([GRAPH, DATA])
    content = bytearray((models / name).read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    (models / name).write_bytes(content)
    server = start(PREBAKE_VERIFY=verify)
    if server.wait_until_settled() == "failed":
        assert server.get("/health").json()["reason"]
        assert server.wait() in (73, 74, 75)
        return
    assert verify == "sizes"
    assert ask(server) == pytest.approx(answer(3), abs=2 * manifest["warmup"]["tolerance"])


def test_tensorrt_opens_nothing_that_was_not_compiled_for_it(models: Path, manifest: dict[str, Any]) -> None:
    """As a machine with a GPU would see it."""
    manifest["components"]["linear"]["providers"] = [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ]
    write_manifest(models, manifest)
    component = read_manifest(models).components["linear"]
    assert isinstance(component, OnnxComponent)
    tried: list[str] = []

    class Opened:
        """Stands for a session that a GPU has."""

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return dict(inputs)

    def open_artifact(artifact: Artifact) -> Opened:
        tried.append(artifact.name)
        return Opened()

    def list_here(component: OnnxComponent) -> list[Candidate]:
        providers = list(component.providers)
        return list_candidates(component, open_artifact, lambda _: {"device": "a GPU"}, lambda: providers)

    opened = open_first("linear", list_here(component), strict=False)
    assert tried == [opened.candidate.name] == ["cuda"]
    assert [(fallback.rejected, fallback.reason) for fallback in opened.fallbacks] == [("tensorrt", "absent")]
    with pytest.raises(CompiledElsewhere, match="nothing was compiled for it"):
        open_first("linear", list_here(component), strict=True)
    assert [candidate.name for candidate in list_here(without_artifacts(component))] == ["cuda", "cpu"]
