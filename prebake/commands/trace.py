"""``prebake trace``: a start as a trace for Perfetto."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import log


@dataclass(frozen=True)
class TraceRequest:
    """``source`` is a URL or a path. ``output`` is a path; None for stdout."""

    source: str
    output: str | None = None


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="the URL of a running container (http://HOST:PORT), a report of a build (build/NAME/report.json), or the result of "
        "a benchmark (build/bench/NAME.json, build/bench/NAME-gate.json)",
    )
    parser.add_argument("--output", metavar="FILE", help="write the trace to this file (default: stdout)")


def read(arguments: Arguments) -> TraceRequest:
    return TraceRequest(**arguments.pick("source", "output"))


def run(request: TraceRequest) -> None:
    from pathlib import Path

    from prebake.measure.trace.trace_events import format_trace
    from prebake.workflow.trace import trace_source, write_trace

    trace = trace_source(request.source, log)
    text = format_trace(trace)
    if request.output is None:
        sys.stdout.write(text)
        return
    write_trace(Path(request.output), text)
    phases = sum(event["ph"] == "X" for event in trace["traceEvents"])
    log(f"{request.output}: {phases} phases; open it at https://ui.perfetto.dev or chrome://tracing")


COMMAND = Command("trace", HELP["trace"], add_flags, read, run)
