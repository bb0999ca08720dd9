"""A document of the gate as ``prebake bench --baseline`` writes it: foley with a phase that takes 300 ms longer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from statistics import median
from typing import Any

PHASES = (
    # name, process, start, seconds
    ("container start", "engine", 0.0, 0.087),
    ("launch", "server", 0.087, 0.072),
    ("bind", "server", 0.159, 0.0004),
    ("import h11", "server", 0.199, 0.016),
    ("manifest", "model", 0.162, 0.001),
    ("verify", "model", 0.21, 0.052),
    ("import numpy", "model", 0.163, 0.037),
    ("import images.foley.model", "model", 0.222, 0.072),
    ("open dac", "model", 0.25, 0.015),
    ("warm-up", "model", 0.3, 0.146),
)
SLOWER = "import images.foley.model"
MACHINE = {
    "processor": "AMD EPYC 7763",
    "cores": 2,
    "memory_bytes": 25_000_000_000,
    "kernel": "Linux 6.1.0",
    "engine": "28.5.2",
    "load_average": {"before": 0.4, "after": 1.2},
}
COUNTERS = {
    "counted": True,
    "reason": "",
    "values": [
        {"name": "modules imported", "unit": "modules", "value": 143, "baseline": 142, "moved": True},
        {"name": "bytes read", "unit": "bytes", "value": 64_100_000, "baseline": 64_000_000, "moved": True},
        {"name": "threads", "unit": "threads", "value": 9, "baseline": 9, "moved": False},
    ],
    "changes": [
        {"what": "module", "name": "wave", "change": "added", "bytes": 23_000, "baseline_bytes": 0},
        {"what": "layer", "name": "code", "change": "changed", "bytes": 81_000, "baseline_bytes": 80_000},
    ],
    "sentences": [
        "1 module more: wave (22.5 KiB, after images.foley.model)",
        "layers: code: 1000 B more, 79.1 KiB",
    ],
}


def make_document(pairs: int = 8, slower: float = 0.3, model: str = "foley", **changes: Any) -> dict[str, Any]:
    """A document of ``pairs`` pairs in which the new image's import takes ``slower`` seconds longer. ``changes`` replace keys."""
    starts = list(_starts(pairs, slower, random.Random(7)))
    figures = _figures(starts)
    check = _regression(figures)
    return {
        "schema": 1,
        "kind": "gate",
        "prebake": "0.2.0",
        "created": "2026-12-02T10:00:00Z",
        "model": model,
        "target": "cpu",
        "state": "warm",
        "network_bits_per_second": None,
        "network_achieved_bits_per_second": None,
        "verdict": check["verdict"],
        "message": f"{model} starts {figures['ratio']:.2f} times slower than main.\n{SLOWER} takes 0.300 s longer.",
        "machine": deepcopy(MACHINE),
        "image": _image(f"prebake/{model}:cpu-sample", "a", 265_000_000),
        "baseline": {
            "given": "main",
            "kind": "revision",
            "revision": "0123456789abcdef0123456789abcdef01234567",
            **_image(f"prebake/{model}:baseline", "b", 264_000_000),
        },
        "limits": {"max_regression": 0.1, "max_ttfi_seconds": None, "max_image_size_bytes": None},
        "checks": [check],
        "pairs": pairs,
        "max_pairs": 40,
        **figures,
        "phases": [_phase(name, seconds, slower) for name, _, _, seconds in PHASES],
        "counters": deepcopy(COUNTERS),
        "starts": starts,
        **changes,
    }


def _figures(starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The medians of both images, and of the paired ratios."""
    ratios = [start["image"]["ttfi_seconds"] / start["baseline"]["ttfi_seconds"] for start in starts]
    medians = {
        f"{prefix}{name}": median(start[side][name] for start in starts)
        for name in ("ttfi_seconds", "ready_seconds")
        for side, prefix in (("image", ""), ("baseline", "baseline_"))
    }
    return {**medians, "ratio": median(ratios), "ratio_interval_95": [min(ratios), max(ratios)], "spread": 0.04}


def _regression(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The check of the limit 10%."""
    return {
        "name": "regression",
        "verdict": "fail" if figures["ratio"] > 1.1 else "pass",
        "value": figures["ratio"],
        "interval": figures["ratio_interval_95"],
        "limit": 1.1,
        "unit": "times",
    }


def _image(reference: str, digit: str, size: int) -> dict[str, Any]:
    layers = {"base": 125_000_000, "packages": 100_000_000, "weights": 20_000_000, "code": size - 245_000_000}
    return {"reference": reference, "digest": f"sha256:{digit * 64}", "size_bytes": size, "layer_bytes": layers}


def _phase(name: str, seconds: float, slower: float) -> dict[str, Any]:
    more = slower if name == SLOWER else 0.0
    return {
        "name": name,
        "seconds": seconds + more,
        "baseline_seconds": seconds,
        "difference_seconds": more,
        "interval_95": [more - 0.005, more + 0.005],
        "moved": more > 0.005,
    }


def _starts(pairs: int, slower: float, chance: random.Random) -> Iterator[dict[str, Any]]:
    for pair in range(pairs):
        yield {
            "pair": pair + 1,
            "first": chance.choice(("image", "baseline")),
            "image": _start(chance.uniform(0.98, 1.05), slower),
            "baseline": _start(chance.uniform(0.98, 1.05), 0.0),
        }


def _start(speed: float, slower: float) -> dict[str, Any]:
    phases = []
    for name, process, begin, seconds in PHASES:
        late = slower if name == "warm-up" else 0.0  # it waits for the import
        more = slower if name == SLOWER else 0.0
        phases.append(
            {
                "name": name,
                "start": round((begin + late) * speed, 4),
                "seconds": round((seconds + more) * speed, 4),
                "process": process,
            }
        )
    ready = round((0.447 + slower) * speed, 4)
    return {"ttfi_seconds": round(ready + 0.15, 4), "ready_seconds": ready, "live_seconds": 0.22, "phases": phases}


def make_document_without_baseline(pairs: int = 8) -> dict[str, Any]:
    """A document of a gate that checks the image's own limits alone."""
    document = make_document(pairs=pairs, slower=0.0)
    counters = document["counters"]
    seconds = document["ttfi_seconds"]
    return {
        **document,
        **dict.fromkeys(("baseline", "baseline_ttfi_seconds", "baseline_ready_seconds", "ratio", "ratio_interval_95")),
        "limits": {"max_regression": None, "max_ttfi_seconds": 0.5, "max_image_size_bytes": 300_000_000},
        "checks": [
            {
                "name": "ttfi",
                "verdict": "fail",
                "value": seconds,
                "interval": [seconds - 0.01, seconds + 0.01],
                "limit": 0.5,
                "unit": "seconds",
            },
            {
                "name": "image size",
                "verdict": "pass",
                "value": 265_000_000,
                "interval": [265_000_000, 265_000_000],
                "limit": 300_000_000,
                "unit": "bytes",
            },
        ],
        "verdict": "fail",
        "phases": [],
        "counters": {
            **counters,
            "values": [{**value, "baseline": None, "moved": False} for value in counters["values"]],
            "changes": [],
        },
        "starts": [{**pair, "first": "image", "baseline": None} for pair in document["starts"]],
    }
