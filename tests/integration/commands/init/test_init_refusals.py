"""Transformers folders that ``prebake init`` cannot begin with, and the license of those that it can.

``cases`` has the other refusals.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.spec.image.licenses import UNKNOWN
from prebake.workflow.init.model_card import read_license
from prebake.workflow.init.recognizers.recognizer import InitRefused
from tests.support.commands.projects import Project, clone
from tests.support.models import pretrained


@pytest.fixture(scope="module")
def module_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return clone(tmp_path_factory.mktemp("clone") / "project")


@pytest.fixture
def folder(module_project: Project, request: pytest.FixtureRequest) -> Path:
    """A text classifier's checkpoint, whole."""
    folder = module_project.root / "published" / str(abs(hash(request.node.name)))
    pretrained.write_classifier(folder)
    return folder


def test_what_was_written_goes_when_it_cannot_be_locked(module_project: Project, folder: Path) -> None:
    ended = module_project.run("init", "mine", "--from", str(folder), PREBAKE_CACHE="build.py")
    assert ended.code != 0
    assert "init: wrote" in ended.stderr
    assert not (module_project.root / "images/mine").exists()
    (module_project.root / "images").rmdir()


def test_a_configuration_that_is_nested_too_deeply_is_named(module_project: Project, folder: Path) -> None:
    (folder / "config.json").write_bytes(b"[" * 100_000)
    ended = module_project.run("init", "mine", "--from", str(folder)).expect(InitRefused.exit_code)
    assert "next:" in ended.stderr
    assert "config.json: " in ended.stderr
    assert not (module_project.root / "images").exists()


CARDS: dict[str, tuple[str, str]] = {
    "apache": ("---\nlicense: apache-2.0\n---\n# Model\n", "Apache-2.0"),
    "creative": ("---\nlanguage: en\nlicense: cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
    "bsd": ("---\nlicense: bsd-3-clause\n---\n", "BSD-3-Clause"),
    "own": ("---\nlicense: openrail\n---\n", "LicenseRef-openrail"),
    "other": ("---\nlicense: other\n---\n", UNKNOWN),
    "named": ("---\nlicense: other\nlicense_name: tongyi qianwen\n---\n", "LicenseRef-tongyi-qianwen"),
    "llama": ("---\nlicense: llama3.1\n---\n", "LicenseRef-llama3.1"),
    "family": ("---\nlicense: gpl-3.0\n---\n", "GPL-3.0-only"),
    "another word": ("---\nlicense: odbl\n---\n", "ODbL-1.0"),
    "zero": ("---\nlicense: cc0-1.0\n---\n", "CC0-1.0"),
    "two": ("---\nlicense: [apache-2.0, mit]\n---\n", "Apache-2.0 AND MIT"),
    "prose": ("---\nlicense: ask, please\n---\n", UNKNOWN),
    "none": ("# Model\n", UNKNOWN),
    "broken": ("---\n: [\n---\n", UNKNOWN),
}


@pytest.mark.parametrize(("card", "license"), CARDS.values(), ids=list(CARDS))
def test_the_license_is_the_model_cards(tmp_path: Path, card: str, license: str) -> None:
    (tmp_path / "README.md").write_text(card)
    assert read_license(tmp_path / "README.md") == license
