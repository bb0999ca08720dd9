"""The page for everybody: both languages, both colour schemes, a phone, a keyboard, and what axe-core finds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.browser.visit import DESKTOP, PHONE, Visit, visiting
from tests.support.container.running import Server, Start
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGE = ROOT / "entrypoints/page"
FOCUSED = "(({ name, id, dataset }) => name || id || dataset.operation)(document.activeElement)"


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious_and_nothing_is_too_wide(
    browser: Browser, server: Server, locale: str, scheme: str, screen: dict[str, int]
) -> None:
    with visiting(browser, server.port, locale=locale, color_scheme=scheme, viewport=screen) as visit:
        visit.open().wait_for_state("ready").wait_for_form()
        assert visit.find_serious_problems() == []
        visit.field("values").fill("1,2")
        visit.send().wait_for_failure()
        assert visit.find_serious_problems() == []
        visit.field("values").fill("1,2,3,4")
        visit.field("answer").select_option("embeddings")
        visit.field("texts").fill("a river in the evening\nan evening at a river\nroom")
        visit.send().wait_for_answer()
        visit.page.click("#start-summary")
        assert visit.find_serious_problems() == []
        assert not visit.is_wider_than_screen()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_during_a_start(start: Start, browser: Browser, scheme: str) -> None:
    server = start(TINY_START="1").wait_for("starting")
    server.wait_for_note("creating")
    with visiting(browser, server.port, color_scheme=scheme, reduced_motion="reduce") as visit:
        visit.open().wait_for_text("#phases li", "create")
        assert visit.find_serious_problems() == []


@pytest.mark.parametrize(
    ("locale", "language", "heading"),
    [("en-GB", "en", "Try the model"), ("zh-TW", "zh-CN", "试用模型"), ("de-DE", "en", "Try the model")],
)
def test_the_language_is_the_browsers(
    browser: Browser, server: Server, locale: str, language: str, heading: str
) -> None:
    with visiting(browser, server.port, locale=locale) as visit:
        visit.open().wait_for_form()
        assert visit.page.evaluate("document.documentElement.lang") == language
        assert visit.page.locator("#try-heading").inner_text() == heading


def test_the_colours_are_the_browsers(browser: Browser, server: Server) -> None:
    found = []
    for scheme in ("light", "dark"):
        with visiting(browser, server.port, color_scheme=scheme) as visit:
            visit.open().wait_for_state("ready")
            found.append(visit.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert found[0] != found[1]


def test_a_keyboard_reaches_everything_in_the_order_of_the_page(visit: Visit) -> None:
    reached: list[str] = []
    visit.page.keyboard.press("Tab")
    for _ in range(60):
        name = visit.page.evaluate(FOCUSED)
        reached.append(name or "")
        visit.page.keyboard.press("Tab")
    order = [
        "start-summary",
        "values",
        "factor",
        "repeat",
        "manner",
        "clip",
        "send",
        "unload",
        "clear",
        "token",
        "requests",
    ]
    places = [reached.index(name) for name in order]
    assert places == sorted(places)


def test_both_languages_have_every_text_and_no_other() -> None:
    """A key that a script makes from a state is named by its beginning."""
    english, chinese = (read_texts(name) for name in ("english.js", "chinese.js"))
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        names = re.findall(r"\{\w+\}", text)
        assert sorted(names) == sorted(re.findall(r"\{\w+\}", chinese[key])), key
    code = "\n".join(path.read_text() for path in PAGE.iterdir() if path.name not in ("english.js", "chinese.js"))
    used = set(re.findall(r'(?:say|sayIfKnown)\("([^"]+)"', code)) | set(re.findall(r'data-text="([^"]+)"', code))
    assert used <= english.keys()
    made = ("state.", "announce.", "requests.", "models.", "operation.", "initializing", "ready.in")
    unused = {key for key in english.keys() - used if f'"{key}"' not in code and not key.startswith(made)}
    assert unused == set()


def read_texts(name: str) -> dict[str, str]:
    return dict(re.findall(r'^  "([^"]+)": "([^"]*)",$', (PAGE / name).read_text(), re.MULTILINE))
