"""The sample checkpoint: complete, the same bytes each time, and of the published kind in every name and format."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, ClapTextModelWithProjection, SiglipVisionModel

from images.foley import sample, sample_shapes
from images.foley.nets import encoders, published
from images.foley.nets.synchformer import OTHER_PARTS, PREFIX
from images.foley.text import TextReader
from tests.support.foley.networks import tensor_list

FILES = {
    "hunyuanvideo_foley_xl.pth",
    "vae_128d_48k.pth",
    "synchformer_state_dict.pth",
    "siglip2/config.json",
    "siglip2/model.safetensors",
    "siglip2/preprocessor_config.json",
    "clap/config.json",
    "clap/model.safetensors",
    "clap/tokenizer.json",
    "clap/vocab.json",
    "clap/merges.txt",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, 1)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_equal_seeds_give_equal_bytes_and_others_do_not(checkpoint: Path, tmp_path: Path) -> None:
    same, other = tmp_path / "elsewhere" / "same", tmp_path / "other"
    sample.write(same, 1)
    sample.write(other, 2)
    first = digests(checkpoint)
    assert first.keys() == FILES
    assert digests(same) == first
    weights = {name for name in FILES if name.endswith((".pth", ".safetensors"))}
    assert {name for name, digest in digests(other).items() if digest != first[name]} == weights


def test_it_is_small(checkpoint: Path) -> None:
    total = sum((checkpoint / name).stat().st_size for name in FILES)
    assert 20e6 < total < 60e6


def test_files_can_be_read_by_other_users(checkpoint: Path) -> None:
    assert all((checkpoint / name).stat().st_mode & 0o044 == 0o044 for name in FILES)


def unpickle(path: Path) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return content


def test_the_pickles_load_strictly_under_published_names(checkpoint: Path) -> None:
    transformer = unpickle(checkpoint / "hunyuanvideo_foley_xl.pth")
    published.load_transformer(transformer, "sample")
    assert published.find_transformer(checkpoint) == "hunyuanvideo_foley_xl.pth"
    assert transformer.keys() == {name for name in tensor_list("mmdit_xl")[1] if _kept(name)}
    synchformer = unpickle(checkpoint / "synchformer_state_dict.pth")
    published.load_synchformer(synchformer)
    assert all(any(name.startswith(part) for name in synchformer) for part in (PREFIX, *OTHER_PARTS))
    vae = torch.load(checkpoint / "vae_128d_48k.pth", weights_only=True)
    published.load_decoder(vae)
    assert vae["state_dict"].keys() == tensor_list("dac_published")[1].keys()
    assert vae["metadata"]["kwargs"].keys() == tensor_list("dac_published")[0].keys()


def _kept(name: str) -> bool:
    parts = name.split(".")
    sample = sample_shapes.Sizes()
    blocks = {"triple_blocks": sample.triple_blocks, "single_blocks": sample.single_blocks}
    return parts[0] not in blocks or int(parts[1]) < blocks[parts[0]]


def test_the_encoders_load_strictly_and_by_from_pretrained(checkpoint: Path) -> None:
    clap, siglip2 = encoders.load_clap(checkpoint / "clap"), encoders.load_siglip2(checkpoint / "siglip2")
    assert clap.tower.config.vocab_size == len(json.loads((checkpoint / "clap/vocab.json").read_bytes()))
    for kind, folder in ((ClapTextModelWithProjection, "clap"), (SiglipVisionModel, "siglip2")):
        model, report = kind.from_pretrained(checkpoint / folder, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["mismatched_keys"]
    pixels = torch.rand(1, 3, 512, 512) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(siglip2(pixels), model.eval()(pixel_values=pixels).pooler_output)


def test_both_tokenizers_read_texts_alike(checkpoint: Path) -> None:
    texts = ["noisy, harsh", "A dog BARKS twice — naïve ☂ rain, 24x"]
    theirs = AutoTokenizer.from_pretrained(checkpoint / "clap")(texts, padding=True, return_tensors="np")
    ours = TextReader(checkpoint / "clap/tokenizer.json").read(*texts)
    np.testing.assert_array_equal(ours.ids, theirs["input_ids"])
    np.testing.assert_array_equal(ours.mask, theirs["attention_mask"])
    assert ours.ids[0, 0] == 0
    assert ours.ids[0].max() > 260, "no piece of more than a byte was used"
    assert (ours.ids[0] == 1).sum() == (ours.mask[0] == 0).sum() > 0


def test_weights_are_float32_and_finite(checkpoint: Path) -> None:
    with safe_open(checkpoint / "clap/model.safetensors", "np") as file:
        tensors = {name: torch.from_numpy(file.get_tensor(name)) for name in file.keys() if "ids" not in name}  # noqa: SIM118
    for tensor in (tensors | unpickle(checkpoint / "hunyuanvideo_foley_xl.pth")).values():
        assert tensor.dtype == torch.float32
        assert tensor.isfinite().all()


def test_it_can_have_a_size_and_loads_as_strictly(tmp_path: Path) -> None:
    size = 30_000_000
    for folder in ("one", "two"):
        sample.write(tmp_path / folder, 1, size)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert digests(tmp_path / "one").keys() == FILES
    transformer = unpickle(tmp_path / "one" / "hunyuanvideo_foley_xl.pth")
    published.load_transformer(transformer, "sample")
    clap = encoders.load_clap(tmp_path / "one" / "clap")
    tensors = [*transformer.values(), *clap.state_dict().values()]
    assert size <= sum(tensor.nbytes for tensor in tensors) < 1.5 * size
