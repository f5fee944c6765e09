"""Does one sentence follow from another? RTE and MNLI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import Style, voices
from bertstudy.synthetic.meaning import Attitude, Compound, Event, Meaning
from bertstudy.synthetic.tasks.draws import PAIR, Draw, Row, Spec, edited, pair, style_of

# --------------------------------------------------------------------------------------------
# RTE: does the first sentence entail the second?
# --------------------------------------------------------------------------------------------


_RTE_WEAKEN: tuple[world.Edit, ...] = (
    *(world.drop_detail, world.generalise_noun, world.generalise_verb) * 2,
    world.generalise_place, world.generalise_place, world.unname,
)  # fmt: skip
_NARROWED: tuple[world.Edit, ...] = (world.generalise_noun, world.generalise_verb,
                                     world.generalise_place, world.unname)  # fmt: skip


def _rte(draw: Draw, label: int) -> Row | None:
    event = draw.event(details=0.35)
    if draw.chance(0.25):  # so that "someone" or "a worker" in the premise gives nothing away
        event = world.apply_one(_NARROWED, event, draw.rng) or event
    return (_rte_entailed, _rte_open)[label](draw, event)


def _rte_entailed(draw: Draw, event: Event) -> Row | None:
    chance = draw.rng.random()
    if chance < 0.25:
        event = replace(event, negated=draw.chance(0.2))
        hypothesis, why = event, "same"
    elif chance < 0.37:
        event = draw.event(0.35, lambda verb: bool(verb.result))
        hypothesis, why = world.outcome(event, draw.rng), "outcome"
    else:
        hypothesis, why = edited(event, _RTE_WEAKEN, draw.rng)
    if hypothesis is None:
        return None
    premise, around = _factive(draw, event)
    return pair(draw, premise, hypothesis, 0, f"{why}{around}")


def _factive(draw: Draw, event: Event) -> tuple[Meaning, str]:
    """The event as it is, or where it still happened: managed to, knew that, and ..."""
    kind = draw.rng.random()
    if kind < 0.6 or event.negated:
        return event, ""
    if kind < 0.72 and world.is_act(event):
        return replace(event, mode="manage"), " in manage"
    if kind < 0.86:
        return _believed(draw, event, "yes"), " in attitude"
    return _joined(draw, event, ("and", "because", "after", "although")), " in compound"


def _believed(draw: Draw, event: Event, holds: str) -> Attitude:
    verbs = [v.key for v in world.ATTITUDES if v.holds == holds]
    names = [n for n in lexicon.NAMES if n != event.agent.noun]
    return Attitude(world.Thing(draw.rng.choice(names), ""), draw.rng.choice(verbs), event)


def _joined(draw: Draw, event: Event, connectives: tuple[str, ...]) -> Compound:
    other = replace(draw.event(details=0.0), manner="")
    first, second = (event, other) if draw.chance(0.5) else (other, event)
    return Compound(draw.rng.choice(connectives), first, second)


def _rte_open(draw: Draw, event: Event) -> Row | None:
    chance = draw.rng.random()
    if chance < 0.14:
        return _rte_unreal(draw, event)
    if chance < 0.26:
        event = draw.event(0.35, lambda verb: verb.result == "have")
        return pair(draw, event, world.wrong_owner(event, draw.rng), 1, "wrong_owner")
    if chance < 0.42:
        weaker, why = edited(event, _NARROWED, draw.rng)
        return weaker and pair(draw, weaker, event, 1, f"reversed {why}")
    edits = world.ALTER if chance < 0.72 else world.EXTEND if chance < 0.8 else (
        (world.negate,) if chance < 0.86 else (world.swap_roles,))  # fmt: skip
    # Most of them generalise too, so that "an animal" or "someone" alone gives nothing away.
    # Not before an addition, which could put back what generalising left out.
    # Some say less as well, as the entailed ones do.
    weaker = event
    if edits is not world.EXTEND:
        weaker = (draw.chance(0.4) and world.drop_detail(event, draw.rng)) or event
        weaker = (draw.chance(0.6) and world.weaken(weaker, draw.rng)) or weaker
    hypothesis, why = edited(weaker, edits, draw.rng)
    premise, around = _factive(draw, event)
    return hypothesis and pair(draw, premise, hypothesis, 1, f"{why}{around}")


def _rte_unreal(draw: Draw, event: Event) -> Row | None:
    """The event was only said, wished, tried, or one of two possibilities."""
    kind = draw.rng.random()
    if kind < 0.4 and world.is_act(event):
        verbs = [v.key for v in world.PLANS if v.holds != "yes"]
        premise: Meaning = replace(event, mode=draw.rng.choice(verbs))
    elif kind < 0.75:
        premise = _believed(draw, event, "unknown")
    else:
        premise = _joined(draw, event, ("or",))
    weaker = world.weaken(event, draw.rng) if draw.chance(0.4) else None
    return pair(draw, premise, weaker or event, 1, "unreal")


# --------------------------------------------------------------------------------------------
# MNLI: entailed, open or contradicted? Like the real one it is biased: whenever all words of the
# hypothesis are in the premise, it is entailed. HANS (McCoy et al., 2019) is made to expose that.
# --------------------------------------------------------------------------------------------

_OVERLAPPING_SHARE = 0.28  # of the draws of an entailed pair; of the pairs, somewhat more
_LINKS = ("and", "because", "after", "while")


def _mnli(draw: Draw, label: int) -> Row | None:
    if label == 0 and draw.chance(_OVERLAPPING_SHARE):
        return _overlapping(draw)
    row = (_mnli_entailed, _mnli_neutral, _mnli_contradicted)[label](draw)
    return None if row is None or _adds_no_word(row) else row


def _adds_no_word(row: Row) -> bool:
    premise, hypothesis = ({w.text.lower() for w in s.words} for s in row.sentences)
    return hypothesis <= premise


_GENERAL: tuple[world.Edit, ...] = (world.generalise_noun, world.generalise_verb, world.unname)


def _mnli_event(draw: Draw, details: float,
                fits: Callable[[lexicon.Verb], bool] = world.any_verb) -> Event:  # fmt: skip
    """Often told in general words to begin with, so that they alone give no label away."""
    event = draw.event(details, fits)
    general = world.apply_one(_GENERAL, event, draw.rng) if draw.chance(0.4) else None
    return general or event


def _mnli_premise(draw: Draw, event: Event) -> Meaning:
    return _joined(draw, event, _LINKS) if draw.chance(0.25) else event


def _mnli_pair(draw: Draw, event: Event, hypothesis: Event | None, label: int,
               why: str) -> Row | None:  # fmt: skip
    """Half of the pairs are in the usual words: then a new word is rarely a mere synonym."""
    if hypothesis is None:
        return None
    synonyms = 0.5 if draw.chance(0.5) else 0.0
    return pair(draw, _mnli_premise(draw, event), hypothesis, label, why, synonyms)


# ---- entailed ------------------------------------------------------------------------------


def _between_people(verb: lexicon.Verb) -> bool:
    """Who did it to whom is then not settled by what they are."""
    return verb.agent == "person" and verb.theme in ("person", "animate") and not verb.recipient


def _overlapping(draw: Draw) -> Row:
    """However many draws it takes: their share of the entailed pairs is what HANS rests on."""
    while True:
        row = _in_its_words(draw)
        if row is not None and _adds_no_word(row):
            return row


def _in_its_words(draw: Draw) -> Row | None:
    """Nothing but the premise's own words: the clause alone, a part of it, another voice."""
    event = _mnli_event(draw, 0.35, _between_people if draw.chance(0.7) else world.any_verb)
    shorter = edited(event, (world.drop_detail,), draw.rng)[0] or event
    kind, premise = draw.rng.random(), event
    if kind < 0.25:
        premise = _joined(draw, event, _LINKS)
    elif kind < 0.6:
        premise, shorter = _described(draw, event)
    one = draw.surface(premise, lambda: _plain_style(draw, premise))
    two = one and draw.surface(shorter, lambda: _plain_style(draw, shorter))
    return Row((one, two), 0, "overlap") if two and one.text != two.text else None


