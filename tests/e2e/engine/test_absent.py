"""Images started on nodes that lack them: pulled by an empty Engine through a link with a chosen bit rate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.pull import pull
from prebake.io.cache_folder import cache_folder
from prebake.measure.start import time_first_answer
from prebake.measure.warmup_request import read_warmup
from prebake.oci.blobs.blobs import Image
from prebake.oci.registry.loopback import serve_image
from prebake.workflow.absent.launcher import AbsentLauncher, PulledServer, absent_launcher
from prebake.workflow.absent.node import Node, empty_node, scratch_folder
from prebake.workflow.absent.shaped_link import REGISTRY_ADDRESS, Link, shaped_link
from prebake.workflow.delivery.outputs import EngineOutput
from tests.support.commands.projects import Built, reach, wait_until
from tests.support.engines.absent import PROGRAM, engine_networks, find_traces, network_of, processes_in
from tests.support.registries.oci_images import file_layer, image_of
from tests.support.repository import ROOT

WEIGHTS_BYTES = 8 << 20
SLOW, FAST = 20 * 10**6, 10**9
BUCKET_BYTES = 128 << 10
"""Bytes that pass a pause's end at once, whatever the rate (``shaped_link``)."""


@pytest.fixture
def weights(tmp_path: Path) -> Image:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(WEIGHTS_BYTES))
    return image_of(file_layer(path, "models/weights"))


def least_seconds(image_bytes: int, bits_per_second: int) -> float:
    """No machine and no noise brings so many bytes through the link sooner."""
    return 8 * (image_bytes - BUCKET_BYTES) / bits_per_second


def size_of(image: Image) -> int:
    return sum(blob.size for blob in image.blobs)


@contextmanager
def new_node(engine: Connection, image: Image, bits_per_second: int) -> Iterator[tuple[Node, Link, Path, str]]:
    """A node, its link, its folder, and the image's name at a registry behind the link."""
    root = cache_folder() / "absent"
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder(root, print))
        link = stack.enter_context(shaped_link(bits_per_second, print))
        with link.registry.entered():
            served = stack.enter_context(serve_image(image, name="prebake/w", tag="one", host=REGISTRY_ADDRESS))
        node = stack.enter_context(empty_node(engine.host, link, folder, print))
        yield node, link, folder, served.reference


def seconds_to_pull(node: Node, reference: str) -> float:
    node.empty()
    assert node.contents() == []
    begin = time.perf_counter()
    pull(node.connection, reference)
    return time.perf_counter() - begin


@dataclass
class WatchedLauncher:
    """A launcher that keeps the servers that it started."""

    launcher: AbsentLauncher
    servers: list[PulledServer] = field(default_factory=list)

    @contextmanager
    def start(self, image: str) -> Iterator[PulledServer]:
        with self.launcher.start(image) as server:
            self.servers.append(server)
            yield server

    def open_files(self, image: str) -> AbstractContextManager[Callable[[str], bytes]]:
        return self.launcher.open_files(image)

    def run(self, image: str, command: Sequence[str]) -> str:
        return self.launcher.run(image, command)

    def time_program(self, image: str, command: Sequence[str]) -> float:
        return self.launcher.time_program(image, command)


def test_the_first_answer_includes_the_pull_and_nothing_stays(engine: Connection, toy: Built) -> None:
    before = network_of()
    with absent_launcher(engine, (toy.tag, toy.tag), FAST) as launcher:
        watched = WatchedLauncher(launcher)
        start = time_first_answer(watched, toy.tag, read_warmup(watched, toy.tag), steady_runs=0)
        networks = engine_networks(launcher.folder)
    assert len(networks) == 1
    assert before not in networks
    assert launcher.link.achieved < FAST
    (server,) = watched.servers
    assert server.pulled >= least_seconds(launcher.size(toy.tag), FAST)
    assert server.pulled < start.live < start.ttfi
    assert find_traces(launcher.folder) == []
    assert [process for network in networks for process in processes_in(network)] == []
    assert network_of() == before


def test_a_layer_takes_longer_on_a_slower_link_and_two_nodes_share_nothing(engine: Connection, weights: Image) -> None:
    with new_node(engine, weights, FAST) as (node, link, folder, reference):
        fast = seconds_to_pull(node, reference)
        with new_node(engine, weights, SLOW) as (other, _, other_folder, other_reference):
            assert other.contents() == []
            assert engine_networks(folder).isdisjoint(engine_networks(other_folder))
            slow = seconds_to_pull(other, other_reference)
        assert find_traces(other_folder) == []
        assert node.contents() != []
        link.reshape(SLOW)
        slowed = seconds_to_pull(node, reference)
    assert min(slow, slowed) >= least_seconds(size_of(weights), SLOW)
    assert fast < min(slow, slowed)
    assert find_traces(folder) == []


def test_an_exception_leaves_nothing(engine: Connection, weights: Image) -> None:
    folders = list[Path]()

    def fail() -> None:
        with new_node(engine, weights, FAST) as (node, link, folder, reference):
            folders.append(folder)
            pull(node.connection, reference)
            with link.node.entered():
                raise RuntimeError

    before = network_of()
    with pytest.raises(RuntimeError):
        fail()
    assert find_traces(folders[0]) == []
    assert network_of() == before


@contextmanager
def started_program(engine: Connection, image: str, bits_per_second: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, image, str(bits_per_second)]
    environment = {**os.environ, **reach(engine)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_sigterm_during_a_pull_leaves_nothing(engine: Connection, weights: Image, tag: str) -> None:
    EngineOutput(engine, tag, print).put(weights)
    with started_program(engine, tag, SLOW // 4) as child:
        folder = Path(read_line(child))
        networks = engine_networks(folder)
        arriving = "data/containerd/daemon/io.containerd.content.v1.content/ingest/*/data"
        wait_until(lambda: any(file.stat().st_size for file in folder.glob(arriving)), "a layer that arrives")
        child.send_signal(signal.SIGTERM)
        child.wait(120)
        assert find_traces(folder) == []
        assert processes_in(*networks) == []


def test_sigkill_during_a_start_leaves_a_folder_which_the_next_node_removes(engine: Connection, toy: Built) -> None:
    with started_program(engine, toy.tag, FAST) as child:
        folder = Path(read_line(child))
        assert read_line(child) == "started"
        (network,) = engine_networks(folder)
        assert network_of(child.pid) == network
        child.kill()
        child.wait(120)
    wait_until(lambda: not processes_in(network), "the end of the Engine's processes, which the kernel kills")
    with scratch_folder(folder.parent, print):
        assert find_traces(folder) == []
