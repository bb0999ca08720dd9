"""``prebake init`` from .pt2 and TorchScript files: an image without Python that answers as torch does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from entrypoints.contract import BadRequest
from prebake.bake.errors import BakeError
from prebake.docker.connection import Connection
from prebake.workflow.init.recognizers.recognizer import InitRefused
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import clone, reach
from tests.support.models import programs
from tests.support.models.generated import Baked, bake, difference, importable
from tests.support.serving import serving

TOLD = ("--input", "ids=int64[rows, tokens]", "--input", "scale=float32[rows, 1]")
IDS, SCALE = torch.tensor([[7, 49, 0], [1, 2, 3], [0, 0, 1]]), torch.tensor([[1.0], [-0.5], [3.0]])
REQUEST = {"inputs": json.dumps({"ids": IDS.tolist(), "scale": SCALE.tolist()})}


def by_torch() -> dict[str, object]:
    with torch.no_grad():
        scores, features = programs.Scores().eval()(IDS, SCALE)
    return {"scores": scores.tolist(), "features": features.tolist()}


def test_a_program_becomes_a_container_that_answers_as_torch(engine: Connection, tmp_path: Path) -> None:
    project = clone(tmp_path / "project", variables=reach(engine))
    programs.write_program(project.root / "published/scores.pt2")
    project.run("init", "scores", "--from", "published/scores.pt2", "--license", "MIT").expect(0)
    assert not list((project.root / "images/scores").glob("*.py"))
    readme = (project.root / "images/scores/README.md").read_text()
    assert "| input | `scale` | float32 | ids.0 × 1 |" in readme
    with image_name(engine) as tag:
        project.run("--model", "scores", "--tag", tag).expect(0)
        with serving(engine, tag) as service:
            answer = service.post(json=REQUEST)
            assert answer.status_code == 200, answer.text
            assert difference(answer.json()["outputs"], by_torch()) < 1e-4
            message, fields = service.refusal(422, json={"inputs": '{"ids": [[1]], "scale": [[1], [2]]}'})
            assert "scale" in message
            assert list(fields) == ["inputs"]


@pytest.mark.parametrize("traced", [True, False])
def test_torchscript_answers_as_torch_does(begun: Callable[..., Baked], traced: bool) -> None:
    name = "traced" if traced else "scripted"
    baked = begun(name, lambda folder: programs.write_script(folder / "scores.pt", traced=traced), *TOLD)
    outputs = baked.answer(REQUEST)["outputs"]
    assert difference(outputs, dict(zip(("output_0", "output_1"), by_torch().values(), strict=True))) < 1e-4
    with pytest.raises(BadRequest):
        baked.answer({"inputs": json.dumps({"ids": [[50]], "scale": [[1]]})})


def test_what_torchscript_does_not_tell_is_asked_for_by_name(tmp_path: Path) -> None:
    project = clone(tmp_path / "project")
    programs.write_script(project.root / "scores.pt", traced=True)
    said = project.run("init", "scores", "--from", "scores.pt", *TOLD[:2], "--input", "shift=bool[]")
    assert "scale: type and shape are not known" in said.expect(InitRefused.exit_code).stderr
    assert "shift: is not an input of scores.pt" in said.stderr
    assert "--input" in said.stderr
    said = project.run("init", "scores", "--from", "scores.pt", "--input", "ids=long[3]").expect(2)
    assert "float32[batch, 3, 224, 224]" in said.stderr
    assert not (project.root / "images").exists()


@pytest.mark.parametrize("kind", ["weights", "module", "text", "cut"])
def test_files_that_hold_no_graph_are_refused(tmp_path: Path, kind: str) -> None:
    project = clone(tmp_path / "project")
    path = project.root / "scores.pt"
    if kind == "cut":
        programs.write_program(path)
        path.write_bytes(path.read_bytes()[:-4000])
    elif kind == "text":
        path.write_text("nothing of the kind")
    else:
        module = torch.nn.Linear(2, 2)
        torch.save(module if kind == "module" else module.state_dict(), path)
    ended = project.run("init", "scores", "--from", "scores.pt")
    assert ended.code not in (0, 1)
    assert "neither TorchScript nor an archive of torch.export" in ended.stderr
    assert "torch.export.save" in ended.stderr
    assert not (project.root / "images").exists()


def test_a_program_of_another_librarys_structures_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    project = clone(tmp_path / "project")
    programs.write_program(project.root / "scores.pt2", programs.Structured())
    ended = project.run("init", "scores", "--from", "scores.pt2")
    assert ended.code not in (0, 1)
    assert "it takes or returns a transformers.modeling_outputs.SequenceClassifierOutput" in ended.stderr
    assert "in a tuple or a dictionary" in ended.stderr


def test_inputs_that_are_no_tensors_are_named(tmp_path: Path) -> None:
    project = clone(tmp_path / "project")
    script: Any = torch.jit.script(Counting())
    script.save(str(project.root / "counting.pt"))
    ended = project.run("init", "counting", "--from", "counting.pt")
    assert ended.code not in (0, 1)
    assert "times is int" in ended.stderr


class Counting(torch.nn.Module):
    def forward(self, x: torch.Tensor, times: int) -> torch.Tensor:
        return x * times


def write_module(folder: Path, module: torch.nn.Module) -> None:
    folder.mkdir(parents=True)
    script: Any = torch.jit.script(module)
    script.save(str(folder / "scripted.pt"))


def test_a_branch_stays_a_branch(begun: Callable[..., Baked]) -> None:
    words = ("--input", "x=float32[rows, 4]")
    baked = begun("branching", lambda folder: write_module(folder, programs.Branching()), *words)
    for sign, wanted in ((1, 2), (-1, -3)):
        answer = baked.answer({"inputs": json.dumps({"x": [[sign] * 4]})})
        assert answer == {"outputs": {"output": [[wanted] * 4]}}


def test_what_torch_cannot_convert_is_refused_with_the_way_out(tmp_path: Path) -> None:
    project = clone(tmp_path / "project")
    write_module(project.root / "published", programs.Looping())
    words = ("--input", "x=float32[rows, 4]")
    project.run("init", "looping", "--from", "published/scripted.pt", *words).expect(0)
    with importable(project.root), pytest.raises(BakeError) as caught:
        bake(project, "looping", tmp_path)
    assert "torch cannot convert this TorchScript" in caught.value.message
    assert "torch.export.save" in caught.value.next_action
