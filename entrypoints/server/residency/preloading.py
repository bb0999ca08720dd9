"""Which models a start loads. Imported only if not all of them may be loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from entrypoints.components.budgets import find_exceeded
from entrypoints.errors import SettingsFault
from entrypoints.hardware.providers import GPU_PROVIDERS
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import Manifest
from entrypoints.processes.events import ManifestRead, Ready
from entrypoints.processes.log import log_event
from entrypoints.server.residency.room import Budgets, list_sizes
from entrypoints.server.served_model import ServedModel
from entrypoints.settings import Settings
from entrypoints.suggestion import suggest


def choose_models(settings: Settings) -> Sequence[str]:
    """The names of the models to load at the start; the only model of an image has the empty name.

    Raises SettingsFault for names that the image lacks, MemoryLimitTooLow for what fits into no budget, and what reading a
    manifest raises.
    """
    names = settings.model_names or ("",)
    manifests = {name: read_manifest(Path(settings.models), name) for name in names}
    check_names(settings, manifests)
    pinned = [name for name in names if name in settings.pin]
    for name, manifest in manifests.items():
        find_exceeded(manifest, list_sizes(settings), settings.find_pinned(name), lambda: list(GPU_PROVIDERS))
    wanted = [name for name in names if wants(settings, name)]
    if not list_sizes(settings) or len(names) == 1:
        return wanted
    budgets = Budgets(manifests, settings)
    budgets.check(pinned, names)
    chosen: list[str] = []
    for name in sorted(wanted, key=lambda name: name not in pinned):
        if budgets.holds({*chosen, name}):
            chosen.append(name)
    if left := [name for name in wanted if name not in chosen]:
        log_event("not loaded at start", models=left, reason="the memory budget holds the others alone")
    return [name for name in names if name in chosen]


def wants(settings: Settings, name: str) -> bool:
    if settings.preload == ("all",):
        return True
    return name in settings.preload or name in settings.pin


def check_names(settings: Settings, manifests: Mapping[str, Manifest]) -> None:
    """Raises SettingsFault with every name that the image does not have."""
    models = [name for name in manifests if name]
    components = [
        f"{name}/{component}" if name else component
        for name, manifest in manifests.items()
        for component in manifest.components
    ]
    problems = []
    for variable, words, known in (
        ("PREBAKE_PRELOAD", () if settings.preload in (("all",), ("lazy",)) else settings.preload, models),
        ("PREBAKE_PIN", settings.pin, [*models, *components]),
    ):
        has = f"the image has {', '.join(known)}" if known else "the image has one model: give all or lazy"
        problems += [
            f"{variable}: there is no {word!r}{suggest(word, known)}; {has}" for word in words if word not in known
        ]
    if problems:
        raise SettingsFault(problems)


def prepare_unloaded(model: ServedModel, settings: Settings) -> None:
    """A model that the start does not load is ready to be asked: the first request loads it. Raises what reading its manifest
    raises."""
    manifest = read_manifest(Path(settings.models), model.name)
    model.timeline.apply(ManifestRead(manifest, [], settings.threads))
    seconds = model.timeline.now()
    model.timeline.apply(Ready(seconds))
    model.availability, model.never_loaded, model.loaded_at_start = "unloaded", True, False
    model.status.become_ready()
    log_event("ready", name=manifest.name, seconds=round(seconds, 3), loaded=False, address=settings.address)
