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
            assert visit.page.locator("#try #sendable").inner_text() == "The model takes no requests now."
            visit.page.select_option("#model", label="left")
            visit.wait_for_form().field("values").fill("1,2,3,4")
            visit.send().wait_for_answer()
            assert visit.find_serious_problems() == []


def test_the_form_comes_with_the_first_load(browser: Browser, tmp_path: Path) -> None:
    """A model that is loaded on demand says late which fields it takes."""
    with running(bake_two(tmp_path), tmp_path, {**SEVERAL, "PREBAKE_PRELOAD": "lazy"}) as server:
        server.wait_for("ready")
        with visiting(browser, server.port) as visit:
            visit.open().wait_for_state("ready")
            assert visit.page.locator("#try-wait").is_visible()
            assert visit.page.locator(".model .state").all_inner_texts() == ["Unloaded", "Unloaded"]
            for name in ("right", "left"):
                path = f"/v2/models/{name}/generate"
                assert server.client.post(path, json={"values": "1,2,3,4"}).status_code == 200
                visit.page.wait_for_selector(f"#model option:text-is('{name}')", state="attached")
            assert visit.page.locator("#model option:checked").inner_text() == "right"
            visit.wait_for_form().field("values").fill("1,2,3,4")
            visit.send().wait_for_answer()
            visit.wait_for_text("#hits", "Hit rate: 33%")
            assert server.metric('prebake_residency_hits_total{model="right"}') == 1
