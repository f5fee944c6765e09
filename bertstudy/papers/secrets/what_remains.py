"""What remains of the findings of §4.2 and §4.4 to §4.6 beside a null, in one table.

Nothing is measured here. Each line takes two quantities of the same models, that of a finding and
that of its null, and pairs them seed by seed; in §4.2, where nothing is fine-tuned, fold by fold.
Of several tasks the mean is taken in each seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bertstudy.papers.secrets import (
    disabling_heads,
    features,
    linguistic_attention,
    relation_heads,
    token_to_token,
)
from bertstudy.statistics import interval
from bertstudy.store import Record

if TYPE_CHECKING:
    from bertstudy.study import Study

Samples = Callable[[Sequence[Record]], pd.DataFrame]
PLACES = {"1": 4, "points": 2}  # decimals by unit


@dataclass(frozen=True)
class Line:
    """One finding beside its null.

    Attributes:
        place: section of the paper.
        finding: what the paper says, in our words.
        quantity, null: what is measured, and what it is held against.
        samples: from all records columns ``task seed ours null``; NaN, or no row, where it is
            undefined.
        unit: one of `PLACES`.
    """

    place: str
    finding: str
    quantity: str
    null: str
    samples: Samples
    unit: str = "1"


def records(study: "Study") -> list[Record]:
    """Everything that the lines need, all of it from the pages of their sections."""
    return [
        relation_heads.frame_attention(study),
        *linguistic_attention.records(study),
        *relation_heads.disabling_records(study),
    ]


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Every line's means and their difference.

    Columns ``place finding quantity null unit``; ``ours`` and ``theirs``, of the null;
    ``difference`` with its 95 % interval ``low high``; ``tasks``; ``n``, seeds or folds: 0, and
    NaN elsewhere, where the data do not tell.
    """
    return pd.DataFrame([_row(line, line.samples(records)) for line in LINES])


