"""What this machine compiles of networks in torch, as artifacts: keyed by all that it follows from, described, placed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from entrypoints.compiled import BLOCK_OPTIONS, describe_machine
from entrypoints.compiled import CACHE as CACHE_FILE
from prebake.bake import ahead
from prebake.bake.artifact_file import FOLDER, ArtifactFile, label_of
from prebake.bake.documents import digest_file, digest_json
from prebake.bake.job import Job, weight_files
from prebake.bake.manifest import file_entry
from prebake.bake.networks import check_networks, device_of, key_fields, parts_of
from prebake.bake.precompiled import Ways, precompile
from prebake.bake.starts import AOT, CACHE, EAGER, Way
from prebake.bake.worth import ANSWERS, judge

OPTIONS: Mapping[str, Mapping[str, object]] = {
    AOT: ahead.OPTIONS,
    CACHE: BLOCK_OPTIONS,
}
"""By form, what torch compiles by."""


@dataclass(frozen=True)
class Compiled:
    """What was compiled of one component, in a folder of its own. ``blocks``: of libraries, the numbers of the blocks that each
    computes, by its folder's name; empty for a cache."""

    component: str
    rung: str
    folder: Path
    machine: Mapping[str, str]
    more: Mapping[str, object]
    blocks: Mapping[str, tuple[int, ...]]


def make_network_artifacts(job: Job, out: Path, *, keep_all: bool) -> Iterator[dict[str, object]]:
    """Compile every component's blocks: what becomes of each artifact. The way that answers soonest is kept, or every way.

    Raises WeightsError where networks and weights do not fit each other, and what ``precompile`` raises.
    """
    files, device = weight_files(job), device_of(job.settings.target)
    parts = parts_of(job, files)
    check_networks(job, parts)
    with TemporaryDirectory(prefix="artifacts-", dir=job.models) as scratch:
        ways = precompile(job, parts, device, Path(scratch))
        for form in (form for form in ways.made if form != EAGER):
            kept = keep_all or form == ways.chosen
            for made in gather(job, ways.made[form], device, Path(scratch, "placed")):
                fields = network_fields(key_fields(job, parts[made.component], files), made)
                yield _place(describe(made, fields), made, ways, kept, out)


def gather(job: Job, way: Way, device: str, folder: Path) -> Iterator[Compiled]:
    """What a way computes by, component by component, each in a folder below ``folder``."""
    machine, more = describe_machine(device), _follows(job, way.form)
    for name in way.compiled:
        own = folder / way.form / name
        own.mkdir(parents=True)
        blocks: dict[str, tuple[int, ...]] = {}
        for index, library in sorted(way.libraries.get(name, {}).items()):
            blocks[library.name] = (*blocks.get(library.name, ()), index)
            if not (own / library.name).exists():
                shutil.copytree(library, own / library.name)
        if name in way.caches:
            shutil.copyfile(way.caches[name], own / CACHE_FILE)
        yield Compiled(name, way.form, own, machine, more, blocks)


def network_fields(component: Mapping[str, object], made: Compiled) -> dict[str, object]:
    """Everything that an artifact follows from; its sha256 is the key. The versions of torch, triton and Python are the
    machine's."""
    own = {
        "rung": made.rung,
        "options": dict(OPTIONS[made.rung]),
        "machine": dict(made.machine),
        "more": dict(made.more),
    }
    return {**component, **own}


def describe(made: Compiled, fields: Mapping[str, object]) -> ArtifactFile:
    """What the manifest says of it, at its place in the image."""
    key = digest_json(fields)
    home = f"{FOLDER}/{made.component}/{label_of(made.rung, key)}"
    paths = sorted(path for path in made.folder.rglob("*") if path.is_file())
    files = {f"{home}/{path.relative_to(made.folder).as_posix()}": file_entry(path, "compiled") for path in paths}
    libraries = [{"folder": f"{home}/{name}", "blocks": list(own)} for name, own in made.blocks.items()]
    entry = {
        "rung": made.rung,
        **({"libraries": libraries} if libraries else {"cache": f"{home}/{CACHE_FILE}"}),
        "fields": dict(made.machine),
        "least": {},
        "reads": {path: [[0, file["size"]]] for path, file in files.items()},
        "key": key,
        "key_fields": dict(fields),
    }
    return ArtifactFile(made.component, entry, files)


def _follows(job: Job, form: str) -> dict[str, object]:
    """The request that decides for which inputs blocks are compiled, and the compiler of libraries."""
    request = digest_file(job.exported.model_file(job.exported.warmup["request"]))
    return {"request": request, **({"compiler": ahead.describe_compiler()} if form == AOT else {})}


def _place(artifact: ArtifactFile, made: Compiled, ways: Ways, kept: bool, out: Path) -> dict[str, object]:
    """What was measured is of the whole model: its components answer together."""
    choice = judge(ways.figures, made.rung, ways.chosen)
    if kept:
        whole = ArtifactFile(artifact.component, {**artifact.entry, "choice": choice}, artifact.files)
        whole.write(made.folder, out)
    saved = f"{ways.figures[EAGER].seconds - ways.figures[made.rung].seconds:.4f} s until {ANSWERS} answers"
    print(
        f"{made.component}: artifact {artifact.label} {'kept' if kept else 'left out'}: saves {saved}", file=sys.stderr
    )
    told = {"component": made.component, "rung": made.rung, "key": artifact.key, "kept": kept}
    return {**told, "for": dict(made.machine), "bytes": artifact.size, "choice": choice}
