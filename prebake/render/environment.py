"""The one Jinja environment: strict about names, and fed with text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined


def render_template(templates: Mapping[str, str], name: str, values: Mapping[str, Any]) -> str:
    """Render one template of a set; includes and imports resolve within the set."""
    environment = Environment(  # noqa: S701 - Dockerfiles and YAML: nothing here is HTML
        loader=DictLoader(dict(templates)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["line"] = one_line
    return environment.get_template(name).render(values)


def one_line(text: str) -> str:
    """Free text for a comment or a heading: nothing of it can begin a line of its own."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
