"""image.yaml against weights.lock: every difference at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from prebake.errors import LockMismatch
from prebake.plan.lock_check import pinned_checkpoint
from prebake.spec.image.image import Checkpoint, ImageSpec, License
from prebake.spec.image.sources import FromHttp, FromHub, FromLocal, FromPypi, FromSample
from prebake.spec.image.sources import Source as Spec
from prebake.spec.lock import Lock, LockedBase, LockedCheckpoint, LockedFile, parse_lock, render_lock
from tests.support.checkpoints.parts import named

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCES: tuple[Spec, ...] = (
    named(FromSample, "sample", seed=1, files=("a.safetensors",), ship=("a.safetensors",)),
    named(FromHub, "hub", repository="o/n", revision=COMMIT, files=("b",), to="hub"),
    named(FromHub, "hub", repository="o/n", revision="v1", files=("c",), to="hub"),
    named(FromHttp, "http", url="https://example.org/d", files=("d",)),
    named(FromHttp, "http", url="https://example.org/z", files=("e",), archive=True),
    named(FromLocal, "local", folder="weights", files=("f",)),
    named(FromPypi, "pypi", package="p", version="1", root="r", files=("g",)),
)


def file(path: str, source: str, revision: str, locator: str, *, ship: bool = False) -> LockedFile:
    return LockedFile(path, source, revision, locator, 1, "0" * 64, "MIT", ship)


FILES = (
    file("a.safetensors", "sample", "1", "a.safetensors", ship=True),
    file("hub/b", "hub:o/n", COMMIT, "b"),
    file("hub/c", "hub:o/n@v1", "f" * 40, "c"),
    file("d", "http:https://example.org/d", "", ""),
    file("e", "http:https://example.org/z", "", "e"),
    file("f", "local:weights", "", "f"),
    file("g", "pypi:p", "1", "r/g"),
)


def spec(*sources: Spec) -> ImageSpec:
    checkpoint = Checkpoint(license=License(id="MIT"), sources=sources or SOURCES)
    return ImageSpec.model_validate(
        {
            "schema": 2,
            "name": "tiny",
            "title": "Tiny",
            "base": "debian:12",
            "checkpoint": "published",
            "checkpoints": {"published": checkpoint},
            "components": {"a": {}},
        }
    )


def lock(*files: LockedFile) -> Lock:
    checkpoint = LockedCheckpoint("MIT", files or FILES)
    return Lock(LockedBase("debian:12", "sha256:" + "0" * 64), {"published": checkpoint})


def test_a_lock_that_fits() -> None:
    held = lock().checkpoints["published"]
    assert pinned_checkpoint(spec(), lock(), "published") == held
    again = pinned_checkpoint(spec(), parse_lock(render_lock(lock()), "weights.lock"), "published")
    assert sorted(again.files, key=str) == sorted(held.files, key=str)


@pytest.mark.parametrize(
    ("index", "change", "says"),
    [
        (
            0,
            lambda source: source.model_copy(update={"seed": 2}),
            "a.safetensors: has revision '1', image.yaml has '2'",
        ),
        (0, lambda source: source.model_copy(update={"ship": ()}), "has ship True, image.yaml has False"),
        (1, lambda source: source.model_copy(update={"revision": "f" * 40}), f"has revision '{COMMIT}'"),
        (
            1,
            lambda source: source.model_copy(update={"repository": "x/y"}),
            "source 'hub:o/n', image.yaml has 'hub:x/y'",
        ),
        (2, lambda source: source.model_copy(update={"revision": "v2"}), "'hub:o/n@v1', image.yaml has 'hub:o/n@v2'"),
        (3, lambda source: source.model_copy(update={"archive": True}), "d: has locator '', image.yaml has 'd'"),
        (5, lambda source: source.model_copy(update={"folder": "other"}), "image.yaml has 'local:other'"),
        (6, lambda source: source.model_copy(update={"root": None}), "g: has locator 'r/g', image.yaml has 'g'"),
        (6, lambda source: source.model_copy(update={"version": "2"}), "has revision '1', image.yaml has '2'"),
        (6, lambda source: source.model_copy(update={"files": ("h",)}), "weights.lock: published: h: is missing"),
    ],
)
def test_one_difference(index: int, change: Callable[[Spec], Spec], says: str) -> None:
    sources = [*SOURCES]
    sources[index] = change(sources[index])
    with pytest.raises(LockMismatch) as caught:
        pinned_checkpoint(spec(*sources), lock(), "published")
    assert says in str(caught.value)
    assert "prebake lock --model tiny" in caught.value.next_action


def test_every_difference_at_once() -> None:
    held = LockedCheckpoint("Apache-2.0", (*FILES[1:], file("z", "sample", "1", "z")))
    other = Lock(LockedBase("debian:11", "sha256:" + "0" * 64), {"published": held, "old": held})
    with pytest.raises(LockMismatch) as caught:
        pinned_checkpoint(spec(), other, "published")
    where = "images/tiny/weights.lock"
    assert [str(problem) for problem in caught.value.problems] == [
        f"{where}: base: is 'debian:11', image.yaml has 'debian:12'",
        f"{where}: published: has the license 'Apache-2.0', image.yaml has 'MIT'",
        f"{where}: published: a.safetensors: is missing",
        f"{where}: published: z: is not in image.yaml",
    ]


def test_a_checkpoint_that_is_not_locked_or_does_not_exist() -> None:
    with pytest.raises(LockMismatch, match=r"published: is a checkpoint of image.yaml that is not locked"):
        pinned_checkpoint(spec(), replace(lock(), checkpoints={}), "published")
    with pytest.raises(LockMismatch, match="has no checkpoint 'other'"):
        pinned_checkpoint(spec(), lock(), "other")
