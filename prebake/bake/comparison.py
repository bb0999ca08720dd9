"""Opening a graph to compare its answers with the framework's, on a machine that need not have what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from prebake.bake.component import Session
from prebake.bake.errors import BakeError
from prebake.bake.provider_options import CPU
from prebake.bake.sessions import open_session


class NotCompared(Exception):
    """Why answers could not be compared here: ONNX Runtime's own words."""


def open_to_compare(component: str, graph: Path, session: Session, providers: Sequence[str]) -> ort.InferenceSession:
    """By the CPU, whichever provider it is for. Raises NotCompared where that has no kernel for one of its operators, and
    BakeError where no provider would open it."""
    if providers[0] == CPU:
        return open_session(graph, session, providers)
    try:
        return open_session(graph, session, [CPU])
    except NoKernel as lacking:
        raise NotCompared(str(lacking)) from lacking
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"{component}: ONNX Runtime refuses the exported graph: {error}",
            next_action="Change the module, or the component's precision, so that it exports to operators that ONNX has.",
        ) from error
