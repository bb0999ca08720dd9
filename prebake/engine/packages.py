"""How this machine reaches Python packages, for the ``RUN pip install`` of a build: its CA bundle, indexes and
wheelhouse.

The same things let a build work behind a company's proxy, or with no network but a folder of wheels.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True)
class PipAccess:
    """``ca`` is a PEM bundle, ``wheelhouse`` a folder of wheels; ``indexes`` are pip's variables for the build's
    environment.

    ``left_out`` names what a build cannot reach, such as an index on this machine's own disk.
    """

    ca: Path | None = None
    wheelhouse: Path | None = None
    indexes: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def pip_access(environ: Mapping[str, str] = os.environ) -> PipAccess:
    """Read pip's environment variables and configuration files, the former first, as pip does."""
    settings = _configured(environ)
    certificates = (
        [environ.get(name) for name in _CERTIFICATES[:1]]
        + [settings.get("cert")]
        + [environ.get(name) for name in _CERTIFICATES[1:]]
    )
    links = (environ.get("PIP_FIND_LINKS") or settings.get("find-links", "")).split()
    folders = [Path(link.removeprefix("file://")).expanduser() for link in links]
    houses = [folder for folder in folders if folder.is_dir()]
    indexes, local = _indexes(environ, settings)
    unused = [link for link, folder in zip(links, folders, strict=True) if folder not in houses[:1]]
    return PipAccess(
        ca=next((Path(name) for name in certificates if name and Path(name).is_file()), None),
        wheelhouse=houses[0].absolute() if houses else None,
        indexes=indexes,
        left_out=(*local, *unused),
    )


def _indexes(environ: Mapping[str, str], settings: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Index addresses by pip's variable, and those that lie on this machine's disk, which a build does not see."""
    indexes, local = {}, []
    for variable, option in (("PIP_INDEX_URL", "index-url"), ("PIP_EXTRA_INDEX_URL", "extra-index-url")):
        addresses = (environ.get(variable) or settings.get(option, "")).split()
        local += [address for address in addresses if address.startswith("file:")]
        remote = [address for address in addresses if not address.startswith("file:")]
        if remote:
            indexes[variable] = " ".join(remote)
    return indexes, local


def _configured(environ: Mapping[str, str]) -> dict[str, str]:
    """The ``[global]`` and ``[install]`` options of pip's files, later files winning, in pip's own order
    (pip's user guide, "Configuration": global, user, site, then PIP_CONFIG_FILE)."""
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return {}
    home = Path(environ.get("HOME") or Path.home())
    shared = [Path(folder) / "pip" / "pip.conf" for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    user = [home / ".pip" / "pip.conf", Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"]
    site = [Path(environ[name]) / "pip.conf" for name in ("VIRTUAL_ENV",) if environ.get(name)]
    named = [Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []
    found: dict[str, str] = {}
    for file in [*shared, Path("/etc/pip.conf"), *user, *site, *named]:
        parser = configparser.RawConfigParser()
        if file.is_file():
            parser.read(file, encoding="utf-8")
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update({name.replace("_", "-"): value for name, value in parser.items(section)})
    return found
