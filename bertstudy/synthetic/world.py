"""What happens in the synthetic world, and what follows from it.

`draw_event` invents an event for a cast. The functions after it edit an event: `weaken` gives what
it entails, `alter` something incompatible with it, `extend` something it leaves open. They work on
meanings, so the labels of the tasks never depend on words.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache

from bertstudy.synthetic import lexicon
from bertstudy.synthetic.meaning import ROLES, Event, State, Thing

Edit = Callable[[Event, random.Random], Event | None]

_EVENT_VERBS = tuple(v for v in lexicon.VERBS.values() if v.theme not in ("clause", "plan"))
TOLD = tuple(  # verbs events are drawn from: not the converses, which are only ways of telling
    v for v in _EVENT_VERBS if v.key not in {w.conv for w in lexicon.VERBS.values()}
)
PLANS = tuple(v for v in lexicon.VERBS.values() if v.theme == "plan")
ATTITUDES = tuple(v for v in lexicon.VERBS.values() if v.theme == "clause")
KINDLY = lexicon.words_of("help rescue cure praise thank adore respect trust hug defend hire greet "
                          "release amuse like invite")  # fmt: skip
UNKINDLY = lexicon.words_of("criticize blame detest despise hit kick punch harm injure bite attack "
                            "fire deceive bore dislike push capture")  # fmt: skip

# Lasting states: they do not happen somewhere, at some time, in some manner.
STATIVE = frozenset({"Experiencer_focus", "Possession", "Judgment", "Reliance", "Desiring",
                     "Retaining"})  # fmt: skip
SYMMETRIC = frozenset({"meet"})  # told either way round it is the same event


def side(text: str) -> str:
    """Which split a sentence belongs to, by its letters alone: ``train`` or ``validation``.

    Every generator keeps a sentence only on its own side, so no sentence, wherever it is drawn,
    can be in two splits.
    """
    return "train" if zlib.crc32(text.lower().encode()) & 1 else "validation"


def is_act(event: Event) -> bool:
    """Whether the event is something done, not a lasting state such as owning or hating."""
    return lexicon.VERBS[event.verb].frame not in STATIVE


# --------------------------------------------------------------------------------------------
# Casts and events
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cast:
    """Who and what may take part, and where."""

    people: tuple[Thing, ...]
    animals: tuple[Thing, ...]
    objects: tuple[Thing, ...]
    places: tuple[str, ...]


@cache
def topic_nouns(topic: str) -> tuple[tuple[str, ...], ...]:
    """The people, objects, animals and places of a topic, most specific nouns only."""
    return tuple(
        tuple(n for kind in kinds.split() for n in lexicon.hyponyms(kind) if _is_leaf(n))
        for kinds in lexicon.TOPICS[topic]
    )


@cache
def _is_leaf(noun: str) -> bool:
    return all(n.parent != noun for n in lexicon.NOUNS.values())


def draw_cast(rng: random.Random, topic: str, names: float = 0.25) -> Cast:
    """Three people, two animals, three objects, two places; ``names`` is the share of names."""
    people, objects, animals, places = topic_nouns(topic)
    chosen = rng.sample(people, 3)
    called = rng.sample(tuple(lexicon.NAMES), 3)
    persons = tuple(
        Thing(called[i], "") if rng.random() < names else draw_thing(rng, noun, 0.2, 0.1)
        for i, noun in enumerate(chosen)
    )
    beasts = tuple(draw_thing(rng, n, 0.25, 0.3) for n in _sample(rng, animals, 2))
    things = tuple(draw_thing(rng, n, 0.35, 0.4) for n in _sample(rng, objects, 3))
    where = _sample(rng, places, 2)
    if rng.random() < 0.3:
        where.append(rng.choice(lexicon.CITIES))
    return Cast(persons, beasts, things, tuple(where))


def _sample(rng: random.Random, pool: tuple[str, ...], n: int) -> list[str]:
    return rng.sample(pool, min(n, len(pool)))


def draw_thing(rng: random.Random, noun: str, adjective: float, indefinite: float) -> Thing:
    """A thing, perhaps with an adjective; ``indefinite`` is the share of articles but "the"."""
    options = lexicon.adjectives_of(noun)
    quality = rng.choice(options).key if options and rng.random() < adjective else ""
    determiner = "the"
    if rng.random() < indefinite:
        several = (*lexicon.NUMBERS, *lexicon.NUMBERS, "some", "several", "many")
        determiner = "a" if rng.random() < 0.5 else rng.choice(several)
    return Thing(noun, determiner, quality)


def any_verb(_verb: lexicon.Verb) -> bool:
    """No restriction on the verbs of `draw_event`."""
    return True


def draw_event(rng: random.Random, cast: Cast, details: float = 0.35, agent: Thing | None = None,
               fits: Callable[[lexicon.Verb], bool] = any_verb) -> Event:  # fmt: skip
    """Something that one of the cast did.

    Args:
        rng: the source of chance.
        cast: who may take part.
        details: the share of events with a place, and with a time.
        agent: who does it, if that is settled.
        fits: restricts the verbs.
    """
    while True:
        verb = rng.choice(_weighted_verbs())
        event = _fill(rng, verb, cast, agent) if fits(verb) else None
        if event is not None:
            return _with_details(rng, event, cast, details)


@cache
def _weighted_verbs() -> tuple[lexicon.Verb, ...]:
    weight = {True: 4, False: 2}
    return tuple(v for v in TOLD for _ in range(weight[bool(v.recipient)] if v.theme else 1))


def _fill(rng: random.Random, verb: lexicon.Verb, cast: Cast, agent: Thing | None) -> Event | None:
    beings = (*cast.people, *cast.people, *cast.animals)
    used: list[Thing] = []
    pools = ((verb.agent, (agent,) if agent else beings), (verb.theme, (*beings, *cast.objects)),
             (verb.recipient, cast.people))  # fmt: skip
    for kinds, pool in pools:
        if not kinds:
            continue
        free = [t for t in pool if t not in used and _can_be(t, kinds)]
        if not free:
            return None
        used.append(rng.choice(free))
    return Event(verb.key, *used)


def _can_be(thing: Thing, kinds: str) -> bool:
    if thing.noun in lexicon.NOUNS:
        return lexicon.is_kind(thing.noun, kinds)
    return not {"person", "animate", "any"}.isdisjoint(kinds.split(","))


def _with_details(rng: random.Random, event: Event, cast: Cast, details: float) -> Event:
    if not is_act(event):
        return event
    return replace(
        event,
        place=rng.choice(cast.places) if rng.random() < details else "",
        time=rng.choice(lexicon.TIMES) if rng.random() < details else "",
        manner=rng.choice(tuple(lexicon.MANNERS)) if rng.random() < details / 2 else "",
    )


# --------------------------------------------------------------------------------------------
# Editing meanings. Each edit returns None where it does not apply.
# --------------------------------------------------------------------------------------------


def _roles(event: Event) -> list[str]:
    return [r for r in ROLES if getattr(event, r) is not None]


def drop_detail(event: Event, rng: random.Random) -> Event | None:
    """Leave out a place, time, manner or adjective."""
    options = [(f, "") for f in ("place", "time", "manner") if getattr(event, f)]
    options += [(r, replace(getattr(event, r), adjective=""))
                for r in _roles(event) if getattr(event, r).adjective]  # fmt: skip
    return replace(event, **dict([rng.choice(options)])) if options else None


def generalise_noun(event: Event, rng: random.Random) -> Event | None:
    """Say only what kind of thing it was: a dog for a poodle."""
    options = [r for r in _roles(event) if parent(getattr(event, r).noun)]
    if not options:
        return None
    role = rng.choice(options)
    return replace(event, **{role: _generalised(getattr(event, role), rng)})


def parent(noun: str) -> str:
    """The next more general noun, or ""."""
    return lexicon.NOUNS[noun].parent if noun in lexicon.NOUNS else ""


def _generalised(thing: Thing, rng: random.Random) -> Thing:
    kind = parent(thing.noun)
    if parent(kind) and rng.random() < 0.3:
        kind = parent(kind)
    determiner = "a" if thing.determiner == "the" and rng.random() < 0.5 else thing.determiner
    return Thing(kind, determiner)  # an old sedan is not known to be an old vehicle: drop it


def generalise_place(event: Event, _rng: random.Random) -> Event | None:
    """Say only what kind of place it was: in the room for in the kitchen."""
    kind = parent(event.place)
    return replace(event, place=kind) if kind in ("room", "building", "shop") else None


def generalise_verb(event: Event, _rng: random.Random) -> Event | None:
    """Say only what kind of act it was: helped for rescued."""
    isa = lexicon.VERBS[event.verb].isa
    return replace(event, verb=isa) if isa else None


def unname(event: Event, rng: random.Random) -> Event | None:
    """Put someone for a person, something for an object."""
    role = rng.choice(_roles(event))
    noun = getattr(event, role).noun
    if noun in ("someone", "something"):
        return None
    is_person = noun not in lexicon.NOUNS or lexicon.is_kind(noun, "person")
    return replace(event, **{role: Thing("someone" if is_person else "something", "")})


def outcome(event: Event, _rng: random.Random) -> Event | State | None:
    """What holds afterwards: the buyer has the goods, the cup is broken."""
    result = lexicon.VERBS[event.verb].result
    if result == "have":
        return Event("have", event.recipient, event.theme)
    is_described = event.theme is not None and not event.theme.adjective
    return State(event.theme, result) if result and is_described else None


def wrong_owner(event: Event, _rng: random.Random) -> Event | None:
    """The giver, not the receiver, had the thing afterwards."""
    is_given = lexicon.VERBS[event.verb].result == "have"
    return Event("have", event.agent, event.theme) if is_given else None


def swap_roles(event: Event, rng: random.Random) -> Event | None:
    """Who did it to whom, the other way round."""
    pairs = [("agent", r) for r in ("theme", "recipient") if _swappable(event, r)]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    return replace(event, **{a: getattr(event, b), b: getattr(event, a)})


def _swappable(event: Event, role: str) -> bool:
    verb, other = lexicon.VERBS[event.verb], getattr(event, role)
    if other is None or event.verb in SYMMETRIC:
        return False
    return _can_be(other, verb.agent) and _can_be(event.agent, getattr(verb, role))


def other_noun(event: Event, rng: random.Random) -> Event | None:
    """Another thing of the same kind: a beagle for a poodle."""
    role = rng.choice(_roles(event))
    thing = getattr(event, role)
    if thing.noun in lexicon.PRONOUNS:
        return None
    if thing.noun in lexicon.NAMES:
        options = [n for n, g in lexicon.NAMES.items() if n != thing.noun]
    else:
        options = [n for n in lexicon.sisters(thing.noun) if _is_leaf(n)]
    options = [n for n in options if n not in {getattr(event, r).noun for r in _roles(event)}]
    return replace(event, **{role: replace(thing, noun=rng.choice(options))}) if options else None


def recast(event: Event, topic: str, rng: random.Random) -> Event | None:
    """The same act among the people, things and places of a topic; names, cities and times stay.

    No new noun is of the old one's kind or its parent's; after "which" the old one is itself the
    kind.
    """
    *beings, places = topic_nouns(topic)
    used: list[str] = []
    changes: dict[str, object] = {}
    for role in _roles(event):
        thing = getattr(event, role)
        if thing.noun not in lexicon.NOUNS:
            continue
        kinds = getattr(lexicon.VERBS[event.verb], role)
        near = {thing.noun} if thing.determiner == "which" else {thing.noun, parent(thing.noun)}
        options = [
            noun
            for pool in beings
            for noun in pool
            if noun not in used
            and lexicon.is_kind(noun, kinds)
            and not lexicon.NOUNS[noun].kinds & near
        ]
        if not options:
            return None
        used.append(rng.choice(options))
        changes[role] = _renamed(thing, used[-1], rng)
    elsewhere = [n for n in places if n != event.place]
    if event.place in lexicon.NOUNS and elsewhere:
        changes["place"] = rng.choice(elsewhere)
    return replace(event, **changes) if used else None


def _renamed(thing: Thing, noun: str, rng: random.Random) -> Thing:
    """The thing as another noun, with an adjective if it had one that can be said of that."""
    if thing.determiner == "which":
        noun = parent(noun) or noun  # questions ask "which artist", not "which sculptor"
    options = [a.key for a in lexicon.adjectives_of(noun)]
    adjective = thing.adjective if thing.adjective in options else ""
    if thing.adjective and options and not adjective:
        adjective = rng.choice(options)
    return replace(thing, noun=noun, adjective=adjective)


def other_verb(event: Event, _rng: random.Random) -> Event | None:
    """The opposite act: repaired for broke."""
    opposite = lexicon.VERBS[event.verb].opp
    if not opposite:
        return None
    return replace(event, verb=opposite) if takes(lexicon.VERBS[opposite], event) else None


def takes(verb: lexicon.Verb, event: Event) -> bool:
    """Whether the verb has the event's roles and allows what fills them."""
    wanted = {role: getattr(verb, role) for role in ROLES}
    filled = {role: getattr(event, role) for role in ROLES}
    same_roles = all(bool(wanted[role]) == bool(filled[role]) for role in ROLES)
    return same_roles and all(_can_be(filled[r], wanted[r]) for r in ROLES if filled[r])


