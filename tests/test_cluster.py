"""A plan on a Dask cluster comes out as on this machine, whatever happens to its workers.

The scheduler and its workers are processes of their own; nothing stands in for them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import distributed
import nbformat
import psutil
import pytest
from test_batch import (  # noqa: F401
    ECHO,
    WAIT,
    Silent,
    home,
    is_gone,
    start_run,
    text_of,
    wait_for,
    write_notebook,
)
from typer.testing import CliRunner

from bertstudy import batch, cluster, plan
from bertstudy.cli import app

SECONDS = 3  # column of the summary


class Dask:
    """A scheduler and its workers, with nothing of the project in their environment."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.env = {n: v for n, v in os.environ.items() if not n.startswith("BERTSTUDY_")}
        self.env |= settings
        self.processes: list[subprocess.Popen] = []
        self.start("scheduler", "--port", "0")
        wait_for(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        self.address = json.loads(self.file.read_text())["address"]

    def start(self, *words: str) -> subprocess.Popen:
        common = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(self.file))
        with (self.folder / f"{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words, *common],
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.folder,
            )
        self.processes.append(process)
        return process

    def worker(self, *options: str) -> subprocess.Popen:
        """Two threads and one GPU, so that only the GPU can keep it to one notebook."""
        local = self.folder / f"worker-{len(self.processes)}"
        limits = ("--nthreads", "2", "--resources", "GPU=1", "--memory-limit", "0")
        return self.start("worker", *limits, *options, "--local-directory", str(local))

    def ready(self, count: int) -> None:
        """Wait until so many workers are there: a client that is earlier says so on stderr."""
        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=120)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def dask(folder: Path, **settings: str):
    there = Dask(folder, **settings)
    try:
        yield there
    finally:
        there.stop()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """For all tests but those that harm the scheduler; whoever kills a worker replaces it."""
    with dask(tmp_path_factory.mktemp("dask")) as there:
        there.worker("--no-nanny")
        there.worker("--no-nanny")
        there.ready(2)
        yield there


def run(*words: str):
    return CliRunner().invoke(app, ["run", *words])


def rows_of(stdout: str) -> list[list[str]]:
    """The summary's rows without their seconds."""
    rows = [line.split("│")[1:-1] for line in stdout.splitlines() if line.startswith("│")]
    return [[cell.strip() for n, cell in enumerate(row) if n != SECONDS] for row in rows]


def made(folder: Path) -> dict:
    """What a batch leaves behind, without what the clock writes into it."""
    told = {}
    for path in folder.rglob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        cells = [(c.cell_type, c.source, c.get("outputs")) for c in notebook.cells]
        parameters = notebook.metadata.papermill["parameters"]
        told[path.relative_to(folder).as_posix()] = (parameters, cells)
    manifest = json.loads((folder / "manifest.json").read_text())
    for page, line in manifest.items():
        told[page] = (line["notebook"], line["parameters"], line["digest"])
    return told


def marks(home: Path) -> set[int]:  # noqa: F811
    """Process numbers of the kernels that reached `WAIT`."""
    return {int(path.name.partition("-")[2]) for path in home.glob("started-*")}


# --- what comes out


