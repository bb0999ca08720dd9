"""Networks as graphs in ONNX Runtime, exported the way a build exports them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from torch import Tensor, nn

from images.foley import export as foley
from prebake.bake.importers.torch_module import export_graph
from tests.support.foley import networks

Arrays = Mapping[str, NDArray[Any]]


class Graph:
    """``module`` exported from ``case`` and opened; ``run`` gives its only output."""

    def __init__(self, module: nn.Module, case: Mapping[str, Tensor], dynamic: Mapping[str, Mapping[int, str]]) -> None:
        model = export_graph("test", module, case, ["out"], dynamic)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        with TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            ir.save(model, path, external_data="weights.data")
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, **inputs: NDArray[Any] | Tensor) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self._session.run(None, {name: np.asarray(each) for name, each in inputs.items()})[0]
        return out


@cache
def tiny_transformer() -> Graph:
    network = networks.tiny_transformer()
    return Graph(network, foley.transformer_case(network, *foley.TRANSFORMER_SIZES[0]), foley.TRANSFORMER_AXES)


@cache
def tiny_decoder() -> Graph:
    network = networks.tiny_decoder()
    return Graph(network, foley.dac_cases(network)[0], foley.DAC_AXES)