def _row(line: Line, samples: pd.DataFrame) -> dict[str, Any]:
    known = samples.dropna(subset=["ours", "null"])
    by_seed = known.groupby("seed")[["ours", "null"]].mean()
    gaps = by_seed["ours"] - by_seed["null"]
    difference, low, high = interval(gaps) if len(gaps) else (np.nan, np.nan, np.nan)
    return {
        "place": line.place,
        "finding": line.finding,
        "quantity": line.quantity,
        "null": line.null,
        "unit": line.unit,
        "ours": by_seed["ours"].mean(),
        "theirs": by_seed["null"].mean(),
        "difference": difference,
        "low": low,
        "high": high,
        "tasks": ", ".join(filter(None, dict.fromkeys(known["task"]))),
        "n": len(gaps),
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """`table` for readers: numbers with as many decimals as their unit asks for."""
    shown = {
        "section": table["place"],
        "the paper finds": table["finding"],
        "ours": table["quantity"],
        "mean": table.apply(_said, axis=1, column="ours"),
        "held against": table["null"],
        "its mean": table.apply(_said, axis=1, column="theirs"),
        "difference (95 % interval)": table.apply(_difference, axis=1),
        "tasks": table["tasks"],
        "n": table["n"],
    }
    repeated = table["finding"] == table["finding"].shift()
    shown |= {name: shown[name].mask(repeated, "") for name in ("section", "the paper finds")}
    return pd.DataFrame(shown)


def _said(row: pd.Series, column: str, sign: str = "") -> str:
    return f"{row[column]:{sign}.{PLACES[row['unit']]}f}" if np.isfinite(row[column]) else "–"


def _difference(row: pd.Series) -> str:
    mean, low, high = (_said(row, name, "+") for name in ("difference", "low", "high"))
    return f"{mean} ({low} to {high})" if np.isfinite(row["low"]) else mean


# What the lines are about ---------------------------------------------------------------------


def _frames(records: Sequence[Record]) -> pd.DataFrame:
    """By fold, of the two heads that are highest on the others."""
    own = [record for record in records if record.measurement == "frame_attention"]
    ours = relation_heads.frame_attention_held_out(own)
    null = relation_heads.frame_attention_null(own)
    return pd.DataFrame({"task": "", "seed": range(len(ours)), "ours": ours, "null": null})


def _kind(kind: str) -> Samples:
    """Mean over all heads of fine-tuned models."""

    def samples(records: Sequence[Record]) -> pd.DataFrame:
        scores = features.scores(_attention(records))
        own = scores[scores["feature"] == kind].rename(columns={"score": "ours"})
        return own.groupby(["task", "seed"], sort=False)[["ours", "null"]].mean().reset_index()

    return samples


def _rise(kind: str) -> Samples:
    """Of the head where it is largest on the other half of the examples."""

    def samples(records: Sequence[Record]) -> pd.DataFrame:
        return features.held_out_rises(records, kind).rename(columns={"score": "ours"})

    return samples


def _diagonal(relation: str, chosen_by: str) -> Samples:
    """How diagonal the heads so chosen are, beside those chosen by distance alone."""

    def samples(records: Sequence[Record]) -> pd.DataFrame:
        links = token_to_token.links(_attention(records))
        found = token_to_token.coincidence(links[links["relation"] == relation])
        wide = found.pivot_table(index=["reading", "seed"], columns="chosen_by", values="diagonal")
        wide = wide.reindex(columns=[chosen_by, "null"]).set_axis(["ours", "null"], axis=1)
        task_of = dict(zip(links["reading"], links["task"], strict=True))
        rows = wide.reset_index()
        return rows.assign(task=rows["reading"].map(task_of))

    return samples


def _attention(records: Sequence[Record]) -> list[Record]:
    """What the fine-tuned models' heads attend to."""
    name = linguistic_attention.MEASUREMENT
    return [r for r in records if r.measurement == name and "model" in r.recipe]


def _gain(ours: str, null: str) -> Samples:
    """Two quantities of §4.6."""

    def samples(records: Sequence[Record]) -> pd.DataFrame:
        swept = [record for record in records if record.measurement == "disabling"]
        measured = disabling_heads.quantities(swept)
        wide = measured.pivot_table(index=["task", "seed"], columns="quantity", values="value")
        return wide[[ours, null]].set_axis(["ours", "null"], axis=1).reset_index()

    return samples


_SOME_HEADS_RISE = "fine-tuning makes some heads attend more to nouns, objects or negations"
LINES = (
    Line(
        "§4.2",
        "two heads link the elements of a frame to their predicate",
        "their attention along the links, on sentences that did not choose them",
        "random pairs as far apart",
        _frames,
    ),
    *(
        Line(
            "§4.4",
            "heads attend to words that matter, if negligibly",
            f"attention to {kind}s, mean over heads",
            "as many random words",
            _kind(kind),
        )
        for kind in features.WORDS
    ),
    *(
        Line(
            "§4.4",
            _SOME_HEADS_RISE,
            f"largest rise for {kind}s, of a head chosen on other examples",
            "the same for as many random words",
            _rise(kind),
        )
        for kind in ("noun", "object", "negation")
    ),
    *(
        Line(
            "§4.5",
            f"heads that link a {first} and a {second} have diagonal maps",
            f"attention to neighbours beyond that of all heads, of five chosen by {chosen}",
            "five chosen by random words as far apart",
            _diagonal(f"{first}-{second}", chosen_by),
        )
        for first, second in (relation.split("-") for relation in linguistic_attention.RELATIONS)
        for chosen_by, chosen in (
            ("score", "their attention between the two words"),
            ("above", "what this exceeds the null by"),
        )
    ),
    Line(
        "§4.6",
        "disabling some heads raises the score",
        "gain from disabling the best head, on the examples that chose it",
        "on examples that did not choose it",
        _gain("best_head_gain", "best_head_gain_held_out"),
        "points",
    ),
    Line(
        "§4.6",
        "disabling some heads raises the score",
        "the same on examples that did not choose it",
        "disabling any head, mean over all",
        _gain("best_head_gain_held_out", "mean_head_effect"),
        "points",
    ),
)
