"""Buckets are held against the graph when it is baked: its axes, and whether padding changes an answer."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from prebake.bake.errors import ParityFailed, from_document, to_document
from prebake.bake.graphs.optimize import optimize_graph
from prebake.bake.importers.torch_module import find_ranges
from prebake.bake.parity.bucket_checks import check_buckets
from prebake.bake.parity.graph_signature import GraphSignature
from prebake.bake.stages.compile_graphs import compile_image
from prebake.bake.stages.export import export_image
from prebake.documents.component import ComponentSettings, Precision
from prebake.documents.settings import StageSettings
from prebake.errors import SettingsInvalid, SpecInvalid
from tests.support.bake.host_bake import bake_folder, shipped
from tests.support.container.pooled import make_pooled

WORDS = ComponentSettings(
    buckets=({"batch": 8, "length": 16}, {"batch": 2, "length": 6}),
    pad={"tokens": 0.0, "weight": 1.0},
    overflow="dynamic",
)
Compile = Callable[..., Path]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_image: None) -> Path:
    make = importlib.import_module("images.small.export").make
    folder = tmp_path_factory.mktemp("small")
    for name in ("words", "sounds"):
        (folder / name).mkdir()
        save_file(make(name).state_dict(), folder / name / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def settings(checkpoint: Path) -> StageSettings:
    return StageSettings(
        image="small",
        module="images.small.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components={"words": WORDS, "sounds": ComponentSettings()},
        ship=shipped(checkpoint, ["words/model.safetensors", "sounds/model.safetensors"]),
    )


@pytest.fixture(scope="module")
def exported(checkpoint: Path, settings: StageSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "exported"
    export_image(settings, checkpoint, folder)
    return folder


@pytest.fixture
def compiled(checkpoint: Path, settings: StageSettings, exported: Path, tmp_path: Path) -> Compile:
    """Compile with other components; gives the folder of the stage's result."""

    def run(**components: ComponentSettings) -> Path:
        shutil.copytree(checkpoint, tmp_path / "models")
        all_of = {**settings.components, **components}
        compile_image(replace(settings, components=all_of), exported, tmp_path / "models", tmp_path / "out")
        return tmp_path / "out"

    return run


def test_the_manifest_has_the_buckets_and_the_report_has_their_proof(compiled: Compile) -> None:
    out = compiled()
    components = json.loads((out / "models/manifest.json").read_bytes())["components"]
    assert components["words"]["buckets"] == {
        "shapes": [{"batch": 8, "length": 16}, {"batch": 2, "length": 6}],
        "pad": {"tokens": 0.0, "weight": 1.0},
        "overflow": "dynamic",
    }
    assert "buckets" not in components["sounds"]
    parity = json.loads((out / "report.json").read_bytes())["words"]["parity"]
    proved: dict[str, int] = {}
    for each in (each for each in parity if each["output"] == "scores"):
        proved[each.get("bucket", "")] = proved.get(each.get("bucket", ""), 0) + 1
    # Both cases fit into both buckets; one case each is made that fills the bucket, and one that fills half of it.
    assert proved == {"": 2, "batch 2, length 6": 4, "batch 8, length 16": 4}


def test_padding_that_changes_an_answer_fails_the_bake_and_names_the_axis(compiled: Compile) -> None:
    sounds = ComponentSettings(buckets=({"batch": 4, "samples": 40},), pad={"x": 0.0})
    with pytest.raises(ParityFailed) as caught:
        compiled(sounds=sounds)
    assert caught.value.exit_code == 42
    assert {problem.hint for problem in caught.value.problems} == {"padding samples changes it"}
    assert caught.value.problems[0].where == "sounds, case 1 in the bucket batch 4, samples 40, output 'y'"
    assert "padding along samples changes outputs" in caught.value.next_action


def test_an_axis_that_is_not_padded_is_routed(compiled: Compile) -> None:
    shapes = ({"batch": 2, "samples": 24}, {"batch": 2, "samples": 28})
    out = compiled(sounds=ComponentSettings(buckets=shapes))
    parity = json.loads((out / "report.json").read_bytes())["sounds"]["parity"]
    assert {(each["case"], each.get("bucket")) for each in parity} == {
        (1, None),
        (2, None),
        (1, "batch 2, samples 24"),
        (2, "batch 2, samples 28"),
        (1, "batch 2, samples 28"),
    }


