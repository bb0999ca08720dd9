"""Combinations of keys that no image can be built from. The raw document is checked, so that all faults are reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.spec.checks.bucket_rules import check_bucket_axes, check_bucket_settings, check_bucket_targets
from prebake.spec.checks.component_rules import (
    check_calibration,
    check_exporter,
    check_graph_names,
    check_published_graphs,
    check_weight_types,
    check_weights,
)
from prebake.spec.checks.raw_document import as_mapping, as_texts, checkpoint_paths, list_sources
from prebake.spec.checks.residency_rules import check_residency_names
from prebake.spec.checks.torch_rules import check_torch_components, check_torch_targets
from prebake.spec.image.image import ONE_MODEL_KEYS
from prebake.spec.suggestions import nearest, nearest_or_all
from prebake.spec.yaml_file import Document

PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")


def find_conflicts(document: Document) -> list[Problem]:
    """Every impossible combination. A key of a wrong type is skipped: the models report it."""
    data = document.data
    if not isinstance(data, dict):
        return []
    checks = (
        _check_one_or_several,
        _check_default_checkpoint,
        _check_shipped_files,
        _check_duplicate_files,
        check_weights,
        check_published_graphs,
        check_exporter,
        check_graph_names,
        check_calibration,
        check_weight_types,
        check_bucket_axes,
        check_bucket_settings,
        check_bucket_targets,
        check_torch_targets,
        check_torch_components,
        check_residency_names,
        _check_license_text,
    )
    return [problem for check in checks for problem in check(document, data)]


def _check_one_or_several(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """An image has one model of its own, or serves other images' models, whose keys stand in their own files."""
    if "models" not in data:
        missing = (key for key in ONE_MODEL_KEYS if key not in data)
        yield from (Problem(document.place((key,)), "is missing", f"add `{key}:`") for key in missing)
        return
    for key in (*ONE_MODEL_KEYS, "base", "system_packages", "runtime", "compiled", "code", "warmup", "limits"):
        if key in data:
            hint = f"write it in {_model_files(data['models'])}"
            yield Problem(document.place((key,)), "cannot be given together with models", hint)


def _model_files(models: Any) -> str:
    names = [str(name) for name in models] if isinstance(models, dict) else []
    return " and ".join(f"images/{name}/image.yaml" for name in names) or "each model's own image.yaml"


def _check_default_checkpoint(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    names = list(as_mapping(data.get("checkpoints")))
    default = data.get("checkpoint")
    if isinstance(default, str) and names and default not in names:
        hint = nearest_or_all(default, names, "there are")
        yield Problem(document.place(("checkpoint",)), f"no checkpoint has the name {default!r}", hint)


def _check_shipped_files(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for name, index, source in list_sources(data):
        where = document.place(("checkpoints", name, "sources", index, "ship"))
        files = as_texts(source.get("files"))
        for file in as_texts(source.get("ship")):
            if file not in files:
                yield Problem(
                    where, f"ships {file!r}, which is not among files", nearest(file, files) or "add it to files"
                )
            elif file.endswith(PICKLES):
                hint = "an image ships only safetensors or ONNX: remove it from ship and convert it in export.py"
                yield Problem(where, f"ships the pickle {file!r}", hint)


def _check_duplicate_files(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], int] = {}
    for name, index, source in list_sources(data):
        for path in checkpoint_paths(source, "files"):
            if (name, path) in seen:
                where = document.place(("checkpoints", name, "sources", index, "files"))
                yield Problem(
                    where, f"{path!r} comes from sources[{seen[name, path]}] too", "remove one, or give one a `to`"
                )
            seen[name, path] = index


def _check_license_text(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for name, checkpoint in as_mapping(data.get("checkpoints")).items():
        license = as_mapping(as_mapping(checkpoint).get("license"))
        if license.get("requires_acceptance") is True and not license.get("text"):
            where = document.place(("checkpoints", name, "license"))
            yield Problem(where, "requires acceptance, but has no text to read", "add `text: README.md`")
