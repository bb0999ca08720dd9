"""How this machine reaches Python packages, for the ``RUN pip install`` of a build: certificates, indexes, proxies, credentials
and a wheelhouse.

The same things let a build work behind a company's proxy, or with no network but a folder of wheels.
"""

from __future__ import annotations

import configparser
import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_CARRIED = ("trusted-host", "proxy", "timeout", "retries", "no-index")
"""pip's options of the network that mean the same in a build, beside the indexes."""
_VARIABLES = {
    "client-cert": ("PIP_CLIENT_CERT",),
    "find-links": ("PIP_FIND_LINKS",),
    "index-url": ("PIP_INDEX_URL",),
    "extra-index-url": ("PIP_EXTRA_INDEX_URL",),
    "trusted-host": ("PIP_TRUSTED_HOST",),
    "proxy": ("PIP_PROXY",),
    "timeout": ("PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"),
    "retries": ("PIP_RETRIES",),
    "no-index": ("PIP_NO_INDEX",),
}
"""By pip's option; the first that is set counts."""
_PROXIES = {"http_proxy": "httpProxy", "https_proxy": "httpsProxy", "no_proxy": "noProxy", "all_proxy": "allProxy"}
"""The variables of proxies, in small letters, with their names in Docker's ``config.json``."""


@dataclass(frozen=True)
class PipAccess:
    """``ca`` is a PEM bundle, ``netrc`` a file with logins, ``client_cert`` a PEM file with a key, ``wheelhouse`` a folder of
    wheels. ``options`` are pip's, as a pip.conf names them (``index-url``); ``proxies`` are variables in small letters.

    ``left_out`` names what a build cannot reach, such as an index on this machine's own disk.
    """

    ca: Path | None = None
    wheelhouse: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    netrc: Path | None = None
    client_cert: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)

    @property
    def on_loopback(self) -> bool:
        """Whether an index or a proxy listens on this machine's loopback, where only the host's own network reaches it."""
        addresses = [
            *(
                word
                for name in ("index-url", "extra-index-url", "proxy")
                for word in self.options.get(name, "").split()
            ),
            *(value for name, value in self.proxies.items() if name != "no_proxy"),
        ]
        return any(_is_loopback(address) for address in addresses)


def pip_access(environ: Mapping[str, str] = os.environ) -> PipAccess:
    """Read pip's environment variables and configuration files, the former first, as pip does."""
    configured = _configured(environ)
    settings = {**configured, **_from_environment(environ)}
    certificates = [environ.get("PIP_CERT"), configured.get("cert"), *(environ.get(name) for name in _CERTIFICATES)]
    links = settings.get("find-links", "").split()
    folders = [Path(link.removeprefix("file://")).expanduser() for link in links]
    houses = [folder for folder in folders if folder.is_dir()]
    indexes, local = _indexes(settings)
    unused = [link for link, folder in zip(links, folders, strict=True) if folder not in houses[:1]]
    carried = {name: " ".join(settings[name].split()) for name in _CARRIED if settings.get(name)}
    return PipAccess(
        ca=next((Path(name) for name in certificates if name and Path(name).is_file()), None),
        wheelhouse=houses[0].absolute() if houses else None,
        options={**indexes, **carried},
        left_out=(*local, *unused),
        netrc=_netrc(environ),
        client_cert=Path(settings["client-cert"]) if _is_file(settings.get("client-cert")) else None,
        proxies=dict(_proxies(environ)),
    )


def _indexes(settings: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Index addresses by pip's option, and those that lie on this machine's disk, which a build does not see."""
    indexes, local = {}, []
    for option in ("index-url", "extra-index-url"):
        addresses = settings.get(option, "").split()
        local += [address for address in addresses if address.startswith("file:")]
        remote = [address for address in addresses if not address.startswith("file:")]
        if remote:
            indexes[option] = " ".join(remote)
    return indexes, local


def _netrc(environ: Mapping[str, str]) -> Path | None:
    """As pip's HTTP library looks for it: NETRC, else ``~/.netrc`` or ``~/_netrc``."""
    home = _home(environ)
    named = [Path(environ["NETRC"]).expanduser()] if environ.get("NETRC") else [home / ".netrc", home / "_netrc"]
    return next((path for path in named if path.is_file()), None)


def _proxies(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The environment's, in small or capital letters; what it lacks as Docker's ``config.json`` says it for builds."""
    folder = Path(environ.get("DOCKER_CONFIG") or _home(environ) / ".docker")
    try:
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        configured = (document.get("proxies") or {}).get("default") or {}
    except (OSError, ValueError, AttributeError):
        configured = {}
    for variable, name in _PROXIES.items():
        if value := environ.get(variable) or environ.get(variable.upper()) or configured.get(name):
            yield variable, str(value)


def _is_loopback(address: str) -> bool:
    host = urlsplit(address if "://" in address else f"http://{address}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_file(name: str | None) -> bool:
    return bool(name) and Path(str(name)).is_file()


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or Path.home())


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """``PIP_TRUSTED_HOST`` is ``trusted-host``; an empty variable is none."""
    found = {
        option: next((environ[name] for name in names if environ.get(name)), "") for option, names in _VARIABLES.items()
    }
    return {option: value for option, value in found.items() if value}


def _configured(environ: Mapping[str, str]) -> dict[str, str]:
    """The ``[global]`` and ``[install]`` options of pip's files, later files winning, in pip's own order
    (pip's user guide, "Configuration": global, user, site, then PIP_CONFIG_FILE)."""
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return {}
    home = _home(environ)
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
