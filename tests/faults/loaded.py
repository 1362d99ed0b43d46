"""What the server of forks loads before the first fork: all that an engine process imports sooner or later.

Each fork imports the program that asked for it again, so that what sweeps and tests are made of is loaded too.
"""

from __future__ import annotations

import opsbook.engine.owner
import opsbook.engine.service
import opsbook.engine.watcher
import tests.faults.operation_kills
import tests.faults.renec_sweep
import tests.faults.targets
import tests.faults.worker_process
from opsbook.catalogue import import_rooms

LOADED = (
    opsbook.engine.owner,
    opsbook.engine.service,
    opsbook.engine.watcher,
    tests.faults.operation_kills,
    tests.faults.renec_sweep,
    tests.faults.targets,
    tests.faults.worker_process,
)

import_rooms()
