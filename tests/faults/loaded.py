"""What the server of forks loads before the first fork: all that an engine process imports sooner or later."""

from __future__ import annotations

import opsbook.engine.owner
import opsbook.engine.service
import opsbook.engine.watcher
import tests.faults.targets
from opsbook.catalogue import catalogue
from opsbook.operations.registry import operations

LOADED = (opsbook.engine.owner, opsbook.engine.service, opsbook.engine.watcher, tests.faults.targets)

catalogue()
operations()
