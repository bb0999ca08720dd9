"""The page of an image of two models: one is chosen, and each has its own start, state and buttons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.container.page.conftest import TOKEN
from tests.support.browser.visit import visiting
from tests.support.container.running import running
from tests.support.container.two_models import SEVERAL, bake_two

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_each_model_is_shown_tried_and_unloaded_alone(browser: Browser, tmp_path: Path) -> None:
    variables = {**SEVERAL, "PREBAKE_ADMIN_TOKEN": TOKEN}
    with running(bake_two(tmp_path), tmp_path, variables) as server:
        server.wait_for("ready")
        with visiting(browser, server.port) as visit:
            visit.open().wait_for_form()
            assert visit.page.locator("#name").inner_text() == "pair"
            visit.page.click("#start-summary")
            assert visit.page.locator("#phases h3").all_inner_texts() == ["Server", "left", "right"]
            visit.page.select_option("#model", label="right")
            visit.field("values").fill("1,2,3,4")
            visit.send().wait_for_answer()
            visit.wait_for_text("#requests tbody tr", "right")
            visit.page.fill("#token", TOKEN)
            visit.page.click("button[data-operation=unload][data-model=right]")
            visit.wait_for_text("#operation", "Unload right: done.")
            visit.page.wait_for_selector("#send[aria-disabled=true]")
            assert visit.page.locator("#try #sendable").inner_text() == "The model is not ready yet."
            visit.page.select_option("#model", label="left")
            visit.wait_for_form().field("values").fill("1,2,3,4")
            visit.send().wait_for_answer()
            assert visit.find_serious_problems() == []
