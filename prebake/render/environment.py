"""The one Jinja environment: an undefined name is an error, and templates come from memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from prebake.plan.image_config import one_line


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
    """A value in double quotes by the Dockerfile reference ("Environment replacement"): only the quote, ``$`` and the
    backslash are escaped; JSON's escapes have no meaning there. Raises ValueError for a line break."""
    if "\n" in text or "\r" in text:
        raise ValueError(f"a string in a Dockerfile must have one line: {text!r}")
    return '"' + "".join(f"\\{sign}" if sign in '"$\\' else sign for sign in text) + '"'
