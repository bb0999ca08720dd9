"""What the message says of a verdict that is unclear."""

from __future__ import annotations

from prebake.measure.gate.message import summarize_noise
from tests.support.measure.gate_documents import make_document


def test_a_noisy_machine_is_described_by_how_noisy_it_is() -> None:
    text = summarize_noise(make_document(pairs=40))
    assert "one start differs from the next by 4.0%" in text
    assert "load 0.4 before and 1.2 after" in text


def test_too_few_pairs_are_not_a_noisy_machine() -> None:
    text = summarize_noise(make_document(pairs=3) | {"max_pairs": 3})
    assert "too few for any verdict: 8 are needed at least (--max-pairs 3)" in text
    assert "noisy" not in text
