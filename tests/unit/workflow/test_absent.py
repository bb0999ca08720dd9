"""Bit rates of networks as people write them, and what a pull has to have done."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from prebake.commands.shared import flags
from prebake.errors import EngineError
from prebake.workflow.absent.bit_rate import format_network, parse_network
from prebake.workflow.absent.errors import StateUnavailable
from prebake.workflow.absent.isolated_thread import IsolatedThread
from prebake.workflow.absent.launcher import require_whole
from prebake.workflow.absent.node import scratch_folder
from prebake.workflow.absent.shaped_link import Link
from tests.support.registries.oci_images import image_of, tar_layer
from tests.support.repository import ROOT


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("1Gbps", 10**9),
        ("10Gbps", 10**10),
        ("2.5Gbps", 2_500_000_000),
        ("100Mbps", 10**8),
        ("100 mbps", 10**8),
        ("0.001Gbps", 10**6),
    ],
)
def test_a_bit_rate_has_a_number_and_a_unit(text: str, bits: int) -> None:
    assert parse_network(text) == bits


@pytest.mark.parametrize("text", ["", "1", "1G", "1GBps2", "fast", "-1Gbps", "1,5Gbps", "1Gbit/s", "nanGbps"])
def test_other_texts_are_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="such as 1Gbps") as caught:
        parse_network(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["0Gbps", "0.5Mbps", "1001Gbps"])
def test_a_rate_out_of_range_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(ValueError, match="between 1Mbps and 1000Gbps"):
        parse_network(text)


def test_the_command_line_refuses_a_rate_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", type=flags.network)
    assert parser.parse_args(["--network", "10Gbps"]).network == 10**10
    with pytest.raises(SystemExit):
        parser.parse_args(["--network", "fast"])
    assert "--network: 'fast' is not a network's bit rate such as 1Gbps" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1Gbps", "2.5Gbps", "100Mbps", "1Mbps", "1000Gbps"])
def test_a_rate_is_printed_as_it_is_written(text: str) -> None:
    assert format_network(parse_network(text)) == text


def test_a_measured_rate_is_rounded() -> None:
    assert format_network(957_188_955.8) == "957Mbps"
    assert format_network(9_566_181_532.9) == "9.57Gbps"
    assert format_network(999_700_000) == "1Gbps"


def link(asked: int, achieved: float) -> Link:
    nobody = cast(IsolatedThread, None)
    return Link(nobody, nobody, asked, achieved)


def test_a_machine_below_the_rate_is_told() -> None:
    assert "this machine moves only 4Gbps" in link(10**10, 4e9).description()
    fine = link(10**9, 956e6)
    assert not fine.slower
    assert fine.description() == "1Gbps; 956Mbps of payload measured"


def test_a_pull_that_left_a_blob_out_is_an_error_that_names_it() -> None:
    image = image_of(tar_layer({"a": b"1"}), tar_layer({"b": b"2"}))
    before = {image.layers[1].digest: 5 * image.layers[1].size}  # sent by an earlier pull
    all_sent = {blob.digest: blob.size for blob in image.blobs}
    once_more = {**all_sent, image.layers[1].digest: 6 * image.layers[1].size}
    require_whole(image, before, once_more)
    with pytest.raises(EngineError, match="did not pull all of the image") as caught:
        require_whole(image, before, {**once_more, image.layers[1].digest: before[image.layers[1].digest]})
    assert image.layers[1].digest in caught.value.message
    assert image.layers[0].digest not in caught.value.message


def test_a_scratch_folder_is_gone_after_an_exception(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path, print) as folder:
            (folder / "file").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_folders_of_killed_processes_are_removed_and_others_stay(tmp_path: Path) -> None:
    left = tmp_path / "left" / "data"
    left.mkdir(parents=True)
    lines: list[str] = []
    with scratch_folder(tmp_path, lines.append) as first, scratch_folder(tmp_path, lines.append) as second:
        assert first.exists()
        assert second.exists()
        assert not left.exists()
    assert len(lines) == 1
    assert str(left.parent) in lines[0]


def test_a_folder_that_goes_away_meanwhile_is_no_error(tmp_path: Path) -> None:
    going = tmp_path / "going"
    going.mkdir()
    (going / "lock").symlink_to(tmp_path / "gone" / "lock")  # opening it fails as in a folder that was just removed
    with scratch_folder(tmp_path, print) as folder:
        assert folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root away from a process")
def test_without_root_the_message_says_what_to_do() -> None:
    ended = run_python("os.seteuid(65534); require_programs(print)")
    assert "StateUnavailable: `--state absent` makes network namespaces, which takes Linux and root." in ended


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root away from a process")
def test_a_gate_looks_for_the_rights_before_anything_else() -> None:
    """The project of the build does not exist, which is found out later."""
    code = (
        "from pathlib import Path; from prebake.measure.gate.limits import Limits; "
        "from prebake.workflow.benchmark.gate import GateRequest, gate_image; "
        "from prebake.workflow.requests import BuildRequest; "
        "build = BuildRequest(Path('/nowhere'), 'toy'); os.seteuid(65534); "
    )
    ended = run_python(f"{code} gate_image(GateRequest(build, None, Limits(), state='absent'), print)")
    assert "StateUnavailable: `--state absent` makes network namespaces, which takes Linux and root." in ended
    ended = run_python(f"{code} gate_image(GateRequest(build, None, Limits()), print)")
    assert "UnknownImage: " in ended


@pytest.mark.skipif(os.geteuid() != 0, reason="hides programs in a mount namespace")
def test_a_missing_program_is_named_with_its_package() -> None:
    """Without apt-get, nothing is installed."""
    hidden = """
for name in tc apt-get; do file=$(command -v "$name") && mount --bind /dev/null "$file"; done
exec "$@"
"""
    described = """
try:
    require_programs(print)
except Exception as error:
    raise SystemExit(f"{error.message} {error.next_action}")
"""
    ended = run_python(described, *("unshare", "--mount", "sh", "-c", hidden, "sh"))
    assert re.search(r"`--state absent` needs programs that this machine does not have: .*\btc\b.*\.", ended), ended
    assert re.search(r"install them: `apt-get install .*\biproute2\b.*` on Debian and Ubuntu", ended), ended


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a capability away from root")
def test_without_the_right_to_make_namespaces_the_message_says_what_to_do() -> None:
    ended = run_python("IsolatedThread()", *("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"))
    assert "StateUnavailable: This process may not use network namespaces (unshare: Operation not permitted)" in ended
    assert StateUnavailable.exit_code == 43


def run_python(code: str, *before: str) -> str:
    """The error output of a program with these names."""
    imports = "import os; from prebake.workflow.absent.requirements import require_programs"
    imports += "; from prebake.workflow.absent.isolated_thread import IsolatedThread"
    command = [*before, sys.executable, "-c", f"{imports}\n{code}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr
