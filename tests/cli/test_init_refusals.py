"""Transformers folders that ``prebake init`` cannot begin with: every problem at once, and nothing is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prebake.bake.errors import BakeError
from prebake.spec.licences import UNKNOWN
from prebake.workflow.beginnings.beginning import InitRefused
from tests import pretrained
from tests.generated import bake, importable
from tests.projects import Project, clone


@pytest.fixture(scope="module")
def module_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return clone(tmp_path_factory.mktemp("clone") / "project")


@pytest.fixture
def folder(module_project: Project, request: pytest.FixtureRequest) -> Path:
    """A text classifier's checkpoint, whole."""
    folder = module_project.root / "published" / str(abs(hash(request.node.name)))
    pretrained.write_classifier(folder)
    return folder


def change(path: Path, **values: Any) -> None:
    """Set these keys of a JSON document, and drop those that are None."""
    document = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def refused(project: Project, folder: Path) -> str:
    ended = project.run("init", "mine", "--from", str(folder)).expect(InitRefused.exit_code)
    assert "next:" in ended.stderr
    assert not (project.root / "images").exists()
    return ended.stderr


def test_an_unknown_architecture_is_named_with_those_that_are_known(module_project: Project, folder: Path) -> None:
    for architecture in ("BertForQuestionAnswering", "GPT2LMHeadModel"):
        change(folder / "config.json", architectures=[architecture])
        said = refused(module_project, folder)
        assert architecture in said
        for known in ("…ForSequenceClassification", "…ForCTC", "…Model"):
            assert known in said


def test_what_was_written_goes_when_it_cannot_be_locked(module_project: Project, folder: Path) -> None:
    ended = module_project.run("init", "mine", "--from", str(folder), PREBAKE_CACHE="build.py")
    assert ended.code != 0
    assert "init: wrote" in ended.stderr
    assert not (module_project.root / "images/mine").exists()
    (module_project.root / "images").rmdir()


@pytest.mark.parametrize("name", ["class", "a___b", "scores_", "_a", "a" * 41])
def test_what_no_module_or_image_can_be_called_is_no_name(module_project: Project, folder: Path, name: str) -> None:
    ended = module_project.run("init", name, "--from", str(folder)).expect(InitRefused.exit_code)
    assert f"'{name}' is no name" in ended.stderr


