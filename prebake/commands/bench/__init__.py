"""``prebake bench``: compare the start with that of the naive image, or judge it against a baseline and limits."""

from prebake.commands.bench.command import COMMAND

__all__ = ["COMMAND"]
