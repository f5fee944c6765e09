"""Run a plan on a Dask cluster: what `bertstudy.batch` does, its processes on the workers.

A worker executes a notebook in a child process, as `batch.Crew` does here, and returns the page;
this process alone writes pages and the manifest. The project's folder is shared, so that what a
notebook stores is found by all, and a worker that would make another page is refused.
"""

import asyncio
import logging
import os
import platform
import queue
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertstudy import batch, paths
from bertstudy.batch import Job, Tell
from bertstudy.errors import BertstudyError
from bertstudy.plan import LIBRARIES
from bertstudy.store import file_hashes, key, versions

try:
    import distributed
    from distributed.versions import VersionMismatchWarning
except ModuleNotFoundError as error:
    raise BertstudyError(
        f"--scheduler needs {error.name}, which is not installed: pip install -e '.[dask]'"
    ) from error

logger = logging.getLogger(__name__)

TIMEOUT = 10  # seconds until a scheduler must have answered
GIVEN_UP = 10  # times the scheduler may give up a notebook that has hardly begun
RESOURCE = "GPU"
CODE = "bertstudy's code"
LOST = "the scheduler was lost; finished pages are kept, the same command carries on"
ENDED = (distributed.Status.closing, distributed.Status.closed, distributed.Status.failed)


class WorkerError(OSError):
    """A notebook's worker could not execute it; nothing is known of the notebook itself."""


# --- what runs on a worker


def _facts() -> dict[str, str]:
    """What pages depend on and a worker may have otherwise."""
    files = file_hashes(Path(__file__).parent)
    code = {name: digest for name, digest in files.items() if "__pycache__" not in name}
    found = versions((*LIBRARIES, "dask", "distributed"))
    return {"Python": platform.python_version(), **found, CODE: key(code)}


def _trouble(facts: Mapping[str, str], seen: tuple[str, ...]) -> str:
    """Why this worker would not do what the client would; "" if it would.

    Args:
        facts: the client's.
        seen: paths there must be here too.
    """
    for path in seen:
        if not Path(path).exists():
            return f"does not share the project's file system: it has no {path}"
    own = _facts()
    other = [name for name in {**facts, **own} if facts.get(name) != own.get(name)]
    told = [
        f"{name} is another"
        if name == CODE
        else f"{name} {own.get(name, 'absent')} instead of {facts.get(name, 'absent')}"
        for name in other
    ]
    return f"has not what the client has: {', '.join(told)}" if told else ""


@contextmanager
def _ended_with_task(worker: distributed.Worker, task: str, crew: batch.Crew) -> Iterator[None]:
    """Stop ``crew`` when nobody wants the task any more: Dask does not end what has begun.

    The scheduler takes tasks back when they are cancelled and when their client is gone.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1):
            state = worker.state.tasks.get(task)
            if state is None or state.state == "cancelled" or worker.status in ENDED:
                crew.stop()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _work(
    job: Job, given: Mapping[str, str], facts: Mapping[str, str], seen: tuple[str, ...], topic: str
) -> tuple[batch.Attempt, bytes]:
    """Execute ``job`` on this worker and return the page, as far as it came, as a file's bytes."""
    worker = distributed.get_worker()
    task = worker.get_current_task()
    if trouble := _trouble(facts, seen):
        raise WorkerError(f"worker {worker.address} {trouble}")

    def tell(what: str) -> None:
        worker.log_event(topic, [task, what])

    # Two jobs: it is not alone on its machine. A folder of its own: should this worker be given
    # up for lost while it works, nothing it writes is in another's way.
    with (
        tempfile.TemporaryDirectory(prefix="bertstudy-") as folder,
        batch.Crew(2, given) as crew,
        _ended_with_task(worker, task, crew),
    ):
        page = Path(folder, "page.ipynb")
        attempt = crew.attempt({**job, "output": str(page)}, tell)
        if attempt.killed:  # a worker's end reaches its children first
            raise WorkerError(f"worker {worker.address}: {attempt.error}")
        return attempt, page.read_bytes() if page.is_file() else b""


# --- what runs here


