"""§4.4, attention to linguistic features: Figure 6 and what fine-tuning adds to it.

`linguistic_attention` measures; here are its tables and the numbers that claims are about. Words
stand beside a null throughout: as many word tokens drawn at random.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bertstudy.linguistics import FEATURES, SPECIALS
from bertstudy.papers.secrets.linguistic_attention import MEASUREMENT
from bertstudy.reference import tidy
from bertstudy.statistics import interval
from bertstudy.store import Record

WORDS = ("noun", "verb", "pronoun", "subject", "object", "negation")  # those the paper calls words
KINDS = (*SPECIALS, *FEATURES)
MODELS = ("pre-trained", "fine-tuned")


# Whose record it is -------------------------------------------------------------------------------


def described(record: Record) -> dict[str, Any]:
    """What tells one record from another, as tables show it.

    ``data`` is what was read; ``task`` what the model was fine-tuned on, "" for the encoder,
    whose ``seed`` is -1; ``reading`` names both for a panel.
    """
    data = record.recipe["data"]["name"]
    model = record.recipe.get("model")
    if model is None:
        return {"data": data, "task": "", "seed": -1, "model": MODELS[0],
                "reading": f"{data}, pre-trained", "origin": record.origin}  # fmt: skip
    task = model["task"]
    own = task.upper() if data == task else f"{data}, tuned on {task.upper()}"
    return {"data": data, "task": task, "seed": model["seed"], "model": MODELS[1],
            "reading": own, "origin": record.origin}  # fmt: skip


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that a figure shows: fine-tuned models, then the encoder on what none of them read."""
    tuned = table["model"] == "fine-tuned"
    return pd.concat([table[tuned], table[~table["data"].isin(set(table.loc[tuned, "data"]))]])


# Tables -------------------------------------------------------------------------------------------


