"""A model of two real graphs, with the manners a test needs: it waits for what a test does, and notes what it saw.

answer = factor * (values @ weights) + sum(values)
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from entrypoints.contract import Answer, BadRequest, Cancellation, Cancelled, Components, Field, report_progress

NOTES = Path(os.environ.get("TINY_NOTES", "."))
TALK = 2000
BYTES = bytes(range(256))
MANNERS = (
    *("plain", "hold", "crash", "leave", "refuse", "write", "steps", "talk", "deaf", "bytes", "none", "header"),
    *("huge", "wrapped", "device", "large", "long"),
)


WRITES: list[str] = []


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: what this process opens for writing, and is none of our notes."""
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else str(arguments[0])
        if not path.startswith(str(NOTES)):
            WRITES.append(path)


sys.addaudithook(watch)


class Tiny:
    fields: Sequence[Field] = (
        Field("values", "text", "numbers with commas between them", required=True, maximum=100),
        Field("factor", "number", "a factor", default=1.0, minimum=-10, maximum=10),
        Field("repeat", "integer", "how often", default=1, minimum=1, maximum=5),
        Field(
            "manner",
            "choice",
            "how to behave",
            default="plain",
            choices=MANNERS,
        ),
        Field("clip", "file", "any bytes", maximum=None if "TINY_UNBOUNDED" in os.environ else 8_000_000),
    )

    def __init__(self, components: Components) -> None:
        self.linear = components.session("linear")
        if rebuilt := os.environ.get("TINY_REBUILT"):  # as an engine's builder would
            Path(rebuilt).write_bytes(b"engine")
        self.total = components.session("total")
        self.bias = float(components.path("linear/bias.txt").read_text())

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        self.behave(str(form["manner"]), cancelled)
        values = np.array([[float(value) for value in str(form["values"]).split(",")]], np.float32)
        if values.shape[1] != 4:
            raise BadRequest("values should be 4 numbers", field="values")
        product = self.linear.run({"x": values})["y"]
        total = self.total.run({"x": values})["y"]
        clip = form.get("clip", b"")
        document = {
            "result": [float(value) for value in (float(str(form["factor"])) * product + total + self.bias).ravel()],
            "clip": len(clip) if isinstance(clip, bytes) else None,
            "repeat": form["repeat"],
        }
        if form["manner"] == "none":
            return cast(Answer, None)
        if form["manner"] == "header":
            return Answer(b"{}", "application/json", {"X-Number": cast(str, 3)})
        if form["manner"] == "long":
            return Answer(b"x" * 2_000_000, "text/plain")
        if form["manner"] == "bytes":
            return Answer(BYTES, "application/octet-stream")
        return Answer(
            json.dumps(document).encode(), "application/json", {"X-Model": "tiny", "X-Writes": " ".join(WRITES)}
        )

    def behave(self, manner: str, cancelled: Cancellation) -> None:
        if manner == "hold":
            note("holding")
            wait_for("release", cancelled)
        if manner == "steps":  # each when the test says so
            for step in range(1, 4):
                wait_for(f"step-{step}", cancelled)
                report_progress(cancelled, cast(int, np.int64(step)), 3, "half-way\n" if step == 2 else "")
            wait_for("release", cancelled)
        if manner == "talk":  # a hundred megabytes of it
            for step in range(1, TALK + 1):
                report_progress(cancelled, step, TALK, "x" * 50_000)
            note("talked")
        if manner == "deaf":
            note("holding")
            time.sleep(60)
        if manner == "write":
            with tempfile.TemporaryFile(dir="/tmp") as file:
                file.write(b"seen by the hook")
        if manner == "huge":  # more than any machine has
            np.empty(1 << 50)
        if manner == "large":  # 96 MB of results, which the runtime allocates
            self.linear.run({"x": np.ones((8_000_000, 4), np.float32)})
        if manner == "wrapped":
            try:
                bytearray(1 << 60)
            except MemoryError as error:
                raise ValueError("the picture cannot be made") from error
        if manner == "device":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if manner == "crash":
            raise RuntimeError("the model crashed")
        if manner == "leave":
            raise SystemExit(3)
        if manner == "refuse":
            raise BadRequest("not today", field="manner", status=409)


def wait_for(name: str, cancelled: Cancellation) -> None:
    while not (NOTES / name).exists():
        if cancelled():
            note("cancelled")
            raise Cancelled
        time.sleep(0.005)


def note(name: str) -> None:
    (NOTES / name).touch()


def create(components: Components) -> Tiny:
    if "TINY_START" in os.environ:  # a start that lasts until the test lets it go on
        note("creating")
        while not (NOTES / "go").exists():
            time.sleep(0.005)
    if code := os.environ.get("TINY_CODE"):  # what a test wants a model's code to do
        exec(code, {})
    if "TINY_HUGE" in os.environ:
        np.empty(1 << 50)
    if "TINY_BREAK" in os.environ:
        raise RuntimeError("create failed")
    return Tiny(components)
