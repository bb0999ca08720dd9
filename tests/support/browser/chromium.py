"""Chromium, on Debian of its package, driven by Playwright. Playwright's own browser is not used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prebake.bootstrap import debian_packages
from prebake.io.cache_folder import cache_folder
from prebake.io.file_lock import hold_lock
from prebake.io.log import log_to_stderr

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROGRAMS = ("chromium", "google-chrome")
"""The first that is there. GitHub's runners have the second: Ubuntu's package chromium would need snap."""
PACKAGES = ("chromium", "fonts-wqy-microhei")
"""With a font that has Chinese characters, for the screenshots."""


@contextmanager
def running_chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # few tests need it

    program = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-proxy-server", "--lang=en"])
        try:
            yield browser
        finally:
            browser.close()


def find_chromium() -> str:
    """The program. If it is missing it is installed, on Debian and as root: it needs too many libraries to run from a folder."""
    with hold_lock(cache_folder() / "tests" / "chromium.lock"):
        found = find_program()
        if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
            debian_packages.install(PACKAGES, log_to_stderr)
            found = find_program()
    if found is None:
        raise AssertionError(f"the tests of the page need Chromium: apt-get install {' '.join(PACKAGES)}")
    return found


def find_program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)
