"""One table for a section: the paper's numbers and claims beside what was measured."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bertstudy.errors import BertstudyError
from bertstudy.reference.data import Claim, claims, numbers, quantities
from bertstudy.reference.judging import Verdict, judge, overall
from bertstudy.statistics import interval, paired
from bertstudy.store import Record
from bertstudy.tasks import TASKS

MODEL = ""  # the task of numbers about a model that is not fine-tuned
KEYS = ("table", "row", "column")  # by which a printed number is found; `measured` may have them
COLUMNS = (
    "claim place quantity task split theirs ours low high difference unit seeds verdict why note"
)


def tidy(
    functions: Mapping[str, Callable[[Any], Iterable[float]]],
    groups: Iterable[tuple[str, Iterable[int] | None, Any]],
) -> pd.DataFrame:
    """What was measured, in the form that `compare` takes.

    Args:
        functions: by the name of the quantity; each gives one number a seed.
        groups: task, seeds and what the functions are called with; where the seeds are None the
            numbers are counted.

    Returns:
        Columns ``quantity task seed value``, one row a number.

    Raises:
        ValueError: a function gives more or fewer numbers than there are seeds.
    """
    rows = [
        (name, task, seed, float(value))
        for task, seeds, argument in groups
        for name, function in functions.items()
        for seed, value in _numbered(seeds, list(function(argument)))
    ]
    return pd.DataFrame(rows, columns=["quantity", "task", "seed", "value"])


def of_models(records: Sequence[Record]) -> list[tuple[str, list[int], list[Record]]]:
    """The groups that `tidy` takes, of records that are each about one fine-tuned model."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.recipe["model"]["task"], []).append(record)
    return [(t, [r.recipe["model"]["seed"] for r in own], own) for t, own in found.items()]


def _numbered(seeds: Iterable[int] | None, values: list[float]) -> Iterable[tuple[int, float]]:
    return enumerate(values) if seeds is None else zip(seeds, values, strict=True)


def compare(
    paper: str,
    place: str,
    measured: pd.DataFrame,
    signals: Mapping[str, bool | None] | None = None,
    met: Collection[str] = (),
) -> pd.DataFrame:
    """Everything of a section: each claim with its verdict, then the other printed numbers.

    A claim has a row for each task it speaks of and, where these are several, one for the
    overall verdict (task "every task"). The paper's number stands in it, or the difference of
    two where the claim is about one. Printed numbers that no such row shows follow, for every
    quantity that was measured.

    Args:
        place: beginning of the claims' place, "§4.6".
        measured: columns ``quantity task seed value``, the task "" where no model is fine-tuned.
            Where the paper prints several numbers of one quantity for a task, also ``table``,
            ``row`` or ``column``, filled as printed; no claim is judged by such rows.
        signals: by task, whether it bears claims; absent or None where unknown. HANS and AX
            have the answer of the task their model was trained on.
        met: which of the claims' needs this edition meets, besides "any".

    Returns:
        Columns `COLUMNS`. ``theirs`` was scored on ``split``; ``difference`` is ours minus
        theirs, and absent where that is another split than ours, such as a test server's.
        ``verdict`` is "" where there is no claim; ``why`` speaks of the row, ``note`` of the
        claim or of the printed number.

    Raises:
        BertstudyError: no claim or number of that paper is known, or ``measured`` has two
            values where there should be one.
    """
    evidence = _Evidence(paper, measured, signals or {}, met)
    asked = [claim for claim in claims(paper) if claim.place.startswith(place)]
    rows = [row for claim in asked for row in evidence.about(claim)]
    shown = {
        (row["quantity"], row["task"])
        for row in rows
        if np.isfinite(row["theirs"]) and not row["why"].startswith("needs ")
    }
    rows += evidence.unclaimed(shown)
    return pd.DataFrame(rows, columns=COLUMNS.split())


