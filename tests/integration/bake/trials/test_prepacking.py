"""How a CPU opens a component: tried where it is left open and worth it, and written down."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from entrypoints.manifest.reader import read_manifest
from prebake.bake.errors import BakeError
from prebake.bake.graphs.sessions import open_session
from prebake.bake.trials import prepacking
from prebake.bake.trials.cost_model import Cost, explain_candidates, select
from prebake.bake.trials.trial import run_graph_trials
from prebake.documents.component import ComponentSettings, SessionSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import compile_folder

TRIED = SessionSettings(measure=True)
MB = 10**6


def test_the_simplest_form_stands_unless_another_saves_time() -> None:
    mapped = Cost(0.05, 0.20, 0.10)
    assert select({"mapped": mapped, "packed": Cost(0.90, 0.10, 0.02)}) == "mapped"
    assert select({"mapped": mapped, "packed": Cost(0.30, 0.10, 0.05)}) == "packed"
    assert select({"mapped": mapped, "packed": Cost(0.05, 0.20, 0.099)}) == "mapped"  # what two runs differ by


def test_what_adds_bytes_has_to_save_more_than_they_take_to_pull() -> None:
    mapped = Cost(0.05, 0.20, 0.10)
    ahead = Cost(0.05, 0.05, 0.05)  # saves 0.6 s until ten answers
    assert select({"mapped": mapped, "ahead": replace(ahead, bytes=70 * MB)}) == "ahead"
    found = {"mapped": mapped, "ahead": replace(ahead, bytes=80 * MB)}
    assert select(found) == "mapped"
    told: dict[str, Any] = explain_candidates(found, "mapped")
    assert told["rejected"] == {"ahead": "-0.600 s until 10 answers, and 80000000 bytes to pull"}
    assert told["candidates"]["ahead"] == {
        "open": 0.05,
        "first": 0.05,
        "later": 0.05,
        "seconds": 0.55,
        "pull": 0.64,
        "bytes": 80 * MB,
    }


def test_every_form_is_started_and_what_was_measured_is_in_the_manifest(
    checkpoint: Path, settings: StageSettings, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepacking, "MIN_TRIAL_BYTES", 1)
    tried = replace(settings, components=dict.fromkeys(settings.components, ComponentSettings(session=TRIED)))
    report = compile_folder(tried, checkpoint, exported, tmp_path / "models")
    manifest = json.loads((tmp_path / "models/manifest.json").read_bytes())
    for name, component in manifest["components"].items():
        choice = component["choice"]
        assert choice == report[name]["choice"]
        assert choice["chosen"] in choice["candidates"]
        assert choice["candidates"].keys() == {prepacking.MMAP, prepacking.PREPACK}
        for form in choice["candidates"].values():
            assert 0 < form["open"] + form["first"] + 9 * form["later"] == pytest.approx(form["seconds"], abs=1e-3)
        assert component["session"].keys() == {"optimize", "prepack"}
    assert read_manifest(tmp_path / "models").components.keys() == settings.components.keys()


def test_small_components_are_not_tried(manifest_of: dict[str, Any]) -> None:
    assert all("choice" not in each for each in manifest_of["components"].values())


@pytest.fixture
def manifest_of(checkpoint: Path, settings: StageSettings, exported: Path, tmp_path: Path) -> dict[str, Any]:
    tried = replace(settings, components=dict.fromkeys(settings.components, ComponentSettings(session=TRIED)))
    compile_folder(tried, checkpoint, exported, tmp_path / "models")
    return dict(json.loads((tmp_path / "models/manifest.json").read_bytes()))


def test_a_graph_that_cannot_be_started_is_named(models: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BakeError, match="a trial start of words failed"):
        run_graph_trials(
            {"mapped": partial(open_session, tmp_path / "model.onnx", TRIED, ["CPUExecutionProvider"])},
            {},
            "words",
        )
