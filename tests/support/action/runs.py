"""``action.yml`` run on this machine: its ``run:`` steps by bash with GitHub's variables, its ``uses:`` steps recorded."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.action.expressions import evaluate, runs
from tests.support.repository import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
_FOREIGN = ("GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_", "PREBAKE_", "PYTHONPATH")


@dataclass
class Ran:
    """What the steps did, by their names. ``used`` are the ``uses:`` steps that would have run, with their ``with``."""

    exit_codes: dict[str, int] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    used: dict[str, Mapping[str, str]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def failed(self) -> dict[str, int]:
        return {name: code for name, code in self.exit_codes.items() if code}

    @property
    def log(self) -> str:
        return "\n".join(self.logs.values())


@dataclass(frozen=True)
class Runner:
    """``workspace`` is the checkout, ``folder`` holds the runner's own files. ``replaced`` are outputs of steps, by id, that do
    not run here."""

    workspace: Path
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    removed: Sequence[str] = ()

    def run(self, event: Mapping[str, Any] | None = None, **inputs: str) -> Ran:
        """All steps in order. ``inputs`` are written with _ in place of -."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "event.json").write_text(json.dumps(event or {}))
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert set(given) <= set(ACTION["inputs"]), given
        github = {"token": "token-of-the-job"}
        defaults = {
            name: evaluate(each.get("default", ""), {"github": github}) for name, each in ACTION["inputs"].items()
        }
        steps: dict[str, dict[str, Any]] = {}
        contexts = {"inputs": {**defaults, **given}, "steps": steps, "github": github}
        ran = Ran()
        for step in ACTION["runs"]["steps"]:
            if runs(str(step.get("if", "")), contexts, bool(ran.failed)):
                outputs = self._step(step, contexts, ran)
                steps[step.get("id", step["name"])] = {"outputs": outputs, "outcome": "success"}
        ran.outputs = {name: evaluate(each["value"], contexts) for name, each in ACTION["outputs"].items()}
        summary = self.folder / "summary.md"
        ran.summary = summary.read_text() if summary.exists() else ""
        return ran

    def _step(self, step: Mapping[str, Any], contexts: Mapping[str, Any], ran: Ran) -> Mapping[str, str]:
        if "uses" in step:
            name = str(step["uses"]).partition("@")[0]
            ran.used[name] = {key: evaluate(value, contexts) for key, value in step.get("with", {}).items()}
            return self.replaced.get(name, {})
        if step.get("id") in self.replaced:
            return self.replaced[step["id"]]
        own = {name: evaluate(value, contexts) for name, value in step.get("env", {}).items()}
        output, script = self.folder / "output", self.folder / "step.sh"
        output.write_text("")
        script.write_text(evaluate(step["run"], contexts))
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace,
            env={**self._environment(), **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        ran.exit_codes[step["name"]] = done.returncode
        ran.logs[step["name"]] = done.stdout
        return read_outputs(output.read_text())

    def _environment(self) -> dict[str, str]:
        temporary = self.folder / "temporary"
        temporary.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return {
            **{name: value for name, value in kept.items() if name not in self.removed},
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            "GITHUB_ENV": str(self.folder / "env"),
            "GITHUB_PATH": str(self.folder / "path"),
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
            "GITHUB_REPOSITORY": "acme/sounds",
            "GITHUB_ACTOR": "somebody",
            "GITHUB_API_URL": "http://127.0.0.1:9",
            "GITHUB_SERVER_URL": "http://127.0.0.1:9",
            "RUNNER_TEMP": str(temporary),
            **self.variables,
        }


def read_outputs(text: str) -> dict[str, str]:
    """The outputs of a step, as the runner reads its file: ``NAME=VALUE`` or ``NAME<<DELIMITER``."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, heredoc, delimiter = line.partition("<<")
        if heredoc and "=" not in name:
            value: list[str] = []
            while (following := next(lines)) != delimiter:
                value.append(following)
            found[name] = "\n".join(value)
        else:
            name, _, value_text = line.partition("=")
            found[name] = value_text
    return found


def pull_request(number: int = 7, fork: bool = False, **base: str) -> dict[str, Any]:
    """The payload of a pull request's event."""
    owner = "stranger" if fork else "acme"
    return {
        "pull_request": {
            "number": number,
            "head": {"repo": {"full_name": f"{owner}/sounds"}},
            "base": {"sha": base.get("sha", ""), "repo": {"full_name": "acme/sounds"}},
        }
    }
