"""A checkpoint that is not whole, or not one, is refused with every file and tensor that is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from images.heygem.loading import load
from prebake.bake.errors import WeightsError

GENERATOR = "diffusion_pytorch_model.safetensors"
Tensors = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


def configure(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(path: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def refusal(folder: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load(folder)
    assert caught.value.next_action
    return caught.value.message


def test_a_whole_one_is_loaded(checkpoint: Path) -> None:
    loaded = load(checkpoint)
    assert loaded.audio_window == 4
    assert not any(network.training for network in (loaded.wav2vec2, loaded.unet, loaded.vae))


def test_missing_files_are_named_all_at_once(copy: Path) -> None:
    for name in ("wav2vec2/model.safetensors", "unet/config.json", "scheduler/scheduler_config.json"):
        (copy / name).unlink()
    shutil.rmtree(copy / "vae")
    message = refusal(copy)
    for name in (
        "wav2vec2/model.safetensors",
        "unet/config.json",
        "scheduler/scheduler_config.json",
        f"vae/{GENERATOR}",
    ):
        assert f"{name}: is missing" in message


def test_tensors_that_do_not_fit_are_named_all_at_once(copy: Path) -> None:
    rewrite(copy / "wav2vec2/model.safetensors", lambda tensors: tensors.pop("encoder.layer_norm.bias"))
    rewrite(copy / "unet" / GENERATOR, lambda tensors: tensors.update(extra=np.zeros(3, np.float32)))
    rewrite(copy / "vae" / GENERATOR, lambda tensors: tensors.update({"quant_conv.bias": np.zeros(9, np.float32)}))
    message = refusal(copy)
    assert (
        "wav2vec2: encoder.layer_norm.bias: is in no weight file; wav2vec2/config.json gives it the shape [32]"
        in message
    )
    assert f"unet/{GENERATOR}: extra: is not a tensor of unet/config.json" in message
    assert f"vae/{GENERATOR}: quant_conv.bias: has shape [9], but vae/config.json gives [8]" in message


def test_a_config_of_other_weights(copy: Path) -> None:
    configure(copy / "wav2vec2/config.json", intermediate_size=96)
    configure(copy / "unet/config.json", cross_attention_dim=48)
    message = refusal(copy)
    assert "wav2vec2/model.safetensors: encoder.layers.0.feed_forward.intermediate_dense.weight: has shape" in message
    assert "attn2.to_k.weight: has shape [32, 32], but unet/config.json gives [32, 48]" in message
    assert "unet/config.json: cross_attention_dim is 48, wav2vec2/config.json has hidden_size 32" in message


def test_parts_that_do_not_fit_each_other(copy: Path) -> None:
    configure(copy / "model_index.json", audio_window=0)
    configure(copy / "wav2vec2/preprocessor_config.json", sampling_rate=8000)
    configure(copy / "vae/config.json", shift_factor=0.1)
    configure(
        copy / "scheduler/scheduler_config.json", thresholding=True, num_train_timesteps=20, timestep_spacing="odd"
    )
    message = refusal(copy)
    for words in (
        "model_index.json: audio_window makes 0, this image supports 1 to 100",
        "wav2vec2/preprocessor_config.json: sampling_rate makes 8000, this image supports 16000",
        "vae/config.json: shift_factor makes 0.1, this image supports None",
        "scheduler/scheduler_config.json: thresholding makes True, this image supports False",
        "scheduler/scheduler_config.json: timestep_spacing makes odd, this image supports leading or trailing or linspace",
        "num_train_timesteps is under 50",
    ):
        assert words in message


def test_every_fault_of_every_part_at_once(copy: Path) -> None:
    """Files missing, documents and weights that are none, tensors of other shapes, parts of another kind."""
    (copy / "model_index.json").write_text("{")
    (copy / "wav2vec2/config.json").write_text("no json")
    (copy / "wav2vec2/model.safetensors").unlink()
    (copy / "unet" / GENERATOR).write_bytes(b"no weights")
    configure(copy / "unet/config.json", in_channels=4)
    configure(copy / "wav2vec2/preprocessor_config.json", sampling_rate=8000)
    rewrite(copy / "vae" / GENERATOR, lambda tensors: tensors.update({"quant_conv.bias": np.zeros(9, np.float32)}))
    configure(copy / "scheduler/scheduler_config.json", beta_schedule="none of them")
    message = [line.strip() for line in refusal(copy).splitlines()[1:]]
    assert len(message) == 8
    for words in (
        "model_index.json: is not valid JSON",
        "wav2vec2/config.json: is not valid JSON",
        "wav2vec2/model.safetensors: is missing",
        f"unet/{GENERATOR}: is not a safetensors file",
        "unet/config.json: in_channels makes 4, this image supports 8",
        "wav2vec2/preprocessor_config.json: sampling_rate makes 8000",
        f"vae/{GENERATOR}: quant_conv.bias: has shape [9]",
        "scheduler/scheduler_config.json: cannot be used: NotImplementedError",
    ):
        assert sum(line.startswith(words) for line in message) == 1, (words, message)


def test_the_published_audio_encoders_names_are_taken(copy: Path) -> None:
    """It was published with a head, under a prefix, before weight norm had other names, and without one tensor."""

    def publish(tensors: Tensors) -> None:
        given = dict(tensors)
        tensors.clear()
        for name, tensor in given.items():
            if name != "masked_spec_embed":
                old = name.replace("parametrizations.weight.original0", "weight_g")
                tensors[f"wav2vec2.{old.replace('parametrizations.weight.original1', 'weight_v')}"] = tensor
        tensors["lm_head.weight"], tensors["lm_head.bias"] = np.zeros((32, 32), np.float32), np.zeros(32, np.float32)

    before = {name: tensor.clone() for name, tensor in load(copy).wav2vec2.state_dict().items()}
    rewrite(copy / "wav2vec2/model.safetensors", publish)
    configure(copy / "wav2vec2/config.json", architectures=["Wav2Vec2ForCTC"])
    after = load(copy).wav2vec2.state_dict()
    assert all(bool((after[name] == before[name]).all()) for name in before if name != "masked_spec_embed")
    assert len(before) == len(after)


def test_the_published_vaes_names_are_taken(copy: Path) -> None:
    """Attention had other names when most of them were published."""
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def publish(tensors: Tensors) -> None:
        for name in [name for name in tensors if ".attentions." in name]:
            for new, old in names.items():
                if f".{new}." in name:
                    tensors[name.replace(f".{new}.", f".{old}.")] = tensors.pop(name)

    before = {name: tensor.clone() for name, tensor in load(copy).vae.state_dict().items()}
    rewrite(copy / "vae" / GENERATOR, publish)
    after = load(copy).vae.state_dict()
    assert all(bool((after[name] == before[name]).all()) for name in before)
