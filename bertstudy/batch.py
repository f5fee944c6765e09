"""Run a plan: papermill in a process per notebook, a few at a time, safe to stop at any moment.

A process per notebook frees its memory and keeps papermill's working directory apart. A page
is executed into ``build/<edition>/running`` and moved into place only when it ran to its end;
the manifest notes it after that. A kill leaves at most a file there, overwritten next time.
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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import psutil
from filelock import FileLock, Timeout

from bertstudy import paths, plan
from bertstudy.plan import Run

ATTEMPTS = 3
# A kernel that did not come up says one of these; a busy machine or a taken port, not the notebook.
START_TROUBLE = ("Address already in use", "Kernel died before replying", "Kernel didn't respond")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

Status = Literal["done", "up to date", "failed", "stopped"]


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
        """A notebook with this many code cells begins."""

    def cell(self, run: Run) -> None:
        """A code cell is done."""

    def finished(self, outcome: Outcome) -> None:
        """The run is over, one way or another."""


class Crew:
    """The child processes at work, so that all can be ended at once."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._children: set[subprocess.Popen[str]] = set()
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def child(self, job: dict[str, object], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
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
                env=env,
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


def _environment(runtime: Path, jobs: int) -> dict[str, str]:
    """The children's environment.

    One thread each when several work side by side: more only get in each other's way. A value
    the user has set stays. Kernels get their own runtime folder and profile, so that no one's
    start-up files, history lock or stray connection files take part.
    """
    kept = {name: value for name, value in ONE_THREAD.items() if jobs > 1}
    kept |= {"TOKENIZERS_PARALLELISM": "false", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    own = {
        paths.HOME_VARIABLE: str(paths.root()),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "IPYTHONDIR": str(runtime / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel before the user's
    }
    return kept | dict(os.environ) | own


def _code_cells(run: Run) -> int:
    cells = json.loads(run.notebook.path.read_text())["cells"]
    return sum(c["cell_type"] == "code" for c in cells) + bool(run.chosen)


@dataclass(frozen=True)
class _Attempt:
    """What one child said: its error, "" for none, and whether another try may help."""

    error: str
    again: bool = False


def _attempt(
    run: Run, running: Path, crew: Crew, env: dict[str, str], watcher: Watcher
) -> _Attempt:
    job = {
        "source": str(run.notebook.path),
        "output": str(running),
        "parameters": run.chosen,
        "page": run.notebook.name + plan.SUFFIX,
    }
    told: dict[str, object] = {}
    with crew.child(job, env) as child:
        stderr: list[str] = []
        drain = threading.Thread(target=lambda: stderr.extend(child.stderr), daemon=True)
        drain.start()
        for line in child.stdout:
            facts = _facts(line)
            told |= facts
            if "cell" in facts:
                watcher.cell(run)
        status = child.wait()
        drain.join(timeout=10)
    if status == 0:
        return _Attempt("")
    last = next((line.strip() for line in reversed(stderr) if line.strip()), "no message")
    error = str(told.get("error") or f"its process ended with status {status}: {last}")
    return _Attempt(error, "cell" not in told and any(text in error for text in START_TROUBLE))


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


def _execute(run: Run, crew: Crew, env: dict[str, str], watcher: Watcher) -> Outcome:
    """Execute one run whose lock is held."""
    running = plan.folder(run.edition) / "running" / f"{run.page.replace('/', '--')}.ipynb"
    running.parent.mkdir(parents=True, exist_ok=True)
    running.unlink(missing_ok=True)
    digest = plan.digest(run)  # of what is read now: an edit during the run makes the page stale
    start = time.perf_counter()
    watcher.started(run, _code_cells(run))
    for attempt in range(ATTEMPTS):
        if attempt:
            crew.stopping.wait(attempt)
        result = _attempt(run, running, crew, env, watcher)
        if not result.again:
            break
    seconds = time.perf_counter() - start
    if crew.stopping.is_set() and result.error:
        return Outcome(run, "stopped", seconds, "stopped")
    if result.error:
        plan.note(run, None)
        if running.is_file():
            run.output.parent.mkdir(parents=True, exist_ok=True)
            os.replace(running, failed_copy(run))
        return Outcome(run, "failed", seconds, result.error)
    _place(run, running, digest, seconds)
    return Outcome(run, "done", seconds, _short(run.output))


def _short(path: Path) -> str:
    return path.relative_to(paths.root()).as_posix()


def _perform(run: Run, force: bool, crew: Crew, env: dict[str, str], watcher: Watcher) -> Outcome:
    """Execute ``run`` unless its page is current; a second process waits for the first."""
    lock = plan.folder(run.edition) / "locks" / f"{run.page.replace('/', '--')}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock).acquire(cancel_check=crew.stopping.is_set):
            if not force and plan.state(run) == "current":
                outcome = Outcome(run, "up to date", 0.0, _short(run.output))
            else:
                outcome = _execute(run, crew, env, watcher)
    except (InterruptedError, Timeout):
        outcome = Outcome(run, "stopped", 0.0, "stopped")
    except OSError as error:
        outcome = Outcome(run, "failed", 0.0, f"{type(error).__name__}: {error}")
    watcher.finished(outcome)
    return outcome


def execute(
    runs: Sequence[Run], watcher: Watcher, jobs: int = 1, force: bool = False
) -> list[Outcome]:
    """Execute the runs, ``jobs`` at a time; pages that are current are left alone.

    A failing notebook does not stop the others. When this is interrupted the children are
    ended first, and the same call later carries on where it stopped.

    Args:
        force: execute also what is current.

    Returns:
        One outcome for each run, in the plan's order.
    """
    crew = Crew()
    runtime = Path(tempfile.mkdtemp(prefix="bertstudy-"))
    env = _environment(runtime, jobs)
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        futures = [pool.submit(_perform, run, force, crew, env, watcher) for run in runs]
        for future in as_completed(futures):
            future.result()
    except BaseException:
        crew.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(runtime, ignore_errors=True)
    return [future.result() for future in futures]
