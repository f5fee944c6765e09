"""§4.5, token-to-token attention: Figure 7, linked words, and diagonal maps.

On the records of `linguistic_attention`. Links between words stand beside the null of §4.2: random
pairs at the same distance in the same text.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from bertstudy.papers.secrets import features
from bertstudy.papers.secrets.features import KINDS, described
from bertstudy.papers.secrets.linguistic_attention import RELATIONS
from bertstudy.papers.secrets.nulls import LEVEL
from bertstudy.store import Record

LINKS = [
    "data",
    "task",
    "seed",
    "model",
    "reading",
    "origin",
    "relation",
    "layer",
    "head",
    "score",
    "null",
    "above",
    "p",
    "passes",
    "neighbours",
]
BEST = 5  # heads with most attention between linked words, held to be those of the relation
CHOICES = {  # by what they are chosen, as a page names it
    "score": "attention between the two words",
    "null": "attention between random words as far apart",
    "above": "the first minus the second",
}


# Tables -------------------------------------------------------------------------------------------


def last_layer(records: Sequence[Record]) -> pd.DataFrame:
    """Figure 7: attention of the last layer's [CLS], one row a record, kind of token and head.

    Columns as those of `features.scores`, without ``layer``.
    """
    rows = []
    for record in records:
        for feature, values in features.in_order(record.values["features"], KINDS):
            if "cls" in values:
                both = zip(values["cls"], values["cls_null"], strict=True)
                rows += [
                    described(record)
                    | {"feature": feature, "head": head}
                    | {"score": score, "null": null, "above": score - null}
                    for head, (score, null) in enumerate(both)
                ]
    return pd.DataFrame(rows)


def links(records: Sequence[Record]) -> pd.DataFrame:
    """Attention between linked words beside how diagonal a head is, one row a head.

    Columns `LINKS`; layers and heads are 0-based; ``p`` is corrected for all heads, ``passes``
    whether it is at most `nulls.LEVEL`; ``neighbours`` is the attention to the previous and the
    next token together. No row where no tree is known.
    """
    rows = []
    for record in records:
        diagonal = np.array(record.values["neighbours"])
        for relation, values in features.in_order(record.values["relations"], RELATIONS):
            if "score" not in values:
                continue
            score, null, p = (np.array(values[key]) for key in ("score", "null", "p"))
            rows += [
                described(record)
                | {"relation": relation, "layer": layer, "head": head}
                | {"score": score[layer, head], "null": null[layer, head]}
                | {"above": score[layer, head] - null[layer, head]}
                | {"p": p[layer, head], "passes": bool(p[layer, head] <= LEVEL)}
                | {"neighbours": diagonal[layer, head]}
                for layer, head in np.ndindex(diagonal.shape)
            ]
    return pd.DataFrame(rows, columns=LINKS)


def counts(records: Sequence[Record]) -> pd.DataFrame:
    """Examples that have a relation, and its pairs of word pieces; as `features.counts`."""
    return features.counted(records, "relations", "pairs", RELATIONS)


def passing(table: pd.DataFrame) -> pd.DataFrame:
    """How many heads pass the corrected test against random pairs, one row a reading and relation.

    Args:
        table: as from `links`.

    Returns:
        Columns ``reading relation heads``; ``heads that pass``, mean over models, ``fewest`` and
        ``most`` of any model; ``in most models``, heads that pass in more than half of them; ``of
        the five highest``, how many of those with most attention do; ``models``, one a seed.
    """
    rows = []
    for (reading, relation), own in table.groupby(["reading", "relation"], sort=False):
        by_seed = own.groupby("seed")["passes"].sum()
        heads = own.groupby(["layer", "head"])[["score", "passes"]].mean()
        often = heads["passes"] > 0.5
        rows.append(
            {"reading": reading, "relation": relation, "heads": len(heads)}
            | {"heads that pass": f"{by_seed.mean():.1f}"}
            | {"fewest": by_seed.min(), "most": by_seed.max(), "in most models": often.sum()}
            | {"of the five highest": often[heads.nlargest(BEST, "score").index].sum()}
            | {"models": len(by_seed)}
        )
    return pd.DataFrame(rows)


def coincidence(table: pd.DataFrame) -> pd.DataFrame:
    """How diagonal the five heads are that stand out, by what they are chosen.

    Args:
        table: as from `links`.

    Returns:
        Columns ``reading relation seed chosen_by diagonal shared``: ``chosen_by`` a key of
        `CHOICES`; ``diagonal`` their mean of ``neighbours`` minus that of all heads; ``shared``
        how many of them are among the five by "score".
    """
    rows = []
    for (reading, relation, seed), own in table.groupby(
        ["reading", "relation", "seed"], sort=False
    ):
        best = {key: set(own.nlargest(BEST, key).index) for key in CHOICES}
        rows += [
            {"reading": reading, "relation": relation, "seed": seed, "chosen_by": key}
            | {"diagonal": own.loc[list(heads), "neighbours"].mean() - own["neighbours"].mean()}
            | {"shared": len(heads & best["score"])}
            for key, heads in best.items()
        ]
    return pd.DataFrame(
        rows, columns=["reading", "relation", "seed", "chosen_by", "diagonal", "shared"]
    )


def coincidence_summary(table: pd.DataFrame) -> pd.DataFrame:
    """`coincidence` for readers: means over seeds."""
    named = table.assign(chosen_by=table["chosen_by"].map(CHOICES))
    keys = ["reading", "relation", "chosen_by"]
    found = named.groupby(keys, sort=False).agg(
        diagonal=("diagonal", "mean"),
        sd=("diagonal", "std"),
        shared=("shared", "mean"),
        seeds=("seed", "nunique"),
    )
    titles = {
        "chosen_by": "five heads chosen by",
        "diagonal": "attention to neighbours, minus that of all heads",
        "shared": "of them among the first five",
    }
    found["shared"] = found["shared"].map("{:.1f}".format)
    return found.reset_index().rename(columns=titles)


# Quantities: from the records of one task, one number a seed ------------------------------------


def last_layer_sep_lead(records: Sequence[Record]) -> np.ndarray:
    """How much more the last layer's [CLS] attends to [SEP] than to any other kind of token.

    NaN where the annotation does not tell all kinds; one that no example has is not counted.
    """
    return _lead(records, "[SEP]")


def last_layer_punctuation_lead(records: Sequence[Record]) -> np.ndarray:
    """As `last_layer_sep_lead`, of punctuation, with [SEP] among the others."""
    return _lead(records, "punctuation")


def _lead(records: Sequence[Record], kind: str) -> np.ndarray:
    def lead(values: dict) -> float:
        if not set(KINDS) <= set(values):
            return float("nan")
        means = {name: np.mean(found["cls"]) for name, found in values.items() if "cls" in found}
        own = means.pop(kind, np.nan)
        return float(own - max(means.values()))

    return np.array([lead(r.values["features"]) for r in records if "model" in r.recipe])


def verb_subject_heads_diagonal(records: Sequence[Record]) -> np.ndarray:
    """How much more diagonal the five heads are that link verbs and subjects than all heads."""
    return _diagonal(records, "verb-subject")


def noun_pronoun_heads_diagonal(records: Sequence[Record]) -> np.ndarray:
    """As `verb_subject_heads_diagonal`, for a noun and a pronoun, one the other's dependent."""
    return _diagonal(records, "noun-pronoun")


