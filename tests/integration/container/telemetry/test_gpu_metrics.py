"""GPUs, as a library with the functions of NVIDIA's management library reports them."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoints.hardware.nvidia import NVML_LIBRARY
from tests.support.container.nvidia import build_libraries
from tests.support.container.running import Server, Start
from tests.support.tools import check_metrics

LABELS = 'gpu="0",uuid="GPU-5c7e0d8e-0000-1111-2222-333344445555"'
GIB = 2**30


def gpu_metrics(server: Server) -> dict[str, float]:
    lines = [
        line.rpartition(" ") for line in server.get("/metrics").text.splitlines() if line.startswith("prebake_gpu_")
    ]
    return {key.removesuffix(f"{{{LABELS}}}"): float(value) for key, _, value in lines}


def mapped_libraries(server: Server) -> str:
    return Path(f"/proc/{server.process.pid}/maps").read_text()


def test_memory_utilization_temperature_and_power(start: Start, tmp_path: Path) -> None:
    libraries = build_libraries(tmp_path / "lib")
    server = start(LD_LIBRARY_PATH=str(libraries), GPU_COUNT="2").wait_for("ready")
    assert NVML_LIBRARY not in mapped_libraries(server)  # a start does not load it
    expected = {
        "prebake_gpu_memory_used_bytes": 50 * GIB,
        "prebake_gpu_memory_size_bytes": 150 * GIB,
        "prebake_gpu_utilization_ratio": 0.37,
        "prebake_gpu_temperature_celsius": 61,
        "prebake_gpu_power_watts": 345.6,
    }
    assert gpu_metrics(server) == expected  # and none of the GPU that the container may not use
    assert NVML_LIBRARY in mapped_libraries(server)
    assert gpu_metrics(server) == expected
    (gpu,) = server.get("/status").json()["machine"]["gpus"]
    assert (gpu["name"], gpu["used"], gpu["size"], gpu["utilization"]) == ("NVIDIA H200", 50 * GIB, 150 * GIB, 0.37)
    assert check_metrics(server.get("/metrics").text) == ""


def test_what_the_driver_does_not_know_is_left_out(start: Start, tmp_path: Path) -> None:
    server = start(LD_LIBRARY_PATH=str(build_libraries(tmp_path / "lib")), GPU_MIG="1").wait_for("ready")
    found = gpu_metrics(server)
    assert len(found) == 4
    assert "prebake_gpu_utilization_ratio" not in found


@pytest.mark.parametrize("trouble", [{"GPU_NVML": "9"}, {"GPU_COUNT": "0"}, {"GPU_STUCK": "1"}])
def test_a_driver_in_trouble_takes_no_other_metric_away(start: Start, tmp_path: Path, trouble: dict[str, str]) -> None:
    """9: NVML_ERROR_DRIVER_NOT_LOADED. A driver that is stuck never answers."""
    server = start(LD_LIBRARY_PATH=str(build_libraries(tmp_path / "lib")), **trouble).wait_for("ready")
    for _ in range(2):
        assert gpu_metrics(server) == {}
        assert server.metric("prebake_ready") == 1
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    threads = [(task / "comm").read_text() for task in Path(f"/proc/{server.process.pid}/task").iterdir()]
    assert len(threads) < 12  # one thread waits for the driver, whatever number of pages was asked for
    server.terminate()
    assert server.wait() == 0
