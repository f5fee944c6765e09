"""The papers' numbers and claims as data, and what our runs say about them.

Numbers are CSV (`numbers`), claims are YAML (`claims`). `judge` turns one number a seed into a
verdict, given whether the task bears claims at this scale (`bertstudy.statistics.signal`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml

from bertstudy.errors import BertstudyError
from bertstudy.statistics import interval

HERE = Path(__file__).parent
Status = Literal["holds", "fails", "undecided", "no signal", "not comparable"]


@dataclass(frozen=True)
class Claim:
    """One testable sentence of a paper.

    Attributes:
        quantity: name of the function that gives one number a seed.
        than, threshold: the predicate on its mean: "above" or "below" the threshold.
        tasks: those the paper speaks of; None for all.
        needs: "any" where another checkpoint and look-alike data can test the sentence;
            "real data"; or "the paper's checkpoint" where it names particular heads.
    """

    id: str
    place: str
    statement: str
    quantity: str
    than: Literal["above", "below"]
    threshold: float
    tasks: tuple[str, ...] | None
    needs: Literal["any", "real data", "the paper's checkpoint"] = "any"
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


def verdicts(
    paper: str,
    place: str,
    measured: pd.DataFrame,
    signals: Mapping[str, bool | None],
    met: Collection[str] = (),
) -> pd.DataFrame:
    """Every claim of a section beside what was measured.

    Args:
        place: beginning of the claim's place, "§4.6".
        measured: columns ``quantity task seed value``.
        signals: by task, whether it bears claims, None where unknown.
        met: which of the claims' needs this edition meets, besides "any".

    Returns:
        A table: ``claim place task mean low high seeds verdict note``, a row for each claim and
        task it speaks of. "not comparable" where the task was not run, or a need is not met.
    """
    run = list(dict.fromkeys(measured["task"]))
    rows = []
    for claim in claims(paper):
        if not claim.place.startswith(place):
            continue
        comparable = claim.needs == "any" or claim.needs in met
        for task in run if claim.tasks is None else claim.tasks:
            chosen = measured[(measured["quantity"] == claim.quantity) & (measured["task"] == task)]
            samples = chosen["value"].to_numpy() if comparable else []
            found = judge(claim, samples, signals.get(task))
            why = claim.note
            if not comparable:
                why = f"needs {claim.needs}"
            elif task not in run:
                why = "this task was not run here"
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
                    "note": why,
                }
            )
    return pd.DataFrame(rows)


def side_by_side(paper: str, measured: pd.DataFrame) -> pd.DataFrame:
    """The paper's printed numbers beside ours, row by row.

    Args:
        measured: columns ``quantity task seed value``.

    Returns:
        ``quantity task split where theirs ours low high difference unit note``; ours are NaN
        where the task was not run.
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
                "split": row.split,
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
