r"""§4.2, heads for semantic relations (Figures 3 and 4), and what they are worth (§5).

The *frame attention* of a head is the largest weight along the links of a sentence
(`frame_links`), averaged over sentences,

$$F = \frac1S \sum_s \max_{(i,j) \in R_s} A^{(s)}_{ij},$$

and its null the same with random pairs in the links' place.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bertstudy.errors import BertstudyError
from bertstudy.linguistics import PAPER, RELEASED, Filters, FramePair, Step, frame_pairs
from bertstudy.papers.secrets.disabling_heads import disabling, head_effects
from bertstudy.papers.secrets.frame_links import (
    ANY_WORD,
    MAIN,
    READINGS,
    annotated,
    frame_sentences,
    link_attention,
)
from bertstudy.papers.secrets.nulls import DRAWS, LEVEL, SEED, corrected_p
from bertstudy.reference import numbers, tidy
from bertstudy.store import Record, canonical

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study

FOLDS = 10
VERSION = 1  # of the measurement; raise it when the meaning of a value changes
FILTERS = {"as the paper says": PAPER, "as its notebook does": RELEASED}


# Measuring ------------------------------------------------------------------------------------


def frame_attention(study: "Study", filters: Filters = PAPER) -> Record:
    """Frame attention of every head of the pre-trained encoder, beside its null.

    Values:
        ``steps`` (name, frames, sentences and pairs left after each filter); ``sentences``;
        ``without_choice``, those in which no link has another place at its distance;
        ``readings``, for each of `READINGS` ``annotated``, ``random`` and ``p``, all
        ``[layer][head]``: mean over sentences, of the links, and of the draws in their place; and
        the test against them, corrected for all heads; ``folds``: ``sizes``, and ``annotated``
        and ``random`` of the main reading ``[fold][layer][head]``.

    Raises:
        BertstudyError: the data is not there, or fewer sentences than folds pass the filters.
    """
    pairs, steps = frame_pairs(annotated(study.edition.source, filters), filters)

    def compute(model: "PreTrainedModel") -> dict[str, Any]:
        sentences, data = frame_sentences(study, pairs)
        if len(sentences) < FOLDS:
            raise BertstudyError(
                f"{len(sentences)} sentences pass the filters: at least {FOLDS} are needed"
            )
        found = link_attention(model, sentences, data)
        return {
            "steps": [asdict(step) for step in steps],
            "sentences": len(sentences),
            "without_choice": sum(not sentence.has_choice for sentence in sentences),
            "readings": {name: _means(values) for name, values in found.items()},
            "folds": _folds(found[MAIN]),
        }

    recipe = {"filters": asdict(filters), "draws": DRAWS, "folds": FOLDS, "version": VERSION}
    return study.measure_encoder("frame_attention", _fingerprint(pairs, steps), compute, **recipe)


def _fingerprint(pairs: Sequence[FramePair], steps: Sequence[Step]) -> str:
    """Of everything that the measurement reads."""
    read = [(p.text.text, p.frame, p.target, p.name, p.element) for p in pairs]
    text = canonical({"pairs": read, "steps": list(map(astuple, steps))})
    return sha256(text.encode()).hexdigest()[:16]


def _means(values: np.ndarray) -> dict[str, Any]:
    return _split(values) | {"p": corrected_p(values).round(5).tolist()}


def _split(values: np.ndarray) -> dict[str, Any]:
    """Means over sentences, of the links and of the draws, ``[layer][head]`` each."""
    mean = values.mean(0, dtype=np.float64)
    return {
        "annotated": mean[..., 0].round(5).tolist(),
        "random": mean[..., 1:].mean(-1).round(5).tolist(),
    }


def _folds(values: np.ndarray) -> dict[str, Any]:
    """`_split` of `FOLDS` random parts of the sentences."""
    order = np.random.default_rng(SEED).permutation(len(values))
    parts = np.array_split(order, FOLDS)
    split = [_split(values[part]) for part in parts]
    return {"sizes": list(map(len, parts))} | {
        name: [one[name] for one in split] for name in ("annotated", "random")
    }


def encoder_records(study: "Study") -> list[Record]:
    """What §4.2 needs: frame attention under each of `FILTERS`, the paper's first."""
    return [frame_attention(study, filters) for filters in FILTERS.values()]


def disabling_records(study: "Study") -> list[Record]:
    """What §5 needs beside them: the uniform sweeps of §4.6, for each task and seed."""
    return [disabling(study, task, seed) for task in study.tasks for seed in study.seeds]


# Tables ---------------------------------------------------------------------------------------


def filtered(records: Sequence[Record]) -> pd.DataFrame:
    """Both sets of filters, step by step, and how many sentences the paper was left with.

    Columns ``filters step frames sentences pairs paper``; ``paper`` only at the last step.
    """
    table = numbers("secrets")
    printed = table[(table["table"] == "§4.2") & (table["row"] == "sentences")]["value"].item()
    rows = []
    for name, filters in FILTERS.items():
        steps = _with(records, filters).values["steps"]
        rows += [
            {"filters": name if number == 0 else "", "step": step["name"]}
            | {key: step[key] for key in ("frames", "sentences", "pairs")}
            | {"paper": printed if step is steps[-1] else np.nan}
            for number, step in enumerate(steps)
        ]
    return pd.DataFrame(rows)


