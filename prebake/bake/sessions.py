"""Opening a graph the way the container will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort

from entrypoints.saturation import EXACT, saturates_here
from prebake.bake.component import Session
from prebake.bake.errors import BakeError
from prebake.bake.provider_options import CPU, CUDA, TENSORRT

_LEVELS = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""Where ONNX Runtime looks for a graph's weights, if not beside it."""
_ERRORS_ONLY = 3


def session_options(session: Session) -> ort.SessionOptions:
    """The options that ``session`` stands for."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = _LEVELS[session.optimize]
    options.add_session_config_entry("session.disable_prepacking", "0" if session.prepack else "1")
    if session.saturates and saturates_here():
        options.graph_optimization_level = _LEVELS["extended"]
        options.add_session_config_entry(EXACT, "1")
    return options


def check_providers(component: str, providers: Sequence[str]) -> None:
    """Raise BakeError for a provider that no graph is made for. This ONNX Runtime need not have it."""
    known = (CPU, CUDA, TENSORRT)
    if unknown := [name for name in providers if name not in known]:
        raise BakeError(
            f"{component}: no graphs are made for {', '.join(unknown)}.", next_action=f"Use {', '.join(known)}."
        )


def open_session(graph: Path, session: Session, providers: Sequence[str]) -> ort.InferenceSession:
    """A session over ``graph``. Raises BakeError where ONNX Runtime would run it on something else than asked for."""
    return open_with(graph, session_options(session), {name: {} for name in providers})


def open_with(
    graph: Path, options: ort.SessionOptions, providers: Mapping[str, Mapping[str, str]]
) -> ort.InferenceSession:
    """The same with options of the session, and of each provider."""
    first = next(iter(providers))
    opened = ort.InferenceSession(str(graph), options, providers=give_providers(options, providers), enable_fallback=0)
    if first not in opened.get_providers():
        raise BakeError(
            f"{graph}: {first} does not work on this machine, ONNX Runtime took {opened.get_providers()[0]}.",
            next_action="Compile on a machine with the device that the target is for.",
        )
    return opened


def give_providers(
    options: ort.SessionOptions, providers: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, dict[str, str]]] | None:
    """As a session takes them: by name, each with its options. None where the first is a plugin, which the session's options
    take by its devices; ``SessionOptions.add_provider`` knows neither CUDA's nor TensorRT's."""
    first = next(iter(providers))
    devices = [each for each in ort.get_ep_devices() if each.ep_name == first] if first != CPU else []
    if devices:
        options.add_provider_for_devices(devices[:1], dict(providers[first]))
        return None
    return [(name, dict(given)) for name, given in providers.items()]