def test_lost_children_and_workers_change_nothing(home, two_workers):  # noqa: F811
    write_notebook(home, "secrets/4-6-disabling-heads", WAIT, ECHO)
    write_notebook(home, "secrets/5-fails", ECHO, "raise KeyError('layer 9')", "1")
    words = ("secrets/4-6", "secrets/5", "sparse", "-p", "task=rte")
    with start_run(*words, "--scheduler", two_workers.address) as process:
        (first,) = wait_for(lambda: marks(home))
        child = psutil.Process(first).parent()
        child.terminate()  # as Slurm ends what a worker has begun, and then the worker
        (second,) = wait_for(lambda: marks(home) - {first})
        child, worker = psutil.Process(second).parents()[:2]
        assert worker.pid in {p.pid for p in two_workers.processes}
        worker.kill()
        (third,) = wait_for(lambda: marks(home) - {first, second})
        wait_for(lambda: is_gone(second) and is_gone(child.pid))
        assert psutil.Process(third).parents()[1] != worker
        (home / "go").touch()
        stdout, stderr = process.communicate(timeout=120)
    two_workers.worker("--no-nanny")
    two_workers.ready(2)

    assert process.returncode == 1, stderr
    assert "Traceback" not in stderr
    assert not list((home / "build").glob(".cluster-*"))
    assert list((home / "build" / "mini" / "running").iterdir()) == []
    states = [plan.state(run) for run in plan.plan(words[:3], pairs=words[4:])]
    assert states == ["current", "missing", "current"]

    (home / "build").rename(home / "there")
    here = run(*words)
    assert here.exit_code == 1
    assert rows_of(stdout) == rows_of(here.stdout)
    assert made(home / "there" / "mini") == made(home / "build" / "mini")


ALONE = """
import os, time
print(os.environ.get("OMP_NUM_THREADS"), os.environ.get("BERTSTUDY_RECORD"), os.getcwd())
print(time.time()); time.sleep(1); print(time.time())
"""


def test_one_notebook_per_gpu_with_the_clients_settings(home, two_workers, monkeypatch):  # noqa: F811
    monkeypatch.setenv("BERTSTUDY_RECORD", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.chdir(home)
    write_notebook(home, "secrets/4-6-disabling-heads", ALONE)
    runs = plan.plan(["secrets/4-6"], pairs=["task=rte", "task=mrpc", "task=qnli"])
    watcher = Silent()
    with cluster.connect(two_workers.address) as workers:
        outcomes = batch.execute(runs, watcher, workers)
    lines = [text_of(outcome.run.output).splitlines() for outcome in outcomes]

    assert {settings for settings, _, _ in lines} == {f"5 0 {home}"}
    assert watcher.cells == 3 * watcher.total
    times = sorted((float(start), float(end)) for _, start, end in lines)
    assert times[2][0] >= min(times[0][1], times[1][1]), "three notebooks, two GPUs"


# --- stopping


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_stopped_client_ends_its_notebooks_on_the_workers(home, two_workers, stop):  # noqa: F811
    write_notebook(home, "secrets/4-6-disabling-heads", WAIT, ECHO)
    words = ("secrets/4-6", "--scheduler", two_workers.address, "-p", "task=a", "-p", "task=b")
    with start_run(*words, "-p", "task=c") as process:
        kernels = wait_for(lambda: len(marks(home)) == 2 and marks(home))
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=120)
    wait_for(lambda: all(map(is_gone, kernels)))
    assert process.returncode == (-signal.SIGKILL if stop == signal.SIGKILL else 130)
    if stop == signal.SIGINT:
        assert stderr.startswith("bertstudy: stopped")
        assert len(stderr.splitlines()) == 1
    assert not list(home.glob("build/mini/notebooks/**/*.ipynb"))

    (home / "go").touch()
    assert run(*words).exit_code == 0
    assert len(marks(home)) == 4, "two notebooks twice; the third never began"


def test_workers_that_keep_dying_end_one_notebook_and_no_other(home, tmp_path_factory):  # noqa: F811
    kill = "import os, psutil\nos.kill(psutil.Process().parents()[1].pid, 9)"
    write_notebook(home, "secrets/4-6-disabling-heads", kill)
    strict = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with dask(tmp_path_factory.mktemp("dask"), **strict) as there:
        for _ in range(batch.ATTEMPTS + 1):
            there.worker("--no-nanny")
        with cluster.connect(there.address) as workers:
            runs = plan.plan(["secrets"])
            deadly, other = batch.execute(runs, Silent(), workers)
    assert deadly.status == "failed"
    assert f"{batch.ATTEMPTS} workers died while they ran it, the last one tcp:" in deadly.detail
    assert other.status == "done"