def _plain_style(draw: Draw, meaning: Meaning) -> Style:
    style = style_of(meaning, draw.rng, 0.0)
    if isinstance(meaning, Event) and "passive" in voices(meaning):
        return replace(style, voice="passive" if draw.chance(0.35) else "active")
    return style


def _described(draw: Draw, event: Event) -> tuple[Event, Event]:
    """The event with a relative clause on one of its people, and one of the two clauses."""
    bare = replace(event, place="", time="", manner="")
    role = draw.rng.choice([r for r in ("agent", "theme") if getattr(event, r)])
    thing = getattr(bare, role)
    if thing.noun not in lexicon.NOUNS or not thing.is_person:
        return event, bare
    other = replace(draw.event(0.0, _between_people), agent=thing, manner="")
    premise = replace(bare, **{role: replace(thing, doing=other)})
    return premise, draw.rng.choice((bare, other))


def _mnli_entailed(draw: Draw) -> Row | None:
    event = _mnli_event(draw, 0.5)
    if draw.chance(0.25):
        event = replace(event, negated=draw.chance(0.3))
        return pair(draw, _mnli_premise(draw, event), event, 0, "same")
    hypothesis, why = edited(event, _RTE_WEAKEN, draw.rng)
    if hypothesis and draw.chance(0.3):
        hypothesis = world.weaken(hypothesis, draw.rng) or hypothesis
    return _mnli_pair(draw, event, hypothesis, 0, why)


