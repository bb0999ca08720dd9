"""The buttons of an operator: load, unload and clear, with and without the token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.container.page.conftest import TOKEN
from tests.support.browser.visit import Visit, visiting
from tests.support.container.running import Start

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def press(visit: Visit, operation: str) -> None:
    visit.page.click(f"button[data-operation={operation}]")


def test_a_model_is_cleared_unloaded_and_loaded_with_the_token(start: Start, browser: Browser) -> None:
    server = start(PREBAKE_ADMIN_TOKEN=TOKEN).wait_for("ready")
    with visiting(browser, server.port) as visit:
        visit.open().wait_for_form().page.fill("#token", TOKEN)
        press(visit, "clear")
        visit.wait_for_text("#operation", "before")
        press(visit, "unload")
        visit.wait_for_text("#operation", "Unload tiny: done.")
        visit.wait_for_text(".model .state", "Unloaded")
        visit.page.wait_for_selector("#send[aria-disabled=true]")
        assert visit.page.evaluate("document.activeElement.dataset.operation") == "load"
        press(visit, "load")
        visit.wait_for_text("#operation", "Load tiny: done.")
        visit.wait_for_form().field("values").fill("1,2,3,4")
        visit.send().wait_for_answer()
        assert not any(TOKEN in url for url in visit.requested)
        stored = visit.page.evaluate(
            "[...Object.values(localStorage), ...Object.values(sessionStorage), document.cookie]"
        )
        assert stored == [""]


def test_a_token_in_the_fragment_is_taken_and_leaves_the_address(start: Start, browser: Browser) -> None:
    """As `prebake run --open` gives it."""
    server = start(PREBAKE_ADMIN_TOKEN=TOKEN).wait_for("ready")
    with visiting(browser, server.port) as visit:
        visit.page.goto(f"{visit.address}#token={TOKEN}")
        visit.wait_for_form()
        assert visit.page.url == visit.address
        press(visit, "clear")
        visit.wait_for_text("#operation", "before")
        assert not any(TOKEN in url.partition("#")[0] for url in visit.requested)


def test_without_the_token_the_server_refuses_and_nothing_changes(start: Start, browser: Browser) -> None:
    server = start(PREBAKE_ADMIN_TOKEN=TOKEN).wait_for("ready")
    with visiting(browser, server.port) as visit:
        visit.open().wait_for_form()
        for token in ("", "wrong"):
            visit.page.fill("#token", token)
            with visit.page.expect_response("**/unload") as refused:
                press(visit, "unload")
            assert refused.value.status == 401
            message = visit.page.locator("#operation.failure")
            message.wait_for()
            assert message.inner_text() == refused.value.json()["error"]
            assert visit.page.evaluate("document.activeElement.id") == "token"
        assert server.post(json={"values": "1,2,3,4"}).status_code == 200


def test_a_container_without_a_token_shows_no_buttons(start: Start, browser: Browser) -> None:
    server = start().wait_for("ready")
    with visiting(browser, server.port) as visit:
        visit.open().wait_for_form()
        assert visit.page.locator("#no-token").is_visible()
        assert visit.page.locator("button[data-operation]").count() == 0
        assert not visit.page.locator("#operator").is_visible()