def test_lost_scheduler_is_told_in_a_line(home, tmp_path_factory, monkeypatch):  # noqa: F811
    write_notebook(home, "secrets/4-6-disabling-heads", WAIT, ECHO)
    with dask(tmp_path_factory.mktemp("dask")) as there:
        there.worker("--no-nanny")
        there.ready(1)
        with start_run("secrets/4-6", "--scheduler", there.address) as process:
            (kernel,) = wait_for(lambda: marks(home))
            there.processes[0].kill()
            _, stderr = process.communicate(timeout=120)
        wait_for(lambda: is_gone(kernel))
    assert process.returncode == 2
    (line,) = stderr.splitlines()
    assert line.startswith("bertstudy: the scheduler was lost; finished pages are kept")


# --- refused before any work


def refused(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert not list(Path(os.environ["BERTSTUDY_HOME"]).glob("build/*/*"))
    return line.removeprefix("bertstudy: ")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:1", "Timed out trying to connect to tcp://127.0.0.1:1"),
        ("http://127.0.0.1:1", "unknown address scheme 'http'"),
        ("tls://127.0.0.1:1", "TLS expects a `ssl_context`"),
        ("nonsense", "missing port number in address 'nonsense'"),
    ],
)
def test_address_without_a_scheduler(home, monkeypatch, address, reason):  # noqa: F811
    monkeypatch.setattr(cluster, "TIMEOUT", 0.5)
    line = refused("--scheduler", address)
    assert line.startswith(f"no Dask scheduler at --scheduler {address} ({reason}")


def test_what_takes_calls_and_never_answers(home, monkeypatch):  # noqa: F811
    monkeypatch.setattr(cluster, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = refused("--scheduler", f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    assert "(no answer within 0.5 s)" in line


def test_a_workers_address_is_no_schedulers(home, two_workers):  # noqa: F811
    with distributed.Client(two_workers.address, set_as_default=False) as client:
        (worker, *_) = wait_for(lambda: client.scheduler_info()["workers"])
    assert "(it is a Worker)" in refused("--scheduler", worker)


def test_jobs_are_for_this_machine(home):  # noqa: F811
    line = refused("--scheduler", "tcp://127.0.0.1:1", "--jobs", "2")
    assert line.startswith("--jobs is for this machine")


def test_absent_dask_gets_the_command_that_installs_it(home, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "bertstudy.cluster")
    monkeypatch.delattr("bertstudy.cluster")
    line = refused("--scheduler", "tcp://127.0.0.1:1")
    assert line.startswith("--scheduler needs distributed, which is not installed: pip install")
    assert line.endswith("pip install -e '.[dask]'")


def test_worker_with_another_version(home, two_workers, monkeypatch):  # noqa: F811
    torch = cluster._facts()["torch"]
    own = cluster._facts() | {"torch": "0.1", cluster.CODE: "0"}
    monkeypatch.setattr(cluster, "_facts", lambda: own)  # here; the workers have their own
    line = refused("--scheduler", two_workers.address)
    assert line.startswith("worker tcp://127.0.0.1:")
    assert f"torch {torch} instead of 0.1, bertstudy's code is another" in line


def test_scheduler_with_another_version(home, two_workers, monkeypatch):  # noqa: F811
    there = distributed.__version__
    monkeypatch.setattr(distributed, "__version__", "0.1")
    line = refused("--scheduler", two_workers.address)
    assert line == f"the scheduler has distributed {there} instead of 0.1"


def test_worker_that_joins_late_is_checked_too(home, two_workers):  # noqa: F811
    with cluster.connect(two_workers.address) as workers:
        workers._facts = {**workers._facts, "torch": "0.1"}
        (outcome,) = batch.execute(plan.plan(["sparse"]), Silent(), workers)
    assert outcome.status == "failed"
    assert "has not what the client has: torch " in outcome.detail


def test_worker_without_the_projects_files(tmp_path):
    facts = cluster._facts()
    assert cluster._trouble(facts, (str(tmp_path),)) == ""
    absent = str(tmp_path / "absent")
    assert absent in cluster._trouble(facts, (str(tmp_path), absent))
