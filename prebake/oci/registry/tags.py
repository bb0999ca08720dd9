"""A tag for an image that a registry has."""

from __future__ import annotations

from prebake.oci.errors import unusable
from prebake.oci.registry.repository import Repository


def tag_image(repository: Repository, digest: str, tag: str) -> None:
    """Make the tag name the image or index with this digest, which the repository has. A tag that names it already is not
    written again: the registry may have immutable tags.

    Raises RegistryError if the repository has no such image, and what ``Repository.put_manifest`` raises. Then the tag names
    what it named before.
    """
    if repository.resolve(tag) == digest:
        return
    found = repository.get_manifest(digest)
    if found is None:
        raise unusable(repository.reference.host, f"{repository.reference.path} has no image {digest}")
    manifest, data = found
    repository.put_manifest(tag, manifest.media_type, data)
