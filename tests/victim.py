"""A small study to be killed, raced and starved, in processes that start in no time.

They are forked from one that has imported everything, and begin when they are told to.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from safetensors.numpy import save_file

from bertstudy import encoder, plan, submission
from bertstudy import study as studies
from bertstudy.editions import EDITIONS, FineTuning
from bertstudy.paths import HOME_VARIABLE
from bertstudy.store import DamagedResult, Record, Store
from bertstudy.tasks import task

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["bertstudy.study", "bertstudy.plan", "transformers.models.bert.modeling_bert"]
)
SETTINGS = FineTuning(epochs=2, batch_size=4, max_length=24)
TASKS, SEEDS = ("rte", "mrpc"), (0, 1)
FIRST = ["the cat sat", "a lowly worm", "nobody laughed", "seven ships sailed", "the dog barked"]
ROWS = {
    "sentence1": FIRST,
    "sentence2": FIRST[::-1],
    "label": [0, 1, 1, 0, 1],
    "idx": list(range(5)),
}
AT_FILES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.scandir"}


class Child:
    """``work(*arguments)`` in a process of its own, from `go` on."""

    def __init__(self, work: Callable[..., Any], *arguments: Any):
        self._ours, theirs = FORKS.Pipe()
        self._process = FORKS.Process(target=_serve, args=(theirs, work, arguments), daemon=True)
        self._process.start()
        theirs.close()
        assert self._ours.recv() == "ready"

    def go(self) -> "Child":
        self._ours.send("go")
        return self

    def result(self) -> Any:
        """What the work returned or raised; None if it was killed."""
        try:
            found = self._ours.recv()
        except EOFError:
            found = None
        self._process.join(30)
        assert self._process.exitcode == (0 if found else -signal.SIGKILL)
        if isinstance(found, Exception):
            raise found
        return found

    def kill(self, seconds: float) -> None:
        """Let it begin, and kill it so much later."""
        self.go()
        time.sleep(seconds)
        self._process.kill()
        self._process.join(30)


def call(work: Callable[..., Any], *arguments: Any) -> Any:
    """``work(*arguments)`` in a process of its own."""
    return Child(work, *arguments).go().result()


def _serve(connection: Any, work: Callable[..., Any], arguments: tuple) -> None:
    import torch

    torch.set_num_threads(1)  # the same sums in every process
    connection.send("ready")
    connection.recv()
    # Not into the files of pytest, which a limit would fill.
    with open(os.devnull, "w") as nowhere:  # noqa: SIM117
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            try:
                found = work(*arguments)
            except Exception as error:
                error.add_note(f"in {work.__name__}")
                found = error
    connection.send(found)


def project(home: Path) -> Path:
    """An empty project."""
    (home / "notebooks").mkdir(parents=True, exist_ok=True)
    (home / "_config.yml").touch()
    return home


def open_study(home: Path, checkpoint: str) -> studies.Study:
    """A study of two tasks and two seeds that keeps all it makes below ``home``."""
    os.environ[HOME_VARIABLE] = str(home)
    edition = replace(EDITIONS["mini"], checkpoint=checkpoint, fine_tuning=SETTINGS)
    study = studies.Study(edition, TASKS, SEEDS)
    study.store = Store(home / "store", home / "shipped")
    study.rows = lambda task, split: Dataset.from_dict(ROWS)
    return study


def work(home: Path, checkpoint: str) -> dict[str, Any]:
    """Train and measure all there is and note a page for each.

    Returns:
        ``values`` and ``origins`` by measurement, task and seed; what was ``damaged``; how
        many models were ``trained``.
    """
    study, trained = open_study(home, checkpoint), []
    fine_tune = studies.fine_tune

    def counted(*given: Any, **more: Any) -> dict:
        trained.append(given)
        return fine_tune(*given, **more)

    studies.fine_tune = counted

    def logits(each: Any) -> Callable[[Any], dict]:
        data = study.encoded(each, "validation")
        return lambda model: {"logits": encoder.predict(model, data).tolist()}

    records = {}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", DamagedResult)
        for each in study.tasks:
            for seed in study.seeds:
                records[f"scores {each.name} {seed}"] = study.scores(each, seed)
                record = study.measure("logits", each, seed, logits(each), version=1)
                records[f"logits {each.name} {seed}"] = record
                plan.note(page(home, each.name, seed), done(each.name, seed))
    return {
        "values": {name: record.values for name, record in records.items()},
        "origins": {name: record.origin for name, record in records.items()},
        "damaged": [str(w.message) for w in warned if w.category is DamagedResult],
        "trained": len(trained),
    }


def page(home: Path, name: str, seed: int) -> plan.Run:
    """The run that a page is noted for."""
    defaults = {"edition": "mini", "task": "all", "seed": 0}
    notebook = plan.Notebook("toy/1-study", home / "notebooks/toy/1-study.ipynb", defaults)
    return plan.Run(notebook, "mini", defaults | {"task": name, "seed": seed})


def done(name: str, seed: int) -> plan.Done:
    """A line of the manifest without a time of its own."""
    return plan.Done("toy/1-study", {"task": name, "seed": seed}, "d" * 16, "s" * 64, 1.5, "now")


def count_files(home: Path, stop: int, work: Callable[..., Any], *arguments: Any) -> int:
    """Do the work and count what it does to files below ``home``; killed before the ``stop``-th."""
    count = 0

    def hook(event: str, facts: tuple) -> None:
        nonlocal count
        if event in AT_FILES and str(facts[0]).startswith(f"{home}/"):
            count += 1
            if count == stop:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    work(home, *arguments)
    return count


def starved(limit: int, work: Callable[..., None], *arguments: Any) -> bool:
    """Do the work where no file can grow beyond ``limit`` bytes, as on a disk that is full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    return finished(work, *arguments)


def finished(work: Callable[..., None], *arguments: Any) -> bool:
    """Do work that returns nothing."""
    work(*arguments)
    return True


# What writes each kind of file; a ``number`` that differs makes other content.


def write_record(place: Path, number: int) -> None:
    Store(place).measure("effect", {"number": number}, lambda: {"a": [number] * 200})


def write_model(place: Path, number: int) -> None:
    def train(folder: Path) -> dict[str, int]:
        save_file({"a": np.full(1000, number)}, folder / "model.safetensors")
        return {"a": number}

    Store(place).model({"number": number}, train)


def ship_record(place: Path, number: int) -> None:
    record = Record("effect", {"seed": 1}, {"a": [number] * 500}, {}, "computed")
    Store(place / "store", place / "shipped").ship(record)


def write_manifest(place: Path, number: int) -> None:
    os.environ[HOME_VARIABLE] = str(project(place))
    plan.note(page(place, "rte", 0), done("rte", number))


def write_predictions(place: Path, number: int) -> None:
    submission.write(np.eye(2)[[number] * 400], task("rte"), "test", place)


def write_archive(place: Path, number: int) -> None:
    submission.archive(place)
