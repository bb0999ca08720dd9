"""Sessions of ONNX Runtime in the bake, opened by the container's own code with the options that the container would use here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort

from entrypoints.errors import Fault
from entrypoints.hardware.cpu_quota import count_cpus
from entrypoints.hardware.facts import find_facts
from entrypoints.runtime.session_options import (
    ProviderLeftOut,
    SessionConfig,
    make_session_options,
    open_inference_session,
)
from prebake.bake.errors import BakeError
from prebake.bake.graphs.provider_options import CPU, CUDA, TENSORRT
from prebake.documents.component import SessionSettings

OPTIMIZED_WEIGHTS = "weights.data"
"""The file beside an optimized graph that holds its weights."""


def make_options(session: SessionSettings, *, weights_folder: str = "", compiles: bool = True) -> ort.SessionOptions:
    """The options by which a container on this machine opens a graph of ``session``. ``weights_folder``, ``compiles``: as in
    ``SessionConfig``."""
    config = SessionConfig(
        optimize=session.optimize,
        prepack=session.prepack,
        int8_saturates=session.saturates,
        weights_folder=weights_folder,
        compiles=compiles,
    )
    return make_session_options(config, count_cpus())


def save_optimized(options: ort.SessionOptions, target: Path) -> None:
    """Have the session write the graph that it optimized to ``target``, larger weights into ``OPTIMIZED_WEIGHTS`` beside it."""
    from prebake.bake.graphs.initializers import MIN_EXTERNAL_BYTES  # imports onnx_ir, which a trial does not need

    options.optimized_model_filepath = str(target)
    for name, value in (
        ("optimized_model_external_initializers_file_name", OPTIMIZED_WEIGHTS),
        ("optimized_model_external_initializers_min_size_in_bytes", str(MIN_EXTERNAL_BYTES)),
    ):
        options.add_session_config_entry(f"session.{name}", value)


def check_providers(component: str, providers: Sequence[str]) -> None:
    """Raise BakeError for a provider that no graph is made for. This ONNX Runtime need not have it."""
    known = (CPU, CUDA, TENSORRT)
    if unknown := [name for name in providers if name not in known]:
        raise BakeError(
            f"{component}: Prebake makes no graphs for {', '.join(unknown)}.", next_action=f"use {', '.join(known)}"
        )


def open_session(graph: Path, session: SessionSettings, providers: Sequence[str]) -> ort.InferenceSession:
    """A session over ``graph``. Raises BakeError if ONNX Runtime would compute it by another provider than the first."""
    return open_with(graph, make_options(session), {name: {} for name in providers})


def open_graph(
    graph: Path, session: SessionSettings, providers: Mapping[str, Mapping[str, str]]
) -> ort.InferenceSession:
    """As ``open_session``, with options of each provider."""
    return open_with(graph, make_options(session), providers)


def open_with(
    graph: Path, options: ort.SessionOptions, providers: Mapping[str, Mapping[str, str]]
) -> ort.InferenceSession:
    """As ``open_session``, with options of the session and of each provider."""
    try:
        return open_inference_session(str(graph), options, providers)
    except ProviderLeftOut as error:
        raise BakeError(
            f"{graph}: {next(iter(providers))} does not work on this machine: {error}.",
            next_action="compile on a machine with the device that the target is for",
        ) from error


def facts_of(component: str, provider: str) -> Mapping[str, str]:
    """The facts of this machine that artifacts of this provider require. Raises BakeError if ONNX Runtime lacks the provider, or
    the machine lacks its device."""
    here = {*ort.get_available_providers(), *(each.ep_name for each in ort.get_ep_devices())}
    try:
        found = find_facts(provider) if provider in here else None
    except Fault as fault:
        raise BakeError(
            f"{component}: {provider} cannot compile on this machine: {fault}.",
            next_action="run `prebake compile` on a machine with the device that the target is for",
        ) from fault
    if found is None:
        raise BakeError(
            f"{component}: this ONNX Runtime has no {provider}, only {', '.join(sorted(here))}.",
            next_action="compile with the packages of the target",
        )
    return found
