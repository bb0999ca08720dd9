"""One component opened by the container's own code, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from entrypoints.contract import Session
from entrypoints.manifest.values import OnnxComponent, TorchComponent
from entrypoints.runtime.fallback import list_uncompiled
from entrypoints.runtime.onnx_session import open_artifact


def open_graph_of(models: Path, component: OnnxComponent | TorchComponent, threads: int = 1) -> Session:
    """The component's own graph with its first provider; artifacts are left out. Raises OpenFailed."""
    graph = cast("OnnxComponent", component)
    return open_artifact(models, graph, next(list_uncompiled(graph)), threads)
