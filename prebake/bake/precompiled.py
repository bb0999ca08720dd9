"""What is compiled of a model in torch: made, held against the blocks as they are, timed, and the soonest kept.

Every step is a process of its own: what one has compiled would be found by the next, and a device holds the weights once.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from entrypoints.compiled import ARTIFACT, compile_blocks, describe_machine, save_cache
from entrypoints.networks import Parts
from prebake.bake import ahead, parity
from prebake.bake.compile import Files, Job
from prebake.bake.errors import BakeError
from prebake.bake.manifest import file_entry
from prebake.bake.parity import Finding
from prebake.bake.starts import AOT, CACHE, EAGER, Way, time_start
from prebake.bake.trial import ROUNDS, in_fresh_process, try_in_turn
from prebake.bake.warmed import open_model
from prebake.bake.worth import Figures, choose, explain

NO_DEVICE = "the builder had no CUDA device"
NO_COMPILER = "the builder had no C++ compiler, which AOTInductor asks"
FOLDER = "compiled"
"""Under /models."""


@dataclass(frozen=True)
class Precompiled:
    """The manifest's words on what was compiled, and the report's."""

    manifest: dict[str, object]
    report: dict[str, object]


@dataclass
class _Ways:
    """The ways that could be made, and why others could not."""

    made: dict[str, Way] = field(default_factory=lambda: {EAGER: Way(EAGER)})
    reasons: dict[str, str] = field(default_factory=dict)


def precompile(job: Job, parts: Mapping[str, Parts], device: str, files: Files, target: Path) -> Precompiled:
    """Put what is kept under ``target``, and its files among ``files``.

    Raises ParityFailed where a compiled block computes something else; BakeError where the settings name a form that cannot be
    made here.
    """
    asked = job.settings.compiled
    forms = {"none": (), "measured": (AOT, CACHE) if device == "cuda" else (AOT,)}.get(asked, (asked,))
    with TemporaryDirectory(prefix="compiled-") as scratch:
        ways = _make(job, parts, device, forms, Path(scratch))
        if asked in ways.reasons and asked not in ways.made:
            raise BakeError(
                f"{job.settings.image} asks for {asked}, and that cannot be made: {ways.reasons[asked]}",
                next_action="Build where it can, or say `compiled: measured` in image.yaml, which does without.",
            )
        figures = _measure(job, parts, device, ways) if len(ways.made) > 1 else {}
        chosen = asked if asked in ways.made else choose(figures) if figures else EAGER
        return _keep(ways, figures, chosen, device, files, target)


def make_libraries(job: Job, parts: Mapping[str, Parts], device: str, folder: Path) -> tuple[Way, list[Finding], str]:
    """To be called in a fresh process: the way, what its blocks compute beside those as they are, and which networks
    cannot be compiled, and why."""
    opened = open_model(job, parts, device)
    chosen: dict[str, dict[int, Path]] = {}
    findings: list[Finding] = []
    reasons: list[str] = []
    for name, calls in ahead.capture(opened).items():
        blocks = opened.networks[name].blocks
        try:
            made = ahead.compile_blocks(blocks, calls, folder / name)
            findings += ahead.compare(name, blocks, calls, made, job.settings.components[name].precision)
        except ahead.NotCompiled as error:
            reasons.append(f"{name}: {error}")
        else:
            chosen.update({name: {index: each.folder for each in made for index in each.blocks}} if made else {})
    return Way(AOT, chosen), findings, "; ".join(reasons or ([] if chosen else ["no network names blocks"]))


def make_cache(job: Job, parts: Mapping[str, Parts], device: str) -> bytes:
    """To be called in a fresh process: what ``torch.compile`` makes of the blocks while they answer the warm-up request."""
    opened = open_model(job, parts, device)
    for network in opened.networks.values():
        compile_blocks(network.blocks)
    opened.ask()
    return save_cache()


def keep_cache(content: bytes, device: str, files: Files, target: Path) -> dict[str, object]:
    """The cache as a file of the image, and the manifest's words on it."""
    path = target / ARTIFACT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    files[ARTIFACT] = file_entry(path, "compiled")
    return {"cache": ARTIFACT, "fields": describe_machine(device), "reason": ""}


def keep_libraries(way: Way, device: str, files: Files, target: Path) -> dict[str, object]:
    """The libraries as files of the image, and the manifest's words on them."""
    libraries = {
        name: [_place(name, folder, own, files, target) for folder, own in _by_folder(chosen)]
        for name, chosen in (way.libraries or {}).items()
    }
    return {"cache": "", "fields": describe_machine(device), "reason": "", "libraries": libraries}


def _make(job: Job, parts: Mapping[str, Parts], device: str, forms: tuple[str, ...], scratch: Path) -> _Ways:
    ways = _Ways()
    for form in forms:
        if device == "cuda" and not torch.cuda.is_available():
            ways.reasons[form] = NO_DEVICE
        elif form == AOT and not ahead.find_compiler():
            ways.reasons[form] = NO_COMPILER
        elif form == AOT:
            way, findings, reason = in_fresh_process(make_libraries, job, parts, device, scratch / "libraries")
            parity.check(findings)
            ways.made.update({form: way} if way.libraries else {})
            ways.reasons.update({form: reason} if reason else {})
        else:
            cache = scratch / "cache"
            cache.write_bytes(in_fresh_process(make_cache, job, parts, device))
            ways.made[form] = Way(form, cache=cache)
    return ways


def _measure(job: Job, parts: Mapping[str, Parts], device: str, ways: _Ways) -> dict[str, Figures]:
    rounds = ROUNDS if job.settings.compiled == "measured" else 1
    starts = {form: partial(time_start, job, parts, device, way) for form, way in ways.made.items()}
    found = {form: Figures(*each, ways.made[form].bytes) for form, each in try_in_turn(starts, rounds).items()}
    for form, each in found.items():
        first = each.open + each.first
        print(f"torch: {form}: answers first after {first:.3f} s, later in {each.later:.3f} s", file=sys.stderr)
    return found


def _keep(
    ways: _Ways, figures: Mapping[str, Figures], chosen: str, device: str, files: Files, target: Path
) -> Precompiled:
    reason = "; ".join(f"{form}: {why}" for form, why in ways.reasons.items())
    way, before = ways.made[chosen], set(files)
    if chosen == AOT:
        words = {**keep_libraries(way, device, files, target), "reason": ways.reasons.get(AOT, "")}
    elif way.cache is not None:
        words = keep_cache(way.cache.read_bytes(), device, files, target)
    else:
        words = {"cache": "", "fields": {}, "reason": reason}
    size = sum(int(str(files[path]["size"])) for path in set(files) - before)
    print(f"torch: compiled, {chosen}, {size} bytes" + (f"; {reason}" if reason else ""), file=sys.stderr)
    told = explain(figures, chosen) if figures else {"chosen": chosen}
    return Precompiled(words, {**told, "bytes": size, "left_out": dict(ways.reasons)})


def _by_folder(chosen: Mapping[int, Path]) -> list[tuple[Path, list[int]]]:
    folders: dict[Path, list[int]] = {}
    for index, folder in sorted(chosen.items()):
        folders.setdefault(folder, []).append(index)
    return list(folders.items())


def _place(component: str, folder: Path, blocks: list[int], files: Files, target: Path) -> dict[str, object]:
    place = f"{FOLDER}/{component}/{folder.name}"
    (target / place).mkdir(parents=True)
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        shutil.copyfile(folder / name, target / place / name)
        files[f"{place}/{name}"] = file_entry(target / place / name, "compiled")
    return {"folder": place, "files": [f"{place}/{name}" for name in names], "blocks": blocks}
