"""The Debian packages of an image, by dpkg's status and the machine-readable copyright files (Debian's "copyright-format
1.0")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from email.parser import BytesParser
from urllib.parse import quote

from prebake.oci.attestations.package import Package
from prebake.spec.image.licenses import canonical_license, is_license, license_reference

FILES = re.compile(r"var/lib/dpkg/status(?:\.d/[^/]+)?|usr/share/doc/[^/]+/copyright|(?:etc|usr/lib)/os-release")
"""The files that are read (no leading slash). Images without a package manager have a status file for each package."""

_FORMAT = b"copyright-format/1.0"
_FAMILY = re.compile(r"(A?GPL|LGPL|GFDL)-v?(\d)(?:\.(\d))?(?:\.0)?(\+)?", re.IGNORECASE)
_NAMES = {
    "expat": "MIT",
    "artistic": "Artistic-1.0",
    "psf-2": "PSF-2.0",
    "zlib/libpng": "Zlib",
    "pd": "LicenseRef-public-domain",
}


def debian_packages(files: Mapping[str, bytes]) -> list[Package]:
    """Every package of an image's ``files`` (by path) that dpkg lists as installed, sorted by name."""
    distribution, release = _distribution(files)
    suffix = f"&distro={distribution}-{release}" if release else ""
    entries = [entry for path in sorted(files) if _is_status(path) for entry in _entries(files[path])]
    installed = {(entry["Package"], entry.get("Architecture", "")): entry for entry in entries if _is_installed(entry)}
    copyrights = _copyrights(files, list(installed.values()))
    packages = [
        Package(
            name,
            entry.get("Version", ""),
            f"pkg:deb/{distribution}/{quote(name)}@{quote(entry.get('Version', ''), safe=':')}?arch={architecture}{suffix}",
            _license(copyrights.get(name, b"")),
            path=f"/usr/share/doc/{name}" if name in copyrights else "",
        )
        for (name, architecture), entry in sorted(installed.items())
    ]
    return [package for package in packages if package.version]


def _is_status(path: str) -> bool:
    return path.startswith("var/lib/dpkg/status") and not path.endswith(".md5sums")


def _entries(data: bytes) -> Iterator[Mapping[str, str]]:
    for part in re.split(rb"\n\s*\n", data):
        fields = {key: str(value) for key, value in BytesParser().parsebytes(part.lstrip(), headersonly=True).items()}
        if "Package" in fields:
            yield fields


def _is_installed(entry: Mapping[str, str]) -> bool:
    """A removed package may keep its entry for its configuration. Entries of ``status.d`` have no such field."""
    return entry.get("Status", "install ok installed").split()[-1] == "installed"


def _distribution(files: Mapping[str, bytes]) -> tuple[str, str]:
    """``ID`` and ``VERSION_ID`` of os-release; Ubuntu and others with dpkg have their own."""
    text = next((files[path] for path in ("usr/lib/os-release", "etc/os-release") if path in files), b"")
    values = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', text.decode("utf-8", "replace"), re.MULTILINE))
    return values.get("ID", "debian"), values.get("VERSION_ID", "")


def _copyrights(files: Mapping[str, bytes], entries: Sequence[Mapping[str, str]]) -> dict[str, bytes]:
    """Copyright files by package. A package's folder may be a link to that of another package of the same source."""
    by_source: dict[str, bytes] = {}
    by_name: dict[str, bytes] = {}
    for entry in entries:
        name = entry["Package"]
        if (data := files.get(f"usr/share/doc/{name}/copyright")) is not None:
            by_name[name] = data
            by_source.setdefault(_source(entry), data)
    copyrights = {entry["Package"]: by_name.get(entry["Package"]) or by_source.get(_source(entry)) for entry in entries}
    return {name: data for name, data in copyrights.items() if data}


def _source(entry: Mapping[str, str]) -> str:
    return entry.get("Source", entry["Package"]).partition(" ")[0]


def _license(copyright: bytes) -> str:
    """All licenses of the file as one expression; empty if it is not machine-readable."""
    if _FORMAT not in copyright[:500]:
        return ""
    names = re.findall(r"^License:[ \t]*(\S.*)$", copyright.decode("utf-8", "replace"), re.MULTILINE)
    expressions = [_expression(name.strip()) for name in names]
    parts = [[text] if " OR " in text else text.split(" AND ") for text in expressions]
    terms = list(dict.fromkeys(term for part in parts for term in part))
    return " AND ".join(f"({term})" if " OR " in term and len(terms) > 1 else term for term in terms)


def _expression(name: str) -> str:
    """An SPDX expression for a short name: licenses joined by ``and``, which binds closer, ``or`` and commas."""
    text = re.sub(r",\s*(and|or)\s", r" \1 ", name).replace(", ", " and ")
    either = []
    for part in re.split(r"\s+or\s+", text):
        both = dict.fromkeys(_identifier(term) for term in re.split(r"\s+and(?:/or)?\s+", part) if term.strip())
        either.append(" AND ".join(both))
    return " OR ".join(dict.fromkeys(term for term in either if term)) or license_reference(name)


def _identifier(name: str) -> str:
    """The SPDX identifier of a license's short name; ``LicenseRef-…`` if SPDX does not list it, or it has an exception."""
    name = name.strip()
    if mapped := _NAMES.get(name.lower()):
        return mapped
    if family := _FAMILY.fullmatch(name):
        version = f"{family[2]}.{family[3] or 0}"
        identifier = f"{family[1]}-{version}-{'or-later' if family[4] else 'only'}"
        return canonical_license(identifier) if is_license(identifier) else license_reference(name)
    single = re.fullmatch(r"[A-Za-z0-9.-]+", name)
    return canonical_license(name) if single and is_license(name) else license_reference(name)
