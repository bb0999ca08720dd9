"""Every kind of source that image.yaml knows is one that builds have."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.store.store import Store
from prebake.errors import SourceError
from prebake.spec.image.sources import Source as Spec
from prebake.workflow.checkpoint.sources import open_sources
from tests.support.checkpoints.parts import Diary, locked


def test_every_kind_of_image_yaml_has_a_source(store: Store, tmp_path: Path) -> None:
    with open_sources(tmp_path, "tiny") as sources:
        kinds = {get_args(each.model_fields["kind"].annotation)[0] for each in get_args(get_args(Spec)[0])}
        assert set(sources) == kinds
        with pytest.raises(SourceError, match="kind 'ftp'"):
            fetch([locked("a", "ftp:x", b"a")], store, sources, Diary())
