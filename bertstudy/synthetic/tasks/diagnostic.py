"""AX, GLUE's diagnostic set: small pairs, each about one way in which sentences follow.

Categories after Wang et al. (2018, arXiv:1804.07461): lexical semantics, predicate-argument
structure, logic and knowledge; `Row.why` names them. On the hub the labels are withheld (-1); here
they are known and given. There is nothing to train on: a model of MNLI answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import DOUBLE_OBJECT, NO_PASSIVE, Style
from bertstudy.synthetic.meaning import Compound, Event, Meaning, State, Thing
from bertstudy.synthetic.tasks.draws import Draw, Row, Spec, edited

ENTAILED, NEUTRAL, CONTRADICTED = 0, 1, 2
LABELS = ("entailment", "neutral", "contradiction")
_ROWS = 600

Told = tuple[Meaning, Style]
Maker = Callable[[Draw], tuple[Told, Told] | None]


def _plain(meaning: Meaning, **style: object) -> Told:
    """Active, in the usual words, except as ``style`` says."""
    return meaning, replace(Style(synonyms=0.0), **style)


def _turned(make: Maker) -> Maker:
    """Premise and hypothesis the other way round."""

    def turned(draw: Draw) -> tuple[Told, Told] | None:
        told = make(draw)
        return told and told[::-1]

    return turned


def _edit(*edits: world.Edit, details: float = 0.4) -> Maker:
    """An event and the same after one of the edits."""

    def make(draw: Draw) -> tuple[Told, Told] | None:
        event = draw.event(details)
        other, _ = edited(event, edits, draw.rng)
        return other and (_plain(event), _plain(other))

    return make


# --------------------------------------------------------------------------------------------
# Lexical semantics and predicate-argument structure
# --------------------------------------------------------------------------------------------


def _synonyms(draw: Draw) -> tuple[Told, Told]:
    event = draw.event(0.4)
    return _plain(event), _plain(event, synonyms=1.0)


def _told_as(
    fits: Callable[[lexicon.Verb], bool], is_swapped: bool = False, **style: object
) -> Maker:
    """An event told another way; ``is_swapped`` also turns round who did it to whom."""

    def make(draw: Draw) -> tuple[Told, Told] | None:
        event = draw.event(0.4, fits)
        other = world.swap_roles(event, draw.rng) if is_swapped else event
        return other and (_plain(event), _plain(other, **style))

    return make


def _has_passive(verb: lexicon.Verb) -> bool:
    return bool(verb.theme) and verb.key not in NO_PASSIVE


def _has_converse(verb: lexicon.Verb) -> bool:
    return bool(verb.conv)


def _has_dative(verb: lexicon.Verb) -> bool:
    return verb.key in DOUBLE_OBJECT


def _described(draw: Draw) -> tuple[Told, Told] | None:
    """The nurse who slept sang: the nurse slept."""
    event = draw.event(0.0, lambda verb: verb.agent == "person")
    if event.agent.noun not in lexicon.NOUNS:
        return None
    event = replace(event, manner="")
    other = replace(draw.event(0.0, _is_alone), agent=event.agent, manner="")
    subject = replace(event.agent, doing=other)
    return _plain(replace(event, agent=subject)), _plain(draw.rng.choice((event, other)))


def _is_alone(verb: lexicon.Verb) -> bool:
    return not verb.theme


# --------------------------------------------------------------------------------------------
# Logic
# --------------------------------------------------------------------------------------------


def _planned(verb: str, negated: bool, denies: bool = False) -> Maker:
    """Did (not) manage, fail, forget ... to do it; ``denies``: the hypothesis is that it was not
    done."""

    def make(draw: Draw) -> tuple[Told, Told]:
        event = _act(draw)
        premise = replace(event, mode=verb, negated=negated)
        return _plain(premise), _plain(replace(event, negated=denies))

    return make


def _act(draw: Draw) -> Event:
    return draw.event(0.3, lambda v: v.agent == "person" and v.frame not in world.STATIVE)


def _linked(connective: str, denies: bool = False) -> Maker:
    """Two clauses and one of them; ``denies``: and that one of them was not so."""

    def make(draw: Draw) -> tuple[Told, Told]:
        one, two = (replace(draw.event(0.0), manner="") for _ in range(2))
        single = replace(draw.rng.choice((one, two)), negated=denies)
        return _plain(Compound(connective, one, two)), _plain(single)

    return make


def _quantified(first: str, second: str) -> Maker:
    """The same act of ``first`` and ``second`` of its agents: every, no, a, three ..."""

    def make(draw: Draw) -> tuple[Told, Told] | None:
        event = draw.event(0.4, _is_alone)
        noun = event.agent.noun
        if noun not in lexicon.NOUNS:
            return None
        one, two = (replace(event, agent=Thing(noun, _number(draw, d))) for d in (first, second))
        return _plain(one), _plain(two)

    return make


def _number(draw: Draw, determiner: str) -> str:
    return draw.rng.choice(lexicon.NUMBERS) if determiner == "number" else determiner


# --------------------------------------------------------------------------------------------
# Knowledge
# --------------------------------------------------------------------------------------------


def _outcome(is_true: bool) -> Maker:
    """What an act leaves behind: broken, had by the buyer; or the opposite of that."""

    def make(draw: Draw) -> tuple[Told, Told] | None:
        event = draw.event(0.4, lambda verb: bool(verb.result))
        after = world.outcome(event, draw.rng)
        if after is None:
            return None
        return _plain(event), _plain(after if is_true else replace(after, negated=True))

    return make


def _kind(relation: str) -> Maker:
    """The old animal was a poodle: it was a dog, and not a cat."""

    def make(draw: Draw) -> tuple[Told, Told] | None:
        noun = draw.rng.choice([n for n in lexicon.NOUNS if world.parent(world.parent(n))])
        kind = world.parent(noun)
        # People may be of two trades at once.
        beside = () if lexicon.is_kind(noun, "person") else lexicon.sisters(noun)
        others = (kind,) if relation == "above" else beside
        if not others or {kind, world.parent(kind)} & lexicon.MASS:
            return None
        options = ("", *(a.key for a in lexicon.adjectives_of(world.parent(kind))))
        subject = Thing(world.parent(kind), adjective=draw.rng.choice(options))
        one, two = (State(subject, Thing(n, "a")) for n in (noun, draw.rng.choice(others)))
        return _plain(one), _plain(two)

    return make


# --------------------------------------------------------------------------------------------
# Rows
# --------------------------------------------------------------------------------------------

_UP = _edit(world.generalise_noun, world.generalise_verb, world.generalise_place)
_SHORTER = _edit(world.drop_detail, details=0.7)
MAKERS: tuple[tuple[str, int, Maker], ...] = (
    ("synonyms", ENTAILED, _synonyms),
    ("hypernyms", ENTAILED, _UP),
    ("hypernyms", NEUTRAL, _turned(_UP)),
    ("hypernyms", ENTAILED, _edit(world.unname)),
    ("opposites", CONTRADICTED, _edit(world.other_verb)),
    ("opposites", CONTRADICTED, _edit(world.other_quality)),
    ("modifiers", ENTAILED, _SHORTER),
    ("modifiers", NEUTRAL, _turned(_SHORTER)),
    ("voice", ENTAILED, _told_as(_has_passive, voice="passive")),
    ("voice", ENTAILED, _turned(_told_as(_has_passive, voice="passive"))),
    ("voice", NEUTRAL, _told_as(_has_passive, is_swapped=True, voice="passive")),
    ("who did it", NEUTRAL, _told_as(_has_passive, is_swapped=True)),
    ("converses", ENTAILED, _told_as(_has_converse, voice="converse")),
    ("converses", NEUTRAL, _told_as(_has_converse, is_swapped=True, voice="converse")),
    ("datives", ENTAILED, _told_as(_has_dative, double=True)),
    ("datives", NEUTRAL, _told_as(_has_dative, is_swapped=True, double=True)),
    ("relative clauses", ENTAILED, _described),
    ("negation", CONTRADICTED, _edit(world.negate)),
    ("negation", CONTRADICTED, _turned(_edit(world.negate))),
    ("double negation", ENTAILED, _planned("fail", negated=True)),
    ("double negation", ENTAILED, _planned("forget", negated=True)),
    ("plans", CONTRADICTED, _planned("fail", negated=False)),
    ("plans", CONTRADICTED, _planned("manage", negated=True)),
    ("plans", ENTAILED, _planned("refuse", negated=False, denies=True)),
    ("plans", NEUTRAL, _planned("try", negated=False)),
    ("plans", NEUTRAL, _planned("plan", negated=False)),
    ("and", ENTAILED, _linked("and")),
    ("and", NEUTRAL, _turned(_linked("and"))),
    ("and", CONTRADICTED, _linked("and", denies=True)),
    ("or", NEUTRAL, _linked("or")),
    ("or", ENTAILED, _turned(_linked("or"))),
    ("quantity", ENTAILED, _quantified("every", "a")),
    ("quantity", NEUTRAL, _quantified("a", "every")),
    ("quantity", CONTRADICTED, _quantified("no", "a")),
    ("quantity", CONTRADICTED, _quantified("number", "no")),
    ("quantity", ENTAILED, _quantified("number", "some")),
    ("quantity", NEUTRAL, _quantified("some", "number")),
    ("outcomes", ENTAILED, _outcome(is_true=True)),
    ("outcomes", CONTRADICTED, _outcome(is_true=False)),
    ("outcomes", NEUTRAL, _turned(_outcome(is_true=True))),
    ("definitions", ENTAILED, _kind("above")),
    ("definitions", NEUTRAL, _turned(_kind("above"))),
    ("definitions", CONTRADICTED, _kind("beside")),
)


def _ax(draw: Draw, number: int) -> Row | None:
    """The makers in turn."""
    why, label, make = MAKERS[number % len(MAKERS)]
    told = make(draw)
    if told is None:
        return None
    one, two = (draw.surface(meaning, lambda style=style: style) for meaning, style in told)
    return Row((one, two), label, why) if one and two and one.text != two.text else None


SPECS = {
    "ax": Spec(
        ("premise", "hypothesis"),
        LABELS,
        {"test": _ROWS},
        (),  # no shares: the row's number decides
        _ax,
    )
}
