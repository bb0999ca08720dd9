"""The page ``/metrics``, in Prometheus' text format 0.0.4."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.usage import BUCKET_SECONDS, Histogram

if TYPE_CHECKING:
    from entrypoints.server.served_model import ServedModel

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Of the whole server. If it has several models, the samples of each have its name as the label ``model``."""

    def __init__(self, timeline: Timeline, status: Status) -> None:
        self.timeline = timeline
        self.status = status
        self.requests: Counter[tuple[str, int]] = Counter()
        """By path and status; the path ``invalid`` stands for requests whose head was refused."""
        self.connections = 0
        self.overload_connections = 0

    def render(self, models: Sequence[ServedModel]) -> str:
        requests = {label(path=path, status=str(code)): n for (path, code), n in sorted(self.requests.items())}
        by_label = {label(model=model.name): model for model in models}
        families = (
            render_family("prebake_ready", "gauge", "1 if ready, else 0.", self._states(by_label)),
            render_family(
                "prebake_ready_seconds",
                "gauge",
                "Seconds from the start of the process to ready.",
                self._ready(by_label),
            ),
            render_family(
                "prebake_start_phase_seconds",
                "gauge",
                "Seconds of each phase of the start; phases overlap.",
                self._phases(models),
            ),
            render_family(
                "prebake_fallbacks_total",
                "counter",
                "Fallbacks: a component was opened with another candidate, since a better one was rejected.",
                self._fallbacks(models),
            ),
            render_family(
                "prebake_bucket_runs_total",
                "counter",
                "Runs of components that have shape buckets, by bucket.",
                self._bucket_runs(models),
            ),
            render_family(
                "prebake_requests_total",
                "counter",
                "Answered requests; 499: the client disconnected before its answer; path invalid: not valid HTTP.",
                requests,
            ),
            render_family("prebake_connections", "gauge", "Open connections of clients.", {"": self.connections}),
            render_family(
                "prebake_overload_connections_total",
                "counter",
                "Connections beyond the limit: only health and metrics are answered on them, all else with status 503.",
                {"": self.overload_connections},
            ),
            render_family(
                "prebake_requests_in_flight",
                "gauge",
                "Generate requests that were accepted and are not yet answered.",
                {key: model.usage.unanswered for key, model in by_label.items()},
            ),
            render_family(
                "prebake_queue_depth",
                "gauge",
                "Generate requests that wait for a worker.",
                {key: model.link.queue_depth for key, model in by_label.items()},
            ),
            render_histograms(
                "prebake_generate_seconds",
                "Seconds that the model worked on an answer, for answers with status 200.",
                {model.name: model.usage.generate for model in models},
            ),
            render_process(self.timeline, ["self", *(str(model.link.process) for model in models)]),
        )
        return "".join(line + "\n" for family in families for line in family)

    def _states(self, by_label: Mapping[str, ServedModel]) -> dict[str, float]:
        return {
            "": self.status.state == "ready",
            **{key: model.status.state == "ready" for key, model in by_label.items()},
        }

    def _ready(self, by_label: Mapping[str, ServedModel]) -> dict[str, float]:
        by_key = {
            "": self.timeline.ready_seconds,
            **{key: model.timeline.ready_seconds for key, model in by_label.items()},
        }
        return {key: seconds for key, seconds in by_key.items() if seconds is not None}

    def _phases(self, models: Sequence[ServedModel]) -> dict[str, float]:
        timelines = {"": self.timeline, **{model.name: model.timeline for model in models}}
        return {
            label(model=name, phase=phase): seconds
            for name, timeline in timelines.items()
            for (phase, _), seconds in list(timeline.phases.items())
            if seconds is not None
        }

    def _fallbacks(self, models: Sequence[ServedModel]) -> dict[str, float]:
        """Counted by labels."""
        counted: Counter[str] = Counter()
        for model in models:
            for fallback in model.timeline.fallbacks:
                names = {name: fallback[name] for name in ("component", "from", "to", "reason")}
                counted[label(model=model.name, **names)] += 1
        return dict(counted)

    def _bucket_runs(self, models: Sequence[ServedModel]) -> dict[str, float]:
        return {
            label(model=model.name, component=component, bucket=bucket): runs
            for model in models
            for (component, bucket), runs in sorted(model.timeline.bucket_runs.items())
        }


def label(**values: str) -> str:
    """Labels of a sample, without those that are empty."""
    pairs = [f'{name}="{escape(value)}"' for name, value in values.items() if value]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def render_family(name: str, kind: str, text: str, samples: Mapping[str, float]) -> Iterable[str]:
    if samples:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {kind}"
    for labels, value in samples.items():
        yield f"{name}{labels} {float(value):.12g}"


def render_histograms(name: str, text: str, histograms: Mapping[str, Histogram]) -> Iterable[str]:
    """By model."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    for model, histogram in histograms.items():
        for bound, count in zip(BUCKET_SECONDS, histogram.counts, strict=True):
            yield f"{name}_bucket{label(model=model, le=f'{bound:g}')} {count}"
        yield f"{name}_bucket{label(model=model, le='+Inf')} {histogram.count}"
        yield f"{name}_sum{label(model=model)} {histogram.sum:.9g}"
        yield f"{name}_count{label(model=model)} {histogram.count}"


def render_process(timeline: Timeline, processes: Iterable[str]) -> Iterable[str]:
    """The sums over the server's processes, with the names that Prometheus' client libraries use."""
    running = [process for process in processes if Path("/proc", process).exists()]
    for name, kind, text, value in (
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory of all processes of the server, in bytes.",
            sum(map(measure_resident_bytes, running)),
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "User and system time of all processes of the server, in seconds.",
            sum(map(measure_cpu_seconds, running)),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "Start of the process, in seconds since 1970.",
            timeline.process_started,
        ),
    ):
        yield from render_family(name, kind, text, {"": value})


def measure_cpu_seconds(process: str) -> float:
    """User and system time of a process (proc(5), /proc/pid/stat, fields 14 and 15)."""
    fields = Path("/proc", process, "stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_resident_bytes(process: str) -> int:
    resident_pages = int(Path("/proc", process, "statm").read_text().split()[1])
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


def escape(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