def heads(record: Record) -> pd.DataFrame:
    """Tidy: one row a reading and head, in each reading the highest first.

    Columns ``reading layer head annotated random lead p passes``; layers and heads are 0-based;
    ``lead`` is annotated minus random, ``passes`` whether the corrected p is at most `LEVEL`.
    """
    parts = []
    for reading in READINGS:  # a record's own order is that of the alphabet
        grids = record.values["readings"][reading]
        columns = {name: np.array(grids[name]) for name in ("annotated", "random", "p")}
        layer, head = np.indices(columns["p"].shape)
        grid = {"layer": layer, "head": head} | columns
        part = pd.DataFrame({name: values.ravel() for name, values in grid.items()})
        part = part.sort_values("annotated", ascending=False, kind="stable")
        parts.append(part.assign(reading=reading))
    table = pd.concat(parts, ignore_index=True)
    table["lead"] = table["annotated"] - table["random"]
    return table.assign(passes=table["p"] <= LEVEL)


def highest(record: Record, count: int = 2) -> list[tuple[int, int]]:
    """0-based layer and head of those with the most frame attention, highest first."""
    return [divmod(index, _width(record)) for index in _ranked(_whole(record))[:count].tolist()]


def summary(records: Sequence[Record]) -> pd.DataFrame:
    """Each set of filters and each reading in a line, with the head that is highest in it.

    Layers and heads are 1-based; ``without another place`` counts sentences in which every link is
    the only pair at its distance, so that random pairs say nothing; the last column counts heads
    that pass the corrected test.
    """
    rows = []
    for name, filters in FILTERS.items():
        record = _with(records, filters)
        for reading, own in heads(record).groupby("reading", sort=False):
            first = own.iloc[0]
            rows.append(
                {
                    "filters": name,
                    "sentences": record.values["sentences"],
                    "without another place": record.values["without_choice"],
                    "links read": reading,
                    "random pairs have": READINGS[reading],
                    "highest head": f"layer {first['layer'] + 1} head {first['head'] + 1}",
                    "links": first["annotated"],
                    "random pairs": first["random"],
                    "heads that pass": f"{own['passes'].sum()} of {len(own)}",
                }
            )
    return pd.DataFrame(rows)


def most_attentive(record: Record, count: int = 5) -> pd.DataFrame:
    """The highest heads of the main reading with both nulls; layers and heads are 1-based."""
    return _said(_beside(record).head(count))


def beyond_both(record: Record) -> pd.DataFrame:
    """The same of all heads that pass both corrected tests, and so do more than either null."""
    table = _beside(record)
    return _said(table[table["passes"] & table["passes_any"]])


def _beside(record: Record) -> pd.DataFrame:
    """`heads` of the main reading, with the other null in columns that end in ``_any``."""
    table = heads(record)
    main, other = (table[table["reading"] == name] for name in (MAIN, ANY_WORD))
    return main.merge(other, on=["layer", "head"], suffixes=("", "_any"))


def _said(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "head": [f"layer {row.layer + 1} head {row.head + 1}" for row in table.itertuples()],
            "annotated links": table["annotated"],
            "random pairs as far apart": table["random"],
            "corrected p": table["p"],
            "any word to the predicate": table["random_any"],
            "its corrected p": table["p_any"],
        }
    )


def without_frame_heads(records: Sequence[Record]) -> pd.DataFrame:
    """§5: what disabling each of the two heads costs; ``task head effect sd seeds``, 1-based."""
    rows = []
    for task, swept in _swept(records).items():
        for layer, head in highest(_main(records)):
            effects = [head_effects(r.values)[layer, head] for r in swept]
            spread = np.std(effects, ddof=1) if len(effects) > 1 else np.nan
            every = [head_effects(r.values).mean() for r in swept]
            rows.append(
                {
                    "task": task,
                    "head disabled": f"layer {layer + 1} head {head + 1}",
                    "effect (points)": np.mean(effects),
                    "sd over seeds": spread,
                    "mean over all heads": np.mean(every),
                    "seeds": len(effects),
                }
            )
    return pd.DataFrame(rows)


def _with(records: Sequence[Record], filters: Filters) -> Record:
    """The record of frame attention under these filters."""
    wanted = asdict(filters)
    frames = (r for r in records if r.measurement == "frame_attention")
    return next(r for r in frames if r.recipe["filters"] == wanted)


def _main(records: Sequence[Record]) -> Record:
    return _with(records, PAPER)


