"""What the judges of hostile requests accept of a log and of counted statuses."""

from __future__ import annotations

from tests.support.hostile.judges import judge_counts, judge_log

LINE = '{"time": "2026-01-01T00:00:00.000Z", "level": "info", "event": "request", "status": 400}'


def test_lines_of_json_with_time_and_level_are_fine() -> None:
    assert not judge_log([LINE, LINE])


def test_other_lines_and_errors_are_counted() -> None:
    error = LINE.replace("info", "error").replace('"request"', '"generate failed"')
    found = judge_log([LINE, "Traceback (most recent call last):", "[]", '{"level": "info"}', error, error])
    assert found.total() == 5
    assert "a line of the log that is no JSON: Traceback (most recent call last):" in found
    assert found["a line of the log without time, level or event"] == 2
    assert found["a line of the log of level error: generate failed: "] == 2


def test_only_statuses_that_mean_a_fault_are_found() -> None:
    intended = {
        f'prebake_requests_total{{path="/generate",status="{status}"}}': 3.0
        for status in (200, 422, 501, 503, 504, 505)
    }
    failed = {'prebake_requests_total{path="/generate",status="500"}': 2.0, 'prebake_requests_total{status="502"}': 0.0}
    assert judge_counts({**intended, **failed}) == [
        'the server counts 2 as prebake_requests_total{path="/generate",status="500"}'
    ]
