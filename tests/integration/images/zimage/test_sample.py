"""The sample checkpoint: complete, the same bytes each time, and of the published kind in every name and format."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from diffusers import AutoencoderKL, ZImagePipeline, ZImageTransformer2DModel
from safetensors import safe_open
from transformers import AutoTokenizer, Qwen3Model

from images.zimage import nets, sample
from tests.support.repository import ROOT

SPEC = ROOT / "images/zimage/image.yaml"
SIZE = 8_000_000


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def sources(name: str) -> list[str]:
    document: dict[str, Any] = yaml.safe_load(SPEC.read_text())
    return sorted(document["checkpoints"][name]["sources"][0]["files"])


def test_equal_seeds_give_equal_bytes_and_others_do_not(checkpoint: Path, tmp_path: Path) -> None:
    same, other = tmp_path / "elsewhere" / "same", tmp_path / "other"
    sample.write(same, 1)
    sample.write(other, 2)
    first = digests(checkpoint)
    assert sorted(first) == sources("sample")
    assert digests(same) == first
    weights = {name for name in first if name.endswith(".safetensors")}
    assert {name for name, digest in digests(other).items() if digest != first[name]} == weights


def test_it_has_the_published_files_but_for_the_number_of_parts() -> None:
    def kinds(name: str) -> set[str]:
        return {file.split("-0000")[0] for file in sources(name)}

    assert kinds("sample") == kinds("published")


def test_it_is_small_and_other_users_can_read_it(checkpoint: Path) -> None:
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    assert 1e6 < sum(path.stat().st_size for path in files) < 5e6
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    sample.write(folder, 1, SIZE)
    return folder


def test_it_can_have_a_size_and_is_then_as_complete(large: Path, tmp_path: Path) -> None:
    sample.write(tmp_path, 1, SIZE)
    assert sorted(digests(large)) == sources("sample")
    assert digests(tmp_path) == digests(large)


def test_its_size_is_that_of_the_weights_as_they_are_computed_with(large: Path) -> None:
    pipeline = ZImagePipeline.from_pretrained(large, local_files_only=True, dtype=torch.float32)
    used = nets.TextEncoder(pipeline.text_encoder).used_tensors(), pipeline.transformer.state_dict()
    assert SIZE <= sum(tensor.nbytes for tensors in used for tensor in tensors.values()) < 1.5 * SIZE


@pytest.mark.parametrize("which", ["checkpoint", "large"])
@pytest.mark.parametrize(
    ("kind", "folder"),
    [(Qwen3Model, "text_encoder"), (ZImageTransformer2DModel, "transformer"), (AutoencoderKL, "vae")],
)
def test_the_published_classes_load_every_tensor(
    request: pytest.FixtureRequest, which: str, kind: Any, folder: str
) -> None:
    place: Path = request.getfixturevalue(which) / folder
    module, report = kind.from_pretrained(place, local_files_only=True, output_loading_info=True)
    assert not any(report[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    assert all(torch.isfinite(tensor).all() for tensor in module.state_dict().values())


@pytest.mark.parametrize(
    ("folder", "dtype"), [("text_encoder", "BF16"), ("transformer", "F32"), ("vae", "BF16")]
)  # as the published ones are
def test_its_weights_have_the_published_types(checkpoint: Path, folder: str, dtype: str) -> None:
    for path in (checkpoint / folder).glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} == {dtype}  # noqa: SIM118


def test_its_tokenizer_merges_and_leaves_nothing_unknown(checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint / "tokenizer", local_files_only=True)
    text = "the cat, naïve ☂ 東京 in light 24x"
    ids = tokenizer(text).input_ids
    assert len(ids) < len(text.encode())
    assert max(ids) > 256
    assert tokenizer.decode(ids) == text
