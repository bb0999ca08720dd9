"""Which files a start checks before it is ready, and which after."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from entrypoints.faults import DamagedFile
from entrypoints.manifest import Library, NetworkArtifact, TorchComponent
from entrypoints.manifest_file import parse_manifest, read_manifest
from entrypoints.verification import Verification, find_conditional
from tests.entrypoints.test_ladder import DATA, GRAPH, add_artifact, flip


def test_without_compiled_forms_every_file_is_checked_before_ready(models: Path, manifest: dict[str, Any]) -> None:
    assert find_conditional(read_manifest(models)) == set()


def test_what_only_one_way_reads_waits_until_that_is_taken(models: Path, manifest: dict[str, Any]) -> None:
    add_artifact(models, manifest)
    own = {"linear/model.onnx", "linear/model.bin", GRAPH, DATA}
    assert find_conditional(read_manifest(models)) == own
    manifest["components"]["total"]["reads"] = {"linear/model.bin": [[64, 48]]}
    assert find_conditional(parse_manifest(json.dumps(manifest).encode())) == own - {"linear/model.bin"}


def test_what_was_compiled_for_torch_waits_as_well(models: Path, manifest: dict[str, Any]) -> None:
    read = read_manifest(models)
    own = ("a/lib.so", "a/kernels.bin")
    files = {name: next(iter(read.files.values())) for name in (*own, "cache", "config.json", "net.safetensors")}
    compiled = (
        NetworkArtifact("aot", (Library("a", (0,)),), "", {}, {}, own, "0" * 64),
        NetworkArtifact("compile-cache", (), "cache", {}, {}, ("cache",), "1" * 64),
    )
    net = TorchComponent("net", "config.json", "fp32", {"net.safetensors": ()}, "2" * 64, compiled)
    served = read._replace(components={**read.components, "net": net}, files={**read.files, **files})
    assert find_conditional(served) == {*own, "cache"}


def test_the_rest_is_checked_once_and_all_of_its_damage_told(models: Path, manifest: dict[str, Any]) -> None:
    add_artifact(models, manifest)
    for name in (GRAPH, DATA):
        flip(models / name, 20)
    verification = Verification(models, read_manifest(models))
    verification.work(1)
    verification.wait()
    with pytest.raises(DamagedFile, match=DATA):
        verification.wait_for(DATA)
    assert [problem.partition(":")[0] for problem in check_rest(verification)] == [GRAPH]
    with pytest.raises(DamagedFile, match=GRAPH):
        verification.wait_for(GRAPH)
    assert check_rest(verification) == []


def check_rest(verification: Verification) -> list[str]:
    """In a thread of its own, whose priority it lowers."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: list(verification.check_rest())).result()
