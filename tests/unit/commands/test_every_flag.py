"""No flag is accepted and ignored: each one, of every command, changes the request."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prebake.cli import Parser, parse
from prebake.commands.shared.command import Command
from tools.reference.commands import find_commands

# The shortest valid command line of each command, and what a flag without choices may be given.
SHORTEST = {
    "build": ["build", "toy"],
    "run": ["run", "toy"],
    "compile": ["compile", "toy"],
    "explain": ["explain", "toy"],
    "init": ["init", "toy", "--from", "toy.onnx"],
    "lock": ["lock", "toy"],
    "upgrade": ["upgrade", "toy"],
    "bench": ["bench", "toy"],
    "trace": ["trace", "http://localhost:8000"],
    "demo": ["demo", "toy"],
    "bake-file": ["bake-file", "contexts"],
    "deploy": ["deploy", "toy"],
    "verify": ["verify", "registry.invalid/toy:v1", "toy"],
    "engine": ["engine", "up"],
    "schema": ["schema"],
    "cache list": ["cache", "list"],
    "cache verify": ["cache", "verify"],
    "cache prune": ["cache", "prune"],
}
VALUES = {
    "--starts": "5",
    "--runs": "5",
    "--replicas": "5",
    "--size": "2GB",
    "--max-regression": "20%",
    "--max-ttfi": "3s",
    "--max-image-size": "2GB",
    "--max-pairs": "5",
    "--network": "10Gbps",
    "--input": "x=float32[1]",
    "--license": "MIT",
    "--accept-license": "MIT",
    "--port": "9000",
    "--env": "A=b",
    "-e": "A=b",
}
BESIDE = {flag: ["--baseline", "toy:before"] for flag in ("--max-regression", "--max-pairs", "--allow-other-answers")}
BESIDE |= {"--network": ["--baseline", "toy:before", "--state", "absent"], "--state": ["--baseline", "toy:before"]}
"""What else has to be given, for a flag to have an effect."""
REFUSED = "REFUSED"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in: a project without an Engine, and without any of Prebake's variables."""
    (tmp_path / "images/toy").mkdir(parents=True)
    (tmp_path / "images/toy/image.yaml").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("PREBAKE_STARTS", "PREBAKE_ACCEPT_LICENSE", "DOCKER_DEFAULT_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def flags(command: Command) -> Iterator[argparse.Action]:
    parser = Parser()
    command.add_flags(parser)
    yield from (action for action in parser._actions if action.dest != "help")


CASES = [
    pytest.param(name, flag, action, id=f"{name} {flag}")
    for name, command in find_commands()
    for action in flags(command)
    for flag in action.option_strings
]


def words_for(flag: str, action: argparse.Action) -> list[list[str]]:
    """The flag with each of its values: every choice, or one that is not a default."""
    if action.nargs == 0:
        return [[flag]]
    values = list(action.choices) if action.choices else [VALUES.get(flag, "elsewhere")]
    return [[flag, str(value)] for value in values]


def request(words: list[str]) -> Any:
    try:
        return parse(words)[1]
    except SystemExit as end:
        return (REFUSED, end.code)


@pytest.mark.parametrize(("name", "flag", "action"), CASES)
def test_a_flag_changes_the_request(name: str, flag: str, action: argparse.Action) -> None:
    shortest = SHORTEST[name]
    unnamed = flag in ("--model", "--list") and name != "bake-file"  # where a word would name an image
    shortest = [*shortest, *BESIDE.get(flag, [])]
    named = [word for word in shortest if word != "toy"] if unnamed else shortest
    before = request(shortest)
    assert dataclasses.is_dataclass(before)
    after = [request([*named, *given]) for given in words_for(flag, action)]
    assert all(dataclasses.is_dataclass(each) for each in after), after
    if flag == "--engine":  # what it says is the default; --no-engine is tried by itself
        assert after == [before]
    else:
        assert any(each != before for each in after)
        assert len({repr(each) for each in after}) == len(after), "two values of it mean the same"


@pytest.mark.parametrize(("name", "flag", "action"), CASES)
def test_a_flag_beside_any_other_has_its_effect_or_is_refused(name: str, flag: str, action: argparse.Action) -> None:
    """Of every pair of flags of a command: the first changes the request that the second makes, or both are refused."""
    own = words_for(flag, action)[-1]
    command = dict(find_commands())[name]
    for other in flags(command):
        for spelling in other.option_strings:
            if other.dest == action.dest or "--model" in (flag, spelling) or flag == "--engine":
                continue
            beside = [*SHORTEST[name], *words_for(spelling, other)[-1]]
            if REFUSED in (alone := request(beside), together := request([*beside, *own])):
                continue
            if isinstance(together, tuple):
                assert together == (REFUSED, 2)
            else:
                assert together != alone, f"{flag} is ignored beside {spelling}"


def test_there_is_a_shortest_command_line_for_every_command() -> None:
    assert SHORTEST.keys() == {name for name, _ in find_commands()}


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("build --target cuda toy", "build --model toy --target cuda"),
        ("verify r.invalid/x:1 --target cuda toy", "verify r.invalid/x:1 --model toy --target cuda"),
        ("bake-file out --target cpu toy foley", "bake-file out --model toy --model foley --target cpu"),
        ("bake-file out toy --target cpu foley", "bake-file out --model toy --model foley --target cpu"),
    ],
)
def test_an_image_is_named_by_a_word_before_or_behind_the_flags(words: str, same: str) -> None:
    assert request(words.split()) == request(same.split())
    assert dataclasses.is_dataclass(request(words.split()))


