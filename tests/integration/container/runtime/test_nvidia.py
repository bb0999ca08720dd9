"""What the driver and the libraries say becomes the fields that engines are held against."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from entrypoints.errors import DeviceMemoryFault, SessionFault
from entrypoints.hardware import nvidia
from entrypoints.hardware.memory import check_memory, is_out_of_memory
from entrypoints.hardware.nvidia import DeviceMemory
from entrypoints.manifest.values import OnnxComponent, SessionEntry
from tests.support.container.nvidia import build_libraries
from tests.support.repository import ROOT

FACTS = "entrypoints.hardware.facts import find_facts; found = find_facts"
MEMORY = "entrypoints.hardware.nvidia import Driver; found = Driver().memory"
GIB = 2**30


def ask(libraries: Path, what: str, *arguments: str, **environ: str) -> Any:
    """What a process says that has these libraries; a Fault as its text."""
    code = f"""
import json
from entrypoints.errors import Fault
try:
    from {what}(*{arguments!r})
except Fault as fault:
    found = str(fault)
print(json.dumps(found))
"""
    variables = {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(ROOT), **environ}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_fields_of_an_engine_are_what_the_libraries_say(tmp_path: Path) -> None:
    libraries = build_libraries(tmp_path / "lib")
    cuda = {
        "onnxruntime": onnxruntime.__version__,
        "device": "NVIDIA H200",
        "capability": "9.0",
        "driver": "13.2",
        "cuda": "13.1",
        "cudnn": "9.13.1",
    }
    assert ask(libraries, FACTS, "CUDAExecutionProvider") == cuda
    assert ask(libraries, FACTS, "TensorrtExecutionProvider") == {**cuda, "tensorrt": "10.16.1"}


def test_a_library_that_is_not_here_is_a_field_that_is_not_known(tmp_path: Path) -> None:
    libraries = build_libraries(tmp_path / "lib", nvidia.CUDNN_LIBRARY, nvidia.TENSORRT_LIBRARY)
    found = ask(libraries, FACTS, "TensorrtExecutionProvider")
    assert found.keys() == {"onnxruntime", "device", "capability", "driver", "cuda"}


def test_a_machine_without_a_driver_or_a_device_says_so(tmp_path: Path) -> None:
    none = build_libraries(tmp_path / "none", nvidia.DRIVER_LIBRARY)
    assert "no NVIDIA driver: libcuda.so.1" in ask(none, FACTS, "CUDAExecutionProvider")
    whole = build_libraries(tmp_path / "whole")
    said = ask(whole, FACTS, "CUDAExecutionProvider", GPU_INIT="100")
    assert said == "the NVIDIA driver has no device: cuInit returned 100"


def test_free_memory_is_known_where_the_management_library_is(tmp_path: Path) -> None:
    libraries = build_libraries(tmp_path / "lib")
    assert ask(libraries, MEMORY, GPU_FREE=str(3 * GIB)) == [150 * GIB, 3 * GIB]
    less = build_libraries(tmp_path / "less", nvidia.NVML_LIBRARY)
    assert ask(less, MEMORY) == [150 * GIB, None]


def component(name: str, size: int, precision: str = "fp32", provider: str = "CUDAExecutionProvider") -> OnnxComponent:
    byte_ranges = {f"{name}/model.safetensors": ((0, size // 2), (size, size - size // 2))}
    return OnnxComponent(
        name=name,
        graph=f"{name}/model.onnx",
        precision=precision,
        providers=(provider,),
        session=SessionEntry("disable", prepack=False),
        inputs={},
        outputs={},
        byte_ranges=byte_ranges,
        key="0" * 64,
    )


@pytest.mark.parametrize(
    ("free", "advice"),
    [
        (6 * GIB, "they would fit in fp16"),
        (4 * GIB, "they would fit in int8"),
        (2 * GIB, "they would fit in int4"),
        (1 * GIB, "they would not fit in any of fp16, int8, int4"),
    ],
)
def test_weights_that_do_not_fit_are_told_with_the_precision_that_would(free: int, advice: str) -> None:
    both = [component("text", 8 * GIB), component("unet", 2 * GIB, "bf16")]
    with pytest.raises(DeviceMemoryFault) as caught:
        check_memory(both, lambda: ["CUDAExecutionProvider"], lambda: DeviceMemory(16 * GIB, free))
    assert str(caught.value) == (
        f"weights need {10 * GIB:,} bytes (text {8 * GIB:,}, unet {2 * GIB:,}), "
        f"the device has {free:,} of {16 * GIB:,} free; {advice}"
    )


def test_what_fits_or_is_not_known_to_be_too_much_is_opened() -> None:
    own = [component("text", 8 * GIB)]
    check_memory(own, lambda: ["CUDAExecutionProvider"], lambda: DeviceMemory(16 * GIB, 8 * GIB))
    check_memory(own, lambda: ["CUDAExecutionProvider"], lambda: DeviceMemory(16 * GIB, None))
    check_memory(own, lambda: ["CPUExecutionProvider"], lambda: DeviceMemory(GIB, GIB))
    check_memory([component("text", 8 * GIB, provider="CPUExecutionProvider")], list, lambda: DeviceMemory(0, 0))

    def without_a_device() -> DeviceMemory:
        raise SessionFault("no device")

    check_memory(own, lambda: ["CUDAExecutionProvider"], without_a_device)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", True),
        ("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 4194304", True),
        ("CUDA error cudaErrorMemoryAllocation: CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("Load model from linear/model.onnx failed: Protobuf parsing failed", False),
    ],
)
def test_a_providers_own_words_tell_a_shortage(text: str, expected: bool) -> None:
    assert is_out_of_memory(RuntimeError(text)) is expected