def other_quality(event: Event, rng: random.Random) -> Event | None:
    """The opposite adjective or manner."""
    options: list[tuple[str, object]] = []
    for role in _roles(event):
        thing = getattr(event, role)
        if thing.adjective:
            options.append((role, replace(thing, adjective=opposite_of(thing.adjective))))
    if event.manner:
        options.append(("manner", lexicon.MANNERS[event.manner][1]))
    return replace(event, **dict([rng.choice(options)])) if options else None


@cache
def opposite_of(adjective: str) -> str:
    """The opposite of an adjective concept."""
    return next(a.opposite for a in lexicon.ADJECTIVES if a.key == adjective)


def other_number(event: Event, rng: random.Random) -> Event | None:
    """Another number of things."""
    counted = [r for r in _roles(event) if getattr(event, r).determiner in lexicon.NUMBERS]
    if not counted:
        return None
    role = rng.choice(counted)
    thing = getattr(event, role)
    numbers = [n for n in lexicon.NUMBERS if n != thing.determiner]
    return replace(event, **{role: replace(thing, determiner=rng.choice(numbers))})


def other_setting(event: Event, rng: random.Random) -> Event | None:
    """Another place, or another time of the same sort."""
    options = [f for f in ("place", "time") if getattr(event, f)]
    if not options:
        return None
    return replace(event, **dict([rng.choice([(f, _other(f, event, rng)) for f in options])]))


