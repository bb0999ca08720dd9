"""A system library that a package needs and the image lacks is told by name, in the build."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

from prebake.bake.errors import from_document
from prebake.documents.stage_error import StageError
from prebake.errors import LibraryMissing
from tests.support.wheels import Installed

LOAD = "import ctypes, pathlib\nctypes.CDLL(str(pathlib.Path(__file__).with_name('native.so')))\n"


def library(folder: Path, *needs: str) -> bytes:
    """A shared library that needs others of these sonames, which exist only while it is linked."""
    folder.mkdir(exist_ok=True)
    (folder / "empty.c").write_text("int prebake_nothing(void) { return 0; }\n")
    for soname in needs:
        link(folder, soname, f"-Wl,-soname,{soname}")
    link(folder, "native.so", "-Wl,--no-as-needed", *(f"-l:{soname}" for soname in needs), f"-L{folder}")
    return (folder / "native.so").read_bytes()


def link(folder: Path, name: str, *words: str) -> None:
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / name, folder / "empty.c", *words], check=True)


def cleaned(installed: Installed, *words: str) -> LibraryMissing:
    done = installed.clean(*words)
    assert done.returncode == 35, done.stdout + done.stderr
    error = from_document(StageError.find_in_log(done.stdout.splitlines()), done.returncode)
    assert isinstance(error, LibraryMissing)
    return error


def test_every_missing_library_is_told_with_its_package_and_the_line_to_add(
    installed: Installed, tmp_path: Path
) -> None:
    native = library(tmp_path / "link", "libOSMesa.so.8", "libabsent_2.so.0", "libc.so.6")
    installed.add("Picture", {"picture/__init__.py": LOAD, "picture/native.so": native})
    error = cleaned(installed, "--system", "libgomp1")
    assert "Picture needs libOSMesa.so.8, which Debian's package libosmesa6 has" in error.message
    assert "Picture needs libabsent_2.so.0, which Debian's package libabsent-2-0 may have" in error.message
    assert "import picture: OSError" in error.message
    assert "libc.so.6" not in error.message.partition("needs")[2].partition("(")[0]
    assert "`system_packages: [libgomp1, libosmesa6, libabsent-2-0]`" in error.next_action


def test_a_library_that_a_part_needs_at_first_use_is_told(installed: Installed, tmp_path: Path) -> None:
    code = "import importlib\ndef __dir__():\n    return ['part']\ndef __getattr__(name):\n    if name == 'part':\n"
    code += "        return importlib.import_module('sound.part')\n    raise AttributeError(name)\n"
    native = library(tmp_path / "link", "libabsent_2.so.0")
    installed.add("sound", {"sound/__init__.py": code, "sound/part.py": LOAD, "sound/native.so": native})
    assert "sound needs libabsent_2.so.0" in cleaned(installed).message


def test_what_imports_without_its_library_ends_nothing(installed: Installed, tmp_path: Path) -> None:
    native = library(tmp_path / "link", "libabsent_2.so.0")
    installed.add(
        "numbers",
        {"digits/__init__.py": "import contextlib\nwith contextlib.suppress(OSError):\n" + textwrap.indent(LOAD, " ")},
    )
    installed.add("more", {"digits/native.so": native})
    assert installed.clean().returncode == 0


@pytest.mark.parametrize("soname", ["libcuda.so.1", "libnvidia-ml.so.1"])
def test_a_driver_s_library_is_not_the_image_s_to_have(installed: Installed, tmp_path: Path, soname: str) -> None:
    """The container runtime brings it."""
    installed.add("device", {"device/__init__.py": LOAD, "device/native.so": library(tmp_path / "link", soname)})
    done = installed.clean()
    assert done.returncode == 0
    assert f"note: device cannot be imported in this image: OSError: {soname}" in done.stdout


def test_a_library_that_another_package_brings_is_not_the_system_s(installed: Installed, tmp_path: Path) -> None:
    native = library(tmp_path / "link", "libabsent_2.so.0")
    installed.add("one", {"one/__init__.py": LOAD, "one/native.so": native})
    installed.add("two", {"two/lib/libabsent_2.so.0": b"\x7fELF"})
    assert installed.clean().returncode == 0
