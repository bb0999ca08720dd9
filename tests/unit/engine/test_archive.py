from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.engine.archive import read_digest, write_archive, write_layer
from prebake.engine.recipe import Recipe


def tree(names: Sequence[str], mtime: int) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode, info.mtime, info.uname = len(name), 0o4755, mtime, "somebody"
            archive.addfile(info, io.BytesIO(name.encode()))
    file.seek(0)
    return file


def test_a_layer_and_its_archive_depend_on_the_files_alone(tmp_path: Path) -> None:
    digests = set()
    for index, names in enumerate((["b", "a/.c", "left/out"], ["a/.c", "b"])):
        layer = write_layer(tree(names, index), tmp_path / f"{index}.gz", lambda path: not path.startswith("/left"))
        target = tmp_path / f"{index}.tar"
        digest = write_archive(
            layer, target, reference="a:b", config={"Env": ["A=1"]}, architecture="amd64", made_by="test"
        )
        assert read_digest(target) == digest
        digests |= {(digest, layer.digest, layer.diff, target.read_bytes())}
        assert layer.size == layer.file.stat().st_size
    assert len(digests) == 1
    with tarfile.open(tmp_path / "0.gz") as files:
        assert [(member.name, member.mode, member.mtime, member.uname) for member in files] == [
            ("a/.c", 0o755, 0, ""),
            ("b", 0o755, 0, ""),
        ]


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/usr/bin/python3.11", True),
        ("/usr/lib/python3.11/json/__pycache__/decoder.cpython-311.pyc", True),
        ("/usr/share/doc/libc6/copyright", True),
        ("/usr/share/doc/libc6", True),
        ("/usr/share/ca-certificates/mozilla/x.crt", True),
        ("/var/lib/dpkg/status", True),
        ("/tmp", True),
        ("/usr/share/doc/libc6/changelog.Debian.gz", False),
        ("/usr/lib/python3/dist-packages/__pycache__/x.pyc", False),
        ("/usr/lib/x86_64-linux-gnu/perl-base/strict.pm", False),
        ("/usr/bin/perl5.36.0", False),
        ("/etc/resolv.conf", False),
        ("/etc/apt/sources.list", False),
        ("/usr/share/locale/de/LC_MESSAGES/x.mo", False),
    ],
)
def test_what_a_recipe_keeps(path: str, kept: bool) -> None:
    assert Recipe().keeps(path) is kept


def test_a_recipes_key_changes_with_it() -> None:
    recipe = Recipe()
    changed = {
        replace(recipe, packages=("python3",)).key,
        replace(recipe, dropped="/x").key,
        replace(recipe, suite="trixie").key,
    }
    assert len(changed | {recipe.key}) == 4
    assert Recipe().reference == recipe.reference == f"prebake/base:bookworm-{recipe.key[:16]}"
