"""The ONNX Runtime that images for a GPU have, on a machine that need not have one: CUDA's and TensorRT's providers are in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

PACKAGE = f"onnxruntime-gpu=={onnxruntime.__version__}"


def install(folder: Path) -> Path:
    """The folder to put into PYTHONPATH. Skips the test, with pip's last words, where it cannot be had."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"]
    done = subprocess.run([*command, str(folder), PACKAGE], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip gives no {PACKAGE}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return folder
