"""The papers' printed numbers (CSV) and testable sentences (YAML), as data.

A paper's YAML has two parts. ``quantities`` names and defines every number that its claims are
about, well enough to be measured without the paper. ``claims`` holds the sentences, each with
a predicate on one quantity or on the paired difference of two. Both are committed before the
runs that decide them.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import yaml

from bertstudy.errors import BertstudyError

HERE = Path(__file__).parent
Needs = Literal["any", "real data", "the paper's checkpoint", "a large model", "RoBERTa"]
NEEDS: tuple[str, ...] = get_args(Needs)


@dataclass(frozen=True)
class Quantity:
    """A number by which a claim is judged.

    Attributes:
        unit: "points" are hundredths: scores ×100 and their differences.
        definition: what is computed. ("is" in the YAML.)
        per: of what there is one number, and over which the spread is taken: a seed of training;
            a fold of the examples or a head, where there is one model (folds share what was
            trained or chosen on, so their interval is somewhat too narrow); or "exact" for what
            has no spread, such as a count.
        printed: which of the paper's numbers are of this quantity: values of columns of the CSV,
            one or several of each, and one or several such places; None for the numbers whose
            ``measure`` bears its name.
    """

    name: str
    unit: str
    definition: str
    per: Literal["seed", "fold", "head", "exact"] = "seed"
    printed: tuple[dict[str, Any], ...] | None = None


@dataclass(frozen=True)
class Claim:
    """One testable sentence of a paper.

    Attributes:
        quantity: what the predicate is about.
        than, threshold, margin: "above" or "below" the threshold, or "within" the margin of it.
            A margin widens what counts as true: above ``threshold - margin``, below ``threshold
            + margin``. Equality is never shown; it can only be shown to be that close.
        tasks: those the paper speaks of; None for all that are run; () where the claim is about
            no fine-tuned model.
        but: tasks left out of all.
        minus, times: a second quantity of the same seeds, ``times`` which is subtracted;
            "name@task" is that of another task.
        over: judged on every task, or once on the average over tasks.
        needs: "any" where another checkpoint and look-alike data can test the sentence, or what
            only some editions have.
        needs_signal: judged only on tasks where pre-training shows. False where that is itself
            what the claim says.
        exact: the quantity has no spread.
        note: the reason for a margin, and what to mind.
    """

    id: str
    place: str
    statement: str
    quantity: str
    than: Literal["above", "below", "within"]
    threshold: float
    tasks: tuple[str, ...] | None
    margin: float = 0.0
    but: tuple[str, ...] = ()
    minus: str | None = None
    times: float = 1.0
    over: Literal["every task", "average"] = "every task"
    needs: Needs = "any"
    needs_signal: bool = True
    exact: bool = False
    note: str = ""
    region: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        least = -np.inf if self.than == "below" else self.threshold - self.margin
        most = np.inf if self.than == "above" else self.threshold + self.margin
        object.__setattr__(self, "region", (least, most))

    def second(self, task: str) -> tuple[str, str]:
        """Name and task of what is subtracted on ``task``; the name is "" where nothing is."""
        name, _, elsewhere = (self.minus or "").partition("@")
        return name, elsewhere or task


@cache
def numbers(paper: str) -> pd.DataFrame:
    """The printed numbers of one paper, one a row; the CSV's columns, empty text where none."""
    table = pd.read_csv(_file(paper, "csv"))
    text = table.columns.difference(["value", "spread", "n_runs"])
    return table.assign(**table[text].fillna("").astype(str))


@cache
def quantities(paper: str) -> dict[str, Quantity]:
    """What the claims of one paper are about, by name."""
    found = {}
    for name, entry in _entries(paper)["quantities"].items():
        if "printed" in entry:
            places = entry["printed"]
            entry["printed"] = tuple(places if isinstance(places, list) else [places])
        found[name] = Quantity(name, definition=entry.pop("is").strip(), **entry)
    return found


@cache
def claims(paper: str) -> tuple[Claim, ...]:
    """The testable claims of one paper, in its order."""
    defined = quantities(paper)
    return tuple(
        Claim(
            exact=defined[entry["quantity"]].per == "exact",
            **entry.pop("predicate"),
            **_tasks(entry.pop("tasks")),
            **entry,
        )
        for entry in _entries(paper)["claims"]
    )


def _entries(paper: str) -> dict[str, Any]:
    return yaml.safe_load(_file(paper, "yaml").read_text(encoding="utf-8"))


def _tasks(said: str | list[str]) -> dict[str, tuple[str, ...] | None]:
    """A list of names, "all", "all but mrpc, rte", or "none"."""
    if isinstance(said, list):
        return {"tasks": tuple(said)}
    if said == "none":
        return {"tasks": ()}
    _, _, left_out = said.partition("all but ")
    return {"tasks": None, "but": tuple(left_out.split(", ")) if left_out else ()}


def _file(paper: str, kind: str) -> Path:
    path = HERE / f"{paper}.{kind}"
    if not path.exists():
        known = sorted(p.stem for p in HERE.glob(f"*.{kind}"))
        raise BertstudyError(f"no {kind} for paper '{paper}'; there are: {', '.join(known)}")
    return path
