"""The gate's result as one HTML page, which loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from prebake.measure.gate_report import plots, rows
from prebake.measure.gate_report.names import MAX_NAME, Name, clean
from prebake.measure.gate_report.schema import VERDICTS
from prebake.measure.gate_report.sentences import (
    choose_title,
    describe_conditions,
    describe_size_change,
    describe_verdict,
)

TEMPLATE = Path(__file__).with_name("page.html.j2")


def format_html(document: Mapping[str, Any]) -> str:
    """The page: verdict, pictures, tables. The template escapes every text."""
    return _template().render(
        title=f"{choose_title(document)}: {clean(document['model'], MAX_NAME)}",
        verdict=document["verdict"],
        verdicts=VERDICTS,
        heading=choose_title(document),
        sentences=describe_verdict(document),
        conditions=describe_conditions(document),
        size_change=describe_size_change(document),
        measures=rows.tabulate_measures(document),
        compares=document["baseline"] is not None,
        plots=_list_plots(document),
        tables=(
            *((rows.tabulate_phases(document),) if document["baseline"] else ()),
            rows.tabulate_counters(document),
            *((rows.tabulate_changes(document),) if document["baseline"] else ()),
            rows.tabulate_layers(document),
            rows.tabulate_images(document),
            rows.tabulate_machine(document),
            rows.tabulate_starts(document),
        ),
        message=[clean(line) for line in document["message"].splitlines()],
    )


def _list_plots(document: Mapping[str, Any]) -> tuple[plots.Plot, ...]:
    if not document["baseline"]:
        return (plots.plot_starts(document),)
    phases = (plots.plot_phases(document),) if document["phases"] else ()
    return plots.plot_starts(document), plots.plot_ratios(document), *phases


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"clean": _clean, "px": lambda value: f"{value:.1f}".removesuffix(".0")}
    environment.tests |= {
        "name": lambda text: isinstance(text, Name),
        "dot": lambda shape: isinstance(shape, plots.Dot),
        "box": lambda shape: isinstance(shape, plots.Box),
        "line": lambda shape: isinstance(shape, plots.Line),
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _clean(text: str) -> str:
    """A name is cut, another text is not."""
    return clean(text, MAX_NAME if isinstance(text, Name) else None)
