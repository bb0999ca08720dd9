"""Old baselines at a real Engine: their tags go, and an image that has another name stays."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.base_image import Base
from prebake.docker.images.images import has_image
from prebake.docker.images.tags import list_tags, remove_tag, tag_image
from prebake.io.log import silent
from prebake.workflow.benchmark.baseline_tags import BASELINES, MOST_KEPT, keep_baselines


def test_tags_of_baselines_that_no_gate_used_lately_are_removed(
    engine: Connection, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREBAKE_CACHE", str(tmp_path))
    tags = [f"{BASELINES}:test-{uuid.uuid4().hex}" for _ in range(MOST_KEPT + 2)]
    try:
        for tag in tags:
            with keep_baselines(engine, silent) as keep:
                tag_image(engine, base.reference, tag)
                keep(tag)
        found = list_tags(engine, BASELINES)
        assert found & set(tags) == set(tags[2:])
        assert not list_tags(engine, BASELINES[:-1])  # a repository, not the beginning of its name
        assert has_image(engine, base.reference)
        assert all(has_image(engine, tag) for tag in tags[2:])
    finally:
        for tag in tags:
            remove_tag(engine, tag)
