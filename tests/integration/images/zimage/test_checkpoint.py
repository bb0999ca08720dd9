"""A checkpoint that cannot be served is refused before anything is loaded, every fault at once, by file and tensor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from images.zimage.checkpoint import check_checkpoint
from prebake.bake.errors import BakeError, WeightsError
from prebake.bake.stages.export import export_image
from tests.support.models.zimage_serving import settings_for

FIRST = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"


@pytest.fixture
def broken(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    return Path(shutil.copytree(checkpoint, tmp_path / "broken"))


def change(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def faults(folder: Path, shipped: Iterable[str] = ()) -> list[str]:
    with pytest.raises(WeightsError) as caught:
        check_checkpoint(folder, set(shipped))
    assert caught.value.next_action
    heading, *lines = caught.value.message.splitlines()
    assert "pipeline" in heading
    return [line.strip() for line in lines]


def test_the_sample_has_none(checkpoint: Path) -> None:
    check_checkpoint(checkpoint, {each.path for each in settings_for(checkpoint).ship})


def test_a_tokenizer_with_more_tokens_than_the_embedding(broken: Path, tmp_path: Path) -> None:
    change(
        broken / "tokenizer/tokenizer.json",
        lambda it: it["added_tokens"].extend(
            {**it["added_tokens"][0], "content": f"<{n}>", "id": n} for n in range(320)
        ),
    )
    with pytest.raises(WeightsError) as caught:  # by the stage itself
        export_image(settings_for(broken), broken, tmp_path / "out")
    told = str(caught.value)
    assert "tokenizer/tokenizer.json: has tokens up to " in told
    assert ", but the vocab_size of text_encoder/config.json is 320" in told


def test_a_tokenizer_of_another_kind(broken: Path) -> None:
    """A Unigram vocabulary is a list of pieces with scores, and their places are the tokens."""
    pieces = [["<unk>", 0.0], *([f"piece{number}", -1.0] for number in range(400))]

    def unigram(tokenizer: dict[str, Any]) -> None:
        tokenizer["model"] = {"type": "Unigram", "unk_id": 0, "vocab": pieces}

    change(broken / "tokenizer/tokenizer.json", unigram)
    kind, size = faults(broken)
    assert kind == "tokenizer/tokenizer.json: is of the kind Unigram, but the pipeline's Qwen2Tokenizer is BPE"
    assert size.startswith("tokenizer/tokenizer.json: has tokens up to 403, but the vocab_size of")


@pytest.mark.parametrize("model", [None, {"type": "BPE", "vocab": [1], "merges": []}, {"type": "none of them"}])
def test_a_tokenizer_that_is_none(broken: Path, model: object) -> None:
    change(broken / "tokenizer/tokenizer.json", lambda it: it.update(model=model))
    (told,) = faults(broken)
    assert told.startswith("tokenizer/tokenizer.json: cannot be used: ")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("vae", {"vae/config.json: is missing", "vae/diffusion_pytorch_model.safetensors: is missing"}),
        ("tokenizer", {"tokenizer/tokenizer.json: is missing"}),
        ("scheduler", {"scheduler/scheduler_config.json: is missing"}),
        (FIRST, {f"{FIRST}: is missing"}),
        (
            "text_encoder",
            {"text_encoder/config.json: is missing", "text_encoder/model.safetensors: is missing"},
        ),
    ],
)
def test_a_part_that_is_missing(broken: Path, missing: str, told: set[str]) -> None:
    path = broken / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert set(faults(broken)) == told


def test_a_configuration_that_does_not_match_its_weights(broken: Path) -> None:
    change(broken / "transformer/config.json", lambda it: it.update(n_layers=3, cap_feat_dim=96))
    change(broken / "vae/config.json", lambda it: it.update(latent_channels=8))
    told = faults(broken)
    assert f"{FIRST}: cap_embedder.1.weight: has shape [64, 64], but transformer/config.json gives [64, 96]" in told
    assert any(line.startswith("transformer: layers.2.attention.to_q.weight: is in no weight file") for line in told)
    assert any(
        "decoder.conv_in.weight: has shape [32, 16, 3, 3], but vae/config.json gives [32, 8, 3, 3]" in line
        for line in told
    )
    assert any("cap_feat_dim: is 96, text_encoder/config.json has hidden_size 64" in line for line in told)
    assert any("in_channels: is 16, vae/config.json has latent_channels 8" in line for line in told)


def test_tensors_too_few_and_too_many(broken: Path) -> None:
    path = broken / FIRST
    tensors = load_file(path)
    tensors["mystery"] = tensors.pop("cap_pad_token")
    save_file(tensors, path, {"format": "pt"})
    assert faults(broken) == [
        f"{FIRST}: mystery: is not a tensor of transformer/config.json",
        "transformer: cap_pad_token: is in no weight file; transformer/config.json gives it the shape [1, 64]",
    ]


def test_every_fault_of_every_part_at_once(broken: Path) -> None:
    change(
        broken / "model_index.json",
        lambda it: it.update(_class_name="FluxPipeline", vae=["diffusers", "AutoencoderDC"]),
    )
    change(
        broken / "scheduler/scheduler_config.json", lambda it: it.update(use_dynamic_shifting=True, shift_terminal=0.1)
    )
    change(broken / "transformer/config.json", lambda it: it.update(axes_dims=[8, 8, 8], all_patch_size=[4]))
    (broken / "text_encoder/config.json").write_text("{")
    (broken / FIRST).write_bytes(b"cut short")
    told = faults(broken)
    for words in (
        "model_index.json: describes a FluxPipeline",
        "model_index.json: vae: is ['diffusers', 'AutoencoderDC'], not AutoencoderKL",
        "scheduler_config.json: use_dynamic_shifting: is True",
        "scheduler_config.json: shift_terminal: is 0.1",
        "transformer/config.json: all_patch_size: has no patches of 2 x 2",
        "text_encoder/config.json: is not valid JSON",
        "diffusion_pytorch_model-00001-of-00002.safetensors: is not a safetensors file",
    ):
        assert any(words in line for line in told), (words, told)


@pytest.mark.parametrize("content", ["{", "[]", '{"metadata": {}}', '{"weight_map": 1}'])
def test_an_index_that_is_none(broken: Path, content: str) -> None:
    index = "text_encoder/model.safetensors.index.json"
    (broken / index).write_text(content)
    assert faults(broken) == [f"{index}: is not an index of weight files"]


def test_a_configuration_of_no_network(broken: Path) -> None:
    change(broken / "transformer/config.json", lambda it: it.update(axes_dims=[8, 8, 8]))
    (told,) = faults(broken)
    assert told.startswith("transformer/config.json: cannot be used: AssertionError")


def test_bfloat16_cannot_be_shipped_as_published(checkpoint: Path) -> None:
    (told,) = faults(checkpoint, ["vae/diffusion_pytorch_model.safetensors"])
    assert told.startswith("vae/diffusion_pytorch_model.safetensors: is BF16")
    assert "derived: true" in told


def test_a_chat_template_that_rewrites_prompts(broken: Path, tmp_path: Path) -> None:
    def strip(config: dict[str, Any]) -> None:
        config["chat_template"] = config["chat_template"].replace("message.content", "message.content | trim")

    change(broken / "tokenizer/tokenizer_config.json", strip)
    with pytest.raises(BakeError, match="chat template changes the prompts ' spaces"):
        export_image(settings_for(broken), broken, tmp_path / "out")
