"""The limits of a start in image.yaml: their form, and their values as numbers."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from prebake.spec.image.gate import GateSpec, parse_duration, parse_share, parse_size


def test_limits_are_kept_as_they_are_written_and_read_as_numbers() -> None:
    found = GateSpec(max_regression="0%", max_ttfi="800ms", max_image_size="1.5GB")
    assert (found.max_regression, found.max_ttfi, found.max_image_size) == ("0%", "800ms", "1.5GB")
    assert (parse_share("12.5%"), parse_duration("1.5min"), parse_size("900MiB")) == (0.125, 90.0, 900 * 2**20)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("max_ttfi", "0s"),  # no start takes no time: the gate could only fail
        ("max_image_size", "0GB"),
        ("max_ttfi", "2"),
        ("max_image_size", "1.5"),
        ("max_regression", "0.1"),
        ("max_regression", "-5%"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_a_fault_of_image_yaml(field: str, text: str) -> None:
    with pytest.raises(ValidationError, match=field):
        GateSpec.model_validate({field: text})
