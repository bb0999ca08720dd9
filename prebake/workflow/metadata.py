"""What an image says about itself, from the environment, the CI system and git."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from prebake.plan.metadata import Metadata, read_labels, read_source_date
from prebake.workflow.ci import Ci, read_ci
from prebake.workflow.git import Checkout, public_url, read_checkout
from prebake.workflow.steps import Tell


def read_metadata(root: Path, labels: Sequence[str], environ: Mapping[str, str], tell: Tell) -> Metadata:
    """Of the project at ``root``. Raises LabelsInvalid or SourceDateInvalid.

    The time is SOURCE_DATE_EPOCH's, else the commit's, so that a commit gives the same bytes whenever it is built. The commit
    is git's; what the CI system says counts if it speaks of the same commit, or if there is no repository to read.
    """
    given, created = read_labels(labels), read_source_date(environ.get("SOURCE_DATE_EPOCH"))
    checkout, ci = read_checkout(root, tell), read_ci(environ)
    if checkout is None:
        return Metadata(created, public_url(ci.source), ci.commit, False, ci.version, ci.ref, given)
    same = ci if ci.commit == checkout.commit else Ci()
    return Metadata(
        checkout.time if created is None else created,
        public_url(same.source) or checkout.source,
        checkout.commit,
        checkout.dirty,
        _version(checkout, same),
        same.ref or (f"refs/tags/{checkout.tag}" if checkout.tag else ""),
        given,
    )


def _version(checkout: Checkout, ci: Ci) -> str:
    """The tag that CI builds, else the tag of the commit, else the branch that CI builds. A tree that differs from the commit
    is no release of it."""
    version = ci.version if ci.tagged else checkout.tag or ci.version
    return f"{version}-dirty" if version and checkout.dirty else version
