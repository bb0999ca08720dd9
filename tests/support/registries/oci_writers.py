"""Processes that write a layout and stop half way in it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prebake.oci.blobs.blobs import Image
from tests.support.registries.oci_images import file_layer, image_of, tar_layer
from tests.support.repository import ROOT

CHILD = """
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from prebake.oci.layout.archive import write_layout_tar
from prebake.oci.blobs.blobs import Blob
from prebake.oci.layout.layout import write_layout
from tests.support.registries.oci_images import file_layer
from tests.support.registries.oci_images import image_of
from tests.support.registries.oci_images import tar_layer

@dataclass(frozen=True)
class Stalled:
    content: object
    at: int
    size: int

    def chunks(self, offset=0):
        done = 0
        for chunk in self.content.chunks(offset):
            if done >= self.at:
                os.write(1, b"stalled\\n")
                sys.stdin.readline()
            yield chunk
            done += len(chunk)

kind, target, weights, which, at = sys.argv[1:]
image = image_of(file_layer(Path(weights), "models/weights"), tar_layer({"app/code": b"code"}))
def stalled(blob): return Blob(blob.descriptor, Stalled(blob.content, int(at), blob.size))
changed = dict(layers={"layers": tuple(map(stalled, image.layers))}, manifest={"manifest": stalled(image.manifest)})[which]
image = type(image)(**{"manifest": image.manifest, "config": image.config, "layers": image.layers, **changed})
write = {"folder": write_layout, "tar": write_layout_tar}[kind]
write(image, Path(target), reference="prebake/toy:child")
"""


@dataclass(frozen=True)
class Writer:
    """A process that writes a layout and has stopped half way in it."""

    process: subprocess.Popen[str]
    image: Image

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def finish(self) -> None:
        self.process.communicate("\n" * 8, timeout=30)
        assert self.process.returncode == 0


Stalled = Callable[..., AbstractContextManager[Writer]]


@contextmanager
def stalled_writer(
    weights: Path, target: Path, *, kind: str = "folder", which: str = "layers", at: int = 0
) -> Iterator[Writer]:
    """Start one that stops after ``at`` bytes of each blob of ``which``: layers or manifest. Killed where it is still
    there at the end."""
    command = [sys.executable, "-c", CHILD, kind, str(target), str(weights), which, str(at)]
    child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "stalled\n"
        yield Writer(child, image_of(file_layer(weights, "models/weights"), tar_layer({"app/code": b"code"})))
    finally:
        child.kill()
        child.communicate()
