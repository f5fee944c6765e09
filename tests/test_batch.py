"""Batch execution: bad input is refused first, pages are made once, and stopping is harmless."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from bertstudy import batch, plan
from bertstudy.errors import BertstudyError

HEADER = 'edition = "mini"\nsource = ""\n'
DEFAULTS = HEADER + 'task = "all"\nseeds = 3\nrate = 0.5\nquick = False  # fewer examples'
ECHO = "print(task, seeds, rate, quick)"
# Leaves a mark once it runs and then waits for its other mark.
WAIT = """
import os, pathlib, time
here = pathlib.Path(os.environ["BERTSTUDY_HOME"])
(here / f"started-{os.getpid()}").touch()
while not (here / "go").exists():
    time.sleep(0.02)
"""


def write_notebook(home: Path, name: str, *cells: str, parameters: str = DEFAULTS) -> Path:
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "Py"}},
        cells=[
            nbformat.v4.new_markdown_cell(f"# {name}"),
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *map(nbformat.v4.new_code_cell, cells),
        ],
    )
    path = home / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project with two notebooks of one paper and one of another."""
    (tmp_path / "_config.yml").touch()
    monkeypatch.setenv("BERTSTUDY_HOME", str(tmp_path))
    write_notebook(tmp_path, "secrets/4-6-disabling-heads", ECHO)
    write_notebook(tmp_path, "secrets/4-60-other", ECHO)
    write_notebook(tmp_path, "sparse/3-1-positions", ECHO)
    return tmp_path


class Silent:
    """Counts what a batch reports."""

    def __init__(self):
        self.cells = 0
        self.ended = []

    def started(self, run, cells):
        self.total = cells

    def cell(self, run):
        self.cells += 1

    def finished(self, outcome):
        self.ended.append(outcome.status)


