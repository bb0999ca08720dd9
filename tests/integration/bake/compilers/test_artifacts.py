"""What one machine compiles for its like: right, keyed by everything that it follows from, and kept where it pays."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from entrypoints.hardware.facts import describe_cpu
from entrypoints.manifest.reader import parse_manifest
from entrypoints.manifest.values import OnnxComponent
from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.compilers.compiler import find_compilers
from prebake.bake.errors import BakeError, ParityFailed
from prebake.bake.model_folder.compile_job import CompileJob, graph_key_fields, weight_files
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.stages.compile_artifacts import ArtifactStage, compile_artifacts
from prebake.bake.trials.cost_model import AMORTIZED_REQUESTS, BASELINE, PULL_BYTES_PER_SECOND
from prebake.documents.artifact import SCHEMA, ArtifactFile, add_artifacts, find_stale_inputs, list_artifacts
from prebake.documents.canonical import digest_file, digest_json
from prebake.documents.component import SessionSettings
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.settings import PublishedFile, StageSettings
from tests.support.models.distance import ROUNDING

Told = list[dict[str, Any]]


@pytest.fixture(scope="module")
def weights(checkpoint: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A new /models with nothing but weights."""

    def lay_out() -> Path:
        models = tmp_path_factory.mktemp("models")
        for source, path in ((checkpoint, "words"), (exported / "derived", "sound")):
            (models / path).mkdir()
            shutil.copy(source / path / "model.safetensors", models / path)
        return models

    return lay_out


