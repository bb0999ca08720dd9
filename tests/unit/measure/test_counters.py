"""Counts of a start: modules from paths, reading the tracer's output, comparing."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prebake.measure.counters.comparison import Change, CounterComparison, compare_counters
from prebake.measure.counters.counters import MAX_BYTES, Counters, not_counted, parse_counters, read_counters
from prebake.measure.counters.module_names import find_modules, module_name
from prebake.measure.counters.sentences import describe_comparison
from prebake.measure.counters.system_calls import system_call_name
from prebake.measure.counters.tracer.kernel import MACHINES
from prebake.measure.counters.tracer_command import tracer_command

ROOTS = ["/app", "/opt/prebake"]
LIBRARY = "/usr/lib/python3.11"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/lib/python3.11/__pycache__/wave.cpython-311.pyc", "wave"),
        ("/usr/local/lib/python3.12/__pycache__/wave.cpython-312.opt-1.pyc", "wave"),
        ("/usr/lib/python3.11/wave.py", "wave"),
        ("/usr/lib/python3.11/email/__pycache__/__init__.cpython-311.pyc", "email"),
        ("/usr/lib/python3.11/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so", "_json"),
        ("/app/images/toy/__pycache__/model.cpython-311.pyc", "images.toy.model"),
        ("/opt/prebake/numpy/__pycache__/__init__.cpython-311.pyc", "numpy"),
        ("/opt/prebake/tokenizers/tokenizers.abi3.so", "tokenizers.tokenizers"),
        ("/opt/prebake/cffi/_backend.so", "cffi._backend"),
        ("/usr/local/lib/python3.11/site-packages/h11/_state.py", "h11._state"),
        ("/usr/lib/python3/dist-packages/six.py", "six"),
        ("/venv/lib/python3.11/site-packages/torch/__pycache__/_ops.cpython-311.pyc", "torch._ops"),
        ("/opt/prebake/onnxruntime/capi/libonnxruntime_providers_shared.so", ""),
        ("/opt/prebake/numpy.libs/_openblas.cpython-311.so", ""),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", ""),
        ("/opt/prebake/h11-0.16.dist-info/METADATA", ""),
        ("/models/first/model.safetensors", ""),
        ("/models/script.py", ""),
        ("/opt/prebake/__init__.py", ""),
    ],
)
def test_module_of_a_path(path: str, name: str) -> None:
    assert module_name(path, ROOTS) == name


def test_a_file_that_was_only_opened_is_no_import() -> None:
    assert find_modules({f"{LIBRARY}/lib-dynload/_bz2.cpython-311-x86_64-linux-gnu.so": 0}) == {}


def test_a_source_counts_only_without_its_compiled_file() -> None:
    compiled = f"{LIBRARY}/__pycache__/wave.cpython-311.pyc"
    files = {f"{LIBRARY}/wave.py": 5, compiled: 7, f"{LIBRARY}/chunk.py": 3}
    assert find_modules(files) == {"wave": compiled, "chunk": f"{LIBRARY}/chunk.py"}


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_the_numbers_that_the_tracer_knows_are_those_of_the_table(machine: str) -> None:
    _, numbers = MACHINES[machine]
    assert {name: system_call_name(machine, number) for name, number in numbers.items()} == {
        name: name for name in numbers
    }


def test_an_unknown_call_has_its_number() -> None:
    assert system_call_name("x86_64", 9999) == "call 9999"
    assert system_call_name("riscv64", 63) == "call 63"


def trace(**changes: Any) -> dict[str, Any]:
    """The tracer's document of a start with two modules, a weight file and a file of the kernel."""
    document = {
        "machine": "x86_64",
        "calls": {"0": 1000, "257": 500, "202": 300},
        "files": {
            f"{LIBRARY}/__pycache__/wave.cpython-311.pyc": [
                1,
                18000,
                0,
                "/app/images/toy/__pycache__/model.cpython-311.pyc",
            ],
            "/app/images/toy/__pycache__/model.cpython-311.pyc": [1, 2000, 0, ""],
            "/models/a.safetensors": [2, 4096, 8192, ""],
            "/proc/7/stat": [1, 260, 0, ""],
            "/tmp/scratch": [1, 5, 0, ""],
        },
        "minor_faults": 10000,
        "major_faults": 3,
        "threads_created": 12,
        "processes_created": 1,
        "peak_threads": 10,
    }
    return {**document, **changes}


