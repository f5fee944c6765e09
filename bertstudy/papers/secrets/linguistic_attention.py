r"""What heads attend to, by kind of word: the measurement behind §4.4 and §4.5.

For one input of L tokens let A be a head's map (L×L). Token t receives

$$r_t = \frac1L \sum_i A_{it}, \qquad \sum_t r_t = 1,$$

and a head's score for a kind of token F is $\max_{t\in F} r_t$, averaged over the inputs that have
one (§4.4: the sum over queries, "normalized by sequence length"; "if there are multiple tokens of
the same type, we take the maximum value"). In the last layer the row of [CLS] takes the place of r
(§4.5, Figure 7). Two words are linked by the largest weight between them, in either direction.

A maximum over several tokens is large whatever these are, so each score has a null: the same
maximum over as many word tokens drawn at random. Its expectation over all draws is computed, not
sampled: with the n values of the words sorted, $v_{(1)} \le \dots \le v_{(n)}$, and k drawn,

$$\mathrm{E}\max = \sum_r \binom{r-1}{k-1} \Big/ \binom nk \; v_{(r)}.$$

Linked words are held against random pairs of the same text at the same distance, with the test of
§4.2, corrected for all heads (`nulls`).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import comb
from torch import Tensor

from bertstudy.attention import Site
from bertstudy.linguistics import FEATURES, Aligned, Word
from bertstudy.makers import ATTENTION, makes
from bertstudy.papers.secrets.annotated import Reading, of_task, readings
from bertstudy.papers.secrets.nulls import (
    DRAWS,
    Link,
    corrected_p,
    distance,
    of_different_words,
    redraw,
)
from bertstudy.store import Record
from bertstudy.streaming import EXAMPLES, Gold, neighbours, received, stream

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study
    from bertstudy.tasks import Task

MEASUREMENT = "linguistic_attention"
DRAWS_SEED = HALVES_SEED = 0
VERSION = 2  # of the measurement; raise it when the meaning of a value changes

# Which words are linked ---------------------------------------------------------------------------


def _verb_and_subject(word: Word, head: Word) -> bool:
    return FEATURES["subject"](word) and FEATURES["verb"](head)


def _noun_and_pronoun(word: Word, head: Word) -> bool:
    noun, pronoun = FEATURES["noun"], FEATURES["pronoun"]
    return (noun(word) and pronoun(head)) or (pronoun(word) and noun(head))


RELATIONS: Mapping[str, Callable[[Word, Word], bool]] = {
    "verb-subject": _verb_and_subject,
    "noun-pronoun": _noun_and_pronoun,
}


def linked(example: Aligned, relation: str) -> list[Link]:
    """Word pieces of two words that stand in a relation of `RELATIONS`, each with each.

    A link is read in both directions, so each stands once, the earlier place first.
    """
    return [link for links in _linked(example, RELATIONS[relation]).values() for link in links]


def _linked(example: Aligned, holds: Callable[[Word, Word], bool]) -> dict[int, list[Link]]:
    """The links of each text that has any."""
    found: dict[int, dict[Link, None]] = defaultdict(dict)
    for text, annotated in enumerate(example.texts):
        for number, word in enumerate(annotated.words):
            if word.head >= 0 and holds(word, annotated.words[word.head]):
                own, heads = example.pieces[text][number], example.pieces[text][word.head]
                # Of "don't" two words share a piece, which is no pair.
                found[text] |= {(min(i, j), max(i, j)): None for i in own for j in heads if i != j}
    return {text: list(links) for text, links in found.items() if links}


def random_pairs(
    example: Aligned, relation: str, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Pairs of `linked`, then as often as ``draws`` as many random pairs in their place.

    Each draw has, text by text, as many pairs at each distance, none twice (`nulls.redraw`).

    Returns:
        ``[1 + draws, pair, 2]``.
    """
    groups = [np.zeros((1 + draws, 0, 2), int)]
    for text, links in _linked(example, RELATIONS[relation]).items():
        pairs = _pairs_as_far_apart(example, text, links)
        drawn = (redraw(links, pairs, distance, rng) for _ in range(draws))
        groups.append(np.array([links, *drawn]))
    return np.concatenate(groups, axis=1)


def _pairs_as_far_apart(example: Aligned, text: int, links: Sequence[Link]) -> list[Link]:
    """The links, and all pairs of a text at their distances that are of different words."""
    places = [
        place for place, words in enumerate(example.owners) if any(own == text for own, _ in words)
    ]
    steps = dict.fromkeys(map(distance, links))
    pairs = ((place, place + step) for step in steps for place in places if place + step in places)
    apart = (pair for pair in pairs if of_different_words(example, pair))
    return list(dict.fromkeys([*links, *apart]))


# One pass over the maps ---------------------------------------------------------------------------


