"""Packages from Debian, on a machine where something else is installed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.bootstrap import debian_packages
from prebake.io import subprocesses
from prebake.io.log import log_to_stderr

INSTALLED = """\
Package: {name}
Status: install ok installed
Maintainer: Nobody <nobody@example.com>
Architecture: {architecture}
Version: 99:1-installed-by-hand
Description: of a version that no source has

"""
PACKAGES = ("libassuan0", "libgpg-error0")


@pytest.fixture
def other_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt on this machine believes that all of them are installed, in versions that no source has."""
    architecture = subprocesses.run(["dpkg", "--print-architecture"]).stdout.strip()
    status, config = tmp_path / "status", tmp_path / "apt.conf"
    status.write_text("".join(INSTALLED.format(name=name, architecture=architecture) for name in PACKAGES))
    config.write_text(f'Dir::State::status "{status}";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))


@pytest.mark.usefixtures("other_versions")
@pytest.mark.parametrize("suite", [None, "bookworm"])
def test_an_installed_version_that_no_source_has_does_not_count(suite: str | None, tmp_path: Path) -> None:
    """The tests' tools and the private Engine are unpacked by the same code: of a named suite, and of this machine's own."""
    debian_packages.unpack(PACKAGES, tmp_path / "root", log_to_stderr, suite=suite)
    names = {path.name.partition(".so")[0] for path in (tmp_path / "root").rglob("*.so.*")}
    assert {"libassuan", "libgpg-error"} <= names