def counters(**changes: Any) -> Counters:
    return parse_counters(trace(**changes), ROOTS).with_sizes(1000, {"base": 700, "code": 300})


def test_the_document_is_parsed() -> None:
    parsed = counters()
    assert parsed.modules.keys() == {"wave", "images.toy.model"}
    assert set(parsed.files) == set(trace()["files"]) - {"/proc/7/stat", "/tmp/scratch"}
    assert (parsed.bytes_read, parsed.bytes_mapped) == (24096, 8192)
    assert parsed.system_calls == {"read": 1000, "openat": 500, "futex": 300}
    assert (parsed.working_calls, parsed.waiting_calls) == (1500, 300)
    assert parsed.files[parsed.modules["wave"]].after == "images.toy.model"
    assert json.loads(json.dumps(parsed.document()))["bytes_read"] == 24096


def output(document: dict[str, Any], characters: int) -> str:
    text = base64.b64encode(zlib.compress(json.dumps(document).encode())).decode()
    parts = [text[at : at + characters] for at in range(0, len(text), characters)]
    lines = [f"prebake-counters {number} {len(parts)} {part}" for number, part in enumerate(parts, 1)]
    return "\n".join(['{"event": "ready"}', *lines, "another line"])


def test_counts_are_read_between_other_lines() -> None:
    assert read_counters(output(trace(), 50), ROOTS) == parse_counters(trace(), ROOTS)


def test_counts_that_are_cut_off_are_none() -> None:
    lines = output(trace(), 50).splitlines()
    assert read_counters("\n".join(lines[:-3])) is None
    assert read_counters("no counts\n") is None


def test_a_reason_is_read() -> None:
    read = read_counters("a line\nprebake-counters-failed ptrace is forbidden\n")
    assert read == not_counted("ptrace is forbidden")


MARK = "prebake-counters"
BOMB = base64.b64encode(zlib.compress(bytes(MAX_BYTES + 1), 9)).decode()


@pytest.mark.parametrize(
    "lines",
    [
        f"{output(trace(), 10**6)}\n{MARK} x",
        f"{MARK} one 1 e30=",
        f"{MARK} 1 1 no-base64",
        f"{MARK} 1 1 aaaa",
        f"{MARK} 1 1 {BOMB}",
        output({"files": {}}, 10**6),
        output(trace(minor_faults=float("nan")), 10**6),
        output(trace(peak_threads="1"), 10**6),
        output(trace(calls={"0": 10**30}), 10**6),
        output(trace(files={"/models/a": [1, -5, 0, ""]}), 10**6),
        output(trace(files={"/models/a": [1, 5, 0, []]}), 10**6),
        output([], 10**6),  # type: ignore[arg-type]
    ],
)
def test_what_the_image_itself_writes_is_a_reason_and_no_error(lines: str) -> None:
    read = read_counters(lines, ROOTS)
    assert read is not None
    assert not read.counted
    assert "cannot be read" in read.reason


def moved(comparison: CounterComparison) -> set[str]:
    return {value.name for value in comparison.values if value.moved}


def test_equal_starts() -> None:
    comparison = compare_counters(counters(), counters())
    assert comparison.changes == ()
    assert moved(comparison) == set()
    assert describe_comparison(comparison) == []
    document = comparison.document()
    assert (document["counted"], document["reason"], document["changes"]) == (True, "", [])
    assert document["values"][0] == {
        "name": "modules imported",
        "unit": "modules",
        "value": 2,
        "baseline": 2,
        "moved": False,
    }


def test_one_more_module() -> None:
    path = f"{LIBRARY}/__pycache__/wave.cpython-311.pyc"
    fewer = counters(files={name: use for name, use in trace()["files"].items() if name != path})
    more = compare_counters(counters(), fewer)
    assert more.changes == (
        Change("module", "wave", "added", 18000, 0),
        Change("file", path, "added", 18000, 0),
    )
    assert moved(more) == {"modules imported", "files opened", "bytes read"}
    assert describe_comparison(more) == [
        "1 module more: wave (17.6 KiB, after images.toy.model)",
        "bytes read: 17.6 KiB more, 23.5 KiB",
    ]
    less = compare_counters(fewer, counters())
    assert less.changes[0] == Change("module", "wave", "removed", 0, 18000)
    assert describe_comparison(less)[0] == "1 module less: wave (17.6 KiB, after images.toy.model)"


