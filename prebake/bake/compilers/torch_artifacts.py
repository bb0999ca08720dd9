"""Artifacts of torch networks: the blocks that this machine compiled, with their keys and descriptions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from entrypoints.runtime.compile_cache import BLOCK_OPTIONS, CACHE_FILE, find_torch_facts
from prebake.bake.compilers import aotinductor
from prebake.bake.compilers.compiled_artifact import CompiledArtifact, Files, kept_event, whole_files
from prebake.bake.compilers.torch_blocks import CompiledForms, compile_forms
from prebake.bake.compilers.torch_model import AOT, CACHE, EAGER, CompiledForm
from prebake.bake.compilers.torch_networks import (
    check_networks,
    checked_event,
    list_parts,
    network_key_fields,
    torch_device,
)
from prebake.bake.model_folder.compile_job import CompileJob, weight_files
from prebake.bake.trials.cost_model import AMORTIZED_REQUESTS, explain_choice
from prebake.documents.artifact import ArtifactFile
from prebake.documents.canonical import digest_file
from prebake.documents.stage_events import BLOCKS_NOT_COMPILED, EventLog, StageEvent

OPTIONS: Mapping[str, Mapping[str, object]] = {
    AOT: aotinductor.OPTIONS,
    CACHE: BLOCK_OPTIONS,
}
"""By form, the options that torch compiles with."""


@dataclass(frozen=True, kw_only=True)
class CompiledNetwork(CompiledArtifact):
    """The blocks of one torch network that were compiled. ``blocks``: the numbers of the blocks that each library computes,
    by the name of the library's folder; empty for a compile cache, which is one file."""

    blocks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def _own_key_fields(self) -> dict[str, object]:
        """The versions of torch, triton and Python are among the machine's facts."""
        return {"options": dict(OPTIONS[self.candidate])}

    def _own_entry(self, home: str, files: Files) -> dict[str, object]:
        libraries = [{"folder": f"{home}/{name}", "blocks": list(numbers)} for name, numbers in self.blocks.items()]
        opened = {"libraries": libraries} if libraries else {"cache": f"{home}/{CACHE_FILE}"}
        return {**opened, "byte_ranges": whole_files(files)}


def compile_network_artifacts(job: CompileJob, out: Path, *, keep_all: bool) -> Iterator[dict[str, object]]:
    """Compile the blocks of every component. Returns the outcome of each artifact. The artifacts of the form with the fastest
    answer are kept, or all if ``keep_all``.

    Raises WeightsError if networks and weights do not fit each other, and the errors of ``compile_forms``.
    """
    files, device = weight_files(job), torch_device(job.settings.target)
    parts = list_parts(job, files)
    events = EventLog(out)
    for name, count in check_networks(job, parts).items():
        events.write(checked_event(name, count, len(parts[name].weights)))
    with TemporaryDirectory(prefix="artifacts-", dir=job.models) as scratch:
        compiled = compile_forms(job, parts, device, Path(scratch))
        for form, reason in compiled.reasons.items():
            message = f"compiled, {form} {'in part' if form in compiled.forms else 'not at all'}: {reason}"
            events.write(StageEvent(BLOCKS_NOT_COMPILED, "torch", message))
        for form in (form for form in compiled.forms if form != EAGER):
            kept, choice = keep_all or form == compiled.chosen, explain_choice(compiled.figures, form, compiled.chosen)
            for name, artifact in gather(job, compiled.forms[form], device, Path(scratch, "placed")):
                described = artifact.describe(name, network_key_fields(job, parts[name], files), choice)
                events.write(_kept_event(described, compiled, form, kept))
                if kept:
                    described.write(artifact.folder, out)
                yield _outcome(described, artifact, kept, choice)


def gather(job: CompileJob, compiled: CompiledForm, device: str, folder: Path) -> Iterator[tuple[str, CompiledNetwork]]:
    """The artifact of each component in one form, in a folder of its own below ``folder``."""
    machine, key_inputs = find_torch_facts(device), _key_inputs(job, compiled.form)
    for name in compiled.components:
        own = folder / compiled.form / name
        own.mkdir(parents=True)
        blocks: dict[str, tuple[int, ...]] = {}
        for index, library in sorted(compiled.libraries.get(name, {}).items()):
            blocks[library.name] = (*blocks.get(library.name, ()), index)
            if not (own / library.name).exists():
                shutil.copytree(library, own / library.name)
        if name in compiled.caches:
            shutil.copyfile(compiled.caches[name], own / CACHE_FILE)
        yield (
            name,
            CompiledNetwork(
                candidate=compiled.form, folder=own, requires=machine, key_inputs=key_inputs, blocks=blocks
            ),
        )


def _key_inputs(job: CompileJob, form: str) -> dict[str, object]:
    """The request that decides for which inputs blocks are compiled, and the compiler of libraries."""
    request = digest_file(job.exported.model_file(job.exported.warmup["request"]))
    return {"request": request, **({"compiler": aotinductor.describe_compiler()} if form == AOT else {})}


def _kept_event(artifact: ArtifactFile, compiled: CompiledForms, form: str, kept: bool) -> StageEvent:
    """The figures are of the whole model: its components answer a request together."""
    saved = compiled.figures[EAGER].total_seconds - compiled.figures[form].total_seconds
    figures = {"saved_seconds": saved, "bytes": artifact.size}
    return kept_event(artifact, kept, f"saves {saved:.4f} s until {AMORTIZED_REQUESTS} answers", figures)


def _outcome(
    described: ArtifactFile, artifact: CompiledNetwork, kept: bool, choice: Mapping[str, object]
) -> dict[str, object]:
    """The report's entry of an artifact."""
    outcome = {"component": described.component, "name": artifact.candidate, "key": described.key, "kept": kept}
    return {**outcome, "requires": dict(artifact.requires), "bytes": described.size, "choice": choice}
