"""What lies beside a pushed image is best effort: the image is there and works without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prebake.errors import PrebakeError
from prebake.oci.errors import DigestDisputed, RegistryDenied, RegistryError, RegistryUnreachable
from prebake.workflow.outputs import Delivered
from prebake.workflow.steps import Tell

RECORDS, SBOM, PROVENANCE = "records of layers", "bill of materials", "provenance"
"""What lies there, as reports name it."""

_REFUSALS = (RegistryError, RegistryDenied, RegistryUnreachable, DigestDisputed)


class AttestationRefused(PrebakeError):
    """A registry has the image and did not take all that goes beside it, and ``--require-attestations`` was given."""

    exit_code = 64


def put_beside(name: str, puts: Mapping[str, Callable[[], object]], tell: Tell) -> dict[str, str]:
    """Put each thing, and say which the registry ``name`` did not take; those, with the reason."""
    refused: dict[str, str] = {}
    for what, put in puts.items():
        try:
            put()
        except _REFUSALS as error:
            refused[what] = error.message
            tell(f"push: {name} has the image, and did not take its {what}: {error.message}")
    return refused


def require_taken(delivered: Mapping[str, Delivered]) -> None:
    """Raises AttestationRefused with all that no registry took."""
    lines = [f"{name}: {what}: {why}" for name, each in delivered.items() for what, why in each.refused.items()]
    if lines:
        raise AttestationRefused(
            "\n  ".join(["The image was pushed, and what goes beside it was not taken:", *lines]),
            next_action="push to a registry that takes OCI artifacts and referrers, or build without --require-attestations",
        )
