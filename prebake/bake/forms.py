"""The forms in which a CPU may open a component, tried in turn: weights mapped as published, packed while the session opens, or
packed ahead into a file of their own.

Packing lays matrices out as the processor's kernels read them. While opening it costs time; done ahead it costs bytes, and
what was packed fits processors with the same features only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import onnxruntime as ort

from prebake.bake.component import Session
from prebake.bake.exported import read_inputs
from prebake.bake.graph_trials import try_graphs
from prebake.bake.repoint import SMALLEST
from prebake.bake.sessions import open_session, session_options
from prebake.bake.worth import Figures, choose, explain

MAPPED, PACKED, PREPACKED = "mapped", "packed while opening", "packed ahead"
PROVIDER = "CPUExecutionProvider"
WORTH_TRYING = 64 << 20
"""Bytes of weights below which nothing is tried: every form opens in a few hundredths of a second."""


class Form(NamedTuple):
    """``size``: of its own files, in bytes."""

    graph: Path
    session: Session
    size: int = 0


class Chosen(NamedTuple):
    """The form's name, how its graph is opened, and what was measured of all."""

    name: str
    session: Session
    told: Mapping[str, object]


@contextmanager
def choose_form(graph: Path, case: Path, session: Session) -> Iterator[tuple[Chosen, Path | None]]:
    """What to open ``graph`` by, and the folder of the form packed ahead where that is it; the folder then goes.

    case: the inputs that the forms are tried with, as the export stage wrote them.
    """
    with TemporaryDirectory(prefix="prepacked-", dir=graph.parent) as folder:
        forms = {
            MAPPED: Form(graph, replace(session, prepack=False)),
            PACKED: Form(graph, replace(session, prepack=True)),
            PREPACKED: prepack(graph, session, Path(folder)),
        }
        measured = measure(forms, case)
        name = choose(measured)
        # Whoever cannot open what was packed ahead opens the graph: by the better of the two ways without it.
        portable = choose({each: measured[each] for each in (MAPPED, PACKED)})
        chosen = Chosen(name, forms[portable].session, explain(measured, name))
        yield chosen, Path(folder) if name == PREPACKED else None


def measure(forms: Mapping[str, Form], case: Path) -> dict[str, Figures]:
    graphs = {name: partial(open_session, form.graph, form.session, [PROVIDER]) for name, form in forms.items()}
    found = try_graphs(graphs, read_inputs(case), case.parent.name)
    return {name: Figures(*seconds, forms[name].size) for name, seconds in found.items()}


def prepack(graph: Path, session: Session, folder: Path) -> Form:
    """The graph with all its weights and the packed ones beside it."""
    options = session_options(replace(session, prepack=True))
    options.optimized_model_filepath = str(folder / "model.onnx")
    for name, value in (
        ("session.optimized_model_external_initializers_file_name", "weights.data"),
        ("session.optimized_model_external_initializers_min_size_in_bytes", str(SMALLEST)),
        ("session.save_external_prepacked_constant_initializers", "1"),
    ):
        options.add_session_config_entry(name, value)
    ort.InferenceSession(str(graph), options, providers=[PROVIDER])
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Form(folder / "model.onnx", replace(session, optimize="disable", prepack=True, saturates=False), size)
