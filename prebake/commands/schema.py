"""``prebake schema``: the JSON Schema of ``image.yaml``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.output import print_json


@dataclass(frozen=True)
class SchemaRequest:
    """There is one schema, and nothing to choose."""


def add_flags(_parser: argparse.ArgumentParser) -> None:
    """None."""


def read(_given: Arguments) -> SchemaRequest:
    return SchemaRequest()


def run(_request: SchemaRequest) -> None:
    from prebake.spec.reader import json_schema

    print_json(json_schema())


COMMAND = Command("schema", HELP["schema"], add_flags, read, run)