class Workers:
    """The cluster's workers as a `bertstudy.batch.Pool`.

    Args:
        facts, seen: what every worker must have; see `_trouble`.
        resources: what a notebook takes of a worker's resources while it runs.
    """

    def __init__(
        self,
        client: distributed.Client,
        facts: Mapping[str, str],
        seen: tuple[str, ...],
        resources: Mapping[str, float],
    ) -> None:
        self.stopping = threading.Event()
        self._client = client
        self._facts = facts
        self._seen = seen
        self._resources = dict(resources)
        self._asked: dict[str, tuple[distributed.Future, queue.SimpleQueue[str | None]]] = {}
        self._guard = threading.Lock()
        self._topic = f"bertstudy-{uuid.uuid4().hex}"
        client.subscribe_topic(self._topic, self._hear)

    def room(self, runs: int) -> int:
        """All of them: the scheduler has the queue, and a cluster may grow with it."""
        return runs

    def attempt(self, job: Job, tell: Tell) -> batch.Attempt:
        """Execute ``job`` on a worker; on another if that is lost.

        Raises:
            InterruptedError: the pool was stopped.
            WorkerError: several workers were lost, or none could execute it.
            BertstudyError: the scheduler was lost.
        """
        begun = given_up = 0
        while True:
            future, told = self._ask(job)
            try:
                for what in iter(told.get, None):
                    begun += what == "start"
                    tell(what)
                attempt, page = self._result(future)
            except distributed.KilledWorker as error:
                # The scheduler also counts workers that died while it only waited there.
                given_up += 1
                if begun < batch.ATTEMPTS and given_up < GIVEN_UP:
                    continue
                died = f"{begun} workers died while they ran it" if begun else "no worker began it"
                raise WorkerError(f"{died}, the last one {error.last_worker.address}") from None
            finally:
                with self._guard:
                    del self._asked[future.key]
            if page:
                Path(str(job["output"])).write_bytes(page)
            return attempt

    def _result(self, future: distributed.Future) -> tuple[batch.Attempt, bytes]:
        try:
            return future.result()
        except distributed.CancelledError:
            if self.stopping.is_set():
                raise InterruptedError("stopped") from None
            raise BertstudyError(LOST) from None
        except (distributed.KilledWorker, WorkerError):
            raise
        except Exception as error:
            raise WorkerError(f"{type(error).__name__}: {error}") from error

    def stop(self) -> None:
        """Take back every task; the workers end those at work within seconds."""
        with self._guard:
            self.stopping.set()
            asked = [future for future, _ in self._asked.values()]
        if self._client.status == "running":  # otherwise the scheduler has taken them back
            self._client.cancel(asked)

    def _ask(self, job: Job) -> tuple[distributed.Future, queue.SimpleQueue[str | None]]:
        """Submit ``job``; what is told of it ends with None when there is a result."""
        name = str(job["page"]).removesuffix(".ipynb")
        task = f"{name}-{uuid.uuid4().hex}"
        told: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        given = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("BERTSTUDY_") or name in batch.ONE_THREAD
        } | {paths.HOME_VARIABLE: str(paths.root())}
        with self._guard:
            if self.stopping.is_set():
                raise InterruptedError("stopped")
            future = self._client.submit(
                _work,
                *(job, given, self._facts, self._seen, self._topic),
                key=task,
                resources=self._resources,
                retries=batch.ATTEMPTS - 1,  # of what goes wrong outside the notebook
                pure=False,
            )
            self._asked[task] = future, told
        future.add_done_callback(lambda _: told.put(None))
        return future, told

    def _hear(self, event: tuple[float, tuple[str, str]]) -> None:
        task, what = event[1]
        with self._guard:
            asked = self._asked.get(task)
        if asked:
            asked[1].put(what)


async def _greet(address: str) -> None:
    """Let the scheduler say what it is; Dask's client would wait for its answer for ever."""
    secrets = distributed.Security().get_connection_args("client")
    async with distributed.rpc(address, timeout=TIMEOUT, connection_args=secrets) as there:
        identity = await asyncio.wait_for(there.identity(), TIMEOUT + 1)
    if identity["type"] != "Scheduler":
        raise ValueError(f"it is a {identity['type']}")


def _client(address: str) -> distributed.Client:
    """A connection to the scheduler.

    Raises:
        BertstudyError: there is none at this address.
    """
    try:
        with ThreadPoolExecutor(1) as thread:  # the caller's may have a loop of its own
            thread.submit(lambda: asyncio.run(_greet(address))).result()
        # A lost scheduler has one line of ours; Dask would add its own traceback.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            # Of versions we have a word of our own.
            warnings.simplefilter("ignore", VersionMismatchWarning)
            return distributed.Client(address, timeout=TIMEOUT, set_as_default=False)
    except Exception as error:  # each transport has its own kinds
        reason = str(error) or f"no answer within {TIMEOUT} s"
        raise BertstudyError(
            f"no Dask scheduler at --scheduler {address} ({reason}); "
            "expected is an address such as tcp://HOST:8786"
        ) from error


def _workers(client: distributed.Client) -> dict[str, dict[str, Any]]:
    """What the scheduler knows of each worker, by address; waits until there is one."""
    if workers := client.scheduler_info()["workers"]:
        return workers
    logger.warning("the cluster has no worker yet: waiting for the first")
    try:
        client.submit(os.getpid, pure=False).result()  # a task makes an adaptive cluster grow
    except distributed.CancelledError:
        raise BertstudyError(LOST) from None
    return client.scheduler_info()["workers"]


@contextmanager
def connect(address: str) -> Iterator[Workers]:
    """The workers of the cluster whose scheduler has this address.

    If a worker announces the resource GPU, each notebook takes one of it. Without a worker,
    this waits for the first.

    Raises:
        BertstudyError: no scheduler answers, or a worker would make other pages than this process.
    """
    with _client(address) as client:
        there = client.get_versions()["scheduler"]["packages"]["distributed"]
        if there != distributed.__version__:
            raise BertstudyError(
                f"the scheduler has distributed {there} instead of {distributed.__version__}"
            )
        workers = _workers(client)
        has_gpu = any(RESOURCE in worker["resources"] for worker in workers.values())
        paths.build().mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=paths.build(), prefix=".cluster-") as marker:
            facts, seen = _facts(), (marker.name, str(Path.cwd()))
            for worker, trouble in client.run(_trouble, facts, seen, on_error="return").items():
                if isinstance(trouble, Exception):
                    trouble = f"cannot import what the client has: {trouble}"
                if trouble:
                    raise BertstudyError(f"worker {worker} {trouble}")
            yield Workers(client, facts, seen, {RESOURCE: 1} if has_gpu else {})
