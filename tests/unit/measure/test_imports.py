from __future__ import annotations

import pytest

from prebake.measure.report.import_time import import_seconds


def phase(name: str, start: float, seconds: float | None) -> dict[str, object]:
    return {"name": name, "start": start, "seconds": seconds}


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([], 0.0),
        ([phase("bind", 0.0, 1.0), phase("imports", 0.0, 1.0)], 0.0),
        ([phase("import a", 1.0, 0.5), phase("import b", 2.0, 0.25)], 0.75),
        ([phase("import b", 1.25, 0.5), phase("import a", 1.0, 0.5)], 0.75),
        ([phase("import a", 1.0, 1.0), phase("import b", 1.25, 0.5)], 1.0),
        ([phase("import a", 1.0, 1.0), phase("import b", 1.5, None)], 1.0),
    ],
)
def test_imports_at_the_same_time_count_once(phases: list[dict[str, object]], expected: float) -> None:
    assert import_seconds({"phases": phases}) == pytest.approx(expected)
