"""The page while the model starts, in Chromium."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.support.browser.visit import visiting
from tests.support.container.running import Start

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_start_is_shown_survives_a_reload_and_ends_with_ready(start: Start, browser: Browser) -> None:
    server = start(TINY_START="1").wait_for("starting")
    server.wait_for_note("creating")
    with visiting(browser, server.port) as visit:
        for again in (False, True):
            visit.page.reload() if again else visit.open()
            visit.wait_for_state("starting")
            visit.wait_for_text("#phases li", "create")
            assert visit.page.locator("#start-summary").inner_text().startswith("Model initializing: ")
            assert visit.page.locator("#announcement").inner_text() == "Model initializing."
            running = visit.page.locator("#phases li", has_text="create")
            assert "running" in running.inner_text()
            assert running.locator(".bar").evaluate("(bar) => bar.getBoundingClientRect().width") > 0
            assert visit.page.evaluate("performance.getEntriesByName('first-contentful-paint').length") == 1
        server.leave_note("go")
        visit.wait_for_state("ready").wait_for_form()
        announcement = visit.page.locator("#announcement")
        assert announcement.get_attribute("aria-live") == "polite"
        assert announcement.inner_text() == "Ready. The model can be tried."
        assert visit.page.locator("#start-summary").inner_text().startswith("Ready after ")
        assert not visit.page.locator("#phases").is_visible()


def test_a_failed_start_is_shown_with_its_reason(start: Start, browser: Browser) -> None:
    server = start(TINY_BREAK="1", PREBAKE_FAILURE_EXIT_DELAY="60").wait_for("failed")
    with visiting(browser, server.port) as visit:
        visit.open().wait_for_state("failed")
        assert "create failed" in visit.page.locator("#reason").inner_text()
        assert visit.page.locator("#announcement").inner_text() == "The start failed."


def test_a_server_that_is_gone_is_noticed(start: Start, browser: Browser) -> None:
    server = start().wait_for("ready")
    with visiting(browser, server.port) as visit:
        visit.open().wait_for_state("ready")
        server.process.send_signal(signal.SIGKILL)
        visit.wait_for_state("unreachable")
        assert "does not answer" in visit.page.locator("#announcement").inner_text()