def text_of(path: Path) -> str:
    """Everything a notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [o for cell in cells for o in cell.get("outputs", [])]
    return "".join(o.get("text", "") for o in outputs)


def names_of(runs):
    return [run.notebook.name for run in runs]


# --- the plan


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], ["secrets/4-6-disabling-heads", "secrets/4-60-other", "sparse/3-1-positions"]),
        (["secrets/4-6"], ["secrets/4-6-disabling-heads"]),
        (["secrets"], ["secrets/4-6-disabling-heads", "secrets/4-60-other"]),
        (["notebooks/sparse/3-1-positions.ipynb"], ["sparse/3-1-positions"]),
        (["sparse/3", "sparse"], ["sparse/3-1-positions"]),
    ],
)
def test_names_and_their_beginnings(home, wanted, expected):
    assert names_of(plan.plan(wanted)) == expected


def test_checkpoints_of_jupyter_are_no_notebooks(home):
    write_notebook(home, "sparse/.ipynb_checkpoints/3-1-positions-checkpoint")
    assert len(plan.names()) == 3


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [("secrets/4-7", "secrets/4-6"), ("secret/4-6", "secrets/4-6"), ("zzz", "sparse/3-1-pos")],
)
def test_unknown_notebook_names_what_comes_close(home, wanted, hint):
    with pytest.raises(BertstudyError, match=f"no notebook '{wanted}'.*{hint}"):
        plan.plan([wanted])


def test_values_take_the_type_of_the_default(home):
    pairs = ["task=rte", "seeds=5", "rate=1e-3", "quick=TRUE"]
    (run,) = plan.plan(["sparse"], pairs=pairs)
    expected = {"task": "rte", "seeds": 5, "rate": 1e-3, "quick": True}
    assert run.chosen == expected
    assert run.parameters == {"edition": "mini", "source": "", **expected}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("taks=rte", "has no parameter taks: it has source, task, seeds, rate, quick"),
        ("seeds=five", "seeds=five: expected a whole number"),
        ("seeds=1.5", "expected a whole number"),
        ("rate=fast", "rate=fast: expected a number"),
        ("rate=nan", "expected a number"),
        ("quick=1", "expected true or false"),
        ("task", "write it as name=value"),
        ("edition=small", "use --edition small"),
    ],
)
def test_wrong_parameters_are_refused(home, pair, message):
    with pytest.raises(BertstudyError, match=message):
        plan.plan(["sparse"], pairs=[pair])


@pytest.mark.parametrize(
    ("cell", "message"),
    [("x = 1", "must set edition"), ('edition = "mini"\nlayers = [1]', "layers = .* number or")],
)
def test_unsuitable_parameters_cells_are_refused(home, cell, message):
    write_notebook(home, "ssa/1-bad", parameters=cell)
    with pytest.raises(BertstudyError, match=f"ssa/1-bad: .*{message}"):
        plan.plan(["ssa"])


def test_unreadable_notebook_is_refused(home):
    (home / "notebooks" / "sparse" / "9-broken.ipynb").write_text("{")
    with pytest.raises(BertstudyError, match="sparse/9-broken: not a readable notebook"):
        plan.plan()


def test_a_name_given_twice_makes_a_run_for_each_value(home):
    runs = plan.plan(["secrets/4-6"], pairs=["task=rte", "task=mrpc", "seeds=1", "task=rte"])
    assert [run.page.partition("--")[2] for run in runs] == [
        "task-rte--seeds-1",
        "task-mrpc--seeds-1",
    ]


def test_pages_differ_when_parameters_do(home):
    texts = ["a b", "a-b", "a/b", "a_b", "ä", "all", "../../x"]
    runs = plan.plan(["sparse"], pairs=[f"task={text}" for text in texts])
    assert len({run.page for run in runs}) == len(texts)
    assert all(run.output.parent == plan.executed("mini") / "sparse" for run in runs)
    assert runs[texts.index("all")].page == "sparse/3-1-positions", "the default is the plain page"


def test_digest_follows_code_and_not_outputs(home):
    (run,) = plan.plan(["sparse"])
    before = plan.digest(run)
    notebook = nbformat.read(run.notebook.path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="hello")]
    nbformat.write(notebook, run.notebook.path)
    assert plan.digest(run) == before

    shipped = home / "results" / "mini" / "effect"
    shipped.mkdir(parents=True)
    (shipped / "0.json").write_text("{}")
    with_results = plan.digest(run)
    write_notebook(home, "sparse/3-1-positions", ECHO + "\n")
    assert len({before, with_results, plan.digest(run)}) == 3


# --- execution


def test_a_run_makes_a_page_and_the_next_leaves_it_alone(home):
    runs = plan.plan(["secrets/4-6"], pairs=["task=rte"])
    watcher = Silent()
    (first,) = batch.execute(runs, watcher)
    (second,) = batch.execute(runs, Silent())

    assert (first.status, second.status) == ("done", "up to date")
    page = "build/mini/notebooks/secrets/4-6-disabling-heads--task-rte.ipynb"
    assert first.detail == second.detail == page
    assert text_of(home / page) == "rte 3 0.5 False\n"
    assert watcher.cells == watcher.total == 3, "parameters, injected parameters, echo"
    assert str(home) not in (home / page).read_text(), "no folder of this machine"
    assert list((home / "build" / "mini" / "running").iterdir()) == []


@pytest.mark.parametrize("damage", ["page", "manifest", "source"])
def test_damage_and_change_are_noticed(home, damage):
    (run,) = plan.plan(["sparse"])
    run.output.parent.mkdir(parents=True)
    run.output.write_text("a page")
    sha256 = plan.file_hashes(run.output.parent)[run.output.name]
    plan.note(
        run, plan.Done(run.notebook.name, dict(run.parameters), plan.digest(run), sha256, 1.0, "")
    )
    assert plan.state(run) == "current"
    if damage == "page":
        run.output.write_text("a pagf")
    elif damage == "manifest":
        manifest = plan.manifest_path("mini")
        manifest.write_text(manifest.read_text()[:-40])
    else:
        write_notebook(home, "sparse/3-1-positions", ECHO, "1 + 1")
    assert plan.state(run) == {"manifest": "missing"}.get(damage, "stale")


def test_failing_notebook_is_told_in_a_line_and_does_not_stop_others(home):
    write_notebook(home, "secrets/5-fails", ECHO, "raise KeyError('layer 9\\nmore')", "1")
    bad_import = "from bertstudy.errors import BertstudyError\nraise BertstudyError('no task x')"
    write_notebook(home, "secrets/6-refuses", bad_import)
    write_notebook(
        home, "secrets/7-dies", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    wanted = ["secrets/5", "secrets/6", "secrets/7", "sparse"]
    outcomes = batch.execute(plan.plan(wanted), Silent(), jobs=2)
    fails, refuses, dies, other = outcomes

    assert [o.status for o in outcomes] == ["failed", "failed", "failed", "done"]
    assert fails.detail == "KeyError: 'layer 9\\nmore'"
    assert refuses.detail == "no task x"
    assert "died" in dies.detail.lower()
    assert "\n" not in dies.detail
    assert other.run.output.is_file()
    assert not fails.run.output.exists()
    assert "all 3 0.5 False" in text_of(batch.failed_copy(fails.run)), "kept for reading"
    assert plan.state(fails.run) == "missing"


def test_mended_notebook_loses_its_failed_copy(home):
    write_notebook(home, "secrets/5-fails", "1 / 0")
    batch.execute(plan.plan(["secrets/5"]), Silent())
    write_notebook(home, "secrets/5-fails", "1 / 1")
    (run,) = plan.plan(["secrets/5"])
    assert batch.failed_copy(run).is_file()
    batch.execute([run], Silent())
    assert not batch.failed_copy(run).exists()
    assert plan.state(run) == "current"


THREADS = """
import os, pathlib, time
print(os.environ.get("OMP_NUM_THREADS"))
here = pathlib.Path(os.environ["BERTSTUDY_HOME"])
(here / f"started-{os.getpid()}").touch()
end = time.monotonic() + 120
while len(list(here.glob("started-*"))) < 2:
    assert time.monotonic() < end, "alone"
    time.sleep(0.02)
