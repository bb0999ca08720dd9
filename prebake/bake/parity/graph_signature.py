"""The inputs and outputs of a graph as shape buckets need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from entrypoints.manifest.shape_buckets import Buckets, Shapes
from entrypoints.runtime.bucket_session import Bucketing
from prebake.bake.graphs.onnx_files import describe_value
from prebake.documents.component import ComponentSettings


@dataclass(frozen=True)
class GraphSignature:
    """Axes of a graph's inputs and outputs (lengths, or names of dynamic axes), and the dtypes of its inputs."""

    dtypes: Mapping[str, np.dtype[Any]]
    inputs: Shapes
    outputs: Shapes

    @classmethod
    def read(cls, model: ir.Model) -> GraphSignature:
        inputs = {str(value.name): describe_value(value) for value in model.graph.inputs}
        outputs = {str(value.name): describe_value(value) for value in model.graph.outputs}
        return cls(
            dtypes={name: np.dtype(object if kind == "string" else kind) for name, (kind, _) in inputs.items()},
            inputs={name: tuple(axes or ()) for name, (_, axes) in inputs.items()},
            outputs={name: tuple(axes or ()) for name, (_, axes) in outputs.items()},
        )

    @property
    def dynamic_axes(self) -> set[str]:
        """Names of the inputs' dynamic axes."""
        return {axis for shape in self.inputs.values() for axis in shape if isinstance(axis, str)}


def make_bucketing(component: ComponentSettings, signature: GraphSignature) -> Bucketing:
    """The container's padding of the component's inputs to its buckets."""
    buckets = Buckets(component.buckets, component.pad, component.overflow)
    return Bucketing(buckets, signature.inputs, signature.outputs)
