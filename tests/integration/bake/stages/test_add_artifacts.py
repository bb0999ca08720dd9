"""Artifacts that were made elsewhere, told in the manifest that the compile stage left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prebake.bake.__main__ import main
from prebake.bake.errors import BakeError
from prebake.documents.artifact import ArtifactFile, make_label
from prebake.documents.canonical import digest_json
from prebake.documents.manifest.validation import seal_manifest
from tests.support.manifests import make_artifact, make_file, make_manifest

OWN = {"graph": "1", "constants": None, "weights": {"net/w": "2"}, "precision": {"type": "fp32"}, "bake": "3"}
MANIFEST = make_manifest({"net": {"key_inputs": OWN}})
BAKED = set(MANIFEST["files"])


def artifact(machine: str, component: str = "net", **other: Any) -> ArtifactFile:
    fields = {**OWN, "machine": {"processor": machine}, **other}
    key = digest_json(fields)
    graph = f"compiled/{component}/{make_label('native', key)}/model.onnx"
    entry = make_artifact(graph=graph, key=key, key_inputs=fields, requires={"processor": machine})
    return ArtifactFile(component, entry, {graph: make_file(sha256=machine * 64, origin="compiled")})


def add(tmp_path: Path, *described: bytes) -> int:
    for name in ("artifacts", "models"):
        (tmp_path / name).mkdir()
    for number, data in enumerate(described):
        (tmp_path / "artifacts" / f"{number:04}.json").write_bytes(data)
    (tmp_path / "models/manifest.json").write_bytes(seal_manifest(MANIFEST))
    return main(["add-artifacts", "--artifacts", str(tmp_path / "artifacts"), "--models", str(tmp_path / "models")])


def listed(tmp_path: Path) -> tuple[list[str], set[str]]:
    manifest = json.loads((tmp_path / "models/manifest.json").read_bytes())
    return [each["key"] for each in manifest["components"]["net"].get("artifacts", [])], set(manifest["files"])


def test_they_are_added_in_the_order_of_their_files(tmp_path: Path) -> None:
    given = [artifact("b"), artifact("a")]
    assert add(tmp_path, *(each.to_json() for each in given)) == 0
    assert listed(tmp_path) == ([each.key for each in given], {path for each in given for path in each.files} | BAKED)


@pytest.mark.parametrize(
    ("other", "names"),
    [
        (artifact("a", graph="9"), "graph"),
        (artifact("a", weights={"net/w": "9"}, bake="9"), "weights, bake"),
        (artifact("a", component="gone"), "component"),
    ],
)
def test_one_that_was_made_of_something_else_is_left_out_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: ArtifactFile, names: str
) -> None:
    fits = artifact("b")
    assert add(tmp_path, other.to_json(), fits.to_json()) == 0
    assert listed(tmp_path) == ([fits.key], set(fits.files) | BAKED)
    said = capsys.readouterr().err
    assert (
        f"{other.component}: artifact {other.label} is left out of the manifest: it was compiled from another {names}."
        in said
    )


def test_every_file_that_describes_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = artifact("a")
    forged = ArtifactFile(whole.component, {**whole.entry, "key": "0" * 64}, whole.files)
    assert add(tmp_path, b"no json", whole.to_json(), forged.to_json()) == BakeError.exit_code
    said = capsys.readouterr().err
    assert "0000.json" in said
    assert "0001.json" not in said
    assert "0002.json: its key is not that of its inputs" in said
    assert listed(tmp_path) == ([], BAKED)
