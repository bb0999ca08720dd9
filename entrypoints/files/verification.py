"""Verification of the image's files against the manifest, in threads that run beside the start.

Hashing reads every byte, so it also reads files ahead; the ranges that sessions need are read ahead before it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.errors import DamagedFile, Fault, MissingFile
from entrypoints.manifest.values import MANIFEST_FILE, File, Manifest, OnnxComponent

if TYPE_CHECKING:
    from typing import Protocol

    class Digest(Protocol):
        def update(self, data: memoryview, /) -> None: ...
        def hexdigest(self) -> str: ...


IDLE_NICENESS = 19
"""The lowest priority of a thread (nice(1))."""


def find_conditional_files(manifest: Manifest) -> set[str]:
    """Files that a start reads only if it opens what they belong to: artifacts, and the graph and weights that an artifact
    replaces."""
    always, conditional = {manifest.warmup.request, manifest.warmup.answer}, set[str]()
    for component in manifest.components.values():
        stands_in = isinstance(component, OnnxComponent) and component.artifacts  # artifacts of torch contain only code
        (conditional if stands_in else always).update([component.main_file, *component.byte_ranges])
        conditional.update(file for artifact in component.artifacts for file in artifact.files)
    return conditional - always


class Verification:
    """Computes the digest of every file that the start reads, small ones first, so that graphs are verified before sessions
    are opened; once ready, of the others.

    ``cryptographic``: by sha256; else by XXH3 if the manifest has it and the package is installed.
    """

    def __init__(
        self,
        models: Path,
        manifest: Manifest,
        *,
        cryptographic: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.ended = 0.0
        """When the last digest was known, by ``clock``."""
        self._clock = clock
        self._models = models
        self._fast = None if cryptographic else import_xxh3()
        self._files = manifest.files
        self._checked: dict[str, Future[str | None]] = {name: Future() for name in manifest.files}
        self._unused = set(manifest.files)
        self._queue: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._allowed = self._active = self._started = 0
        self.require(self._unused - find_conditional_files(manifest))

    @property
    def has_unused(self) -> bool:
        """Whether there are files that nothing required so far."""
        return bool(self._unused)

    def add_threads(self, threads: int) -> None:
        """One thread is enough while imports run: more would use the processors that imports need."""
        with self._lock:
            self._allowed += threads
            self._start_threads()

    def require(self, names: Iterable[str]) -> None:
        """These files are read before ready, or opened after it: verify them now."""
        with self._lock:
            for name in self._unused.intersection(names):
                self._unused.remove(name)
                heappush(self._queue, (self._files[name].size, name))
            self._start_threads()

    def wait_for(self, *names: str, seconds: float | None = None) -> None:
        """Raises DamagedFile with every file whose digest differs from the manifest's, TimeoutError after ``seconds``."""
        end = None if seconds is None else time.monotonic() + seconds
        self.require(names)
        if self._lacks_threads():
            self._work(end)
        problems = []
        for name in names:
            left = None if end is None else max(0.0, end - time.monotonic())
            problems.append(self._checked[name].result(left))
        if any(problems):
            raise DamagedFile([problem for problem in problems if problem])

    def wait_for_required(self, seconds: float | None = None) -> None:
        """For all files that were required so far, as ``wait_for``."""
        with self._lock:
            names = [name for name in self._checked if name not in self._unused]
        self.wait_for(*names, seconds=seconds)

    def verify_unused(self) -> Iterator[str]:
        """Yields the problems of files that nothing required, as they are found. Lowers this thread's priority."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), IDLE_NICENESS)
        buffer = make_buffer()
        with self._lock:
            unused = sorted(self._unused, key=lambda name: (self._files[name].size, name))
        for name in unused:
            with self._lock:
                mine = name in self._unused  # nothing required it meanwhile
                self._unused.discard(name)
            if mine and (problem := self._verify(name, buffer)):
                yield problem

    def _start_threads(self) -> None:
        """With the lock held."""
        for _ in range(min(self._allowed - self._active, len(self._queue))):
            name = f"verify-{self._started}"
            try:
                threading.Thread(target=self._work, name=name, daemon=True).start()
            except RuntimeError:  # the limit of threads: those that run do the work, or the thread that waits for it
                return
            self._started += 1
            self._active += 1

    def _lacks_threads(self) -> bool:
        """Whether no thread works on the queue. Then this one is to do it, and counts as one of them."""
        with self._lock:
            lacks = bool(self._queue) and not self._active
            self._active += lacks
        return lacks

    def _work(self, end: float | None = None) -> None:
        """Until the queue is empty, or ``time.monotonic()`` is ``end``."""
        try:
            buffer = make_buffer()
            while name := self._take(end):
                self._verify(name, buffer)
                self.ended = self._clock()
        except BaseException as error:  # no memory for the buffer: whoever waits for a file gets that error
            with self._lock:
                self._active -= 1
                queued, self._queue = self._queue, []
            for _, name in queued:
                self._checked[name].set_exception(error)

    def _take(self, end: float | None) -> str | None:
        """The next file; None if this thread has to end, which no longer counts then."""
        with self._lock:
            if self._queue and (end is None or time.monotonic() < end):
                return heappop(self._queue)[1]
            self._active -= 1
            return None

    def _verify(self, name: str, buffer: memoryview) -> str | None:
        problem = self._find_problem(name, buffer)
        self._checked[name].set_result(problem)
        return problem

    def _find_problem(self, name: str, buffer: memoryview) -> str | None:
        file = self._files[name]
        fast = self._fast if file.xxh3 else None
        kind, expected = ("XXH3", file.xxh3) if fast else ("sha256", file.sha256)
        try:
            actual = hash_file(self._models / name, buffer, fast() if fast else hashlib.sha256())
        except Exception as error:  # any exception: otherwise the start would wait for this digest forever
            return f"{name}: cannot be read, {getattr(error, 'strerror', None) or error}"
        return None if actual == expected else f"{name}: corrupt, {kind} should be {expected}, is {actual}"


LONGEST_SEARCH_SECONDS = 120.0
"""How long a fault waits for the digests that may explain it: a disk that does not answer must not keep a start from ending."""


def find_root_cause(fault: Fault, verification: Verification) -> Fault:
    """The damaged file that caused the fault, if there is one: a damaged file often prevents a session from opening."""
    try:
        verification.wait_for_required(LONGEST_SEARCH_SECONDS)
    except DamagedFile as damaged:
        return damaged
    except TimeoutError:
        return fault
    return fault


READ_BYTES = 4 * 1024 * 1024
"""Read and hashed at a time: about 3 ms without the interpreter's lock, which a thread has to wait for after each."""


