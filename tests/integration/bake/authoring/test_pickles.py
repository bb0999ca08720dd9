"""Pickles: tensors are read, code is named and never run."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from prebake.bake.authoring.pickles import find_unsafe_globals, open_pickle
from prebake.bake.errors import WeightsError
from prebake.errors import UnsafePickle

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Command:
    """What an attacker writes: unpickling runs ``os.system``."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def write(path: Path, content: object, zipped: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@FORMATS
def test_tensors_and_plain_values_are_read(tmp_path: Path, zipped: bool) -> None:
    tied = torch.arange(6.0).reshape(2, 3)
    content = {"state_dict": {"a": tied, "b": tied.t()}, "metadata": {"kwargs": {"rates": [2, 3], "name": "dac"}}}
    read = open_pickle(write(tmp_path / "weights.pth", content, zipped))
    assert torch.equal(read["state_dict"]["b"], tied.t())
    assert read["metadata"] == content["metadata"]


@FORMATS
def test_a_command_is_named_and_not_run(tmp_path: Path, zipped: bool) -> None:
    proof = tmp_path / "ran"
    path = write(tmp_path / "weights.pth", {"a": torch.zeros(2), "b": Command(f"touch {proof}")}, zipped)
    with pytest.raises(UnsafePickle) as caught:
        open_pickle(path)
    assert f"{os.system.__module__}.system" in str(caught.value)
    assert str(path) in str(caught.value)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # the pickle does run its command when it is let
    assert proof.exists()


@FORMATS
def test_every_global_is_named_at_once(tmp_path: Path, zipped: bool) -> None:
    content = {"args": argparse.Namespace(lr=1), "path": Path("x"), "run": Command("true")}
    path = write(tmp_path / "weights.pth", content, zipped)
    assert find_unsafe_globals(path) == ("argparse.Namespace", "pathlib.PosixPath", "posix.system")
    with pytest.raises(UnsafePickle, match=r"argparse\.Namespace, pathlib\.PosixPath, posix\.system"):
        open_pickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_of_any_protocol_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    proof = tmp_path / "ran"
    path = tmp_path / "weights.bin"
    path.write_bytes(pickle.dumps({"a": Command(f"touch {proof}")}, protocol=protocol))
    with pytest.raises(UnsafePickle, match="system"):
        open_pickle(path)
    assert not proof.exists()


@FORMATS
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_unreadable_not_unsafe(tmp_path: Path, zipped: bool, kept: float) -> None:
    path = write(tmp_path / "weights.pth", {"a": torch.zeros(1000)}, zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(WeightsError, match=r"weights\.pth"):
        open_pickle(path)


@FORMATS
def test_a_list_is_not_a_dictionary_of_tensors(tmp_path: Path, zipped: bool) -> None:
    with pytest.raises(WeightsError, match="holds a list"):
        open_pickle(write(tmp_path / "weights.pth", [torch.zeros(1)], zipped))


def hide(proof: Path) -> bytes:
    """A pickle that fetches "posix" and "system" from its memo by opcodes the scan does not follow, so that it sees
    another pair of strings before the global."""
    command = f"touch {proof}".encode()
    stored = b"\x8c\x05posixp0\n0\x8c\x06systemp1\n0"
    decoy = b"\x8c\x0bcollections0\x8c\x0bOrderedDict0"
    return b"\x80\x04" + stored + decoy + b"g0\ng1\n\x93X" + len(command).to_bytes(4, "little") + command + b"\x85R."


def test_what_hides_from_the_scan_torch_still_refuses(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    honest, path = write(tmp_path / "honest.pth", {}, zipped=True), tmp_path / "weights.pth"
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, hide(proof) if name.endswith("data.pkl") else source.read(name))
    assert find_unsafe_globals(path) == ()
    with pytest.raises(UnsafePickle, match="was refused"):
        open_pickle(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # it is a working attack
    assert proof.exists()
