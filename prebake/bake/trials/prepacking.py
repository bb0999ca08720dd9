"""Whether a CPU prepacks a component's weights when it opens the graph. A trial decides; otherwise they stay mapped as published.

Prepacking lays matrices out as the kernels of the CPU read them. It makes later answers faster, and costs the start a copy of
every weight. A file of weights that were laid out ahead is an artifact (``prebake.bake.compilers.cpu``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from prebake.bake.graphs.provider_options import CPU
from prebake.bake.graphs.sessions import open_session
from prebake.bake.model_folder.export_folder import read_inputs
from prebake.bake.trials.cost_model import Cost, explain_candidates, select
from prebake.bake.trials.trial import run_graph_trials
from prebake.documents.component import SessionSettings

MMAP, PREPACK = "mapped", "packed while opening"
MIN_TRIAL_BYTES = 64 << 20
"""Components with fewer bytes of weights are not tried: either form opens in a few hundredths of a second."""


class FormDecision(NamedTuple):
    """How a CPU opens the graph, and the measurements of both forms, if they were tried."""

    session: SessionSettings
    choice: Mapping[str, object] = {}


def decide_form(graph: Path, case: Path, session: SessionSettings, weight_bytes: int) -> FormDecision:
    """As the settings say, or by trial if they leave it open and there are enough weights.

    case: the file of inputs that both forms answer, as the export stage wrote it.
    """
    if not session.measure or weight_bytes < MIN_TRIAL_BYTES:
        return FormDecision(session)
    forms = {MMAP: replace(session, prepack=False), PREPACK: replace(session, prepack=True)}
    costs = time_forms(graph, forms, case)
    form = select(costs)
    return FormDecision(forms[form], explain_candidates(costs, form))


def time_forms(graph: Path, forms: Mapping[str, SessionSettings], case: Path) -> dict[str, Cost]:
    openers = {name: partial(open_session, graph, form, [CPU]) for name, form in forms.items()}
    timings = run_graph_trials(openers, read_inputs(case), case.parent.name)
    return {name: Cost(*timing) for name, timing in timings.items()}
