"""The pages of docs/reference are those that the code gives."""

from __future__ import annotations

import pytest

from tools.reference.pages import PAGES, ROOT


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_gives(name: str) -> None:
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), f"{name} differs from the code: run `make reference` (`python -m tools.reference`)"


def test_every_page_of_the_folder_is_generated_and_says_so() -> None:
    pages = sorted((ROOT / "docs/reference").glob("*.md"))
    assert {path.relative_to(ROOT).as_posix() for path in pages} == {name for name in PAGES if name.endswith(".md")}
    comments = {path.read_text(encoding="utf-8").partition("\n")[0] for path in pages}
    assert len(comments) == 1
    assert "make reference" in comments.pop()
