"""docs/reference/metrics.md: the container's metrics, from the page that its server renders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from entrypoints.manifest.shape_buckets import describe_lengths
from entrypoints.processes.events import PhaseEnded
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.bucket_session import BETWEEN, OVERFLOW, REFUSED
from entrypoints.server.metrics import MEDIA_TYPE, Metrics
from entrypoints.server.usage import BUCKET_SECONDS, Usage
from tools.reference.markdown import code, codes, page, table

LABELS: Mapping[str, str] = {
    "model": "the model's name, in an image of several models. A sample without this label is for the whole server; in "
    "an image of one model, no sample has the label",
    "phase": "the phase's name, as at `/startup`: `launch`, `bind`, `import …`, `live`, `manifest`, `sizes`, `read ahead`, "
    "`read ahead libraries`, `open COMPONENT`, `create`, `warm-up`, `compare`, `verify`, and after readiness `verify what is "
    "not used` and `bucket …`; with torch also `load compile cache of COMPONENT`",
    "component": "the component's name",
    "from": "the candidate that was rejected",
    "to": "the candidate that was opened in its place",
    "reason": "why ([the fallback order](../concepts/startup.md#the-fallback-order) lists the reasons)",
    "bucket": f"the bucket's lengths, such as `{describe_lengths({'batch': 8, 'tokens': 128})}`, or one of three words: "
    f"`{BETWEEN}` (an artifact ran the inputs without padding, since their lengths lie between the smallest and the "
    f"largest bucket), `{OVERFLOW}` (the graph, or an artifact for any shape, ran them without padding) or `{REFUSED}` "
    "(the request was rejected). [Buckets](../concepts/buckets.md) explains them",
    "path": "the endpoint; `other` for a path that the server does not have",
    "status": "the HTTP status; 499: the client disconnected",
    "le": "the upper bound of a histogram's bucket, in seconds",
}
"""By label, its value."""


class Family(NamedTuple):
    kind: str
    help: str
    labels: tuple[str, ...]


def read_families() -> dict[str, Family]:
    """Every metric by its name: from a rendered page in which each has a sample, for an image of several models."""
    text = _render()
    families = {}
    for name, help_text in re.findall(r"^# HELP (\w+) (.+)$", text, re.MULTILINE):
        kind = re.search(rf"^# TYPE {name} (\w+)$", text, re.MULTILINE)
        samples = re.findall(rf"^{name}(?:_bucket)?\{{(.*)\}} ", text, re.MULTILINE)
        labels = dict.fromkeys(label for sample in samples for label in re.findall(r'(\w+)="', sample))
        families[name] = Family(kind[1] if kind else "", help_text, tuple(labels))
    return families


def _render() -> str:
    timeline = Timeline()
    timeline.ready_seconds = 1.0
    PhaseEnded("launch", 0.0, 0.1).record(timeline)
    timeline.fallbacks.append({"component": "net", "from": "tensorrt", "to": "cuda", "reason": "absent"})
    timeline.bucket_runs["net", "batch=1"] = 1
    link = SimpleNamespace(queue_depth=0, process="self")
    model: Any = SimpleNamespace(name="tiny", status=Status(), timeline=timeline, usage=Usage(), link=link)
    metrics = Metrics(timeline, Status())
    metrics.requests["/generate", 200] += 1
    return metrics.render([model])


def write_page() -> str:
    families = read_families()
    return page(
        "Metrics",
        f"""
`GET /metrics` of a container has these metrics in Prometheus' text format (`{MEDIA_TYPE}`):""",
        """```
prebake_requests_total{path="/generate",status="200"} 12
```""",
        table(
            ("metric", "type", "labels", "unit", "meaning"),
            [(code(name), each.kind, codes(each.labels), _unit(name), each.help) for name, each in families.items()],
        ),
        f"The buckets of a histogram end at {', '.join(f'{bound:g}' for bound in BUCKET_SECONDS)} seconds and +Inf; a "
        "histogram has `_bucket`, `_sum` and `_count`. A metric without a sample is left out: `prebake_ready_seconds` "
        "until the container is ready, `prebake_fallbacks_total` and `prebake_bucket_runs_total` until the first fallback or "
        "run.",
        "## Labels",
        table(
            ("label", "value"),
            [
                (code(name), LABELS[name])
                for name in dict.fromkeys(label for each in families.values() for label in each.labels)
            ],
        ),
    )


def _unit(name: str) -> str:
    return next((unit for unit in ("seconds", "bytes") if re.search(rf"_{unit}(_total)?$", name)), "")
