"""The screenshots of docs/page.md, made of a server that runs. ``PREBAKE_GOLDEN=write`` writes them again."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.browser.visit import PHONE, Visit, visiting
from tests.support.container.running import Start
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = ROOT / "docs/page"
SCREEN = {"width": 1000, "height": 700}
MAX_BYTES = 120_000


def test_the_documents_show_a_start_and_an_answer(start: Start, browser: Browser, tmp_path: Path) -> None:
    """Times, and with them pixels, differ between two runs: what is compared is that the pictures exist and have this size."""
    folder = FOLDER if os.environ.get("PREBAKE_GOLDEN") == "write" else tmp_path
    folder.mkdir(exist_ok=True)
    server = start(TINY_START="1", PREBAKE_ADMIN_TOKEN="a-secret").wait_for("starting")
    server.wait_for_note("creating")
    with visiting(browser, server.port, viewport=SCREEN, color_scheme="light") as visit:
        visit.open().wait_for_text("#phases li", "create")
        take(visit, folder / "start.png")
        server.leave_note("go")
        compare(visit.wait_for_form())
        take(visit, folder / "answer.png")
    chinese = {"viewport": PHONE, "color_scheme": "dark", "locale": "zh-CN"}
    with visiting(browser, server.port, **chinese) as visit:
        visit.open().wait_for_form()
        take(visit, folder / "phone.png")
    names = ["answer.png", "phone.png", "start.png"]
    assert sorted(path.name for path in folder.iterdir() if path.name in names) == names
    for name in names:
        assert read_size(folder / name) == read_size(FOLDER / name)
        assert (FOLDER / name).stat().st_size < MAX_BYTES


def compare(visit: Visit) -> None:
    visit.field("values").fill("1,2,3,4")
    visit.field("answer").select_option("embeddings")
    visit.field("texts").fill("a river in the evening\nan evening at a river\na green room")
    visit.send().wait_for_answer().scroll_into_view_if_needed()


def take(visit: Visit, path: Path) -> None:
    visit.page.screenshot(path=path, animations="disabled")


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG in pixels (its IHDR chunk)."""
    width, height = struct.unpack(">2I", path.read_bytes()[16:24])
    return width, height
