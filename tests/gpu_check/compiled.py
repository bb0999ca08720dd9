"""What was compiled on the device is opened there, answers as the blocks do, and steps down where a field differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from entrypoints.components.opener import Opener
from entrypoints.errors import CompiledElsewhere
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from prebake.bake.compilers.torch_model import AOT, CACHE, EAGER
from prebake.bake.trials.trial import run_in_fresh_process
from prebake.documents.canonical import seal
from prebake.documents.component import ComponentSettings, Precision
from prebake.errors import PrebakeError
from tests.gpu_check.findings import Finding
from tests.support.bake.host_bake import bake_folder
from tests.support.images.blocks.checkpoint import settings_for, write_checkpoint
from tests.support.images.blocks.export import VALUES

BOUND = 0.05
"""Relative error of bf16, as ``image.yaml`` has it where nothing is said."""


def check_compiled(folder: Path, device: str) -> Iterator[Finding]:
    """An image for a CPU has no compile cache: it would need a compiler at start."""
    wanted = None
    for form in (EAGER, AOT, CACHE) if device == "cuda" else (EAGER, AOT):
        try:
            models, told = bake(folder / form, device, form)
        except PrebakeError as error:
            yield Finding(form, False, str(error))
            continue
        candidate, steps, answer = run_in_fresh_process(open_and_ask, models)
        yield Finding(form, candidate == form and not steps, f"opened by {candidate}, {steps or 'no step down'}{told}")
        if wanted is None:
            wanted = answer
        else:
            apart = float(np.linalg.norm(answer - wanted) / np.linalg.norm(wanted))
            yield Finding(f"{form}, parity", apart <= BOUND, f"relative error {apart:.2g}, bound {BOUND}")
            yield from check_ladder(models, form)


def check_ladder(models: Path, form: str) -> Iterator[Finding]:
    """Each field in turn is another: a step down that names it, or the end where none is allowed."""
    for name in sorted(artifact_of(read(models))["requires"]):
        changed = Path(shutil.copytree(models, models.with_name(f"{form}-{name}"), copy_function=link))
        document = read(models)
        artifact_of(document)["requires"][name] = "another"
        (changed / "manifest.json").unlink()
        (changed / "manifest.json").write_bytes(seal(document))
        timeline = Timeline()
        open_component(changed, timeline)
        told = [f"{step['to']}, {step['reason']}: {step['detail']}" for step in timeline.fallbacks]
        yield Finding(f"{form}, other {name}", len(told) == 1 and f"{name}: compiled for another" in told[0], told[0])
        try:
            open_component(changed, Timeline(), strict=True)
        except CompiledElsewhere as fault:
            yield Finding(f"{form}, other {name}, strict", True, f"ends with {fault.exit_code}")
        else:
            yield Finding(f"{form}, other {name}, strict", False, "was opened")


def read(models: Path) -> dict[str, Any]:
    """The manifest."""
    return dict(json.loads((models / "manifest.json").read_bytes()))


def artifact_of(manifest: dict[str, Any]) -> dict[str, Any]:
    artifact: dict[str, Any]
    (artifact,) = manifest["components"]["net"]["artifacts"]
    return artifact


def bake(folder: Path, device: str, form: str) -> tuple[Path, str]:
    """The models folder, and what its report says of the time it saves."""
    checkpoint = write_checkpoint(folder / "checkpoint")
    precision = ComponentSettings(precision=Precision("bf16", max_relative_error=BOUND, derived=False), providers=())
    settings = replace(settings_for(checkpoint), target=device, components={"net": precision})
    settings = replace(settings, compiled="none" if form == EAGER else form)
    report = bake_folder("blocks", checkpoint, settings, folder / "models", artifacts=form != EAGER)
    return folder / "models", "".join(describe(each) for each in report.get("artifacts", []))


def describe(told: Mapping[str, Any]) -> str:
    ways = told["choice"]["candidates"]
    own, without = (ways[told["choice"][key]] for key in ("candidate", "baseline"))
    first, later = own["open"] + own["first"], without["open"] + without["first"]
    return f"; first answer {first:.4f} s, without it {later:.4f} s, {told['bytes']} bytes"


def open_and_ask(models: Path) -> tuple[str, list[object], np.ndarray]:
    """The candidate, steps down and an answer; in a fresh process."""
    timeline = Timeline()
    session = open_component(models, timeline)
    answer = session.run({"x": np.array([VALUES] * 3, np.float32)})["y"]  # type: ignore[attr-defined]
    return timeline.opened["net"], list(timeline.fallbacks), answer


def open_component(models: Path, timeline: Timeline, *, strict: bool = False) -> object:
    opener = Opener(models, read_manifest(models), timeline, None, strict=strict)
    opener.start(2)
    return opener.components.session("net")


def link(source: str, target: str) -> str:
    Path(target).hardlink_to(source)
    return target
