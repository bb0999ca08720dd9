"""A graph of the image, asked by the protocol."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from entrypoints.contract import BadRequest, Session
from entrypoints.open_inference.dtypes import ARRAY_TYPES, BYTES
from entrypoints.open_inference.infer.parameters import refuse
from entrypoints.open_inference.infer.tensor_data import fill_objects
from entrypoints.open_inference.models import OfferedModel
from entrypoints.runtime.input_errors import is_input_error


def run_graph(model: OfferedModel, session: Session, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Raises BadRequest (400) for inputs that no bucket holds, or that the graph refuses."""
    try:
        outputs = session.run({name: decode_texts(model, name, array) for name, array in inputs.items()})
    except BadRequest as error:
        raise BadRequest(str(error), status=400) from None
    except Exception as error:
        if not is_input_error(error):
            raise
        raise refuse(model.name, f"the graph refuses these inputs: {error}") from error
    return {name: check_output(model, name, array) for name, array in outputs.items() if name in model.outputs}


def decode_texts(model: OfferedModel, name: str, array: np.ndarray) -> np.ndarray:
    """BYTES as ONNX Runtime takes them: as ``str``. Other tensors as they are."""
    if model.inputs[name].datatype != BYTES:
        return array
    try:
        texts = [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise refuse(model.name, f"{name} should be text in UTF-8: {error}") from None
    return fill_objects(texts, array.shape)


def check_output(model: OfferedModel, name: str, array: np.ndarray) -> np.ndarray:
    """Raises TypeError if the array has not the type that the manifest says: its bytes would be taken for others."""
    expected = ARRAY_TYPES[model.outputs[name].datatype]
    if array.dtype != np.dtype(expected) and not (expected == "object" and array.dtype.kind in "US"):
        raise TypeError(f"{model.name}: the output {name} has the type {array.dtype}, should have {expected}")
    return array


def find_batch_size(model: OfferedModel, inputs: Mapping[str, np.ndarray]) -> int:
    """The length of the first axis if it is dynamic in the first input, else 1."""
    for name, tensor in model.inputs.items():
        if name in inputs:
            axes = tensor.shape
            dynamic = axes is None or (len(axes) > 0 and isinstance(axes[0], str))
            return int(inputs[name].shape[0]) if dynamic and inputs[name].ndim else 1
    return 1