def scores(records: Sequence[Record]) -> pd.DataFrame:
    """Tidy scores: one row a record, kind of token, layer and head.

    Columns ``data task seed model reading origin feature layer head score null above``; layers
    and heads are 0-based; ``above`` is score minus null. A kind that no example has is left out.
    """
    rows = []
    for record in _measured(records):
        common = described(record)
        for feature, values in in_order(record.values["features"], KINDS):
            if "score" not in values:
                continue
            both = (np.array(values[key]) for key in ("score", "null"))
            pairs = zip(*(grid.ravel() for grid in both), strict=True)
            heads = len(values["score"][0])
            rows += [
                common
                | {"feature": feature, "layer": at // heads, "head": at % heads}
                | {"score": score, "null": null, "above": score - null}
                for at, (score, null) in enumerate(pairs)
            ]
    return pd.DataFrame(rows)


def in_order(values: dict[str, Any], names: Iterable[str]) -> list[tuple[str, Any]]:
    """A record's values by name, in the order of ``names``: its file sorts them."""
    return [(name, values[name]) for name in names if name in values]


def _measured(records: Sequence[Record]) -> Iterator[Record]:
    return (record for record in records if record.measurement == MEASUREMENT)


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """`scores` of each fine-tuned model minus those of the encoder on the same examples.

    ``score``, ``null`` and ``above`` are differences; the other columns are the model's.
    """
    keys = ["data", "feature", "layer", "head"]
    values = ["score", "null", "above"]
    before = table[table["model"] == "pre-trained"].set_index(keys)[values]
    after = table[table["model"] == "fine-tuned"].set_index(keys)
    after[values] -= before.reindex(after.index)[values]
    return after.reset_index()


def counts(records: Sequence[Record]) -> pd.DataFrame:
    """How much there is to look at: examples that have a kind of token, and its tokens.

    One row a kind and, after its name, a column a data set: "examples with it / tokens", or
    "not annotated" where the source does not tell.
    """
    return counted(_measured(records), "features", "tokens", KINDS)


def counted(records: Iterable[Record], part: str, unit: str, names: Iterable[str]) -> pd.DataFrame:
    """`counts` of a part of the records' values, whose ``unit`` is counted in the examples."""
    columns = {}
    for record in records:
        data, found = record.recipe["data"], record.values[part]
        title = f"{data['name']}: {data['annotation']}, {record.values['examples']} examples"
        columns[title] = [
            f"{found[name]['examples']} / {found[name][unit]}" if name in found else "not annotated"
            for name in names
        ]
    return pd.DataFrame({"kind": list(names), **columns})


def beyond_chance(table: pd.DataFrame) -> pd.DataFrame:
    """What the null leaves of each kind's score: one row a reading and kind.

    Args:
        table: as from `scores`.

    Returns:
        Columns ``reading kind``, ``score`` and ``null``, means over heads and seeds; ``score
        minus null`` with its 95 % interval over seeds as text; ``heads above their null (%)``.
    """
    rows = []
    for (reading, kind), own in shown(table).groupby(["reading", "feature"], sort=False):
        by_seed = own.groupby("seed")["above"].mean()
        row = {"reading": reading, "kind": kind, "score": own["score"].mean()}
        row |= {"null": own["null"].mean(), "score minus null": _said(by_seed.to_numpy())}
        heads = own.groupby(["layer", "head"])["above"].mean()
        rows.append(row | {"heads above their null (%)": f"{100 * (heads > 0).mean():.0f}"})
    return pd.DataFrame(rows)


def rises(records: Sequence[Record]) -> pd.DataFrame:
    """The head whose attention to a kind rises most with fine-tuning, and as much of chance.

    Columns ``task kind``; in units of attention, means over seeds with their 95 % intervals as
    text: ``chosen and judged on all examples``, the largest rise of any head; ``held out``, on
    the half of the examples on which the head was not chosen; ``held out, random words``, the
    same with as many random words for the kind; ``seeds``.
    """
    rows = []
    for task, own in _by_task(records).items():
        models, before = _models(own), _encoder(own)
        for kind in KINDS:
            if "score" not in models[0].values["features"].get(kind, {}):
                continue
            naive = [float(_rise(record, before, kind).max()) for record in models]
            row = {"task": task, "kind": kind, "chosen and judged on all examples": _said(naive)}
            for title, key in (("held out", "score"), ("held out, random words", "null")):
                row[title] = _said(_held_out_rises(own, kind, key))
            rows.append(row | {"seeds": len(models)})
    return pd.DataFrame(rows)


def held_out_rises(records: Sequence[Record], kind: str) -> pd.DataFrame:
    """Both held-out columns of `rises` as numbers: ``task seed score null``, a row a model.

    ``null`` is the rise for as many random words. NaN where it is undefined.
    """
    parts = [
        pd.DataFrame(
            {"task": task, "seed": [record.recipe["model"]["seed"] for record in _models(own)]}
            | {key: _held_out_rises(own, kind, key) for key in ("score", "null")}
        )
        for task, own in _by_task(records).items()
    ]
    return pd.concat(parts, ignore_index=True)


def _rise(after: Record, before: Record, kind: str) -> np.ndarray:
    new, old = (np.array(r.values["features"][kind]["score"]) for r in (after, before))
    return new - old


def _said(samples: Sequence[float]) -> str:
    mean, low, high = interval(samples)
    if np.isnan(mean):
        return ""
    return f"{mean:+.4f}" + (f" ({low:+.4f} to {high:+.4f})" if np.isfinite(low) else "")


def _by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Of each task its models' records on its own examples, by seed, and the encoder's."""
    own = [(described(record), record) for record in _measured(records)]
    names = dict.fromkeys(said["task"] for said, _ in own if said["task"] == said["data"])
    return {
        name: [r for said, r in sorted(own, key=_seed) if said["data"] == name] for name in names
    }


def _seed(pair: tuple[dict[str, Any], Record]) -> int:
    return pair[0]["seed"]


def _models(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if "model" in record.recipe]


def _encoder(records: Sequence[Record]) -> Record:
    (found,) = (record for record in records if "model" not in record.recipe)
    return found


# Quantities: from the records of one task, one number a seed ------------------------------------


def _grid(record: Record, kind: str) -> np.ndarray:
    return np.array(record.values["features"][kind]["score"])


def cls_attention_early(records: Sequence[Record]) -> np.ndarray:
    """Score of [CLS], mean over the heads of the first half of the layers."""
    return _part(records, "[CLS]", slice(None, _half(records)))


def cls_attention_late(records: Sequence[Record]) -> np.ndarray:
    """Score of [CLS], mean over the heads of the second half of the layers."""
    return _part(records, "[CLS]", slice(_half(records), None))


def sep_attention_early(records: Sequence[Record]) -> np.ndarray:
    """Score of [SEP], mean over the heads of the first half of the layers."""
    return _part(records, "[SEP]", slice(None, _half(records)))


def sep_attention_late(records: Sequence[Record]) -> np.ndarray:
    """Score of [SEP], mean over the heads of the second half of the layers."""
    return _part(records, "[SEP]", slice(_half(records), None))


def sep_attention(records: Sequence[Record]) -> np.ndarray:
    """Score of [SEP], mean over all heads."""
    return _part(records, "[SEP]", slice(None))


def _part(records: Sequence[Record], kind: str, layers: slice) -> np.ndarray:
    return np.array([_grid(record, kind)[layers].mean() for record in _models(records)])


def _half(records: Sequence[Record]) -> int:
    """How many layers the first half has: without the middle one, where there is one."""
    return len(_grid(_models(records)[0], "[CLS]")) // 2


def word_attention_share(records: Sequence[Record]) -> np.ndarray:
    """The largest mean score of any kind of word beside the mean of those of [CLS] and [SEP].

    NaN where the annotation does not tell all kinds; one that no example has is not counted.
    """
    return np.array([_share(record.values["features"]) for record in _models(records)])


def _share(features: dict[str, Any]) -> float:
    if not set(WORDS) <= set(features):
        return float("nan")
    means = {kind: np.mean(v["score"]) for kind, v in features.items() if "score" in v}
    words = max(means[kind] for kind in WORDS if kind in means)
    return float(words / np.mean([means[kind] for kind in SPECIALS]))


def noun_attention_increase(records: Sequence[Record]) -> np.ndarray:
    """Rise with fine-tuning of the score of nouns, of a head chosen on other examples."""
    return _held_out_rises(records, "noun")


def object_attention_increase(records: Sequence[Record]) -> np.ndarray:
    """As `noun_attention_increase`, for objects."""
    return _held_out_rises(records, "object")


def negation_attention_increase(records: Sequence[Record]) -> np.ndarray:
    """As `noun_attention_increase`, for negations."""
    return _held_out_rises(records, "negation")


def _held_out_rises(records: Sequence[Record], kind: str, key: str = "score") -> np.ndarray:
    """On one half of the examples, of the head that rises most on the other; both directions.

    NaN where the annotation does not tell the kind, or a half of the examples has none.
    """
    before = _encoder(records)
    return np.array([_held_out_rise(record, before, kind, key) for record in _models(records)])


def _held_out_rise(after: Record, before: Record, kind: str, key: str) -> float:
    both = [record.values["features"].get(kind, {}).get("halves") for record in (after, before)]
    if not all(both) or any(half[key] is None for halves in both for half in halves):
        return float("nan")
    new, old = (np.array([half[key] for half in halves]) for halves in both)
    first, second = new - old
    chosen = (second.ravel()[first.argmax()], first.ravel()[second.argmax()])
    return float(np.mean(chosen))


QUANTITIES: dict[str, Callable[[Sequence[Record]], np.ndarray]] = {
    function.__name__: function
    for function in (
        cls_attention_early,
        cls_attention_late,
        sep_attention_early,
        sep_attention_late,
        sep_attention,
        word_attention_share,
        noun_attention_increase,
        object_attention_increase,
        negation_attention_increase,
    )
}


def quantities(
    records: Sequence[Record],
    functions: dict[str, Callable[[Sequence[Record]], np.ndarray]] = QUANTITIES,
) -> pd.DataFrame:
    """Every quantity by task and seed: columns ``quantity task seed value``.

    Args:
        functions: those of this section, or of another on the same records.
    """
    return tidy(
        functions,
        (
            (task, [r.recipe["model"]["seed"] for r in _models(own)], own)
            for task, own in _by_task(records).items()
        ),
    )
