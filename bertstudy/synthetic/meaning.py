"""What a sentence of the synthetic world means, before any word of it is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from bertstudy.synthetic import lexicon


@dataclass(frozen=True)
class Thing:
    """A person, animal or object. ``noun`` is a noun concept, a name or a pronoun."""

    noun: str
    determiner: str = "the"  # one of lexicon.QUANTIFIERS; "" for names and pronouns
    adjective: str = ""  # an adjective concept
    doing: Event | None = None  # "who ...": an event whose agent is this thing

    @property
    def plural(self) -> bool:
        """Whether verbs and nouns take the plural with it."""
        is_counted = self.determiner in ("some", "several", "many", *lexicon.NUMBERS)
        return is_counted and self.noun not in lexicon.MASS


@dataclass(frozen=True)
class Event:
    """Somebody did something in the past; roles by the verb's frame."""

    verb: str
    agent: Thing
    theme: Thing | None = None
    recipient: Thing | None = None
    place: str = ""  # a place noun or a city
    time: str = ""  # one of lexicon.TIMES
    manner: str = ""  # a key of lexicon.MANNERS
    mode: str = ""  # a "plan" verb: managed to, failed to ...
    negated: bool = False


@dataclass(frozen=True)
class State:
    """Somebody or something was so: ``quality`` is an adjective concept or what it was."""

    subject: Thing
    quality: str | Thing
    negated: bool = False
    timeless: bool = False  # "a poodle is a dog" rather than "was"


@dataclass(frozen=True)
class Attitude:
    """Somebody said, knew, thought ... that something was so."""

    holder: Thing
    verb: str
    clause: Event | State


@dataclass(frozen=True)
class Compound:
    """Two clauses and a connective of lexicon.CONNECTIVES; ``second`` is the subordinate one."""

    connective: str
    first: Event | State
    second: Event | State


@dataclass(frozen=True)
class Judged:
    """One clause of opinion: a work or a part of one is judged with words of one polarity."""

    target: Thing
    words: tuple[str, ...]  # one noun or verb, or one or two adjectives
    pos: str  # ADJ, NOUN or VERB
    polarity: int  # of the words: +1 or -1
    turned: str = ""  # "not", a word of lexicon.DOUBTS, "far from" or "anything but"

    @property
    def verdict(self) -> int:
        """+1 or -1: what the clause says of its target once its negation is heard."""
        return -self.polarity if self.turned else self.polarity


@dataclass(frozen=True)
class Opinion:
    """A judgement, perhaps after a weaker one conceded: "although ..., ..." or "..., but ..."."""

    main: Judged
    conceded: Judged | None = None
    connective: str = ""  # "although" or "but"

    @property
    def verdict(self) -> int:
        """+1 or -1: the main clause decides."""
        return self.main.verdict


Meaning = Event | State | Attitude | Compound | Opinion
