"""SWAG: somebody did something; which of four endings follows from it?"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import Builder, Node, Sentence, Style, assemble, voices
from bertstudy.synthetic.meaning import ROLES, Compound, Event, Meaning, State, Thing
from bertstudy.synthetic.tasks.draws import Draw, Row, Spec, edited, style_of

if TYPE_CHECKING:
    import datasets

_ENDINGS = ("ending0", "ending1", "ending2", "ending3")
_LABELS = ("0", "1", "2", "3")
_WEAKEN: tuple[world.Edit, ...] = (world.generalise_noun, world.generalise_verb,
                                   world.generalise_place, world.drop_detail)  # fmt: skip
_FALSE: tuple[world.Edit, ...] = (world.swap_roles, world.other_noun, world.other_verb,
                                  world.other_quality, world.other_number,
                                  world.other_setting)  # fmt: skip
_OTHER_GOODS: tuple[world.Edit, ...] = (world.other_noun, world.other_noun, world.other_number,
                                        world.other_quality)  # fmt: skip
_TWO_EVENTS = 0.7  # share of first sentences that tell of something else too
_UNRELATED = 0.1  # share that may have something else as a wrong ending


@dataclass(frozen=True)
class _Happening:
    """What the first sentence says, what was then the case, and what follows from that."""

    told: Event
    fact: Event  # told without its plan: failed to sell is not sold
    gold: Event | State
    why: str


def _swag(draw: Draw, number: int) -> Row | None:
    """The right ending's place goes round with the row's ``number``: no place is commoner."""
    label = number % len(_ENDINGS)
    found = _happening(draw)
    # Furniture has no number: some furniture is as true of four chairs as any other count.
    if found is None or any(t.noun in lexicon.MASS for t in _things(found.gold)):
        return None
    about = draw.rng.choice(_subjects(found.gold))
    second = _second(draw, found)
    wrong: list[Event | State] = []
    for meaning in _wrong_endings(draw, found, second):
        if about in _subjects(meaning) and meaning not in (*wrong, found.gold, found.fact):
            wrong.append(meaning)
        if len(wrong) == 3:
            told = _beside(draw, found.told, second)
            endings = [*wrong[:label], found.gold, *wrong[label:]]
            return _told(draw, told, about, endings, Row((), label, found.why))
    return None


# --------------------------------------------------------------------------------------------
# What follows, and what does not
# --------------------------------------------------------------------------------------------


def _happening(draw: Draw) -> _Happening | None:
    chance = draw.rng.random()
    if chance < 0.15:
        return _planned(draw, draw.event(0.3, lambda verb: bool(verb.theme)))
    if chance < 0.24:
        event = draw.event(0.3, lambda verb: bool(verb.result))
        after, why = world.outcome(event, draw.rng), "outcome"
    elif chance < 0.32:
        event = draw.event(0.3, lambda verb: verb.key in world.KINDLY | world.UNKINDLY)
        after, why = _reaction(draw, event), "reaction"
    else:
        event = draw.event(0.3, lambda verb: bool(verb.theme))
        after, why = (event, "same") if chance < 0.56 else edited(event, _WEAKEN, draw.rng)
    return after and _Happening(event, event, after, why)


def _second(draw: Draw, found: _Happening) -> Event | None:
    """Often the first sentence tells of something else too, whose words mislead."""
    if not draw.chance(_TWO_EVENTS):
        return None
    event = replace(draw.event(0.0, lambda verb: bool(verb.theme)), manner="")
    nouns = {t.noun for t in _things(event)}
    is_apart = nouns.isdisjoint(t.noun for t in _things(found.fact))
    known = (found.fact.verb, lexicon.VERBS[found.fact.verb].isa)  # who smashed it damaged it
    return event if is_apart and event.verb not in known else None


def _things(meaning: Event | State) -> list[Thing]:
    if isinstance(meaning, State):
        return [meaning.subject]
    return [t for t in (meaning.agent, meaning.theme, meaning.recipient) if t is not None]


def _beside(draw: Draw, told: Event, second: Event | None) -> Meaning:
    if second is None:
        return told
    first, other = (told, second) if draw.chance(0.5) else (second, told)
    return Compound(draw.rng.choice(("and", "while", "because", "although")), first, other)


def _planned(draw: Draw, event: Event) -> _Happening | None:
    """Managed to: then it happened. Failed to, refused to, forgot to: then it did not."""
    plan = draw.rng.choice([v for v in world.PLANS if v.holds != "unknown"])
    fact = replace(event, negated=plan.holds == "no")
    told = replace(event, mode=plan.key)
    return _Happening(told, fact, fact, "plan") if world.is_act(event) else None


def _reaction(draw: Draw, event: Event) -> State | None:
    """Kindness pleases whom it is done to, and unkindness does not."""
    if event.verb not in world.KINDLY | world.UNKINDLY or event.negated:
        return None
    if event.theme.adjective or not event.theme.is_person:
        return None
    bad = draw.rng.choice(("angry", "sad"))
    return State(event.theme, "happy" if event.verb in world.KINDLY else bad)


def _wrong_feelings(draw: Draw, found: _Happening) -> list[Event | State]:
    """The opposite mood, and the right one denied; "not sad" would leave angry open."""
    is_gold = found.why == "reaction"
    right = found.gold if is_gold else _reaction(draw, found.fact)
    if not isinstance(right, State):
        return []
    denied = replace(right, negated=True)
    if right.quality == "happy":
        return [denied, *(replace(right, quality=mood) for mood in ("angry", "sad"))]
    return [replace(right, quality="happy"), *([denied] if is_gold else ())]


def _wrong_endings(draw: Draw, found: _Happening, second: Event | None) -> Iterator[Event | State]:
    """Meanings that do not follow, the likeliest to mislead first."""
    base = found.gold if isinstance(found.gold, Event) and found.why != "outcome" else found.fact
    results = [*_wrong_feelings(draw, found), *_wrong_results(draw, found.fact)]
    mixed = _mixed(draw, base, found.fact, second) if second else []
    others = [edit(base, draw.rng) for edit in _FALSE]
    others.append(world.wrong_owner(found.fact, draw.rng))
    others.append(world.negate(base, draw.rng))  # "did not" is mostly wrong, which words alone tell
    if draw.chance(_UNRELATED):
        others.append(_unrelated(draw, found.fact))
    if found.why in ("outcome", "reaction"):  # so that "had" and "was happy" give nothing away
        yield from draw.rng.sample(results, len(results))
    yield from draw.rng.sample(mixed, min(len(mixed), 2))
    rest = [m for m in (*others, *results) if m is not None]
    yield from draw.rng.sample(rest, len(rest))


def _mixed(draw: Draw, base: Event, fact: Event, second: Event) -> list[Event]:
    """One part of another event put in the place of its own."""
    parts = [(role, thing) for role in ROLES for thing in _things(second)
             if getattr(base, role) is not None
             and getattr(base, role) == getattr(fact, role)]  # fmt: skip
    made = [replace(base, **{role: thing}) for role, thing in parts]
    made.append(replace(base, verb=second.verb))
    return [m for m in made if world.takes(lexicon.VERBS[m.verb], m)]


def _wrong_results(draw: Draw, event: Event) -> list[Event | State]:
    """It was not broken, it was intact; she did not have the ring, she had the necklace."""
    after = None if event.negated else world.outcome(event, draw.rng)
    if after is None:
        return []
    if isinstance(after, State):
        return [replace(after, quality=world.opposite_of(after.quality)),
                replace(after, negated=True)]  # fmt: skip
    others = [edit(after, draw.rng) for edit in _OTHER_GOODS]
    return [m for m in (*others, replace(after, negated=True)) if m is not None]


def _unrelated(draw: Draw, event: Event) -> Event:
    """Something else that the same one did, perhaps to the same one."""
    cast = world.draw_cast(draw.rng, draw.rng.choice(draw.topics))
    known = tuple(t for t in (event.theme, event.recipient) if t and t.is_person)
    cast = replace(cast, people=(*cast.people[:1], *known))
    near = {event.verb, *(getattr(lexicon.VERBS[event.verb], r) for r in ("isa", "opp", "conv"))}
    return world.draw_event(draw.rng, cast, 0.2, agent=event.agent,
                            fits=lambda verb: verb.key not in near)  # fmt: skip


# --------------------------------------------------------------------------------------------
# Telling it: one beginning, four endings about the same subject
# --------------------------------------------------------------------------------------------


def _voice_about(event: Event, thing: Thing) -> str:
    """The voice whose subject is the thing, or ""."""
    by_role = {"active": event.agent, "passive": event.theme, "converse": event.recipient}
    return next((v for v in voices(event) if by_role[v] == thing), "")


def _subjects(meaning: Event | State) -> list[Thing]:
    """Whom a sentence of the meaning can be about."""
    if isinstance(meaning, State):
        return [meaning.subject]
    return [t for t in _things(meaning) if _voice_about(meaning, t)]


def _told(
    draw: Draw, told: Meaning, about: Thing, endings: list[Event | State], row: Row
) -> Row | None:
    """The row with its sentences: the first one, and the four that it may be followed by."""
    first = draw.surface(told, lambda: style_of(told, draw.rng, 0.5))
    subject = Builder(draw.rng, Style(synonyms=0.5)).noun(about)
    lead = draw.rng.choice(("", "so"))
    whole = [_sentence(draw, meaning, about, subject, lead) for meaning in endings]
    if first is None or None in whole or len({first.text, *(s.text for s in whole)}) < 5:
        return None
    columns = _columns(draw, first, whole, row.label)
    return replace(row, sentences=(first, *whole), columns=columns)


def _sentence(
    draw: Draw, meaning: Meaning, about: Thing, subject: Node, lead: str
) -> Sentence | None:
    """The meaning told of a subject whose words are settled."""
    voice = _voice_about(meaning, about) if isinstance(meaning, Event) else "active"

    def make() -> Sentence:
        style = Style(voice, double=draw.chance(0.4), synonyms=0.5)
        root = Builder(draw.rng, style).clause(meaning)
        _give_subject(root, subject)
        if lead:
            root.before.insert(0, ("advmod", Node(lead, "ADV")))
        root.after.append(("punct", Node(".", "PUNCT")))
        return assemble(root, meaning)

    return draw.on_our_side(make)


def _give_subject(root: Node, subject: Node) -> None:
    """Overwrite the subject, in place because frames point to it."""
    own = copy.deepcopy(subject)
    child = next(c for rel, c in root.before if rel in ("nsubj", "nsubj:pass"))
    child.text, child.lemma, child.before, child.after = own.text, own.lemma, own.before, own.after


def _columns(draw: Draw, first: Sentence, whole: list[Sentence], label: int) -> dict[str, object]:
    sent2 = _beginning(whole[label])
    number = draw.rng.randrange(10**6)
    texts = {"video-id": f"story_{number}", "fold-ind": str(draw.rng.randrange(10**5)),
             "startphrase": f"{first.text} {sent2}", "sent1": first.text, "sent2": sent2,
             "gold-source": "gold"}  # fmt: skip
    endings = (s.text[len(sent2) + 1 :] for s in whole)
    return {**texts, **dict(zip(_ENDINGS, endings, strict=True)), "label": label}


def _beginning(sentence: Sentence) -> str:
    """A sentence up to the end of its subject."""
    words = sentence.words
    root = next(i for i, w in enumerate(words) if w.head == -1)
    subject = next(w for w in words if w.head == root and w.relation in ("nsubj", "nsubj:pass"))
    return sentence.text[: subject.end]


def _features() -> datasets.Features:
    import datasets

    texts = ("video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source", *_ENDINGS)
    columns = {name: datasets.Value("string") for name in texts}
    return datasets.Features({**columns, "label": datasets.ClassLabel(names=list(_LABELS))})


SPECS = {
    "swag": Spec(
        ("sent1", "sent2", *_ENDINGS),
        _LABELS,
        {"train": 3000, "validation": 500},
        (),
        _swag,
        _features,
    ),
}
