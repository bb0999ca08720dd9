"""What a machine makes of a component for its own device, by providers that stand for TensorRT and CUDA: from the export to the
candidate that a start opens."""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from entrypoints.components.opener import Opener
from entrypoints.errors import DamagedFile
from entrypoints.files.verification import Verification
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from prebake.bake.compilers.compiler import Compiler, find_compilers
from prebake.bake.compilers.cuda import CudaCompiler
from prebake.bake.compilers.engine import EngineVariant, TimingCache
from prebake.bake.compilers.tensorrt import EngineCompiler
from prebake.bake.errors import BakeError
from prebake.bake.graphs.provider_options import CPU, GraphTraits, Options
from prebake.bake.model_folder.compile_job import CompileJob, weight_files
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.stages.compile_artifacts import ArtifactStage, compile_artifacts
from prebake.bake.stages.export import export_image
from prebake.documents.artifact import ARTIFACT_FILE as DESCRIPTION
from prebake.documents.artifact import ArtifactFile, add_artifacts
from prebake.documents.canonical import seal
from prebake.documents.component import ComponentSettings
from prebake.documents.manifest.validation import seal_manifest
from prebake.plan.artifact_layers import sort_artifacts
from tests.support.bake.fixed import settings_of
from tests.support.bake.host_bake import bake_folder
from tests.support.container.plugin import NAME, OPTIONS

FOLDER = "json_qnn_graph_dir"


def simulated(graph: GraphTraits, said: Options, facts: Mapping[str, str]) -> list[EngineVariant]:
    """In TensorRT's place: two engines, and what the provider writes into a folder of its own as it compiles. One engine is
    given a folder as those without weights are; it has them all the same."""
    cache = TimingCache(folder=FOLDER, options={"dump_json_qnn_graph": "1"}, requires={"provider": facts["provider"]})
    whole = EngineVariant(
        provider=NAME,
        candidate="engine",
        compiling={**OPTIONS, **said},
        serving=OPTIONS,
        requires=facts,
        cache=cache,
    )
    return [whole, replace(whole, refits=FOLDER, cache=None)]


STAND_INS: tuple[Compiler, ...] = (EngineCompiler(NAME, simulated), CudaCompiler(CPU, ("onnxruntime",)))


