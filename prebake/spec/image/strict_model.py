"""The base class of every model of ``image.yaml``, and the formats of names and paths."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[a-z][a-z0-9_]*$"
# No segment may begin with a dot: a path stays below its folder.
RELATIVE_PATH = r"^[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)*$"

Name = Annotated[str, Field(pattern=NAME, max_length=40)]
RelativePath = Annotated[str, Field(pattern=RELATIVE_PATH)]


class StrictModel(BaseModel):
    """An unknown key or a value of a wrong type is an error, and a value that was read cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)
