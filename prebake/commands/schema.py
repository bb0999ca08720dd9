"""``prebake schema``: the JSON Schema of ``image.yaml``, or of the gate's result."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import print_json


@dataclass(frozen=True)
class SchemaRequest:
    """``gate``: the schema of the gate's result, not of ``image.yaml``."""

    gate: bool = False


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gate", action="store_true", help="print the schema of build/bench/NAME-gate.json, which a gate writes"
    )


def read(given: Arguments) -> SchemaRequest:
    return SchemaRequest(**given.pick("gate"))


def run(request: SchemaRequest) -> None:
    if request.gate:
        from prebake.measure.gate_report.schema import json_schema
    else:
        from prebake.spec.reader import json_schema

    print_json(json_schema())


COMMAND = Command("schema", HELP["schema"], add_flags, read, run)
