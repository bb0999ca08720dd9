"""docs/reference/commands.md: its examples are command lines, and its defaults are those that a command has."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from prebake.cli import parse
from tools.reference.commands import EXAMPLES, find_actions, find_commands, split_help
from tools.reference.pages import ROOT

COMMANDS = dict(find_commands())
LINES = [(name, line) for name, lines in EXAMPLES.items() for line, _ in lines]
REQUIRED = {
    "init": ["tiny", "--from", "x.onnx"],
    "bake-file": ["out"],
    "verify": ["r.example/x:1", "foley"],
    "engine": ["up"],
}
COMPARED = {"target", "base", "compression", "weights", "runs", "cache", "replicas"}
"""Flags whose default is one value, which the request has under the same name."""


@pytest.fixture(autouse=True)
def repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("PREBAKE_STARTS", "PREBAKE_ACCEPT_LICENSE", "DOCKER_DEFAULT_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


def request_of(words: list[str]) -> tuple[Any, Any]:
    """The command's action and its request."""
    return parse(words)


def find_values(request: Any) -> dict[str, Any]:
    """The fields of a request, and those of the requests that it holds, by name."""
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    held = [find_values(value) for value in values.values() if dataclasses.is_dataclass(value)]
    return {name: value for fields in (*held, values) for name, value in fields.items()}


def actions() -> Iterator[tuple[str, argparse.Action]]:
    for name, command in COMMANDS.items():
        yield from ((name, action) for action in find_actions(command))


def test_every_command_has_examples() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.parametrize(("name", "line"), LINES, ids=[line for _, line in LINES])
def test_an_example_is_a_command_line_of_its_command(name: str, line: str) -> None:
    program, *words = shlex.split(re.split(r" [|>] ", line)[0])
    assert program == "prebake"
    assert request_of(words)[0] is COMMANDS[name].run


@pytest.mark.parametrize("name", COMMANDS)
def test_a_default_that_the_help_names_is_the_default(name: str) -> None:
    shortest = REQUIRED.get(name, [] if name.startswith("cache") or name in ("schema", "upgrade") else ["foley"])
    request = request_of([*name.split(), *shortest])[1]
    for action in find_actions(COMMANDS[name]):
        if action.dest in COMPARED and not isinstance(action, argparse._AppendAction):
            assert split_help(action)[1] == str(find_values(request)[action.dest]), action.dest


def test_every_word_and_flag_has_a_help_text_that_says_if_it_may_be_repeated() -> None:
    assert not [f"{name} {action.dest}" for name, action in actions() if not split_help(action)[0]]
    repeated = {f"{name} {action.dest}" for name, action in actions() if isinstance(action, argparse._AppendAction)}
    assert repeated == {f"{name} {action.dest}" for name, action in actions() if "may be repeated" in str(action.help)}


def test_a_flag_with_choices_names_its_default() -> None:
    flags = [(name, action) for name, action in actions() if action.option_strings and action.choices]
    assert not [f"{name} {action.dest}" for name, action in flags if not split_help(action)[1]]


def test_a_default_stands_at_the_end_where_the_page_finds_it() -> None:
    assert not [f"{name} {action.dest}" for name, action in actions() if "default" in split_help(action)[0]]
