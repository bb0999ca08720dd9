"""Reading and writing safetensors: headers are checked, bytes are the same each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prebake.bake.errors import BakeError, WeightsError
from prebake.bake.weights.numpy_arrays import read_arrays, write_arrays
from prebake.bake.weights.safetensors_reader import read_index
from prebake.bake.weights.safetensors_writer import write_safetensors
from prebake.bake.weights.torch_tensors import from_torch


def raw(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


BROKEN = {
    "empty": (b"", "no valid header"),
    "seven bytes": (b"\1\0\0\0\0\0\0", "no valid header"),
    "huge header": (b"\xff" * 8 + b"{}", "no valid header length"),
    "header cut": (raw({"a": entry()})[:20], "truncated inside its header"),
    "not json": (raw(b"{nonsense"), "not a JSON object"),
    "not utf-8": (raw(b'{"\xff": 1}'), "not a JSON object"),
    "a list": (raw([1]), "not a JSON object"),
    "a name twice": (raw(b'{"a": 1, "a": 2}'), "twice"),
    "no offsets": (raw({"a": {"dtype": "F32", "shape": [2]}}), "no dtype, shape or data_offsets for the tensor 'a'"),
    "not an entry": (raw({"a": 3}), "no dtype, shape or data_offsets for the tensor 'a'"),
    "unknown dtype": (raw({"a": entry("F33")}, bytes(8)), "unknown dtype"),
    "wrong length": (raw({"a": entry(shape=[3])}, bytes(8)), "do not match"),
    "negative": (raw({"a": entry(shape=[-1, -2])}, bytes(8)), "do not match"),
    "not a number": (raw({"a": entry(shape=["2"])}, bytes(8)), "do not match"),
    "fraction": (raw({"a": entry(offsets=[0.0, 8])}, bytes(8)), "do not match"),
    "data cut": (raw({"a": entry()}, bytes(7)), "its header describes"),
    "data too long": (raw({"a": entry()}, bytes(9)), "its header describes"),
    "hole": (raw({"a": entry(), "b": entry(offsets=[9, 17])}, bytes(17)), "gap"),
    "overlap": (raw({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)), "overlap"),
}


@pytest.mark.parametrize(("data", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_header_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=said) as caught:
        read_index(path)
    assert str(path) in str(caught.value)


def test_regions_hold_what_the_reference_reader_reads(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(7, dtype=torch.int16), "a": torch.randn(3, 5), "none": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    for name, region in read_index(tmp_path / "x.safetensors").items():
        assert region.read() == tensors[name].numpy().tobytes()
        assert region.shape == tuple(tensors[name].shape)


def test_every_type_comes_back(tmp_path: Path) -> None:
    whole = torch.arange(8)
    kinds = [torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16]
    kinds += [torch.float32, torch.float64, torch.float8_e4m3fn]
    tensors = {str(kind): whole.to(kind) for kind in kinds}
    tensors |= {"scalar": torch.tensor(3.5), "none": torch.zeros(2, 0), "strided": torch.randn(6, 4).t()[::2]}
    write_safetensors(tmp_path / "x.safetensors", from_torch(tensors))
    read = load_file(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name].to(torch.float64), tensor.to(torch.float64)), name


def test_the_same_tensors_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    tensors = {name: torch.full((size,), float(size)) for name, size in (("c", 16), ("a", 5), ("b", 32))}
    write_safetensors(tmp_path / "x", from_torch(tensors))
    write_safetensors(tmp_path / "y", from_torch(dict(reversed(tensors.items()))))
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_large_tensors_begin_at_multiples_of_64_and_all_are_aligned_to_their_items(tmp_path: Path) -> None:
    tensors = {
        "odd": torch.zeros(3, dtype=torch.uint8),
        "a": torch.zeros(16),
        "z": torch.zeros(64),
        "f": torch.zeros(3),
    }
    write_safetensors(tmp_path / "x", from_torch(tensors))
    regions = read_index(tmp_path / "x")
    assert [regions[name].offset % 64 for name in ("a", "z")] == [0, 0]
    assert regions["f"].offset % 4 == 0


def test_a_sparse_tensor_and_a_number_cannot_be_converted(tmp_path: Path) -> None:
    for value in (torch.eye(2).to_sparse(), 3):
        with pytest.raises(BakeError, match="'a' cannot be written"):
            write_safetensors(tmp_path / "x", from_torch({"a": value}))  # type: ignore[dict-item]


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {"x": np.arange(6).reshape(2, 3), "h": np.ones((2, 2), dtype=ml_dtypes.bfloat16), "n": np.zeros((0, 3))}
    write_arrays(tmp_path / "x", arrays)
    read = read_arrays(tmp_path / "x")
    assert all(np.array_equal(read[name], each) and read[name].dtype == each.dtype for name, each in arrays.items())
