"""Recorded results made again: do they still say the same?

A record stands in the book for a run that making the book does not repeat. A few of them, chosen
at random, are computed with the code of today and compared. What was fine-tuned on this machine
is used; what was not is fine-tuned now.
"""

import importlib
import pkgutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bertstudy import calibration, papers
from bertstudy.editions import Edition
from bertstudy.makers import maker
from bertstudy.store import JSON, Record, Store
from bertstudy.study import Study

# Of many numbers, one may be further off than they are on average: so much further.
WORST_TO_MEAN = 5.0
MANY = 20  # numbers, from which on their mean distance counts too
AT_MOST = 30.0  # seconds that the recording of a result may have taken, for it to be chosen


class _Afresh(Store):
    """Models as they are in the store; records neither looked up nor kept."""

    def measure(self, *asked: Any) -> Record:
        with tempfile.TemporaryDirectory() as folder:
            return Store(Path(folder)).measure(*asked)


def opened(edition: Edition) -> Study:
    """The edition's own study, in which every measurement is computed."""
    for module in (calibration, *pkgutil.walk_packages(papers.__path__, f"{papers.__name__}.")):
        importlib.import_module(getattr(module, "__name__", None) or module.name)
    study = Study(edition, edition.tasks, edition.seeds)
    study.store = _Afresh(study.store.folder, study.store.shipped)
    study.recording = False
    return study


def chosen(study: Study, seed: int) -> list[Record]:
    """Every recorded result that may be made again, in an order drawn by ``seed``.

    Those of the edition's own tasks, whose data the book prepares anyway, that cost little.

    Raises:
        BertstudyError: a record is damaged, or no function makes its kind.
    """
    found = []
    for record in study.store.recorded():
        made = record.recipe.get("model", record.recipe)
        if "task" not in made:
            continue  # of no task's data or model: labels of maps, or the encoder alone
        maker(record.measurement)
        task = made["task"]
        if task in study.edition.tasks and record.provenance["seconds"] <= AT_MOST:
            found.append(record)
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[index] for index in order]


def verify(
    study: Study, count: int, seed: int, seconds: float
) -> Iterator[tuple[Record, str | None]]:
    """Recorded results and, for each, how it differs from what is made now; None if it does not.

    Args:
        count: results at most.
        seconds: none is begun after this time.
    """
    begun = time.monotonic()
    for record in chosen(study, seed)[:count]:
        if time.monotonic() - begun > seconds:
            return
        made = maker(record.measurement).again(study, record)
        yield record, difference(record, made)


def difference(recorded: Record, made: Record) -> str | None:
    """What tells two records apart, in words; None if nothing does.

    Text and counts must agree. Measured numbers may differ as far as their maker allows: other
    processors round otherwise, and fine-tuning carries that on. Where there are many of them,
    they may differ on average by a fifth of that, so that a record of other numbers of the same
    size is not taken for the right one.
    """
    if made.recipe != recorded.recipe:
        names = sorted(
            name
            for name in recorded.recipe.keys() | made.recipe.keys()
            if recorded.recipe.get(name) != made.recipe.get(name)
        )
        return f"today's code has another recipe ({', '.join(names)}): record it anew"
    by = maker(recorded.measurement)
    before, now = (
        {name: leaf for name, leaf in _leaves(r.values) if by.left_out.isdisjoint(name.split("."))}
        for r in (recorded, made)
    )
    if before.keys() != now.keys():
        return f"it holds other values: {', '.join(sorted(before.keys() ^ now.keys())[:3])}"
    apart = {name: _distance(before[name], now[name], by.counts_agree) for name in before}
    worst = max(apart, key=apart.__getitem__)
    within = by.allowed(recorded.values)
    if apart[worst] > within:
        return f"{worst} is {now[worst]}, recorded {before[worst]} (allowed: {within:g} apart)"
    kinds = float if by.counts_agree else float | int
    measured = [apart[name] for name in apart if isinstance(before[name], kinds)]
    mean, within = float(np.mean(measured or [0.0])), within / WORST_TO_MEAN
    if len(measured) >= MANY and mean > within:
        return f"its numbers are {mean:.3g} off on average (allowed: {within:g})"
    return None


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and text of plain JSON, by its place."""
    if isinstance(value, Mapping | list):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, item in items:
            yield from _leaves(item, f"{where}.{name}" if where else str(name))
    else:
        yield where, value


def _distance(before: Any, now: Any, counts_agree: bool) -> float:
    if isinstance(before, float if counts_agree else float | int) and isinstance(now, float | int):
        return abs(before - now)
    return 0.0 if before == now else float("inf")


def label(record: Record) -> str:
    """A record in few words."""
    facts: JSON = record.recipe | record.recipe.get("model", {})
    skipped = ("model", "checkpoint", "settings", "train", "validation", "version", "data")
    plain = {n: v for n, v in facts.items() if not isinstance(v, dict)}
    told = [f"{n} {v}" for n, v in plain.items() if n not in (*skipped, "training_version")]
    return f"{record.measurement}: {', '.join(sorted(told, reverse=True))}"
