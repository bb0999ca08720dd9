"""How ONNX Runtime opens a graph: the options of its sessions.

The container opens its served graphs with this module. The bake opens the graphs that it times and compares with the framework
with it too, so that it measures the configuration that is served. ``onnxruntime`` is imported by the functions, since the
container loads it later than its own modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from entrypoints.hardware.providers import CPU

if TYPE_CHECKING:
    import onnxruntime

    from entrypoints.hardware.container_memory import ContainerMemory

WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""The config entry for the folder of a graph's external weights, if that is not the graph's own folder."""
ERRORS_ONLY = 3
"""ONNX Runtime's severity level: warnings of its optimizers do not help the operator of a container."""


class SessionConfig(NamedTuple):
    """The options in which the sessions of one process differ.

    optimize: ``disable``, ``basic``, ``extended``, ``layout`` or ``all``, ONNX Runtime's graph optimization levels.
    prepack: whether weights are copied into the layout of the CPU's kernels while the session opens.
    int8_saturates: whether 8-bit products of the graph saturate on some CPUs (``entrypoints.hardware.int8_saturation``).
    weights_folder: the folder of the graph's external weights; empty if it is the graph's own.
    compiles: whether the provider may compile the graph while the session opens.
    """

    optimize: str
    prepack: bool
    int8_saturates: bool = False
    weights_folder: str = ""
    compiles: bool = True


class ProviderLeftOut(Exception):
    """ONNX Runtime opened a graph without the requested provider."""


def open_inference_session(
    graph: str, options: onnxruntime.SessionOptions, providers: Mapping[str, Mapping[str, str]]
) -> onnxruntime.InferenceSession:
    """A session over the file ``graph``. ``providers``: options by provider. The first computes; the others take nodes that it
    has no kernel for.

    Raises ProviderLeftOut if ONNX Runtime does without the first one, and ONNX Runtime's own exceptions.
    """
    import onnxruntime

    chosen = select_providers(options, providers)
    session = onnxruntime.InferenceSession(graph, options, providers=chosen, enable_fallback=0)
    first, opened = next(iter(providers)), session.get_providers()
    if first not in opened:
        raise ProviderLeftOut(f"ONNX Runtime did not use {first}, but {opened[0]}")
    return session


def make_session_options(config: SessionConfig, threads: int) -> onnxruntime.SessionOptions:
    """``threads`` compute one operator (``entrypoints.hardware.cpu_quota`` counts them)."""
    import onnxruntime

    exact = needs_exact_products(config)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # a plan for each new shape, in a block of its own: dearer than it saves here
    options.graph_optimization_level = find_level("extended" if exact else config.optimize)
    entries = {
        "session.use_env_allocators": "1",
        # A waiting thread sleeps instead of spinning: it would take the core that imports, decodes or runs another graph.
        "session.intra_op.allow_spinning": "0",
        "session.disable_prepacking": "0" if config.prepack else "1",
    }
    if exact:
        from entrypoints.hardware.int8_saturation import EXACT_PRODUCTS_OPTION

        entries[EXACT_PRODUCTS_OPTION] = "1"
    if config.weights_folder:
        entries[WEIGHTS_FOLDER] = config.weights_folder
    if not config.compiles:
        entries["session.disable_model_compile"] = "1"
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return options


def find_level(optimize: str) -> onnxruntime.GraphOptimizationLevel:
    import onnxruntime

    level = onnxruntime.GraphOptimizationLevel
    return {
        "disable": level.ORT_DISABLE_ALL,
        "basic": level.ORT_ENABLE_BASIC,
        "extended": level.ORT_ENABLE_EXTENDED,
        "layout": level.ORT_ENABLE_LAYOUT,
        "all": level.ORT_ENABLE_ALL,
    }[optimize]


def needs_exact_products(config: SessionConfig) -> bool:
    """Whether the graph's 8-bit products would saturate on this CPU, so that slower kernels have to compute them."""
    if not config.int8_saturates:
        return False
    from entrypoints.hardware.int8_saturation import saturates_here  # which most images do not need

    return saturates_here()


def select_providers(
    options: onnxruntime.SessionOptions, providers: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, dict[str, str]]] | None:
    """Providers by name, each with its options. None if the first is a plugin: ONNX Runtime takes a plugin by its device, in the
    session's options, and puts its CPU provider below it. ``SessionOptions.add_provider`` knows neither CUDA's nor TensorRT's."""
    import onnxruntime

    first = next(iter(providers))
    # get_ep_devices looks for devices: a CPU need not wait for that.
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == first] if first != CPU else []
    if devices:
        options.add_provider_for_devices(devices[:1], dict(providers[first]))
        return None
    return [(name, dict(given)) for name, given in providers.items()]


@cache
def share_arena(limit: int | None = None) -> None:
    """Make one arena for every session of this process: graphs run in turn, so the next reuses the pages of the last.

    With an arena each, foley's first answer touched 100 MB page by page and its second, once ONNX Runtime had planned
    each graph's memory, 60 MB more (``make_session_options``): 0.05 s of the kernel's time in both.

    ``limit``: the bytes that it may reserve. A run that needs more fails, and the process lives on.
    """
    import onnxruntime

    kind, memory_type = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, memory_type)
    config = {} if limit is None else {"max_mem": limit}
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(config))


def find_arena_limit(memory: ContainerMemory) -> int | None:
    """What the container's arena may reserve; None without a memory limit. Growing by powers of two, it reserves up to twice what
    it uses, and the kernel counts only what is used."""
    limit = memory.read_limit()
    return None if limit is None else 2 * (limit + memory.read_swap())