"""


def test_two_jobs_overlap_with_one_thread_each(home, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name in ("secrets/4-6-disabling-heads", "sparse/3-1-positions"):
        write_notebook(home, name, THREADS)
    outcomes = batch.execute(plan.plan(["secrets/4-6", "sparse"]), Silent(), jobs=2)
    assert [o.status for o in outcomes] == ["done", "done"], "each waits for the other"
    assert {text_of(o.run.output) for o in outcomes} == {"1\n"}


def test_thread_settings_of_the_user_stay(home, monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert batch._environment(tmp_path, jobs=2)["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "OMP_NUM_THREADS" not in batch._environment(tmp_path, jobs=1)


def test_kernel_that_does_not_come_up_is_tried_again(home, monkeypatch):
    tries = iter([("Address already in use", True), ("", False)])
    monkeypatch.setattr(batch, "_attempt", lambda *_: batch.Attempt(*next(tries)))
    placed = []
    monkeypatch.setattr(batch, "_place", lambda run, *_: placed.append(run))
    (outcome,) = batch.execute(plan.plan(["sparse"]), Silent())
    assert outcome.status == "done"
    assert placed == [outcome.run]


# --- stopping


def start_run(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "bertstudy", "run", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds=180.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return found


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_run_leaves_no_process_and_no_half_page_and_resumes(home, stop):
    write_notebook(home, "secrets/4-6-disabling-heads", WAIT, ECHO)
    (run,) = plan.plan(["secrets/4-6"])
    with start_run("secrets/4-6") as process:
        (mark,) = wait_for(lambda: list(home.glob("started-*")))
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=120)
    kernel = int(mark.name.partition("-")[2])
    wait_for(lambda: is_gone(kernel))

    assert process.returncode == (-signal.SIGKILL if stop == signal.SIGKILL else 130)
    if stop != signal.SIGKILL:
        assert stderr.strip().splitlines()[-1].startswith("bertstudy: stopped")
        assert "Traceback" not in stderr
    assert not run.output.exists()
    assert plan.state(run) == "missing"

    (home / "go").touch()
    (outcome,) = batch.execute([run], Silent())
    assert outcome.status == "done"
    assert text_of(run.output) == "all 3 0.5 False\n"


def test_second_process_waits_for_the_first_and_reuses_its_page(home):
    write_notebook(home, "secrets/4-6-disabling-heads", WAIT, ECHO)
    with start_run("secrets/4-6") as first:
        wait_for(lambda: list(home.glob("started-*")))
        with start_run("secrets/4-6") as second:
            time.sleep(1.5)
            (home / "go").touch()
            assert "up to date" in second.communicate(timeout=120)[0]
        assert " done " in first.communicate(timeout=120)[0]
    assert len(list(home.glob("started-*"))) == 1


def test_manifest_is_readable(home):
    (run,) = plan.plan(["sparse"])
    plan.note(run, plan.Done(run.notebook.name, dict(run.parameters), "d", "s", 1.0, "now"))
    line = json.loads(plan.manifest_path("mini").read_text())["sparse/3-1-positions"]
    assert line["parameters"]["task"] == "all"
    assert os.access(plan.manifest_path("mini"), os.R_OK)
