"""Are the files of the image what the manifest says? Sizes at once, contents in threads while the start goes on.

Hashing reads every byte, so it is the read-ahead as well; the ranges that sessions need are asked for before it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from entrypoints.faults import DamagedFile, Fault, MissingFile
from entrypoints.manifest import NAME, Component, File, Manifest, TorchComponent

PIECE = 4 * 1024 * 1024
"""Bytes read and hashed at a time: about 3 ms without the interpreter's lock, which every piece has to wait for."""


def check_sizes(models: Path, files: Mapping[str, File]) -> None:
    """Raises MissingFile or DamagedFile, naming every file that is not there, not readable, or of another size.

    A size of 0 is what an unclean shutdown after a pull leaves in layers held valid (containerd #10284).
    """
    missing, damaged = [], []
    for name, file in files.items():
        try:
            found = (models / name).stat().st_size
            readable = os.access(models / name, os.R_OK)
        except OSError as error:
            missing.append(f"{name}: {error.strerror}")
            continue
        if not readable:
            missing.append(f"{name}: not readable by user {os.getuid()}")
        if found != file.size:
            how = "truncated" if found < file.size else "longer"
            damaged.append(f"{name}: {how}, the manifest says {file.size} bytes, found {found}")
    if missing or damaged:
        raise (MissingFile if missing else DamagedFile)(missing + damaged)


def list_extra(models: Path, files: Collection[str]) -> list[str]:
    """Files that the manifest does not list. They harm nothing, as nothing opens them, but they were not baked."""
    folders = ((Path(folder).relative_to(models), names) for folder, _, names in os.walk(models))
    found = ((folder / name).as_posix() for folder, names in folders for name in names)
    return sorted(name for name in found if name not in files and name != NAME)


def read_ahead(models: Path, components: Iterable[Component | TorchComponent]) -> None:
    """Ask the kernel for graphs, configurations and the ranges of the weights; it reads on its own, this returns early."""
    for component in components:
        advise(models / component.first, [(0, 0)])
    for component in components:
        for file, ranges in component.reads.items():
            advise(models / file, ranges)


def advise(path: Path, ranges: Iterable[tuple[int, int]]) -> None:
    """A length of 0 means to the end. A failure is no matter: whoever needs the bytes will read them and say."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for offset, length in ranges:
            os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)
    except OSError:
        pass
    finally:
        os.close(descriptor)


class Verification:
    """The digest of every file, small ones first, so that graphs are vouched for before sessions ask.

    ``cryptographic``: by sha256 all of them; else by XXH3 where the manifest tells it and the package is there.
    """

    def __init__(self, models: Path, manifest: Manifest, *, cryptographic: bool = False) -> None:
        self._models = models
        self._fast = None if cryptographic else find_xxh3()
        self._files = manifest.files
        self._checked: dict[str, Future[str | None]] = {name: Future() for name in manifest.files}
        self._order = iter(sorted(manifest.files, key=lambda name: (manifest.files[name].size, name)))
        self._lock = threading.Lock()
        self._workers = 0

    def work(self, threads: int) -> None:
        """Have so many more threads at it. One does while imports run: more would take the core that they need."""
        for _ in range(threads):
            name = f"verify-{self._workers}"
            self._workers += 1
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def wait_for(self, name: str) -> None:
        """Raises DamagedFile where the file is not what it should be."""
        problem = self._checked[name].result()
        if problem:
            raise DamagedFile(problem)

    def wait(self) -> None:
        """Raises DamagedFile with every file that is not what it should be."""
        problems = [problem for problem in (future.result() for future in self._checked.values()) if problem]
        if problems:
            raise DamagedFile(problems)

    def join(self) -> None:
        """Waits until every file is looked at, whatever was found."""
        for future in self._checked.values():
            future.result()

    def _work(self) -> None:
        buffer = make_buffer()
        while True:
            with self._lock:
                name = next(self._order, None)
            if name is None:
                return
            self._checked[name].set_result(self._check(name, buffer))

    def _check(self, name: str, buffer: memoryview) -> str | None:
        file = self._files[name]
        fast = self._fast if file.xxh3 else None
        kind, expected = ("XXH3", file.xxh3) if fast else ("sha256", file.sha256)
        try:
            found = hash_file(self._models / name, buffer, fast() if fast else hashlib.sha256())
        except OSError as error:
            return f"{name}: cannot be read, {error.strerror}"
        return None if found == expected else f"{name}: corrupt, {kind} should be {expected}, is {found}"


def make_buffer() -> memoryview:
    """``PIECE`` bytes that the kernel clears when the first read fills them, in a thread without the interpreter's lock.

    A bytearray is cleared here and now with the lock held: 16 MiB took 10 ms of every import beside it.
    """
    return memoryview(mmap.mmap(-1, PIECE))


class Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def find_xxh3() -> Callable[[], Digest] | None:
    """Damage is found by it as surely as by sha256, with a tenth of the work (docs/decisions/0019). None where an image's
    requirements leave the package out."""
    try:
        from xxhash import xxh3_128
    except ImportError:
        return None
    return xxh3_128


def hash_file(path: Path, buffer: memoryview, digest: Digest) -> str:
    """The file's digest in hexadecimal. Read rather than mapped: a bad disk is then an OSError and not a killed process."""
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def find_cause(fault: Fault, models: Path, manifest: Manifest, verification: Verification | None) -> Fault:
    """The damaged file behind a fault, where one is: a session that cannot open is often the file's fault."""
    if verification is None:
        verification = Verification(models, manifest)
        verification.work(1)
    try:
        verification.wait()
    except DamagedFile as damaged:
        return damaged
    return fault
