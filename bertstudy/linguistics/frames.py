"""Pairs of a frame's target and its core elements, filtered as Kovaleva et al. (2019), §4.2.

The paper takes the annotated sentences of FrameNet's lexical units, with elements "of 3 tokens
or less", drops "all the sentences longer than 12 tokens" and those "where the linked objects are
less than two tokens apart", and keeps 473. Its released notebook differs: elements that are not
core must be short and far from the target too, and anything within two tokens of the target is
too near, so that what stays is at least three tokens apart. It also calls core only the members
of the frame's core sets, which `sources.nltk_framenet` offers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bertstudy.linguistics.annotation import Annotated, Element, Frame


@dataclass(frozen=True)
class Filters:
    """What an annotated frame has to be like; numbers are in words, punctuation included."""

    longest_sentence: int = 12
    longest_element: int = 3
    apart: int = 2  # from the target to the nearest word of an element; neighbours are 1 apart
    every_element: bool = False  # the last two hold for elements that are not core as well


PAPER = Filters()
RELEASED = Filters(apart=3, every_element=True)


@dataclass(frozen=True)
class FramePair:
    """A target and one core element of its frame; both as indices of the text's words."""

    text: Annotated
    frame: str
    target: tuple[int, ...]
    name: str
    element: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """What is left after a filter: annotated frames, different sentences, core pairs."""

    name: str
    frames: int
    sentences: int
    pairs: int


@dataclass(frozen=True)
class _Candidate:
    text: Annotated
    frame: Frame
    target: tuple[int, ...]
    elements: tuple[tuple[Element, tuple[int, ...]], ...]

    @property
    def core(self) -> list[tuple[Element, tuple[int, ...]]]:
        return [(element, words) for element, words in self.elements if element.core]


def frame_pairs(
    texts: Iterable[Annotated], filters: Filters = PAPER
) -> tuple[list[FramePair], list[Step]]:
    """The pairs that pass every filter, and what was left after each.

    A frame that fails a filter goes with all its elements, as the paper drops sentences.

    Args:
        texts: may be long; only what passes is kept.

    Returns:
        Pairs in the order of ``texts``; a first step without a filter, then one per filter.
    """
    rules = _rules(filters)
    counts = [[0, 0] for _ in range(len(rules) + 1)]
    sentences: list[set[str]] = [set() for _ in counts]
    pairs: list[FramePair] = []
    for candidate in (_candidate(text, frame) for text in texts for frame in text.frames):
        passed = _passed(candidate, list(rules.values()))
        for step in range(passed + 1):
            counts[step][0] += 1
            counts[step][1] += len(candidate.core)
            sentences[step].add(candidate.text.text)
        if passed == len(rules):
            pairs += _pairs(candidate)
    names = ["annotated frames", *rules]
    steps = [
        Step(name, frames, len(seen), links)
        for name, (frames, links), seen in zip(names, counts, sentences, strict=True)
    ]
    return pairs, steps


def _rules(filters: Filters) -> dict[str, Callable[[_Candidate], bool]]:
    def judged(candidate: _Candidate) -> list[tuple[int, ...]]:
        chosen = candidate.elements if filters.every_element else candidate.core
        return [words for _, words in chosen]

    kind = "every element" if filters.every_element else "core elements"
    return {
        "target in one piece": lambda c: len(c.frame.targets) == 1,
        "a core element": lambda c: bool(c.core),
        f"{kind} of at most {filters.longest_element} tokens": lambda c: all(
            len(words) <= filters.longest_element for words in judged(c)
        ),
        f"sentence of at most {filters.longest_sentence} tokens": lambda c: (
            len(c.text.words) <= filters.longest_sentence
        ),
        f"{kind} at least {filters.apart} tokens from the target": lambda c: all(
            _distance(c.target, words) >= filters.apart for words in judged(c)
        ),
    }


def _candidate(text: Annotated, frame: Frame) -> _Candidate:
    target = tuple(word for span in frame.targets for word in text.words_in(*span))
    found = tuple((e, text.words_in(e.start, e.end)) for e in frame.elements)
    return _Candidate(text, frame, target, found)


def _passed(candidate: _Candidate, rules: list[Callable[[_Candidate], bool]]) -> int:
    """How many rules hold before the first that does not."""
    failing = (number for number, rule in enumerate(rules) if not rule(candidate))
    return next(failing, len(rules))


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Tokens from the nearest word of one to the nearest of the other; 0 where they overlap."""
    return min((abs(i - j) for i in one for j in other), default=0)


def _pairs(candidate: _Candidate) -> list[FramePair]:
    c = candidate
    return [FramePair(c.text, c.frame.name, c.target, e.name, words) for e, words in c.core]
