"""The recipe of the Debian base image: its packages, and the files of them that a served model never reads."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from fnmatch import translate
from functools import cached_property
from pathlib import Path

from prebake.documents.canonical import digest_file, digest_json
from prebake.oci.platforms import host_architecture

_CODE = ("base_recipe.py", "base_layer.py", "debian_base.py")

# ``*`` crosses folders. Everything under a dropped folder goes too.
DROPPED = """
/boot /home/* /media /mnt /srv /dev/* /proc/* /sys/* /run/* /tmp/*

# of the building machine, or of the moment
/etc/hostname /etc/resolv.conf /etc/machine-id /etc/apt /var/backups/* /var/cache/* /var/log/* /var/lib/apt
/var/lib/systemd

# no package manager and no perl: an image is replaced, not changed. dpkg's status stays, for scanners
/usr/bin/perl* /usr/share/perl /usr/share/perl5 /usr/lib/*/perl /usr/lib/*/perl-base /usr/lib/*/libperl.so* /etc/perl
/usr/bin/apt* /usr/bin/dpkg* /usr/sbin/dpkg* /usr/lib/dpkg /usr/share/dpkg /etc/dpkg /etc/debconf.conf
/usr/share/debconf
/usr/bin/deb-* /usr/bin/debconf* /usr/share/doc-base /usr/sbin/update-ca-certificates
/var/lib/dpkg/info/*.list /var/lib/dpkg/info/*inst /var/lib/dpkg/info/*rm /var/lib/dpkg/info/*.shlibs
/var/lib/dpkg/info/*.symbols /var/lib/dpkg/info/*.triggers /var/lib/dpkg/info/*.templates /var/lib/dpkg/status-old

# no init, no log-ins, no terminals
/usr/lib/systemd /etc/systemd /usr/lib/udev /etc/udev /etc/init.d /etc/rc?.d /usr/lib/init /etc/cron.daily
/etc/logrotate.d
/usr/share/pam* /usr/share/bash-completion /usr/share/lintian /usr/share/bug /usr/share/menu /usr/share/man
/usr/share/info
/usr/share/locale /usr/share/util-linux /usr/share/gdb /usr/lib/valgrind /usr/share/applications /usr/share/pixmaps
/usr/share/polkit-1 /usr/share/tabset

# iconv's tables: Python has its own codecs
/usr/lib/*/gconv
/usr/lib/python3.11/lib2to3 /usr/lib/python3.11/pydoc_data /usr/lib/python3.11/idlelib /usr/lib/python3.11/turtle*
/usr/share/python3/*
"""


@dataclass(frozen=True)
class Recipe:
    """One base image. ``packages`` are added to Debian's essential ones; ``dropped`` are patterns of absolute paths."""

    suite: str = "bookworm"
    # python3.11-venv brings pip, as a wheel, for build stages; the wheels of ONNX Runtime and torch link libstdc++
    packages: tuple[str, ...] = ("ca-certificates", "libstdc++6", "python3-minimal", "python3.11-venv")
    dropped: str = DROPPED

    @property
    def key(self) -> str:
        """sha256 in hex over the recipe, this machine's architecture, and the code that makes the image."""
        code = [digest_file(Path(__file__).with_name(name)) for name in _CODE]
        return digest_json({"recipe": asdict(self), "architecture": host_architecture(), "code": code})

    @property
    def reference(self) -> str:
        """The image's name, such as ``prebake/base:bookworm-0123456789abcdef``."""
        return f"prebake/base:{self.suite}-{self.key[:16]}"

    def keeps(self, path: str) -> bool:
        """Whether the image has this file of the bootstrapped tree; ``path`` is absolute."""
        if self._drops.match(path):
            return False
        if path.startswith("/usr/share/doc/"):  # licenses stay
            return path.endswith("/copyright") or path.count("/") == 4
        return "/__pycache__" not in path or path.startswith("/usr/lib/python3.11/")

    @cached_property
    def _drops(self) -> re.Pattern[str]:
        lines = (line for line in self.dropped.splitlines() if not line.startswith("#"))
        return re.compile(
            "|".join(f"{translate(word)[:-2]}(?:/.*)?\\Z" for line in lines for word in line.split()), re.DOTALL
        )
