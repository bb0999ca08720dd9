"""What an artifact of a network in torch follows from, how it is described, and what is refused; nothing is compiled here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from entrypoints.compiled import CACHE
from prebake.bake.artifact_file import ArtifactFile, add_artifacts, artifacts_of, find_other
from prebake.bake.component import Component, Precision
from prebake.bake.documents import digest_json
from prebake.bake.export import export_image
from prebake.bake.exported import Exported
from prebake.bake.job import Job, weight_files
from prebake.bake.network_artifacts import OPTIONS, Compiled, describe, network_fields
from prebake.bake.networks import LOADER, key_fields, parts_of
from prebake.bake.settings import Settings
from prebake.bake.starts import AOT
from tests.blocks.checkpoint import bake, settings_for, write_checkpoint

MACHINE = {"torch": "2.13.0", "triton": "3.7.1", "python": "3.11.2", "device": "NVIDIA H100", "capability": "9.0"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("baked"))


@pytest.fixture
def libraries(tmp_path: Path) -> Compiled:
    """As if two libraries had been made for three blocks."""
    for name in ("0", "1"):
        (tmp_path / "made" / name).mkdir(parents=True)
        (tmp_path / "made" / name / "block.so").write_bytes(name.encode() * 50)
    return Compiled(
        "net", AOT, tmp_path / "made", MACHINE, {"request": "1", "compiler": "gcc 12"}, {"0": (0, 2), "1": (1,)}
    )


def fields_of(folder: Path, change: Callable[[Settings], Settings] = lambda settings: settings) -> dict[str, Any]:
    """The component's key fields, of the checkpoint in a folder."""
    settings = change(settings_for(folder / "checkpoint"))
    if not (folder / "exported").exists():
        export_image(settings, folder / "checkpoint", folder / "exported")
    job = Job(settings, Exported.load(folder / "exported"), folder / "checkpoint")
    files = weight_files(job)
    return key_fields(job, parts_of(job, files)["net"], files)


def with_precision(settings: Settings) -> Settings:
    return replace(settings, components={"net": Component(precision=Precision("bf16", derived=False), providers=())})


def test_every_field_is_part_of_the_key(libraries: Compiled) -> None:
    component = {
        name: f"a {name}"
        for name in ("config", "weights", "networks", "loader", "target", "precision", "versions", "bake")
    }
    others = [network_fields({**component, name: "another"}, libraries) for name in component]
    others += [network_fields(component, replace(libraries, machine={**MACHINE, name: "another"})) for name in MACHINE]
    others += [
        network_fields(component, replace(libraries, more={**libraries.more, name: "another"}))
        for name in libraries.more
    ]
    others.append(network_fields(component, replace(libraries, rung="compile-cache")))
    keys = {digest_json(other) for other in others}
    assert len(keys) == len(others) == 8 + len(MACHINE) + 2 + 1
    assert digest_json(network_fields(component, libraries)) not in keys


def test_what_torch_compiles_by_is_part_of_the_key(libraries: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_json(network_fields({}, libraries))
    for name in OPTIONS[AOT]:
        with monkeypatch.context() as patch:
            patch.setattr("prebake.bake.network_artifacts.OPTIONS", {AOT: {**OPTIONS[AOT], name: "another"}})
            assert digest_json(network_fields({}, libraries)) != before


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
    tmp_path: Path, libraries: Compiled, path: str, field: str
) -> None:
    write_checkpoint(tmp_path / "checkpoint")
    before = fields_of(tmp_path)
    file = tmp_path / "checkpoint" / path
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    after = fields_of(tmp_path)
    assert [each for each in before if before[each] != after[each]] == [field]
    artifact = describe(libraries, network_fields(before, libraries))
    component = {"runtime": "torch", "key_fields": before}
    assert find_other(artifact, {"net": component}) == []
    assert find_other(artifact, {"net": {**component, "key_fields": after}}) == [field]
    assert describe(libraries, network_fields(after, libraries)).key != artifact.key


def test_a_description_is_read_as_it_was_written_and_told_in_a_manifest(models: Path, libraries: Compiled) -> None:
    manifest = json.loads((models / "manifest.json").read_bytes())
    artifact = describe(libraries, network_fields(manifest["components"]["net"]["key_fields"], libraries))
    assert ArtifactFile.from_json(artifact.to_json()) == artifact
    home = f"compiled/net/aot-{artifact.key[:12]}"
    assert artifact.entry["libraries"] == [
        {"folder": f"{home}/0", "blocks": [0, 2]},
        {"folder": f"{home}/1", "blocks": [1]},
    ]
    assert set(artifact.entry["reads"]) == set(artifact.files) == {f"{home}/{name}/block.so" for name in ("0", "1")}
    assert artifacts_of(add_artifacts(manifest, [artifact])) == [artifact]


def test_a_cache_is_described_by_its_file(tmp_path: Path) -> None:
    (tmp_path / CACHE).write_bytes(b"cache")
    artifact = describe(
        *(made := Compiled("net", "compile-cache", tmp_path, MACHINE, {}, {}), network_fields({}, made))
    )
    assert artifact.entry["cache"] == f"compiled/net/compile-cache-{artifact.key[:12]}/{CACHE}"
    assert "libraries" not in artifact.entry
    assert ArtifactFile.from_json(artifact.to_json()) == artifact


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each["artifact"]["reads"].update({"compiled/net/other": [[0, 1]]}),
        lambda each: each["artifact"]["key_fields"]["machine"].update(capability="8.0"),
        lambda each: each["artifact"].pop("libraries"),
        lambda each: each["files"].clear(),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(libraries: Compiled, change: Callable[[Any], object]) -> None:
    document = json.loads(describe(libraries, network_fields({}, libraries)).to_json())
    change(document)
    with pytest.raises(ValueError, match=r"\w"):
        ArtifactFile.from_json(json.dumps(document).encode())
