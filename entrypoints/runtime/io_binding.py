"""Sessions with IO binding: a recorded CUDA graph reads and writes fixed addresses when it is replayed.

ONNX Runtime replays the graph without reading the inputs of a plain ``run``: the second answer would be the first again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from entrypoints.runtime.dtypes import NUMPY_DTYPES

if TYPE_CHECKING:
    import onnxruntime


class IoBindingSession:
    """One opened graph with fixed shapes. ``run`` may be called from any thread; runs wait for each other."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str) -> None:
        """``device``: ``cuda`` or ``cpu``."""
        from onnxruntime import OrtValue

        def reserve(node: onnxruntime.NodeArg) -> OrtValue:
            return OrtValue.ortvalue_from_shape_and_type(node.shape, np.dtype(NUMPY_DTYPES[node.type]), device, 0)

        self._session = session
        self._lock = threading.Lock()
        self._inputs = {node.name: reserve(node) for node in session.get_inputs()}
        self._outputs = {node.name: reserve(node) for node in session.get_outputs()}
        self._binding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raises ValueError for an input whose shape is not the graph's."""
        with self._lock:
            for name, buffer in self._inputs.items():
                if list(inputs[name].shape) != buffer.shape():
                    raise ValueError(f"{name} should have the shape {buffer.shape()}, has {list(inputs[name].shape)}")
                buffer.update_inplace(np.ascontiguousarray(inputs[name]))
            self._session.run_with_iobinding(self._binding)
            return {name: np.array(buffer.numpy()) for name, buffer in self._outputs.items()}
