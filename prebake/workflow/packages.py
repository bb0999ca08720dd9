"""How a build reaches Python packages: the machine's pip settings as secrets and a named context, so that no layer keeps them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prebake.engine.packages import PipAccess, pip_access


@dataclass(frozen=True)
class PipInputs:
    secrets: Mapping[str, Path] = field(default_factory=dict)
    contexts: Mapping[str, Path] = field(default_factory=dict)


@contextmanager
def pip_inputs(access: PipAccess | None = None) -> Iterator[PipInputs]:
    """What to hand to a build; the pip.conf among it lives as long as the block."""
    access = access or pip_access()
    with tempfile.TemporaryDirectory(prefix="prebake-pip-") as folder:
        secrets = {"ca": access.ca} if access.ca else {}
        if access.indexes:
            path = Path(folder) / "pip.conf"
            path.touch(mode=0o600)
            path.write_text(pip_configuration(access.indexes), encoding="utf-8")
            secrets["pip"] = path
        yield PipInputs(secrets, {"wheels": access.wheelhouse} if access.wheelhouse else {})


def pip_configuration(indexes: Mapping[str, str]) -> str:
    """pip's variables (``PIP_INDEX_URL``) as the ``[global]`` section of a pip.conf."""
    options = {name.removeprefix("PIP_").lower().replace("_", "-"): value for name, value in indexes.items()}
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in sorted(options.items()))
