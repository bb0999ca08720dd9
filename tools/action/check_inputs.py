"""The first step: check every input, name all problems at once, and write the settings for the other steps."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from tools.action.github.log import annotate, set_output
from tools.action.settings import Settings, write_settings

_MODEL = re.compile(r"[a-z][a-z0-9]*(_{1,2}[a-z0-9]+)*")  # IMAGE_NAME of prebake/spec/image/image.py
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(rf"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]+)?(?:/{_COMPONENT})*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CHOICES = {
    "target": ("cpu", "cuda", "tensorrt"),
    "unclear": ("warn", "fail"),
    "missing-baseline": ("notice", "fail"),
    "state": ("", "warm", "cold", "absent"),
    "comment": ("true", "false"),
    "push": ("true", "false"),
}
_DEFAULTS = {
    "target": "cpu",
    "project": ".",
    "unclear": "warn",
    "missing-baseline": "notice",
    "comment": "true",
    "push": "false",
}
WORDS_EXIT_CODE = 2
"""As of a wrong command line."""


def main() -> int:
    problems: list[str] = []
    settings = _read(problems)
    for problem in problems:
        annotate("error", problem, title="The action's inputs")
    if problems:
        return WORDS_EXIT_CODE
    Path(settings.folder).mkdir(parents=True, exist_ok=True)
    set_output("settings", write_settings(settings))
    set_output("repository", settings.repository)
    set_output("results", "\n".join(map(str, settings.results)))
    return 0


def _read(problems: list[str]) -> Settings:
    model, registry = _text("model"), _text("registry").lower().rstrip("/")
    for name, choices in _CHOICES.items():
        if _text(name) not in choices:
            problems.append(f"{name}: {_text(name)!r} is none of {', '.join(choice for choice in choices if choice)}")
    if not _MODEL.fullmatch(model):
        problems.append(f"model: {model!r} is not the name of a folder of images/ (lower-case letters, digits and _)")
    if registry and not _REGISTRY.fullmatch(registry):
        problems.append(f"registry: {registry!r} is not HOST/PATH without a tag, such as ghcr.io/acme/models")
    if _text("push") == "true" and not registry:
        problems.append("push: there is no registry to push to; give `registry`")
    if not (project := _workspace() / _text("project")).is_dir():
        problems.append(f"project: there is no folder {_text('project')!r}; was the repository checked out?")
    if (pairs := _text("max-pairs")) and not re.fullmatch("[1-9][0-9]*", pairs):
        problems.append(f"max-pairs: {pairs!r} is not a number above 0")
    for name in ("baseline", "checkpoint", "max-regression", "max-ttfi", "max-image-size", "network"):
        if _CONTROL.search(_text(name)) or _text(name).startswith("-"):
            problems.append(f"{name}: {_text(name)!r} begins with - or has a line break")
    cache_from = tuple(_text("cache-from").split())
    problems += [f"cache-from: {each!r} begins with -" for each in cache_from if each.startswith("-")]
    repository = f"{registry}/{model}" if registry else ""
    return Settings(
        model=model,
        target=_text("target"),
        checkpoint=_text("checkpoint"),
        project=str(project.resolve()),
        repository=repository,
        baseline=_text("baseline"),
        missing_baseline=_text("missing-baseline"),
        max_regression=_text("max-regression"),
        max_ttfi=_text("max-ttfi"),
        max_image_size=_text("max-image-size"),
        max_pairs=pairs,
        state=_text("state"),
        network=_text("network"),
        unclear=_text("unclear"),
        comment=_text("comment") == "true",
        push=_text("push") == "true",
        cache_from=cache_from or ((repository,) if repository else ()),
        folder=tempfile.mkdtemp(prefix="prebake-action-", dir=os.environ.get("RUNNER_TEMP") or None),
    )


def _text(name: str) -> str:
    """An input, from INPUT_NAME with _ in place of -; its default if it is empty."""
    variable = f"INPUT_{name.replace('-', '_').upper()}"
    return os.environ.get(variable, "").strip() or _DEFAULTS.get(name, "")


def _workspace() -> Path:
    return Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
