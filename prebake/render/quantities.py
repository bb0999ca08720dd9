"""Resource requests of a container, in Kubernetes' quantities (``4Gi``, ``500m``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from prebake.spec.image.image import ImageSpec, Resources

_UNITS = {
    **{"m": Fraction(1, 1000), "": Fraction(1)},
    **{unit: Fraction(1000**power) for power, unit in enumerate(("k", "M", "G", "T"), 1)},
    **{unit: Fraction(1024**power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}


def resources_of(spec: ImageSpec, members: Sequence[ImageSpec]) -> Resources:
    """The image's own resources. If an image of several models sets none, the sum of its models'."""
    if not members or "resources" in spec.model_fields_set:
        return spec.resources
    mebibytes = sum(parse_quantity(member.resources.memory) for member in members) / _UNITS["Mi"]
    processors = max((member.resources.cpu for member in members), key=parse_quantity)
    return Resources(cpu=processors, memory=f"{math.ceil(mebibytes)}Mi")


def parse_quantity(quantity: str) -> Fraction:
    """The number of CPUs or bytes that a quantity stands for."""
    number = quantity.rstrip("mkKMGTi")
    return Fraction(number) * _UNITS[quantity.removeprefix(number)]
