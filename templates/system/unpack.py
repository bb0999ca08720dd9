"""Unpack Debian packages into a tree, without a package manager: the base of an image may have none.

    python3 unpack.py FOLDER TREE

FOLDER has a folder for each architecture with its ``*.deb`` files. What the base has already is left out. Maintainer scripts are
not run. Each package is on record in ``var/lib/dpkg/status`` (the base's, added to), as scanners and dpkg read it. The same files
on the same base give the same tree.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import platform
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

NOT_THERE = 39
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr, which a folder of a layer would replace
_UNREAD = re.compile(r"usr/share/(man|info|locale|lintian|bug|doc-base|menu)/|usr/share/doc/(?!.*/copyright$)")
_STATUS = "var/lib/dpkg/status"


def main(folder: str, tree: str) -> int:
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    files = sorted(Path(folder, architecture).glob("*.deb"))
    if not files:
        print_error(
            f"weights.lock pins no system packages for {architecture}",
            "run `prebake lock --model NAME` on such a machine, and build again",
        )
        return NOT_THERE
    status = Path("/", _STATUS)
    text = status.read_text(encoding="utf-8") if status.is_file() else ""
    present = set(re.findall(r"^Package: (\S+)$(?=(?:\n.+)*\nStatus: install ok installed$)", text, re.MULTILINE))
    for file in files:
        control = unpack(file, Path(tree), present)
        if control:
            text = f"{text.rstrip()}\n\n{control.strip()}\n".lstrip()
    place = Path(tree, _STATUS)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    return 0


def print_error(message: str, next_action: str) -> None:
    """For people, and as the last line for the builder (``prebake.documents.stage_error``)."""
    error = {"schema": 1, "kind": "SystemPackageError", "message": message, "next_action": next_action, "problems": []}
    print(f"error: {message}\n  next: {next_action}\n{json.dumps({'prebake_error': error})}")


def unpack(file: Path, tree: Path, present: set[str]) -> str:
    """Its control fields with a status; empty if the base has the package."""
    members = dict(_members(file.read_bytes()))
    control = _control(members)
    name = re.search(r"^Package: (\S+)$", control, re.MULTILINE)
    if name is None or name[1] in present:
        return ""
    with _archive(members, "data.tar") as data:
        for member in sorted(data.getmembers(), key=lambda each: each.name):
            _lay_out(data, member, tree)
    return control.replace(name[0], f"{name[0]}\nStatus: install ok installed", 1)


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Of an ar archive (deb(5))."""
    at = 8
    while at + 60 <= len(data):
        name, size = data[at : at + 16].decode().strip().rstrip("/"), int(data[at + 48 : at + 58])
        yield name, data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2


def _control(members: dict[str, bytes]) -> str:
    with _archive(members, "control.tar") as archive:
        found = archive.extractfile("./control")
        return found.read().decode() if found else ""


def _archive(members: dict[str, bytes], stem: str) -> tarfile.TarFile:
    name = next(name for name in members if name.startswith(stem))
    data = lzma.decompress(members[name]) if name.endswith(".xz") else members[name]
    return tarfile.open(fileobj=io.BytesIO(data))


def _lay_out(data: tarfile.TarFile, member: tarfile.TarInfo, tree: Path) -> None:
    path = _place(member.name)
    if not path or _UNREAD.match(path + ("/" if member.isdir() else "")) or ".." in path.split("/"):
        return
    target = tree / path
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        os.link(tree / _place(member.linkname), target)
    elif member.isreg():
        content = data.extractfile(member)
        target.write_bytes(content.read() if content else b"")
        target.chmod(member.mode & 0o777)


def _place(name: str) -> str:
    path = re.sub(r"^(\./|/)+", "", name).rstrip("/")
    path = "" if path == "." else path
    return f"usr/{path}" if path.partition("/")[0] in _MERGED else path


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
