"""Whatever is wrong at start: never ready, a plain reason, the fault's own exit code."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrypoints.errors import DamagedFile
from entrypoints.files.verification import Verification
from entrypoints.manifest.reader import SCHEMA, read_manifest
from entrypoints.settings import RENAMED
from prebake.documents.canonical import canonical_json
from tests.support.container.baking import make_total, replace_file, write_manifest
from tests.support.container.running import Start

Models = tuple[Path, dict[str, Any]]


def break_json(models: Path, manifest: dict[str, Any]) -> None:
    (models / "manifest.json").write_text('{"schema": 1,')


def truncate_manifest(models: Path, manifest: dict[str, Any]) -> None:
    content = (models / "manifest.json").read_bytes()
    (models / "manifest.json").write_bytes(content[: len(content) // 2])


def change_a_byte_of_the_manifest(models: Path, manifest: dict[str, Any]) -> None:
    content = (models / "manifest.json").read_bytes()
    (models / "manifest.json").write_bytes(content.replace(b'"tolerance":0.001', b'"tolerance":0.009'))


def remove_digest(models: Path, manifest: dict[str, Any]) -> None:
    (models / "manifest.json").write_bytes(canonical_json(manifest))


def raise_schema(models: Path, manifest: dict[str, Any]) -> None:
    write_manifest(models, {"schema": SCHEMA + 1, "everything": "else"})


def lower_schema(models: Path, manifest: dict[str, Any]) -> None:
    write_manifest(models, {"schema": SCHEMA - 1, "everything": "else"})


def remove_manifest(models: Path, manifest: dict[str, Any]) -> None:
    (models / "manifest.json").unlink()


def remove_files(models: Path, manifest: dict[str, Any]) -> None:
    (models / "linear/model.bin").unlink()
    (models / "total/model.onnx").unlink()


def truncate_weights(models: Path, manifest: dict[str, Any]) -> None:
    with (models / "linear/model.bin").open("r+b") as file:
        file.truncate(100)


def empty_weights(models: Path, manifest: dict[str, Any]) -> None:
    (models / "linear/model.bin").write_bytes(b"")


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def flip_weights(models: Path, manifest: dict[str, Any]) -> None:
    flip(models / "linear/model.bin", 70)


def flip_graph(models: Path, manifest: dict[str, Any]) -> None:
    flip(models / "linear/model.onnx", 3)


def flip_asset(models: Path, manifest: dict[str, Any]) -> None:
    flip(models / "linear/bias.txt", 0)  # "0.5" turns into "1.5": the model's code cannot know


def swap_graph(models: Path, manifest: dict[str, Any]) -> None:
    graph = make_total()
    graph.graph.output[0].name = "z"
    graph.graph.node[0].output[0] = "z"
    replace_file(models, manifest, "total/model.onnx", graph.SerializeToString())


def break_graph(models: Path, manifest: dict[str, Any]) -> None:
    replace_file(models, manifest, "total/model.onnx", b"no graph at all")


def ask_for_provider(models: Path, manifest: dict[str, Any]) -> None:
    manifest["components"]["total"]["providers"] = ["CUDAExecutionProvider"]
    write_manifest(models, manifest)


def change_answer(models: Path, manifest: dict[str, Any]) -> None:
    answer = json.loads((models / "warmup/answer.json").read_text())
    answer["result"][1] += 0.01
    replace_file(models, manifest, "warmup/answer.json", json.dumps(answer).encode())


def change_media_type(models: Path, manifest: dict[str, Any]) -> None:
    manifest["warmup"]["media_type"] = "audio/wav"
    write_manifest(models, manifest)


def change_request(models: Path, manifest: dict[str, Any]) -> None:
    replace_file(models, manifest, "warmup/request.json", b'{"fields": {"values": "1,2"}}')


def misname_field(models: Path, manifest: dict[str, Any]) -> None:
    replace_file(models, manifest, "warmup/request.json", b'{"fields": {"value": "1,2,3,4"}}')


def misname_request_file(models: Path, manifest: dict[str, Any]) -> None:
    replace_file(models, manifest, "warmup/request.json", b'{"fields": {"clip": {"file": "warmup/none"}}}')


def misname_module(models: Path, manifest: dict[str, Any]) -> None:
    manifest["model"]["module"] = "tests.support.container.tiny.nothing"
    write_manifest(models, manifest)


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (break_json, 70, ["manifest.json is not JSON"]),
        (truncate_manifest, 70, ["manifest.json is not JSON"]),
        (change_a_byte_of_the_manifest, 73, ["manifest.json: corrupt, its sha256 should be"]),
        (remove_digest, 70, ["manifest.json has no digest"]),
        (raise_schema, 71, ["newer Prebake", f"schema {SCHEMA + 1}", f"reads {SCHEMA}"]),
        (lower_schema, 70, ["older Prebake", f"schema {SCHEMA - 1}", f"reads {SCHEMA}"]),
        (remove_manifest, 72, ["manifest.json is missing"]),
        (remove_files, 72, ["linear/model.bin", "total/model.onnx"]),
        (truncate_weights, 73, ["linear/model.bin: truncated", "112 bytes, found 100"]),
        (empty_weights, 73, ["found 0"]),
        (flip_weights, 73, ["linear/model.bin: corrupt"]),
        (flip_graph, 73, ["linear/model.onnx: corrupt"]),
        (flip_asset, 73, ["linear/bias.txt: corrupt"]),
        (swap_graph, 74, ["total: outputs should be", "'z': 'tensor(float)'"]),
        (break_graph, 74, ["total:"]),
        (ask_for_provider, 74, ["CUDAExecutionProvider"]),
        (change_answer, 75, ["$.result[1]"]),
        (change_media_type, 75, ["audio/wav"]),
        (change_request, 76, ["values should be 4 numbers"]),
        (misname_field, 76, ['did you mean "values"']),
        (misname_request_file, 70, ["warmup/none"]),
        (misname_module, 76, ["tests.support.container.tiny.nothing"]),
    ],
)
def test_a_damaged_image_is_never_ready(
    models: Path,
    manifest: dict[str, Any],
    start: Start,
    damage: Callable[[Path, dict[str, Any]], None],
    code: int,
    words: list[str],
) -> None:
    damage(models, manifest)
    server = start().wait_for("failed")
    health = server.get("/health")
    assert health.status_code == 503
    assert all(word in health.json()["reason"] for word in words), health.json()["reason"]
    startup = server.get("/startup").json()
    assert (startup["state"], startup["reason"]) == ("failed", health.json()["reason"])
    assert startup["ready_seconds"] is None
    assert server.get("/v2/health/ready").status_code == 503
    assert server.get("/v2/health/live").status_code == 503
    refusal = server.post(json={"values": "1,2,3,4"}, headers={"prefer": "wait=5"})
    assert (refusal.status_code, "retry-after" in refusal.headers) == (503, True)
    assert server.wait() == code
    faults = [event for event in server.events if event["event"] == "fault"]
    assert [(fault["exit_code"], bool(fault["action"])) for fault in faults] == [(code, True)]


def test_damage_is_found_by_the_digest_that_was_asked_for(models: Path, manifest: dict[str, Any], start: Start) -> None:
    flip_weights(models, manifest)
    found = {
        verify: start(PREBAKE_VERIFY=verify).wait_for("failed").get("/health").json() for verify in ("full", "sha256")
    }
    assert "linear/model.bin: corrupt, XXH3 should be" in found["full"]["reason"]
    assert "linear/model.bin: corrupt, sha256 should be" in found["sha256"]["reason"]


def test_a_manifest_that_tells_no_xxh3_is_checked_by_sha256(
    models: Path, manifest: dict[str, Any], start: Start
) -> None:
    for file in manifest["files"].values():
        del file["xxh3"]
    write_manifest(models, manifest)
    assert start().wait_for("ready").get("/startup").json()["verify"] == "full"
    flip_weights(models, manifest)
    failed = start().wait_for("failed").get("/health").json()
    assert "linear/model.bin: corrupt, sha256 should be" in failed["reason"]


def test_without_the_package_files_are_checked_by_sha256(
    models: Path, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xxhash", None)
    verification = Verification(models, read_manifest(models))
    flip_weights(models, manifest)
    verification.add_threads(1)
    with pytest.raises(DamagedFile, match=r"linear/model\.bin: corrupt, sha256 should be"):
        verification.wait_for_required()


@pytest.mark.parametrize("damage", [flip_weights, flip_graph, flip_asset])
def test_sizes_alone_still_find_the_damaged_file_behind_a_failure(
    models: Path, manifest: dict[str, Any], start: Start, damage: Callable[[Path, dict[str, Any]], None]
) -> None:
    damage(models, manifest)
    assert start(PREBAKE_VERIFY="sizes", PREBAKE_FAILURE_EXIT_DELAY="0").wait() == 73


def test_a_model_that_fails_at_create(start: Start) -> None:
    server = start(TINY_BREAK="1", PREBAKE_FAILURE_EXIT_DELAY="0")
    assert server.wait() == 76
    assert "create failed" in server.stderr


def test_the_exit_comes_at_once_without_a_linger(models: Path, manifest: dict[str, Any], start: Start) -> None:
    break_json(models, manifest)
    server = start(PREBAKE_FAILURE_EXIT_DELAY="0")
    assert server.wait() == 70


def test_a_termination_while_failed_gives_the_faults_code(models: Path, manifest: dict[str, Any], start: Start) -> None:
    break_json(models, manifest)
    server = start(PREBAKE_FAILURE_EXIT_DELAY="60").wait_for("failed")
    server.terminate()
    assert server.wait() == 70


def test_a_port_in_use(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = start(PREBAKE_PORT=str(taken.getsockname()[1]))
        assert server.wait() == 77
    assert str(server.port) in server.events[0]["reason"]


def test_an_environment_that_is_not_understood_names_every_variable(start: Start) -> None:
    wrong = {
        "PREBAKE_THREADS": "many",
        "PREBAKE_VERIFY": "maybe",
        "PREBAKE_GRACE_PERIOD": "-1",
        "PREBAKE_MEMORY_CHECK": "no",
        "PREBAKE_REQUEST_MEMORY": "1.5GB",
    }
    server = start(**wrong)
    assert server.wait() == 78
    for name in wrong:
        assert name in server.events[0]["reason"]


def test_a_variable_that_has_its_earlier_name_ends_the_start_and_the_new_name_is_said(start: Start) -> None:
    server = start(PREBAKE_GRACE="5", PREBAKE_FAULT_LINGER="0", PREBAKE_MEMBERS="left", PREBAKE_FALLBACK="announce")
    assert server.wait() == 78
    reason = server.events[0]["reason"]
    for old, new in RENAMED.items():
        assert f"{old}: was renamed to {new}" in reason
    assert "PREBAKE_FALLBACK='announce': give warn or error" in reason


def test_an_extra_file_is_told_and_harms_nothing(models: Path, manifest: dict[str, Any], start: Start) -> None:
    (models / "linear/stray").write_bytes(b"")
    server = start().wait_for("ready")
    assert server.get("/startup").json()["extra_files"] == ["linear/stray"]