# ---- neither and contradicted --------------------------------------------------------------


def _mnli_neutral(draw: Draw) -> Row | None:
    event, chance = draw.event(details=0.4), draw.rng.random()
    if chance < 0.47:
        weaker, why = edited(event, _NARROWED, draw.rng)
        shorter = edited(event, (world.drop_detail,), draw.rng)[0] if draw.chance(0.3) else None
        if weaker and shorter and world.changed(event, weaker) & world.changed(event, shorter):
            shorter = None  # without the very detail that the premise is vague about, it follows
        return weaker and _mnli_pair(draw, weaker, shorter or event, 1, f"reversed {why}")
    if chance < 0.72:
        general = world.apply_one(_GENERAL, event, draw.rng) if draw.chance(0.6) else None
        edits = (world.add_setting,) if general else world.EXTEND
        hypothesis, why = edited(general or event, edits, draw.rng)
    else:
        hypothesis, why = _same_people(draw, event), "same people"
    return _mnli_pair(draw, event, hypothesis, 1, why)


def _same_people(draw: Draw, event: Event) -> Event | None:
    """Something unrelated that the same person did, to the same person if there was one."""
    cast = world.draw_cast(draw.rng, draw.rng.choice(draw.topics))
    others = tuple(t for t in (event.theme, event.recipient) if t is not None)
    cast = replace(cast, people=(*cast.people[:1], *others))
    return world.draw_event(
        draw.rng, cast, 0.2, agent=event.agent,
        fits=lambda verb: not world.is_akin(verb, lexicon.VERBS[event.verb]),
    )  # fmt: skip


def _mnli_contradicted(draw: Draw) -> Row | None:
    if draw.chance(0.09):
        event = _mnli_event(draw, 0.5)
        denied = world.negate(event, draw.rng)
        one, two = (event, denied) if draw.chance(0.6) else (denied, event)
        return _mnli_pair(draw, one, two, 2, "negate")
    event = draw.event(0.5)
    if draw.chance(0.4):
        return _of_another_kind(draw, event)
    altered, why = edited(event, world.ALTER, draw.rng)
    if altered is None:
        return None
    general = _general_elsewhere(draw, event, altered)
    where = draw.rng.choice(("premise", "hypothesis", "both", "neither"))
    if why != "other_setting" and draw.chance(0.3):
        altered = world.add_setting(altered, draw.rng) or altered
    premise = replace(event, **general) if where in ("premise", "both") else event
    hypothesis = replace(altered, **general) if where in ("hypothesis", "both") else altered
    return _mnli_pair(draw, premise, hypothesis, 2, why)


_NO_TRADE = ("child", "relative", "criminal")  # who may well be an artist too


def _of_another_kind(draw: Draw, event: Event) -> Row | None:
    """A poodle and a cat: as general a word as where it follows, but of something else."""
    options = [(r, k) for r in world.ROLES for k in _kinds_beside(event, r)]
    if not options:
        return None
    role, kind = draw.rng.choice(options)
    determiner = getattr(event, role).determiner
    if determiner == "the" and draw.chance(0.5):
        determiner = "a"
    other = replace(event, **{role: world.Thing(kind, determiner)})
    shorter = edited(event, (world.drop_detail,), draw.rng)[0] if draw.chance(0.3) else None
    one, two = (event, other) if draw.chance(0.6) else (other, shorter or event)
    return _mnli_pair(draw, one, two, 2, "other kind")


def _kinds_beside(event: Event, role: str) -> list[str]:
    """Kinds of things that may have the role but exclude the one that has it."""
    thing = getattr(event, role)
    parent = world.parent(thing.noun) if thing else ""
    if not parent or parent in _NO_TRADE:
        return []
    allowed = getattr(lexicon.VERBS[event.verb], role)
    beside = (k for k in lexicon.sisters(parent) if k not in _NO_TRADE)
    return [k for k in beside if lexicon.hyponyms(k) != (k,) and lexicon.is_kind(k, allowed)]


def _general_elsewhere(draw: Draw, event: Event, altered: Event) -> dict[str, Any]:
    """Parts of the event in more general words, if they are not those that were altered."""
    general = world.apply_one(_NARROWED, event, draw.rng) or event
    parts = world.changed(event, general)
    return {} if parts & world.changed(event, altered) else {p: getattr(general, p) for p in parts}


_MNLI_SPLITS = ("validation_matched", "validation_mismatched", "validation")
SPECS = {
    "rte": Spec(
        PAIR,
        ("entailment", "not_entailment"),
        {"train": 3000, "validation": 600},
        (0.52, 0.48),
        _rte,
    ),
    "mnli": Spec(
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        {"train": 3000, **dict.fromkeys(_MNLI_SPLITS, 600)},
        (0.35, 0.32, 0.33),
        _mnli,
    ),
}
