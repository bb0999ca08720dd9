"""The start of an image on a node that lacks it: pull, container, first answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.docker.images.image_blobs import read_image
from prebake.docker.images.images import inspect_image
from prebake.docker.images.pull import pull
from prebake.errors import EngineError
from prebake.io.cache_folder import cache_folder
from prebake.io.disk_space import require_room
from prebake.io.log import Log, log_to_stderr
from prebake.oci.blobs.blobs import Image
from prebake.oci.registry.loopback import ServedImage, serve_image
from prebake.workflow.absent.node import Node, empty_node, scratch_folder
from prebake.workflow.absent.requirements import require_programs
from prebake.workflow.absent.shaped_link import REGISTRY_ADDRESS, Link, shaped_link
from prebake.workflow.start_check.launcher import EngineLauncher, StartedServer

_REPOSITORY = "prebake/absent"


class PulledServer:
    """A running server whose image was pulled first: ``requested`` is the time of the request to pull it, ``pulled`` the seconds
    that the pull took."""

    def __init__(self, server: StartedServer, requested: float, pulled: float) -> None:
        self._server = server
        self.requested = requested
        self.pulled = pulled
        self.port = server.port

    def logs(self) -> str:
        return self._server.logs()

    def exit_code(self) -> int | None:
        return self._server.exit_code()


class AbsentLauncher:
    """The Launcher of ``prebake.measure``: ``start`` pulls the image into an empty Engine and starts it there. Everything else
    happens at the Engine that has the images. ``link`` says which bit rate was achieved.

    While ``start``'s block runs, the calling thread and the threads that it starts are in the node's network.
    """

    def __init__(self, at_hand: EngineLauncher, node: EngineLauncher, engine: Node, link: Link) -> None:
        self.link = link
        self.folder = engine.folder
        self._at_hand = at_hand
        self._node = node
        self._engine = engine
        self._served: dict[str, tuple[Image, ServedImage]] = {}

    @contextmanager
    def start(self, image: str) -> Iterator[PulledServer]:
        content, served = self._served[image]
        self._engine.empty()
        before = served.sent
        requested = time.perf_counter()
        self._pull(served)
        pulled = time.perf_counter() - requested
        require_whole(content, before, served.sent)
        with self.link.node.entered(), self._node.start(served.reference) as server:
            yield PulledServer(server, requested, pulled)

    def run(self, image: str, command: Sequence[str]) -> str:
        return self._at_hand.run(image, command)

    def time_program(self, image: str, command: Sequence[str]) -> float:
        return self._at_hand.time_program(image, command)

    def open_files(self, image: str) -> AbstractContextManager[Callable[[str], bytes]]:
        return self._at_hand.open_files(image)

    def size(self, image: str) -> int:
        """The bytes that a pull of the image transfers."""
        return sum(blob.size for blob in self._served[image][0].blobs)

    def offer(self, name: str, image: Image, served: ServedImage) -> None:
        """Let ``start`` find the image ``name`` at a registry."""
        self._served[name] = (image, served)

    def _pull(self, served: ServedImage) -> None:
        try:
            pull(self._engine.connection, served.reference)
        except EngineError:
            served.raise_failure()
            raise


@contextmanager
def absent_launcher(
    connection: Connection,
    images: Sequence[str],
    network: int,
    *,
    launch: Callable[[Connection], EngineLauncher] = EngineLauncher,
    log: Log = log_to_stderr,
) -> Iterator[AbsentLauncher]:
    """A launcher of images that the Engine of ``connection`` has, on a node that lacks them and pulls them over ``network`` (bits
    per second). ``launch`` makes the launcher of an Engine, such as ``GpuAccess.launcher``.

    All of the node is gone at the end of the block, or when this process is killed; then a folder stays, which the next node
    removes. Raises StateUnavailable, EngineUnavailable, NoRoom, or EngineError.
    """
    require_programs(log)
    root = cache_folder() / "absent"
    root.mkdir(parents=True, exist_ok=True)
    _require_room(connection, images, root)
    with scratch_folder(root, log) as folder, shaped_link(network, log) as link, ExitStack() as registries:
        contents = _read_images(connection, images, folder / "blobs", log)
        with empty_node(connection.host, link, folder, log) as node:
            launcher = AbsentLauncher(launch(connection), launch(node.connection), node, link)
            with link.registry.entered():
                for name, content in contents.items():
                    tag = content.digest.removeprefix("sha256:")[:16]
                    served = serve_image(content, name=_REPOSITORY, tag=tag, host=REGISTRY_ADDRESS)
                    launcher.offer(name, content, registries.enter_context(served))
            yield launcher


def require_whole(image: Image, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Raises EngineError unless every blob of the image was sent between two counts (bytes by digest): else the Engine had some
    of it, and the node did not lack the image."""
    kept = [blob.digest for blob in image.blobs if after.get(blob.digest, 0) - before.get(blob.digest, 0) < blob.size]
    if kept:
        raise EngineError(
            f"The Engine of the node did not pull all of the image; it had {', '.join(kept)}.",
            next_action="run the command again; if it happens again, report it as a defect of Prebake",
        )


def _read_images(connection: Connection, images: Sequence[str], folder: Path, log: Log) -> dict[str, Image]:
    folder.mkdir()
    contents = {}
    for name in dict.fromkeys(images):
        contents[name] = read_image(connection, name, folder)
        size = sum(blob.size for blob in contents[name].blobs)
        log(f"absent: {name} is {size / 1e6:.1f} MB at a registry")
    return contents


def _require_room(connection: Connection, images: Sequence[str], root: Path) -> None:
    """For the blobs of all images, which are about as large as the unpacked layers at most, and for the largest image once more
    as blobs and once unpacked."""
    sizes = [inspect_image(connection, name).size for name in dict.fromkeys(images)]
    require_room(root, sum(sizes) + 2 * max(sizes), what="the images at a registry and at an empty Engine")
