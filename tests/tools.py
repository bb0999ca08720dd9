"""Others' programs for OCI images: Debian's skopeo and umoci, unpacked and not installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from prebake import process
from prebake.disk import cache_folder
from prebake.engine import debian
from prebake.engine.lock import locked
from prebake.process import narrate

_SUITE = "bookworm"  # one for every machine: its programs load on later C libraries, and its libraries' names are known
_PACKAGES = ("skopeo", "umoci", "libgpgme11", "libassuan0", "libgpg-error0", "libdevmapper1.02.1")


@dataclass(frozen=True)
class Tools:
    """The programs' root folder."""

    root: Path

    def skopeo(self, *words: str | Path) -> str:
        """Run it, and give what it printed. Raises CommandFailed."""
        return self._run("skopeo", "--insecure-policy", *words)

    def umoci(self, *words: str | Path) -> str:
        return self._run("umoci", *words)

    def _run(self, name: str, *words: str | Path) -> str:
        libraries = ":".join(str(each) for pattern in ("usr/lib/*", "lib/*") for each in self.root.glob(pattern))
        environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
        return process.run([self.root / "usr/bin" / name, *words], env=environment, timeout=60).stdout


def oci_tools() -> Tools:
    """The programs, fetched once into the cache."""
    home = cache_folder() / "tests" / "oci-tools"
    with locked(home.with_suffix(".lock"), what="the tests' skopeo and umoci"):
        if not (home / "usr/bin/skopeo").exists():
            debian.unpack(_PACKAGES, home, narrate, suite=_SUITE)
    return Tools(home)
