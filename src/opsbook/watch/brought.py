"""Which versions a run brought, for lists of what changed: a deploy is told with its version."""

from __future__ import annotations

import json

DEPLOYS = ("deploy-", "rollback-")
UPDATE = "update-system"


def with_versions(procedure: str, parameters: str) -> str:
    """The name of the procedure, and the versions where it is one that deploys. `parameters`: a run's, as JSON."""
    if not procedure.startswith(DEPLOYS) and procedure != UPDATE:
        return procedure
    try:
        given = json.loads(parameters or "{}")
    except ValueError:
        return procedure
    if procedure != UPDATE:
        return f"{procedure} {given.get('version') or ''}".strip()
    versions = (f"{name}={value}" for name, value in given.items() if value and isinstance(value, str))
    return " ".join([procedure, *versions])
