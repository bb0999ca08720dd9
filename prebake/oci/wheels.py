"""The Python packages that an image holds: what their ``.dist-info`` says, and which wheels pip took."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from urllib.parse import quote

from packaging.utils import NormalizedName, canonicalize_name

from prebake.oci.package import Package
from prebake.spec.licences import canonical_licence, is_licence

WHEELS = "prebake-wheels.json"
"""What ``templates/cleanup/wheels.py`` writes beside the packages."""

METADATA = re.compile(
    r"(?:(?:.*/)?(?:site|dist)-packages|opt/prebake)/[^/]+(?:\.dist-info/METADATA|\.egg-info/PKG-INFO)"
)
"""The files that say what is installed, where Python looks for them (no slash in front)."""

_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LONGEST = 100  # of a licence's name: some packages give the whole text
# PyPI's classifiers that name one licence; "BSD License" and the like leave open which.
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
class Locked:
    """A Python package as a lock pins it; ``hashes`` are the sha256 of every file that it may come as."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read_requirements(text: str) -> Iterator[Locked]:
    """The packages that a requirements lock pins, in its order."""
    for line in text.replace("\\\n", " ").splitlines():
        if found := _REQUIREMENT.match(line):
            yield Locked(found[1], found[2], tuple(_HASH.findall(line)))


def python_packages(files: Mapping[str, bytes], requirements: str = "") -> list[Package]:
    """Of an image's ``files`` (by path, no slash in front) every installed package, by name.

    The archive that one came from is what pip's report says of this version; else, if the lock allows only one, that one.
    """
    known = {(canonicalize_name(each.name), each.version): each.hashes for each in read_requirements(requirements)}
    listed = _listed(files)
    found = [
        _package(path, data, listed.get(path.rpartition("/")[0].rpartition("/")[0], {}), known)
        for path, data in files.items()
        if METADATA.fullmatch(path)
    ]
    return sorted((each for each in found if each.name), key=lambda each: (canonicalize_name(each.name), each.path))


def _listed(files: Mapping[str, bytes]) -> dict[str, dict[str, Mapping[str, str]]]:
    """What pip's reports say, by folder and by the packages' names."""
    found = {}
    for path, data in files.items():
        if path.endswith(f"/{WHEELS}"):
            wheels = {canonicalize_name(name): wheel for name, wheel in json.loads(data).items()}
            found[path.rpartition("/")[0]] = {str(name): wheel for name, wheel in wheels.items()}
    return found


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
        licence_of(
            str(fields["License-Expression"] or ""),
            [str(each) for each in fields.get_all("Classifier", [])],
            str(fields["License"] or ""),
        ),
        wheel.get("file", ""),
        wheel.get("sha256") or (allowed[0] if len(allowed) == 1 else ""),
        f"/{path.rpartition('/')[0]}",
    )


def licence_of(expression: str, classifiers: list[str], text: str) -> str:
    """By the core metadata's fields, the newest first: ``License-Expression``, ``License`` if it is an expression or names
    one licence, the classifiers, else what ``License`` says in its first line."""
    if is_licence(expression):
        return canonical_licence(expression)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if is_licence(first):
        return canonical_licence(first)
    bare = re.sub(r"\b(the|licen[sc]e|software)\b", " ", first.lower()).strip()
    plain = re.sub(r"[^a-z0-9]", "", bare)
    if plain in _NAMES or is_licence(bare):
        return _NAMES.get(plain) or canonical_licence(bare)
    names = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    found = list(dict.fromkeys(_CLASSIFIERS[name] for name in names if name in _CLASSIFIERS))
    if found and len(found) == len(set(names) - {"OSI Approved"}):
        return " OR ".join(found) if len(found) > 1 else found[0]
    return first[:_LONGEST] or ", ".join(name for name in names if name != "OSI Approved")
