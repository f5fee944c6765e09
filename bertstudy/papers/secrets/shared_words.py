r"""§5, heads that link the two sentences of a pair by the words that stand in both.

Let W be the pairs (u, v) of equal words of an example, one in each sentence, in either order, and
let word u have the pieces P_u. Attention from word to word is the mean over the pieces that look
and the sum over the pieces looked at (Clark et al. 2019, §4.1), so that

$$O = \frac1{|W|} \sum_{(u,v) \in W} \frac1{|P_u|} \sum_{i \in P_u} \sum_{j \in P_v} A_{ij},$$

the mean over examples that have such words. The paper says that the heads which matter most on
STS-B and RTE have much of it.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from bertstudy.attention import Site
from bertstudy.encoding import Encoded
from bertstudy.errors import BertstudyError
from bertstudy.linguistics import Aligned, Annotated, Word, align
from bertstudy.makers import ATTENTION, makes
from bertstudy.papers.secrets.disabling_heads import NAMED_HEADS, disabling, head_effects
from bertstudy.reference import tidy
from bertstudy.statistics import interval
from bertstudy.store import Record
from bertstudy.streaming import EXAMPLES, Gold, sample, stream
from bertstudy.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study

TWO = 2  # heads that matter most, as the paper names two
VERSION = 1  # of the measurement; raise it when the meaning of a value changes


def words(text: str) -> Annotated:
    """A text cut into runs of letters and digits; punctuation belongs to no word."""
    found = (Word(match.group(), *match.span()) for match in re.finditer(r"\w+", text))
    return Annotated(text, tuple(found))


def shared(aligned: Aligned) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pieces of each word and of the same word in the other sentence, in both orders.

    Words are the same if they are so without regard to case. What was cut off is left out.
    """
    first, second = (
        [
            (word.text.lower(), pieces)
            for word, pieces in zip(text.words, places, strict=True)
            if pieces
        ]
        for text, places in zip(aligned.texts, aligned.pieces, strict=True)
    )
    there = [(one, other) for a, one in first for b, other in second if a == b]
    return there + [(other, one) for one, other in there]


def overlap(model: "PreTrainedModel", examples: Sequence[Aligned], data: Encoded) -> np.ndarray:
    """Attention from a word to the same word in the other sentence, mean over such pairs.

    Args:
        data: the examples as model inputs, in the same order.

    Returns:
        ``[example, layer, head]``, of the examples that have a word in both sentences.

    Raises:
        BertstudyError: no example has one.
    """
    pairs = [shared(example) for example in examples]
    rows = np.flatnonzero([len(found) > 0 for found in pairs])
    if len(rows) == 0:
        raise BertstudyError("no example has a word in both sentences")

    def prepare(batch: np.ndarray, length: int) -> Gold:
        return {"weights": torch.stack([_weights(pairs[rows[row]], length) for row in batch])}

    def weighted(probs: Tensor, site: Site, gold: Gold) -> dict[str, Tensor]:
        return {"overlap": torch.einsum("bhqk,bqk->bh", probs, gold["weights"].to(probs.dtype))}

    return stream(model, data.take(rows), weighted, prepare)["overlap"]


def _weights(pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], length: int) -> Tensor:
    """What each cell of a map counts for, ``[query, key]``; the equation above in one sum."""
    weights = torch.zeros(length, length)
    for queries, keys in pairs:
        for query in queries:
            weights[query, list(keys)] += 1 / (len(queries) * len(pairs))
    return weights


# Measuring ------------------------------------------------------------------------------------


@makes("overlap_attention", within=ATTENTION / 2)  # most weights of it are small
def overlap_attention(study: "Study", task: Task, seed: int) -> Record:
    """Overlap attention of every head of one fine-tuned model.

    Values:
        ``examples``, those that have a word in both sentences, of at most `EXAMPLES` that were
        looked at; ``heads [layer][head]``, the mean over them.

    Raises:
        BertstudyError: the task is not of pairs.
    """
    if len(task.texts) != 2:
        raise BertstudyError(f"{task.name} has one text an example: no word stands in both")

    def compute(model: "PreTrainedModel") -> dict[str, Any]:
        data = study.encoded(task, "validation")
        rows = sample(len(data))
        texts = study.rows(task, "validation").select(rows)
        pairs = zip(*(texts[column] for column in task.texts), strict=True)
        length = study.edition.recipe(task.name).max_length
        annotated = [tuple(map(words, pair)) for pair in pairs]
        found = overlap(model, align(study.tokenizer, annotated, length), data.take(rows))
        mean = found.mean(0, dtype=np.float64)
        return {"examples": len(found), "heads": mean.round(6).tolist()}

    return study.measure(
        "overlap_attention", task, seed, compute, examples=EXAMPLES, version=VERSION
    )