def check_sizes(models: Path, files: Mapping[str, File]) -> None:
    """Raises MissingFile or DamagedFile, with every file that is missing, unreadable, not a regular file, or of another size.

    An unclean shutdown after a pull leaves files of size 0 in layers that count as valid (containerd #10284). Devices and pipes
    are refused, since reading one may never end. A symbolic link counts as the file that it leads to, in the models folder or
    not: mounted volumes have such links, and the size and the digest are that file's.
    """
    missing, damaged = [], []
    for name, file in files.items():
        try:
            status = (models / name).stat()
            readable = os.access(models / name, os.R_OK)
        except OSError as error:
            missing.append(f"{name}: {error.strerror}")
            continue
        if not readable:
            missing.append(f"{name}: not readable by user {os.getuid()}")
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            damaged.append(f"{name}: is not a regular file")
        elif size != file.size:
            how = "truncated" if size < file.size else "longer"
            damaged.append(f"{name}: {how}, the manifest has {file.size} bytes, found {size}")
    if missing or damaged:
        raise (MissingFile if missing else DamagedFile)(missing + damaged)


def list_extra_files(models: Path, files: Collection[str]) -> list[str]:
    """Files that the manifest does not list. Nothing opens them, but they were not baked."""
    folders = ((Path(folder).relative_to(models), names) for folder, _, names in os.walk(models))
    paths = ((folder / name).as_posix() for folder, names in folders for name in names)
    return sorted(name for name in paths if name not in files and name != MANIFEST_FILE)


def make_buffer() -> memoryview:
    """``READ_BYTES`` bytes that the kernel clears when the first read fills them, in a thread without the interpreter's lock.

    A bytearray would be cleared at once with the lock held: 16 MiB delayed every import meanwhile by 10 ms.
    """
    return memoryview(mmap.mmap(-1, READ_BYTES))


def import_xxh3() -> Callable[[], Digest] | None:
    """It detects damage as surely as sha256 with a tenth of the work (docs/decisions/0019). None if the image does not have
    the package."""
    try:
        from xxhash import xxh3_128
    except ImportError:
        return None
    return xxh3_128


def hash_file(path: Path, buffer: memoryview, digest: Digest) -> str:
    """The file's digest in hexadecimal. Read, not mapped: a bad disk raises OSError then, and does not kill the process."""
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
