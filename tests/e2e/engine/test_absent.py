"""Images started on nodes that lack them: pulled by an empty Engine through a link with a chosen bit rate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.pull import pull
from prebake.io.cache_folder import cache_folder
from prebake.measure.start import time_first_answer
from prebake.measure.warmup_request import read_warmup
from prebake.oci.blobs.blobs import Image
from prebake.oci.registry.loopback import serve_image
from prebake.workflow.absent.launcher import PulledServer, absent_launcher
from prebake.workflow.absent.node import Node, empty_node, scratch_folder
from prebake.workflow.absent.shaped_link import REGISTRY_ADDRESS, Link, shaped_link
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


def test_the_first_answer_includes_the_pull_and_nothing_stays(engine: Connection, toy: Built) -> None:
    before = network_of()
    with absent_launcher(engine, (toy.tag, toy.tag), FAST // 10) as launcher:
        folder = launcher.folder
        warmup = read_warmup(launcher, toy.tag)
        servers = list[PulledServer]()

        class Watching:
            """The launcher, with the servers that it started."""

            @contextmanager
            def start(self, image: str) -> Iterator[PulledServer]:
                with launcher.start(image) as server:
                    servers.append(server)
                    yield server

            read, run, time_program = launcher.read, launcher.run, launcher.time_program

        first, second = (time_first_answer(Watching(), toy.tag, warmup, steady_runs=0) for _ in range(2))
        networks = engine_networks(folder)
        assert len(networks) == 1
        assert before not in networks
        assert launcher.link.achieved < launcher.link.bits_per_second * 1.1
        transferred = launcher.size(toy.tag)
    for start, server in zip((first, second), servers, strict=True):
        assert server.pulled >= least_seconds(transferred, FAST // 10)
        assert server.pulled < start.live < start.ttfi
    assert find_traces(folder) == []
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_leaves_no_process_and_no_network(
    engine: Connection, toy: Built, number: signal.Signals, tmp_path: Path
) -> None:
    environment = {**os.environ, **reach(engine)}
    command = [sys.executable, "-c", PROGRAM, toy.tag]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        folder = Path(child.stdout.readline().strip())
        networks = engine_networks(folder) | {network_of(f"{child.pid}")}
        assert len(networks) == 1  # the program has entered its node's network
        child.send_signal(number)
        child.wait(120)
    if number == signal.SIGKILL:  # the kernel ends the Engine a moment later
        wait_until(lambda: not processes_in(*networks), "the end of the Engine's processes")
        with scratch_folder(folder.parent, print):
            assert not folder.exists()
    assert processes_in(*networks) == []
    assert find_traces(folder) == []
