"""Precision as somebody at a terminal meets it: a bound that breaks, an answer that the reference does not allow."""

from __future__ import annotations

from typing import Any

from prebake.bake.errors import ParityFailed
from prebake.errors import AnswerDiffers
from tests.support.commands.projects import Project, change_spec


def say(project: Project, **precisions: Any) -> None:
    def change(document: dict[str, Any]) -> None:
        for name, precision in precisions.items():
            document["components"][name] = {**document["components"][name], "precision": precision}

    change_spec(project, change)


def test_what_a_precision_asks_for_is_said_step_by_step(project: Project, tag: str) -> None:
    say(
        project, first={"type": "int8", "max_relative_error": 1e-6}, second={"type": "bf16", "max_relative_error": 1e-6}
    )
    ended = project.run("--model", "toy", "--tag", tag).expect(ParityFailed.exit_code)
    for name in ("first", "second"):
        assert f"{name}, case 1, output 'output': has a relative error of " in ended.stderr
    assert "above the bound of 1e-06" in ended.stderr
    assert "`max_relative_error`" in ended.stderr

    say(project, first="int8", second="bf16")
    ended = project.run("--model", "toy", "--tag", tag).expect(AnswerDiffers.exit_code)
    assert "The reference was computed in fp32, and first is int8, second is bf16." in ended.stderr
    line = next(line for line in ended.stderr.splitlines() if "write `warmup: {tolerance: " in line)
    tolerance = float(line.split("write `warmup: {tolerance: ")[1].split("}")[0])

    change_spec(project, lambda spec: spec.update(warmup={"tolerance": tolerance}))
    ended = project.run("--model", "toy", "--tag", tag).expect(0)
    components = project.report("toy")["components"]
    assert components["first"]["weights"]["quantized"] == {"MatMul": 1}
    assert (components["first"]["precision"], components["second"]["precision"]) == ("int8", "bf16")
    layers = {layer["name"] for layer in project.report("toy")["layers"]}
    assert {"first (derived)", "second (derived)"} <= layers
    assert "first/model.safetensors" not in layers
    assert "int8    first: " in ended.stdout
