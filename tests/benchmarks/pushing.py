"""Push the weights of a folder: ``python -m tests.benchmarks.pushing FOLDER REF``, a process of its own for ``push.py``."""

from __future__ import annotations

import json
import resource
import sys
from contextlib import closing
from pathlib import Path

from prebake.oci.blobs.blobs import LAYER, Blob, Descriptor
from prebake.oci.blobs.content import FileContent
from prebake.oci.layers.tar import TarEntry, tar_content
from prebake.oci.layout.assembly import BaseImage, ImageLayer, assemble
from prebake.oci.reference import parse_reference
from prebake.oci.registry.push import push_image
from prebake.oci.registry.repository import Repository


def push(folder: Path, name: str) -> None:
    """What ``build.py --push`` does with layers that the lock knows: their digests are read, not computed."""
    digests = json.loads((folder / "digests.json").read_text())
    layers = []
    for path in sorted(folder.glob("*.safetensors")):
        content = tar_content([TarEntry(f"models/{path.name}", content=FileContent.of(path))])
        blob = Blob(Descriptor(LAYER, digests[path.name], content.size), content)
        layers.append(ImageLayer(blob, digests[path.name], path.name))
    image = assemble(BaseImage({"architecture": "amd64", "os": "linux"}, ()), layers, lambda base: base, {})
    reference = parse_reference(name)
    with closing(Repository(reference)) as repository:
        push_image(repository, image, reference.tag)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    push(Path(sys.argv[1]), sys.argv[2])
