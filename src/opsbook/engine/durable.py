"""Everything that is the durable engine's (DBOS Transact): its file, its start-up, its one workflow, its messages.

The workflow is a loop around `advance`: each turn is one durable step whose result is kept, so that a new process goes
on with what the last one learnt. The engine's own database is derived state: where it is lost, runs are started again
from the product's store, and what was cut off is settled as after a crash.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from opsbook.errors import OpsbookError
from opsbook.store.database import patient_engine, unusable
from opsbook.store.shared_files import make_file

PINNED = "3.4.0"
"""The version whose tables, messages and recovery were tried. Its patch releases have changed its tables before."""
APPLICATION_VERSION = "opsbook-1"
"""Raised only when the loop below changes its order of steps: runs of another version would not be taken up."""
EXECUTOR = "owner"
"""The same in every process: one at a time owns the store, and takes up what the one before left. Workers of a shared
store have names of their own, and take up runs by their claims."""
LAUNCHING = 0x6F70736C6C
"""PostgreSQL's advisory lock around a launch: the first one makes the engine's tables."""
LAUNCH_SECONDS = 120.0
WAKE = "wake"
LISTENING = 0.25
"""Seconds after which a run that waits hears what it was told. An end waits as long for the thread that listens."""
LISTENING_BRIEFLY = 0.05
"""Of a process that ends with its run: few wait in it, and a person waits for its end."""
MOST_CLEANED = 1_000
"""Ended workflows that are deleted at a start."""
WAIT_SECONDS = 30 * 24 * 3600.0
"""A waiting run looks at itself at least this often."""

Told = dict[str, Any]
Advance = Callable[[str, Told | None], Awaitable[Told]]

_advance: Advance | None = None
_dropped: Callable[[str], None] | None = None


class EngineFailed(OpsbookError):
    """The durable engine cannot be used here."""


@DBOS.workflow(name="run_procedure", max_recovery_attempts=None)
async def run_procedure(run: str, said: Told | None = None) -> str:
    """One run of a procedure, from wherever it is to its end. `said`: what a worker that is gone had learnt last."""
    try:
        while True:
            said = await DBOS.run_step_async({"name": "advance"}, _advance_run, run, said)
            if said["next"] == "end":
                return str(said["state"])
            if said["next"] == "wait":
                await DBOS.recv_async(WAKE, timeout_seconds=WAIT_SECONDS)
    except Exception:
        # The engine could not keep a result (its disk is full): the run needs another workflow.
        if _dropped is not None:
            _dropped(run)
        raise


async def _advance_run(run: str, previous: Told | None) -> Told:
    assert _advance is not None, "the engine is not launched"
    return await _advance(run, previous)


class Durable:
    """The launched engine of this process."""

    def __init__(
        self,
        address: str,
        advance: Advance,
        dropped: Callable[[str], None],
        executor: str = EXECUTOR,
        *,
        brief: bool = False,
    ) -> None:
        self.address, self.executor = address, executor
        self.ended = asyncio.Event()
        """Set whenever a run that was started here has ended, and the engine has kept that."""
        self._listening = LISTENING_BRIEFLY if brief else LISTENING
        self._engine = _own_engine(address)
        self._tasks: set[asyncio.Task[Any]] = set()
        global _advance, _dropped
        _advance, _dropped = advance, dropped

    def launch(self) -> list[str]:
        """Start it. Gives the runs that it takes up by itself, because a process died over them."""
        if version("dbos") != PINNED:
            raise EngineFailed(
                f"dbos {version('dbos')} is installed, and opsbook was tried with {PINNED}", f"install dbos=={PINNED}"
            )
        logging.getLogger("dbos").setLevel(logging.ERROR)
        config: DBOSConfig = {
            "name": "opsbook",
            "system_database_url": self.address,
            "system_database_engine": self._engine,
            "serializer": DBOSPortableJSONSerializer(),
            "application_version": APPLICATION_VERSION,
            "executor_id": self.executor,
            "log_level": "ERROR",
            "notification_listener_polling_interval_sec": self._listening,
            "scheduler_polling_interval_sec": 3600.0,
        }
        try:
            with self._alone():
                DBOS(config=config)
                # It logs what it raises with all its calls; who launches it says it in a sentence.
                logging.getLogger("dbos").setLevel(logging.CRITICAL)
                DBOS.launch()
                logging.getLogger("dbos").setLevel(logging.ERROR)
            return self._taken()
        except SQLAlchemyError as error:
            DBOS.destroy()
            self._engine.dispose()
            reason = str(getattr(error, "orig", None) or error).strip()
            raise EngineFailed(
                f"the durable engine cannot use the store: {reason}", "it is tried again while this process runs"
            ) from error

    def _taken(self) -> list[str]:
        # What has ended is told by the product's own store; the engine would keep it for ever.
        over = DBOS.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"], limit=MOST_CLEANED, load_input=False, load_output=False
        )
        DBOS.delete_workflows([one.workflow_id for one in over])
        pending = DBOS.list_workflows(
            status=["PENDING", "ENQUEUED"], executor_id=self.executor, load_input=False, load_output=False
        )
        return [run_of(one.workflow_id) for one in pending]

    async def start(self, run: str) -> None:
        """Begin or go on with a run that no workflow carries."""
        said = await self._inherited(run)
        with SetWorkflowID(f"{run}.{time.time_ns()}"):
            before = asyncio.all_tasks()
            # Without what nobody said, the recorded input stays what it was before runs could change hands.
            await DBOS.start_workflow_async(run_procedure, *([run] if said is None else [run, said]))
            begun = asyncio.all_tasks() - before
        for task in begun:
            task.add_done_callback(lambda _: self.ended.set())
        self._tasks |= begun

    async def _inherited(self, run: str) -> Told | None:
        """What a worker that is gone had learnt last of a run, taken out of its hands. Nothing of an embedded store."""
        if self.executor == EXECUTOR:
            return None
        left = await DBOS.list_workflows_async(
            workflow_id_prefix=f"{run}.", status=["PENDING", "ENQUEUED"], load_input=False, load_output=False
        )
        said: Told | None = None
        for one in sorted(left, key=lambda one: one.workflow_id):
            steps = await DBOS.list_workflow_steps_async(one.workflow_id)
            told = [step["output"] for step in steps if step["function_name"] == "advance" and step["output"]]
            said = told[-1] if told else said
        if left:
            await DBOS.delete_workflows_async([one.workflow_id for one in left])
        return said

    async def wake(self, run: str) -> None:
        """Make every workflow that carries the run look at it again."""
        for one in await DBOS.list_workflows_async(
            workflow_id_prefix=f"{run}.", status=["PENDING", "ENQUEUED"], load_input=False, load_output=False
        ):
            await DBOS.send_async(one.workflow_id, "look", topic=WAKE)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other worker of this store launches meanwhile."""
        if self._engine.dialect.name != "postgresql":
            yield
            return
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Tried again and again: the engine builds indexes concurrently, which wait for every statement that waits.
            deadline = time.monotonic() + LAUNCH_SECONDS
            while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": LAUNCHING}).scalar():
                if time.monotonic() > deadline:
                    raise EngineFailed("another worker of this store does not finish its start", "look at its log")
                time.sleep(0.1)
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LAUNCHING})

    async def close(self, stopped: Callable[[], object] = lambda: None) -> None:
        """Stop; what was running is taken up by the next owner. `stopped` is called when nothing of it runs here."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        stopped()
        # The engine made its own threads this loop's default ones, and ends them.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="opsbook"))
        # In a thread: it waits for its own, and those for a store that may not answer.
        await asyncio.to_thread(DBOS.destroy)
        self._engine.dispose()


def run_of(workflow: str) -> str:
    """The run that a workflow carries."""
    return workflow.rpartition(".")[0]


def sqlite_address(folder: Path) -> str:
    """The engine's own file, beside the product's."""
    return f"sqlite:///{folder / 'engine.db'}"


def _own_engine(address: str) -> Engine:
    """An engine with the settings that durability needs, tested at every start."""
    if not address.startswith("sqlite"):
        return patient_engine(address, "opsbook-engine", pool_size=10)
    file = Path(address.removeprefix("sqlite:///"))
    engine = create_engine(address, connect_args={"check_same_thread": False, "timeout": 30})
    event.listen(engine, "connect", _sqlite_settings)
    try:
        make_file(file)
        _must_tell_time(engine)
    except (OSError, SQLAlchemyError) as error:
        reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
        raise unusable(file, str(reason)) from error
    return engine


def _must_tell_time(engine: Engine) -> None:
    with engine.connect() as connection:
        for expression in ("unixepoch('subsec')", "strftime('%s','now')"):
            found = connection.execute(text(f"SELECT {expression}")).scalar()
            if not isinstance(found, float) or abs(found - time.time()) > 5:
                raise EngineFailed(
                    f"SQLite's {expression} says {found!r}, and the engine orders its queue by it",
                    "use another build of Python, or a PostgreSQL store (OPSBOOK_STORE)",
                )


def _sqlite_settings(connection: Any, _record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"
    # SQLite before 3.42 knows no 'subsec', and strftime('%s') has whole seconds, which breaks the order in a queue.
    connection.create_function("unixepoch", 1, lambda _: time.time())
    connection.create_function("strftime", 2, lambda _, __: time.time())
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
