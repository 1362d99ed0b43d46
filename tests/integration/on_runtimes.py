"""The same tests on every runtime: what each of them is made by, and the group in which it may run beside others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import pytest

from tests.integration.cluster import GIVEN, NOT_GIVEN, WAITS_SECONDS
from tests.integration.podman import lacking

T = TypeVar("T")
LACKING = {"supervisor": "", "compose": lacking(), "kubernetes": "" if GIVEN else NOT_GIVEN}
"""Runtime → why it cannot be had here."""
GROUPS = {"supervisor": "supervisor", "compose": "compose", "kubernetes": "kubernetes-parts"}


def on_each(makers: Mapping[str, Callable[[], AbstractContextManager[T]]], scope: Any = "module") -> Any:
    """A fixture that gives what each of `makers`, by the name of its runtime, makes."""

    def marks(name: str) -> list[pytest.MarkDecorator]:
        waits = [pytest.mark.timeout(WAITS_SECONDS)] if name == "kubernetes" else []
        return [pytest.mark.xdist_group(GROUPS[name]), *waits]

    @pytest.fixture(scope=scope, params=[pytest.param(name, marks=marks(name)) for name in makers])
    def subject(request: pytest.FixtureRequest) -> Iterator[T]:
        if LACKING[request.param]:
            pytest.skip(LACKING[request.param])
        with makers[request.param]() as one:
            yield one

    return subject