def measured(
    model: "PreTrainedModel", reading: Reading, draws: int = DRAWS
) -> dict[str, np.ndarray]:
    """Everything of §4.4 and §4.5, by example, layer and head; NaN where an example has none.

    Returns:
        ``score``, ``null``, ``cls`` and ``cls_null`` ``[example, layer, head, feature]``, the
        features those of ``reading.known``; ``linked [example, layer, head, relation, 1 +
        draw]``, the links first, as in `RELATIONS`; ``neighbours [example, layer, head]``.
    """
    data, aligned = reading.inputs
    marks = [[one.where(name) for name in reading.known] for one in aligned]
    words = [np.flatnonzero([special == "" for special in one.specials]) for one in aligned]
    rng = np.random.default_rng(DRAWS_SEED)
    pairs = [
        [random_pairs(one, name, draws, rng) for name in RELATIONS] if reading.has_tree else []
        for one in aligned
    ]

    def prepare(rows: np.ndarray, length: int) -> Gold:
        own, drawn = [marks[row] for row in rows], [words[row] for row in rows]
        made = {
            "marks": _marks(own, length),
            "words": _marks([[places] for places in drawn], length)[:, 0],
            "weights": _weights(own, [len(places) for places in drawn], length),
        }
        if reading.has_tree:
            made["pairs"] = _pairs([pairs[row] for row in rows], length)
        return made

    return stream(model, data, _reduce, prepare)


def _marks(places: Sequence[Sequence[Sequence[int]]], length: int) -> Tensor:
    """``[example, feature, place]``, True at the places given."""
    found = torch.zeros(len(places), len(places[0]), length, dtype=torch.bool)
    for example, features in enumerate(places):
        for feature, chosen in enumerate(features):
            found[example, feature, torch.as_tensor(np.asarray(chosen, int))] = True
    return found


def _weights(marks: Sequence[Sequence[Sequence[int]]], words: Sequence[int], length: int) -> Tensor:
    """Chance that each rank among the words, lowest first, is the largest of those drawn.

    ``[example, feature, rank]``; NaN where nothing is drawn, or there is no word to draw.
    """
    found = np.full((len(marks), len(marks[0]), length), np.nan, np.float32)
    for example, (features, count) in enumerate(zip(marks, words, strict=True)):
        for feature, chosen in enumerate(features):
            if drawn := min(len(chosen), count):
                ranks = comb(np.arange(length), drawn - 1) / comb(count, drawn)
                found[example, feature] = np.where(np.arange(length) < count, ranks, 0)
    return torch.from_numpy(found)


def _pairs(pairs: Sequence[Sequence[np.ndarray]], length: int) -> Tensor:
    """``[example, relation, draw, pair]``, places in a flattened map; -1 where there is none."""
    most = max((one.shape[1] for example in pairs for one in example), default=0)
    shape = (len(pairs), len(RELATIONS), pairs[0][0].shape[0], max(1, most))
    found = np.full(shape, -1)
    for example, relations in enumerate(pairs):
        for relation, one in enumerate(relations):
            found[example, relation, :, : one.shape[1]] = one[..., 0] * length + one[..., 1]
    return torch.from_numpy(found)


def _reduce(probs: Tensor, site: Site, gold: Gold) -> dict[str, Tensor]:
    """What one layer's maps come to; see `measured`."""
    found = {"neighbours": neighbours(probs, site)}
    for prefix, weights in (("", received(probs, site)), ("cls_", probs[:, :, 0])):
        found[prefix + "score"] = largest(weights, gold["marks"])
        found[prefix + "null"] = expected_largest(weights, gold["words"], gold["weights"])
    if "pairs" in gold:
        found["linked"] = largest_linked(probs, gold["pairs"])
    return found


def largest(values: Tensor, marks: Tensor) -> Tensor:
    """Largest of ``values [batch, head, place]`` at each of ``marks [batch, feature, place]``.

    ``[batch, head, feature]``; NaN where nothing is marked.
    """
    kept = values[:, :, None].masked_fill(~marks[:, None], -torch.inf).amax(-1)
    return kept.masked_fill(kept == -torch.inf, torch.nan)


def expected_largest(values: Tensor, words: Tensor, weights: Tensor) -> Tensor:
    """Expected largest value of word tokens drawn at random, ``[batch, head, feature]``.

    Args:
        values: ``[batch, head, place]``.
        words: ``[batch, place]``, True at those that may be drawn.
        weights: as from `_weights`.
    """
    ranked = values.masked_fill(~words[:, None], torch.inf).sort(-1).values
    ranked = ranked.masked_fill(ranked == torch.inf, 0)  # the ranks beyond the last word
    return torch.einsum("bhr,bfr->bhf", ranked, weights.to(ranked.dtype))


