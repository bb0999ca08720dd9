"""The JSON Schema (draft 2020-12) of the gate's document, ``build/bench/NAME-gate.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SCHEMA = 1
"""The schema number of the document."""

Node = dict[str, Any]

VERDICTS = ("pass", "fail", "unclear")


def _value(kind: str, description: str, **more: Any) -> Node:
    return {"type": kind, "description": description, **more}


def _text(description: str, **more: Any) -> Node:
    return _value("string", description, **more)


def _count(description: str, minimum: int = 0) -> Node:
    return _value("integer", description, minimum=minimum)


def _number(description: str) -> Node:
    """A duration, a ratio or another number that cannot be negative."""
    return _value("number", description, minimum=0)


def _choice(description: str, names: Sequence[str]) -> Node:
    return _text(description, enum=list(names))


def _nullable(node: Node) -> Node:
    return {**node, "type": [node["type"], "null"]}


def _list(description: str, item: Node) -> Node:
    return _value("array", description, items=item)


def _by_name(description: str, item: Node) -> Node:
    return _value("object", description, additionalProperties=item)


def _object(description: str, properties: Mapping[str, Node], optional: Sequence[str] = ()) -> Node:
    """An object with these keys and no others."""
    required = [name for name in properties if name not in optional]
    return _value("object", description, properties=dict(properties), required=required, additionalProperties=False)


def _interval(description: str) -> Node:
    """The two ends of a 95% interval; an end is null if it is unbounded."""
    items = {"type": ["number", "null"]}
    return _value("array", f"{description}; an end is null if it is unbounded", items=items, minItems=2, maxItems=2)


def _image(description: str, first: Mapping[str, Node]) -> Node:
    return _object(
        description,
        {
            **first,
            "reference": _text("the image's tag, or its reference at a registry"),
            "digest": _nullable(_text("the digest of the image's manifest", pattern="^sha256:[0-9a-f]{64}$")),
            "size_bytes": _count("bytes of all layers, unpacked"),
            "layer_bytes": _by_name(
                "by kind of layer, such as `base` or `weights`, bytes of its layers", _count("bytes")
            ),
        },
    )


_MACHINE = _object(
    "the machine on which both images were started",
    {
        "processor": _nullable(_text("the processor's model")),
        "cores": _nullable(_count("the number of cores that containers may use", 1)),
        "memory_bytes": _nullable(_count("bytes of memory")),
        "kernel": _nullable(_text("the kernel with its version")),
        "engine": _nullable(_text("the version of the Docker Engine")),
        "load_average": _object(
            "the load average of one minute, in processes",
            {
                "before": _number("before the first start"),
                "after": _number("after the last start, which includes this measurement"),
            },
        ),
    },
)

_LIMITS = _object(
    "the limits of flags and of image.yaml; a key is null if there is no such limit",
    {
        "max_regression": _nullable(
            _number("how much longer a start may take than the baseline's, as a fraction: 0.1 is 10%")
        ),
        "max_ttfi_seconds": _nullable(_number("seconds until the first answer")),
        "max_image_size_bytes": _nullable(_count("bytes of all layers, unpacked")),
    },
)

_CHECK = _object(
    "one limit, the measured value and the verdict",
    {
        "name": _choice("the limit", ("regression", "ttfi", "image size")),
        "verdict": _choice("the verdict of this limit", VERDICTS),
        "value": _number("what was measured, in `unit`"),
        "interval": _nullable(
            _interval("the 95% interval of `value`, in `unit`; both ends of an image size are the size")
        ),
        "limit": _number("the largest value that passes, in `unit`; of a regression 1 + `max_regression`"),
        "unit": _choice("the unit of `value`, `interval` and `limit`", ("times", "seconds", "bytes")),
    },
)

_PHASE = _object(
    "one phase of the start in both images",
    {
        "name": _text("the phase"),
        "seconds": _nullable(_number("median of the new image, in seconds; null if it has no such phase")),
        "baseline_seconds": _nullable(_number("median of the baseline, in seconds; null if it has no such phase")),
        "difference_seconds": _nullable(
            _value("number", "median of the paired differences, new minus baseline, in seconds")
        ),
        "interval_95": _nullable(_interval("the 95% interval of the difference, in seconds")),
        "moved": _value("boolean", "whether the interval leaves 0 out, and the difference is a millisecond or more"),
    },
)

_COUNTER = _object(
    "one counter in both images",
    {
        "name": _text("the counter, such as `modules imported`"),
        "unit": _text("the unit of `value` and `baseline`"),
        "value": _nullable(_value("number", "of the new image")),
        "baseline": _nullable(_value("number", "of the baseline")),
        "moved": _value("boolean", "whether the values differ by more than a repeated start does"),
    },
)

_CHANGE = _object(
    "a module, file or kind of layer that only one image has, or that has other bytes in the two images",
    {
        "what": _choice("whether it is a module, a file or a kind of layer", ("module", "file", "layer")),
        "name": _text("its name"),
        "change": _choice("what happened to it since the baseline", ("added", "removed", "changed")),
        "bytes": _nullable(_count("bytes in the new image")),
        "baseline_bytes": _nullable(_count("bytes in the baseline")),
    },
)

_COUNTERS = _object(
    "counts of one start of each image, which hardly depend on how busy the machine is",
    {
        "counted": _value(
            "boolean",
            "whether both starts were counted; if not, `values` and `changes` have sizes only",
        ),
        "reason": _text("why a start was not counted; empty if both were"),
        "values": _list("the counters", _COUNTER),
        "changes": _list("the modules, files and layers that differ", _CHANGE),
        "sentences": _list("one sentence for each counter that moved", _text("the sentence")),
    },
)

_START_PHASE = _object(
    "one phase of this start",
    {
        "name": _text("the phase"),
        "start": _number("seconds from the request for the container until the phase began"),
        "seconds": _nullable(_number("seconds that it took; null if it still ran when the container was ready")),
        "process": _text("`engine`, `server`, `model`, or the name of one of several models"),
    },
)


def _start(image: str) -> Node:
    return _object(
        f"the start of {image}",
        {
            "ttfi_seconds": _number("seconds from the request for the container until the first answer"),
            "ready_seconds": _nullable(_number("seconds from the request for the container until it was ready")),
            "live_seconds": _nullable(_number("seconds from the request for the container until it answered liveness")),
            "phases": _list("the phases, which may overlap", _START_PHASE),
        },
    )


_PAIR = _object(
    "one start of each image, one directly after the other; without a baseline one start of the new image",
    {
        "pair": _count("the number of the pair, from 1", 1),
        "first": _choice("which image was started first", ("image", "baseline")),
        "image": _start("the new image"),
        "baseline": _nullable(_start("the baseline")),
    },
)

_DOCUMENT: Mapping[str, Node] = {
    "schema": {"const": SCHEMA, "type": "integer", "description": "the schema of this document"},
    "kind": {
        "const": "gate",
        "type": "string",
        "description": "always `gate`, by which programs know this document",
    },
    "prebake": _text("the version of Prebake that measured"),
    "created": _text("when the measurement ended, by RFC 3339 in UTC", format="date-time"),
    "model": _text("the model"),
    "target": _choice("the target of both images", ("cpu", "cuda", "tensorrt")),
    "state": _choice(
        "before each start: the image's files are in the page cache (`warm`), the page cache was dropped (`cold`), or the Engine "
        "lacks the image and pulls it from a registry (`absent`)",
        ("warm", "cold", "absent"),
    ),
    "network_bits_per_second": _nullable(
        _number(
            "the bit rate of the link through which images are pulled (`--network`); null unless `state` is `absent`"
        )
    ),
    "network_achieved_bits_per_second": _nullable(
        _number("the payload of one TCP connection on that link, in bits a second; null unless `state` is `absent`")
    ),
    "verdict": _choice(
        "`fail` if a check fails; else `unclear` if one is unclear; else `pass`, even without checks", VERDICTS
    ),
    "message": _text("the sentences that the command prints"),
    "machine": _MACHINE,
    "image": _image("the new image", {}),
    "baseline": _nullable(
        _image(
            "the image with which the new image is compared; null if there is none, and only the new image was started",
            {
                "given": _text("the argument of `--baseline`"),
                "kind": _choice(
                    "a tag of the Engine, an image at a registry, or a git revision",
                    ("tag", "registry", "revision"),
                ),
                "revision": _nullable(_text("the git commit that the baseline was built from")),
            },
        )
    ),
    "limits": _LIMITS,
    "checks": _list("one check for each limit; empty if there is no limit", _CHECK),
    "pairs": _count("the number of pairs that were started"),
    "max_pairs": _count("the largest number of pairs that was allowed", 1),
    "ttfi_seconds": _number("median time until the first answer of the new image, in seconds"),
    "baseline_ttfi_seconds": _nullable(_number("the same of the baseline")),
    "ready_seconds": _nullable(_number("median time until ready of the new image, in seconds")),
    "baseline_ready_seconds": _nullable(_number("the same of the baseline")),
    "ratio": _nullable(_number("median of the paired ratios of times until the first answer, new over baseline")),
    "ratio_interval_95": _nullable(_interval("the 95% interval of `ratio`")),
    "spread": _nullable(
        _number(
            "half the interquartile range of the paired ratios (without a baseline, of the times) over their median"
        )
    ),
    "phases": _list(
        "the phases of both images, compared; empty without a baseline, and if one of the images does not tell its phases",
        _PHASE,
    ),
    "counters": _COUNTERS,
    "starts": _list("every pair of starts, in order", _PAIR),
}


def json_schema() -> Mapping[str, Any]:
    """The schema. Every key has a description with its unit."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A cold-start comparison of `prebake bench --baseline`",
        **_object("Two images of one model, started in turn on one machine, and the verdict", _DOCUMENT),
    }
