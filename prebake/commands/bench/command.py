"""The command: its flags, and which of the two benchmarks they ask for."""

from __future__ import annotations

import argparse

from prebake.commands.bench import benched_image, gate, naive
from prebake.commands.bench.gate import GateBenchRequest
from prebake.commands.bench.naive import NaiveBenchRequest
from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP


def add_flags(parser: argparse.ArgumentParser) -> None:
    benched_image.add_flags(parser)
    naive.add_flags(parser.add_argument_group("compare with the naive image (the default)"))
    gate.add_flags(
        parser.add_argument_group(
            "gate: judge the start (exit codes: 0 pass, 46 fail, 69 unclear, 82 unusable baseline)"
        )
    )
    flags.add_json(parser)


def read(arguments: Arguments) -> NaiveBenchRequest | GateBenchRequest:
    image = benched_image.read(arguments)
    if any(name in arguments for name in gate.GATE_FLAGS):
        return gate.read(arguments, image)
    return naive.read(arguments, image)


def run(request: NaiveBenchRequest | GateBenchRequest) -> None:
    if isinstance(request, GateBenchRequest):
        gate.run(request)
    else:
        naive.run(request)


COMMAND = Command("bench", HELP["bench"], add_flags, read, run)
