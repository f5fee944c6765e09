"""WNLI: whom does a pronoun mean? Only what the world is like can tell.

As in the Winograd schemas (Levesque et al., 2012) one other word of the sentence turns the answer
round: before or after the ring was sold, managed or failed to sell it, happy or kind. The event is
told in any voice, so that the answer is a role, not a place in the sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import Builder, Node, Sentence, Style, assemble, draw_style
from bertstudy.synthetic.meaning import Compound, Event, State, Thing
from bertstudy.synthetic.tasks.draws import PAIR, Draw, Row, Spec, style_of

_GIVEN = lexicon.words_of("sell lend give")
_ACTS = frozenset(v.key for v in world.TOLD if v.frame not in world.STATIVE)
# What speaks of the one who does it: one may thank somebody because that other one is kind.
_CHARACTERS = {
    **dict.fromkeys(("help", "rescue", "cure", "defend", "release"), "kind"),
    **dict.fromkeys(("hit", "kick", "punch", "harm", "injure", "attack", "deceive"), "cruel"),
}


@dataclass(frozen=True)
class _Schema:
    """An event, what is then said of a pronoun, and the role of the one it means."""

    event: Event
    connective: str
    is_first: bool  # the event comes first: after she ..., he ...
    said: Event | State  # its subject is the one who is meant
    right: Thing
    other: Thing


def _wnli(draw: Draw, label: int) -> Row | None:
    make = draw.rng.choice((_reaction, _character, _owner_in_time, _owner_by_plan))
    schema = make(draw)
    pronoun = schema and _pronoun(draw, schema)
    if not pronoun:
        return None
    first = _told(draw, schema, pronoun)
    whom = schema.right if label else schema.other
    claim = _said_of(schema.said, _definite(whom), _given(schema))
    second = draw.surface(claim, lambda: style_of(claim, draw.rng, 0.0))
    return first and second and Row((first, second), label, make.__name__[1:])


# --------------------------------------------------------------------------------------------
# The schemas
# --------------------------------------------------------------------------------------------


def _reaction(draw: Draw) -> _Schema:
    """Because the nurse rescued the sailor, he was happy."""
    event = draw.event(0.0, lambda verb: verb.key in _ACTS & (world.KINDLY | world.UNKINDLY))
    mood = "happy" if event.verb in world.KINDLY else draw.rng.choice(("angry", "sad"))
    connective = draw.rng.choice(("because", "after"))
    return _Schema(event, connective, True, State(event.theme, mood), event.theme, event.agent)


def _character(draw: Draw) -> _Schema:
    """The nurse rescued the sailor because she was kind."""
    event = draw.event(0.0, lambda verb: verb.key in _CHARACTERS)
    said = State(event.agent, _CHARACTERS[event.verb])
    return _Schema(event, "because", False, said, event.agent, event.theme)


def _owner_in_time(draw: Draw) -> _Schema:
    """Before the nurse sold the ring to the sailor, she had it; afterwards he did."""
    event = draw.event(0.0, lambda verb: verb.key in _GIVEN)
    connective = draw.rng.choice(("before", "after"))
    return _owner(event, connective, connective == "after")


def _owner_by_plan(draw: Draw) -> _Schema:
    """Because the nurse failed to sell the ring to the sailor, she had it."""
    event = draw.event(0.0, lambda verb: verb.key in _GIVEN)
    is_given = draw.chance(0.5)
    plan = draw.rng.choice([v.key for v in world.PLANS if v.holds == ("yes" if is_given else "no")])
    return _owner(replace(event, mode=plan), "because", is_given)


def _owner(event: Event, connective: str, is_given: bool) -> _Schema:
    one, two = event.recipient, event.agent
    right, other = (one, two) if is_given else (two, one)
    thing = replace(event.theme, determiner="the", adjective="")
    event = replace(event, theme=thing)
    return _Schema(event, connective, True, Event("have", right, thing), right, other)


# --------------------------------------------------------------------------------------------
# Telling them
# --------------------------------------------------------------------------------------------


def _pronoun(draw: Draw, schema: _Schema) -> str:
    """A pronoun that either of the two could be; "" if there is none."""
    people = (schema.right, schema.other)
    if any(t.plural or t.adjective or not t.is_person for t in people):
        return ""
    known = {lexicon.gender(t.noun) for t in people} - {""}
    options = [p for p, gender in (("he", "m"), ("she", "f")) if known <= {gender}]
    return draw.rng.choice(options) if options else ""


def _definite(thing: Thing) -> Thing:
    return replace(thing, determiner="the") if thing.determiner else thing


def _given(schema: _Schema) -> Thing | None:
    return schema.said.theme if isinstance(schema.said, Event) else None


def _said_of(said: Event | State, whom: Thing, what: Thing | None) -> Event | State:
    """What is said, of somebody, and of something where it says who had it."""
    if isinstance(said, State):
        return replace(said, subject=whom)
    return replace(said, agent=whom, theme=what)


def _told(draw: Draw, schema: _Schema, pronoun: str) -> Sentence | None:
    said = _said_of(schema.said, Thing(pronoun, ""), Thing("it", ""))
    meaning = Compound(schema.connective, said, schema.event)

    def make() -> Sentence:
        root = _joined(draw, schema, said)
        root.after.append(("punct", Node(".", "PUNCT")))
        return assemble(root, meaning)

    return draw.on_our_side(make)


def _joined(draw: Draw, schema: _Schema, said: Event | State) -> Node:
    """Both clauses; the one with the pronoun comes second."""
    event = Builder(draw.rng, draw_style(schema.event, draw.rng, 0.0)).clause(schema.event)
    about = Builder(draw.rng, Style(synonyms=0.0)).clause(said)
    subordinate, head = (event, about) if schema.is_first else (about, event)
    subordinate.before.insert(0, ("mark", Node(schema.connective, "SCONJ")))
    if schema.is_first:
        head.before[:0] = [("advcl", subordinate), ("punct", Node(",", "PUNCT"))]
    else:
        head.after.append(("advcl", subordinate))
    return head


SPECS = {
    "wnli": Spec(
        PAIR,
        ("not_entailment", "entailment"),
        {"train": 600, "validation": 70},  # as few as the real one: about its size
        (0.5, 0.5),
        _wnli,
    ),
}
