"""Trials of graphs that ONNX Runtime opens, asked the first case of an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import onnxruntime as ort

from prebake.bake.arrays import Array
from prebake.bake.errors import BakeError
from prebake.bake.trial import Ask, Seconds, time_answers, try_in_turn

Open = Callable[[], ort.InferenceSession]
"""Of a kind that another process can be handed: a function of a module, or a partial one."""


def try_graphs(graphs: Mapping[str, Open], inputs: Mapping[str, Array], component: str) -> dict[str, Seconds]:
    """Each way to open one of ``component``, by name, asked ``inputs``.

    Raises BakeError where one cannot be opened or run.
    """
    try:
        return try_in_turn({name: partial(time_graph, open_graph, inputs) for name, open_graph in graphs.items()})
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        raise BakeError(
            f"a trial start of {component} failed: {error}",
            next_action="See whether the graph opens and answers on this machine; `session: {prepack: …}` in image.yaml has "
            "no form tried in the compile stage.",
        ) from error


def time_graph(open_graph: Open, inputs: Mapping[str, Array]) -> Seconds:
    """In this process."""

    def open_way() -> Ask:
        session = open_graph()
        # The exporter drops an input that nothing depends on.
        given = {each.name: inputs[each.name] for each in session.get_inputs()}
        return lambda: session.run(None, given)

    return time_answers(open_way)
