"""Sessions over buffers that stay where they are: what a recorded CUDA graph replays reads and writes fixed addresses.

ONNX Runtime replays without looking at the inputs of a plain ``run``: its second answer would be its first one's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnxruntime


class BoundSession:
    """One opened graph of fixed shapes; ``run`` may be called from any thread, and runs one at a time."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str, types: Mapping[str, str]) -> None:
        """``device``: ``cuda`` or ``cpu``. ``types``: numpy's element types by ONNX Runtime's, as ``tensor(float)``."""
        from onnxruntime import OrtValue

        def reserve(node: onnxruntime.NodeArg) -> OrtValue:
            return OrtValue.ortvalue_from_shape_and_type(node.shape, np.dtype(types[node.type]), device, 0)

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
        """Raises ValueError for an input of another shape than the graph's."""
        with self._lock:
            for name, place in self._inputs.items():
                if list(inputs[name].shape) != place.shape():
                    raise ValueError(f"{name} should have the shape {place.shape()}, has {list(inputs[name].shape)}")
                place.update_inplace(np.ascontiguousarray(inputs[name]))
            self._session.run_with_iobinding(self._binding)
            return {name: np.array(place.numpy()) for name, place in self._outputs.items()}
