"""One graph, opened by ONNX Runtime as an artifact says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.contract import Session
from entrypoints.errors import SessionFault
from entrypoints.hardware.memory import count_bytes, is_out_of_memory
from entrypoints.hardware.providers import CPU, CUDA, GPU_PROVIDERS
from entrypoints.manifest.values import Artifact, OnnxComponent
from entrypoints.processes.log import log_event
from entrypoints.runtime.arena import RunSizes, find_arenas
from entrypoints.runtime.dtypes import to_ort_type
from entrypoints.runtime.fallback import OpenFailed
from entrypoints.runtime.session_options import (
    ProviderLeftOut,
    SessionConfig,
    make_session_options,
    needs_exact_products,
    open_inference_session,
)

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime

CUDA_GRAPH_OPTIONS = ("enable_cuda_graph", "trt_cuda_graph_enable")
"""Provider options that record a run as a CUDA graph and replay it (``entrypoints.runtime.io_binding``)."""


class OnnxSession:
    """One opened graph. ``run`` may be called from any thread."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str = "") -> None:
        """``device``: the session's own arena (``entrypoints.runtime.arena.RunSizes``)."""
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self._sizes = find_arenas().add(RunSizes(device))

    @property
    def runs_on_cpu(self) -> bool:
        """Whether the CPU provider computes it. That provider compiles nothing for a new shape."""
        return bool(self._session.get_providers()[0] == CPU)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._session.run(self._outputs, dict(inputs), self._sizes.take_run_options())
        self._sizes.note(inputs, outputs)
        return dict(zip(self._outputs, outputs, strict=True))


def open_artifact(models: Path, component: OnnxComponent, artifact: Artifact, threads: int) -> Session:
    """Raises OpenFailed, with ONNX Runtime's text or with the reason why its session cannot be used; DeviceMemoryFault;
    OutOfMemory."""
    folders = {name: os.fspath(models / path) for name, path in artifact.folder_options.items()}
    artifact = artifact._replace(provider_options={**artifact.provider_options, **folders})
    if artifact.scratch is None:
        return open_graph(models, component, artifact, threads)
    from entrypoints.runtime.scratch_copy import writable_copy  # late: most images do not need it

    with writable_copy(models, artifact, artifact.scratch) as copied:
        return open_graph(models, component, copied, threads)


def open_graph(models: Path, component: OnnxComponent, artifact: Artifact, threads: int) -> Session:
    first = artifact.providers[0]
    providers = {name: artifact.provider_options if name == first else {} for name in artifact.providers}
    try:
        options = make_options(models, artifact, threads)
        session = open_inference_session(os.fspath(models / artifact.graph), options, providers)
        check_signature(component, session)
        if any(artifact.provider_options.get(name) == "1" for name in CUDA_GRAPH_OPTIONS):
            from entrypoints.runtime.io_binding import IoBindingSession  # late: most images do not need it

            find_arenas().keep_addresses()
            return IoBindingSession(session, "cuda")
    except (ProviderLeftOut, SessionFault) as error:
        raise OpenFailed(str(error)) from error
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        if is_out_of_memory(error):
            from entrypoints.hardware.memory_faults import make_memory_fault

            needed = f"weights of {count_bytes(component):,} bytes"
            reason = f"{component.name}: {artifact.name}: {needed}: {error}"
            raise make_memory_fault(error, reason, on_device=artifact.providers[0] in GPU_PROVIDERS) from error
        raise OpenFailed(f"{type(error).__name__}: {error}") from error
    return OnnxSession(session, find_arena(artifact))


def find_arena(artifact: Artifact) -> str:
    """The arena that a session has for itself: CUDA's sessions do not share one."""
    if artifact.providers[0] != CUDA:
        return ""
    return f"gpu:{artifact.provider_options.get('device_id', '0')}"


def make_options(models: Path, artifact: Artifact, threads: int) -> onnxruntime.SessionOptions:
    # An engine is used or refused, never made.
    compiles = artifact.providers[0] == CPU or artifact.compiles_at_open or not artifact.requires
    config = SessionConfig(
        optimize=artifact.session.optimize,
        prepack=artifact.session.prepack,
        int8_saturates=artifact.session.int8_saturates,
        weights_folder=os.fspath(models / artifact.weights_folder) if artifact.weights_folder else "",
        compiles=compiles,
    )
    if needs_exact_products(config):
        log_event("exact products", graph=artifact.graph, detail="8-bit products would saturate on this processor")
    return make_session_options(config, threads)


def check_signature(component: OnnxComponent, session: onnxruntime.InferenceSession) -> None:
    """Compare names and dtypes of inputs and outputs with the manifest. Raises SessionFault: it is another component's graph."""
    for kind, described, nodes in (
        ("inputs", component.inputs, session.get_inputs()),
        ("outputs", component.outputs, session.get_outputs()),
    ):
        expected = {name: to_ort_type(dtype) for name, (dtype, _) in described.items()}
        found = {node.name: node.type for node in nodes}
        if expected != found:
            raise SessionFault(f"{component.name}: {kind} should be {expected}, the graph has {found}")
