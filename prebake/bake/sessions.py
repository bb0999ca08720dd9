"""Opening a graph the way the container will."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from prebake.bake.component import Session
from prebake.bake.errors import BakeError

_LEVELS = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
# FusedMatMul, by which graphs read published weights, is ONNX Runtime's own: TensorRT does not know it.
SUPPORTED = ("CPUExecutionProvider", "CUDAExecutionProvider")
_ERRORS_ONLY = 3


def session_options(session: Session) -> ort.SessionOptions:
    """The options that ``session`` stands for."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = _LEVELS[session.optimize]
    options.add_session_config_entry("session.disable_prepacking", "0" if session.prepack else "1")
    return options


def check_providers(component: str, providers: Sequence[str]) -> None:
    """Raise BakeError where a provider is not one this stage compiles for, or this ONNX Runtime lacks it."""
    available = ort.get_available_providers()
    for name in providers:
        if name not in SUPPORTED:
            raise BakeError(f"{component}: no graphs for {name} yet.", next_action=f"Use {' or '.join(SUPPORTED)}.")
        if name not in available:
            raise BakeError(
                f"{component}: this stage's ONNX Runtime has no {name}, only {', '.join(available)}.",
                next_action="Compile in an image whose ONNX Runtime has it.",
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
