"""How a build reaches Python packages: the machine's pip settings as secrets and a named context, so that no layer keeps them."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prebake.engine.packages import PipAccess, pip_access


@dataclass(frozen=True)
class PipInputs:
    """``secrets`` are files by id, ``contexts`` folders by name; ``network`` is the build's: ``host`` if an index or a proxy
    listens on this machine's loopback."""

    secrets: Mapping[str, Path] = field(default_factory=dict)
    contexts: Mapping[str, Path] = field(default_factory=dict)
    network: str = "default"


@contextmanager
def pip_inputs(access: PipAccess | None = None) -> Iterator[PipInputs]:
    """What to hand to a build; the files written for it live as long as the block."""
    access = access or pip_access()
    with tempfile.TemporaryDirectory(prefix="prebake-pip-") as folder:
        files = {"ca": access.ca, "netrc": access.netrc, "client": access.client_cert}
        secrets = {name: path for name, path in files.items() if path}
        texts = {"pip": pip_configuration(access.options), "proxy": proxy_variables(access.proxies)}
        for name, text in texts.items():
            if text:
                secrets[name] = Path(folder, name)
                secrets[name].touch(mode=0o600)
                secrets[name].write_text(text, encoding="utf-8")
        contexts = {"wheels": access.wheelhouse} if access.wheelhouse else {}
        yield PipInputs(secrets, contexts, "host" if access.on_loopback else "default")


def pip_configuration(options: Mapping[str, str]) -> str:
    """pip's options as the ``[global]`` section of a pip.conf; empty without any."""
    lines = [f"{name} = {value}" for name, value in sorted(options.items())]
    return "\n".join(["[global]", *lines, ""]) if lines else ""


def proxy_variables(proxies: Mapping[str, str]) -> str:
    """Lines of a shell that set the variables of proxies, in both cases; empty without any."""
    both = ((each, value) for name, value in sorted(proxies.items()) for each in (name, name.upper()))
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in both)
