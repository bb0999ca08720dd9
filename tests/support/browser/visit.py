"""A visit of the page: what a person does and sees, and what no visit may bring about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  violations.push(`${violatedDirective} ${blockedURI}`);
});
"""
SERIOUS = ("serious", "critical")


class Visit:
    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        self.address = f"http://127.0.0.1:{port}/"
        self._port = port
        self.requested: list[str] = []
        self.errors: list[str] = []
        page.add_init_script(NOTE_VIOLATIONS)
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self) -> Visit:
        self.page.goto(self.address)
        return self

    def wait_for_state(self, state: str) -> Visit:
        self.page.wait_for_selector(f"#state[data-state={state}]")
        return self

    def wait_for_form(self) -> Visit:
        self.page.wait_for_selector("#send[aria-disabled=false]")
        return self

    def field(self, name: str) -> Locator:
        return self.page.locator(f"#form [name={name}]")

    def send(self) -> Visit:
        self.page.click("#send")
        return self

    def wait_for_answer(self) -> Locator:
        answer = self.page.locator("#answer")
        answer.wait_for()
        return answer

    def wait_for_failure(self) -> str:
        failure = self.page.locator("#failure")
        failure.wait_for()
        return failure.inner_text()

    def wait_for_text(self, selector: str, text: str) -> None:
        self.page.locator(selector, has_text=text).first.wait_for()

    def violations(self) -> list[str]:
        """What the Content-Security-Policy forbade."""
        found: list[str] = self.page.evaluate("window.violations")
        return found

    def check(self) -> None:
        """Nothing was fetched from elsewhere, no script failed, and the page does nothing that its policy forbids."""
        hosts = {urlsplit(url).netloc for url in self.requested if not url.startswith("blob:")}
        assert hosts == {f"127.0.0.1:{self._port}"}
        assert self.errors == []
        assert self.violations() == []

    def find_serious_problems(self) -> list[str]:
        """What axe-core finds to be serious or critical for people with disabilities."""
        self.page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
        found = self.page.evaluate("axe.run()")
        return [
            f"{each['id']}: {json.dumps([node['html'][:200] for node in each['nodes']])}"
            for each in found["violations"]
            if each["impact"] in SERIOUS
        ]

    def is_wider_than_screen(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@contextmanager
def visiting(browser: Browser, port: int, **options: Any) -> Iterator[Visit]:
    """``options``: of Playwright's ``new_context``. The visit is checked at its end."""
    context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-US", **options})
    try:
        visit = Visit(context.new_page(), port)
        yield visit
        visit.check()
    finally:
        context.close()
