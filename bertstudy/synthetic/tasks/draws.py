"""What the row makers of all tasks share: a row, a draw, a task's description, and pairs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import Sentence, Style, draw_style, realise
from bertstudy.synthetic.meaning import Event, Meaning

if TYPE_CHECKING:
    import datasets

PAIR = ("sentence1", "sentence2")
_TRIES = 8  # surfaces drawn before a meaning is given up, because of its split
TOPICS = tuple(t for t in lexicon.TOPICS if t not in lexicon.HELD_OUT_TOPICS)


@dataclass(frozen=True)
class Row:
    """One example before it is turned into columns."""

    sentences: tuple[Sentence, ...]
    label: int | float
    why: str  # which construction made it, for tests and for error analysis
    # Every column, where the task's layout is its own (`Spec.features`).
    columns: Mapping[str, object] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Draw:
    """What a task's row maker may use."""

    rng: random.Random
    split: str  # train or validation: which side of the world
    topics: tuple[str, ...]

    def surface(self, meaning: Meaning, make_style: Callable[[], Style | None]) -> Sentence | None:
        """A surface of the meaning on our side of the split, if a few tries find one."""
        return self.on_our_side(lambda: realise(meaning, self.rng, make_style()))

    def on_our_side(self, make: Callable[[], Sentence]) -> Sentence | None:
        """The first sentence made that is on our side of the split, if a few tries find one."""
        made = (make() for _ in range(_TRIES))
        return next((s for s in made if world.side(s.text) == self.split), None)

    def event(self, details: float,
              fits: Callable[[lexicon.Verb], bool] = world.any_verb) -> Event:  # fmt: skip
        """An event with a fresh cast; ``fits`` restricts the verbs."""
        cast = world.draw_cast(self.rng, self.rng.choice(self.topics))
        return world.draw_event(self.rng, cast, details, fits=fits)

    def recast(self, event: Event) -> Event | None:
        """The same act by and to others, of any of the topics; None where nobody fits."""
        return world.recast(event, self.rng.choice(self.topics), self.rng)

    def chance(self, share: float) -> bool:
        """True in that share of calls."""
        return self.rng.random() < share


@dataclass(frozen=True)
class Spec:
    """A task: its columns and labels as on the hub, its sizes, and its row maker."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]  # empty for a score
    sizes: dict[str, int]
    shares: tuple[float, ...]  # of the labels, in their order; empty: make gets the row's number
    make: Callable[[Draw, int], Row | None]  # None: this draw came to nothing, try again
    # The layout where it is not GLUE's (sentences, label, idx); rows then bring their columns.
    features: Callable[[], datasets.Features] | None = None
    # Where the validation set has other topics, word counts learnt in training say less about it.
    validation_topics: tuple[str, ...] = TOPICS
    # What the rows of both labels have alike: they come in pairs of which it is the same. Only for
    # two labels, and in place of ``shares``.
    alike: Callable[[Row], object] | None = None


_CONTENT = frozenset({"NOUN", "PROPN", "VERB", "ADJ", "ADV", "NUM"})


def wording(row: Row) -> tuple[int | bool, ...]:
    """What two sentences have in common as strings of words.

    How many content words both have, only the first, only the second; and which names its agent
    with "by".
    """
    one, two = ({w.text.lower() for w in s.words if w.pos in _CONTENT} for s in row.sentences)
    by = (any(w.relation == "obl:agent" for w in s.words) for s in row.sentences)
    return len(one & two), len(one - two), len(two - one), *by


def edited(
    event: Event, edits: tuple[world.Edit, ...], rng: random.Random
) -> tuple[Event | None, str]:
    """The first edit in random order that applies, and its name."""
    for edit in rng.sample(edits, len(edits)):
        changed = edit(event, rng)
        if changed is not None and changed != event:
            return changed, edit.__name__
    return None, ""


def pair(draw: Draw, first: Meaning, second: Meaning, label: int | float, why: str,
         synonyms: float = 0.5) -> Row | None:  # fmt: skip
    """A row of two surfaces that differ; None where the split allows none."""
    one = draw.surface(first, lambda: style_of(first, draw.rng, synonyms))
    two = one and draw.surface(second, lambda: style_of(second, draw.rng, synonyms))
    return Row((one, two), label, why) if two and one.text != two.text else None


def style_of(meaning: Meaning, rng: random.Random, synonyms: float) -> Style:
    """A style fit for the meaning."""
    if isinstance(meaning, Event):
        return draw_style(meaning, rng, synonyms)
    return Style(front=rng.choice(("", "clause")), synonyms=synonyms)
