"""A machine with an NVIDIA GPU, as far as its libraries' answers go."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from entrypoints.hardware import nvidia

SOURCE = Path(__file__).with_name("nvidia.c")


def build_libraries(folder: Path, *left_out: str) -> Path:
    """A folder for LD_LIBRARY_PATH, with libraries that answer as NVIDIA's do, but for those left out. Skips the test where
    the machine has no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc) to make the libraries with")
    folder.mkdir()
    names = (
        nvidia.DRIVER_LIBRARY,
        nvidia.RUNTIME_LIBRARIES[0],
        nvidia.CUDNN_LIBRARY,
        nvidia.TENSORRT_LIBRARY,
        nvidia.NVML_LIBRARY,
    )
    for name in (each for each in names if each not in left_out):
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / name), str(SOURCE)], check=True)
    return folder