def _swept(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records of the uniform sweep by task, in the order of their seeds."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.measurement == "disabling" and record.recipe["kind"] == "uniform":
            found.setdefault(record.recipe["model"]["task"], []).append(record)
    return {
        task: sorted(own, key=lambda r: r.recipe["model"]["seed"]) for task, own in found.items()
    }


# Quantities of §4.2: one number a fold ----------------------------------------------------------


def _fold_grids(record: Record, name: str) -> np.ndarray:
    """``[fold, layer × head]``."""
    grids = np.array(record.values["folds"][name])
    return grids.reshape(len(grids), -1)


def _width(record: Record) -> int:
    return np.shape(record.values["folds"]["annotated"])[2]


def _whole(record: Record, but: int | None = None) -> np.ndarray:
    """Frame attention ``[layer × head]`` on all sentences, or on those outside one fold."""
    weights = np.array(record.values["folds"]["sizes"], float)
    if but is not None:
        weights[but] = 0
    return weights @ _fold_grids(record, "annotated") / weights.sum()


def _ranked(attention: np.ndarray) -> np.ndarray:
    """Heads, highest first; of equals the first."""
    return np.argsort(-attention, kind="stable")


def _held_out(records: Sequence[Record], name: str, ranks: slice) -> np.ndarray:
    """Mean on each fold over the heads that have these ranks on the nine others."""
    record = _main(records)
    grids = _fold_grids(record, name)
    chosen = (_ranked(_whole(record, but=fold))[ranks] for fold in range(len(grids)))
    return np.array([grid[heads].mean() for grid, heads in zip(grids, chosen, strict=True)])


def _of_rank(records: Sequence[Record], rank: int) -> np.ndarray:
    """On each fold the head that has this rank on all sentences."""
    record = _main(records)
    return _fold_grids(record, "annotated")[:, _ranked(_whole(record))[rank]]


def first_frame_attention(records: Sequence[Record]) -> np.ndarray:
    """Frame attention, on a fold, of the head that has the highest on all sentences."""
    return _of_rank(records, 0)


def second_frame_attention(records: Sequence[Record]) -> np.ndarray:
    """Frame attention, on a fold, of the head that has the second highest on all sentences."""
    return _of_rank(records, 1)


NAMED_FRAME_HEADS = ((0, 1), (6, 5))  # of the released notebook: layer 1 head 2, layer 7 head 6


def rank_of_named_frame_heads(records: Sequence[Record]) -> np.ndarray:
    """The larger rank of the two heads named; NaN where the model is too small for them."""
    record = _main(records)
    width = _width(record)
    order = _ranked(_whole(record)).tolist()
    if any(head >= width or layer * width >= len(order) for layer, head in NAMED_FRAME_HEADS):
        return np.array([np.nan])
    return np.array(
        [1.0 + max(order.index(layer * width + head) for layer, head in NAMED_FRAME_HEADS)]
    )


def frame_attention_held_out(records: Sequence[Record]) -> np.ndarray:
    """On a fold, mean over the two heads that are highest on the nine others."""
    return _held_out(records, "annotated", slice(0, 2))


def frame_attention_null(records: Sequence[Record]) -> np.ndarray:
    """The same heads' attention between random pairs at the links' distances."""
    return _held_out(records, "random", slice(0, 2))


def second_frame_attention_held_out(records: Sequence[Record]) -> np.ndarray:
    """On a fold, the head that is second highest on the nine others."""
    return _held_out(records, "annotated", slice(1, 2))


def third_frame_attention_held_out(records: Sequence[Record]) -> np.ndarray:
    """On a fold, the head that is third highest on the nine others."""
    return _held_out(records, "annotated", slice(2, 3))


# A quantity of §5: from frame attention and one task's sweeps, one number a seed ------------------


def effect_of_frame_heads(records: Sequence[Record]) -> np.ndarray:
    """The smaller of the effects of the two heads with the highest frame attention."""
    ((_, swept),) = _swept(records).items()
    pair = highest(_main(records))
    return np.array([min(head_effects(r.values)[at] for at in pair) for r in swept])


OF_THE_ENCODER = (
    first_frame_attention,
    second_frame_attention,
    rank_of_named_frame_heads,
    frame_attention_held_out,
    frame_attention_null,
    second_frame_attention_held_out,
    third_frame_attention_held_out,
)
QUANTITIES: dict[str, Callable[[Sequence[Record]], np.ndarray]] = {
    function.__name__: function for function in (*OF_THE_ENCODER, effect_of_frame_heads)
}


def quantities(records: Sequence[Record]) -> pd.DataFrame:
    """Quantities of the encoder by fold (``seed``): columns ``quantity task seed value``.

    The task is "": nothing is fine-tuned.
    """
    return tidy({f.__name__: f for f in OF_THE_ENCODER}, [("", None, records)])


def effects(records: Sequence[Record]) -> pd.DataFrame:
    """`effect_of_frame_heads` by task and seed: columns ``quantity task seed value``."""
    return tidy(
        {effect_of_frame_heads.__name__: effect_of_frame_heads},
        (
            (task, [r.recipe["model"]["seed"] for r in swept], [_main(records), *swept])
            for task, swept in _swept(records).items()
        ),
    )
