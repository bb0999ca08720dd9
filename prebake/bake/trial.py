"""One start of one graph, in a process of its own.

What a process did before makes the next session faster: its libraries are loaded, its arena is grown. A container does it once.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from prebake.bake.arrays import read_arrays
from prebake.bake.component import Session
from prebake.bake.errors import BakeError

LATER = 5
"""Answers after the first one."""


class Trial(NamedTuple):
    """Seconds: until the session is open, of its first answer, and of a later one."""

    open: float
    first: float
    later: float


def try_form(graph: Path, case: Path, session: Session) -> Trial:
    """``case`` is a file of the export stage. Raises BakeError where the graph cannot be opened or run."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        try:
            return fresh.submit(start, graph, case, session).result()
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            raise BakeError(
                f"{graph}: a trial start failed: {error}",
                next_action="Give `session: {prepack: …}` in image.yaml, so that nothing is tried.",
            ) from error


def start(graph: Path, case: Path, session: Session) -> Trial:
    """In this process."""
    from prebake.bake.sessions import open_session

    arrays = read_arrays(case)
    begin = time.perf_counter()
    opened = open_session(graph, session, ["CPUExecutionProvider"])
    seconds = [time.perf_counter() - begin]
    # The exporter drops an input that nothing depends on.
    given = {each.name: arrays[f"inputs/{each.name}"] for each in opened.get_inputs()}
    for _ in range(1 + LATER):
        begin = time.perf_counter()
        opened.run(None, given)
        seconds.append(time.perf_counter() - begin)
    return Trial(seconds[0], seconds[1], sorted(seconds[2:])[LATER // 2])
