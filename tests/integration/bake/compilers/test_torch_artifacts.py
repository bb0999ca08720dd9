"""What an artifact of a network in torch follows from, how it is described, and what is refused; nothing is compiled here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from entrypoints.runtime.compile_cache import CACHE_FILE
from prebake.bake.compilers.torch_artifacts import OPTIONS, CompiledNetwork
from prebake.bake.compilers.torch_model import AOT
from prebake.bake.compilers.torch_networks import LOADER, list_parts, network_key_fields
from prebake.bake.model_folder.compile_job import CompileJob, weight_files
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.stages.export import export_image
from prebake.documents.artifact import ArtifactFile, add_artifacts, find_stale_inputs, list_artifacts
from prebake.documents.canonical import digest_json
from prebake.documents.component import ComponentSettings, Precision
from prebake.documents.settings import StageSettings
from tests.support.images.blocks.checkpoint import bake, settings_for, write_checkpoint

MACHINE = {"torch": "2.13.0", "triton": "3.7.1", "python": "3.11.2", "device": "NVIDIA H100", "capability": "9.0"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("baked"))


@pytest.fixture
def libraries(tmp_path: Path) -> CompiledNetwork:
    """As if two libraries had been made for three blocks."""
    for name in ("0", "1"):
        (tmp_path / "made" / name).mkdir(parents=True)
        (tmp_path / "made" / name / "block.so").write_bytes(name.encode() * 50)
    return CompiledNetwork(
        candidate=AOT,
        folder=tmp_path / "made",
        requires=MACHINE,
        key_inputs={"request": "1", "compiler": "gcc 12"},
        blocks={"0": (0, 2), "1": (1,)},
    )


def fields_of(
    folder: Path, change: Callable[[StageSettings], StageSettings] = lambda settings: settings
) -> dict[str, Any]:
    """The component's key fields, of the checkpoint in a folder."""
    settings = change(settings_for(folder / "checkpoint"))
    if not (folder / "exported").exists():
        export_image(settings, folder / "checkpoint", folder / "exported")
    job = CompileJob(settings, Exported.load(folder / "exported"), folder / "checkpoint")
    files = weight_files(job)
    return network_key_fields(job, list_parts(job, files)["net"], files)


def with_precision(settings: StageSettings) -> StageSettings:
    return replace(
        settings, components={"net": ComponentSettings(precision=Precision("bf16", derived=False), providers=())}
    )


def test_every_field_is_part_of_the_key(libraries: CompiledNetwork) -> None:
    component = {
        name: f"a {name}"
        for name in ("config", "weights", "networks", "loader", "target", "precision", "versions", "bake")
    }
    others = [libraries.key_fields({**component, name: "another"}) for name in component]
    others += [replace(libraries, requires={**MACHINE, name: "another"}).key_fields(component) for name in MACHINE]
    others += [
        replace(libraries, key_inputs={**libraries.key_inputs, name: "another"}).key_fields(component)
        for name in libraries.key_inputs
    ]
    others.append(replace(libraries, candidate="compile-cache").key_fields(component))
    keys = {digest_json(other) for other in others}
    assert len(keys) == len(others) == 8 + len(MACHINE) + 2 + 1
    assert digest_json(libraries.key_fields(component)) not in keys


def test_what_torch_compiles_by_is_part_of_the_key(libraries: CompiledNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_json(libraries.key_fields({}))
    for name in OPTIONS[AOT]:
        with monkeypatch.context() as patch:
            patch.setattr("prebake.bake.compilers.torch_artifacts.OPTIONS", {AOT: {**OPTIONS[AOT], name: "another"}})
            assert digest_json(libraries.key_fields({})) != before


def test_a_component_is_keyed_by_its_weights_configuration_code_and_precision(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint")
    before = fields_of(tmp_path)
    assert set(before["loader"]) == set(LOADER)
    assert before["versions"] == {"torch": torch.__version__}
    for name, change in {
        "networks": lambda settings: replace(settings, model_revision="1" * 64),
        "target": lambda settings: replace(settings, target="cuda"),
        "precision": with_precision,
    }.items():
        after = fields_of(tmp_path, change)
        assert [each for each in before if before[each] != after[each]] == [name]


@pytest.mark.parametrize(("path", "field"), [("net/model.safetensors", "weights"), ("net/config.json", "config")])
def test_one_byte_makes_another_key_and_no_part_of_that_image(
    tmp_path: Path, libraries: CompiledNetwork, path: str, field: str
) -> None:
    write_checkpoint(tmp_path / "checkpoint")
    before = fields_of(tmp_path)
    file = tmp_path / "checkpoint" / path
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    after = fields_of(tmp_path)
    assert [each for each in before if before[each] != after[each]] == [field]
    artifact = libraries.describe("net", before)
    component = {"runtime": "torch", "key_inputs": before}
    assert find_stale_inputs(artifact, {"net": component}) == []
    assert find_stale_inputs(artifact, {"net": {**component, "key_inputs": after}}) == [field]
    assert libraries.describe("net", after).key != artifact.key


def test_a_description_is_read_as_it_was_written_and_told_in_a_manifest(
    models: Path, libraries: CompiledNetwork
) -> None:
    manifest = json.loads((models / "manifest.json").read_bytes())
    artifact = libraries.describe("net", manifest["components"]["net"]["key_inputs"])
    assert ArtifactFile.from_json(artifact.to_json()) == artifact
    home = f"compiled/net/aot-{artifact.key[:12]}"
    assert artifact.entry["libraries"] == [
        {"folder": f"{home}/0", "blocks": [0, 2]},
        {"folder": f"{home}/1", "blocks": [1]},
    ]
    assert (
        set(artifact.entry["byte_ranges"]) == set(artifact.files) == {f"{home}/{name}/block.so" for name in ("0", "1")}
    )
    assert list_artifacts(add_artifacts(manifest, [artifact])) == [artifact]


def test_a_cache_is_described_by_its_file(tmp_path: Path) -> None:
    (tmp_path / CACHE_FILE).write_bytes(b"cache")
    cache = CompiledNetwork(candidate="compile-cache", folder=tmp_path, requires=MACHINE)
    artifact = cache.describe("net", {})
    assert artifact.entry["cache"] == f"compiled/net/compile-cache-{artifact.key[:12]}/{CACHE_FILE}"
    assert "libraries" not in artifact.entry
    assert ArtifactFile.from_json(artifact.to_json()) == artifact


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each["artifact"]["byte_ranges"].update({"compiled/net/other": [[0, 1]]}),
        lambda each: each["artifact"]["key_inputs"]["machine"].update(capability="8.0"),
        lambda each: each["artifact"].pop("libraries"),
        lambda each: each["files"].clear(),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(
    libraries: CompiledNetwork, change: Callable[[Any], object]
) -> None:
    document = json.loads(libraries.describe("net", {}).to_json())
    change(document)
    with pytest.raises(ValueError, match=r"\w"):
        ArtifactFile.from_json(json.dumps(document).encode())
