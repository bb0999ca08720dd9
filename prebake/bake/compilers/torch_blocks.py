"""The compiled forms of a torch model's blocks: compile each, compare it with the eager blocks, time it, and choose the fastest.

Every step runs in a process of its own: code that one step compiled would be found by the next, and a device has room for the
weights once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from entrypoints.runtime.compile_cache import compile_blocks, save_cache
from entrypoints.runtime.torch_network import NetworkFiles
from prebake.bake.compilers import aotinductor
from prebake.bake.compilers.block_calls import capture_calls, compare_libraries, compare_outputs, run_blocks
from prebake.bake.compilers.torch_model import AOT, CACHE, EAGER, CompiledForm, open_model, time_start
from prebake.bake.errors import BakeError
from prebake.bake.model_folder.compile_job import CompileJob
from prebake.bake.parity import results
from prebake.bake.parity.results import ParityResult
from prebake.bake.trials.cost_model import Cost, select
from prebake.bake.trials.trial import TRIAL_ROUNDS, run_in_fresh_process, run_trials

NO_DEVICE = "this machine has no CUDA device"
NO_COMPILER = "this machine has no C++ compiler, which AOTInductor needs"
NO_BLOCKS = "no network lists blocks"

Result = tuple[CompiledForm, list[ParityResult], str]
"""A compiled form, its comparison with the eager blocks, and why some blocks could not be compiled, or none."""


@dataclass
class CompiledForms:
    """The forms that could be compiled, by name, and the reasons why others could not. ``figures`` are by form, if there was
    more than one to measure. ``chosen`` is the form that answers soonest, or the one that the settings name."""

    forms: dict[str, CompiledForm] = field(default_factory=lambda: {EAGER: CompiledForm(EAGER)})
    reasons: dict[str, str] = field(default_factory=dict)
    figures: Mapping[str, Cost] = field(default_factory=dict)
    chosen: str = EAGER


def compile_forms(job: CompileJob, parts: Mapping[str, NetworkFiles], device: str, scratch: Path) -> CompiledForms:
    """Compile every form that the settings allow, below ``scratch``, and time each.

    Raises ParityFailed if a compiled block's outputs differ. Raises BakeError if no form can be compiled on this machine.
    """
    wanted = job.settings.compiled
    names = {"none": (), "auto": (AOT, CACHE) if device == "cuda" else (AOT,)}.get(wanted, (wanted,))
    compiled = _compile(job, parts, device, names, scratch)
    if len(compiled.forms) == 1:
        why = "".join(f"\n  {form}: {reason}" for form, reason in compiled.reasons.items())
        raise BakeError(
            f"{job.settings.image}: no block of its networks can be compiled on this machine:{why or ' `compiled` is none'}",
            next_action="compile on a machine with the device and a C++ compiler, or change `compiled` in image.yaml",
        )
    compiled.figures = _measure(job, parts, device, compiled)
    compiled.chosen = wanted if wanted in compiled.forms else select(compiled.figures)
    return compiled


def make_libraries(job: CompileJob, parts: Mapping[str, NetworkFiles], device: str, folder: Path) -> Result:
    """Compile every network's blocks with AOTInductor. To be called in a fresh process."""
    model = open_model(job, parts, device)
    chosen: dict[str, dict[int, Path]] = {}
    findings: list[ParityResult] = []
    reasons: list[str] = []
    for name, calls in capture_calls(model).items():
        blocks, precision = model.networks[name].blocks, job.settings.components[name].precision
        try:
            libraries = aotinductor.compile_blocks(blocks, calls, folder / name)
            findings += compare_libraries(name, blocks, calls, libraries, precision)
        except aotinductor.NotCompiled as error:
            reasons.append(f"{name}: {error}")
        else:
            folders = {number: library.folder for library in libraries for number in library.blocks}
            chosen.update({name: folders} if folders else {})
    return CompiledForm(AOT, chosen), findings, "; ".join(reasons or ([] if chosen else [NO_BLOCKS]))


def make_cache(
    job: CompileJob, parts: Mapping[str, NetworkFiles], device: str, name: str
) -> tuple[bytes, list[ParityResult]]:
    """The cache of ``torch.compile`` after a component's blocks answered the warm-up request, and the comparison with the eager
    blocks. The cache is empty if the component has no blocks. To be called in a fresh process."""
    model = open_model(job, parts, device)
    blocks = model.networks[name].blocks
    if not blocks:
        return b"", []
    calls = capture_calls(model)[name]
    expected = run_blocks(blocks, calls)
    compile_blocks(blocks)
    model.answer_warmup()
    content = save_cache()  # before blocks are run outside of the network: a start makes no such calls
    return content, compare_outputs(name, expected, run_blocks(blocks, calls), job.settings.components[name].precision)


def _compile(
    job: CompileJob, parts: Mapping[str, NetworkFiles], device: str, names: tuple[str, ...], scratch: Path
) -> CompiledForms:
    compiled = CompiledForms()
    for name in names:
        if device == "cuda" and not torch.cuda.is_available():
            compiled.reasons[name] = NO_DEVICE
        elif name == AOT and not aotinductor.find_compiler():
            compiled.reasons[name] = NO_COMPILER
        else:
            make = _make_libraries if name == AOT else _make_caches
            form, findings, reason = make(job, parts, device, scratch / name)
            results.check_results(findings)
            compiled.forms.update({name: form} if form.components else {})
            compiled.reasons.update({name: reason} if reason else {})
    return compiled


def _make_libraries(job: CompileJob, parts: Mapping[str, NetworkFiles], device: str, folder: Path) -> Result:
    return run_in_fresh_process(make_libraries, job, parts, device, folder)


def _make_caches(job: CompileJob, parts: Mapping[str, NetworkFiles], device: str, folder: Path) -> Result:
    folder.mkdir()
    caches, findings = {}, list[ParityResult]()
    for name in parts:
        content, compared = run_in_fresh_process(make_cache, job, parts, device, name)
        findings += compared
        if content:
            caches[name] = folder / name
            caches[name].write_bytes(content)
    return CompiledForm(CACHE, caches=caches), findings, "" if caches else NO_BLOCKS


def _measure(
    job: CompileJob, parts: Mapping[str, NetworkFiles], device: str, compiled: CompiledForms
) -> dict[str, Cost]:
    rounds = TRIAL_ROUNDS if job.settings.compiled == "auto" else 1
    starts = {name: partial(time_start, job, parts, device, form) for name, form in compiled.forms.items()}
    timings = run_trials(starts, rounds)
    costs = {name: Cost(*timing, compiled.forms[name].bytes) for name, timing in timings.items()}
    for name, timing in costs.items():
        first = timing.open + timing.first
        print(f"torch: {name}: answers first after {first:.3f} s, later in {timing.later:.3f} s", file=sys.stderr)
    return costs