@dataclass(frozen=True)
class _Evidence:
    """What was measured, beside what one paper prints."""

    paper: str
    measured: pd.DataFrame
    signals: Mapping[str, bool | None]
    met: Collection[str]

    def about(self, claim: Claim) -> list[dict[str, Any]]:
        """The rows of one claim."""
        minus = f" − {claim.minus}" if claim.minus else ""
        common = {"claim": claim.statement, "place": claim.place, "note": claim.note}
        common |= {"quantity": claim.quantity + minus}
        common |= {"unit": quantities(self.paper)[claim.quantity].unit}
        tasks = self.tasks(claim)
        if not tasks:
            return [common | _row(Verdict("not comparable", why="not measured here"), "any")]
        samples = {task: self.samples(claim, task) for task in tasks}
        signals = {task: self.signal(claim, task) for task in tasks}
        if claim.over == "average":
            return [common | self.average(claim, samples, signals)]
        rows = []
        for task in tasks:
            verdict = judge(claim, samples[task], signals[task])
            row = _row(verdict, task, *self.difference(claim, task))
            if len(samples[task]) == 0:
                row["why"] = self.missing(claim, task)
            rows.append(common | row)
        if len(tasks) > 1:
            rows.append(common | _row(overall(claim, samples, signals), "every task"))
        return rows

    def tasks(self, claim: Claim) -> list[str]:
        """Those a claim speaks of; of "all", those on which its quantity was measured."""
        if claim.tasks is not None:
            return list(claim.tasks) or [MODEL]
        own = self.measured.loc[self.measured["quantity"] == claim.quantity, "task"]
        run = [task for task in dict.fromkeys(own) if task not in claim.but]
        # What is compared with another task is nothing beside itself.
        return [task for task in run if claim.second(task) != (claim.quantity, task)]

    def samples(self, claim: Claim, task: str) -> pd.Series:
        """A claim's quantity, or the paired difference, by seed; none where a need is not met."""
        first = self.values(claim.quantity, task)
        if claim.needs != "any" and claim.needs not in self.met:
            return first[:0]
        name, elsewhere = claim.second(task)
        return paired(first, claim.times * self.values(name, elsewhere)) if name else first

    def values(self, quantity: str, task: str, place: Mapping[str, Any] | None = None) -> pd.Series:
        """Values by seed, of rows without a place among the paper's numbers or with this one."""
        table = self.measured
        chosen = (table["quantity"] == quantity) & (table["task"] == task)
        for key in KEYS:
            if key in table:
                chosen &= table[key].isna() | (table[key] == place[key] if place else False)
        found = table[chosen].set_index("seed")["value"]
        if twice := sorted(set(found.index[found.index.duplicated()])):
            seeds = ", ".join(map(str, twice))
            raise BertstudyError(f"{quantity} on '{task}' has several values of seed {seeds}")
        return found

    def missing(self, claim: Claim, task: str) -> str:
        """Why a claim has no samples on a task."""
        if claim.needs != "any" and claim.needs not in self.met:
            return f"needs {claim.needs}"
        run = self.measured[self.measured["quantity"] == claim.quantity]["task"]
        if run.empty:
            return "not measured here"
        return "no seed was run for both" if task in set(run) else "this task was not run here"

    def signal(self, claim: Claim, task: str) -> bool | None:
        """Whether a task bears the claim, together with the one it is compared with."""
        if task == MODEL:
            return True  # nothing was fine-tuned: there is no gain to ask for
        both = {task, claim.second(task)[1]}
        known = [self.signals.get(TASKS[name].trained_on or name) for name in both]
        return False if False in known else None if None in known else True

    def average(
        self,
        claim: Claim,
        samples: Mapping[str, pd.Series],
        signals: Mapping[str, bool | None],
    ) -> dict[str, Any]:
        """The row of a claim about the average over tasks: those that were run and bear it."""
        absent = [task for task in samples if len(samples[task]) == 0]
        if absent and (
            claim.tasks or len(absent) == len(samples)
        ):  # of these tasks, and all of them
            why = f"{', '.join(absent)}: {self.missing(claim, absent[0])}"
            return _row(Verdict("not comparable", why=why), "average")
        bear = [t for t in samples if len(samples[t]) and (signals[t] or not claim.needs_signal)]
        if not bear:
            return _row(overall(claim, samples, signals), "average")
        table = pd.concat([samples[task] for task in bear], axis=1, join="inner")
        verdict = judge(claim, table.mean(axis=1, skipna=False), True)
        printed = [self.difference(claim, task) for task in bear]
        (theirs, split), same = printed[0], len({split for _, split in printed}) == 1
        theirs = float(np.mean([value for value, _ in printed])) if same else np.nan
        return _row(verdict, f"average of {', '.join(bear)}", theirs, split)

    def difference(self, claim: Claim, task: str) -> tuple[float, str]:
        """What the paper prints of a claim's quantity or difference, and on which split."""
        value, split = self.printed(claim.quantity, task)
        name, elsewhere = claim.second(task)
        if not name:
            return value, split
        other, same = self.printed(name, elsewhere)
        return (value - claim.times * other, split) if split == same else (np.nan, "")

    def printed(self, quantity: str, task: str) -> tuple[float, str]:
        """The number the paper prints of a quantity on a task, and its split; NaN if not one."""
        rows = self.on(quantity, task)
        if len(rows) != 1:
            return np.nan, ""
        # Matched is MNLI's word for what is simply validation, or test, elsewhere.
        return float(rows["value"].item()), rows["split"].item().removesuffix("_matched")

    def on(self, quantity: str, task: str) -> pd.DataFrame:
        """The printed numbers of a quantity on a task.

        Those of our split if there are any, else of the test server; of several metrics, those
        in the task's main one.
        """
        rows = self.of(quantity)
        if task == MODEL:
            return rows
        rows = rows[rows["task"] == task]
        own = _own_split(task)
        for split in (own, own.replace("validation", "test")):
            if (there := rows["split"] == split).any():
                rows = rows[there]
                break
        if len(set(rows["measure"])) > 1 and task in TASKS:
            return rows[rows["measure"] == TASKS[task].metrics[0]]
        return rows

    def of(self, quantity: str) -> pd.DataFrame:
        """The printed numbers of a quantity."""
        table = numbers(self.paper)
        known = quantities(self.paper).get(quantity)
        if known is None or known.printed is None:
            return table[table["measure"] == quantity]
        chosen = np.zeros(len(table), dtype=bool)
        for wanted in known.printed:
            chosen |= np.all([table[k].isin(np.ravel(v)) for k, v in wanted.items()], axis=0)
        return table[chosen]

    def unclaimed(self, shown: Collection[tuple[str, str]]) -> list[dict[str, Any]]:
        """A row for each printed number of what was measured that is not ``shown``."""
        rows = []
        for quantity, own in self.measured.groupby("quantity", sort=False):
            printed = self.of(quantity)
            tasks = [MODEL] if set(own["task"]) == {MODEL} else list(dict.fromkeys(printed["task"]))
            for task in tasks:
                if (quantity, task) in shown:
                    continue
                # Rows with a place tell all the printed numbers of a task apart.
                placed = own[own.columns.intersection(KEYS)].notna().any(axis=None)
                each = placed and task != MODEL
                here = printed[printed["task"] == task] if each else self.on(quantity, task)
                rows += [self.number(quantity, task, one) for one in here.to_dict("records")]
        return rows

    def number(self, quantity: str, task: str, printed: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a printed number that no claim is about."""
        samples = self.values(quantity, task, printed)
        spread = interval(samples) if len(samples) else (np.nan,) * 3
        found = Verdict("not comparable", *spread, len(samples))
        where = ", ".join(printed[key] for key in KEYS if printed[key])
        row = _row(found, task, printed["value"], printed["split"])
        row |= {"claim": "", "place": where, "quantity": quantity, "verdict": ""}
        return row | {"unit": printed["unit"], "note": printed["note"]}


def _own_split(task: str) -> str:
    return TASKS[task].validation if task in TASKS else "validation"


def _row(verdict: Verdict, task: str, theirs: float = np.nan, split: str = "") -> dict[str, Any]:
    """The columns that differ between the tasks of a claim."""
    own = _own_split(task)
    # GLUE has AX as a test split alone, and the paper's score of it is the test server's.
    same = split in ("", "validation") or (split == own and not own.startswith("test"))
    why = "" if same else f"the paper's is of {split}, not of validation: not compared"
    return {
        "task": task,
        "split": split,
        "theirs": theirs,
        "ours": verdict.mean,
        "low": verdict.low,
        "high": verdict.high,
        "difference": verdict.mean - theirs if same else np.nan,
        "seeds": verdict.seeds,
        "verdict": verdict.status,
        "why": "; ".join(filter(None, (verdict.why, why))),
    }
