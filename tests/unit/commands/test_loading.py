"""A command line imports the module of the command that it names, and nothing heavy before that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prebake.cli import load_commands
from prebake.commands.shared.help import HELP
from tests.support.repository import ROOT

HEAVY = {"docker", "httpx", "jinja2", "packaging", "pydantic", "requests", "yaml"}
IMPORTS = """
import json, sys
from prebake.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(*words: str) -> set[str]:
    """The modules that a fresh process has imported after a command line."""
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTS, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout
    return set(json.loads(ended.stderr.splitlines()[-1]))


def command_modules(modules: set[str]) -> set[str]:
    """The modules or packages of commands, by name."""
    return {name.split(".")[2] for name in modules if name.startswith("prebake.commands.")} - {"shared"}


def test_the_help_lists_exactly_the_modules_of_commands() -> None:
    folder = Path(ROOT / "prebake/commands")
    modules = {path.stem for path in (*folder.glob("*.py"), *(each.parent for each in folder.glob("*/__init__.py")))}
    modules -= {"__init__", "shared"}
    assert {name.replace("-", "_") for name in HELP} == modules


@pytest.mark.parametrize("name", [name for name in HELP if name != "cache"])
def test_a_command_has_the_name_and_the_help_of_the_list(name: str) -> None:
    (command,) = load_commands(name)
    assert (command.name, command.help) == (name, HELP[name])


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_version_and_help_import_no_command_and_nothing_heavy(word: str) -> None:
    modules = imported(word)
    assert not command_modules(modules)
    assert not HEAVY & modules


def test_a_command_imports_its_own_module_only() -> None:
    assert command_modules(imported("cache", "prune", "--help")) == {"cache"}
