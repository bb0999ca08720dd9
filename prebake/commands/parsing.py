"""The words of a command line to a command and its request. Ends the process where they are wrong, as argparse does."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import prebake
from prebake.commands import (
    bake_file,
    bench,
    build,
    cache,
    compile,
    demo,
    deploy,
    engine,
    explain,
    init,
    lock,
    schema,
    verify,
)
from prebake.commands.command import Command, Given
from prebake.errors import PrebakeError
from prebake.spec.project import find_root, list_images

COMMANDS = tuple(
    module.COMMAND
    for module in (build, compile, explain, init, lock, bench, demo, bake_file, deploy, verify, engine, schema)
)

VERBS = frozenset({*(command.name for command in COMMANDS), "cache"})


class Parser(argparse.ArgumentParser):
    """Without abbreviations and defaults; a word that is none is answered with the nearest, which may be one of ``others``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "argument_default": argparse.SUPPRESS, **settings})
        self.others: tuple[str, ...] = ()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = list(map(str, action.choices))
            words = f"{value!r} is none of {', '.join(known)}{_nearest(str(value), [*known, *self.others])}"
            raise argparse.ArgumentError(action, words)

    def refuse_unknown(self, words: Sequence[str]) -> NoReturn:
        flags = [flag for action in self._actions for flag in action.option_strings]
        said = [word + _nearest(word.partition("=")[0], flags) for word in words]
        self.error(f"unrecognized arguments: {' '.join(said)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


def parse(words: Sequence[str]) -> tuple[Callable[[Any], None], Any]:
    """The command's action and its request. ``--model foley`` and ``foley`` without a verb are ``build``. Raises PrebakeError if
    a project or a model is missing."""
    images = _images(words)
    flags_first = bool(words) and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")
    if flags_first or (words and words[0] in images):
        words = ("build", *words)
    whole = make_parser()
    whole.others = images
    asked, rest = whole.parse_known_args(words)
    command, parser = asked.command, asked.parser
    values = {name: value for name, value in vars(asked).items() if name not in ("command", "parser")}
    if flags_first and values.get("name") in VERBS:
        parser.error(f"the verb comes first: prebake {values['name']} …")
    if rest and not _take_names(parser, values, rest):
        parser.refuse_unknown(rest)
    return command.run, command.read(Given(parser, values))


def _take_names(parser: Parser, values: dict[str, Any], words: Sequence[str]) -> bool:
    """Take words behind the flags for the images that they name: argparse (until Python 3.12) gives optional words up at the
    first flag behind another word. False if one of them is something else."""
    optional = {action.dest for action in parser._actions if action.nargs in ("?", "*") and not action.option_strings}
    if any(word.startswith("-") for word in words):
        return False
    if "names" in optional:
        values["names"] = [*values.get("names", ()), *words]
        return True
    if "name" in optional and "name" not in values and len(words) == 1:
        values["name"] = words[0]
        return True
    return False


def _images(words: Sequence[str]) -> tuple[str, ...]:
    """Of the project that the words name or that is here, without the names that verbs have."""
    try:
        root = _named_project(words) or find_root(Path.cwd())
    except PrebakeError:
        return ()
    return tuple(name for name in list_images(root) if name not in VERBS)


def _named_project(words: Sequence[str]) -> Path | None:
    """The folder of ``--project``: the verb, which would read the flag, may be what is asked for."""
    for word, following in zip(words, [*words, ""][1:], strict=True):
        flag, equals, value = word.partition("=")
        if flag == "--project":
            return Path(value if equals else following)
    return None


def make_parser() -> Parser:
    parser = Parser(prog="prebake", description=prebake.__doc__)
    parser.add_argument("--version", action="version", version=f"prebake {prebake.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="VERB", parser_class=Parser)
    for command in COMMANDS:
        _add(subparsers, command)
    group = subparsers.add_parser("cache", help=cache.WHAT, description=cache.WHAT)
    add = partial(_add, group.add_subparsers(required=True, metavar="ACTION", parser_class=Parser))
    for command in cache.COMMANDS:
        add(command)
    return parser


def _add(group: Any, command: Command) -> None:
    parser = group.add_parser(command.name, help=command.what, description=command.what)
    command.add_flags(parser)
    parser.set_defaults(command=command, parser=parser)
