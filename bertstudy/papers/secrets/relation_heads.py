r"""§4.2, heads for semantic relations (Figures 3 and 4), and what they are worth (§5).

A sentence s has annotated links: pairs (i, j) of a word piece i of a core frame element and one
j of the predicate that evokes the frame. The *frame attention* of a head with maps A is

$$F = \frac1S \sum_s \max_{(i,j) \in R_s} A^{(s)}_{ij}.$$

Its null replaces the links R_s by as many pairs of pieces of different words, drawn at random from
the sentence, each at the signed distance j - i of the pair it stands for. Drawn so, a pair may be a
link again; in a sentence too short for another place it always is, and such a sentence says nothing
for or against.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from hashlib import sha256
from itertools import permutations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor

from bertstudy.attention import Site
from bertstudy.encoder import Encoded, longest_input
from bertstudy.errors import BertstudyError
from bertstudy.linguistics import (
    PAPER,
    RELEASED,
    Aligned,
    Annotated,
    Element,
    Filters,
    Frame,
    FramePair,
    Step,
    Word,
    align,
    frame_pairs,
    framenet,
    framenet_release,
    nltk_framenet,
)
from bertstudy.papers.secrets.disabling_heads import disabling, head_effects
from bertstudy.reference import numbers
from bertstudy.store import Record, canonical
from bertstudy.streaming import Gold, stream

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study

DRAWS = 10  # of random pairs, for each sentence
FOLDS = 10
RELABELLINGS = 999  # of the corrected test: no p below 1/1000
LEVEL = 0.05  # at which a head passes it
SEED = 0  # of draws, folds and relabellings
VERSION = 1  # of the measurement; raise it when the meaning of a value changes
OWN_FRAMES = Path(__file__).parents[2] / "own_frames.yaml"
FILTERS = {"as the paper says": PAPER, "as its notebook does": RELEASED}

Link = tuple[int, int]  # places of the query and of the key in the model's input

# What is read of each map, and what its random pairs have in common with the links they replace.
MAIN, ANY_WORD = "element to predicate", "element to predicate, any word"
READINGS = {
    MAIN: "same distance",
    ANY_WORD: "same predicate",
    "predicate to element": "same distance",
    "first pieces": "same distance",
}

# Sentences ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrameSentence:
    """One sentence in word pieces, with its annotated links.

    Attributes:
        links: from a core element's pieces to the predicate's, each pair once.
        first: the same as the released notebook has them: the two lists of pieces zipped, so that
            a predicate in one piece is linked with the element's first piece alone.
    """

    aligned: Aligned
    links: tuple[Link, ...]
    first: tuple[Link, ...]

    @property
    def pairs(self) -> tuple[Link, ...]:
        """All pairs of its word pieces that belong to different words, as those of links do."""
        owners, specials = self.aligned.owners, self.aligned.specials
        places = [place for place, special in enumerate(specials) if not special]
        return tuple(
            (query, key)
            for query, key in permutations(places, 2)
            if set(owners[query]).isdisjoint(owners[key])
        )


def annotated(source: str, filters: Filters = PAPER) -> Iterator[Annotated]:
    """The examples of FrameNet's lexical units, or the synthetic world's look-alike.

    Args:
        source: as a study has it. The hub has no FrameNet: there NLTK's copy of release 1.7 is
            taken, and core elements are those of core sets where the filters are the notebook's.

    Raises:
        BertstudyError: the data is not there.
    """
    if source != "hub":
        return framenet(source, origin="lu")
    try:
        return nltk_framenet(core_sets=filters == RELEASED)
    except BertstudyError as error:
        raise BertstudyError(
            f"the hub has no FrameNet, and {error}; or name a folder with framenet in it as source"
        ) from error


def corpus(study: "Study") -> str:
    """What `annotated` reads, in words: the data's own title."""
    if study.edition.source == "hub":
        return "FrameNet 1.7, by NLTK's reader"
    return framenet_release(study.edition.source)


def frame_sentences(
    study: "Study", pairs: Sequence[FramePair]
) -> tuple[list[FrameSentence], Encoded]:
    """The sentences that have annotated pairs, each once, and the same as model inputs.

    A sentence whose elements or predicate have no word piece, as where the tokenizer knows none
    of a word's characters, is left out.
    """
    by_text: dict[str, list[FramePair]] = defaultdict(list)
    for pair in pairs:
        by_text[pair.text.text].append(pair)
    texts = [(group[0].text,) for group in by_text.values()]
    aligned = align(study.tokenizer, texts, longest_input(study.config))
    every = map(_linked, aligned, by_text.values())
    kept = [sentence for sentence in every if sentence.links]
    ids = [list(sentence.aligned.ids) for sentence in kept]
    segments = [[0] * len(row) for row in ids]
    return kept, Encoded(ids, segments, np.zeros(len(ids), int), study.tokenizer.pad_token_id)


