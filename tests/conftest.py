"""Servers for every test that asks for one; and in CI, no test that silently does not run."""

from __future__ import annotations

import gc
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.integration.servers"]

CI = os.environ.get("CI", "").lower() in ("1", "true")

settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=400, deadline=None)
THOROUGH = bool(os.environ.get("OPSBOOK_THOROUGH"))
"""Whether `make faults` runs the tests."""
settings.load_profile("thorough" if THOROUGH else "quick")

OPTIONAL = (
    "promtool",
    "amtool",
    "prometheus-blackbox-exporter",
    "shellcheck",
    "yamllint",
    "kubectl",
    "docker",
    "podman",
    "netavark",
    "helm",
    "terraform",
    "ansible",
)
"""Programs that `make test` does not install. A test may be skipped where its reason names one that is not here."""

_skipped: list[tuple[str, str]] = []


CLOSED = "closed to others"
"""Said where another user of the machine cannot run this Python, as below /root."""

ROOTLESS = "podman needs root"
"""Said where the tests run as another user: networks of containers are root's."""

BROUGHT_ALONG = {
    "no disposable kubernetes is given": "OPSBOOK_TEST_KUBERNETES",
    "nothing says how an image comes to the cluster": "RENEC_LOAD_IMAGE",
    "the example in containers takes minutes": "OPSBOOK_TEST_RENEC_COMPOSE",
}
"""How the reason of a skip begins that needs what only a user can give → the variable that gives it."""


def excused(reason: str) -> bool:
    """Whether a skip is for an optional program that is really absent, a system that is really not given, or a Python
    that is really closed."""
    for words, variable in BROUGHT_ALONG.items():
        if reason.startswith(words):
            return not os.environ.get(variable)
    words = set(re.findall(r"[\w-]+", reason.lower()))
    if reason.startswith(ROOTLESS):
        return os.geteuid() != 0
    if CLOSED in reason:
        return any(not folder.stat().st_mode & 0o001 for folder in Path(sys.executable).resolve().parents)
    return any(name in words and shutil.which(name) is None for name in OPTIONAL)


LONGEST = (
    "kubernetes-deploys",
    "renec",
    "kubernetes-systems",
    "renec-runbooks",
    "kubernetes-parts",
    "renec-rehearsals",
    "renec-book",
    "renec-deploys",
    "compose",
    "kubernetes",
    "acme",
    "celery",
)
"""Groups of tests that take longest, one after the other: a run begins with them, as it cannot end before they do."""


def turn_of(item: pytest.Item) -> tuple[int, bool]:
    """What comes first: a long group, and in it who has to be alone, since nobody has begun yet."""
    marker = item.get_closest_marker("xdist_group")
    group = marker.args[0] if marker else ""
    return LONGEST.index(group) if group in LONGEST else len(LONGEST), not item.get_closest_marker("alone")


def shares_a_server(item: pytest.Item) -> bool:
    """Whether something that it uses is made once for all tests of its module."""
    found = getattr(item, "_fixtureinfo", None)
    return found is not None and any(defined[-1].scope == "module" for defined in found.name2fixturedefs.values())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # Else each worker that gets one of them would make it anew.
        if not item.get_closest_marker("xdist_group") and shares_a_server(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=turn_of)
    if not THOROUGH and (left := [item for item in items if item.get_closest_marker("thorough")]):
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def pytest_collection_finish(session: pytest.Session) -> None:
    if getattr(session.config.option, "loadgroup", False):
        loose = [one.nodeid for one in session.items if one.get_closest_marker("xdist_group") and "@" not in one.nodeid]
        if loose:
            raise pytest.UsageError(f"pytest-xdist does not group tests with this pytest, {loose[0]} first of them")
    # Thousands of tests and all modules stay to the end: looking through them for garbage took a tenth of the time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append((report.nodeid, reason.removeprefix("Skipped: ")))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if found := _unexcused():
        terminalreporter.section("skipped, and CI runs every test")
        for name, reason in found:
            terminalreporter.line(f"{name}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and _unexcused() and not hasattr(session.config, "workerinput"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unexcused() -> list[tuple[str, str]]:
    return [(name, reason) for name, reason in _skipped if CI and not excused(reason)]
