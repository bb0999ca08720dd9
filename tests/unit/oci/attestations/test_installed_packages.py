"""What is installed is read from an image's layers: packages of Python and of Debian, and their licenses."""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping
from pathlib import Path

import pytest

from prebake.oci.attestations.debian_packages import debian_packages
from prebake.oci.attestations.installed_packages import installed_packages, read_installed
from prebake.oci.attestations.package import Package
from prebake.oci.attestations.python_packages import choose_license, python_packages, read_requirements
from prebake.oci.blobs.blobs import Blob
from prebake.spec.image.licenses import is_license
from tests.support.registries.oci_images import tar_layer
from tests.support.repository import ROOT

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u10
Description: a library
 of many lines

Package: libgcc-s1
Status: install ok installed
Architecture: amd64
Source: gcc-12 (12.2.0-14)
Version: 12.2.0-14

Package: gcc-12-base
Status: install ok installed
Architecture: amd64
Source: gcc-12
Version: 12.2.0-14

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: python3.11-minimal
Status: install ok installed
Architecture: amd64
Source: python3.11
Version: 3.11.2-6+deb12u6

Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.2.13.dfsg-1
"""
FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


def layer(files: Mapping[str, str]) -> Blob:
    return tar_layer({path: text.encode() for path, text in files.items()})


def metadata(name: str, version: str, more: str = "") -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}\nLicense: in the body, which is prose\n"


def by_name(packages: list[Package]) -> dict[str, Package]:
    assert len({each.purl for each in packages}) == len(packages)
    return {each.name: each for each in packages}


def test_debian_packages_have_a_purl_and_the_licenses_of_their_copyright_file() -> None:
    files = {
        "var/lib/dpkg/status": STATUS,
        "usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "usr/share/doc/libc6/copyright": FORMAT + "License: LGPL-2.1+\n text\n\nFiles: a\nLicense: Expat or GPL-2\n",
        "usr/share/doc/gcc-12-base/copyright": "This is prose about GCC.",
        "usr/share/doc/zlib1g/copyright": FORMAT + "License: Zlib and My-Own\n\nLicense: GPL-2+ with X exception\n",
    }
    found = by_name(debian_packages(read_installed([layer(files)])))
    assert set(found) == {"libc6", "libgcc-s1", "gcc-12-base", "python3.11-minimal", "zlib1g"}
    assert found["libc6"].purl == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12"
    assert found["zlib1g"].purl == "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=debian-12"
    assert found["libc6"].license == "LGPL-2.1-or-later AND (MIT OR GPL-2.0-only)"
    assert found["zlib1g"].license == "Zlib AND LicenseRef-My-Own AND LicenseRef-GPL-2-with-X-exception"
    assert found["libgcc-s1"].license == found["gcc-12-base"].license == ""
    assert found["libgcc-s1"].path == "/usr/share/doc/libgcc-s1"


def test_a_status_file_for_each_package_is_read_and_other_distributions_are_named() -> None:
    files = {
        "var/lib/dpkg/status.d/libssl3": "Package: libssl3\nVersion: 3.0\nArchitecture: arm64\n",
        "var/lib/dpkg/status.d/libssl3.md5sums": "Package: no\nVersion: 0\n",
        "etc/os-release": "ID=ubuntu\n",
    }
    (package,) = debian_packages(read_installed([layer(files)]))
    assert package.purl == "pkg:deb/ubuntu/libssl3@3.0?arch=arm64"


def test_python_packages_are_those_that_python_would_find_and_no_vendored_ones() -> None:
    files = {
        "opt/prebake/NumPy-2.1.0.dist-info/METADATA": metadata("NumPy", "2.1.0", "License-Expression: bsd-3-clause\n"),
        "opt/prebake/torch-2.1.0+cpu.dist-info/METADATA": metadata("torch", "2.1.0+cpu"),
        "usr/local/lib/python3.11/site-packages/pip-24.0.dist-info/METADATA": metadata("pip", "24.0", "License: MIT\n"),
        "usr/lib/python3/dist-packages/old-1.egg-info/PKG-INFO": metadata("old", "1"),
        "usr/lib/x/_vendor/inner-1.dist-info/METADATA": metadata("inner", "1"),
        "opt/prebake/prebake-wheels.json": json.dumps(
            {
                "numpy": {"version": "2.1.0", "file": "numpy-2.1.0-cp311.whl", "sha256": "a" * 64},
                "torch": {"version": "2.0.0", "file": "another version", "sha256": "b" * 64},
            }
        ),
    }
    lock = (
        f"torch==2.1.0+cpu --hash=sha256:{'c' * 64}\nnumpy==2.1.0 --hash=sha256:{'a' * 64} --hash=sha256:{'d' * 64}\n"
    )
    found = by_name(python_packages(read_installed([layer(files)]), lock))
    assert set(found) == {"NumPy", "torch", "pip", "old"}
    assert found["NumPy"].purl == "pkg:pypi/numpy@2.1.0"
    assert (found["NumPy"].license, found["NumPy"].sha256) == ("BSD-3-Clause", "a" * 64)
    assert found["NumPy"].file == "numpy-2.1.0-cp311.whl"
    assert (found["torch"].purl, found["torch"].sha256) == ("pkg:pypi/torch@2.1.0%2Bcpu", "c" * 64)
    assert (found["pip"].license, found["pip"].sha256) == ("MIT", "")
    assert found["old"].license == ""


def test_a_hash_is_not_guessed_among_several() -> None:
    files = {"opt/prebake/a-1.dist-info/METADATA": metadata("a", "1")}
    lock = f"a==1 --hash=sha256:{'a' * 64} --hash=sha256:{'b' * 64}\n"
    (package,) = python_packages(read_installed([layer(files)]), lock)
    assert package.sha256 == ""


@pytest.mark.parametrize(
    ("expression", "classifiers", "text", "license"),
    [
        ("mit AND apache-2.0", ["License :: OSI Approved :: BSD License"], "GPL", "MIT AND Apache-2.0"),
        ("", [], "Apache 2.0", "Apache-2.0"),
        ("", [], "Apache License, Version 2.0", "Apache-2.0"),
        ("", [], "The MIT License", "MIT"),
        ("", [], "BSD 3-Clause License", "BSD-3-Clause"),
        ("", [], "BSD-3-Clause", "BSD-3-Clause"),
        ("", ["License :: OSI Approved :: MIT License"], "", "MIT"),
        ("", ["License :: OSI Approved", "License :: OSI Approved :: ISC License (ISCL)"], "", "ISC"),
        (
            "",
            ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: Apache Software License"],
            "Dual",
            "MIT OR Apache-2.0",
        ),
        ("", ["License :: OSI Approved :: BSD License"], "", "BSD License"),
        (
            "",
            ["License :: OSI Approved :: BSD License"],
            "Copyright (c) 2001 SciPy\nlong text",
            "Copyright (c) 2001 SciPy",
        ),
        ("", [], "x" * 500, "x" * 100),
        ("", [], "", ""),
    ],
)
def test_a_license_is_the_newest_fields_and_an_expression_if_it_can_be_one(
    expression: str, classifiers: list[str], text: str, license: str
) -> None:
    assert choose_license(expression, classifiers, text) == license


def test_a_later_layer_replaces_and_removes() -> None:
    one = {
        "var/lib/dpkg/status": STATUS,
        "opt/prebake/a-1.dist-info/METADATA": metadata("a", "1"),
        "opt/prebake/b-1.dist-info/METADATA": metadata("b", "1"),
        "usr/lib/python3/dist-packages/c-1.egg-info/PKG-INFO": metadata("c", "1"),
    }
    two = {
        "opt/prebake/.wh.a-1.dist-info": "",
        "opt/prebake/a-2.dist-info/METADATA": metadata("a", "2"),
        "usr/lib/python3/dist-packages/.wh..wh..opq": "",
        "usr/lib/python3/dist-packages/d-1.egg-info/PKG-INFO": metadata("d", "1"),
        "var/lib/dpkg/status": "Package: added\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
    }
    names = [(each.name, each.version) for each in installed_packages(read_installed([layer(one), layer(two)]))]
    assert names == [("a", "2"), ("b", "1"), ("d", "1"), ("added", "1")]


@pytest.mark.parametrize(
    ("files", "environment", "version"),
    [
        ({}, ["PATH=/bin", "PYTHON_VERSION=3.11.9"], "3.11.9"),
        ({"usr/local/include/python3.11/patchlevel.h": '#define PY_VERSION      "3.11.8"\n'}, [], "3.11.8"),
        ({"var/lib/dpkg/status": STATUS}, [], "3.11.2"),
    ],
)
def test_python_itself_is_listed(files: dict[str, str], environment: list[str], version: str) -> None:
    first = installed_packages(read_installed([layer(files)]), environment)[0]
    assert (first.name, first.version, first.purl) == ("python", version, f"pkg:generic/python@{version}")
    assert is_license(first.license)


def test_requirements_are_read_in_every_form_that_a_lock_has() -> None:
    text = (
        "# a comment\n--only-binary :all:\n"
        f"Python_Multipart[x,y]==0.0.34 ; python_version >= '3.11' \\\n    --hash=sha256:{'1' * 64} \\\n"
        f"    --hash=sha256:{'2' * 64}\n    # via something\n"
        f"torch==2.1.0+cpu --hash=sha256:{'3' * 64}\n"
    )
    first, second = read_requirements(text)
    assert (first.name, first.version, first.hashes) == ("Python_Multipart", "0.0.34", ("1" * 64, "2" * 64))
    assert (second.name, second.version) == ("torch", "2.1.0+cpu")


def test_pips_reports_become_one_file_without_where_a_wheel_came_from(tmp_path: Path) -> None:
    def entry(name: str, archive: dict[str, object]) -> dict[str, object]:
        url = f"https://user:secret@index.example/{name}-1%2Bcpu-py3.whl"
        return {"metadata": {"name": name, "version": "1+cpu"}, "download_info": {"url": url, "archive_info": archive}}

    (tmp_path / "one.json").write_text(json.dumps({"install": [entry("b", {"hashes": {"sha256": "b" * 64}})]}))
    (tmp_path / "two.json").write_text(json.dumps({"install": [entry("a", {"hash": f"sha256={'a' * 64}"})]}))
    script = runpy.run_path(str(ROOT / "templates/cleanup/wheels.py"))
    script["main"](str(tmp_path), str(tmp_path))
    text = (tmp_path / "prebake-wheels.json").read_text()
    assert json.loads(text) == {
        "a": {"version": "1+cpu", "file": "a-1+cpu-py3.whl", "sha256": "a" * 64},
        "b": {"version": "1+cpu", "file": "b-1+cpu-py3.whl", "sha256": "b" * 64},
    }
    assert "index.example" not in text