def _linked(aligned: Aligned, pairs: Sequence[FramePair]) -> FrameSentence:
    pieces = [(aligned.pieces_of(0, p.element), aligned.pieces_of(0, p.target)) for p in pairs]
    links = dict.fromkeys(link for both in pieces for link in product(*both))
    first = dict.fromkeys(link for both in pieces for link in zip(*both, strict=False))
    return FrameSentence(aligned, tuple(links), tuple(first))


def examples(study: "Study", count: int = 5) -> list[Annotated]:
    """A few annotated sentences that pass the paper's filters and may be shown, each of another
    frame: the synthetic world's, or our own from `own_frames.yaml`, since FrameNet's stay with it.
    """
    source = study.edition.source
    pairs, _ = frame_pairs(annotated(source) if source == "synthetic" else _own_frames())
    by_frame = {pair.frame: pair.text for pair in reversed(pairs)}  # the first of each frame
    return list(by_frame.values())[::-1][:count]


def _own_frames() -> Iterator[Annotated]:
    for entry in yaml.safe_load(OWN_FRAMES.read_text(encoding="utf-8")):
        text = entry["text"]
        words = tuple(Word(m.group(), *m.span()) for m in re.finditer(r"\w+|[^\w\s]", text))
        elements = tuple(
            Element(name, *_span(text, part), core=True) for name, part in entry["elements"].items()
        )
        yield Annotated(
            text, words, (Frame(entry["frame"], (_span(text, entry["target"]),), elements),)
        )


def _span(text: str, part: str) -> tuple[int, int]:
    start = text.index(part)
    return start, start + len(part)


# Random pairs ---------------------------------------------------------------------------------


def redraw(
    links: Sequence[Link],
    pairs: Sequence[Link],
    shared: Callable[[Link], int],
    rng: np.random.Generator,
) -> list[Link]:
    """As many pairs of the sentence as there are links, that share with each what they should.

    Of k links that share one value, k different pairs are drawn from all that share it, the links
    themselves among them: if being annotated meant nothing, links and draws could be exchanged.

    Args:
        pairs: to draw from, the links among them.
        shared: the value of a pair, such as its distance.
    """
    among: dict[int, list[Link]] = defaultdict(list)
    for pair in pairs:
        among[shared(pair)].append(pair)
    drawn = []
    for value, count in Counter(map(shared, links)).items():
        chosen = rng.choice(len(among[value]), count, replace=False)
        drawn += [among[value][index] for index in chosen]
    return drawn


def distance(link: Link) -> int:
    """Signed: positive where the key comes after the query."""
    return link[1] - link[0]


def predicate(link: Link) -> int:
    """The key's place, which is the predicate's in a link."""
    return link[1]


# Reading maps ---------------------------------------------------------------------------------


def link_attention(
    model: "PreTrainedModel", sentences: Sequence[FrameSentence], data: Encoded
) -> dict[str, np.ndarray]:
    """Largest attention between linked pieces, beside the same of random pairs.

    Args:
        data: the sentences as model inputs, in the same order.

    Returns:
        For each of `READINGS` ``[sentence, layer, head, 1 + draw]``: the annotated links first,
        then `DRAWS` draws.
    """
    drawn = [_readings(sentence, number) for number, sentence in enumerate(sentences)]

    def prepare(rows: np.ndarray, length: int) -> Gold:
        return {name: _padded([drawn[row][name] for row in rows], length) for name in READINGS}

    return stream(model, data, _largest, prepare)


def _readings(sentence: FrameSentence, number: int) -> dict[str, list[list[Link]]]:
    """For each reading its links and the draws that stand for them, ``[1 + draw][link]``."""
    rng, pairs = np.random.default_rng([SEED, number]), sentence.pairs

    def with_draws(links: Sequence[Link], shared: Callable[[Link], int]) -> list[list[Link]]:
        draws = (redraw(links, pairs, shared, rng) for _ in range(DRAWS))
        return [list(links), *draws]

    main = with_draws(sentence.links, distance)
    return {
        MAIN: main,
        ANY_WORD: with_draws(sentence.links, predicate),
        "predicate to element": [[(key, query) for query, key in links] for links in main],
        "first pieces": with_draws(sentence.first, distance),
    }


def _padded(groups: list[list[list[Link]]], length: int) -> Tensor:
    """Flat places in maps of ``length``, ``[batch, 1 + draw, link]``.

    Repeating a link fills the gaps: the largest of all is the same.
    """
    most = max(len(links) for group in groups for links in group)
    return torch.tensor(
        [
            [
                [q * length + k for q, k in links + links[:1] * (most - len(links))]
                for links in group
            ]
            for group in groups
        ]
    )


