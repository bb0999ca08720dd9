"""docs/reference/report.md: the keys of a build's report.json.

``find_keys`` reads the keys from the code that writes the report; ``tests/integration/reference/test_report.py`` compares them.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Mapping

from prebake.measure.floor import Floor
from prebake.measure.report.report_files import SCHEMA, LayerReport
from prebake.measure.start import median_start
from prebake.workflow.delivery.outputs import Delivery
from prebake.workflow.pipeline import build_report, step
from tools.reference.markdown import code, codes, page, table

ALWAYS: Mapping[str, str] = {
    "schema": "the schema of the report",
    "image": "the image's tag",
    "digest": "the digest of the image's manifest",
    "config_digest": "the digest of the image's config",
    "created": "the time of the image ([metadata](../concepts/metadata.md#time))",
    "revision": "the commit that the image was built from",
    "labels": "the image's labels ([metadata](../concepts/metadata.md#labels))",
    "target": "the target",
    "checkpoint": "the checkpoint; of several models each one's, as `MODEL/CHECKPOINT` with commas between them",
    "size": "bytes of all layers, unpacked",
    "layers": "every layer, beginning with those of the base image ([below](#an-entry-of-layers))",
    "shared": "the layers under `/models` that other images in the Engine contain, too: `bytes` is their size, and "
    "`layers` has, for each such layer, the names of these images",
    "layer_picture": "the file beside the report with a picture of the layers",
    "components": "the compile stage's report of each component ([precision](../concepts/precision.md), "
    "[buckets](../concepts/buckets.md))",
    "artifacts": "the compiled artifacts in the image, each with the machine that it is for ([compile](../compile.md))",
    "keys": "the cache keys of the `export` and the `compile` stage",
    "outputs": "by destination, what was delivered ([below](#an-entry-of-outputs))",
    "pushed": "for each reference that this image was pushed to, by this build or an earlier one: the repository with the "
    "digest",
    "step_seconds": "seconds of the steps that the log names",
    "pipeline": "every step in order, as `--plan` and `explain` show it before a build "
    "([below](#an-entry-of-pipeline))",
    "buildkit_seconds": "seconds of BuildKit",
    "buildkit_steps": "each instruction that BuildKit ran",
}
"""Keys of every report."""

SOMETIMES: Mapping[str, tuple[str, str]] = {
    "volume": ("with `--weights volume`", "`image` and `digest`: tag and digest of the weights image"),
    "models": (
        "with several models",
        "by model: `checkpoint`, `license`, `keys`; if the image was started, `answer_difference`; and if starts were timed, "
        "`ready_seconds`, `ttfi_seconds` and `steady_seconds`",
    ),
    "gpu": (
        "for a GPU",
        "`verified`: whether the image was started on a GPU; if not, `unavailable` has the Engine's reason, and "
        "`not_started` says why no CPU can take the GPU's place",
    ),
    "openapi": ("if started", "the file beside the report with the OpenAPI document of the image's server"),
    "starts": ("if started", "the number of timed starts; 0 if the image was only started to compare its answer"),
    "start": (
        "if timed",
        "the start with the median time until ready: `ready_seconds`, and `container_seconds`, the seconds until the "
        "container's process started",
    ),
    "phases": ("if timed", "the phases of that start; of several models with the model's name in front"),
    "ready_seconds": ("if timed", "the median until ready"),
    "ttfi_seconds": ("if timed", "time to first inference (TTFI): the median until the first answer"),
    "floor_seconds": (
        "if timed",
        "the [floor](../concepts/startup.md#the-floor): the time that no start could go below on this machine",
    ),
    "floor": (
        "if timed",
        f"the parts of the floor: {codes(each.name for each in dataclasses.fields(Floor))}. `bandwidth` is in bytes a second, "
        "`steady` is the time of one inference of a warm container",
    ),
    "answer_difference": ("if started", "the largest difference of an answer from the framework's reference"),
}
"""By key: when a report has it, and its meaning."""

LAYER: Mapping[str, str] = {
    "name": "the layer's name",
    "kind": "the layer's kind ([layers](../concepts/layers.md))",
    "key": "its cache key",
    "inputs": "by name, the digest of everything that the key follows from",
    "diff_id": "sha256 of the uncompressed tar",
    "size": "bytes of its files",
    "digest": "digest of the blob that the manifest names",
    "blob_size": "bytes of that blob",
    "compression_reason": "why the blob is compressed, or why it is not",
    "status": "`built` (there was nothing to compare with), `reused` or `rebuilt`",
    "reason": "why it has this status",
}

OUTPUT: Mapping[str, str] = {
    "name": "the image's name at the destination",
    "bytes": "bytes that were sent",
    "refused": "attestations and records that the registry did not take, each with the registry's reason",
}

STEP: Mapping[str, str] = {
    "name": "the step's name",
    "action": "what the step does",
    "subject": "to what",
    "state": f"one of {codes(map(str, step.State))}. `known`: its result exists already. `conditional`: it is decided after the "
    "steps before it have run",
    "reason": "why it has this state",
    "where": f"where it runs: one of {codes(map(str, step.Place))}",
    "key": "its cache key",
    "inputs": "names of the steps whose results it reads",
}


def find_keys(function: object, least: int = 3) -> set[str]:
    """The keys of the document that a function makes: of the first dictionary in it with at least ``least`` keys, and of the
    conditional dictionaries inside it."""
    tree = ast.parse(inspect.getsource(function))  # type: ignore[arg-type]
    first = next(node for node in ast.walk(tree) if isinstance(node, ast.Dict) and len(node.keys) >= least)
    found: set[str] = set()
    for key, value in zip(first.keys, first.values, strict=True):
        if isinstance(key, ast.Constant):
            found.add(str(key.value))
        elif isinstance(value, ast.IfExp) and isinstance(value.body, ast.Dict):
            found |= {str(each.value) for each in value.body.keys if isinstance(each, ast.Constant)}
    return found


def find_report_keys() -> set[str]:
    measured = (
        find_keys(build_report._figures) | find_keys(build_report._started, least=2) | find_keys(median_start, least=2)
    )
    return find_keys(build_report.write_report) | measured


def write_page() -> str:
    return page(
        "report.json",
        "A build writes `build/NAME/TARGET-CHECKPOINT/report.json` (`build/NAME/TARGET/report.json` for an image of "
        f"several models), and the same as `build/NAME/report.json`; `--json` prints it. `schema` is {SCHEMA}. "
        "Prebake names a report of an older schema in the log and does not use it: build again. Times are in seconds, "
        "sizes in bytes.",
        table(("key", "meaning"), [(code(key), text) for key, text in ALWAYS.items()]),
        "Some reports have further keys:",
        table(("key", "when", "meaning"), [(code(key), *rest) for key, rest in SOMETIMES.items()]),
        "## An entry of layers",
        table(("key", "meaning"), [(code(each.name), LAYER[each.name]) for each in dataclasses.fields(LayerReport)]),
        "## An entry of outputs",
        table(("key", "meaning"), [(code(each.name), OUTPUT[each.name]) for each in dataclasses.fields(Delivery)]),
        "## An entry of pipeline",
        table(("key", "meaning"), [(code(key), text) for key, text in STEP.items()]),
    )
