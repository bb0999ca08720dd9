"""A command: flags, a request made of them, and an action that gets the request alone.

argparse keeps no defaults here (``argparse.SUPPRESS``): the request's dataclass has them. So a command knows which flags were
given, and can refuse those that it would ignore.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from prebake.errors import UnknownImage
from prebake.spec.project_folder import find_root


@dataclass(frozen=True)
class Arguments:
    """The flags and words of a command line by argparse's ``dest``. A flag that was not given is absent."""

    parser: argparse.ArgumentParser
    values: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def pick(self, *names: str) -> dict[str, Any]:
        """The given ones of these, as keywords of a dataclass that has the defaults."""
        return {name: self.values[name] for name in names if name in self.values}

    def root(self, *, required: bool = True) -> Path:
        """The project's folder: ``--project``, else the nearest one from here upwards. Without one it is this folder, or raises
        UnknownImage if a project is ``required``."""
        given = self.get("project")
        if given is not None:
            return Path(given).resolve()
        try:
            return find_root(Path.cwd())
        except UnknownImage:
            if required:
                raise
            return Path.cwd().resolve()

    def model(self, default: str = "") -> str:
        """The image that is named, by word or by ``--model``, else ``default``. Raises UnknownImage if there is none."""
        word, flag = self.get("name"), self.get("model")
        if word and flag and word != flag:
            self.error(f"two images are given: {word}, and --model {flag}; give one")
        if not (word or flag or default):
            raise UnknownImage("No image is given.", next_action="add `--model NAME`; `--list` shows the names")
        return str(word or flag or default)

    def accepted_licenses(self) -> tuple[str, ...]:
        """The licenses of PREBAKE_ACCEPT_LICENSE (separated by commas) and ``--accept-license``."""
        if "PREBAKE_ACCEPT_LICENCE" in os.environ:
            self.error("Prebake does not read PREBAKE_ACCEPT_LICENCE; did you mean PREBAKE_ACCEPT_LICENSE?")
        names = os.environ.get("PREBAKE_ACCEPT_LICENSE", "").split(",")
        return (*(name.strip() for name in names if name.strip()), *self.get("accept_license", ()))

    def flag(self, name: str) -> str:
        """How ``name`` is written on the command line."""
        for action in self.parser._actions:
            if action.dest == name:
                return action.option_strings[0] if action.option_strings else str(action.metavar or name)
        raise KeyError(name)

    def error(self, message: str) -> NoReturn:
        """End the process as argparse does: usage, message, exit code 2."""
        self.parser.error(message)

    def require_only(self, what: str, allowed: Collection[str], advice: str) -> None:
        """Refuse every given flag that is not ``allowed`` beside ``what``."""
        if unfit := [self.flag(name) for name in self.values if name not in allowed]:
            self.error(f"{what} does not go with {', '.join(unfit)}: {advice}")

    def refuse_idle(self, names: Collection[str], advice: str) -> None:
        """Refuse the given ones of these flags, which would have no effect."""
        if idle := [self.flag(name) for name in names if name in self]:
            self.error(f"{', '.join(idle)} would have no effect: {advice}")


@dataclass(frozen=True)
class Command:
    """``add_flags`` declares the flags, ``read`` makes the request from them, ``run`` carries it out and prints."""

    name: str
    help: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    read: Callable[[Arguments], Any]
    run: Callable[[Any], None]

    @property
    def sentence(self) -> str:
        """``help`` as a sentence."""
        return sentence(self.help)


def sentence(text: str) -> str:
    """A one-line help as a sentence."""
    return f"{text[0].upper()}{text[1:]}."
