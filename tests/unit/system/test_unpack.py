"""Debian packages in a tree, made by dpkg-deb and unpacked without it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

UNPACK = ROOT / "templates" / "system" / "unpack.py"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def package(folder: Path, name: str, version: str = "1:2.0-3") -> Path:
    """A package with a library below /lib, a link to it, documents, and a script that would be run if it were installed."""
    tree = folder / f"{name}-tree"
    library = tree / "lib" / "x86_64-linux-gnu" / f"{name}.so.1.2"
    library.parent.mkdir(parents=True)
    library.write_text(name)
    (library.parent / f"{name}.so.1").symlink_to(library.name)
    for path in (
        f"usr/share/doc/{name}/copyright",
        f"usr/share/doc/{name}/changelog.gz",
        f"usr/share/man/man7/{name}.7",
    ):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text("text")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {ARCHITECTURE}\nMaintainer: A <a@example.org>\n"
        "Description: a library\n with words\n"
    )
    (tree / "DEBIAN/postinst").write_text("#!/bin/sh\nexit 1\n")
    (tree / "DEBIAN/postinst").chmod(0o755)
    target = folder / "packages" / ARCHITECTURE / f"{name}.deb"
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "-b", tree, target], check=True, capture_output=True)
    return target


def unpack(folder: Path, tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(UNPACK), str(folder), str(tree)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def listed(tree: Path) -> dict[str, str]:
    return {
        path.relative_to(tree).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in sorted(tree.rglob("*"))
        if not path.is_dir() and path.name != "status"
    }


def test_libraries_come_below_usr_and_each_package_is_on_record(tmp_path: Path) -> None:
    """Debian's /lib is a link: a folder of that name in a layer would take the place of the loader and of libc."""
    for name in ("libprebakeone", "libprebaketwo"):
        package(tmp_path, name)
    assert unpack(tmp_path / "packages", tmp_path / "tree").returncode == 0
    assert listed(tmp_path / "tree") == {
        f"usr/{path}": text
        for name in ("libprebakeone", "libprebaketwo")
        for path, text in {
            f"lib/x86_64-linux-gnu/{name}.so.1": f"{name}.so.1.2",
            f"lib/x86_64-linux-gnu/{name}.so.1.2": name,
            f"share/doc/{name}/copyright": "text",
        }.items()
    }
    status = (tmp_path / "tree/var/lib/dpkg/status").read_text()
    own = Path("/var/lib/dpkg/status")
    assert status.startswith(own.read_text().rstrip() if own.is_file() else "")
    for name in ("libprebakeone", "libprebaketwo"):
        assert f"\n\nPackage: {name}\nStatus: install ok installed\nVersion: 1:2.0-3\n" in status
    query = [
        "dpkg-query",
        f"--admindir={tmp_path}/tree/var/lib/dpkg",
        "-W",
        "-f=${Package} ${Version} ${db:Status-Status}",
    ]
    shown = subprocess.run([*query, "libprebakeone"], check=False, capture_output=True, text=True)
    assert shown.stdout == "libprebakeone 1:2.0-3 installed"


def test_what_the_base_has_is_left_out(tmp_path: Path) -> None:
    package(tmp_path, "libc6")
    package(tmp_path, "libprebakeone")
    assert unpack(tmp_path / "packages", tmp_path / "tree").returncode == 0
    assert not [path for path in listed(tmp_path / "tree") if "libc6" in path]


def test_an_architecture_that_is_not_pinned_is_told(tmp_path: Path) -> None:
    (tmp_path / "packages" / "m68k").mkdir(parents=True)
    done = unpack(tmp_path / "packages", tmp_path / "tree")
    assert done.returncode == 39
    assert f"error: weights.lock pins no system packages for {ARCHITECTURE}" in done.stdout


def test_the_same_packages_give_the_same_tree(tmp_path: Path) -> None:
    package(tmp_path, "libprebakeone")
    for name in ("one", "two"):
        unpack(tmp_path / "packages", tmp_path / name)
    assert listed(tmp_path / "one") == listed(tmp_path / "two")


@pytest.mark.parametrize("kind", ["xz", "gzip", "none"])
def test_every_packing_of_dpkg_s_is_read(tmp_path: Path, kind: str) -> None:
    package(tmp_path, "libprebakeone").unlink()
    target = tmp_path / "packages" / ARCHITECTURE / "again.deb"
    tree = tmp_path / "libprebakeone-tree"
    command = ["dpkg-deb", "--root-owner-group", f"-Z{kind}", "-b", str(tree), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    assert unpack(tmp_path / "packages", tmp_path / "tree").returncode == 0
    assert "usr/lib/x86_64-linux-gnu/libprebakeone.so.1.2" in listed(tmp_path / "tree")
