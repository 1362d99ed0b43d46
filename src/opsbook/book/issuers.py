"""Who issues a token that neither a database nor a cache knows: programs, requests, or opsbook itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Strict
from opsbook.book.references import Reference


class IssuerRequest(Strict):
    """One request to an issuer. `{name}`, `{id}` and, in the body alone, `{token}` are filled in."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="its method")
    path: str = Field(min_length=1, description="below the `url` of the component", examples=["/tokens/{id}"])
    body: dict[str, object] = Field({}, description="sent as JSON; nothing is sent where it is empty")

    @model_validator(mode="after")
    def _secret(self) -> IssuerRequest:
        if "{token}" in self.path:
            raise ValueError("a token in a path would be in the log of every server; write {token} in the `body`")
        return self


class HttpIssuer(Strict):
    """Requests to the rotation's component that make, list, try and revoke a token."""

    headers: dict[str, Reference] = Field({}, description="of all but `test`, e.g. Authorization: Bearer ${ADMIN}")
    make: IssuerRequest = Field(description="makes one under {name}, by which it is found again")
    token: str = Field("token", description="where the token is in the answer, as data.token or items[0].value")
    test: str = Field(description="path that is asked with the token: 401 and 403 are refusals, below 400 is accepted")
    header: str = Field("Authorization", description="header that carries the token then")
    scheme: str = Field("Bearer", description="word before the token in it; empty: none")
    revoke: IssuerRequest = Field(description="makes the old one invalid: its {token} in the body")
    list: str = Field(description="path that lists what was made; {name} is filled in")
    items: str = Field("", description="where the list is in that answer; empty: the answer is it")
    name: str = Field("name", description="key of an entry that holds its name")
    id: str = Field("id", description="key of an entry that holds its id")
    recall: IssuerRequest = Field(description="makes one of the list invalid, by its {id}")


class Issuer(Strict):
    """Whoever makes, tries and revokes a token of an API or a key of a service: programs, requests, or opsbook itself.

    A program is one argv, run without a shell in the book's folder. A secret is its input or its output, never a word
    of it.
    """

    make: tuple[str, ...] = Field(
        (),
        description="prints a new one, made under the name in OPSBOOK_NAME; opsbook makes it where left out",
    )
    test: tuple[str, ...] = Field(
        (), description="is given one: ends with 0 where it is accepted, with 1 where refused"
    )
    revoke: tuple[str, ...] = Field((), description="is given the old one, and makes it invalid")
    recall: tuple[str, ...] = Field(
        (), description="is given a name, and makes invalid what `make` made under it before it was killed"
    )
    http: HttpIssuer | None = Field(None, description="requests, in place of programs")
    opsbook: bool = Field(
        False, description="a token of opsbook's own API: `of` is the http component where `opsbook serve` answers"
    )

    @model_validator(mode="after")
    def _one(self) -> Issuer:
        programs = bool(self.make or self.test or self.revoke or self.recall)
        if programs + (self.http is not None) + self.opsbook > 1:
            raise ValueError("programs, `http` and `opsbook` are three ways to issue a token; write one of them")
        return self
