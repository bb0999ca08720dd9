"""What every model of ``image.yaml`` is: strict and frozen; and the forms of names and paths."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
# No segment may begin with a dot: a path stays below its folder.
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)*$")]


class Part(BaseModel):
    """Strict and frozen: an unknown key or a wrong type is an error, and a value once read stays."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)
