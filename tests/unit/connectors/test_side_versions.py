"""Whether a side runs the version that it is to run."""

from __future__ import annotations

import pytest

from opsbook.connectors.executors.traffic import is_version

DIGEST = "sha256:0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("wanted", "runs", "same"),
    [
        ("v2", "v2", True),
        ("registry:5000/api:v2", "v2", True),
        (DIGEST, "0123456789ab", True),
        (f"api@{DIGEST}", DIGEST, True),
        ("v12", "2", False),
        ("v2-hotfix", "hotfix", False),
        ("v2", "v1", False),
    ],
)
def test_it_is_the_same_version_whole_and_not_its_end(wanted: str, runs: str, same: bool) -> None:
    assert is_version(wanted, runs) is same
