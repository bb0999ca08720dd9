"""The parts that are functions of values."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import io
import json
import math
import socket
import struct
import subprocess
import sys
import wave
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from entrypoints.answers import find_difference
from entrypoints.faults import Fault, ManifestFault, NewerSchema
from entrypoints.integrity import Digest, hash_file
from entrypoints.manifest_file import parse_manifest
from entrypoints.processors import find_quota
from entrypoints.serve import bind
from entrypoints.settings import Settings
from entrypoints.timeline import measure_process_age
from entrypoints.waiting import read_patience
from entrypoints.worker import Worker
from tests.entrypoints.running import ROOT

ALLOWED = {"numpy", "onnxruntime", "uvicorn", "python_multipart", "xxhash", "entrypoints"}
BY_TORCH = {"ahead.py", "compiled.py", "contract.py", "networks.py", "torch_runtime.py"}
"""What may import torch besides: it is imported where an image has components in torch, and a port names its types."""


def write_wave(samples: np.ndarray, bits: int, rate: int = 48_000) -> bytes:
    if bits < 0:
        data = samples.astype("<f4").tobytes()
        header = struct.pack(
            "<HHIIHH", 3, samples.shape[1], rate, rate * 4 * samples.shape[1], 4 * samples.shape[1], 32
        )
        chunks = b"fmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", len(data)) + data
        return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        wide = np.round(samples * (2 ** (bits - 1) - 1)).astype("<i4")
        file.writeframes(wide.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes())
    return target.getvalue()


@pytest.mark.parametrize("bits", [16, 24, 32, -32])
def test_waves_agree_within_the_tolerance_of_full_scale(bits: int) -> None:
    samples = np.linspace(-0.9, 0.9, 600, dtype=np.float64).reshape(-1, 2)
    near, far = samples.copy(), samples.copy()
    near[7, 1] += 0.0005
    far[7, 1] += 0.002
    expected = write_wave(samples, bits)
    assert find_difference(expected, write_wave(near, bits), "audio/wav", 0.001) is None
    assert "frame 7" in (find_difference(expected, write_wave(far, bits), "audio/wav", 0.001) or "")


def test_waves_of_another_shape_rate_or_kind_differ() -> None:
    samples = np.zeros((10, 2))
    expected = write_wave(samples, 16)
    for other in (
        write_wave(samples[:9], 16),
        write_wave(samples[:, :1], 16),
        write_wave(samples, 16, 44_100),
        b"RIFF",
    ):
        assert find_difference(expected, other, "audio/wav", 1.0) is not None


def test_not_a_number_agrees_with_nothing() -> None:
    broken = np.zeros((10, 1))
    broken[3] = math.nan
    assert find_difference(write_wave(np.zeros((10, 1)), -32), write_wave(broken, -32), "audio/wav", 1.0) is not None
    assert find_difference(b"[NaN]", b"[NaN]", "application/json", 1.0) is not None


@pytest.mark.parametrize(
    ("expected", "actual", "place"),
    [
        ({"a": [1, 2.0]}, {"a": [1.0005, 2]}, None),
        ({"a": [1, 2]}, {"a": [1, 2.1]}, "$.a[1]"),
        ({"a": 1}, {"b": 1}, "$: names"),
        ([1], [1, 1], "$: 1 entries"),
        ({"a": "x"}, {"a": "y"}, "$.a"),
        ({"a": True}, {"a": 1}, "$.a"),
        ({"a": None}, {"a": 0}, "$.a"),
    ],
)
def test_json_agrees_in_its_numbers(expected: Any, actual: Any, place: str | None) -> None:
    found = find_difference(json.dumps(expected).encode(), json.dumps(actual).encode(), "application/json", 0.001)
    assert found is None if place is None else place in str(found)


def test_json_that_differs_in_numbers_alone_tells_the_largest_difference() -> None:
    found = find_difference(b'{"a": [1, 2, [3]]}', b'{"a": [1.5, 2, [1]]}', "application/json", 0.001)
    assert found == "$.a[0]: 1 expected, 1.5 given; numbers differ by up to 2, the tolerance is 0.001"


def test_other_media_types_agree_byte_for_byte() -> None:
    assert find_difference(b"abc", b"abc", "image/png", 1) is None
    assert "byte 2" in str(find_difference(b"abc", b"abd", "image/png", 1))


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (("schema",), "1", "schema: should be a whole number"),
        (("schema",), 0, "schema: should be 1"),
        (("schema",), True, "schema: should be a whole number"),
        (("name",), "", "name: should be"),
        (("model", "module"), "a/b", "model.module"),
        (("components",), [], "components: should be an object"),
        (("components", "linear", "graph"), "../x", "components.linear.graph: should be a relative path"),
        (("components", "linear", "graph"), "/x", "relative path"),
        (("components", "linear", "graph"), "a//x", "relative path"),
        (("components", "linear", "graph"), "linear/modle.onnx", 'did you mean "linear/model.onnx"'),
        (("components", "linear", "providers"), [], "providers: should be a list with something"),
        (("components", "linear", "session", "optimize"), "ful", "optimize: should be one of"),
        (("components", "linear", "session", "prepack"), 0, "prepack: should be a boolean"),
        (("components", "linear", "reads", "linear/model.bin"), [[0, -1]], "reads.linear/model.bin[0][1]"),
        (("components", "linear", "reads", "linear/model.bin"), [[0]], "should be a list of 2"),
        (("components", "linear", "reads", "linear/none"), [], "files has no linear/none"),
        (("components", "linear", "key"), "abc", "components.linear.key: should be a sha256"),
        (("files", "linear/model.bin", "size"), -1, "size: should be a whole number of bytes"),
        (("files", "linear/model.bin", "origin"), "publised", 'did you mean "published"'),
        (("warmup", "tolerance"), -1, "warmup.tolerance"),
        (("warmup", "answer"), "warmup/none", "files has no warmup/none"),
        (("limits", "queue"), 1.5, "limits.queue"),
        (("limits", "seconds"), 0, "limits.seconds"),
        (("limits", "secnds"), 1, 'did you mean "seconds"'),
    ],
)
def test_every_field_of_the_manifest_is_checked(
    manifest: dict[str, Any], place: tuple[str, ...], value: object, problem: str
) -> None:
    holder = manifest
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    with pytest.raises(ManifestFault) as raised:
        parse_manifest(json.dumps(manifest).encode())
    assert problem in str(raised.value)


def test_a_repeated_name_or_nan_is_no_manifest(manifest: dict[str, Any]) -> None:
    for text in ('{"schema": 1, "schema": 1}', '{"schema": NaN}', "\ud800"):
        with pytest.raises(ManifestFault, match="no JSON"):
            parse_manifest(text.encode("utf-8", "surrogatepass"))


def test_a_newer_schema_is_told_apart_from_a_broken_one() -> None:
    with pytest.raises(NewerSchema):
        parse_manifest(b'{"schema": 99}')


def test_exit_codes_belong_to_one_fault_each() -> None:
    codes = {fault.__name__: fault.exit_code for fault in Fault.__subclasses__()}
    assert sorted(codes.values()) == list(range(70, 70 + len(codes)))


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
    assert read_patience({b"prefer": prefer}) == seconds


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

    content = Content()
    held = weakref.ref(content)
    waiting = Worker(1)
    job = waiting.submit({"clip": content})
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
    program = "import time; from entrypoints.timeline import measure_process_age as m; time.sleep(0.2); print(m())"
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
        if name.partition(".")[0] not in (known | torch if path.name in BY_TORCH else known)
    ]
    assert not offending, offending


def list_imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""] if node.level == 0 else ["entrypoints"]
    return []


def test_nothing_heavy_is_imported_before_the_server_answers() -> None:
    """numpy and onnxruntime hold the interpreter's lock; click and the reloader are not needed at all."""
    program = "import sys, entrypoints.process, entrypoints.listener; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    assert {"uvicorn.server", "entrypoints.app"} <= set(modules)
    unwanted = {"numpy", "onnxruntime", "click", "uvicorn.main", "uvicorn.supervisors", "starlette", "python_multipart"}
    unwanted |= {"entrypoints.events"}
    assert not unwanted & set(modules)
