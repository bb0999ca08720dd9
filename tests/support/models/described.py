"""Checkpoints that a YAML file describes: generators of this folder with their parameters, and changes of the files."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Generators = Sequence[Mapping[str, Mapping[str, Any]]]


def write_described(folder: Path, generators: Generators, changes: Mapping[str, Any] | None = None) -> None:
    """``generators``: `module.function` to its parameters; ``path`` names a file in the folder, for one that writes a file.

    ``changes``: a file's name to its keys (JSON; null drops one), to its whole content (a text, bytes, or a list as JSON), or to
    null, which removes the file.
    """
    for generator in generators:
        ((name, given),) = generator.items()
        module, _, function = name.partition(".")
        parameters = dict(given)
        path = folder / parameters.pop("path", "")
        getattr(importlib.import_module(f"tests.support.models.{module}"), function)(path, **parameters)
    folder.mkdir(parents=True, exist_ok=True)
    for file, value in (changes or {}).items():
        _change(folder / file, value)


def _change(path: Path, value: Any) -> None:
    if value is None:
        path.unlink()
    elif isinstance(value, Mapping):
        document = {**(json.loads(path.read_text()) if path.exists() else {}), **value}
        path.write_text(json.dumps({key: each for key, each in document.items() if value.get(key, each) is not None}))
    else:
        text = json.dumps(value) if isinstance(value, list) else value
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
