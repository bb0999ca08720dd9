"""What ``/metrics`` shows, in Prometheus' text format 0.0.4."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.status import Status
from entrypoints.timeline import Timeline

if TYPE_CHECKING:
    from entrypoints.served import ServedModel

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Histogram:
    """Durations in seconds, counted into buckets."""

    def __init__(self) -> None:
        self.counts = [0] * len(BUCKETS)
        self.sum = 0.0
        self.count = 0
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        with self._lock:
            self.sum += seconds
            self.count += 1
            for index, bound in enumerate(BUCKETS):
                if seconds <= bound:
                    self.counts[index] += 1

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0


class Usage:
    """What one model is asked for."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.generate = Histogram()


class Telemetry:
    """Of the whole server. Where it has several models, each one's samples have its name as the label ``model``."""

    def __init__(self, timeline: Timeline, status: Status) -> None:
        self.timeline = timeline
        self.status = status
        self.requests: Counter[tuple[str, int]] = Counter()

    def render(self, models: Sequence[ServedModel]) -> str:
        requests = {label(path=path, status=str(code)): n for (path, code), n in sorted(self.requests.items())}
        own = {label(model=model.name): model for model in models}
        families = (
            render_family("prebake_ready", "gauge", "1 once ready.", self._states(own)),
            render_family("prebake_ready_seconds", "gauge", "From process start to ready.", self._ready(own)),
            render_family(
                "prebake_start_phase_seconds", "gauge", "Phases of the start; they overlap.", self._phases(models)
            ),
            render_family(
                "prebake_fallbacks_total",
                "counter",
                "Components that were opened in another way than the best.",
                self._fallbacks(models),
            ),
            render_family(
                "prebake_bucket_runs_total",
                "counter",
                "Runs of components that have shape buckets; outside: as the graph takes any shape; refused: none.",
                self._bucket_runs(models),
            ),
            render_family("prebake_requests_total", "counter", "Answered requests; 499: the client left.", requests),
            render_family(
                "prebake_requests_in_flight",
                "gauge",
                "Generate requests taken in.",
                {key: model.usage.in_flight for key, model in own.items()},
            ),
            render_family(
                "prebake_queue",
                "gauge",
                "Generate requests that wait for a worker.",
                {key: model.link.waiting for key, model in own.items()},
            ),
            render_histograms(
                "prebake_generate_seconds",
                "The model's time for an answer.",
                {model.name: model.usage.generate for model in models},
            ),
            render_process(self.timeline, ["self", *(str(model.link.process) for model in models)]),
        )
        return "".join(line + "\n" for family in families for line in family)

    def _states(self, own: Mapping[str, ServedModel]) -> dict[str, float]:
        return {"": self.status.state == "ready", **{key: each.status.state == "ready" for key, each in own.items()}}

    def _ready(self, own: Mapping[str, ServedModel]) -> dict[str, float]:
        found = {"": self.timeline.ready_seconds, **{key: each.timeline.ready_seconds for key, each in own.items()}}
        return {key: seconds for key, seconds in found.items() if seconds is not None}

    def _phases(self, models: Sequence[ServedModel]) -> dict[str, float]:
        timelines = {"": self.timeline, **{model.name: model.timeline for model in models}}
        return {
            label(model=name, phase=phase.name): phase.seconds
            for name, timeline in timelines.items()
            for phase in timeline.phases
            if phase.seconds is not None
        }

    def _fallbacks(self, models: Sequence[ServedModel]) -> dict[str, float]:
        """One timeline may be both the server's and its only model's."""
        counted: Counter[str] = Counter()
        for model in models:
            for step in model.timeline.fallbacks:
                names = {name: step[name] for name in ("component", "from", "to", "reason")}
                counted[label(model=model.name, **names)] += 1
        return dict(counted)

    def _bucket_runs(self, models: Sequence[ServedModel]) -> dict[str, float]:
        return {
            label(model=model.name, component=component, bucket=bucket): runs
            for model in models
            for (component, bucket), runs in sorted(model.timeline.bucket_runs.items())
        }


def label(**values: str) -> str:
    """Labels of a sample; one that is empty is left out."""
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
        for bound, count in zip(BUCKETS, histogram.counts, strict=True):
            yield f"{name}_bucket{label(model=model, le=f'{bound:g}')} {count}"
        yield f"{name}_bucket{label(model=model, le='+Inf')} {histogram.count}"
        yield f"{name}_sum{label(model=model)} {histogram.sum:.9g}"
        yield f"{name}_count{label(model=model)} {histogram.count}"


def render_process(timeline: Timeline, processes: Iterable[str]) -> Iterable[str]:
    """Named as Prometheus' own client libraries name them, of the server's processes together."""
    known = [process for process in processes if Path("/proc", process).exists()]
    for name, kind, text, value in (
        ("process_resident_memory_bytes", "gauge", "Resident memory.", sum(map(measure_resident_bytes, known))),
        ("process_cpu_seconds_total", "counter", "User and system time.", sum(map(measure_cpu_seconds, known))),
        ("process_start_time_seconds", "gauge", "Since the epoch.", timeline.process_started),
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
