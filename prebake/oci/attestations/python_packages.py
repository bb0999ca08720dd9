"""The Python packages of an image, by their ``.dist-info`` folders and by pip's reports of the wheels that it installed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from urllib.parse import quote

from packaging.utils import NormalizedName, canonicalize_name

from prebake.oci.attestations.package import Package
from prebake.spec.image.licenses import canonical_license, is_license

WHEELS = "prebake-wheels.json"
"""The file that ``templates/cleanup/wheels.py`` writes next to the packages."""

METADATA = re.compile(
    r"(?:(?:.*/)?(?:site|dist)-packages|opt/prebake)/[^/]+(?:\.dist-info/METADATA|\.egg-info/PKG-INFO)"
)
"""The metadata of installed packages in the folders that Python searches (no leading slash)."""

_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_MAX_LICENSE_CHARACTERS = 100  # some packages give the whole text as the name
# PyPI's classifiers that name one license; "BSD License" and the like leave open which.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}
# The free text of ``License:``, in lower case, without "license", "software", "the" and signs.
_NAMES = {
    "apache": "Apache-2.0",
    "apache20": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apachev2": "Apache-2.0",
    "apacheversion20": "Apache-2.0",
    "3clausebsd": "BSD-3-Clause",
    "bsd3clause": "BSD-3-Clause",
    "newbsd": "BSD-3-Clause",
    "modifiedbsd": "BSD-3-Clause",
    "2clausebsd": "BSD-2-Clause",
    "bsd2clause": "BSD-2-Clause",
    "simplifiedbsd": "BSD-2-Clause",
    "mpl20": "MPL-2.0",
    "psf": "PSF-2.0",
}


@dataclass(frozen=True)
class PinnedPackage:
    """A Python package of a lock; ``hashes`` are the sha256 of every file that pip may install it from."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read_requirements(text: str) -> Iterator[PinnedPackage]:
    """The packages that a requirements lock pins, in its order."""
    for line in text.replace("\\\n", " ").splitlines():
        if match := _REQUIREMENT.match(line):
            yield PinnedPackage(match[1], match[2], tuple(_HASH.findall(line)))


def python_packages(files: Mapping[str, bytes], requirements: str = "") -> list[Package]:
    """Every package of an image's ``files`` (by path, no leading slash), sorted by name.

    A package's archive is the one of pip's report if that has this version, else the lock's if it allows only one.
    """
    known = {(canonicalize_name(pin.name), pin.version): pin.hashes for pin in read_requirements(requirements)}
    reports = _read_reports(files)
    packages = [
        _package(path, data, reports.get(path.rpartition("/")[0].rpartition("/")[0], {}), known)
        for path, data in files.items()
        if METADATA.fullmatch(path)
    ]
    named = (package for package in packages if package.name)
    return sorted(named, key=lambda package: (canonicalize_name(package.name), package.path))


def _read_reports(files: Mapping[str, bytes]) -> dict[str, dict[str, Mapping[str, str]]]:
    """The wheels of pip's reports, by folder and by name."""
    reports = {}
    for path, data in files.items():
        if path.endswith(f"/{WHEELS}"):
            wheels = {canonicalize_name(name): wheel for name, wheel in json.loads(data).items()}
            reports[path.rpartition("/")[0]] = {str(name): wheel for name, wheel in wheels.items()}
    return reports


def _package(
    path: str,
    data: bytes,
    wheels: Mapping[str, Mapping[str, str]],
    known: Mapping[tuple[NormalizedName, str], tuple[str, ...]],
) -> Package:
    fields = BytesParser().parsebytes(data, headersonly=True)
    name, version = str(fields["Name"] or ""), str(fields["Version"] or "")
    plain = canonicalize_name(name)
    wheel = wheels.get(plain, {})
    if wheel.get("version") != version:
        wheel = {}
    allowed = known.get((plain, version), ())
    return Package(
        name,
        version,
        f"pkg:pypi/{plain}@{quote(version, safe='')}",
        choose_license(
            str(fields["License-Expression"] or ""),
            [str(classifier) for classifier in fields.get_all("Classifier", [])],
            str(fields["License"] or ""),
        ),
        wheel.get("file", ""),
        wheel.get("sha256") or (allowed[0] if len(allowed) == 1 else ""),
        f"/{path.rpartition('/')[0]}",
    )


def choose_license(expression: str, classifiers: list[str], text: str) -> str:
    """A license by the fields of the core metadata, the newest first: ``License-Expression``, ``License`` if it is an expression
    or names one license, the classifiers, else the first line of ``License``."""
    if is_license(expression):
        return canonical_license(expression)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if is_license(first):
        return canonical_license(first)
    bare = re.sub(r"\b(the|licen[sc]e|software)\b", " ", first.lower()).strip()
    plain = re.sub(r"[^a-z0-9]", "", bare)
    if plain in _NAMES or is_license(bare):
        return _NAMES.get(plain) or canonical_license(bare)
    names = [name.rpartition(" :: ")[2] for name in classifiers if name.startswith("License :: ")]
    identifiers = list(dict.fromkeys(_CLASSIFIERS[name] for name in names if name in _CLASSIFIERS))
    if identifiers and len(identifiers) == len(set(names) - {"OSI Approved"}):
        return " OR ".join(identifiers) if len(identifiers) > 1 else identifiers[0]
    return first[:_MAX_LICENSE_CHARACTERS] or ", ".join(name for name in names if name != "OSI Approved")
