"""``prebake schema``: the JSON Schema of ``image.yaml``, or of the gate's document."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import print_json


@dataclass(frozen=True)
class SchemaRequest:
    """``document`` is image or gate."""

    document: str = "image"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "document",
        nargs="?",
        choices=("image", "gate"),
        default=SchemaRequest.document,  # argparse (until Python 3.12) compares a suppressed default with the choices
        help="image (image.yaml), or gate (build/bench/NAME-gate.json) (default: image)",
    )


def read(given: Arguments) -> SchemaRequest:
    return SchemaRequest(**given.pick("document"))


def run(request: SchemaRequest) -> None:
    if request.document == "gate":
        from prebake.measure.gate_report.schema import json_schema
    else:
        from prebake.spec.reader import json_schema

    print_json(json_schema())


COMMAND = Command("schema", HELP["schema"], add_flags, read, run)
