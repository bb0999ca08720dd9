"""A model in torch, opened in the stage as the container opens it: with its blocks compiled in one form, and timed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrypoints.contract import Answer, Model, Network
from entrypoints.runtime.aotinductor import install_libraries
from entrypoints.runtime.compile_cache import compile_blocks, load_cache
from entrypoints.runtime.torch_network import (
    NetworkFiles,
    TorchSession,
    build_network,
    load_network,
)
from prebake.bake.model_folder.compile_job import CompileJob
from prebake.bake.trials.trial import Infer, StartupTiming, time_startup

EAGER, AOT, CACHE = "eager", "aot", "compile-cache"
"""The forms that a network's blocks run in: as they are, as AOTInductor's libraries, or as ``torch.compile``'s cache has them."""


@dataclass(frozen=True)
class CompiledForm:
    """The blocks of all components in one form. ``libraries``: the folder of each block's library, by component and block number;
    ``caches``: the file of each component's compile cache."""

    form: str
    libraries: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    caches: Mapping[str, Path] = field(default_factory=dict)

    @property
    def components(self) -> list[str]:
        """The components with compiled blocks."""
        return [*self.libraries, *self.caches]

    @property
    def bytes(self) -> int:
        """The size of the files that the form adds to the image."""
        folders = {folder for chosen in self.libraries.values() for folder in chosen.values()}
        files = [path for folder in folders for path in folder.iterdir()]
        return sum(path.stat().st_size for path in [*files, *self.caches.values()])


@dataclass(frozen=True)
class OpenedModel:
    """Networks with their weights, by component, the model over them, and the warm-up request."""

    networks: Mapping[str, Network]
    model: Model
    request: Mapping[str, Any]

    def answer_warmup(self) -> Answer:
        """Answer the warm-up request."""
        return self.model.generate(self.request, lambda: False)


def open_model(job: CompileJob, parts: Mapping[str, NetworkFiles], device: str) -> OpenedModel:
    """Open the model as the container does, with no block compiled."""
    build = importlib.import_module(job.settings.networks).build
    networks, sessions = {}, {}
    for name, component in parts.items():
        network = networks[name] = build_network(build, component)
        module = load_network(network, component, device, job.settings.components[name].precision.type)
        sessions[name] = TorchSession(module, network.outputs, device)
    model: Model = importlib.import_module(job.settings.module).create(_StageComponents(job, sessions))
    return OpenedModel(networks, model, _warmup_request(job, model))


def time_start(job: CompileJob, parts: Mapping[str, NetworkFiles], device: str, form: CompiledForm) -> StartupTiming:
    """Time a start in this process, which has to be a fresh one. Opening is the loading of compiled blocks, after the weights
    were loaded. The requests are the warm-up request."""
    model = open_model(job, parts, device)

    def load() -> Infer:
        _load_compiled(form, model.networks, device)
        return model.answer_warmup

    return time_startup(load)


def _load_compiled(form: CompiledForm, networks: Mapping[str, Network], device: str) -> None:
    for name, libraries in form.libraries.items():
        install_libraries(networks[name].blocks, libraries, device, _refuse)
    for name, cache in form.caches.items():
        load_cache(cache.read_bytes())
        compile_blocks(networks[name].blocks)


def _refuse(difference: str) -> None:
    raise AssertionError(f"the warm-up request differs from the one that the blocks were compiled for: {difference}")


class _StageComponents:
    """The port that a model is given (``entrypoints.contract.Components``), over the stage's folders."""

    def __init__(self, job: CompileJob, sessions: Mapping[str, TorchSession]) -> None:
        self._job = job
        self._sessions = sessions

    def session(self, name: str) -> TorchSession:
        return self._sessions[name]

    def path(self, name: str) -> Path:
        exported = self._job.exported.model_file(name)
        return exported if exported.exists() else self._job.models / name


def _warmup_request(job: CompileJob, model: Model) -> dict[str, Any]:
    """The fields of the warm-up request, with defaults, as the server hands them to the model."""
    request = job.exported.model_file(job.exported.warmup["request"])
    given = json.loads(request.read_bytes())["fields"]
    read = {
        name: job.exported.model_file(value["file"]).read_bytes() if isinstance(value, dict) else value
        for name, value in given.items()
    }
    return {**{field.name: field.default for field in model.fields if field.default is not None}, **read}
