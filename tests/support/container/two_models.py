"""An image of two models, ``left`` and ``right``."""

from __future__ import annotations

from pathlib import Path

from prebake.bake.stages.join import join_image
from prebake.documents.join_settings import JoinSettings
from tests.support.container.baking import bake

SEVERAL = {"PREBAKE_MODEL_NAMES": "left,right"}


def bake_two(folder: Path) -> Path:
    """Two images' models folders joined, with the same folders of weights in both: the second's lie elsewhere."""
    for name in ("left", "right"):
        bake(folder / "alone" / name)
    own = {"linear": "linear", "total": "total"}
    places = {"left": own, "right": {name: f"right.{name}" for name in own}}
    join_image(JoinSettings("pair", "cpu", places), folder / "alone", folder)
    return folder / "models"
