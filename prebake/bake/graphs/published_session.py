"""Opens a published graph without optimization, as the reference for everything that is made from it."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from entrypoints.hardware.int8_saturation import saturates_here
from prebake.bake.errors import BakeError
from prebake.bake.graphs.int8_saturation import has_int8_products, unshare_int8_constants
from prebake.bake.graphs.onnx_files import copy_with_external_data, load, save
from prebake.bake.graphs.sessions import make_options
from prebake.documents.component import SessionSettings

_FATAL_ONLY = 4


def open_published(component: str, path: Path, content: bytes | None = None) -> ort.InferenceSession:
    """A session over a published graph, on the CPU. Nothing is optimized, unless the graph's own operators compute in 8 bits and
    saturate on this processor: then exact kernels are used, which need optimization.

    content: replaces the bytes of the file ``path``. Raises BakeError if ONNX Runtime cannot open the graph.
    """
    try:
        if saturates_here() and has_int8_products(load(path)):
            with copy_with_external_data(path) as copy:
                if content is not None:
                    copy.write_bytes(content)
                return open_exact(copy)
        options = make_options(SessionSettings("disable", prepack=True))
        options.log_severity_level = _FATAL_ONLY  # the raised error has the message
        return ort.InferenceSession(content or str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base class but Exception
        raise BakeError(
            f"{component}: ONNX Runtime cannot open {path.name}: {error}",
            next_action="check that the ONNX file is complete, that its external data lie next to it, and that ONNX Runtime "
            "supports its operators",
        ) from error


def open_exact(graph: Path) -> ort.InferenceSession:
    """A session that computes 8-bit products exactly on this processor. Rewrites the file ``graph``."""
    model = load(graph)
    unshare_int8_constants(model)
    save(model, graph, graph.stem)
    options = make_options(SessionSettings("disable", prepack=True, saturates=True))
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
