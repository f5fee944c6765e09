r"""§4.2, links between a predicate and its elements, and what else a map holds of their kind.

A sentence s has annotated links R_s: pairs (i, j) of a word piece i of a core frame element and one
j of the predicate that evokes the frame. What a head with maps A has along them is

$$\max_{(i,j) \in R_s} A^{(s)}_{ij}.$$

It is held against random pairs (`nulls`), each sharing with a link its signed distance j - i, or
the predicate j. In a sentence too short for another place every draw is the links again, and such
a sentence says nothing for or against.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import yaml
from torch import Tensor

from bertstudy.attention import Site
from bertstudy.encoder import longest_input
from bertstudy.encoding import Encoded
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
    Word,
    align,
    frame_pairs,
    framenet,
    framenet_release,
    nltk_framenet,
)
from bertstudy.papers.secrets.nulls import (
    DRAWS,
    SEED,
    Link,
    distance,
    of_different_words,
    predicate,
    redraw,
)
from bertstudy.streaming import Gold, stream

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study

OWN_FRAMES = Path(__file__).parents[2] / "own_frames.yaml"

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
        """The links, and all other pairs of its word pieces that belong to different words."""
        places = [place for place, special in enumerate(self.aligned.specials) if not special]
        every = permutations(places, 2)
        apart = (pair for pair in every if of_different_words(self.aligned, pair))
        return tuple(dict.fromkeys([*self.links, *apart]))

    @property
    def has_choice(self) -> bool:
        """Whether some link has another place at its distance."""
        at = Counter(map(distance, self.pairs))
        return any(at[value] > count for value, count in Counter(map(distance, self.links)).items())


def annotated(source: str, filters: Filters = PAPER) -> Iterator[Annotated]:
    """The examples of FrameNet's lexical units, or the synthetic world's look-alike.

    Args:
        source: as a study has it. Where it has no FrameNet, as the hub has none, NLTK's copy of
            release 1.7 is taken, and core elements are those of core sets where the filters are
            the notebook's.

    Raises:
        BertstudyError: the data is not there.
    """
    if _has_frames(source):
        return framenet(source, origin="lu")
    try:
        return nltk_framenet(core_sets=filters == RELEASED)
    except BertstudyError as error:
        where = "the hub" if source == "hub" else f"the folder '{source}'"
        raise BertstudyError(
            f"{where} has no FrameNet, and {error}; or name a folder with framenet in it as source"
        ) from error


def _has_frames(source: str) -> bool:
    return source == "synthetic" or Path(source, "framenet").is_dir()


def corpus(study: "Study") -> str:
    """What `annotated` reads, in words: the data's own title, or the folder's name."""
    source = study.edition.source
    if not _has_frames(source):
        return "FrameNet 1.7, by NLTK's reader"
    try:
        return framenet_release(source)
    except BertstudyError:
        return f"{Path(source).name}/framenet, whose README.md has no title"


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
