"""This machine's access to Python packages, for the ``RUN pip install`` of a build: certificates, indexes, proxies, credentials
and a wheelhouse. It lets a build work behind a company's proxy, or with a folder of wheels instead of a network.
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
_PASSED_OPTIONS = ("trusted-host", "proxy", "timeout", "retries", "no-index")
"""pip's network options, besides the indexes, that mean the same in a build."""
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
"""The environment variables of pip's options; the first that is set is used."""
_PROXIES = {"http_proxy": "httpProxy", "https_proxy": "httpsProxy", "no_proxy": "noProxy", "all_proxy": "allProxy"}
"""The variables of proxies in lower case, with their names in Docker's ``config.json``."""


@dataclass(frozen=True)
class PipAccess:
    """``ca`` is a PEM bundle, ``netrc`` a file with logins, ``client_cert`` a PEM file with a key, ``wheelhouse`` a folder of
    wheels. ``options`` are pip's, as a pip.conf names them (``index-url``); ``proxies`` are variables in lower case.

    ``unreachable`` are addresses that a build cannot reach, such as an index on this machine's disk.
    """

    ca: Path | None = None
    wheelhouse: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    unreachable: tuple[str, ...] = ()
    netrc: Path | None = None
    client_cert: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)

    @property
    def on_loopback(self) -> bool:
        """Whether an index or a proxy listens on this machine's loopback, which only the host's network reaches."""
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
    """The access by pip's environment variables and configuration files; the variables come first, as in pip."""
    configured = _configured(environ)
    settings = {**configured, **_from_environment(environ)}
    certificates = [environ.get("PIP_CERT"), configured.get("cert"), *(environ.get(name) for name in _CERTIFICATES)]
    links = settings.get("find-links", "").split()
    folders = [Path(link.removeprefix("file://")).expanduser() for link in links]
    wheelhouses = [folder for folder in folders if folder.is_dir()]
    indexes, local = _indexes(settings)
    unused = [link for link, folder in zip(links, folders, strict=True) if folder not in wheelhouses[:1]]
    carried = {name: " ".join(settings[name].split()) for name in _PASSED_OPTIONS if settings.get(name)}
    return PipAccess(
        ca=next((Path(name) for name in certificates if name and Path(name).is_file()), None),
        wheelhouse=wheelhouses[0].absolute() if wheelhouses else None,
        options={**indexes, **carried},
        unreachable=(*local, *unused),
        netrc=_netrc(environ),
        client_cert=Path(settings["client-cert"]) if _is_file(settings.get("client-cert")) else None,
        proxies=dict(_proxies(environ)),
    )


def _indexes(settings: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Addresses of indexes by pip's option, and the addresses on this machine's disk, which a build cannot reach."""
    indexes, local = {}, []
    for option in ("index-url", "extra-index-url"):
        addresses = settings.get(option, "").split()
        local += [address for address in addresses if address.startswith("file:")]
        remote = [address for address in addresses if not address.startswith("file:")]
        if remote:
            indexes[option] = " ".join(remote)
    return indexes, local


def _netrc(environ: Mapping[str, str]) -> Path | None:
    """The file that pip's HTTP library reads: that of NETRC, else ``~/.netrc`` or ``~/_netrc``."""
    home = _home(environ)
    candidates = [Path(environ["NETRC"]).expanduser()] if environ.get("NETRC") else [home / ".netrc", home / "_netrc"]
    return next((path for path in candidates if path.is_file()), None)


def _proxies(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables of proxies, in lower or upper case; those that are not set come from Docker's ``config.json``."""
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
    """pip's options of environment variables. An empty variable counts as not set."""
    options = {
        option: next((environ[name] for name in names if environ.get(name)), "") for option, names in _VARIABLES.items()
    }
    return {option: value for option, value in options.items() if value}


def _configured(environ: Mapping[str, str]) -> dict[str, str]:
    """The ``[global]`` and ``[install]`` options of pip's files. Later files override earlier ones, in pip's order (pip's
    user guide, "Configuration": global, user, site, then PIP_CONFIG_FILE)."""
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return {}
    home = _home(environ)
    shared = [Path(folder) / "pip" / "pip.conf" for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    user = [home / ".pip" / "pip.conf", Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"]
    site = [Path(environ[name]) / "pip.conf" for name in ("VIRTUAL_ENV",) if environ.get(name)]
    named = [Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []
    options: dict[str, str] = {}
    for file in [*shared, Path("/etc/pip.conf"), *user, *site, *named]:
        parser = configparser.RawConfigParser()
        if file.is_file():
            parser.read(file, encoding="utf-8")
        for section in ("global", "install"):
            if parser.has_section(section):
                options.update({name.replace("_", "-"): value for name, value in parser.items(section)})
    return options
