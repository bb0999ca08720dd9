"""docs/reference/report.md has every key of report.json."""

from __future__ import annotations

import dataclasses

from prebake.measure.report.report_files import LayerReport
from prebake.workflow.delivery.outputs import Delivery
from prebake.workflow.pipeline.step import pipeline_document
from tools.reference.report import ALWAYS, LAYER, OUTPUT, SOMETIMES, STEP, find_keys, find_report_keys


def test_every_key_that_a_build_writes_is_described() -> None:
    assert find_report_keys() == {*ALWAYS, *SOMETIMES}
    assert not ALWAYS.keys() & SOMETIMES.keys()


def test_every_key_of_an_entry_is_described() -> None:
    assert {each.name for each in dataclasses.fields(LayerReport)} == set(LAYER)
    assert {each.name for each in dataclasses.fields(Delivery)} == set(OUTPUT)
    assert find_keys(pipeline_document) == set(STEP)
