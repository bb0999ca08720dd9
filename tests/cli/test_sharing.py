"""Two images with a component in common hold it once, and the report says so."""

from __future__ import annotations

from collections.abc import Callable

from tests.projects import Project, change_spec


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
