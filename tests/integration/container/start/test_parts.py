"""The parts that are functions of values."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
import math
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import xxhash

from entrypoints.errors import DamagedFile, Fault, ManifestFault, NewerSchema
from entrypoints.files.verification import hash_file
from entrypoints.hardware.cpu_quota import find_quota
from entrypoints.manifest.reader import SCHEMA, parse_manifest
from entrypoints.model.worker import Worker
from entrypoints.processes.timeline import measure_process_age
from entrypoints.serve import bind
from entrypoints.server.generate import read_wait_seconds
from entrypoints.settings import Settings
from prebake.documents.canonical import seal
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from entrypoints.files.verification import Digest

ALLOWED = {"numpy", "onnxruntime", "h11", "xxhash", "entrypoints"}
BY_TORCH = {"aotinductor.py", "clear.py", "compile_cache.py", "contract.py", "torch_network.py", "torch_components.py"}
"""What may import torch besides: it is imported where an image has components in torch, and a port names its types."""


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 1,', b"\x00\xff garbage", b"[" * 100_000])
def test_bytes_that_are_no_json_are_a_manifest_fault(content: bytes) -> None:
    with pytest.raises(ManifestFault, match="not JSON"):
        parse_manifest(content)


@pytest.mark.parametrize(
    ("document", "fault", "words"),
    [
        ([], ManifestFault, "should be a JSON object"),
        ({}, ManifestFault, "has no schema version"),
        ({"schema": True}, ManifestFault, "has no schema version"),
        ({"schema": str(SCHEMA)}, ManifestFault, "has no schema version"),
        ({"schema": SCHEMA + 1}, NewerSchema, f"newer Prebake: it has schema {SCHEMA + 1}"),
        ({"schema": SCHEMA - 1}, ManifestFault, f"older Prebake: it has schema {SCHEMA - 1}"),
        ({"schema": SCHEMA}, ManifestFault, "has no digest"),
        ({"schema": SCHEMA, "digest": 1}, ManifestFault, "has no digest"),
        ({"schema": SCHEMA, "digest": "0" * 64}, DamagedFile, "its sha256 should be 0000"),
    ],
)
def test_what_the_start_checks_of_a_manifest(document: object, fault: type[Fault], words: str) -> None:
    with pytest.raises(fault, match=words):
        parse_manifest(json.dumps(document).encode())


def test_a_manifest_with_a_right_digest_and_other_content_is_a_fault_and_no_crash() -> None:
    with pytest.raises(ManifestFault, match="KeyError: 'name'"):
        parse_manifest(seal({"schema": SCHEMA}))


def test_the_start_imports_no_validation() -> None:
    """The builder validates (``prebake.documents.manifest``); the container has no Prebake."""
    program = "import sys, entrypoints.manifest.reader; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    assert not {name for name in modules if name.partition(".")[0] == "prebake"}


def test_exit_codes_belong_to_one_fault_each() -> None:
    codes = sorted(fault.exit_code for fault in Fault.__subclasses__())
    assert codes == [code for code in range(70, 88) if code != 82], "82 is the tool's"


@pytest.mark.parametrize(
    ("own", "parent", "quota"),
    [
        ("200000 100000", None, 2.0),
        ("max 100000", "150000 100000", 1.5),
        ("max 100000", None, math.inf),
        ("", None, math.inf),
    ],
)
def test_the_smallest_quota_of_the_groups_counts(tmp_path: Path, own: str, parent: str | None, quota: float) -> None:
    group = tmp_path / "pod/container"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text(own + "\n")
    if parent:
        (group.parent / "cpu.max").write_text(parent + "\n")
    membership = tmp_path / "membership"
    membership.write_text("1:name=systemd:/\n0::/pod/container\n")
    assert find_quota(tmp_path, membership) == quota


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (b"wait=10", 10),
        (b'respond-async, WAIT="7"', 7),
        (b"return=minimal; wait = 3", 3),
        (b"await=3", 0),
        (b"wait=x", 0),
    ],
)
def test_the_preference_to_wait(prefer: bytes, seconds: float) -> None:
    assert read_wait_seconds({b"prefer": prefer}) == seconds


def test_what_is_sent_waits_for_no_acknowledgement() -> None:
    async def ask_server_side() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = bind(Settings(host="127.0.0.1", port=0))
        async with await asyncio.start_server(look, sock=listening):
            with socket.create_connection(listening.getsockname()):
                return await found

    assert asyncio.run(ask_server_side())


def test_a_form_that_waits_is_let_go_when_its_client_is_gone() -> None:
    class Content:
        """Bytes of a form, as far as the memory is concerned."""

    def refuse(form: dict[str, Content], _: object) -> NoReturn:
        raise AssertionError(f"it was cancelled: {form}")

    content = Content()
    held = weakref.ref(content)
    waiting = Worker(1)
    job = waiting.submit(partial(refuse, {"clip": content}))
    del content
    assert held() is not None
    job.cancel("nobody waits for the answer")
    assert held() is None


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        (hashlib.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (xxhash.xxh3_128, "06b05ab6733a618578af5f94892f3950"),
    ],
)
def test_a_file_is_hashed_in_pieces(tmp_path: Path, digest: Callable[[], Digest], expected: str) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert hash_file(tmp_path / "file", memoryview(bytearray(2)), digest()) == expected


def test_the_process_knows_its_age() -> None:
    program = (
        "import time; from entrypoints.processes.timeline import measure_process_age as m; time.sleep(0.2); print(m())"
    )
    age = float(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT))
    assert 0.19 < age < 5
    assert measure_process_age() > 0.2


def test_entrypoints_import_only_what_the_image_holds() -> None:
    known = ALLOWED | sys.stdlib_module_names
    torch = {"torch", "safetensors"}
    offending = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "entrypoints").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        for name in list_imports(node)
        if name.partition(".")[0] not in known | (torch if path.name in BY_TORCH else set()) | find_grpc(path)
    ]
    assert not offending, offending


def find_grpc(path: Path) -> set[str]:
    """Only images with gRPC have the folder of its server, and grpcio."""
    return {"grpc"} if path.parent == ROOT / "entrypoints/server/grpc" else set()


def list_imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""] if node.level == 0 else ["entrypoints"]
    return []


def test_nothing_heavy_is_imported_before_the_server_answers() -> None:
    """numpy and onnxruntime hold the interpreter's lock; click and the reloader are not needed at all."""
    program = "import sys, entrypoints.server.server_process, entrypoints.server.http.listener; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    assert {"h11", "entrypoints.server.app"} <= set(modules)
    unwanted = {"numpy", "onnxruntime", "http", "email", "starlette"}
    unwanted |= {"entrypoints.server.event_stream", "entrypoints.server.metrics", "entrypoints.server.tracing"}
    assert not unwanted & set(modules)


def test_what_both_processes_import_is_imported_before_the_fork() -> None:
    """Each would import it again, at the same time, on the processors that the start needs."""

    def modules_after(statement: str) -> set[str]:
        program = f"import sys, entrypoints.serve; {statement}; print(*sys.modules)"
        return set(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split())

    shared = modules_after("entrypoints.serve.import_shared_modules()")
    server = modules_after("import entrypoints.server.server_process, entrypoints.server.http.listener")
    model = modules_after("import entrypoints.model.process")
    own = {name for name in server & model if name.startswith("entrypoints")}
    assert {"entrypoints.processes.channel", "entrypoints.processes.events"} <= own
    assert own <= shared
    assert "numpy" not in shared
