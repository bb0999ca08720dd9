"""The sample checkpoint: the bytes that are locked, and folders that the libraries load as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

from images.heygem import sample
from images.heygem.checkpoint import PARTS
from images.heygem.loading import load
from prebake.spec.lock import parse_lock
from tests.support.repository import ROOT


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_it_is_what_is_locked(checkpoint: Path) -> None:
    lock = parse_lock((ROOT / "images/heygem/weights.lock").read_text(), "weights.lock")
    locked = {file.path: file.sha256 for file in lock.checkpoints["sample"].files}
    assert digests(checkpoint) == locked
    weights = {f"{part.weights}.safetensors" for part in PARTS.values() if part.weights}
    assert set(locked) == weights | {part.document for part in PARTS.values()}


def test_another_seed_gives_other_weights(checkpoint: Path, tmp_path: Path) -> None:
    sample.write(tmp_path, 2)
    other, own = digests(tmp_path), digests(checkpoint)
    assert {name for name in own if own[name] != other[name]} == {name for name in own if name.endswith("tensors")}


def test_it_can_have_a_size_and_loads_by_the_same_classes(checkpoint: Path, tmp_path: Path) -> None:
    size = 8_000_000
    for folder in ("one", "two"):
        sample.write(tmp_path / folder, 1, size)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert set(digests(tmp_path / "one")) == set(digests(checkpoint))
    loaded = load(tmp_path / "one")
    networks = loaded.wav2vec2, loaded.unet
    assert size <= sum(tensor.nbytes for each in networks for tensor in each.state_dict().values()) < 2 * size
