"""docs/reference/metrics.md: the container's metrics, from the page that its server renders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from entrypoints.forms.limits import RequestMemory
from entrypoints.hardware.nvml import Gpu
from entrypoints.manifest.shape_buckets import describe_lengths
from entrypoints.processes.events import PhaseEnded
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.bucket_session import BETWEEN, OVERFLOW, REFUSED
from entrypoints.server.metrics import build_info, gpu, process, requests, residency, start
from entrypoints.server.metrics.text_format import MEDIA_TYPE, Family
from entrypoints.server.usage import BUCKET_SECONDS, ServerUsage, Usage
from tools.reference.markdown import code, codes, page, table

LABELS: Mapping[str, str] = {
    "model": "the model's name, in an image of several models. A sample without this label is for the whole server; in "
    "an image of one model, only `prebake_build_info` has the label",
    "phase": "the phase's name, as at `/startup`: `launch`, `bind`, `import …`, `live`, `manifest`, `sizes`, `read ahead`, "
    "`read ahead libraries`, `open COMPONENT`, `create`, `warm-up`, `compare`, `verify`, and after readiness `verify what is "
    "not used` and `bucket …`; with torch also `load compile cache of COMPONENT`",
    "component": "the component's name",
    "from": "the candidate that was rejected",
    "to": "the candidate that was opened in its place",
    "reason": "why: of a model that was unloaded, `operator`, `idle` or `room`; of a fallback, one of the reasons "
    "that [the fallback order](../concepts/startup.md#the-fallback-order) lists",
    "bucket": f"the bucket's lengths, such as `{describe_lengths({'batch': 8, 'tokens': 128})}`, or one of three words: "
    f"`{BETWEEN}` (an artifact ran the inputs without padding, since their lengths lie between the smallest and the "
    f"largest bucket), `{OVERFLOW}` (the graph, or an artifact for any shape, ran them without padding) or `{REFUSED}` "
    "(the request was rejected). [Buckets](../concepts/buckets.md) explains them",
    "path": "the endpoint, for paths of the [Open Inference Protocol](endpoints.md#open-inference-protocol) as a pattern, such "
    "as `/v2/models/{model}/infer`; `other` for a path that the server does not have. It is never what a client wrote",
    "status": "the HTTP status; 499: the client disconnected",
    "le": "the upper bound of a histogram's bucket, in seconds",
    "version": "the version of Prebake whose code serves",
    "target": "what the image was built for",
    "checkpoint": "the checkpoint that the image was built from",
    "revision": "the revision of the model, by its manifest",
    "digest": "`PREBAKE_IMAGE_DIGEST`: the digest of the image, which cannot contain its own; `prebake deploy` sets it",
    "outcome": "`exported`, `rejected` (by the collector) or `dropped` (too many waited, or the collector could not be reached)",
    "gpu": "NVML's index of the GPU",
    "uuid": "the GPU's UUID",
}
"""By label, its value."""


class Metric(NamedTuple):
    kind: str
    help: str
    labels: tuple[str, ...]


def read_metrics() -> dict[str, Metric]:
    """Every metric by its name: from families in which each has a sample, for an image of several models."""
    return {
        family.name: Metric(
            family.kind,
            family.help,
            tuple(dict.fromkeys(name for sample in family.samples for name, value in sample.labels.items() if value)),
        )
        for family in _list_families()
    }


def _list_families() -> list[Family]:
    manifest = SimpleNamespace(target="cpu", checkpoint="sample", revision="1")
    timeline: Any = Timeline()
    timeline.manifest = manifest
    timeline.ready_seconds = 1.0
    PhaseEnded("launch", 0.0, 0.1).record(timeline)
    timeline.fallbacks.append({"component": "net", "from": "tensorrt", "to": "cuda", "reason": "absent"})
    timeline.bucket_runs["net", "batch=1"] = 1
    timeline.evictions["net"], timeline.reloads["net"] = 1, (1, 0.1)
    link = SimpleNamespace(queue_depth=0, process="self")
    model: Any = SimpleNamespace(
        name="tiny", label="tiny", state="ready", is_loaded=True, timeline=timeline, usage=Usage(), link=link
    )
    model.usage.loads.observe(0.1)
    model.usage.evictions["idle"] += 1
    usage = ServerUsage(RequestMemory())
    usage.count_request({"route": "/generate", "served": model}, 200, 1.0)
    usage.spans["exported"] += 1
    return [
        build_info.describe_build([model], "sha256:0"),
        *start.list_families([model], Status(), timeline),
        *requests.list_families([model], usage),
        *residency.list_families([model]),
        *process.list_families(timeline.process_started, process.ProcessTime(), ()),
        *gpu.list_families([Gpu(0, "GPU-0", "GPU", 0, 1, 0.5, 40, 100.0)]),
    ]


def write_page() -> str:
    metrics = read_metrics()
    return page(
        "Metrics",
        f"""
`GET /metrics` of a container has these metrics in Prometheus' text format (`{MEDIA_TYPE}`):""",
        """```
prebake_requests_total{path="/generate",status="200"} 12
```""",
        table(
            ("metric", "type", "labels", "unit", "meaning"),
            [(code(name), each.kind, codes(each.labels), _unit(name), each.help) for name, each in metrics.items()],
        ),
        f"The buckets of a histogram end at {', '.join(f'{bound:g}' for bound in BUCKET_SECONDS)} seconds and +Inf; a "
        "histogram has `_bucket`, `_sum` and `_count`. A metric without a sample is left out: `prebake_ready_seconds` "
        "until the container is ready, `prebake_build_info` until the manifest is read, `prebake_fallbacks_total` and "
        "`prebake_bucket_runs_total` until the first fallback or run, `prebake_trace_spans_total` if no "
        "[endpoint for traces](environment.md#opentelemetry) is set, and `prebake_gpu_…` if NVIDIA's management library "
        "(`libnvidia-ml.so.1`) cannot be loaded or does not know the value.",
        "## Labels",
        table(
            ("label", "value"),
            [
                (code(name), LABELS[name])
                for name in dict.fromkeys(label for each in metrics.values() for label in each.labels)
            ],
        ),
    )


def _unit(name: str) -> str:
    return next(
        (unit for unit in ("seconds", "bytes", "ratio", "celsius", "watts") if re.search(rf"_{unit}(_total)?$", name)),
        "",
    )
