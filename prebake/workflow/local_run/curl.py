"""Requests for curl that an image answers: those of the warm-up, whose files are written beside the build's report."""

from __future__ import annotations

import mimetypes
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from prebake.io.atomic_write import write_bytes
from prebake.measure.warmup_request import WarmupRequest

LONGEST_TEXT = 200
"""Characters of a text that is written on the command line; curl reads a longer one from a file."""


def write_curl_lines(address: str, warmups: Mapping[str, WarmupRequest], folder: Path, here: Path) -> list[str]:
    """One line for each model. Files of requests are written to ``folder/MODEL``; the lines name them as seen from ``here``."""
    return [_write_line(address, warmup, folder / name, here) for name, warmup in warmups.items()]


def _write_line(address: str, warmup: WarmupRequest, folder: Path, here: Path) -> str:
    words = ["curl"]
    for name, value in warmup.request.fields.items():
        words += _write_field(name, value, folder, here)
    words.append(f"{address}{warmup.request.path}")
    if not warmup.media_type.startswith("text/") and warmup.media_type != "application/json":
        # Python 3.11 knows audio/x-wav alone.
        extension = mimetypes.guess_extension(warmup.media_type) or f".{warmup.media_type.rpartition('/')[2]}"
        words += ["-o", f"answer{extension}"]
    return shlex.join(words)


def _write_field(name: str, value: str | tuple[str, bytes], folder: Path, here: Path) -> tuple[str, str]:
    if isinstance(value, tuple):
        return "-F", f"{name}=@{_write(folder / value[0], value[1], here)}"
    if len(value) > LONGEST_TEXT or not value.isprintable():
        path = _write(folder / f"{name}.txt", value.encode(), here)
        return "-F", f"{name}=<{path}"
    # curl reads a file for @ and <, and options behind a semicolon.
    literal = value.startswith(("@", "<", '"')) or ";" in value
    return "--form-string" if literal else "-F", f"{name}={value}"


def _write(path: Path, data: bytes, here: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)
    return os.path.relpath(path, here)
