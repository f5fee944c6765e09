"""What a sentence of the synthetic world means, before any word of it is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from bertstudy.synthetic import lexicon

ROLES = ("agent", "theme", "recipient")  # in the order of a frame's elements
ASKING = {"who": "whom", "what": "what"}  # nouns of asked things, and their accusatives
_PLURAL = ("some", "several", "many", "how many", *lexicon.NUMBERS)


@dataclass(frozen=True)
class Thing:
    """A person, animal or object. ``noun`` is a noun concept, a name or a pronoun."""

    noun: str
    # One of lexicon.QUANTIFIERS; "" for names and pronouns; "which" or "how many" where asked.
    determiner: str = "the"
    adjective: str = ""  # an adjective concept
    doing: Event | None = None  # "who ...": an event whose agent is this thing

    @property
    def is_person(self) -> bool:
        """Whether it is "who" rather than "that"; names and pronouns count as persons."""
        return self.noun not in lexicon.NOUNS or lexicon.is_kind(self.noun, "person")

    @property
    def plural(self) -> bool:
        """Whether verbs and nouns take the plural with it."""
        is_counted = self.determiner in _PLURAL
        return self.noun == "they" or (is_counted and self.noun not in lexicon.MASS)


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


@dataclass(frozen=True)
class Question:
    """What fills the asked part of an event, or, with none asked, whether it happened.

    The asked part is a thing "who", "what", "which ..." or "how many ...", the place "where" or
    the time "when"; one at most. The event has no mode and is not negated.
    """

    event: Event

    @property
    def asked(self) -> str:
        """One of `ROLES`, "place" or "time"; "" for a yes/no question."""
        if self.event.place == "where":
            return "place"
        if self.event.time == "when":
            return "time"
        things = {role: getattr(self.event, role) for role in ROLES}
        return next((role for role, thing in things.items() if _is_asked(thing)), "")

    @property
    def counts(self) -> bool:
        """Whether a number is asked for."""
        thing = getattr(self.event, self.asked, None)
        return isinstance(thing, Thing) and thing.determiner == "how many"


def _is_asked(thing: Thing | None) -> bool:
    if thing is None:
        return False
    return thing.noun in ASKING or thing.determiner in ("which", "how many")


@dataclass(frozen=True)
class Answer:
    """A phrase, not a clause: what fills the asked part of a question in an event."""

    event: Event
    asked: str  # as `Question.asked`, but not ""
    counts: bool = False  # only the number of it


Meaning = Event | State | Attitude | Compound | Opinion | Question | Answer
