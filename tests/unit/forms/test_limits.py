"""How large a body may be, and the budget of memory."""

from __future__ import annotations

import json
import threading
from urllib.parse import urlencode

import pytest

from entrypoints.contract import Field
from entrypoints.forms.limits import RequestMemory, find_body_size
from entrypoints.response import HTTPException

FIELDS = (
    Field("text", "text", "", maximum=50),
    Field("count", "integer", ""),
    Field("share", "number", ""),
    Field("manner", "choice", "", choices=("näive", "plain")),
)


def test_the_largest_forms_fit() -> None:
    form = {"text": "😀" * 50, "count": "9" * 300, "share": "1" * 300, "manner": "näive"}
    limit = find_body_size(FIELDS, 10**9)
    assert len(json.dumps(form).encode()) <= limit
    assert len(urlencode(form).encode()) <= limit
    assert limit < 10_000


def test_a_file_fits_in_base64() -> None:
    limit = find_body_size((Field("clip", "file", "", maximum=3_000_000),), 10**9)
    assert 4_000_000 + 1000 <= limit <= 4_300_000


def test_a_field_without_a_limit_leaves_the_models_limit() -> None:
    assert find_body_size((*FIELDS, Field("clip", "file", "")), 12345) == 12345
    assert find_body_size((Field("text", "text", ""),), 12345) == 12345
    assert find_body_size((Field("text", "text", "", maximum=10**9),), 12345) == 12345


def test_memory_is_shared_and_given_back() -> None:
    memory = RequestMemory(100)
    with memory.share() as first, memory.share() as second:
        first.grow_to(60, "the body")
        first.grow_to(50, "the body")  # it has more already
        with pytest.raises(HTTPException) as short:
            second.grow_to(50, "the JSON")
        assert short.value.response.status == 503
        assert short.value.response.headers["retry-after"]
        with pytest.raises(HTTPException) as never:
            second.grow_to(101, "the JSON")
        assert never.value.response.status == 413
        first.shrink_to(20)
        second.grow_to(80, "the JSON")
    assert memory.used == 0


def test_a_share_that_is_closed_by_two_threads_gives_back_once() -> None:
    memory = RequestMemory(1000)
    other = memory.share()
    other.grow_to(1, "the body")
    for _ in range(200):
        share = memory.share()
        share.grow_to(500, "the body")
        threads = [threading.Thread(target=share.close) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert memory.used == 1
