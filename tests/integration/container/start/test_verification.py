"""Which files a start checks before it is ready, and which after."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from entrypoints.errors import DamagedFile
from entrypoints.files.verification import Verification, find_conditional_files
from entrypoints.manifest.reader import parse_manifest, read_manifest
from entrypoints.manifest.values import SharedLibrary, TorchArtifact, TorchComponent
from prebake.documents.canonical import seal
from tests.integration.container.runtime.test_fallback import DATA, GRAPH, add_artifact, flip


def test_without_compiled_forms_every_file_is_checked_before_ready(models: Path, manifest: dict[str, Any]) -> None:
    assert find_conditional_files(read_manifest(models)) == set()


def test_what_only_one_way_reads_waits_until_that_is_taken(models: Path, manifest: dict[str, Any]) -> None:
    add_artifact(models, manifest)
    own = {"linear/model.onnx", "linear/model.bin", GRAPH, DATA}
    assert find_conditional_files(read_manifest(models)) == own
    manifest["components"]["total"]["byte_ranges"] = {"linear/model.bin": [[64, 48]]}
    assert find_conditional_files(parse_manifest(seal(manifest))) == own - {"linear/model.bin"}


def test_what_was_compiled_for_torch_waits_as_well(models: Path, manifest: dict[str, Any]) -> None:
    read = read_manifest(models)
    own = ("a/lib.so", "a/kernels.bin")
    files = {name: next(iter(read.files.values())) for name in (*own, "cache", "config.json", "net.safetensors")}
    compiled = (
        TorchArtifact("aot", (SharedLibrary("a", (0,)),), "", {}, {}, own, "0" * 64),
        TorchArtifact("compile-cache", (), "cache", {}, {}, ("cache",), "1" * 64),
    )
    net = TorchComponent("net", "config.json", "fp32", {"net.safetensors": ()}, "2" * 64, compiled)
    served = read._replace(components={**read.components, "net": net}, files={**read.files, **files})
    assert find_conditional_files(served) == {*own, "cache"}


def test_the_rest_is_checked_once_and_all_of_its_damage_told(models: Path, manifest: dict[str, Any]) -> None:
    add_artifact(models, manifest)
    for name in (GRAPH, DATA):
        flip(models / name, 20)
    verification = Verification(models, read_manifest(models))
    verification.add_threads(1)
    verification.wait_for_required()
    with pytest.raises(DamagedFile, match=DATA):
        verification.wait_for(DATA)
    assert [problem.partition(":")[0] for problem in check_rest(verification)] == [GRAPH]
    with pytest.raises(DamagedFile, match=GRAPH):
        verification.wait_for(GRAPH)
    assert check_rest(verification) == []


def check_rest(verification: Verification) -> list[str]:
    """In a thread of its own, whose priority it lowers."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: list(verification.verify_unused())).result()