@pytest.fixture(scope="module")
def image(published: Path, tiny_image: None, plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/models with what both stand-ins made."""
    folder, settings = tmp_path_factory.mktemp("image"), settings_of(published)
    models, own, out = folder / "models", folder / "own", folder / "out"
    bake_folder("fixed", published, settings, models)
    export_image(settings, published, folder / "exported")
    shutil.copytree(published, own)
    job = CompileJob(settings, Exported.load(folder / "exported"), own)
    told = list(ArtifactStage(job, weight_files(job), STAND_INS, out, keep_all=True).run("net"))
    assert [each["name"] for each in told] == ["engine", "engine", "timing-cache", "optimized"]
    artifacts = [ArtifactFile.from_json(path.read_bytes()) for path in out.rglob(DESCRIPTION)]
    for path in out.rglob(DESCRIPTION):
        path.unlink()
    shutil.copytree(out / "compiled", models / "compiled")
    manifest = json.loads((models / "manifest.json").read_bytes())
    whole = add_artifacts(manifest, sort_artifacts(artifacts))
    (models / "manifest.json").write_bytes(seal_manifest(whole))
    return models


def open_net(models: Path) -> tuple[Any, Timeline]:
    manifest, timeline = read_manifest(models), Timeline()
    verification = Verification(models, manifest)
    opener = Opener(models, manifest, timeline, verification)
    verification.add_threads(1)
    opener.start(1)
    return opener.components.session("net"), timeline


Entry = dict[str, Any]


def entries_of(models: Path, candidate: str) -> list[Entry]:
    manifest = json.loads((models / "manifest.json").read_bytes())
    return [dict(each) for each in manifest["components"]["net"]["artifacts"] if each["name"] == candidate]


def elsewhere(models: Path, target: Path, is_other: Callable[[Entry], bool]) -> Path:
    """A read-only copy of which some artifacts were made for another machine."""
    shutil.copytree(models, target)
    manifest = json.loads((target / "manifest.json").read_bytes())
    for each in filter(is_other, manifest["components"]["net"]["artifacts"]):
        each["requires"] = dict.fromkeys(each["requires"], "another")
    (target / "manifest.json").write_bytes(seal(manifest))
    for path in target.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return target


def is_engine(entry: Entry) -> bool:
    return str(entry["name"]) == "engine"


def is_built(entry: Entry) -> bool:
    return entry["name"] in ("engine", "timing-cache")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def check_answer(session: Any, published: Path, bound: float) -> None:
    net = importlib.import_module("images.fixed.export").Net().eval()
    net.load_state_dict(load_file(published / "net/model.safetensors"))
    x = torch.linspace(-2, 1, 64).reshape(2, 32)
    with torch.no_grad():
        assert np.abs(session.run({"x": x.numpy()})["y"] - net(x).numpy()).max() < bound


def test_the_engine_is_opened_and_answers_as_the_framework(image: Path, published: Path) -> None:
    session, timeline = open_net(image)
    assert timeline.opened == {"net": "engine"}
    assert timeline.fallbacks == []
    check_answer(session, published, 0.02)


def test_one_that_is_refitted_is_opened_from_a_copy_beside_nothing(
    image: Path, published: Path, temporary: Path, tmp_path: Path
) -> None:
    copy = elsewhere(image, tmp_path / "models", lambda entry: is_engine(entry) and "scratch" not in entry)
    files = sorted(copy.rglob("*"))
    session, timeline = open_net(copy)
    assert (timeline.opened, timeline.fallbacks) == ({"net": "engine"}, [])
    check_answer(session, published, 0.02)
    assert sorted(copy.rglob("*")) == files
    assert list(temporary.iterdir()) == []
    (entry,) = (each for each in entries_of(image, "engine") if "scratch" in each)
    assert entry["folder_options"] == {FOLDER: "net"}
    assert {"net/model.onnx", "net/model.safetensors"} <= entry["byte_ranges"].keys()


def test_where_no_engine_fits_one_is_built_from_the_cache_and_that_is_told(
    image: Path, published: Path, temporary: Path, tmp_path: Path
) -> None:
    copy = elsewhere(image, tmp_path / "models", is_engine)
    files = sorted(copy.rglob("*"))
    session, timeline = open_net(copy)
    assert timeline.opened == {"net": "timing-cache"}
    (step,) = timeline.fallbacks
    assert (step["from"], step["to"], step["reason"]) == ("engine", "timing-cache", "field")
    check_answer(session, published, 0.02)
    assert sorted(copy.rglob("*")) == files
    assert list(temporary.iterdir()) == []
    (entry,) = entries_of(image, "timing-cache")
    assert entry["graph"] == "net/model.onnx"
    assert entry["requires"].keys() == {"provider"}
    assert entry["provider_options"]["dump_json_qnn_graph"] == "1"


def test_without_a_folder_to_write_to_the_next_way_is_taken_and_told(
    image: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = elsewhere(image, tmp_path / "models", is_engine)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    _, timeline = open_net(copy)
    assert timeline.opened == {"net": "optimized"}
    step = timeline.fallbacks[-1]
    assert (step["from"], step["reason"]) == ("timing-cache", "open")
    assert "no folder is writable" in step["detail"]


def test_the_next_is_the_optimized_graph_over_the_published_weights(
    image: Path, published: Path, tmp_path: Path
) -> None:
    session, timeline = open_net(elsewhere(image, tmp_path / "models", is_built))
    assert timeline.opened == {"net": "optimized"}
    told = [(each["from"], each["to"]) for each in timeline.fallbacks]
    assert told == [("engine", "optimized"), ("timing-cache", "optimized")]
    check_answer(session, published, 1e-4)
    (entry,) = entries_of(image, "optimized")
    assert entry["weights_folder"] == "net"
    assert "net/model.safetensors" in entry["byte_ranges"]
    files = [path for path in (image / entry["graph"]).parent.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < (image / "net/model.safetensors").stat().st_size / 4


@pytest.mark.parametrize("is_other", [lambda entry: is_engine(entry) and "scratch" not in entry, is_engine])
def test_weights_are_verified_before_an_engine_is_made_of_them(
    image: Path, tmp_path: Path, is_other: Callable[[Entry], bool]
) -> None:
    copy = elsewhere(image, tmp_path / "models", is_other)
    weights = copy / "net/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"net/model\.safetensors"):
        open_net(copy)


def test_what_an_artifact_was_made_with_is_told_and_keyed(image: Path) -> None:
    entries = entries_of(image, "engine")
    for entry in entries:
        assert entry["key_inputs"]["compiler_inputs"] == {"compiling": OPTIONS, "profiles": {}}
        assert entry["provider_options"] == OPTIONS
        assert entry["choice"]["candidates"][entry["choice"]["candidate"]]["bytes"] > 0
    assert len({entry["key"] for entry in entries}) == 2
    (optimized,) = entries_of(image, "optimized")
    assert optimized["requires"].keys() == {"onnxruntime"}


def test_of_two_engines_the_one_is_kept_that_pays_more(
    published: Path, tiny_image: None, plugin: Path, tmp_path: Path
) -> None:
    settings = settings_of(published)
    export_image(settings, published, tmp_path / "exported")
    shutil.copytree(published, tmp_path / "models")
    job = CompileJob(settings, Exported.load(tmp_path / "exported"), tmp_path / "models")
    told = list(ArtifactStage(job, weight_files(job), STAND_INS, tmp_path / "out", keep_all=False).run("net"))
    engines: list[dict[str, Any]] = [each for each in told if each["name"] == "engine"]
    assert [each["choice"]["candidate"] for each in engines] == ["engine", "engine 2"]
    chosen = {each["choice"]["chosen"] for each in engines}
    assert len(chosen) == 1
    assert [each["kept"] for each in engines] == [each["choice"]["candidate"] in chosen for each in engines]
    (timing,) = (each for each in told if each["name"] == "timing-cache")
    assert timing["kept"] == any(each["kept"] for each in engines)  # it is for machines that no engine fits


def test_where_the_device_is_not_here_compilation_says_so(published: Path, tiny_image: None, tmp_path: Path) -> None:
    providers = ("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU)
    settings = replace(
        settings_of(published), target="tensorrt", components={"net": ComponentSettings(providers=providers)}
    )
    export_image(settings, published, tmp_path / "exported")
    shutil.copytree(published, tmp_path / "models")
    with pytest.raises(BakeError, match=r"net: this ONNX Runtime has no TensorrtExecutionProvider, only .*CPU"):
        compile_artifacts(settings, tmp_path / "exported", tmp_path / "models", tmp_path / "out")
    names = [type(each).__name__ for each in find_compilers(settings)]
    assert names == ["EngineCompiler", "CudaCompiler"]
