"""``make gpu-check`` on a machine without a GPU: it says so; and on the CPU all that does not compile runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.repository import ROOT


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.gpu_check", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_without_a_device_it_says_so_and_does_not_pass() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = check()
    assert done.returncode == 69
    assert "no CUDA device" in done.stderr
    assert done.stdout == ""


def test_facts_loaders_and_starts_run_on_a_cpu(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    page.write_text("# Before\n<!-- measured -->\nearlier figures\n<!-- /measured -->\nafter\n")
    options = ("--device", "cpu", "--sizes", "0.05", "--runs", "1", "--parts", "facts", "loaders", "starts")
    done = check(*options, "--folder", str(tmp_path), "--write", str(page))
    assert done.returncode == 0, done.stderr + done.stdout
    text = page.read_text()
    assert text.startswith("# Before\n<!-- measured -->\nMachine: no GPU: a CPU")
    assert text.endswith("<!-- /measured -->\nafter\n")
    assert "earlier figures" not in text
    (row,) = (line for line in text.splitlines() if line.startswith("| 0.05 GB"))
    assert len(row.split("|")) == 13
    assert f"torch {torch.__version__}" in text
    for name in ("fact processor", "loader mapped", "loader pinned ring", "loader pinned rings", "0.05 GB, answer"):
        assert re.search(rf"^met +{name}: ", text, re.MULTILINE), text


def test_a_loader_that_gives_other_tensors_is_a_miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.gpu_check import loaders
    from tests.gpu_check.checkpoint import write_checkpoint
    from tests.gpu_check.starts import check_loaders

    def wrong(paths: list[Path], device: str) -> loaders.Tensors:
        return {name: tensor + 1 for name, tensor in loaders.load_mapped(paths, device).items()}

    monkeypatch.setattr(loaders, "LOADERS", {"mapped": loaders.load_mapped, "wrong": wrong})
    found = {finding.name: finding.held for finding in check_loaders(write_checkpoint(tmp_path, 0.01), "cpu")}
    assert (found["loader mapped"], found["loader wrong"]) == (True, False)