def _other(kind: str, event: Event, rng: random.Random) -> str:
    if kind == "time":
        sort = event.time.split()[0]
        pool = [t for t in lexicon.TIMES if t.split()[0] == sort and _same_sort(t, event.time)]
    elif event.place in lexicon.CITIES:
        pool = list(lexicon.CITIES)
    else:
        pool = [n for n in lexicon.hyponyms("place") if _is_leaf(n)]
    return rng.choice([p for p in pool if p != getattr(event, kind)])


def _same_sort(one: str, two: str) -> bool:
    """Whether two times exclude each other: March and May do, May and spring do not."""
    return _time_sort(one) == _time_sort(two)


def _time_sort(time: str) -> tuple[str, bool, bool]:
    """on Monday, in March, at noon, in the morning and in spring are of five sorts."""
    preposition, *_, noun = time.split()
    return preposition, noun[0].isupper(), " the " in time


def negate(event: Event, _rng: random.Random) -> Event | None:
    """It did not happen."""
    return replace(event, negated=not event.negated)


def add_setting(event: Event, rng: random.Random) -> Event | None:
    """A place or time that was not mentioned."""
    free = [f for f in ("place", "time") if not getattr(event, f)]
    if not free or not is_act(event):
        return None
    kind = rng.choice(free)
    if kind == "time":
        return replace(event, time=rng.choice(lexicon.TIMES))
    pool = [n for n in lexicon.hyponyms("place") if _is_leaf(n)] + list(lexicon.CITIES)
    return replace(event, place=rng.choice(pool))


