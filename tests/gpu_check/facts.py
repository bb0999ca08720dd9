"""What compiled artifacts are keyed by, as the container finds it."""

from __future__ import annotations

from collections.abc import Iterator

from entrypoints.hardware.facts import FACTS_BY_PROVIDER
from entrypoints.runtime.compile_cache import find_torch_facts
from tests.gpu_check.findings import Finding

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def check_facts(device: str) -> Iterator[Finding]:
    """Torch's own, and the container's where it has some for the device: one name is one value."""
    own, other = find_torch_facts(device), FACTS_BY_PROVIDER.get(PROVIDERS[device], dict)()
    yield Finding("facts", None, ", ".join(f"{name} {value}" for name, value in own.items()))
    for name in sorted(own.keys() & other.keys()):
        yield Finding(
            f"fact {name}", own[name] == other[name], f"torch {own[name]}, entrypoints.hardware.facts {other[name]}"
        )
