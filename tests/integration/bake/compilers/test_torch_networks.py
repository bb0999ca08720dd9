"""The stages where torch serves: networks held against weights, and a compile cache that the server uses or announces."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from entrypoints.components.opener import Opener
from entrypoints.errors import DamagedFile
from entrypoints.files.verification import Verification
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from prebake.bake.authoring import Bake
from prebake.bake.errors import BakeError, WeightsError
from prebake.bake.stages.compile_artifacts import compile_artifacts
from prebake.bake.stages.compile_graphs import compile_image
from prebake.bake.stages.export import export_image
from prebake.documents.canonical import seal
from prebake.documents.component import ComponentSettings
from prebake.documents.settings import StageSettings
from prebake.errors import SettingsInvalid
from tests.gpu_check.compiled import artifact_of
from tests.support.bake.host_bake import bake_folder
from tests.support.collection.sampled import slow
from tests.support.container.baking import replace_file
from tests.support.container.running import Server, running
from tests.support.images.blocks.checkpoint import bake, settings_for, write_checkpoint
from tests.support.repository import ROOT

COMPILE = """
import json, shutil, sys
from pathlib import Path
from prebake.documents.artifact import ARTIFACT_FILE, add_artifacts
from prebake.documents.manifest.validation import seal_manifest
from prebake.bake.model_folder.compile_job import CompileJob, weight_files
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.compilers.torch_artifacts import gather
from prebake.bake.compilers.torch_networks import network_key_fields, list_parts
from prebake.bake.compilers.torch_blocks import make_cache
from prebake.documents.settings import StageSettings
from prebake.bake.compilers.torch_model import CACHE, CompiledForm

models, exported, settings, out = (Path(word) for word in sys.argv[1:])
job = CompileJob(StageSettings.from_json(settings.read_bytes()), Exported.load(exported), models)
files = weight_files(job)
parts = list_parts(job, files)
content, findings = make_cache(job, parts, "cpu", "net")
assert findings and all(finding.passed for finding in findings), findings
out.mkdir()
(out / "net").write_bytes(content)
((_, made),) = gather(job, CompiledForm(CACHE, caches={"net": out / "net"}), "cpu", out / "placed")
artifact = made.describe("net", network_key_fields(job, parts["net"], files))
artifact.write(made.folder, models)
(models / "compiled/net" / artifact.label / ARTIFACT_FILE).unlink()
manifest = json.loads((models / "manifest.json").read_bytes())
manifest = add_artifacts(manifest, [artifact])
(models / "manifest.json").write_bytes(seal_manifest(manifest))
"""
"""What the artifacts stage does where the target's device is, for a CPU: whose compiler no image has, but this machine. The
kernels in C++ stay in the folder that torch has them compiled to."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baked folder with a compile cache of this machine's processor, compiled in a process of its own."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("compiled")
    models = bake(folder)
    export_image(settings_for(folder / "checkpoint"), folder / "checkpoint", folder / "exported")
    (folder / "settings.json").write_bytes(settings_for(folder / "checkpoint").to_json())
    arguments = [str(folder / name) for name in ("models", "exported", "settings.json", "out")]
    environment = {"PYTHONPATH": str(ROOT), "TORCHINDUCTOR_CACHE_DIR": str(folder / "made"), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", COMPILE, *arguments], env=environment, check=True)
    return models


def started(models: Path, folder: Path, kernels: Path | None = None) -> Any:
    """A server that has compiled no graph before: it finds what was baked, or nothing. ``kernels`` is where the C++ was compiled,
    which a cache for a CPU does not hold: without it a compiler would be at it for half a minute."""
    if kernels is not None:
        shutil.copytree(kernels, folder / "cache", ignore=shutil.ignore_patterns("fxgraph", "aotautograd"))
    (folder / "cache").mkdir(exist_ok=True)
    return running(models, folder, {"TORCHINDUCTOR_CACHE_DIR": str(folder / "cache")})


def startup(server: Server) -> dict[str, Any]:
    """Torch's import alone takes seconds, and that of its compiler."""
    return dict(server.wait_for("ready", patience=300).get("/startup").json())


def test_blocks_come_from_the_baked_cache(compiled: Path, tmp_path: Path) -> None:
    with started(compiled, tmp_path, compiled.parent / "made") as server:
        start = startup(server)
        assert (start["opened"], start["fallbacks"]) == ({"net": "compile-cache"}, [])
        assert server.post(json={"values": ",".join("1" * 16), "rows": 7}).status_code == 200
    assert "load compile cache of net" in {phase["name"] for phase in start["phases"]}


@slow
def test_what_is_compiled_at_start_is_a_step_down(compiled: Path, tmp_path: Path) -> None:
    """A cache of nothing fits the machine, and gives no graph."""
    models = Path(shutil.copytree(compiled, tmp_path / "models"))
    manifest = json.loads((models / "manifest.json").read_bytes())
    program = "import sys; from entrypoints.runtime.compile_cache import save_cache; import torch; " + (
        "f = torch.compile(lambda x: x + 1); f(torch.ones(3)); sys.stdout.buffer.write(save_cache())"
    )
    environment = {"PYTHONPATH": str(ROOT), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "other"), "PATH": "/usr/bin:/bin"}
    other = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True).stdout
    replace_file(models, manifest, artifact_of(manifest)["cache"], other)
    with started(models, tmp_path, compiled.parent / "made") as server:
        (step,) = startup(server)["fallbacks"]
    assert (step["component"], step["from"], step["reason"]) == ("net", "compile-cache", "rebuilt")
    assert "1 were compiled again" in step["detail"]


