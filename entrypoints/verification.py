"""The digests of the image's files, in threads while the start goes on.

Hashing reads every byte, so it is the read-ahead as well; the ranges that sessions need are asked for before it.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from heapq import heappop, heappush
from pathlib import Path

from entrypoints.faults import DamagedFile, Fault
from entrypoints.integrity import find_xxh3, hash_file, make_buffer
from entrypoints.manifest import Component, Manifest

IDLE = 19
"""The lowest priority of a thread, as nice(1) counts."""


def find_conditional(manifest: Manifest) -> set[str]:
    """What a start reads only where it takes the way that it is for: compiled forms, and the graph and weights that a
    compiled form stands in for."""
    always, ways = {manifest.warmup.request, manifest.warmup.answer}, set[str]()
    for component in manifest.components.values():
        stands_in = isinstance(component, Component) and component.artifacts  # of torch it has code alone
        (ways if stands_in else always).update([component.first, *component.reads])
        ways.update(file for each in component.artifacts for file in each.files)
    return ways - always


class Verification:
    """The digest of every file that the start reads, small ones first, so that graphs are vouched for before sessions ask;
    then, once ready, of the rest.

    ``cryptographic``: by sha256 all of them; else by XXH3 where the manifest tells it and the package is there.
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
        self._fast = None if cryptographic else find_xxh3()
        self._files = manifest.files
        self._checked: dict[str, Future[str | None]] = {name: Future() for name in manifest.files}
        self._later = set(manifest.files)
        self._queue: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._allowed = self._active = self._started = 0
        self.need(self._later - find_conditional(manifest))

    @property
    def left(self) -> bool:
        """Whether there are files that nothing needed so far."""
        return bool(self._later)

    def work(self, threads: int) -> None:
        """Have so many more threads at it. One does while imports run: more would take the core that they need."""
        with self._lock:
            self._allowed += threads
            self._start_threads()

    def need(self, names: Iterable[str]) -> None:
        """These are read before ready, or opened after it: they are checked now."""
        with self._lock:
            for name in self._later.intersection(names):
                self._later.remove(name)
                heappush(self._queue, (self._files[name].size, name))
            self._start_threads()

    def wait_for(self, *names: str) -> None:
        """Raises DamagedFile with each of them that is not what it should be."""
        self.need(names)
        problems = [problem for problem in (self._checked[name].result() for name in names) if problem]
        if problems:
            raise DamagedFile(problems)

    def wait(self) -> None:
        """For all that was needed so far, as ``wait_for``."""
        with self._lock:
            names = [name for name in self._checked if name not in self._later]
        self.wait_for(*names)

    def check_rest(self) -> Iterator[str]:
        """What is wrong with the files that nothing needed, told as it is found. This thread gives way to all others."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), IDLE)
        buffer = make_buffer()
        with self._lock:
            rest = sorted(self._later, key=lambda name: (self._files[name].size, name))
        for name in rest:
            with self._lock:
                mine = name in self._later  # nobody needed it meanwhile
                self._later.discard(name)
            if mine and (problem := self._settle(name, buffer)):
                yield problem

    def _start_threads(self) -> None:
        """With the lock held."""
        for _ in range(min(self._allowed - self._active, len(self._queue))):
            name = f"verify-{self._started}"
            self._started += 1
            self._active += 1
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        buffer = make_buffer()
        while True:
            with self._lock:
                if not self._queue:
                    self._active -= 1
                    return
                _, name = heappop(self._queue)
            self._settle(name, buffer)
            self.ended = self._clock()

    def _settle(self, name: str, buffer: memoryview) -> str | None:
        problem = self._check(name, buffer)
        self._checked[name].set_result(problem)
        return problem

    def _check(self, name: str, buffer: memoryview) -> str | None:
        file = self._files[name]
        fast = self._fast if file.xxh3 else None
        kind, expected = ("XXH3", file.xxh3) if fast else ("sha256", file.sha256)
        try:
            found = hash_file(self._models / name, buffer, fast() if fast else hashlib.sha256())
        except OSError as error:
            return f"{name}: cannot be read, {error.strerror}"
        return None if found == expected else f"{name}: corrupt, {kind} should be {expected}, is {found}"


def find_cause(fault: Fault, verification: Verification) -> Fault:
    """The damaged file behind a fault, where one is: a session that cannot open is often the file's fault."""
    try:
        verification.wait()
    except DamagedFile as damaged:
        return damaged
    return fault
