"""The command line. The only place that prints errors: results go to stdout, log lines to stderr."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import prebake
from prebake.commands.shared.command import Arguments, Command, sentence
from prebake.commands.shared.error_file import remove_error_file, write_error_file
from prebake.commands.shared.help import HELP
from prebake.errors import Interrupted, PackageMissing, PrebakeError
from prebake.io.terminal import red
from prebake.spec.project_folder import find_root, list_images


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    remove_error_file()
    try:
        run, request = parse(words)
        run(request)
    except PrebakeError as error:
        return _fail(error)
    except KeyboardInterrupt as stop:
        return _fail(Interrupted(str(stop) or "Interrupted.", next_action="run it again: finished steps are kept"))
    except OSError as error:
        return _refuse(error)
    return 0


def _refuse(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):  # the reader of stdout went away, `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    from prebake.io.disk_space import path_error

    if refused := path_error(error):
        return _fail(refused)
    raise error


def _terminate(number: int, _frame: FrameType | None) -> None:
    """Stop as Ctrl-C does: libraries catch every other exception and would report it as a failure of the Engine."""
    raise KeyboardInterrupt(f"Stopped by {signal.Signals(number).name}.")


def _fail(error: PrebakeError) -> int:
    print(f"{red('error:', sys.stderr)} {error.message}\n  next: {error.next_action}", file=sys.stderr)
    write_error_file(error)
    return error.exit_code


def load_commands(name: str) -> tuple[Command, ...]:
    """The command of ``HELP`` with this name, or the actions of a group such as ``cache``. Imports its module, and no other.

    Raises PackageMissing if a package that the module needs is not installed.
    """
    try:
        module = import_module(f"prebake.commands.{name.replace('-', '_')}")
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith(("prebake", "entrypoints")):
            raise
        raise PackageMissing(
            f"The Python package {missing.name} is not installed for {sys.executable}.",
            next_action="run `make setup`, and then `.venv/bin/python build.py …`; or install Prebake for this Python",
        ) from missing
    return tuple(module.COMMANDS) if hasattr(module, "COMMANDS") else (module.COMMAND,)


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations and defaults. It answers an unknown word with the nearest known one, also of ``others``."""

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
        hints = [word + _nearest(word.partition("=")[0], flags) for word in words]
        self.error(f"unrecognized arguments: {' '.join(hints)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    import difflib

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


def parse(words: Sequence[str]) -> tuple[Callable[[Any], None], Any]:
    """The command's action and its request. ``--model foley`` and ``foley`` without a command are ``build``. Raises PrebakeError
    if a project or a model is missing."""
    images = _images(words)
    flags_first = bool(words) and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")
    if flags_first or (words and words[0] in images):
        words = ("build", *words)
    whole = make_parser(words[0] if words else "")
    whole.others = images
    namespace, rest = whole.parse_known_args(words)
    command, parser = namespace.command, namespace.parser
    values = {name: value for name, value in vars(namespace).items() if name not in ("command", "parser")}
    if flags_first and values.get("name") in HELP:
        parser.error(f"write the command first: prebake {values['name']} …")
    if rest and not _take_names(parser, values, rest):
        parser.refuse_unknown(rest)
    return command.run, command.read(Arguments(parser, values))


def _take_names(parser: Parser, values: dict[str, Any], words: Sequence[str]) -> bool:
    """Take the words behind the flags as image names: argparse (until Python 3.12) does not read optional words behind a flag.
    False if a word is something else."""
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
    """The images of the given project or of the project here, except those with the name of a command."""
    try:
        root = _named_project(words) or find_root(Path.cwd())
    except PrebakeError:
        return ()
    return tuple(name for name in list_images(root) if name not in HELP)


def _named_project(words: Sequence[str]) -> Path | None:
    """The folder of ``--project``. It is needed before the command is known, whose parser reads the flag."""
    for word, following in zip(words, [*words, ""][1:], strict=True):
        flag, equals, value = word.partition("=")
        if flag == "--project":
            return Path(value if equals else following)
    return None


def make_parser(named: str = "") -> Parser:
    """The parser. It knows every command, and the flags of the ``named`` one only, whose module it imports."""
    parser = Parser(prog="prebake", description=prebake.__doc__)
    parser.add_argument("--version", action="version", version=f"prebake {prebake.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for name, text in HELP.items():
        subparser = subparsers.add_parser(name, help=text, description=sentence(text))
        if name == named:
            _fill(subparser, name, load_commands(name))
    return parser


def _fill(parser: Parser, name: str, commands: Sequence[Command]) -> None:
    """Add the flags of a command, or the actions of a group."""
    if [command.name for command in commands] == [name]:
        commands[0].add_flags(parser)
        parser.set_defaults(command=commands[0], parser=parser)
        return
    actions = parser.add_subparsers(required=True, metavar="ACTION", parser_class=Parser)
    for command in commands:
        own = actions.add_parser(command.name, help=command.help, description=command.sentence)
        _fill(own, command.name, [command])