def _diagonal(records: Sequence[Record], relation: str) -> np.ndarray:
    """NaN where the annotation has no tree, or no example has the relation."""

    def minus_all(record: Record) -> float:
        table = links([record])
        if relation not in set(table["relation"]):
            return float("nan")
        own = coincidence(table[table["relation"] == relation])
        return float(own.loc[own["chosen_by"] == "score", "diagonal"].item())

    return np.array([minus_all(record) for record in records if "model" in record.recipe])


QUANTITIES: dict[str, Callable[[Sequence[Record]], np.ndarray]] = {
    function.__name__: function
    for function in (
        last_layer_sep_lead,
        last_layer_punctuation_lead,
        verb_subject_heads_diagonal,
        noun_pronoun_heads_diagonal,
    )
}


def quantities(records: Sequence[Record]) -> pd.DataFrame:
    """Every quantity by task and seed: columns ``quantity task seed value``."""
    return features.quantities(records, QUANTITIES)


def strongest_link(table: pd.DataFrame, relation: str) -> tuple[int, int]:
    """0-based layer and head with most attention between linked words, mean over all models.

    The first head where no input has the relation.
    """
    own = table[table["relation"] == relation]
    if own.empty:
        return 0, 0
    layer, head = own.groupby(["layer", "head"])["score"].mean().idxmax()
    return int(layer), int(head)