def test_a_bound_is_what_padding_may_change_where_the_precision_has_one(checkpoint: Path, tmp_path: Path) -> None:
    component = replace(WORDS, precision=Precision("int8", 0.05))
    settings = StageSettings(
        image="small",
        module="images.small.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components={"words": component},
    )
    report = bake_folder("small", checkpoint, settings, tmp_path / "models")["words"]["parity"]
    assert {each["tolerance"] for each in report} == {0.05}
    assert any("bucket" in each for each in report)


def test_all_that_a_graph_cannot_do_is_told_at_once(compiled: Compile) -> None:
    words = ComponentSettings(
        buckets=({"batches": 8, "length": 16},), pad={"token": 0.0, "weight": 1.0, "tokens": 0.5}, overflow="error"
    )
    sounds = ComponentSettings(buckets=({"batch": 2, "samples": 24},), pad={"x": 1e300})
    with pytest.raises(SpecInvalid) as caught:
        compiled(words=words, sounds=sounds)
    assert [str(problem) for problem in caught.value.problems] == [
        "components.words.buckets: no input has a dynamic axis 'batches' (did you mean 'batch'?)",
        "components.words.pad.token: the graph has no such input (did you mean 'tokens'?)",
        "components.words.pad.weight: has none of the axes batches, length (remove it)",
        "components.words.pad.tokens: 0.5 is not a valid int64",
        "components.sounds.pad.x: 1e+300 is not a valid float32",
    ]
    raised = from_document(to_document(caught.value), caught.value.exit_code)
    assert isinstance(raised, SpecInvalid)
    assert (raised.message, raised.problems) == (caught.value.message, caught.value.problems)


def test_settings_keep_buckets_and_name_what_is_none(settings: StageSettings) -> None:
    assert StageSettings.from_json(settings.to_json()) == settings
    assert settings.for_export().components["words"] == ComponentSettings()
    document = json.loads(settings.to_json())
    words: dict[str, Any] = document["components"]["words"]
    words["buckets"], words["pad"], words["overflow"] = [{"batch": "8"}, 3], {"tokens": "0"}, "somewhere"
    with pytest.raises(SettingsInvalid) as caught:
        StageSettings.from_json(json.dumps(document).encode())
    assert places(caught.value) == {
        "components.words.overflow",
        "components.words.buckets[0].batch",
        "components.words.buckets[1]",
        "components.words.pad.tokens",
    }


def places(error: SettingsInvalid) -> set[str]:
    return {problem.where for problem in error.problems}


def test_ranges_of_the_export_bound_the_buckets(checkpoint: Path, tmp_path: Path) -> None:
    length = torch.export.Dim("length", min=2, max=12)
    ranges: Mapping[str, Any] = {"words": find_ranges({"tokens": {0: "batch", 1: length}})}
    assert ranges["words"] == {"length": [2, 12]}
    tensors = GraphSignature({}, {"tokens": ("batch", "length"), "twice": ("batch", "2*length")}, {})
    component = ComponentSettings(buckets=({"batch": 2, "length": 16}, {"batch": 2, "length": 1}))
    settings = StageSettings(
        image="small",
        module="images.small.model",
        target="cpu",
        checkpoint="sample",
        model_revision="0" * 64,
        components={"words": component},
    )
    with pytest.raises(SpecInvalid) as caught:
        check_buckets(settings, {"words": tensors}, ranges)
    assert [str(problem) for problem in caught.value.problems] == [
        "components.words.buckets[0].length: is 16, but length was exported for 2 to 12: "
        "the graph's input 'tokens' is [batch, length]",
        "components.words.buckets[1].length: is 1, but length was exported for 2 to 12: "
        "the graph's input 'tokens' is [batch, length]",
        "components.words.buckets: the input 'twice' has an axis '2*length', which depends on 'length'",
    ]


def test_an_axis_without_a_name_is_called_by_its_tensor_as_the_server_does(tmp_path: Path) -> None:
    graph = make_pooled()
    for tensor in (*graph.graph.input, graph.graph.output[1]):
        for axis in tensor.type.tensor_type.shape.dim:
            axis.ClearField("dim_param")
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
    with optimize_graph(tmp_path / "model.onnx", "pooled", ["CPUExecutionProvider"]) as model:
        tensors = GraphSignature.read(model)
    assert tensors.inputs == {"rows": ("rows.0", "rows.1"), "mask": ("mask.0", "mask.1")}
    assert tensors.outputs["doubled"] == ("doubled.0", "doubled.1")
