"""Others' programs from Debian's packages, unpacked and not installed: skopeo and umoci for OCI images, Prometheus' promtool."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from prebake.bootstrap import debian_packages
from prebake.io import subprocesses
from prebake.io.cache_folder import cache_folder
from prebake.io.file_lock import hold_lock
from prebake.io.log import log_to_stderr

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
        return subprocesses.run([self.root / "usr/bin" / name, *words], env=environment, timeout=60).stdout


def oci_tools() -> Tools:
    """The programs, fetched once into the cache."""
    home = cache_folder() / "tests" / "oci-tools"
    with hold_lock(home.with_suffix(".lock")):
        if not (home / "usr/bin/skopeo").exists():
            debian_packages.unpack(_PACKAGES, home, log_to_stderr, suite=_SUITE)
    return Tools(home)


def check_metrics(page: str) -> str:
    """What promtool says of a page of metrics: nothing if the text is right and names follow the conventions."""
    home = cache_folder() / "tests" / "promtool"
    with hold_lock(home.with_suffix(".lock")):
        if not (home / "usr/bin/promtool").exists():
            debian_packages.unpack(("prometheus",), home, log_to_stderr, suite=_SUITE)
    command: list[str | Path] = [home / "usr/bin/promtool", "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, text=True, timeout=60, check=False)
    return f"{done.stdout}{done.stderr}" if done.returncode or done.stderr else ""
