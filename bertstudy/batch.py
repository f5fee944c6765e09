"""Run a plan: papermill in a process per notebook, a few at a time, safe to stop at any moment.

A process per notebook frees its memory and keeps papermill's working directory apart. A page
is executed into ``build/<edition>/running`` and moved into place only when it ran to its end;
the manifest notes it after that. A kill leaves at most a file there, overwritten next time.

Where the processes run is a `Pool`: a `Crew` on this machine, or `bertstudy.cluster`. Everything
else, such as plan, locks, pages and manifest, is the work of the process that called `execute`.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol, Self

import psutil
from filelock import FileLock, Timeout

from bertstudy import paths, plan
from bertstudy.plan import Run

ATTEMPTS = 3
# A kernel that did not come up says one of these; a busy machine or a taken port, not the notebook.
START_TROUBLE = ("Address already in use", "Kernel died before replying", "Kernel didn't respond")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

Status = Literal["done", "up to date", "failed", "stopped"]
Job = dict[str, object]  # what `bertstudy.execute` reads, plain JSON
Tell = Callable[[str], None]  # hears "start" when a notebook begins and "cell" after each code cell


@dataclass(frozen=True)
class Outcome:
    """How one run ended.

    Attributes:
        seconds: wall time of the execution, 0 if there was none.
        detail: the page's path from the project's root, or the error's first line.
    """

    run: Run
    status: Status
    seconds: float
    detail: str


class Watcher(Protocol):
    """What wants to know how far a batch is; called from several threads."""

    def started(self, run: Run, cells: int) -> None:
        """A notebook with this many code cells begins; once more if it has to begin again."""

    def cell(self, run: Run) -> None:
        """A code cell is done."""

    def finished(self, outcome: Outcome) -> None:
        """The run is over, one way or another."""


@dataclass(frozen=True)
class Attempt:
    """What became of one attempt at a notebook.

    Attributes:
        error: in a line, "" for none.
        again: the notebook did not begin; another attempt may help.
        killed: something else ended its process.
        seconds: wall time.
    """

    error: str
    again: bool = False
    killed: bool = False
    seconds: float = 0.0


class Pool(Protocol):
    """Where notebooks' processes run."""

    stopping: threading.Event

    def room(self, runs: int) -> int:
        """How many of so many runs to ask for at once."""

    def attempt(self, job: Job, tell: Tell) -> Attempt:
        """Execute ``job``; its output is there afterwards, as far as it came.

        Raises:
            InterruptedError: the pool was stopped.
            OSError: the notebook could not be executed.
        """

    def stop(self) -> None:
        """End every process with its kernel and start no more."""