@pytest.fixture(scope="module")
def made(
    settings: StageSettings, exported: Path, weights: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the stage leaves where everything is kept."""
    out = tmp_path_factory.mktemp("made")
    compile_artifacts(settings, exported, weights(), out, keep_all=True)
    return out


def artifacts(out: Path) -> dict[str, ArtifactFile]:
    found = (ArtifactFile.from_json(path.read_bytes()) for path in out.rglob("artifact.json"))
    return {each.component: each for each in found}


def told(out: Path) -> Told:
    return list(json.loads((out / "report.json").read_bytes())["artifacts"])


def test_each_component_gets_one_for_this_processor(made: Path) -> None:
    found = artifacts(made)
    assert found.keys() == {"words", "sound"}
    for name, each in found.items():
        assert each.entry["requires"] == {
            "onnxruntime": onnxruntime.__version__,
            "processor": describe_cpu(),
        }
        assert each.entry["graph"] == f"compiled/{name}/native-{each.key[:12]}/model.onnx"
        for path, file in each.files.items():
            assert (made / path).stat().st_size == file["size"]


def test_it_answers_as_the_framework_does(made: Path, exported: Path) -> None:
    cases = Exported.load(exported)
    for name, each in artifacts(made).items():
        session = onnxruntime.InferenceSession(str(made / each.entry["graph"]), providers=["CPUExecutionProvider"])
        for case in cases.cases(name):
            known = {value.name for value in session.get_inputs()}
            inputs = {key: value for key, value in case.inputs.items() if key in known}
            for got, wanted in zip(session.run(list(case.outputs), inputs), case.outputs.values(), strict=True):
                np.testing.assert_allclose(got, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


def test_a_manifest_with_them_is_one_that_a_start_reads(made: Path, models: Path) -> None:
    before = json.loads((models / "manifest.json").read_bytes())
    found = artifacts(made)
    assert not any(find_stale_inputs(each, before["components"]) for each in found.values())
    after = add_artifacts(before, found.values())
    read = parse_manifest(seal_manifest(after))
    for name, each in found.items():
        component = read.components[name]
        assert isinstance(component, OnnxComponent)
        (artifact,) = component.artifacts
        assert (artifact.graph, artifact.key) == (each.entry["graph"], each.key)
        assert {artifact.graph, *artifact.byte_ranges} == set(each.files)
    assert {each.component: each for each in list_artifacts(after)} == found


def test_every_field_is_part_of_the_key() -> None:
    """Each one changed in turn, those of the component and those of the artifact."""
    component = {
        name: f"a {name}" for name in ("graph", "constants", "weights", "precision", "target", "versions", "bake")
    }
    made = CompiledGraph(
        candidate="engine",
        folder=Path(),
        graph="model.onnx",
        provider="TensorrtExecutionProvider",
        session=SessionSettings(),
        requires={"gpu": "H100", "compute_capability": "9.0", "tensorrt": "10.3", "cuda": "12.4", "cudnn": "9.1"},
        options={"trt_fp16_enable": "1"},
        minimum={"driver": "550.54"},
        key_inputs={"profiles": [[1, 128]]},
    )
    key = digest_json(made.key_fields(component))
    others = [made.key_fields({**component, name: "another"}) for name in component]
    others += [replace(made, requires={**made.requires, name: "0"}).key_fields(component) for name in made.requires]
    others += [
        replace(made, **change).key_fields(component)
        for change in (
            {"candidate": "other"},
            {"provider": "CUDAExecutionProvider"},
            {"options": {"trt_fp16_enable": "0"}},
            {"session": SessionSettings("basic")},
            {"session": SessionSettings(prepack=True)},
            {"key_inputs": {"profiles": [[1, 256]]}},
        )
    ]
    keys = {digest_json(other) for other in others}
    assert len(keys) == len(others)
    assert key not in keys
    assert digest_json(replace(made, minimum={"driver": "1"}).key_fields(component)) == key


def test_one_byte_of_one_weight_makes_another_key(
    settings: StageSettings, exported: Path, weights: Callable[[], Path], made: Path
) -> None:
    models = weights()
    path = models / "words/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    changed = replace(settings, ship=(PublishedFile("words/model.safetensors", len(content), digest_file(path)),))
    job = CompileJob(changed, Exported.load(exported), models)
    fields = {name: graph_key_fields(job, name, weight_files(job)) for name in ("words", "sound")}
    before = artifacts(made)
    for name in ("words", "sound"):
        known = before[name].entry["key_inputs"]
        its = {
            **known,
            **fields[name],
            "provider_options": known["provider_options"],
            "session": known["session"],
        }  # the artifact's own
        assert (digest_json(its) != before[name].key) == (name == "words")
    other = {name: {"key_inputs": each} for name, each in fields.items()}
    assert find_stale_inputs(before["words"], other) == ["weights"]
    assert find_stale_inputs(before["sound"], other) == []


def test_what_was_made_of_something_else_is_named(made: Path, models: Path) -> None:
    components = json.loads((models / "manifest.json").read_bytes())["components"]
    artifact = artifacts(made)["words"]
    for name in ("graph", "precision", "bake"):
        changed = copy.deepcopy(components)
        changed["words"]["key_inputs"][name] = "another"
        assert find_stale_inputs(artifact, changed) == [name]
    assert find_stale_inputs(artifact, {}) == ["component"]


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each["artifact"]["key_inputs"].update(target="tensorrt"),
        lambda each: each["artifact"].update(key="0" * 64),
        lambda each: each["artifact"].update(graph="words/model.onnx"),
        lambda each: each["files"].update({"words/model.onnx": {"size": 1, "sha256": "0" * 64}}),
        lambda each: each.update(component="../words"),
        lambda each: each.pop("files"),
        lambda each: each.update(schema=SCHEMA + 1),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(made: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(artifacts(made)["words"].to_json())
    change(document)
    with pytest.raises(ValueError, match=r"\w"):
        ArtifactFile.from_json(json.dumps(document).encode())


@dataclass(frozen=True)
class Wrong:
    """A compiler whose graph computes something else, and which cannot make some at all."""

    impossible: Sequence[str] = ()

    def compile(self, component: str, graph: Path, settings: StageSettings, out: Path) -> Sequence[CompiledGraph]:
        if component in self.impossible:
            raise BakeError(f"{component}: no kernel.", next_action="Take another provider.")
        (made,) = find_compilers(settings)[0].compile(component, graph, settings, out)
        model = onnx.load(str(out / made.graph))
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype.kind == "f":
                tensor.CopyFrom(onnx.numpy_helper.from_array(values + np.float32(0.5), tensor.name))
        onnx.save(model, str(out / made.graph))
        return [made]


def test_one_that_answers_otherwise_is_never_kept(
    settings: StageSettings, exported: Path, weights: Callable[[], Path], tmp_path: Path
) -> None:
    job = CompileJob(settings, Exported.load(exported), weights())
    stage = ArtifactStage(job, weight_files(job), [*find_compilers(settings), Wrong()], tmp_path / "out", keep_all=True)
    with pytest.raises(ParityFailed) as caught:
        list(stage.run("sound", "words"))
    for name in ("sound", "words"):
        assert f"{name}, case 1" in caught.value.message
    assert not (tmp_path / "out" / "compiled").exists()


def test_what_cannot_be_made_keeps_no_other_fault_from_being_told(
    settings: StageSettings, exported: Path, weights: Callable[[], Path], tmp_path: Path
) -> None:
    job = CompileJob(settings, Exported.load(exported), weights())

    def failed(*impossible: str) -> BakeError:
        stage = ArtifactStage(job, weight_files(job), [Wrong(impossible)], tmp_path / "out", keep_all=True)
        with pytest.raises(BakeError) as caught:
            list(stage.run("sound", "words"))
        return caught.value

    both = failed("sound", "words")
    assert both.message == "sound: no kernel.\nwords: no kernel."
    assert both.next_action == "Take another provider."
    mixed = failed("sound")
    assert mixed.message.startswith("sound: no kernel.\nOutputs of baked graphs differ")
    assert "words, case 1" in mixed.message
    assert not list(job.models.glob("artifacts-*"))


def test_the_report_tells_what_was_left_out(
    settings: StageSettings, exported: Path, weights: Callable[[], Path], made: Path, tmp_path: Path
) -> None:
    compile_artifacts(settings, exported, weights(), tmp_path)
    kept = {each["component"] for each in told(tmp_path) if each["kept"]}
    assert kept == artifacts(tmp_path).keys()
    assert all(each["kept"] == (each["choice"]["chosen"] == "native") for each in told(tmp_path))
    assert {each["key"] for each in told(tmp_path)} == {each["key"] for each in told(made)}
    assert all(each["kept"] for each in told(made))


def test_figures_say_what_they_are_taken_of(made: Path) -> None:
    """Of the start with it and without, in the manifest as in the report."""
    choices = {each["key"]: each["choice"] for each in told(made)}
    for each in artifacts(made).values():
        ways = each.entry["choice"]["candidates"]
        assert each.entry["choice"] == choices[each.key]
        assert ways.keys() == {BASELINE, "native"}
        assert (ways[BASELINE]["bytes"], ways["native"]["bytes"]) == (0, each.size)
        assert ways["native"]["pull"] == pytest.approx(each.size / PULL_BYTES_PER_SECOND, abs=1e-4)
        for way in ways.values():
            seconds = way["open"] + way["first"] + (AMORTIZED_REQUESTS - 1) * way["later"]
            assert 0 < seconds == pytest.approx(way["seconds"], abs=1e-3)
        assert each.saved == ways[BASELINE]["seconds"] - ways["native"]["seconds"]


def test_a_target_that_nothing_is_compiled_for_says_so(settings: StageSettings) -> None:
    with pytest.raises(BakeError, match="no compiler is registered"):
        find_compilers(replace(settings, target="metal"))


def test_another_machine_gets_another_folder(made: Path, tmp_path: Path) -> None:
    each = artifacts(made)["words"]
    (tmp_path / "model.onnx").write_bytes((made / each.entry["graph"]).read_bytes())
    here = CompiledGraph(
        candidate="native",
        folder=tmp_path,
        graph="model.onnx",
        provider="CPUExecutionProvider",
        session=SessionSettings(),
        requires={"processor": "x86_64 avx2"},
    )
    there = replace(here, requires={"processor": "x86_64 avx512f"})
    labels = {artifact.describe("words", {}).label for artifact in (here, there)}
    assert len(labels) == 2
