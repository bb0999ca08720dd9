"""What is compiled of a model in torch: made, held against the blocks as they are, timed, and the soonest chosen.

Every step is a process of its own: what one has compiled would be found by the next, and a device holds the weights once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from entrypoints.compiled import compile_blocks, save_cache
from entrypoints.networks import Parts
from prebake.bake import ahead, parity
from prebake.bake.errors import BakeError
from prebake.bake.job import Job
from prebake.bake.parity import Finding
from prebake.bake.starts import AOT, CACHE, EAGER, Way, time_start
from prebake.bake.trial import ROUNDS, in_fresh_process, try_in_turn
from prebake.bake.warmed import open_model
from prebake.bake.worth import Figures, choose

NO_DEVICE = "this machine has no CUDA device"
NO_COMPILER = "this machine has no C++ compiler, which AOTInductor asks"
NO_BLOCKS = "no network names blocks"


@dataclass
class Ways:
    """The ways that could be made, and why others could not. ``figures``, where more than one could, by form; ``chosen`` is
    the one that answers soonest, or that the settings name."""

    made: dict[str, Way] = field(default_factory=lambda: {EAGER: Way(EAGER)})
    reasons: dict[str, str] = field(default_factory=dict)
    figures: Mapping[str, Figures] = field(default_factory=dict)
    chosen: str = EAGER


def precompile(job: Job, parts: Mapping[str, Parts], device: str, scratch: Path) -> Ways:
    """Make every form that the settings allow, below ``scratch``, and time each.

    Raises ParityFailed where a compiled block computes something else; BakeError where nothing can be made here, or not the form
    that the settings name.
    """
    asked = job.settings.compiled
    forms = {"none": (), "measured": (AOT, CACHE) if device == "cuda" else (AOT,)}.get(asked, (asked,))
    ways = _make(job, parts, device, forms, scratch)
    if len(ways.made) == 1:
        why = "".join(f"\n  {form}: {reason}" for form, reason in ways.reasons.items())
        raise BakeError(
            f"{job.settings.image}: nothing of its networks can be compiled here:{why or ' compiled is none'}",
            next_action="Compile where it can be, or say what is to be compiled in image.yaml (`compiled`).",
        )
    ways.figures = _measure(job, parts, device, ways)
    ways.chosen = asked if asked in ways.made else choose(ways.figures)
    return ways


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
    return Way(AOT, chosen), findings, "; ".join(reasons or ([] if chosen else [NO_BLOCKS]))


def make_cache(job: Job, parts: Mapping[str, Parts], device: str, name: str) -> tuple[bytes, list[Finding]]:
    """To be called in a fresh process: what ``torch.compile`` makes of a component's blocks while they answer the warm-up
    request, and what they compute beside those as they are. Empty where it has no blocks."""
    opened = open_model(job, parts, device)
    blocks = opened.networks[name].blocks
    if not blocks:
        return b"", []
    calls = ahead.capture(opened)[name]
    wanted = ahead.answer(blocks, calls)
    compile_blocks(blocks)
    opened.ask()
    content = save_cache()  # of the calls that a start makes, and no others
    return content, ahead.judge(name, wanted, ahead.answer(blocks, calls), job.settings.components[name].precision)


def _make(job: Job, parts: Mapping[str, Parts], device: str, forms: tuple[str, ...], scratch: Path) -> Ways:
    ways = Ways()
    for form in forms:
        if device == "cuda" and not torch.cuda.is_available():
            ways.reasons[form] = NO_DEVICE
        elif form == AOT and not ahead.find_compiler():
            ways.reasons[form] = NO_COMPILER
        else:
            make = _libraries if form == AOT else _caches
            way, findings, reason = make(job, parts, device, scratch / form)
            parity.check(findings)
            ways.made.update({form: way} if way.compiled else {})
            ways.reasons.update({form: reason} if reason else {})
    for form, reason in ways.reasons.items():
        print(f"torch: compiled, {form} {'in part' if form in ways.made else 'not at all'}: {reason}", file=sys.stderr)
    return ways


def _libraries(job: Job, parts: Mapping[str, Parts], device: str, folder: Path) -> tuple[Way, list[Finding], str]:
    return in_fresh_process(make_libraries, job, parts, device, folder)


def _caches(job: Job, parts: Mapping[str, Parts], device: str, folder: Path) -> tuple[Way, list[Finding], str]:
    folder.mkdir()
    caches, findings = {}, list[Finding]()
    for name in parts:
        content, found = in_fresh_process(make_cache, job, parts, device, name)
        findings += found
        if content:
            caches[name] = folder / name
            caches[name].write_bytes(content)
    return Way(CACHE, caches=caches), findings, "" if caches else NO_BLOCKS


def _measure(job: Job, parts: Mapping[str, Parts], device: str, ways: Ways) -> dict[str, Figures]:
    rounds = ROUNDS if job.settings.compiled == "measured" else 1
    starts = {form: partial(time_start, job, parts, device, way) for form, way in ways.made.items()}
    found = {form: Figures(*each, ways.made[form].bytes) for form, each in try_in_turn(starts, rounds).items()}
    for form, each in found.items():
        first = each.open + each.first
        print(f"torch: {form}: answers first after {first:.3f} s, later in {each.later:.3f} s", file=sys.stderr)
    return found