class Crew:
    """The child processes at work on this machine, so that all can be ended at once.

    Args:
        jobs: how many at a time.
        given: variables for the children, beside those of this process.
    """

    def __init__(self, jobs: int = 1, given: Mapping[str, str] | None = None) -> None:
        self.stopping = threading.Event()
        self._jobs = jobs
        self._given = given
        self._children: set[subprocess.Popen[str]] = set()
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        self._runtime = Path(tempfile.mkdtemp(prefix="bertstudy-"))
        self._env = _environment(self._runtime, self._jobs, self._given)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._runtime, ignore_errors=True)

    def room(self, runs: int) -> int:
        """As many as there are jobs, however many runs."""
        return self._jobs

    def attempt(self, job: Job, tell: Tell) -> Attempt:
        """Execute ``job`` in a child."""
        start = time.perf_counter()
        tell("start")
        told: dict[str, object] = {}
        with self._child(job) as child:
            stderr: list[str] = []
            drain = threading.Thread(target=lambda: stderr.extend(child.stderr), daemon=True)
            drain.start()
            for line in child.stdout:
                facts = _facts(line)
                told |= facts
                if "cell" in facts:
                    tell("cell")
            status = child.wait()
            drain.join(timeout=10)
        seconds = time.perf_counter() - start
        if status == 0:
            return Attempt("", seconds=seconds)
        last = next((line.strip() for line in reversed(stderr) if line.strip()), "no message")
        error = str(told.get("error") or f"its process ended with status {status}: {last}")
        again = "cell" not in told and any(text in error for text in START_TROUBLE)
        return Attempt(error, again, status < 0, seconds)

    @contextlib.contextmanager
    def _child(self, job: Job) -> Iterator[subprocess.Popen[str]]:
        """A process that executes ``job``, ended with its kernel when the block is left.

        Its own session keeps the terminal's Ctrl-C from it: stopping is this class's work.
        """
        with self._guard:
            if self.stopping.is_set():
                raise InterruptedError("stopped")
            child = subprocess.Popen(
                [sys.executable, "-m", "bertstudy.execute"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=self._env,
                cwd=job["folder"],
                start_new_session=True,
            )
            self._children.add(child)
        try:
            with child:
                child.stdin.write(json.dumps(job) + "\n")
                child.stdin.flush()
                try:
                    yield child
                finally:
                    _kill_tree(child)
        finally:
            with self._guard:
                self._children.discard(child)

    def stop(self) -> None:
        """End every child with its kernel and start no more."""
        with self._guard:
            self.stopping.set()
            for child in self._children:
                _kill_tree(child)


def _kill_tree(child: subprocess.Popen[str]) -> None:
    """Kill a child and all below it: a kernel has a session of its own, so no group holds it."""
    if child.poll() is not None:  # gone, and its number may be someone else's by now
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(child.pid)
        for process in (*top.children(recursive=True), top):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _environment(
    runtime: Path, jobs: int, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The children's environment: this process's own, with ``given`` in front.

    One thread each when several work side by side: more only get in each other's way. A value
    the user has set stays. Kernels get their own runtime folder and profile, so that no one's
    start-up files, history lock or stray connection files take part.
    """
    kept = {name: value for name, value in ONE_THREAD.items() if jobs > 1}
    kept |= {"TOKENIZERS_PARALLELISM": "false", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    if given is None:
        given = {paths.HOME_VARIABLE: str(paths.root())}
    own = {
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "IPYTHONDIR": str(runtime / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel before the user's
    }
    return kept | dict(os.environ) | dict(given) | own


def _code_cells(run: Run) -> int:
    cells = json.loads(run.notebook.path.read_text())["cells"]
    return sum(c["cell_type"] == "code" for c in cells) + bool(run.chosen)


def _attempt(run: Run, running: Path, pool: Pool, tell: Tell) -> Attempt:
    job = {
        "source": str(run.notebook.path),
        "output": str(running),
        "parameters": run.chosen,
        "page": run.notebook.name + plan.SUFFIX,
        "folder": str(Path.cwd()),  # from which the study reads a relative --source
    }
    return pool.attempt(job, tell)


def _facts(line: str) -> dict[str, object]:
    """The child's JSON line; empty for anything a library printed in between."""
    try:
        facts = json.loads(line)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _place(run: Run, running: Path, digest: str, seconds: float) -> None:
    """Move a finished page to its place and note it."""
    sha256 = hashlib.sha256(running.read_bytes()).hexdigest()
    run.output.parent.mkdir(parents=True, exist_ok=True)
    os.replace(running, run.output)
    failed_copy(run).unlink(missing_ok=True)
    utc = datetime.now(UTC).isoformat(timespec="seconds")
    made = plan.Done(
        run.notebook.name, dict(run.parameters), digest, sha256, round(seconds, 2), utc
    )
    plan.note(run, made)


def failed_copy(run: Run) -> Path:
    """Where a failing notebook is kept, executed as far as it came."""
    return run.output.with_suffix(f".failed{plan.SUFFIX}")


def _execute(run: Run, pool: Pool, watcher: Watcher) -> Outcome:
    """Execute one run whose lock is held."""
    running = plan.folder(run.edition) / "running" / f"{run.page.replace('/', '--')}.ipynb"
    running.parent.mkdir(parents=True, exist_ok=True)
    running.unlink(missing_ok=True)
    digest = ""

    def tell(what: str) -> None:
        nonlocal digest
        if what == "cell":
            watcher.cell(run)
        else:
            digest = plan.digest(run)  # of what is read now: a later edit makes the page stale
            watcher.started(run, _code_cells(run))

    for attempt in range(ATTEMPTS):
        if attempt:
            pool.stopping.wait(attempt)
        result = _attempt(run, running, pool, tell)
        if not result.again:
            break
    if pool.stopping.is_set() and result.error:
        return Outcome(run, "stopped", result.seconds, "stopped")
    if result.error:
        plan.note(run, None)
        if running.is_file():
            run.output.parent.mkdir(parents=True, exist_ok=True)
            os.replace(running, failed_copy(run))
        return Outcome(run, "failed", result.seconds, result.error)
    _place(run, running, digest, result.seconds)
    return Outcome(run, "done", result.seconds, _short(run.output))


def _short(path: Path) -> str:
    return path.relative_to(paths.root()).as_posix()


def _perform(run: Run, force: bool, pool: Pool, watcher: Watcher) -> Outcome:
    """Execute ``run`` unless its page is current; a second process waits for the first."""
    lock = plan.folder(run.edition) / "locks" / f"{run.page.replace('/', '--')}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock).acquire(cancel_check=pool.stopping.is_set):
            if not force and plan.state(run) == "current":
                outcome = Outcome(run, "up to date", 0.0, _short(run.output))
            else:
                outcome = _execute(run, pool, watcher)
    except (InterruptedError, Timeout):
        outcome = Outcome(run, "stopped", 0.0, "stopped")
    except OSError as error:
        outcome = Outcome(run, "failed", 0.0, f"{type(error).__name__}: {error}")
    watcher.finished(outcome)
    return outcome


def execute(
    runs: Sequence[Run], watcher: Watcher, jobs: int | Pool = 1, force: bool = False
) -> list[Outcome]:
    """Execute the runs; pages that are current are left alone.

    A failing notebook does not stop the others. When this is interrupted the processes are
    ended first, and the same call later carries on where it stopped.

    Args:
        jobs: how many at a time on this machine, or the pool to execute them in.
        force: execute also what is current.

    Returns:
        One outcome for each run, in the plan's order.
    """
    if isinstance(jobs, int):
        with Crew(jobs) as crew:
            return execute(runs, watcher, crew, force)
    pool = jobs
    threads = ThreadPoolExecutor(max(1, pool.room(len(runs))))
    try:
        futures = [threads.submit(_perform, run, force, pool, watcher) for run in runs]
        for future in as_completed(futures):
            future.result()
    except BaseException:
        pool.stop()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
    return [future.result() for future in futures]