def test_a_cache_of_another_machine_is_a_step_down(compiled: Path, tmp_path: Path) -> None:
    models = Path(shutil.copytree(compiled, tmp_path / "models"))
    manifest = json.loads((models / "manifest.json").read_bytes())
    artifact_of(manifest)["requires"].update(torch="1.0", capability="9.0")
    (models / "manifest.json").write_bytes(seal(manifest))
    with started(models, tmp_path) as server:
        start = startup(server)
        events = server.find_events("fallback")
    (step,) = start["fallbacks"]
    assert start["opened"] == {"net": "eager"}
    assert (step["from"], step["to"], step["reason"]) == ("compile-cache", "eager", "field")
    assert f"torch: compiled for 1.0, here {torch.__version__}" in step["detail"]
    assert "capability: compiled for 9.0" in step["detail"]
    assert events == [{"event": "fallback", "level": "warning", **step}]


def test_a_cache_that_torch_cannot_read_is_a_step_down(compiled: Path, tmp_path: Path) -> None:
    models = Path(shutil.copytree(compiled, tmp_path / "models"))
    manifest = json.loads((models / "manifest.json").read_bytes())
    replace_file(models, manifest, artifact_of(manifest)["cache"], b"no cache")
    timeline = Timeline()
    opener = Opener(models, read_manifest(models), timeline, None)
    opener.start(1)
    opener.components.session("net")
    (step,) = timeline.fallbacks
    assert (step["to"], step["reason"]) == ("eager", "open")
    assert f"torch cannot read {artifact_of(manifest)['cache']}" in step["detail"]


@pytest.mark.parametrize("verified", [True, False])
def test_a_flipped_byte_of_a_cache_is_refused_or_told_and_never_read(
    compiled: Path, tmp_path: Path, verified: bool
) -> None:
    models = Path(shutil.copytree(compiled, tmp_path / "models"))
    cache = models / artifact_of(json.loads((models / "manifest.json").read_bytes()))["cache"]
    whole, draw = cache.read_bytes(), random.Random(5)
    for _ in range(5):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        cache.write_bytes(damaged)
        manifest, timeline = read_manifest(models), Timeline()
        verification = Verification(models, manifest) if verified else None
        opener = Opener(models, manifest, timeline, verification)
        if verification is not None:
            verification.add_threads(1)
        opener.start(1)
        if verified:
            with pytest.raises(DamagedFile, match="corrupt"):
                opener.components.session("net")
        else:
            opener.components.session("net")
            (step,) = timeline.fallbacks
            assert (step["to"], step["reason"]) == ("eager", "open")
            assert "corrupt" in step["detail"]


