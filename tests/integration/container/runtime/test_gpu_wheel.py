"""An image for a GPU started where there is none, by the very ONNX Runtime that it has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.container.baking import answer, write_manifest
from tests.support.container.gpu_wheel import install
from tests.support.container.running import Start
from tests.support.repository import ROOT

PROVIDERS = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
MISSING = "this machine has no NVIDIA driver: libcuda.so.1 cannot be loaded"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = install(tmp_path_factory.mktemp("wheel"))
    yield folder
    shutil.rmtree(folder)  # 340 MB, which pytest would keep


@pytest.fixture
def begin(wheel: Path, start: Start) -> Start:
    return lambda **environ: start(PYTHONPATH=f"{wheel}:{ROOT}", **environ)


@pytest.fixture
def for_gpu(models: Path, manifest: dict[str, Any]) -> None:
    manifest["target"] = "tensorrt"
    manifest["components"]["linear"]["providers"] = PROVIDERS
    manifest["components"]["linear"]["session"]["optimize"] = "extended"
    manifest["components"]["total"]["providers"] = PROVIDERS[1:]
    write_manifest(models, manifest)


def test_it_is_imported_without_cuda(wheel: Path) -> None:
    code = "import onnxruntime; print(*onnxruntime.get_available_providers())"
    variables = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == PROVIDERS


def test_a_start_without_a_device_falls_to_the_cpu_and_says_so(for_gpu: None, begin: Start) -> None:
    server = begin().wait_for("ready")
    assert server.get("/startup").json()["opened"] == {"linear": "cpu", "total": "cpu"}
    steps = server.get("/health").json()["fallbacks"]
    told = {(each["component"], each["from"], each["to"], each["reason"]) for each in steps}
    assert told == {
        ("linear", "tensorrt", "cpu", "provider"),
        ("linear", "cuda", "cpu", "provider"),
        ("total", "cuda", "cpu", "provider"),
    }
    assert {each["detail"] for each in steps} == {MISSING}
    assert list(server.post(json={"values": "1,2,3,4", "factor": 3}).json()["result"]) == pytest.approx(answer(3))


def test_a_start_that_may_not_step_down_names_the_device(for_gpu: None, begin: Start) -> None:
    server = begin(PREBAKE_FALLBACK="error").wait_for("failed")
    assert MISSING in server.get("/health").json()["reason"]
    assert server.wait() == 79
