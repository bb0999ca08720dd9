"""The pages for authors show the code that there is: every snippet names its file, and its lines stand there in order."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from prebake.bake.authoring import Bake
from prebake.spec.image.image import ImageSpec
from tests.support.repository import ROOT

PAGES = ("docs/adding-a-model.md", "docs/concepts/authoring.md")
PAGE = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
SNIPPETS = re.findall(r"^```(python|yaml)\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OMISSION = "..."


def blocks(kind: str) -> list[tuple[str, str]]:
    return [(path, text) for language, path, text in SNIPPETS if language == kind]


def test_every_block_of_code_names_its_file() -> None:
    assert len(re.findall(r"^```(?:python|yaml)$", PAGE, re.MULTILINE)) == len(SNIPPETS) > 8


@pytest.mark.parametrize(("path", "text"), blocks("python"))
def test_a_snippet_is_what_its_file_says(path: str, text: str) -> None:
    lines = iter((ROOT / path).read_text(encoding="utf-8").splitlines())
    shown = [line for line in text.splitlines() if line.strip() not in ("", OMISSION)]
    missing = next((line for line in shown if line not in lines), None)  # each search goes on where the last one ended
    assert missing is None, f"{path} has no line {missing!r} after those before it"


@pytest.mark.parametrize(("path", "text"), blocks("yaml"))
def test_a_part_of_a_spec_is_that_of_its_file(path: str, text: str) -> None:
    shown, real = yaml.safe_load(text), yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert differences(shown, real) == []
    if "schema" in shown:
        ImageSpec.model_validate_json(json.dumps(shown))


def differences(shown: Any, real: Any, where: str = "") -> list[str]:
    """What is shown and is not there; of lists and objects a part may be shown."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return [each for key in shown for each in differences(shown[key], real.get(key), f"{where}.{key}")]
    if isinstance(shown, list) and isinstance(real, list):
        return [f"{where}: {each}" for each in shown if all(differences(each, other) for other in real)]
    return [] if shown == real else [f"{where}: {shown!r} is {real!r}"]


def test_every_method_of_the_port_is_shown() -> None:
    (listing,) = (text for path, text in blocks("python") if path == "prebake/bake/authoring/bake.py")
    public = {name for name, value in vars(Bake).items() if callable(value) and not name.startswith("_")}
    assert set(re.findall(r"^    def (\w+)", listing, re.MULTILINE)) == public - {"File", "finish"}


def test_the_requirements_are_minilms() -> None:
    real = (ROOT / "images/minilm/requirements/cpu.in").read_text(encoding="utf-8")
    assert "".join(line for line in real.splitlines(keepends=True) if not line.startswith("#")) in PAGE
