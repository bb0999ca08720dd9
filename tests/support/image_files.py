"""What an image of the Engine holds, file by file, and the base that it was built on."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from contextlib import closing
from typing import Any

from prebake.docker.connection import Connection
from prebake.docker.images.base_image import resolve_base
from prebake.spec.project import read_spec
from tests.support.commands.projects import Built, read_lock


def base_of(engine: Connection, built: Built) -> str:
    model = next(iter(read_spec(built.project.root, built.model).models), built.model)
    base = read_lock(built.project, model).base
    return resolve_base(engine, f"{base.reference}@{base.digest}").reference


def list_files(engine: Connection, image: str) -> dict[str, tuple[object, ...]]:
    """Every file of an image: kind, mode, owner, target, extended attributes, content."""
    with closing(engine.client()) as client, tempfile.TemporaryFile() as archive:
        container = client.containers.create(image, ["none"], entrypoint=[])
        try:
            chunks: Any = container.export(chunk_size=1 << 20)  # bytes, though typed as text
            for chunk in chunks:
                archive.write(chunk)
        finally:
            container.remove(force=True)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tree:
            return {member.name: describe_member(tree, member) for member in tree}


def describe_member(tree: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    content = tree.extractfile(member) if member.isreg() else None
    sha256 = hashlib.sha256(content.read()).hexdigest() if content else ""
    attributes = sorted(name for name in member.pax_headers if name.startswith("SCHILY.xattr"))
    return (member.type, oct(member.mode), member.uid, member.gid, member.linkname, *attributes, member.size, sha256)
