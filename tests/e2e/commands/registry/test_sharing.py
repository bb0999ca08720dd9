"""Two images with a component in common hold it once, and the report says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from prebake.docker.connection import Connection
from tests.support.commands.built_images import lay_out_checkpoint
from tests.support.commands.projects import Built, Project, change_spec, clone, pin_weights, reach
from tests.support.repository import ROOT


def test_the_report_tells_what_is_shared_and_with_whom(project: Project, new_tag: Callable[[], str]) -> None:
    first, second = new_tag(), new_tag()
    project.run("--model", "toy", "--tag", first).expect(0)
    layers = {layer["name"]: layer for layer in project.report("toy")["layers"]}
    assert first not in str(project.report("toy")["shared"])

    change_spec(project, lambda spec: spec.update(limits={"body_bytes": 1 << 17, "queue": 2, "seconds": 30}))
    ended = project.run("--model", "toy", "--tag", second).expect(0)
    shared = project.report("toy")["shared"]
    assert first in shared["layers"]["first/model.safetensors"]
    assert first in shared["layers"]["second (derived)"]
    assert first not in shared["layers"].get("graphs", [])  # its manifest tells the limits
    assert shared["bytes"] == sum(layers[name]["size"] for name in ("first/model.safetensors", "second (derived)"))
    assert "of the model with" in ended.stdout
    assert first in ended.stdout


def test_two_images_with_the_same_text_encoder_share_its_layer(
    engine: Connection, zimage: Built, tag: str, tmp_path: Path
) -> None:
    """captions is Z-Image's text encoder alone, of the very files that zimage was baked from."""
    project = clone(tmp_path / "project", "zimage", variables=reach(engine))
    captions = project.root / "images" / "captions"
    shutil.copytree(
        ROOT / "tests" / "support" / "images" / "captions", captions, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(project.root / "images" / "zimage" / "requirements", captions / "requirements")
    shutil.copy(project.root / "images" / "zimage" / "nets.py", captions)
    lay_out_checkpoint(zimage, project.root / "checkpoint")
    pin_weights(project.root, "captions", "text")

    project.run("--model", "captions", "--tag", tag).expect(0)
    report = project.report("captions")
    layers = {layer["name"]: layer for layer in report["layers"]}
    weights = layers["text_encoder (derived)"]
    (theirs,) = (layer for layer in zimage.report["layers"] if layer["name"] == "text_encoder (derived)")
    assert (weights["diff_id"], weights["digest"]) == (theirs["diff_id"], theirs["digest"])
    assert zimage.tag in report["shared"]["layers"]["text_encoder (derived)"]
    assert zimage.tag not in report["shared"]["layers"].get("graphs", [])
    assert report["shared"]["bytes"] == weights["size"] > 100_000
