"""The limit of memory that cannot hold the weights: which bytes count, and how often."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from entrypoints.errors import MemoryLimitTooLow
from entrypoints.hardware.container_memory import ContainerMemory
from entrypoints.hardware.memory_limit import GRAPHS_BYTES, SERVER_BYTES, add_ranges, check_limit, count_weights
from entrypoints.hardware.weight_use import list_dense_graph_ranges, list_dense_tensor_ranges
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import OnnxComponent, TorchComponent, TorchRuntime
from entrypoints.runtime.fallback import list_uncompiled
from entrypoints.settings import read_settings
from prebake.bake.stages.join import join_image
from prebake.documents.join_settings import JoinSettings
from tests.support.container.baking import WEIGHTS, bake, write_manifest

MIB = 1 << 20
RUNTIMES = SERVER_BYTES + GRAPHS_BYTES
BIG = 500 * MIB


def make_memory(folder: Path, limit: int | None, swap: int = 0) -> ContainerMemory:
    root = folder / "cgroup"
    root.mkdir(exist_ok=True)
    (root / "memory.max").write_text(f"{'max' if limit is None else limit}\n")
    (folder / "membership").write_text("0::/\n")
    (folder / "meminfo").write_text(f"SwapTotal: {swap // 1024} kB\n")
    return ContainerMemory(root, folder / "membership", folder / "meminfo")


def enlarge(models: Path, manifest: dict[str, Any], **changes: object) -> None:
    """The manifest of weights of ``BIG`` bytes; nothing opens them here."""
    component = {**manifest["components"]["linear"], **changes}
    component["byte_ranges"] = {"linear/model.bin": [[64, BIG]]}
    manifest["components"]["linear"] = component
    manifest["files"]["linear/model.bin"]["size"] = BIG + 64
    write_manifest(models, manifest)


@pytest.mark.parametrize("limit", [None, BIG + RUNTIMES, 4 * BIG])
def test_what_fits_is_started(models: Path, manifest: dict[str, Any], tmp_path: Path, limit: int | None) -> None:
    enlarge(models, manifest)
    check_limit(models, read_manifest(models), make_memory(tmp_path, limit))


def test_a_limit_below_the_weights_is_refused_with_the_sum(
    models: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    enlarge(models, manifest)
    limit = BIG + RUNTIMES - 1
    with pytest.raises(MemoryLimitTooLow) as caught:
        check_limit(models, read_manifest(models), make_memory(tmp_path, limit))
    assert str(caught.value) == (
        f"the model needs at least {limit + 1:,} bytes: weights of {BIG:,} (linear {BIG:,}), and {RUNTIMES:,} for the "
        f"interpreter and the runtimes; the container's limit is {limit:,}"
    )
    assert caught.value.details == {
        "limit": limit,
        "weights": {"linear": BIG, "total": 0},
        "runtimes": RUNTIMES,
    }


def test_swap_counts_as_room(models: Path, manifest: dict[str, Any], tmp_path: Path) -> None:
    enlarge(models, manifest)
    manifest_read = read_manifest(models)
    check_limit(models, manifest_read, make_memory(tmp_path, BIG, swap=RUNTIMES))
    with pytest.raises(MemoryLimitTooLow, match="limit is 524,288,000 and 1,048,576 of swap"):
        check_limit(models, manifest_read, make_memory(tmp_path, BIG, swap=MIB))


def test_weights_that_a_gpu_holds_need_no_room(models: Path, manifest: dict[str, Any], tmp_path: Path) -> None:
    enlarge(models, manifest, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    check_limit(models, read_manifest(models), make_memory(tmp_path, BIG // 2))


def test_the_smallest_candidate_counts(models: Path, manifest: dict[str, Any], tmp_path: Path) -> None:
    enlarge(models, manifest)
    parsed = read_manifest(models)
    component = parsed.components["linear"]
    assert isinstance(component, OnnxComponent)
    (own,) = list_uncompiled(component)
    smaller = own._replace(graph="linear/a.onnx", byte_ranges={"linear/a.bin": ((0, 100 * MIB),)})
    both = parsed._replace(components={"linear": component._replace(artifacts=(smaller,))})
    assert count_weights(models, [both]) == {"linear": 100 * MIB}


def test_models_that_share_weights_count_them_once(tmp_path: Path) -> None:
    for name in ("left", "right"):
        bake(tmp_path / "alone" / name)
    own = {"linear": "linear", "total": "total"}
    join_image(JoinSettings("pair", "cpu", {"left": own, "right": own}), tmp_path / "alone", tmp_path)
    models = tmp_path / "models"
    left, right = read_manifest(models, "left"), read_manifest(models, "right")
    sizes = count_weights(models, [left, right])
    assert sum(sizes.values()) == WEIGHTS.nbytes
    assert left.multi_model is not None
    assert left.multi_model.models == 2
    listed = json.loads((models / "manifest.json").read_bytes())["files"]
    assert left.multi_model.file_bytes == sum(file["size"] for file in listed.values()) > WEIGHTS.nbytes
    with pytest.raises(MemoryLimitTooLow, match=f"{SERVER_BYTES + 2 * GRAPHS_BYTES:,} for the interpreter"):
        check_limit(models, left, make_memory(tmp_path, RUNTIMES))
    one = make_memory(tmp_path, RUNTIMES + WEIGHTS.nbytes)
    check_limit(models, left, one, ["left"])
    with pytest.raises(MemoryLimitTooLow):
        check_limit(models, left, one, ["left", "right"])


@pytest.mark.parametrize(
    ("variables", "together"),
    [
        ({}, None),
        ({"PREBAKE_PIN": "a", "PREBAKE_IDLE_SECONDS": "9"}, None),
        ({"PREBAKE_HOST_MEMORY": "1Gi"}, ("b",)),
        ({"PREBAKE_PRELOAD": "lazy"}, ("b",)),
        ({"PREBAKE_PRELOAD": "c", "PREBAKE_PIN": "c,a/encoder"}, ("b", "c")),
    ],
)
def test_models_that_make_room_for_one_another_need_not_fit_together(
    variables: dict[str, str], together: tuple[str, ...] | None
) -> None:
    assert read_settings({"PREBAKE_MODEL_NAMES": "a,b,c", **variables}).list_together("b") == together


def test_ranges_are_counted_once() -> None:
    counted: list[tuple[int, int]] = []
    assert add_ranges(counted, [(100, 50), (10, 10)]) == 60
    assert add_ranges(counted, [(0, 30), (140, 20)]) == 30
    assert counted == [(0, 30), (100, 160)]


TABLE, DENSE = 4000, 64


def make_lookup(folder: Path, *, tied: bool = False, inner: bool = False) -> None:
    """A table of embeddings and a matrix, both in one file. ``tied``: a product reads the table too, ``inner``: in a branch."""
    tensors = []
    for name, offset, shape in (("table", 0, (1000, 1)), ("w", TABLE, (1, 16))):
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", str(offset)), ("length", str(4 * shape[0] * shape[1]))):
            tensor.external_data.add(key=key, value=value)
        tensors.append(tensor)
    nodes = [helper.make_node("Gather", ["table", "i"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["y"])]
    read = helper.make_node("ReduceSum", ["table"], ["t"], keepdims=0)
    if tied:
        nodes.append(read)
    if inner:
        out = helper.make_tensor_value_info("t", TensorProto.FLOAT, [])
        branch = helper.make_graph([read], "branch", [], [out])
        nodes.append(helper.make_node("If", ["c"], ["s"], then_branch=branch, else_branch=branch))
    i = helper.make_tensor_value_info("i", TensorProto.INT64, ["n"])
    c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])
    graph = helper.make_graph(nodes, "lookup", [i, c], [y], tensors)
    folder.mkdir(parents=True)
    onnx.save(helper.make_model(graph), folder / "model.onnx")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, ((TABLE, DENSE),)),
        ({"tied": True}, ((0, TABLE + DENSE),)),
        ({"inner": True}, ((0, TABLE + DENSE),)),
    ],
)
def test_a_table_counts_if_an_inference_reads_it_whole(
    tmp_path: Path, how: dict[str, bool], expected: tuple[tuple[int, int], ...]
) -> None:
    make_lookup(tmp_path / "a", **how)
    whole = {"a/w.bin": ((0, TABLE + DENSE),)}
    assert list_dense_graph_ranges(tmp_path, "a/model.onnx", "", whole) == {"a/w.bin": expected}
    elsewhere = {"b/w.bin": ((0, TABLE + DENSE),)}
    assert list_dense_graph_ranges(tmp_path, "a/model.onnx", "b", elsewhere) == {"b/w.bin": expected}


@pytest.mark.parametrize("content", [b"\xff" * 10, b"\x3a\xff\xff\x03", b"\x3a\x05\x0a", None])
def test_all_weights_count_if_the_graph_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)
    ranges = {"w.bin": ((0, 100),)}
    assert list_dense_graph_ranges(tmp_path, "model.onnx", "", ranges) == ranges


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4000 + 64), ("bf16", 2000 + 32)])
def test_tensors_that_torch_converts_count_as_they_become(tmp_path: Path, precision: str, size: int) -> None:
    tensors = {"layer.weight": np.zeros((10, 100), np.float32), "norm": np.zeros(16, np.float32)}
    save_file({**tensors, "model.embed_tokens.weight": np.zeros((100, 100), np.float32)}, tmp_path / "w.safetensors")
    length = (tmp_path / "w.safetensors").stat().st_size
    component = TorchComponent("unet", "config.json", precision, {"w.safetensors": ((0, length),)}, "0" * 64)
    found = list_dense_tensor_ranges(tmp_path, component)
    assert sum(length for _, length in found["w.safetensors"]) == size


def test_a_weight_file_that_is_none_counts_whole(models: Path, manifest: dict[str, Any]) -> None:
    component = TorchComponent("unet", "config.json", "fp32", {"linear/bias.txt": ((0, 3),)}, "0" * 64)
    runtime = TorchRuntime("tests", "cpu", "none")
    parsed = read_manifest(models)._replace(components={"unet": component}, torch=runtime)
    assert count_weights(models, [parsed]) == {"unet": 3}
    on_gpu = parsed._replace(torch=runtime._replace(device="cuda"))
    assert count_weights(models, [on_gpu]) == {"unet": 0}