# What contradicts each other: both names are said, and what to do.
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("build --list --plan", ["--list", "--plan", "leave the other flags out"]),
        ("build --list toy --push r.invalid/x", ["--list", "NAME", "--push"]),
        ("build --list --render out --starts 2", ["--list", "--render", "--starts"]),
        ("build toy --plan --render out", ["--render", "--plan", "builds nothing"]),
        ("build toy --render out --output docker", ["--render", "--output"]),
        ("build toy --render out --base bootstrap --weights volume", ["--render", "--base", "--weights"]),
        ("build toy --render out --platform linux/amd64", ["--render", "--platform"]),
        ("build toy --output oci:x --starts 2", ["--starts", "--output oci:x", "add --output docker"]),
        ("compile toy --no-engine --base bootstrap", ["--no-engine", "--base", "leave one out"]),
        ("build toy --model foley", ["toy", "--model foley", "give one"]),
        ("build toy foley", ["unrecognized arguments: foley"]),
        ("engine up now", ["unrecognized arguments: now"]),
        ("run toy -e PREBAKE_PORT=9000", ["-e PREBAKE_PORT", "--port N"]),
        ("run toy -e =x", ["-e/--env", "NAME=VALUE"]),
        ("run toy -e NOT_SET_HERE", ["NOT_SET_HERE", "is not set here"]),
        ("run toy --port 70000", ["--port", "at most 65535"]),
        ("deploy toy --tag x", ["--tag"]),
        ("deploy toy --base x", ["--base"]),
        ("deploy toy --accept-license x", ["--accept-license"]),
        ("explain toy --accept-license x", ["--accept-license"]),
        ("engine up --project .", ["--project"]),
        ("schema --project", ["--project"]),
        ("cache list --project .", ["--project"]),
    ],
)
def test_flags_that_contradict_each_other_are_refused_by_name(
    words: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert request(words.split()) == (REFUSED, 2)
    told = capsys.readouterr().err.rpartition("error: ")[2]
    assert all(each in told for each in said), told


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("biuld toy", "build"),
        ("depoly toy", "deploy"),
        ("build toy --taget cpu", "--target"),
        ("build toy --target=cdua", "cuda"),
        ("bench toy --basline x", "--baseline"),
        ("engine statsu", "status"),
        ("cache prun", "prune"),
    ],
)
def test_a_word_that_is_none_is_answered_with_the_nearest(
    words: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert request(words.split()) == (REFUSED, 2)
    assert f"did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--model", "toy", "deploy"], ["--project", ".", "deploy", "toy"]])
def test_flags_before_a_verb_are_told_to_stand_behind_it(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert request(words) == (REFUSED, 2)
    assert "write the command first: prebake deploy" in capsys.readouterr().err
