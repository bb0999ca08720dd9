"""The sources of weight files in ``image.yaml``: one model per kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from prebake.spec.image.strict_model import RelativePath, StrictModel

Files = Annotated[
    tuple[RelativePath, ...], Field(min_length=1, description="The files to take, by their paths at the source")
]
Ship = Annotated[
    tuple[RelativePath, ...],
    Field(description="The files, of those in `files`, that are copied unchanged into the image"),
]
To = Annotated[RelativePath | None, Field(description="A folder that is put in front of the path of each file")]


class FromSample(StrictModel):
    """A small checkpoint of the same architecture, written by the image's sample.py from a seed."""

    kind: Literal["sample"] = Field(alias="from", description="The kind of the source")
    seed: int = Field(ge=0, lt=2**32, description="The seed that sample.py is given")
    size: int | None = Field(
        default=None, gt=0, description="The least size of the weights in bytes; without it, sample.py decides"
    )
    files: Files
    ship: Ship = ()
    to: To = None

    @property
    def revision(self) -> str:
        """The seed and the size, which the bytes follow from besides ``sample.py`` itself."""
        return str(self.seed) if self.size is None else f"{self.seed}-{self.size}"


class FromHub(StrictModel):
    """Files of a Hugging Face repository at a revision; the lock pins the commit."""

    kind: Literal["hub"] = Field(alias="from", description="The kind of the source")
    repository: str = Field(
        pattern=r"^[\w.-]+(/[\w.-]+)?$", description="OWNER/NAME, or a NAME without an owner, such as gpt2"
    )
    revision: str = Field(min_length=1, description="A branch, a tag or a commit")
    files: Files
    ship: Ship = ()
    to: To = None


class FromModelScope(StrictModel):
    """Files of a ModelScope repository at a revision; the lock pins each file's commit."""

    kind: Literal["modelscope"] = Field(alias="from", description="The kind of the source")
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="OWNER/NAME")
    revision: str = Field(min_length=1, description="A branch, a tag or a commit")
    files: Files
    ship: Ship = ()
    to: To = None


class FromHttp(StrictModel):
    """One file by http or https, or members of a zip archive."""

    kind: Literal["http"] = Field(alias="from", description="The kind of the source")
    url: str = Field(pattern=r"^https?://\S+$", description="The URL of the file, or of a zip archive")
    files: Files = Field(description="The file's name, or members of the archive")
    archive: bool = Field(default=False, description="Whether the URL is a zip archive, as a wheel is")
    ship: Ship = ()
    to: To = None


class FromLocal(StrictModel):
    """Files of a folder on this machine; relative to the project's root."""

    kind: Literal["local"] = Field(alias="from", description="The kind of the source")
    folder: str = Field(min_length=1, description="The folder, absolute or relative to the project's root")
    files: Files
    ship: Ship = ()
    to: To = None


class FromPypi(StrictModel):
    """Members of a wheel, downloaded with pip's own settings."""

    kind: Literal["pypi"] = Field(alias="from", description="The kind of the source")
    package: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="The package's name")
    version: str = Field(pattern=r"^[A-Za-z0-9.!+_-]+$", description="The package's version")
    root: RelativePath | None = Field(
        default=None, description="The folder inside the wheel that `files` are relative to"
    )
    files: Files
    ship: Ship = ()
    to: To = None


class FromS3(StrictModel):
    """Objects of an S3 bucket, at AWS or any S3-compatible server (AWS_ENDPOINT_URL)."""

    kind: Literal["s3"] = Field(alias="from", description="The kind of the source")
    url: str = Field(
        pattern=r"^s3://[^\s/?#]+(/[^\s?#]*)?$",
        description="The bucket or a prefix in it: s3://BUCKET or s3://BUCKET/PREFIX",
    )
    files: Files
    ship: Ship = ()
    to: To = None


class FromGs(StrictModel):
    """Objects of a Google Cloud Storage bucket."""

    kind: Literal["gs"] = Field(alias="from", description="The kind of the source")
    url: str = Field(
        pattern=r"^gs://[^\s/?#]+(/[^\s?#]*)?$",
        description="The bucket or a prefix in it: gs://BUCKET or gs://BUCKET/PREFIX",
    )
    files: Files
    ship: Ship = ()
    to: To = None


class FromOci(StrictModel):
    """Files of an OCI artifact (ModelPack, ORAS) or of an image that holds them under /models; the lock pins the digest."""

    kind: Literal["oci"] = Field(alias="from", description="The kind of the source")
    reference: str = Field(
        pattern=r"^[^\s/]+/\S+$", description="The artifact or image: HOST/PATH:TAG or HOST/PATH@sha256:…"
    )
    files: Files = Field(description="The files to take, by their paths in the artifact, without models/")
    ship: Ship = ()
    to: To = None


Source = Annotated[
    FromSample | FromHub | FromModelScope | FromHttp | FromLocal | FromPypi | FromS3 | FromGs | FromOci,
    Field(discriminator="kind"),
]
