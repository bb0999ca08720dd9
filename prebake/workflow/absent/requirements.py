"""The rights and programs that ``--state absent`` needs."""

from __future__ import annotations

import os
import shutil
import sys

from prebake.bootstrap import debian_packages
from prebake.io.log import Log
from prebake.io.subprocesses import CommandFailed
from prebake.workflow.absent.errors import StateUnavailable
from prebake.workflow.absent.shaped_link import find_program

PACKAGES = {"ip": "iproute2", "tc": "iproute2", "mount": "mount", "setpriv": "util-linux", "unshare": "util-linux"}
"""The Debian package of each program that is used."""


def require_programs(log: Log) -> None:
    """Raises StateUnavailable with everything that is missing. Packages are installed if root can do that with apt-get."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise StateUnavailable(
            "`--state absent` makes network namespaces, which takes Linux and root.",
            next_action="run the command as root, or with `--state warm`",
        )
    packages = sorted({PACKAGES[name] for name in missing_programs()})
    if packages and shutil.which("apt-get"):
        try:
            debian_packages.install(packages, log)
        except CommandFailed as failed:
            log(f"absent: {failed.message}")
    if missing := missing_programs():
        names = " ".join(sorted({PACKAGES[name] for name in missing}))
        raise StateUnavailable(
            f"`--state absent` needs programs that this machine does not have: {', '.join(missing)}.",
            next_action=f"install them: `apt-get install {names}` on Debian and Ubuntu",
        )


def missing_programs() -> list[str]:
    return [name for name in PACKAGES if find_program(name) is None]
