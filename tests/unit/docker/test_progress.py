from __future__ import annotations

import base64
import json
from typing import Any

from prebake.docker.buildkit.progress import BuildProgress, InstructionFailure, Step


def vertex(digest: str, name: str, **more: Any) -> str:
    return json.dumps({"vertexes": [{"digest": digest, "name": name, **more}]})


def output(digest: str, text: str) -> str:
    return json.dumps({"logs": [{"vertex": digest, "stream": 1, "data": base64.b64encode(text.encode()).decode()}]})


START, END = "2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:02.623456789Z"


def test_steps_have_stage_instruction_time_and_cache() -> None:
    said: list[str] = []
    progress = BuildProgress(said.append)
    for line in (
        vertex("i", "[internal] load build definition", started=START, completed=END),
        vertex("f", "[image 1/3] FROM base", started=START, completed=END),
        vertex("b", "[image 3/3] RUN second", started="2026-01-01T00:00:03Z"),
        vertex("a", "[image 2/3] COPY a b", started=START, completed=END, cached=True),
        vertex("b", "[image 3/3] RUN second", started="2026-01-01T00:00:03Z", completed="2026-01-01T00:00:04.5Z"),
        vertex("x", "exporting to image", started=START, completed=END),
    ):
        progress.feed(line)
    assert progress.steps == (Step("image", "COPY a b", 2.5, True), Step("image", "RUN second", 1.5, False))
    assert said[1:] == [
        "  [image 2/3] COPY a b  cached",
        "  [image 3/3] RUN second  1.5 s",
        "  exporting to image  2.5 s",
    ]


def test_a_failure_has_the_instruction_and_its_last_lines() -> None:
    progress = BuildProgress(lambda line: None)
    progress.feed(vertex("a", "[2/2] RUN x", started=START))
    progress.feed(vertex("c", "[other 2/2] RUN y", started=START, error="context canceled"))
    progress.feed(output("a", "one\n10%\r100%\n"))
    progress.feed(vertex("a", "[2/2] RUN x", started=START, completed=END, error="exit code: 1"))
    progress.feed("ERROR: failed to solve")
    assert progress.failure == InstructionFailure("[2/2] RUN x", ("one", "100%"), 1)
    assert progress.log == ["one", "100%", "ERROR: failed to solve"]


def test_a_failure_without_output_tells_the_error() -> None:
    progress = BuildProgress(lambda line: None)
    progress.feed(vertex("a", "[2/2] COPY none /", started=START, completed=END, error='"/none": not found'))
    assert progress.failure == InstructionFailure("[2/2] COPY none /", ('"/none": not found',), None)


def test_what_a_program_coloured_is_told_plainly() -> None:
    progress = BuildProgress(lambda _: None)
    progress.feed(vertex("b", "[image 3/3] RUN second", started=START))
    progress.feed(output("b", "\x1b[1;31mERROR\x1b[0m: no such package\x1b[K\n"))
    assert progress.log == ["ERROR: no such package"]
