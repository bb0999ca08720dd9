"""docs/reference/image-yaml.md describes every field, and its example is one that Prebake reads."""

from __future__ import annotations

from prebake.spec.reader import parse_image
from tools.reference.image_yaml import EXAMPLE, find_undescribed, find_unlisted


def test_every_field_and_every_model_has_a_description() -> None:
    assert not find_undescribed(), "add `description=` to the field, or a docstring to the model, in prebake/spec/image"


def test_every_model_has_a_section() -> None:
    assert not find_unlisted(), "tools/reference/image_yaml.py: TITLES"


def test_the_example_is_read() -> None:
    assert parse_image(EXAMPLE, "images/tiny/image.yaml").components["net"].precision.type == "int8"
