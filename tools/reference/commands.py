"""docs/reference/commands.md: every command with its flags, from the parser itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping

from prebake.cli import Parser, load_commands
from prebake.commands.shared.command import Command
from prebake.commands.shared.help import HELP
from tools.reference.markdown import code, codes, mark_code, page, sentence, table

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "build": (
        (
            "prebake build --model foley --push registry.example/foley:v1",
            "build, start, compare and measure the image, then push it",
        ),
        (
            "prebake build foley --cache-from registry.example/foley",
            "reuse layers of a registry, and write nothing there",
        ),
        ("prebake build foley --push registry.example/foley --by-digest", "push, and write no tag"),
        ("prebake build foley --plan --json", "print what the build would do"),
    ),
    "run": (
        ("prebake run foley --open", "and show its page in a browser"),
        ("prebake run minilm --watch", "try changes of model.py without a build"),
        ("prebake run minilm --port 9000 -e PREBAKE_WORKERS=2", ""),
    ),
    "compile": (
        (
            "prebake compile --model zimage --target cuda --push registry.example/zimage:v1",
            "on a machine with the GPU that serves",
        ),
    ),
    "explain": (
        ("prebake explain --model foley --registry registry.example/foley:v1", "also look at what the registry has"),
    ),
    "init": (
        ("prebake init whisper --from hub:openai/whisper-tiny", "from a Hugging Face repository"),
        (
            "prebake init detector --from model.onnx --input 'images=[1, 3, 640, 640]'",
            "from an ONNX file with dynamic axes",
        ),
    ),
    "lock": (("prebake lock --model minilm --checkpoint published", "pin one checkpoint only"),),
    "upgrade": (("prebake upgrade --check", "in CI: fail if a file has an earlier schema"),),
    "bench": (
        ("prebake bench --model foley --runs 20", "against the naive image"),
        (
            "prebake bench --model foley --baseline main --max-regression 10%",
            "fail if the start is more than 10% slower than that of the branch main",
        ),
    ),
    "trace": (
        ("prebake trace http://localhost:8000 --output start.json", "of a running container"),
        ("prebake trace build/foley/report.json > start.json", "of the last build"),
        ("prebake trace build/bench/foley-gate.json --output start.json", "of both images of a comparison"),
    ),
    "demo": (("prebake demo --model foley", ""),),
    "bake-file": (
        (
            "prebake bake-file build/contexts foley minilm --target cpu",
            "then `docker buildx bake -f build/contexts/docker-bake.json`",
        ),
    ),
    "deploy": (("prebake deploy --model foley --replicas 2 | kubectl apply -f -", ""),),
    "verify": (("prebake verify registry.example/foley:v1 --model foley", ""),),
    "engine": (("prebake engine up", "on Debian, as root"), ("prebake engine status", "")),
    "schema": (
        ("prebake schema > image.schema.json", "for an editor that checks YAML"),
        ("prebake schema --gate > gate.schema.json", "for a program that reads build/bench/NAME-gate.json"),
    ),
    "cache list": (("prebake cache list", ""),),
    "cache verify": (("prebake cache verify --repair", ""),),
    "cache prune": (
        ("prebake cache prune", "remove unfinished downloads only"),
        ("prebake cache prune --keep . ../other --dry-run", "list the objects that two projects do not need"),
    ),
}
"""By command: command lines, each with a comment."""

_DEFAULT = re.compile(r" \(default: (.*)\)$")


def find_commands() -> Iterator[tuple[str, Command]]:
    """Every command with the words that name it."""
    for name in HELP:
        for command in load_commands(name):
            yield (name if command.name == name else f"{name} {command.name}"), command


def find_actions(command: Command) -> list[argparse.Action]:
    """The command's words and flags, without --help."""
    parser = Parser(prog="prebake")
    command.add_flags(parser)
    return [action for action in parser._actions if action.dest != "help"]


