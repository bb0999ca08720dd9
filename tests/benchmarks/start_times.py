"""Times fresh starts over 400 MB of weights: ``python -m tests.benchmarks.start_times --runs 15``; see docs/concepts/startup.md.

Every start is a process of its own; a client polls liveness from before the bind until readiness.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support.container.baking import bake, describe_component, describe_file, make_model, write_manifest
from tests.support.container.running import running
from tests.support.container.tiny.deep import WIDTH

LAYERS = 100


def bake_deep(models: Path) -> None:
    """The tiny model's folder with another module, one large component and its warm-up answer."""
    manifest = bake(models)
    (models / "deep").mkdir()
    write_deep(models / "deep")
    weights = models / "deep/model.bin"
    component = describe_component("deep", {"deep/model.bin": [[0, weights.stat().st_size]]})
    component["inputs"]["x"][1][1] = WIDTH
    manifest["components"] = {"deep": component}
    manifest["model"]["module"] = "tests.support.container.tiny.deep"
    contents = {name: (models / name).read_bytes() for name in ("deep/model.onnx", "deep/model.bin")}
    contents["warmup/request.json"] = b'{"fields": {}}'
    contents["warmup/answer.json"] = infer(models / "deep/model.onnx")
    for name, content in contents.items():
        (models / name).write_bytes(content)
        manifest["files"][name] = describe_file(content)
    write_manifest(models, manifest)


def write_deep(folder: Path) -> None:
    nodes, tensors, generator = [], [], np.random.default_rng(0)
    size = WIDTH * WIDTH * 4
    with (folder / "model.bin").open("wb") as file:
        for layer in range(LAYERS):
            matrix = generator.standard_normal((WIDTH, WIDTH), dtype=np.float32) / np.float32(np.sqrt(WIDTH))
            file.write(matrix.tobytes())
            tensor = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=matrix.shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "model.bin"), ("offset", str(layer * size)), ("length", str(size))):
                tensor.external_data.add(key=key, value=value)
            tensors.append(tensor)
            nodes.append(helper.make_node("MatMul", [f"h{layer}" if layer else "x", f"w{layer}"], [f"h{layer + 1}"]))
    nodes[-1].output[0] = "y"
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in "xy")
    onnx.save(make_model(helper.make_graph(nodes, "deep", [x], [y], tensors)), folder / "model.onnx")


def infer(graph: Path) -> bytes:
    import onnxruntime

    x = np.random.default_rng(0).standard_normal((8, WIDTH), dtype=np.float32)
    y = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    return json.dumps([float(value) for value in y[:, 0]]).encode()


def time_start(models: Path, environ: Mapping[str, str]) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds since the spawn of: the first live answer, ready, the first answer to a request that waits for ready."""
    with tempfile.TemporaryDirectory() as notes:
        spawned = time.perf_counter()
        with running(models, Path(notes), environ) as server:
            first, worst = None, 0.0
            with httpx.Client(base_url=server.client.base_url, trust_env=False) as client:
                while True:
                    asked = time.perf_counter()
                    try:
                        answered = client.get("/v2/health/live").status_code == 200
                    except httpx.TransportError:
                        continue
                    now = time.perf_counter()
                    assert answered, server.stderr
                    worst = worst if first is None else max(worst, now - asked)
                    first = first or now - spawned
                    if any(event["event"] == "ready" for event in server.events):
                        break
                    time.sleep(0.002)
            ready = time.perf_counter() - spawned
            response = server.post(json={})
            assert response.status_code == 200, response.text
            times = {"first live": first, "worst live": worst, "ready": ready, "answer": time.perf_counter() - spawned}
            return times, server.get("/startup").json()


def drop_from_cache(models: Path) -> None:
    """Only these files, by posix_fadvise: the whole machine's cache is not ours to drop."""
    for path in models.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--cold", action="store_true", help="drop the weights from the page cache before each start")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        bake_deep(models)
        variants = {verify: {"PREBAKE_VERIFY": verify} for verify in ("full", "sha256", "sizes")}
        found: dict[str, list[Any]] = {name: [] for name in variants}
        for _ in range(arguments.runs + 1):
            for name, environ in variants.items():
                if arguments.cold:
                    drop_from_cache(models)
                found[name].append(time_start(models, environ))
        for name, runs in found.items():
            show(name, runs[1:])  # the first one compiles modules


def show(name: str, runs: list[tuple[dict[str, float], dict[str, Any]]]) -> None:
    print(f"\nPREBAKE_VERIFY={name}, medians of {len(runs)}, milliseconds")
    for key in runs[0][0]:
        print(f"  {key:24}{statistics.median(times[key] for times, _ in runs) * 1e3:8.0f}")
    names = [phase["name"] for phase in runs[0][1]["phases"]]
    for phase in names:
        entries = [entry for _, startup in runs for entry in startup["phases"] if entry["name"] == phase]
        start, seconds = (statistics.median(entry[key] for entry in entries) * 1e3 for key in ("start", "seconds"))
        print(f"  {phase:36}{start:8.0f} +{seconds:6.0f}")


if __name__ == "__main__":
    main()