@pytest.mark.parametrize("content", [b"[1, 2]", b'"text"', b"{", b"\xff\xfe{}", b"[" * 100_000])
def test_a_configuration_that_is_none_is_named(module_project: Project, folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    assert "config.json: " in refused(module_project, folder)


def test_values_of_other_types_are_told_all_at_once(module_project: Project, folder: Path) -> None:
    wrong = {"id2label": ["a"], "vocab_size": "many", "max_position_embeddings": True, "pad_token_id": "0"}
    change(folder / "config.json", **wrong)
    change(folder / "tokenizer.json", model=[], added_tokens={"id": 1})
    change(folder / "tokenizer_config.json", model_max_length="long")
    said = refused(module_project, folder)
    for words in ('config.json: vocab_size is "many"', "max_position_embeddings is true", 'pad_token_id is "0"',
                  "id2label is [", "tokenizer.json: model is []", "added_tokens is {", 'model_max_length is "long"'):  # fmt: skip
        assert words in said


def test_labels_with_a_hole_are_named(module_project: Project, folder: Path) -> None:
    change(folder / "config.json", id2label={"0": "a", "1": "b", "3": "d"})
    assert "id2label has 3 labels, and none for [2]" in refused(module_project, folder)
    change(folder / "config.json", id2label={"first": "a", "1": 7})
    assert "no map of numbers to names at first, 1" in refused(module_project, folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(module_project: Project, folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: is missing" in refused(module_project, folder)


def test_a_tokenizer_of_another_checkpoint_is_told_by_both_sizes(module_project: Project, folder: Path) -> None:
    change(folder / "config.json", vocab_size=50)
    said = refused(module_project, folder)
    assert "vocab_size 50" in said
    assert "another checkpoint" in said


def test_all_problems_come_at_once(module_project: Project, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    change(folder / "config.json", id2label={"0": "a", "1": "a"}, auto_map={"AutoModel": "code.Model"})
    (folder / "model.safetensors").write_bytes(b"cut")
    said = refused(module_project, folder)
    for words in ("tokenizer.json: is missing", "more than once: a", "auto_map", "model.safetensors: "):
        assert words in said


def test_parts_that_the_index_names_are_all_asked_for(module_project: Project, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    said = refused(module_project, folder)
    for name in parts.values():
        assert f"{name}: is missing" in said


def test_a_processor_that_does_more_is_named(module_project: Project, tmp_path: Path) -> None:
    folder = module_project.root / "published" / "pictures"
    pretrained.write_image_classifier(folder, image_processor_type="FlavaImageProcessor")
    change(folder / "config.json", num_channels=1)
    said = refused(module_project, folder)
    assert "FlavaImageProcessor" in said
    assert "num_channels is 1" in said


def test_settings_of_a_processor_that_nobody_knows_are_named(module_project: Project) -> None:
    folder = module_project.root / "published" / "settings"
    size = {"longest_edge": 32, "shortest_edge": 16}
    pretrained.write_image_classifier(folder, crop_pct=0.875, do_pad=True, do_flip_channel_order=False, size=size)
    said = refused(module_project, folder)
    assert "preprocessor_config.json: crop_pct is 0.875, and is no setting that is known" in said
    assert "do_pad is true" in said
    assert "size has longest_edge, shortest_edge" in said
    assert "do_flip_channel_order" not in said, "a setting that is off decides nothing"


def test_settings_of_sounds_that_nobody_knows_are_named(module_project: Project) -> None:
    folder = module_project.root / "published" / "heard"
    pretrained.write_recogniser(folder)
    (folder / "processor_config.json").unlink(missing_ok=True)
    document = {"do_normalize": True, "do_ceptral_normalize": True, "feature_size": 80}
    (folder / "preprocessor_config.json").write_text(json.dumps(document))
    said = refused(module_project, folder)
    assert "do_ceptral_normalize is true" in said
    assert "feature_size is 80" in said
    listener = module_project.root / "published" / "listened"
    pretrained.write_listener(listener, token_boost={"5": 2.0}, renormalize_logits=True)
    change(listener / "preprocessor_config.json", do_denoise=True)
    said = refused(module_project, listener)
    assert "generation_config.json: token_boost is" in said
    assert "do_denoise is true" in said
    assert "renormalize_logits" not in said


def test_spectra_and_other_rates_are_named(module_project: Project) -> None:
    folder = module_project.root / "published" / "sounds"
    pretrained.write_recogniser(folder)
    (folder / "processor_config.json").unlink(missing_ok=True)
    document = {"feature_extractor_type": "SeamlessM4TFeatureExtractor", "sampling_rate": 8_000}
    (folder / "preprocessor_config.json").write_text(json.dumps(document))
    said = refused(module_project, folder)
    assert "SeamlessM4TFeatureExtractor" in said
    assert "sampling_rate is 8000" in said


def test_a_config_of_other_weights_is_told_by_every_tensor(tmp_path: Path) -> None:
    project = clone(tmp_path / "project")
    folder = project.root / "published"
    pretrained.write_classifier(folder)
    change(folder / "config.json", num_hidden_layers=3, intermediate_size=48)
    project.run("init", "misfit", "--from", str(folder)).expect(0)
    with importable(project.root), pytest.raises(BakeError) as caught:
        bake(project, "misfit", tmp_path)
    said = caught.value.message
    assert "tensor bert.encoder.layer.2.attention.self.query.weight is missing" in said
    for layer in (0, 1):
        name = f"bert.encoder.layer.{layer}.intermediate.dense.weight"
        assert f"tensor {name} is [64, 32], by config.json it is [48, 32]" in said


CARDS: dict[str, tuple[str, str]] = {
    "apache": ("---\nlicense: apache-2.0\n---\n# Model\n", "Apache-2.0"),
    "creative": ("---\nlanguage: en\nlicense: cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
    "bsd": ("---\nlicense: bsd-3-clause\n---\n", "BSD-3-Clause"),
    "own": ("---\nlicense: openrail\n---\n", "LicenseRef-openrail"),
    "other": ("---\nlicense: other\n---\n", UNKNOWN),
    "named": ("---\nlicense: other\nlicense_name: tongyi qianwen\n---\n", "LicenseRef-tongyi-qianwen"),
    "llama": ("---\nlicense: llama3.1\n---\n", "LicenseRef-llama3.1"),
    "family": ("---\nlicense: gpl-3.0\n---\n", "GPL-3.0-only"),
    "another word": ("---\nlicense: odbl\n---\n", "ODbL-1.0"),
    "zero": ("---\nlicense: cc0-1.0\n---\n", "CC0-1.0"),
    "two": ("---\nlicense: [apache-2.0, mit]\n---\n", "Apache-2.0 AND MIT"),
    "prose": ("---\nlicense: ask, please\n---\n", UNKNOWN),
    "none": ("# Model\n", UNKNOWN),
    "broken": ("---\n: [\n---\n", UNKNOWN),
}


def test_the_licence_is_the_model_cards_unless_it_is_said(tmp_path: Path) -> None:
    from prebake.workflow.beginnings.model_card import read_licence

    for card, wanted in CARDS.values():
        (tmp_path / "README.md").write_text(card)
        assert read_licence(tmp_path / "README.md") == wanted
    project = clone(tmp_path / "project")
    pretrained.write_classifier(project.root / "published")
    (project.root / "published/README.md").write_text(CARDS["apache"][0])
    for name, words, wanted in (("read", [], "Apache-2.0"), ("said", ["--licence", "MIT"], "MIT")):
        project.run("init", name, "--from", "published", *words).expect(0)
        assert f'licence: {{id: "{wanted}"}}\n' in (project.root / "images" / name / "image.yaml").read_text()
