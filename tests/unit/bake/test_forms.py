"""How a CPU opens a component: tried where it is left open and worth it, and written down."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from entrypoints.machine import find_facts
from entrypoints.manifest import Component as Served
from entrypoints.manifest_file import read_manifest
from entrypoints.opener import Opener
from entrypoints.timeline import Timeline
from entrypoints.verification import Verification
from prebake.bake import forms, native
from prebake.bake.component import Component, Session
from prebake.bake.errors import BakeError
from prebake.bake.graph_trials import try_graphs
from prebake.bake.local import bake_folder
from prebake.bake.sessions import open_session
from prebake.bake.settings import Settings
from prebake.bake.worth import Figures, choose, explain

TRIED = Session(measure=True)
MB = 10**6


def test_the_simplest_form_stands_unless_another_saves_time() -> None:
    mapped = Figures(0.05, 0.20, 0.10)
    assert choose({"mapped": mapped, "packed": Figures(0.90, 0.10, 0.02)}) == "mapped"
    assert choose({"mapped": mapped, "packed": Figures(0.30, 0.10, 0.05)}) == "packed"
    assert choose({"mapped": mapped, "packed": Figures(0.05, 0.20, 0.099)}) == "mapped"  # what two runs differ by


def test_what_adds_bytes_has_to_save_more_than_they_take_to_pull() -> None:
    mapped = Figures(0.05, 0.20, 0.10)
    ahead = Figures(0.05, 0.05, 0.05)  # saves 0.6 s until ten answers
    assert choose({"mapped": mapped, "ahead": replace(ahead, bytes=70 * MB)}) == "ahead"
    found = {"mapped": mapped, "ahead": replace(ahead, bytes=80 * MB)}
    assert choose(found) == "mapped"
    told: dict[str, Any] = explain(found, "mapped")
    assert told["left"] == {"ahead": "-0.600 s until 10 answers, and 80000000 bytes to pull"}
    assert told["ways"]["ahead"] == {
        "open": 0.05,
        "first": 0.05,
        "later": 0.05,
        "seconds": 0.55,
        "pull": 0.64,
        "bytes": 80 * MB,
    }


def test_every_form_is_started_and_what_was_measured_is_in_the_manifest(
    checkpoint: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "WORTH_TRYING", 1)
    tried = replace(settings, components=dict.fromkeys(settings.components, Component(session=TRIED)))
    report = bake_folder("tiny", checkpoint, tried, tmp_path / "models")
    manifest = json.loads((tmp_path / "models/manifest.json").read_bytes())
    for name, component in manifest["components"].items():
        choice = component["choice"]
        assert choice == report[name]["choice"]
        assert choice["chosen"] in choice["ways"]
        assert choice["ways"].keys() == {forms.MAPPED, forms.PACKED, forms.PREPACKED}
        for form in choice["ways"].values():
            assert 0 < form["open"] + form["first"] + 9 * form["later"] == pytest.approx(form["seconds"], abs=1e-3)
        assert component["session"].keys() == {"optimize", "prepack"}
    assert read_manifest(tmp_path / "models").components.keys() == settings.components.keys()


def test_small_components_are_not_tried(manifest_of: dict[str, Any]) -> None:
    assert all("choice" not in each for each in manifest_of["components"].values())


@pytest.fixture
def manifest_of(checkpoint: Path, settings: Settings, tmp_path: Path) -> dict[str, Any]:
    tried = replace(settings, components=dict.fromkeys(settings.components, Component(session=TRIED)))
    bake_folder("tiny", checkpoint, tried, tmp_path / "models")
    return dict(json.loads((tmp_path / "models/manifest.json").read_bytes()))


def test_what_was_packed_ahead_is_opened_where_it_fits_and_left_elsewhere(
    checkpoint: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "WORTH_TRYING", 1)
    monkeypatch.setattr(forms, "choose", lambda measured: list(measured)[-1])  # as if it had been soonest
    tried = replace(settings, components=dict.fromkeys(settings.components, Component(session=TRIED)))
    models = tmp_path / "models"
    bake_folder("tiny", checkpoint, tried, models)
    manifest = read_manifest(models)
    assert open_all(models, manifest) == {"sound": "native", "words": "native"}
    elsewhere = {name: as_for_another(component) for name, component in manifest.components.items()}
    assert open_all(models, manifest._replace(components=elsewhere)) == {"sound": "cpu", "words": "cpu"}
    document = json.loads((models / "manifest.json").read_bytes())
    artifact = document["components"]["words"]["artifacts"][0]
    assert artifact["fields"] == find_facts("CPUExecutionProvider")
    assert artifact["key_fields"].items() >= artifact["fields"].items()
    assert document["files"]["compiled/words/native/weights.data"]["origin"] == "compiled"


def as_for_another(component: Any) -> Served:
    fields = {**component.artifacts[0].fields, "processor": "x86_64 sse2"}
    return Served(*component)._replace(artifacts=(component.artifacts[0]._replace(fields=fields),))


def open_all(models: Path, manifest: Any) -> dict[str, str]:
    """By which rung each component of a manifest is opened."""
    timeline = Timeline()
    verification = Verification(models, manifest)
    verification.work(1)
    opener = Opener(models, manifest, timeline, verification)
    opener.start(1)
    for name in manifest.components:
        opener.components.session(name)
    return dict(sorted(timeline.opened.items()))


def test_a_graph_that_cannot_be_started_is_named(models: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BakeError, match="a trial start of words failed"):
        try_graphs(
            {"mapped": partial(open_session, tmp_path / "model.onnx", TRIED, ["CPUExecutionProvider"])},
            {},
            "words",
        )
