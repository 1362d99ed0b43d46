"""The forms that words of a request may have: nothing else reaches the store."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

WORD = r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"
"""Names of a book, ids of runs and incidents, severities. No slash, so that no path can be made of one."""


def _clean(text: str) -> str:
    """Raises ValueError for characters that steer a terminal or that PostgreSQL cannot keep."""
    if any(not one.isprintable() and one not in "\n\t" for one in text):
        raise ValueError("only printable characters, line breaks and tabs")
    return text


Word = Annotated[str, Field(max_length=120, pattern=WORD)]
InPath = Annotated[str, Path(max_length=120, pattern=WORD)]
Named = Annotated[str, Query(max_length=120, pattern=r"^([A-Za-z0-9][A-Za-z0-9._:@-]*)?$")]
"""A word, or nothing."""
Text = Annotated[str, Field(max_length=4000), AfterValidator(_clean)]
"""What a person says."""
Limit = Annotated[int, Query(ge=1, le=500, description="how many at most")]
Cursor = Annotated[str, Query(max_length=400, description="`next` of the page before; none for the first")]
Seconds = Annotated[float, Query(ge=0, le=4e9, description="UTC seconds since 1970")]


class Asked(BaseModel):
    """A body. Keys that nobody knows are refused: a word that is misspelt must not be overlooked."""

    model_config = ConfigDict(extra="forbid")


class Reasoned(Asked):
    """A body that may say why."""

    reason: Text = Field("", examples=["the wrong one"], description="why; it is recorded")


Values = dict[Annotated[str, Field(max_length=100)], Any]
"""Parameters of a procedure, checked against its own types."""
