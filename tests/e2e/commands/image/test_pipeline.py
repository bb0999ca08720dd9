"""The plan that is printed is what runs: the first build, an unchanged one, a change of code, a layer whose bytes are gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prebake.docker.connection import Connection
from tests.support.commands.projects import Project


def running(steps: list[dict[str, Any]]) -> list[str]:
    return [step["name"] for step in steps if step["state"] == "run"]


def test_what_is_printed_is_what_runs(project: Project, engine: Connection, tag: str, tmp_path: Path) -> None:
    """Into a layout: nothing there has a layer before."""
    del engine
    store = tmp_path / "store"
    words = ("build", "toy", "--tag", tag, "--output", f"oci:{tmp_path / 'layout'}")

    def run(*more: str) -> dict[str, Any]:
        return dict(json.loads(project.run(*words, *more, "--json", PREBAKE_CACHE=str(store)).expect(0).stdout))

    def explained() -> list[dict[str, Any]]:
        done = project.run("explain", "toy", "--tag", tag, "--json", PREBAKE_CACHE=str(store)).expect(0)
        return list(json.loads(done.stdout)["pipeline"])

    planned = run("--plan")["pipeline"]
    assert explained() == planned
    first = run()
    assert first["pipeline"] == planned
    assert {"fetch", "export", "compile", "layer graphs"} <= set(running(planned))

    planned = run("--plan")["pipeline"]
    unchanged = run()
    assert unchanged["pipeline"] == planned == explained()
    assert running(planned) == []
    assert unchanged["digest"] == first["digest"]

    path = project.root / "images" / "toy" / "model.py"
    path.write_text(f"{path.read_text()}\n# changed\n")
    planned = run("--plan")["pipeline"]
    changed = run()
    assert changed["pipeline"] == planned
    assert running(planned) == ["context", "layer code"]

    (code,) = (layer for layer in changed["layers"] if layer["name"] == "code")
    (blob,) = store.glob(f"**/{code['digest'].removeprefix('sha256:')}")
    blob.chmod(0o644)
    blob.unlink()
    assert (
        running(run("--plan")["pipeline"]) == []
    )  # its record is there; that its bytes are needed shows at the layout
    remade = project.run(*words, PREBAKE_CACHE=str(store)).expect(0)
    assert "the store no longer has code" in remade.stderr
    report = project.report("toy")
    assert running(report["pipeline"]) == ["context", "layer code"]
    assert report["digest"] == changed["digest"]