def add_quality(event: Event, rng: random.Random) -> Event | None:
    """An adjective that was not mentioned."""
    roles = [r for r in _roles(event) if not getattr(event, r).adjective
             and getattr(event, r).noun in lexicon.NOUNS
             and lexicon.adjectives_of(getattr(event, r).noun)]  # fmt: skip
    if not roles:
        return None
    role = rng.choice(roles)
    thing = getattr(event, role)
    quality = rng.choice(lexicon.adjectives_of(thing.noun)).key
    return replace(event, **{role: replace(thing, adjective=quality)})


WEAKEN: tuple[Edit, ...] = (drop_detail, generalise_noun, generalise_noun, generalise_verb,
                            generalise_verb, generalise_place, unname)  # fmt: skip
ALTER: tuple[Edit, ...] = (other_noun, other_noun, other_verb, other_verb, other_quality,
                           other_number, other_setting)  # fmt: skip
EXTEND: tuple[Edit, ...] = (add_setting, add_quality)


def changed(one: Event, two: Event) -> set[str]:
    """Names of the parts in which two events differ."""
    return {f.name for f in fields(Event) if getattr(one, f.name) != getattr(two, f.name)}


def is_akin(one: lexicon.Verb, two: lexicon.Verb) -> bool:
    """Whether two verbs are the same, opposites, or one a kind of the other."""
    return one.key in (two.key, two.isa, two.opp) or two.key in (one.isa, one.opp)


def apply_one(edits: tuple[Edit, ...], event: Event, rng: random.Random) -> Event | None:
    """The first edit, in random order, that applies; None if none does."""
    for edit in rng.sample(edits, len(edits)):
        edited = edit(event, rng)
        if edited is not None and edited != event:
            return edited
    return None


def weaken(event: Event, rng: random.Random) -> Event | None:
    """Something an event that happened entails."""
    return apply_one(WEAKEN, event, rng)


def alter(event: Event, rng: random.Random) -> Event | None:
    """Something taken as incompatible with the event: one of its parts is different."""
    return apply_one(ALTER, event, rng)


def extend(event: Event, rng: random.Random) -> Event | None:
    """Something the event leaves open, because it says more."""
    return apply_one(EXTEND, event, rng)