def records(study: "Study") -> list[Record]:
    """For each task of pairs and each seed the overlap, and the sweep of §4.6 beside it."""
    return [
        measured(study, task, seed)
        for task in study.tasks
        if len(task.texts) == 2
        for seed in study.seeds
        for measured in (overlap_attention, disabling)
    ]


# Tables and quantities --------------------------------------------------------------------------


def _by_task(records: Sequence[Record]) -> dict[str, list[tuple[Record, Record]]]:
    """For each task, by seed, a model's overlap with its sweep."""
    swept = {
        (r.recipe["model"]["task"], r.recipe["model"]["seed"]): r
        for r in records
        if r.measurement == "disabling" and r.recipe["kind"] == "uniform"
    }
    found: dict[str, list[tuple[Record, Record]]] = {}
    for record in records:
        if record.measurement == "overlap_attention":
            task, seed = (record.recipe["model"][name] for name in ("task", "seed"))
            found.setdefault(task, []).append((record, swept[task, seed]))
    return found


def _lead(measured: Record, chosen: Sequence[tuple[int, int]]) -> float:
    """Mean overlap of the chosen heads minus the mean over all; NaN where one is not there."""
    heads = np.array(measured.values["heads"])
    layers, width = heads.shape
    if any(layer >= layers or head >= width for layer, head in chosen):
        return float("nan")
    return float(np.mean([heads[at] for at in chosen]) - heads.mean())


def most_needed(swept: Record, count: int = TWO) -> list[tuple[int, int]]:
    """0-based layer and head of those whose disabling costs the model most."""
    effects = head_effects(swept.values)
    order = np.argsort(effects.ravel(), kind="stable")[:count]
    return [divmod(index, effects.shape[1]) for index in order.tolist()]


def named_heads_overlap_attention(records: Sequence[Record]) -> np.ndarray:
    """Overlap attention, mean of layer 4 head 1 and layer 2 head 12, minus the mean of all."""
    ((_, own),) = _by_task(records).items()
    return np.array([_lead(measured, NAMED_HEADS) for measured, _ in own])


def needed_heads(records: Sequence[Record]) -> pd.DataFrame:
    """Whether the heads that matter link shared words, in models that have other heads.

    One row a task: overlap of all heads; by how much that of the two heads which this seed's
    model loses most without exceeds it, with the 95 % interval over seeds; and Spearman's
    correlation, over heads, of overlap and of what is lost (``effect`` with its sign turned).
    """
    rows = []
    for task, own in _by_task(records).items():
        leads = [_lead(measured, most_needed(swept)) for measured, swept in own]
        mean, low, high = interval(leads)
        related = [
            _rank_correlation(np.array(m.values["heads"]), -head_effects(s.values)) for m, s in own
        ]
        rows.append(
            {
                "task": task,
                "examples": own[0][0].values["examples"],
                "all heads": np.mean([measured.values["heads"] for measured, _ in own]),
                "two most needed, minus all": mean,
                "from": low if np.isfinite(low) else np.nan,
                "to": high if np.isfinite(high) else np.nan,
                "rank correlation with loss": np.mean(related),
                "seeds": len(own),
            }
        )
    return pd.DataFrame(rows)


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's; 0 where either is constant, as it then orders nothing."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(stats.spearmanr(one.ravel(), other.ravel()).statistic)


QUANTITIES: dict[str, Callable[[Sequence[Record]], np.ndarray]] = {
    named_heads_overlap_attention.__name__: named_heads_overlap_attention
}


def quantities(records: Sequence[Record]) -> pd.DataFrame:
    """`named_heads_overlap_attention` by task and seed: columns ``quantity task seed value``."""
    return tidy(
        QUANTITIES,
        (
            (
                task,
                [measured.recipe["model"]["seed"] for measured, _ in own],
                [record for both in own for record in both],
            )
            for task, own in _by_task(records).items()
        ),
    )