def largest_linked(probs: Tensor, pairs: Tensor) -> Tensor:
    """Largest weight of an example's pairs, in either direction.

    Args:
        probs: ``[batch, head, query, key]``.
        pairs: ``[batch, relation, draw, pair]``, as from `_pairs`.

    Returns:
        ``[batch, head, relation, draw]``; NaN where there is no pair.
    """
    either = torch.maximum(probs, probs.mT).flatten(2)
    flat = pairs.flatten(1)[:, None].expand(-1, probs.size(1), -1)
    found = either.gather(2, flat.clamp(min=0)).masked_fill(flat < 0, -torch.inf)
    found = found.unflatten(2, pairs.shape[1:]).amax(-1)
    return found.masked_fill(found == -torch.inf, torch.nan)


# Records ------------------------------------------------------------------------------------------


def of_encoder(study: "Study", reading: Reading) -> Record:
    """What the heads of the pre-trained encoder attend to; values as those of `of_model`."""
    return study.measure_encoder(
        MEASUREMENT,
        reading.recipe,
        lambda model: summary(measured(model, reading), reading),
        **_parameters(),
    )


@makes(MEASUREMENT, within=ATTENTION, left_out=("p",))
def of_model(study: "Study", task: "Task", seed: int, reading: Reading | None = None) -> Record:
    """What the heads of a model attend to that was fine-tuned on a task.

    Args:
        reading: what it reads; the task's own examples if not given.

    Values:
        ``examples``; ``features``, by name ``examples`` and ``tokens`` that have it and, where
        there are any, means over these examples: ``score`` and ``null [layer][head]``, ``cls``
        and ``cls_null [head]`` of the last layer's [CLS] and ``halves``, ``score`` and ``null``
        on two random halves of the examples (None where a half has none); ``relations``, by name
        ``examples`` and ``pairs`` of word pieces and, ``[layer][head]``, the means ``score`` and
        ``null`` and ``p`` of the test against the null, corrected for all heads;
        ``neighbours [layer][head]``.
    """
    reading = of_task(study, task) if reading is None else reading
    return study.measure(
        MEASUREMENT,
        task,
        seed,
        lambda model: summary(measured(model, reading), reading),
        data=reading.recipe,
        **_parameters(),
    )


def _parameters() -> dict[str, Any]:
    return {"examples": EXAMPLES, "draws": DRAWS, "version": VERSION}


def records(study: "Study") -> list[Record]:
    """Everything that §4.4 and §4.5 need: the encoder and each fine-tuned model on each task.

    The corpus is read by the encoder; where the tasks' own texts have no tagger, by the
    fine-tuned models too.
    """
    every = readings(study)
    made = [of_encoder(study, reading) for reading in every]
    untagged = not all(reading.has_tree for reading in every)
    for task in study.tasks:
        read = [r for r in every if r.name == task.name or (r.is_corpus and untagged)]
        made += [of_model(study, task, seed, r) for seed in study.seeds for r in read]
    return made


def summary(found: Mapping[str, np.ndarray], reading: Reading) -> dict[str, Any]:
    """The values of a record, from `measured`."""
    _, aligned = reading.inputs
    order = np.random.default_rng(HALVES_SEED).permutation(len(aligned))
    halves = (order[: len(order) // 2], order[len(order) // 2 :])
    features = {}
    for index, name in enumerate(reading.known):
        tokens = [len(one.where(name)) for one in aligned]
        here = {key: found[key][..., index] for key in ("score", "null", "cls_score", "cls_null")}
        features[name] = {"examples": int(np.count_nonzero(tokens)), "tokens": sum(tokens)}
        if any(tokens):
            features[name] |= {key: mean(here[key]) for key in ("score", "null")}
            features[name]["cls"] = mean(here["cls_score"][:, -1])
            features[name]["cls_null"] = mean(here["cls_null"][:, -1])
            features[name]["halves"] = [
                {key: mean(here[key][rows]) for key in ("score", "null")} for rows in halves
            ]
    relations = {}
    for index, name in enumerate(RELATIONS if reading.has_tree else ()):
        pairs = [len(linked(one, name)) for one in aligned]
        relations[name] = {"examples": int(np.count_nonzero(pairs)), "pairs": sum(pairs)}
        if any(pairs):
            relations[name] |= against_random_pairs(found["linked"][..., index, :])
    return {
        "examples": len(aligned),
        "features": features,
        "relations": relations,
        "neighbours": mean(found["neighbours"]),
    }


def against_random_pairs(values: np.ndarray) -> dict[str, Any]:
    """``score``, ``null`` and ``p`` of one relation, ``[layer][head]`` each.

    Args:
        values: ``[example, layer, head, 1 + draw]``, NaN where an example has no link.
    """
    there = values[~np.isnan(values[:, 0, 0, 0])]
    return {
        "score": mean(there[..., 0]),
        "null": mean(there[..., 1:].mean(-1)),
        "p": corrected_p(there).round(5).tolist(),
    }


def mean(values: np.ndarray) -> list[Any] | None:
    """Mean over the examples that have a value, to five decimals; None if none has."""
    there = ~np.isnan(values).any(axis=tuple(range(1, values.ndim)))
    if not there.any():
        return None
    return values[there].mean(0, dtype=np.float64).round(5).tolist()
