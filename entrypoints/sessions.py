"""One graph opened by ONNX Runtime, in the way that a rung of the ladder says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.contract import Session
from entrypoints.device_memory import ON_DEVICE, count_bytes, is_shortage
from entrypoints.faults import DeviceMemoryFault, SessionFault
from entrypoints.ladder import Rung, Unopened, find_miss, rungs_of
from entrypoints.log import log_event
from entrypoints.machine import find_facts
from entrypoints.manifest import Component

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime

CPU = "CPUExecutionProvider"
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""Where ONNX Runtime looks for a graph's weights, if not beside it."""
RECORDED = ("enable_cuda_graph", "trt_cuda_graph_enable")
"""Options of providers that record a run and replay it (``entrypoints.bound``)."""
TYPES = {
    "bfloat16": "bfloat16",
    "bool": "bool",
    "float16": "float16",
    "float32": "float",
    "float64": "double",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "string": "string",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
}
"""The manifest's element types (numpy's words) in ONNX Runtime's words, as in ``tensor(float)``."""


class GraphSession:
    """One opened graph; ``run`` may be called from any thread."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    @property
    def by_processor(self) -> bool:
        """Whether the CPU's provider computes it, which compiles nothing for a shape."""
        return bool(self._session.get_providers()[0] == CPU)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))


def available_providers() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def open_session(models: Path, component: Component, threads: int) -> Session:
    """The component's graph, by its first provider. Raises SessionFault where that is not there or the graph is not the one
    that the manifest describes."""
    rung = next(each for each in rungs_of(component) if each.graph == component.graph)
    miss = find_miss(rung, find_facts, available_providers)
    if miss is not None:
        raise SessionFault(f"{component.name}: {miss.detail}")
    try:
        return open_rung(models, component, rung, threads)
    except Unopened as unopened:
        raise SessionFault(f"{component.name}: {unopened}") from unopened


def open_rung(models: Path, component: Component, rung: Rung, threads: int) -> Session:
    """Raises Unopened in ONNX Runtime's own words."""
    folders = {name: os.fspath(models / path) for name, path in rung.folders.items()}
    if rung.scratch is None:
        return open_graph(models, component, rung._replace(options={**rung.options, **folders}), threads)
    from entrypoints.scratch import in_scratch  # of what most images have no use for

    with in_scratch(models, rung, folders) as copied:
        return open_graph(models, component, copied, threads)


def open_graph(models: Path, component: Component, rung: Rung, threads: int) -> Session:
    import onnxruntime

    try:
        options = make_options(rung, threads)
        if rung.weights:
            options.add_session_config_entry(WEIGHTS_FOLDER, os.fspath(models / rung.weights))
        session = onnxruntime.InferenceSession(
            os.fspath(models / rung.graph), options, providers=give_providers(rung, options), enable_fallback=0
        )
        if rung.providers[0] not in session.get_providers():
            raise Unopened(f"ONNX Runtime left out {rung.providers[0]}")
        check_signature(component, session)
        if any(rung.options.get(name) == "1" for name in RECORDED):
            from entrypoints.bound import BoundSession  # of what most images have no use for

            return BoundSession(session, "cuda", {f"tensor({theirs})": ours for ours, theirs in TYPES.items()})
    except (Unopened, SessionFault) as error:
        raise Unopened(str(error)) from error
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        if rung.providers[0] in ON_DEVICE and is_shortage(error):
            needed = f"weights of {count_bytes(component):,} bytes"
            raise DeviceMemoryFault(f"{component.name}: {rung.name}: {needed}: {error}") from error
        raise Unopened(f"{type(error).__name__}: {error}") from error
    return GraphSession(session)


def give_providers(rung: Rung, options: onnxruntime.SessionOptions) -> list[tuple[str, dict[str, str]]] | None:
    """Providers by name, each with its options. None where the first is a plugin: ONNX Runtime takes those by their devices,
    with the session's options, and puts its CPU provider below them."""
    import onnxruntime

    first = rung.providers[0]
    asked = (
        () if first == CPU else onnxruntime.get_ep_devices()
    )  # which looks for devices: a CPU need not wait for that
    devices = [each for each in asked if each.ep_name == first]
    if not devices:
        return [(name, dict(rung.options) if index == 0 else {}) for index, name in enumerate(rung.providers)]
    options.add_provider_for_devices(devices[:1], dict(rung.options))
    return None


@cache
def share_arena() -> None:
    """One arena for every session of the process: graphs run in turn, so the next reuses the pages of the last.

    With an arena each, foley's first answer touched 100 MB page by page and its second, once ONNX Runtime had planned
    each graph's memory, 60 MB more (``make_options``): 0.05 s of the kernel's time in both.
    """
    import onnxruntime

    kind, place = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, place)
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({}))


def make_options(rung: Rung, threads: int) -> onnxruntime.SessionOptions:
    import onnxruntime

    level = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False  # a plan for each new shape, in a block of its own: dearer than it saves here
    # A waiting thread sleeps instead of spinning: it would take the core that imports, decodes or runs another graph.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = {
        "disable": level.ORT_DISABLE_ALL,
        "basic": level.ORT_ENABLE_BASIC,
        "extended": level.ORT_ENABLE_EXTENDED,
        "layout": level.ORT_ENABLE_LAYOUT,
        "all": level.ORT_ENABLE_ALL,
    }[rung.optimize]
    options.add_session_config_entry("session.disable_prepacking", "0" if rung.prepack else "1")
    if rung.saturates:
        from entrypoints.saturation import EXACT, saturates_here  # of what most images have no use for

        if saturates_here():
            log_event("exact products", graph=rung.graph, detail="8-bit products would saturate on this processor")
            options.graph_optimization_level = level.ORT_ENABLE_EXTENDED
            options.add_session_config_entry(EXACT, "1")
    if rung.fields and rung.providers[0] != CPU and not rung.builds:  # an engine is used or refused, never made
        options.add_session_config_entry("session.disable_model_compile", "1")
    return options


def check_signature(component: Component, session: onnxruntime.InferenceSession) -> None:
    """Names and element types of inputs and outputs: a mix-up of graphs is found by name, not by its answers."""
    for kind, described, actual in (
        ("inputs", component.inputs, session.get_inputs()),
        ("outputs", component.outputs, session.get_outputs()),
    ):
        expected = {name: f"tensor({TYPES.get(element, element)})" for name, (element, _) in described.items()}
        found = {node.name: node.type for node in actual}
        if expected != found:
            raise SessionFault(f"{component.name}: {kind} should be {expected}, the graph has {found}")
