"""The papers' numbers and claims as data, and what our runs say about them.

Numbers are CSV (`numbers`), claims are YAML (`claims`). `judge` turns one number a seed into a
verdict; `signal` says whether a task can bear claims at all at this scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from bertstudy.errors import BertstudyError

HERE = Path(__file__).parent
CONFIDENCE = 0.95
SIGNAL_ERRORS = 3.0  # standard errors by which pre-training must beat both baselines
Status = Literal["holds", "fails", "undecided", "no signal", "not comparable"]


@dataclass(frozen=True)
class Claim:
    """One testable sentence of a paper.

    Attributes:
        quantity: name of the function that gives one number a seed.
        than, threshold: the predicate on its mean: "above" or "below" the threshold.
        tasks: those the paper speaks of; None for all.
    """

    id: str
    place: str
    statement: str
    quantity: str
    than: Literal["above", "below"]
    threshold: float
    tasks: tuple[str, ...] | None
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """What our runs say about one claim on one task.

    Attributes:
        mean, low, high: mean over seeds and its 95 % t-interval; NaN without seeds.
        seeds: how many.
    """

    status: Status
    mean: float
    low: float
    high: float
    seeds: int


@cache
def numbers(paper: str) -> pd.DataFrame:
    """The printed numbers of one paper: ``paper table row measure task split value unit …``."""
    return pd.read_csv(_file(paper, "csv"))


@cache
def claims(paper: str) -> tuple[Claim, ...]:
    """The testable claims of one paper."""
    entries = yaml.safe_load(_file(paper, "yaml").read_text())
    return tuple(
        Claim(**{**e, "tasks": None if e["tasks"] == "all" else tuple(e["tasks"])}) for e in entries
    )


def _file(paper: str, kind: str) -> Path:
    path = HERE / f"{paper}.{kind}"
    if not path.exists():
        known = sorted(p.stem for p in HERE.glob(f"*.{kind}"))
        raise BertstudyError(f"no {kind} for paper '{paper}'; there are: {', '.join(known)}")
    return path


def interval(samples: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % t-interval over seeds; the interval is infinite for a single one."""
    values = np.asarray(samples, dtype=float)
    if values.size == 0:
        raise BertstudyError("there is nothing to average")
    mean = float(values.mean())
    if values.size == 1:
        return mean, -np.inf, np.inf
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, values.size - 1) * stats.sem(values)
    return mean, mean - float(half), mean + float(half)


def judge(claim: Claim, samples: Sequence[float], has_signal: bool | None) -> Verdict:
    """Holds or fails where the whole interval lies on one side of the threshold.

    Args:
        samples: the claim's quantity, one number a seed.
        has_signal: whether the task bears claims at this scale; None if that is not known,
            and then nothing is decided. See `signal`.
    """
    if len(samples) == 0:
        return Verdict("not comparable", np.nan, np.nan, np.nan, 0)
    mean, low, high = interval(samples)
    if has_signal is None:
        return Verdict("undecided", mean, low, high, len(samples))
    if not has_signal:
        return Verdict("no signal", mean, low, high, len(samples))
    above, below = low > claim.threshold, high <= claim.threshold
    if claim.than == "below":
        above, below = high < claim.threshold, low >= claim.threshold
    status: Status = "holds" if above else "fails" if below else "undecided"
    return Verdict(status, mean, low, high, len(samples))


def signal(
    pretrained: Sequence[float], scratch: Sequence[float], majority: float
) -> tuple[bool | None, float]:
    """Whether pre-training shows: its mean beats max(majority, scratch) by > 3 standard errors.

    Returns:
        The answer and the margin in standard errors (of the difference, where the rival is
        training from scratch). None and NaN with fewer than two seeds of either.
    """
    if len(pretrained) < 2 or len(scratch) < 2:
        return None, float("nan")
    rival = max(majority, float(np.mean(scratch)))
    error = stats.sem(pretrained)
    if rival > majority:
        error = float(np.hypot(error, stats.sem(scratch)))
    gain = float(np.mean(pretrained)) - rival
    margin = gain / error if error > 0 else float(np.inf) * np.sign(gain)
    return bool(gain > 0 and margin > SIGNAL_ERRORS), float(margin)


def verdicts(
    paper: str, place: str, measured: pd.DataFrame, signals: Mapping[str, bool | None]
) -> pd.DataFrame:
    """Every claim of a section beside what was measured.

    Args:
        place: beginning of the claim's place, "§4.6".
        measured: columns ``quantity task seed value``.
        signals: by task, whether it bears claims, None where unknown.

    Returns:
        A table: ``claim place task mean low high seeds verdict note``. A claim about tasks
        that were not run gets one row, "not comparable".
    """
    rows = []
    for claim in claims(paper):
        if not claim.place.startswith(place):
            continue
        run = list(dict.fromkeys(measured["task"]))
        about = run if claim.tasks is None else [t for t in claim.tasks if t in run]
        for task in about or [", ".join(claim.tasks or ())]:
            chosen = measured[(measured["quantity"] == claim.quantity) & (measured["task"] == task)]
            found = judge(claim, chosen["value"].to_numpy(), signals.get(task))
            rows.append(
                {
                    "claim": claim.statement,
                    "place": claim.place,
                    "task": task,
                    "mean": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "seeds": found.seeds,
                    "verdict": found.status,
                    "note": claim.note if about else "these tasks were not run at this edition",
                }
            )
    return pd.DataFrame(rows)


def side_by_side(paper: str, measured: pd.DataFrame) -> pd.DataFrame:
    """The paper's printed numbers beside ours, row by row.

    Args:
        measured: columns ``quantity task seed value``.

    Returns:
        ``quantity task where theirs ours low high difference unit note``; ours are NaN where
        the task was not run.
    """
    printed = numbers(paper)
    rows = []
    for row in printed[printed["measure"].isin(set(measured["quantity"]))].itertuples():
        same = (measured["quantity"] == row.measure) & (measured["task"] == row.task)
        samples = measured.loc[same, "value"].to_numpy()
        mean, low, high = interval(samples) if len(samples) else (np.nan,) * 3
        rows.append(
            {
                "quantity": row.measure.replace("_", " "),
                "task": row.task,
                "where": f"{row.table}, {row.row}",
                "theirs": row.value,
                "ours": mean,
                "low": low,
                "high": high,
                "difference": mean - row.value,
                "unit": row.unit,
                "note": "" if pd.isna(row.note) else row.note,
            }
        )
    return pd.DataFrame(rows)
