"""The steps of a build as values, the decision which of them run, and their text and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from prebake.plan.values import Plan, PlannedLayer
from prebake.workflow.pipeline.stage_images import StageImage


class Action(StrEnum):
    """What a step does."""

    BASE = "base"
    SYSTEM = "system packages"
    FETCH = "fetch"
    CONTEXT = "context"
    STAGE_IMAGE = "stage image"
    EXPORT = "export"
    COMPILE = "compile"
    ADD_ARTIFACTS = "add artifacts"
    JOIN = "join"
    ARTIFACTS_IMAGE = "artifacts image"
    ARTIFACTS = "artifacts"
    BASE_LAYERS = "base layers"
    LAYER = "layer"


class Place(StrEnum):
    """Where a step runs."""

    HERE = "this process"
    ENGINE = "Engine"
    BUILDKIT = "BuildKit"
    CONTAINER = "container"


class State(StrEnum):
    """Whether a step runs. A conditional step is planned again, once the steps before it have run."""

    RUN = "run"
    KNOWN = "known"
    UNNEEDED = "not needed"
    CONDITIONAL = "conditional"


@dataclass(frozen=True)
class Step:
    """One step of a build.

    ``plan`` is the plan of the image, or of the model that the step belongs to: in an image of several, ``model`` is its
    name. ``key`` is the cache key of the result; it is empty if no result is kept, or if the key depends on a base image that
    is not known. ``inputs`` are the names of the steps whose results it reads. ``known`` says why its result is there
    already; it is empty if it is not. ``undecided`` says why that is not known yet.
    """

    name: str
    action: Action
    plan: Plan = field(repr=False)
    place: Place
    subject: str = ""
    key: str = ""
    inputs: tuple[str, ...] = ()
    known: str = ""
    undecided: str = ""
    model: str = ""
    layer: PlannedLayer | None = field(default=None, repr=False)
    image: StageImage | None = None
    state: State = State.UNNEEDED
    reason: str = ""


Pipeline = tuple[Step, ...]


def decide(steps: Sequence[Step], wanted: Mapping[str, str]) -> Pipeline:
    """Give each step its state. A step runs if its result is wanted, or read by a step that runs, and is not known."""
    certain, possible = dict(wanted), dict[str, str]()
    decided = []
    for step in reversed(steps):
        why = certain.get(step.name) or possible.get(step.name)
        if why is None:
            decided.append(replace(step, state=State.UNNEEDED, reason="no step that runs reads it"))
            continue
        if step.known:
            decided.append(replace(step, state=State.KNOWN, reason=step.known))
            continue
        if step.undecided or step.name not in certain:
            decided.append(replace(step, state=State.CONDITIONAL, reason=step.undecided or f"if {why}"))
            readers = possible
        else:
            decided.append(replace(step, state=State.RUN, reason=why))
            readers = certain
        for name in step.inputs:
            readers.setdefault(name, f"{step.name} reads it")
    return tuple(reversed(decided))


def steps_to_run(pipeline: Iterable[Step]) -> tuple[Step, ...]:
    """The steps of the state ``run``."""
    return tuple(step for step in pipeline if step.state is State.RUN)


def has_conditional(pipeline: Iterable[Step]) -> bool:
    """Whether the pipeline has to be planned again after its steps have run."""
    return any(step.state is State.CONDITIONAL for step in pipeline)


def pipeline_document(pipeline: Iterable[Step]) -> list[dict[str, Any]]:
    """The pipeline for programs."""
    return [
        {
            "name": step.name,
            "action": str(step.action),
            "subject": step.subject,
            "state": str(step.state),
            "reason": step.reason,
            "where": str(step.place),
            "key": step.key,
            "inputs": list(step.inputs),
        }
        for step in pipeline
    ]


def pipeline_lines(document: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of a ``pipeline_document`` for people."""
    states, names = (max(len(step[column]) for step in document) for column in ("state", "name"))
    lines = (f"  {step['state']:<{states}}  {step['name']:<{names}}  {_text(step)}" for step in document)
    return ["Steps, in order", *lines]


def _text(step: Mapping[str, Any]) -> str:
    place = f" ({step['where']})" if step["state"] == State.RUN and step["where"] != Place.HERE else ""
    subject = f"{step['subject']}: " if step["subject"] and step["state"] != State.UNNEEDED else ""
    return f"{subject}{step['reason']}{place}"


def merge_pipelines(pipelines: Sequence[Pipeline]) -> Pipeline:
    """One record of a build that was planned more than once: each step that ran, and every other step of the last pipeline."""
    ran = {step.name: step for pipeline in pipelines for step in steps_to_run(pipeline)}
    last = {step.name: ran.get(step.name, step) for step in pipelines[-1]}
    return (*(step for name, step in ran.items() if name not in last), *last.values())