def split_help(action: argparse.Action) -> tuple[str, str]:
    """The help text without its default, and the default, which is empty if the help names none."""
    text = (action.help or "").replace("%%", "%")
    found = _DEFAULT.search(text)
    return (text[: found.start()], found[1]) if found else (text, "")


def write_page() -> str:
    commands = list(find_commands())
    return page(
        "Commands",
        """
`python build.py …` at the root of the repository and `prebake …` in an activated environment are the same tool.
`prebake --version` prints its version, and `prebake COMMAND --help` prints the flags of a command.""",
        """
- Without a command, `build` runs: `prebake foley` and `prebake --model foley` are `prebake build foley`.
- The project is the folder of `--project`; without it, the nearest folder that contains `images/`, from this folder upwards.
- Name the image by a word (`prebake build foley`) or by `--model foley`. Both mean the same.
- Prebake ignores no flag: it refuses a flag that the command would not obey (exit code 2), and names it.
- Results go to stdout, the log to stderr. The [exit code](exit-codes.md) says which error it was.
- Some flags have an [environment variable](environment.md) of the same meaning; the flag comes first.""",
        """
On this page, *the Engine* is the Docker Engine. *The lock* is `weights.lock`, which has the digest of every file that an image
is built from. The *naive image* is the same model as most people deploy it, for comparison ([measure](../measure.md)).
`checkpoint`, `base` and `targets` are keys of [image.yaml](image-yaml.md).""",
        table(
            ("command", "does"),
            [
                (f"[`prebake {name}`](#prebake-{name.replace(' ', '-')})", mark_code(sentence(each.help)))
                for name, each in commands
            ],
        ),
        *(part for name, command in commands for part in _write_command(name, command)),
    )


def _write_command(name: str, command: Command) -> list[str]:
    actions = find_actions(command)
    words = [action for action in actions if not action.option_strings]
    flags = [action for action in actions if action.option_strings]
    examples = [f"# {comment}\n{line}" if comment else line for line, comment in EXAMPLES[name]]
    parts = [f"## prebake {name}", mark_code(command.sentence), f"    {_usage(name, words, flags)}"]
    if words:
        parts.append(table(("word", "default", "meaning"), map(_word_row, words)))
    if flags:
        parts.append(table(("flag", "value", "default", "meaning"), map(_flag_row, flags)))
    return [*parts, "\n".join(["```sh", *examples, "```"])]


def _usage(name: str, words: list[argparse.Action], flags: list[argparse.Action]) -> str:
    """Required words and flags, and a placeholder for the other flags: the table lists them."""
    required = [f"{flag.option_strings[0]} {flag.metavar}" for flag in flags if flag.required]
    more = ["[FLAG …]"] if len(required) < len(flags) else []
    return " ".join(["prebake", name, *map(_word_usage, words), *required, *more])


def _word_usage(word: argparse.Action) -> str:
    text = _word_name(word)
    return {"?": f"[{text}]", "*": f"[{text} …]"}.get(str(word.nargs), text)


def _word_name(word: argparse.Action) -> str:
    return str(word.metavar) if word.metavar else "|".join(map(str, word.choices or [word.dest]))


def _word_row(word: argparse.Action) -> tuple[str, ...]:
    meaning, default = split_help(word)
    return code(_word_name(word)), mark_code(default), mark_code(sentence(meaning))


def _flag_row(flag: argparse.Action) -> tuple[str, ...]:
    meaning, default = split_help(flag)
    value = codes(map(str, flag.choices)) if flag.choices else code(str(flag.metavar or ""))
    if flag.nargs == "*":
        value = code(f"[{flag.metavar} …]")
    return (
        codes(flag.option_strings),
        value,
        "required" if flag.required else _mark_default(default),
        mark_code(sentence(meaning)),
    )


def _mark_default(default: str) -> str:
    """A default of one word is a value: it is code."""
    return code(default) if re.fullmatch(r"\S+", default) else mark_code(default)
