"""What a manifest has to look like, before it is read: every name, and the kind of its value."""

from __future__ import annotations

import math

from entrypoints.checks import Check, anything, either, listing, mapping, matching, nullable, one_of, record, row, typed
from entrypoints.shapes import TAKES

SCHEMA = 1
"""Of the manifests that this entrypoint knows."""

text = typed(str, "a string with something in it", bool)
sha256 = matching(r"[0-9a-f]{64}", "a sha256 in lower-case hexadecimal")
size = typed(int, "a whole number of bytes", lambda value: value >= 0)
path = matching(r"(?!/)(?!.*(^|/)\.{0,2}(/|$))[^\\\0]+", "a relative path without empty, . or .. parts")
dotted = matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "a module's dotted name")
tensor: Check = row(matching(r"[a-z0-9]+", "an element type"), nullable(listing(typed((str, int), "an axis"))))
finite = typed((int, float), "a number, 0 or more", lambda value: value >= 0 and math.isfinite(value))
number = typed((int, float), "a number", math.isfinite)

SESSION = record(
    {
        "optimize": one_of("disable", "basic", "extended", "layout", "all"),
        "prepack": typed(bool, "a boolean"),
    },
    optional={"saturates": typed(bool, "a boolean")},
)
READS = mapping(path, listing(row(size, size)))
ARTIFACT = record(
    {
        "rung": text,
        "graph": path,
        "provider": text,
        "options": mapping(text, typed(str, "a string")),
        "session": SESSION,
        "fields": mapping(text, text, least=1),
        "least": mapping(text, matching(r"\d+(\.\d+)*", "numbers with dots")),
        "reads": READS,
        "key": sha256,
        "key_fields": mapping(text, anything),
    },
    optional={
        "choice": mapping(text, anything),
        "weights": path,
        "folders": mapping(text, path),
        "scratch": record({"folder": path, "options": listing(text)}),
        "takes": one_of(*TAKES),
    },
)
BUCKETS = record(
    {
        "shapes": listing(mapping(text, typed(int, "a length, 1 or more", lambda value: value >= 1), least=1), least=1),
        "pad": mapping(text, number),
        "outside": one_of("error", "dynamic"),
    }
)
GRAPH = record(
    {
        "graph": path,
        "precision": text,
        "providers": listing(text, least=1),
        "session": SESSION,
        "inputs": mapping(text, tensor),
        "outputs": mapping(text, tensor, least=1),
        "reads": READS,
        "key": sha256,
        "key_fields": mapping(text, anything),
    },
    optional={
        "options": mapping(text, mapping(text, typed(str, "a string"))),
        "artifacts": listing(ARTIFACT),
        "buckets": BUCKETS,
        "choice": mapping(text, anything),
    },
)
NETWORK_READS = mapping(path, listing(row(size, size)), least=1)
NETWORK_ARTIFACT = {
    "fields": mapping(text, text, least=1),
    "least": mapping(text, matching(r"\d+(\.\d+)*", "numbers with dots")),
    "reads": NETWORK_READS,
    "key": sha256,
    "key_fields": mapping(text, anything),
}
LIBRARIES = record(
    {
        **NETWORK_ARTIFACT,
        "rung": one_of("aot"),
        "libraries": listing(record({"folder": path, "blocks": listing(size, least=1)}), least=1),
    },
    optional={"choice": mapping(text, anything)},
)
CACHE = record(
    {**NETWORK_ARTIFACT, "rung": one_of("compile-cache"), "cache": path},
    optional={"choice": mapping(text, anything)},
)
NETWORK = record(
    {
        "runtime": one_of("torch"),
        "config": path,
        "precision": one_of("fp32", "fp16", "bf16"),
        "reads": NETWORK_READS,
        "key": sha256,
        "key_fields": mapping(text, anything),
    },
    optional={"artifacts": listing(either("cache", CACHE, LIBRARIES))},
)
TORCH = record(
    {
        "module": dotted,
        "device": one_of("cpu", "cuda"),
        "compiled": one_of("measured", "aot", "compile-cache", "none"),
    }
)
described: Check = record(
    {
        "size": size,
        "sha256": sha256,
        "origin": one_of("published", "derived", "graph", "asset", "warmup", "compiled"),
    },
    optional={"xxh3": matching(r"[0-9a-f]{32}", "an XXH3 of 128 bits in lower-case hexadecimal")},
)
JOINT_LAYOUT = record(
    {
        "schema": typed(int, "a whole number"),
        "name": text,
        "target": text,
        "models": mapping(text, record({"manifest": path, "places": mapping(path, path)}), least=2),
        "files": mapping(path, described),
    },
    optional={"digest": sha256},
)
LAYOUT = record(
    {
        "schema": typed(int, "a whole number"),
        "name": text,
        "target": text,
        "checkpoint": text,
        "model": record({"module": dotted, "revision": text}),
        "components": mapping(text, either("runtime", NETWORK, GRAPH)),
        "files": mapping(path, described),
        "warmup": record({"request": path, "answer": path, "media_type": text, "tolerance": finite}),
        "limits": record(
            {
                "body_bytes": typed(int, "a whole number, 1 or more", lambda value: value >= 1),
                "queue": typed(int, "a whole number, 0 or more", lambda value: value >= 0),
                "seconds": typed((int, float), "a number above 0", lambda value: 0 < value < math.inf),
            }
        ),
    },
    optional={"torch": TORCH, "fallback": one_of("announce", "error"), "digest": sha256},
)
