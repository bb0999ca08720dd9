"""The metadata of an image, from the environment, the CI system and git."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from prebake.io.log import Log
from prebake.plan.image_metadata import Metadata, read_labels, read_source_date
from prebake.workflow.metadata.ci import CiRun, read_ci
from prebake.workflow.metadata.git import Checkout, public_url, read_checkout


def read_metadata(root: Path, labels: Sequence[str], environ: Mapping[str, str], log: Log) -> Metadata:
    """The metadata of the project at ``root``. Raises LabelsInvalid or SourceDateInvalid.

    The time is that of SOURCE_DATE_EPOCH, or the commit's, so that a commit gives the same bytes whenever it is built. The commit
    is git's. The CI system's values are used if it runs for the same commit, or if there is no repository.
    """
    given, created = read_labels(labels), read_source_date(environ.get("SOURCE_DATE_EPOCH"))
    checkout, ci = read_checkout(root, log), read_ci(environ)
    if checkout is None:
        return Metadata(
            created=created,
            source=public_url(ci.source),
            commit=ci.commit,
            version=ci.version,
            ref=ci.ref,
            given=given,
        )
    same = ci if ci.commit == checkout.commit else CiRun()
    return Metadata(
        created=checkout.time if created is None else created,
        source=public_url(same.source) or checkout.source,
        commit=checkout.commit,
        dirty=checkout.dirty,
        version=_version(checkout, same),
        ref=same.ref or (f"refs/tags/{checkout.tag}" if checkout.tag else ""),
        given=given,
    )


def _version(checkout: Checkout, ci: CiRun) -> str:
    """The tag that CI builds, or the commit's tag, or the branch that CI builds; with -dirty if the tree is dirty."""
    version = ci.version if ci.tagged else checkout.tag or ci.version
    return f"{version}-dirty" if version and checkout.dirty else version
