"""The one Jinja environment: strict about names, and fed with text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from prebake.plan.container import one_line


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
    environment.filters["dockerfile_string"] = dockerfile_string
    return environment.get_template(name).render(values)


def dockerfile_string(text: str) -> str:
    """A value in double quotes, as the Dockerfile reference has them ("Environment replacement"): only the quote, ``$`` and
    the backslash have a meaning there, and JSON's escapes have none. Raises ValueError for a line break."""
    if "\n" in text or "\r" in text:
        raise ValueError(f"a Dockerfile's string has one line: {text!r}")
    return '"' + "".join(f"\\{sign}" if sign in '"$\\' else sign for sign in text) + '"'
