"""What a command is: flags, a request that is made of them, and an action that sees the request alone.

argparse keeps no defaults here (``argparse.SUPPRESS``): a request's dataclass has them. So a command knows which flags stand
on the command line, and can refuse those that it would not obey.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from prebake.errors import UnknownImage
from prebake.spec.project import find_root


@dataclass(frozen=True)
class Given:
    """The flags and words that stand on a command line, by argparse's ``dest``; what was not given is absent."""

    parser: argparse.ArgumentParser
    values: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def only(self, *names: str) -> dict[str, Any]:
        """The values of these that were given: keywords for a dataclass that has the defaults."""
        return {name: self.values[name] for name in names if name in self.values}

    def root(self, *, begun: bool = True) -> Path:
        """The project's folder: ``--project``, else the nearest one from here upwards. If there is none it is this folder for a
        command that begins one, and others raise UnknownImage."""
        given = self.get("project")
        if given is not None:
            return Path(given).resolve()
        try:
            return find_root(Path.cwd())
        except UnknownImage:
            if begun:
                raise
            return Path.cwd().resolve()

    def model(self) -> str:
        """The image that is named, by word or by ``--model``. Raises UnknownImage if none is."""
        word, flag = self.get("name"), self.get("model")
        if word and flag and word != flag:
            self.refuse(f"two images are named: {word}, and --model {flag}; name one")
        if not (word or flag):
            raise UnknownImage("No image is named.", next_action="say `--model NAME`; `--list` shows the names")
        return str(word or flag)

    def accepted_licences(self) -> tuple[str, ...]:
        """Those of ``--accept-licence``, and of PREBAKE_ACCEPT_LICENCE (separated by commas)."""
        found = os.environ.get("PREBAKE_ACCEPT_LICENCE", "").split(",")
        return (*(id.strip() for id in found if id.strip()), *self.get("accept_licence", ()))

    def flag(self, name: str) -> str:
        """How ``name`` is written on the command line."""
        for action in self.parser._actions:
            if action.dest == name:
                return action.option_strings[0] if action.option_strings else str(action.metavar or name)
        raise KeyError(name)

    def refuse(self, message: str) -> NoReturn:
        """End the process as argparse does: usage, message, exit code 2."""
        self.parser.error(message)

    def allow(self, what: str, allowed: Collection[str], advice: str) -> None:
        """Refuse every given flag that ``what`` would not obey."""
        if unfit := [self.flag(name) for name in self.values if name not in allowed]:
            self.refuse(f"{what} does not go with {', '.join(unfit)}: {advice}")


@dataclass(frozen=True)
class Command:
    """``add_flags`` declares them, ``read`` makes the request of what was given, ``run`` carries it out and prints."""

    name: str
    what: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    read: Callable[[Given], Any]
    run: Callable[[Any], None]
