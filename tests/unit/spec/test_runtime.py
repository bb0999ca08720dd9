"""``runtime``: what torch serves. ``test_refused.py`` has what it cannot serve."""

from __future__ import annotations

from prebake.spec.reader import parse_image
from tests.support.repository import ROOT

SPEC = (ROOT / "tests/unit/spec/cases/torch/image.yaml").read_text(encoding="utf-8")


def test_it_is_chosen_for_each_target() -> None:
    spec = parse_image(SPEC, "image.yaml")
    assert spec.runtime == {"cuda": "torch"}
    assert spec.code.torch == ("model_torch.py",)