def test_a_module_instead_of_another_moves_the_number_that_stays() -> None:
    files = {name.replace("wave", "chunk"): use for name, use in trace()["files"].items()}
    comparison = compare_counters(counters(files=files), counters())
    assert {"modules imported", "files opened"} <= moved(comparison)
    assert {(change.name, change.change) for change in comparison.changes if change.what == "module"} == {
        ("chunk", "added"),
        ("wave", "removed"),
    }


def test_one_more_megabyte() -> None:
    files = {**trace()["files"], "/models/a.safetensors": [2, 4096 + 2**20, 8192, ""]}
    comparison = compare_counters(counters(files=files), counters())
    assert comparison.changes == (Change("file", "/models/a.safetensors", "changed", 12288 + 2**20, 12288),)
    assert moved(comparison) == {"bytes read"}
    assert describe_comparison(comparison)[0] == (
        "1 file of which other bytes are read or mapped: /models/a.safetensors (1.0 MiB more, 1.0 MiB)"
    )


def test_many_modules_are_cut() -> None:
    files = {**trace()["files"], **{f"{LIBRARY}/module{number}.py": [1, 10, 0, ""] for number in range(8)}}
    line = describe_comparison(compare_counters(counters(files=files), counters()))[0]
    assert line.startswith("8 modules more: module0 (10 B), module1 (10 B)")
    assert line.endswith("and 3 more")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"minor_faults": 10900}, set()),
        ({"minor_faults": 11100}, {"minor page faults"}),
        ({"minor_faults": 8900}, {"minor page faults"}),
        ({"major_faults": 5000}, set()),
        ({"calls": {"0": 1000, "257": 590, "202": 300}}, set()),
        ({"calls": {"0": 1000, "257": 610, "202": 300}}, {"system calls"}),
        ({"calls": {"0": 1000, "257": 500, "202": 90000}}, set()),
        ({"threads_created": 14}, set()),
        ({"threads_created": 15}, {"threads created"}),
        ({"peak_threads": 14}, set()),
        ({"peak_threads": 15}, {"threads at once"}),
        ({"processes_created": 2}, {"processes created"}),
    ],
)
def test_which_counters_move(changes: dict[str, Any], names: set[str]) -> None:
    assert moved(compare_counters(counters(**changes), counters())) == names


def test_the_calls_that_grew_are_named() -> None:
    comparison = compare_counters(counters(calls={"0": 3000, "257": 450, "202": 9000}), counters())
    assert describe_comparison(comparison) == ["system calls: 3450 instead of 1500 (read +2000, openat -50)"]


def test_layers() -> None:
    larger = counters().with_sizes(1200, {"base": 700, "code": 300, "weights": 200})
    comparison = compare_counters(larger, counters().with_sizes(1000, {"base": 700, "code": 290, "graphs": 10}))
    assert set(comparison.changes) == {
        Change("layer", "weights", "added", 200, 0),
        Change("layer", "graphs", "removed", 0, 10),
        Change("layer", "code", "changed", 300, 290),
    }
    assert moved(comparison) == {"image", "layers: weights", "layers: graphs", "layers: code"}


def test_sizes_are_compared_if_nothing_was_counted() -> None:
    nothing = not_counted("ptrace is forbidden").with_sizes(1100, {"base": 700, "code": 400})
    comparison = compare_counters(counters(), nothing)
    document = comparison.document()
    assert (document["counted"], document["reason"]) == (False, "baseline: ptrace is forbidden")
    assert {value["unit"] for value in document["values"]} == {"bytes"}
    assert [change["name"] for change in document["changes"]] == ["code"]
    assert describe_comparison(comparison)[0] == "not counted: baseline: ptrace is forbidden"
    assert compare_counters(replace(nothing, reason="no"), counters()).reason == "no"


def test_the_command_has_the_whole_program() -> None:
    command = tracer_command(["server", "--port", "1"])
    assert command[-3:] == ["server", "--port", "1"]
    assert max(len(word) for word in command) < 128 * 1024, "the kernel's limit of one argument"


def test_every_module_of_the_tracer_is_handed_over() -> None:
    from prebake.measure.counters import tracer_command as module

    folder = Path(module.__file__).parent / "tracer"
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert names == set(module._MODULES)