def _largest(probs: Tensor, site: Site, gold: Gold) -> Mapping[str, Tensor]:
    """The largest weight of each group of links, ``[batch, head, 1 + draw]``."""
    flat = probs.flatten(2)[:, :, None]  # [batch, head, 1, query × key]

    def of(places: Tensor) -> Tensor:  # [batch, 1 + draw, link]
        shape = (-1, probs.size(1), places.size(1), -1)
        wide = flat.expand(-1, -1, places.size(1), -1)
        return wide.gather(-1, places[:, None].expand(shape)).amax(-1)

    return {name: of(places) for name, places in gold.items()}


# The corrected test ---------------------------------------------------------------------------


def corrected_p(
    values: np.ndarray, relabellings: int = RELABELLINGS, seed: int = SEED
) -> np.ndarray:
    r"""For each head, how easily chance alone makes *some* head stand out so far from its draws.

    If being annotated meant nothing, the links of a sentence and its D draws could be exchanged.
    So let $\tilde x_{sdh}$ be the values minus their mean over links and draws; then

    $$z_h = \sum_s \tilde x_{s0h} \Big/ \sqrt{\sum_s \tfrac1{D+1}\sum_d \tilde x_{sdh}^2}$$

    is compared with the largest such sum of any head, where in each sentence a draw at random, the
    same for all heads, stands in for the links (Westfall & Young 1993, "max T", one-sided).
    Heads need be neither independent nor normal, and the chance of one false head or more is at
    most the level, however many heads there are.

    Args:
        values: ``[sentence, layer, head, 1 + draw]``, the links first.

    Returns:
        ``[layer, head]``, corrected for all heads; 1 where a head's values never differ.
    """
    sentences, *grid, options = values.shape
    flat = np.moveaxis(values, -1, 1).reshape(sentences, options, -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    spread = np.sqrt((flat**2).mean(1).sum(0))
    flat /= np.where(spread > 0, spread, np.inf)
    rng, rows = np.random.default_rng(seed), np.arange(sentences)
    largest = np.array(
        [
            flat[rows, rng.integers(options, size=sentences)].sum(0).max()
            for _ in range(relabellings)
        ]
    )
    observed = flat[:, 0].sum(0)
    # A head that says nothing has 0, as has one that stands out not at all.
    as_far = (largest[:, None] >= observed).sum(0)
    found = np.where(spread > 0, (1 + as_far) / (1 + relabellings), 1.0)
    return found.reshape(grid)


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
            "without_choice": sum(map(_has_no_choice, sentences)),
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


def _has_no_choice(sentence: FrameSentence) -> bool:
    """Whether every draw of pairs at the links' distances gives the links."""
    at = Counter(map(distance, sentence.pairs))
    return all(
        at[value] == count for value, count in Counter(map(distance, sentence.links)).items()
    )


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
    ``lead`` is annotated minus random, ``passes`` whether the corrected p is below `LEVEL`.
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
    return table.assign(passes=table["p"] < LEVEL)


def highest(record: Record, count: int = 2) -> list[tuple[int, int]]:
    """0-based layer and head of those with the most frame attention, highest first."""
    return [divmod(index, _width(record)) for index in _ranked(_whole(record))[:count].tolist()]


def summary(records: Sequence[Record]) -> pd.DataFrame:
    """Each set of filters and each reading in a line, with the head that is highest in it.

    Layers and heads are 1-based; the last column counts heads that pass the corrected test.
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


NAMED_HEADS = ((0, 1), (6, 5))  # of the released notebook: layer 1 head 2, layer 7 head 6


def rank_of_named_frame_heads(records: Sequence[Record]) -> np.ndarray:
    """The larger rank of the two heads named; NaN where the model is too small for them."""
    record = _main(records)
    width = _width(record)
    order = _ranked(_whole(record)).tolist()
    if any(head >= width or layer * width >= len(order) for layer, head in NAMED_HEADS):
        return np.array([np.nan])
    return np.array([1.0 + max(order.index(layer * width + head) for layer, head in NAMED_HEADS)])


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
    return pd.DataFrame(
        {"quantity": function.__name__, "task": "", "seed": fold, "value": float(value)}
        for function in OF_THE_ENCODER
        for fold, value in enumerate(function(records))
    )


def effects(records: Sequence[Record]) -> pd.DataFrame:
    """`effect_of_frame_heads` by task and seed: columns ``quantity task seed value``."""
    name, rows = effect_of_frame_heads.__name__, []
    for task, swept in _swept(records).items():
        found = effect_of_frame_heads([_main(records), *swept])
        rows += [
            {"quantity": name, "task": task, "seed": r.recipe["model"]["seed"], "value": value}
            for r, value in zip(swept, found, strict=True)
        ]
    return pd.DataFrame(rows)
