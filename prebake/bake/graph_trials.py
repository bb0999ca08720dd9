"""Trials of graphs that ONNX Runtime opens, asked the first case of an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import onnxruntime as ort

from prebake.bake.arrays import read_arrays
from prebake.bake.errors import BakeError
from prebake.bake.trial import Ask, Seconds, time_answers, try_in_turn

Open = Callable[[], ort.InferenceSession]
"""Of a kind that another process can be handed: a function of a module, or a partial one."""


def try_graphs(graphs: Mapping[str, Open], case: Path) -> dict[str, Seconds]:
    """Each way to open one, by name, asked ``case``, a file of the export stage.

    Raises BakeError where one cannot be opened or run.
    """
    try:
        return try_in_turn({name: partial(time_graph, open_graph, case) for name, open_graph in graphs.items()})
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"a trial start of {case.parent.name} failed: {error}",
            next_action="See whether the graph opens and answers on this machine; `session: {prepack: …}` in image.yaml has "
            "no form tried in the compile stage.",
        ) from error


def time_graph(open_graph: Open, case: Path) -> Seconds:
    """In this process."""
    arrays = read_arrays(case)

    def open_way() -> Ask:
        session = open_graph()
        # The exporter drops an input that nothing depends on.
        given = {each.name: arrays[f"inputs/{each.name}"] for each in session.get_inputs()}
        return lambda: session.run(None, given)

    return time_answers(open_way)
