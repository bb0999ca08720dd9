"""One flipped bit, anywhere: the start is refused in clear words, or the way that is left is told; no answer is wrong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entrypoints.components.opener import Opener
from entrypoints.errors import DamagedFile, ManifestFault, NewerSchema
from entrypoints.files.verification import Verification, check_sizes
from entrypoints.manifest.reader import parse_manifest, read_manifest
from entrypoints.manifest.values import Manifest
from entrypoints.processes.timeline import Timeline
from prebake.documents.canonical import seal
from tests.integration.container.runtime.test_fallback import DATA, GRAPH, add_artifact, add_twin
from tests.support.container.baking import VALUES, WEIGHTS, write_manifest

MANIFEST = "manifest.json"
CHOICE = {"chosen": "native", "candidates": {"graph": {"seconds": 0.5}, "native": {"seconds": 0.1}}, "rejected": {}}
BUCKETS = {"shapes": [{"batch": 1}, {"batch": 4}], "pad": {"x": 0}, "overflow": "dynamic"}


def flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def compile_for_both(models: Path, manifest: dict[str, Any]) -> None:
    """A form for this machine, one for another, what was measured of them, and buckets."""
    add_artifact(models, manifest)
    add_twin(models, manifest, "x86_64 amx_tile")
    manifest["components"]["linear"].update(choice=CHOICE, buckets=BUCKETS)
    write_manifest(models, manifest)


def ask(models: Path, manifest: Manifest) -> tuple[np.ndarray, Timeline]:
    """What the start's own parts answer, in this process. Raises Fault."""
    check_sizes(models, manifest.files)
    verification, timeline = Verification(models, manifest), Timeline()
    verification.add_threads(1)
    opener = Opener(models, manifest, timeline, verification)
    opener.start(1)
    answer = opener.components.session("linear").run({"x": np.array([VALUES], np.float32)})["y"]
    verification.wait_for_required()
    return answer, timeline


def test_every_flipped_bit_of_a_baked_manifest_is_found(models: Path, manifest: dict[str, Any]) -> None:
    compile_for_both(models, manifest)
    content = seal(manifest)
    assert parse_manifest(content) == read_manifest(models)
    for place in range(len(content)):
        for bit in range(8) if place % 16 == 0 else (place % 8,):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            with pytest.raises((ManifestFault, NewerSchema, DamagedFile)):
                parse_manifest(bytes(damaged))


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_of_any_file_is_refused_or_told(models: Path, manifest: dict[str, Any], seed: int) -> None:
    compile_for_both(models, manifest)
    draw = random.Random(seed)
    name = draw.choice(sorted(manifest["files"]))
    flip(models / name, draw)
    read = read_manifest(models)
    used = name in (GRAPH, DATA) or not name.startswith("linear/model")
    if used:
        with pytest.raises(DamagedFile, match=name):
            ask(models, read)
        return
    answer, timeline = ask(models, read)
    np.testing.assert_allclose(answer, np.array([VALUES]) @ WEIGHTS, rtol=1e-5)
    assert timeline.opened["linear"] == "native"
