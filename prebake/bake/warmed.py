"""The model of an image in torch, opened in the compile stage and asked its warm-up request."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrypoints.contract import Answer, Model, Network
from entrypoints.networks import NetworkSession, Parts, build_network, load_network
from prebake.bake.job import Job


@dataclass(frozen=True)
class Opened:
    """Networks with their weights, by component, and the model over them."""

    networks: Mapping[str, Network]
    model: Model
    form: Mapping[str, Any]

    def ask(self) -> Answer:
        """The warm-up request's answer."""
        return self.model.generate(self.form, lambda: False)


def open_model(job: Job, parts: Mapping[str, Parts], device: str) -> Opened:
    """As the container opens it, with blocks as they are."""
    build = importlib.import_module(job.settings.networks).build
    networks, sessions = {}, {}
    for name, each in parts.items():
        network = networks[name] = build_network(build, each)
        module = load_network(network, each, device, job.settings.components[name].precision.type)
        sessions[name] = NetworkSession(module, network.outputs, device)
    model: Model = importlib.import_module(job.settings.module).create(_Components(job, sessions))
    return Opened(networks, model, _warmup_form(job, model))


class _Components:
    """The port that models are given, over the stage's folders."""

    def __init__(self, job: Job, sessions: Mapping[str, NetworkSession]) -> None:
        self._job = job
        self._sessions = sessions

    def session(self, name: str) -> NetworkSession:
        return self._sessions[name]

    def path(self, name: str) -> Path:
        made = self._job.exported.model_file(name)
        return made if made.exists() else self._job.models / name


def _warmup_form(job: Job, model: Model) -> dict[str, Any]:
    """The warm-up request as the server would hand it to the model."""
    request = job.exported.model_file(job.exported.warmup["request"])
    given = json.loads(request.read_bytes())["fields"]
    read = {
        name: job.exported.model_file(value["file"]).read_bytes() if isinstance(value, dict) else value
        for name, value in given.items()
    }
    return {**{field.name: field.default for field in model.fields if field.default is not None}, **read}
