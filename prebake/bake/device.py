"""What the machine that compiles is, and whether it has what it takes."""

from __future__ import annotations

from collections.abc import Mapping

import onnxruntime as ort

from entrypoints.faults import Fault
from entrypoints.machine import find_facts
from prebake.bake.errors import BakeError


def facts_of(component: str, provider: str) -> Mapping[str, str]:
    """The fields of artifacts by this provider, as they are here. Raises BakeError where ONNX Runtime has it not, or the machine
    lacks its device."""
    here = {*ort.get_available_providers(), *(each.ep_name for each in ort.get_ep_devices())}
    try:
        found = find_facts(provider) if provider in here else None
    except Fault as fault:
        raise BakeError(
            f"{component}: {provider} compiles nothing here: {fault}.",
            next_action="Run `prebake compile` on a machine with the device that the target is for.",
        ) from fault
    if found is None:
        raise BakeError(
            f"{component}: this ONNX Runtime has no {provider}, only {', '.join(sorted(here))}.",
            next_action="Compile with the packages of the target.",
        )
    return found
