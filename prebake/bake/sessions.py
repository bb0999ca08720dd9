"""Opening a graph the way the container will."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from prebake.bake.errors import BakeError
from prebake.bake.provider_options import CPU, CUDA, TENSORRT
from prebake.bake.settings import Session

_LEVELS = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
_ERRORS_ONLY = 3


def session_options(session: Session) -> ort.SessionOptions:
    """The options that ``session`` stands for."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = _LEVELS[session.optimize]
    options.add_session_config_entry("session.disable_prepacking", "0" if session.prepack else "1")
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
    opened = ort.InferenceSession(str(graph), session_options(session), providers=list(providers))
    if opened.get_providers()[0] != providers[0]:
        raise BakeError(
            f"{graph}: {providers[0]} does not work on this machine, ONNX Runtime took {opened.get_providers()[0]}.",
            next_action="Compile on a machine with the device that the target is for.",
        )
    return opened
