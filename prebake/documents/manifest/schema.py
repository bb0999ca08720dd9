"""The schema of a manifest: every key, and the type of its value."""

from __future__ import annotations

import math

from prebake.documents.manifest.json_checks import (
    Check,
    anything,
    either,
    listing,
    mapping,
    matching,
    nullable,
    one_of,
    record,
    row,
    typed,
)

SCHEMA = 2
"""The schema version of the manifests that this Prebake writes; equal to ``entrypoints.manifest.reader.SCHEMA``."""

TEXT = typed(str, "a string with something in it", bool)
SHA256 = matching(r"[0-9a-f]{64}", "a sha256 in lower-case hexadecimal")
SIZE = typed(int, "a whole number of bytes", lambda value: value >= 0)
PATH = matching(r"(?!/)(?!(?s:.*)(^|/)\.{0,2}(/|$))[^\\\0]+", "a relative path without empty, . or .. parts")
MODULE = matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "a module's dotted name")
TENSOR: Check = row(matching(r"[a-z0-9]+", "an element type"), nullable(listing(typed((str, int), "an axis"))))
NON_NEGATIVE = typed((int, float), "a number, 0 or more", lambda value: value >= 0 and math.isfinite(value))
FINITE = typed((int, float), "a number", math.isfinite)

SESSION = record(
    {
        "optimize": one_of("disable", "basic", "extended", "layout", "all"),
        "prepack": typed(bool, "a boolean"),
    },
    optional={"int8_saturates": typed(bool, "a boolean")},
)
ACCEPTS = one_of("any", "range", "buckets")
"""The words of ``entrypoints.manifest.shape_buckets``."""
BYTE_RANGES = mapping(PATH, listing(row(SIZE, SIZE)))
ARTIFACT = record(
    {
        "name": TEXT,
        "graph": PATH,
        "provider": TEXT,
        "provider_options": mapping(TEXT, typed(str, "a string")),
        "session": SESSION,
        "requires": mapping(TEXT, TEXT, minimum=1),
        "minimum": mapping(TEXT, matching(r"\d+(\.\d+)*", "numbers with dots")),
        "byte_ranges": BYTE_RANGES,
        "key": SHA256,
        "key_inputs": mapping(TEXT, anything),
    },
    optional={
        "choice": mapping(TEXT, anything),
        "weights_folder": PATH,
        "folder_options": mapping(TEXT, PATH),
        "scratch": record({"folder": PATH, "option_names": listing(TEXT)}),
        "accepts": ACCEPTS,
    },
)
BUCKETS = record(
    {
        "shapes": listing(
            mapping(TEXT, typed(int, "a length, 1 or more", lambda value: value >= 1), minimum=1), minimum=1
        ),
        "pad": mapping(TEXT, FINITE),
        "overflow": one_of("error", "dynamic"),
    }
)
ONNX_COMPONENT = record(
    {
        "graph": PATH,
        "precision": TEXT,
        "providers": listing(TEXT, minimum=1),
        "session": SESSION,
        "inputs": mapping(TEXT, TENSOR),
        "outputs": mapping(TEXT, TENSOR, minimum=1),
        "byte_ranges": BYTE_RANGES,
        "key": SHA256,
        "key_inputs": mapping(TEXT, anything),
    },
    optional={
        "provider_options": mapping(TEXT, mapping(TEXT, typed(str, "a string"))),
        "artifacts": listing(ARTIFACT),
        "buckets": BUCKETS,
        "choice": mapping(TEXT, anything),
    },
)
WHOLE_FILES = mapping(PATH, listing(row(SIZE, SIZE)), minimum=1)
TORCH_ARTIFACT_KEYS = {
    "requires": mapping(TEXT, TEXT, minimum=1),
    "minimum": mapping(TEXT, matching(r"\d+(\.\d+)*", "numbers with dots")),
    "byte_ranges": WHOLE_FILES,
    "key": SHA256,
    "key_inputs": mapping(TEXT, anything),
}
TORCH_LIBRARIES = record(
    {
        **TORCH_ARTIFACT_KEYS,
        "name": one_of("aot"),
        "libraries": listing(record({"folder": PATH, "blocks": listing(SIZE, minimum=1)}), minimum=1),
    },
    optional={"choice": mapping(TEXT, anything)},
)
TORCH_CACHE = record(
    {**TORCH_ARTIFACT_KEYS, "name": one_of("compile-cache"), "cache": PATH},
    optional={"choice": mapping(TEXT, anything)},
)
TORCH_COMPONENT = record(
    {
        "runtime": one_of("torch"),
        "config": PATH,
        "precision": one_of("fp32", "fp16", "bf16"),
        "byte_ranges": WHOLE_FILES,
        "key": SHA256,
        "key_inputs": mapping(TEXT, anything),
    },
    optional={"artifacts": listing(either("cache", TORCH_CACHE, TORCH_LIBRARIES))},
)
TORCH_RUNTIME = record(
    {
        "module": MODULE,
        "device": one_of("cpu", "cuda"),
        "compiled": one_of("auto", "aot", "compile-cache", "none"),
    }
)
FILE: Check = record(
    {
        "size": SIZE,
        "sha256": SHA256,
        "origin": one_of("published", "derived", "graph", "asset", "warmup", "compiled"),
    },
    optional={"xxh3": matching(r"[0-9a-f]{32}", "an XXH3 of 128 bits in lower-case hexadecimal")},
)
FILES = mapping(PATH, FILE)
MULTI_MODEL_MANIFEST = record(
    {
        "schema": typed(int, "a whole number"),
        "name": TEXT,
        "target": TEXT,
        "models": mapping(TEXT, record({"manifest": PATH, "paths": mapping(PATH, PATH)}), minimum=2),
        "files": FILES,
    },
    optional={"digest": SHA256},
)
MODEL_MANIFEST = record(
    {
        "schema": typed(int, "a whole number"),
        "name": TEXT,
        "target": TEXT,
        "checkpoint": TEXT,
        "model": record({"module": MODULE, "revision": TEXT}),
        "components": mapping(TEXT, either("runtime", TORCH_COMPONENT, ONNX_COMPONENT)),
        "files": FILES,
        "warmup": record({"request": PATH, "answer": PATH, "media_type": TEXT, "tolerance": NON_NEGATIVE}),
        "limits": record(
            {
                "body_bytes": typed(int, "a whole number, 1 or more", lambda value: value >= 1),
                "queue": typed(int, "a whole number, 0 or more", lambda value: value >= 0),
                "seconds": typed((int, float), "a number above 0", lambda value: 0 < value < math.inf),
            }
        ),
    },
    optional={"torch": TORCH_RUNTIME, "fallback": one_of("warn", "error"), "digest": SHA256},
)