def test_without_a_device_nothing_is_compiled_for_it_and_the_image_is_baked_all_the_same(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    settings = settings_for(write_checkpoint(tmp_path / "checkpoint"), "bf16")
    settings = replace(settings, target="cuda", compiled="auto")
    report = bake_folder("blocks", tmp_path / "checkpoint", settings, tmp_path / "models")
    assert report["net"]["precision"] == "bf16"
    manifest = json.loads((tmp_path / "models/manifest.json").read_bytes())
    assert manifest["torch"] == {"module": settings.networks, "device": "cuda", "compiled": "auto"}
    export_image(settings, tmp_path / "checkpoint", tmp_path / "exported")
    with pytest.raises(
        BakeError, match=r"aot: this machine has no CUDA device\n.*compile-cache: this machine has no CUDA"
    ):
        compile_artifacts(settings, tmp_path / "exported", tmp_path / "models", tmp_path / "out")
    assert not (tmp_path / "out" / "compiled").exists()


def test_an_image_with_nothing_compiled_tells_how_that_is_made(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    bake(tmp_path, settings_for(checkpoint, compiled="auto"))
    timeline = Timeline()
    opener = Opener(tmp_path / "models", read_manifest(tmp_path / "models"), timeline, None, strict=True)
    opener.start(1)
    opener.components.session("net")
    assert (timeline.opened, timeline.fallbacks) == ({"net": "eager"}, [])
    (notice,) = timeline.notices
    assert "`prebake compile`" in str(notice)


def test_weights_that_do_not_fit_fail_the_bake_with_all_of_it(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    save_file(
        {"net.first.weight": torch.zeros(3, 3), "net.other": torch.zeros(1)}, checkpoint / "net/model.safetensors"
    )
    settings = settings_for(checkpoint)
    write_checkpoint(tmp_path / "good/checkpoint")
    export_image(settings_for(tmp_path / "good/checkpoint"), tmp_path / "good/checkpoint", tmp_path / "exported")
    shutil.copytree(checkpoint, tmp_path / "models")
    with pytest.raises(WeightsError) as caught:
        compile_image(settings, tmp_path / "exported", tmp_path / "models", tmp_path / "out")
    for words in (
        "first.weight is [3, 3]",
        "net.other is not a tensor",
        "layers.1.outer.bias [16] is in no weight file",
    ):
        assert words in caught.value.message


def test_an_image_without_export_torch_is_told_what_to_write(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    settings = StageSettings(**{**vars(settings_for(checkpoint)), "exporter": "tests.support.images.blocks.model"})
    with pytest.raises(BakeError, match=r"has no export_torch\(bake\)"):
        export_image(settings, checkpoint, tmp_path / "exported")


def test_graphs_and_conversions_are_refused_where_torch_serves(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    bake_ = Bake(settings_for(checkpoint), checkpoint, tmp_path / "exported")
    with pytest.raises(BakeError, match="this target runs the published weights with torch"):
        bake_.convert("net", {})


def test_settings_name_a_runtime_that_there_is(tmp_path: Path) -> None:
    settings = settings_for(write_checkpoint(tmp_path / "checkpoint"))
    assert StageSettings.from_json(settings.to_json()) == settings
    with pytest.raises(SettingsInvalid, match="runtime: must be one of onnxruntime, torch"):
        StageSettings.from_json(
            StageSettings(**{**vars(settings), "runtime": "jax", "components": {"net": ComponentSettings()}}).to_json()
        )
