"""The recipe of the Debian base image: the files that it keeps, and its key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prebake.bootstrap.base_recipe import Recipe


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
