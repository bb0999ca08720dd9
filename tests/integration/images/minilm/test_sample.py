"""minilm's weights from a seed, of any size, and a plan for such a checkpoint that no lock of the project has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from transformers import BertModel

from images.minilm import sample
from prebake.errors import SpecInvalid
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.project import read_project
from prebake.workflow.checkpoint.sized_sample import size_sample
from tests.support.commands.projects import change_spec, clone, lock_path
from tests.support.repository import ROOT

SIZE = 16_000_000


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("size", [None, SIZE])
def test_it_is_determined_by_its_seed_and_loads(tmp_path: Path, size: int | None) -> None:
    for folder, seed in (("one", 1), ("same", 1), ("other", 2)):
        sample.write(tmp_path / folder, seed, size)
    assert digests(tmp_path / "one") == digests(tmp_path / "same")
    assert digests(tmp_path / "one") != digests(tmp_path / "other")
    model, report = BertModel.from_pretrained(tmp_path / "one", local_files_only=True, output_loading_info=True)
    assert not any(report[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    stored = (tmp_path / "one" / "model.safetensors").stat().st_size
    assert (size or 8_000_000) <= stored < 1.5 * (size or 8_000_000)
    assert sum(tensor.nbytes for tensor in model.state_dict().values()) <= stored


def test_a_size_makes_a_checkpoint_of_its_own_and_leaves_the_project_as_it_is(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", "minilm")
    before, told = lock_path(project, "minilm").read_bytes(), list[str]()
    plans = []
    for _ in range(2):
        sized, options = size_sample(read_project(project.root, "minilm"), Options(), "16MB", told.append)
        plans.append(make_plan(sized, options))
    assert plans[0].tag == "prebake/minilm:cpu-sample_16mb"
    assert plans[0].files == plans[1].files
    assert {file.path for file in plans[0].shipped} == {file.path for file in make_plan(sized, Options()).shipped}
    assert max(file.size for file in plans[0].shipped) >= SIZE
    assert told == ["lock: checkpoint sample_16mb"], "what is pinned already is written once"
    assert lock_path(project, "minilm").read_bytes() == before


def test_an_image_without_a_sample_has_no_other_size(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", "minilm")
    change_spec(project, lambda document: document["checkpoints"].pop("sample"), "minilm")
    with pytest.raises(SpecInvalid, match="no source is `from: sample`"):
        size_sample(read_project(project.root, "minilm"), Options(), "16MB", print)
    with pytest.raises(SpecInvalid, match="in published"):
        size_sample(read_project(ROOT, "minilm"), Options(checkpoint="published"), "16MB", print)


def test_what_image_yaml_says_of_the_sample_by_now_is_pinned(tmp_path: Path) -> None:
    """A lock of the build folder that was written before cannot be corrected by `prebake lock`."""
    project = clone(tmp_path / "project", "minilm")
    size_sample(read_project(project.root, "minilm"), Options(), "9MB", print)
    change_spec(project, lambda document: document["checkpoints"]["sample"]["license"].update(id="CC0-1.0"), "minilm")
    sized, options = size_sample(read_project(project.root, "minilm"), Options(), "9MB", print)
    assert make_plan(sized, options).license == "CC0-1.0"
