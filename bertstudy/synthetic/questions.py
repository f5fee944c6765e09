"""Questions about events, and which events answer them.

`ask` hides a part of an event; `answer` finds it again in another one, by meaning alone, so the
labels of the tasks that ask never depend on words.
"""

from __future__ import annotations

import random
from dataclasses import replace

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import Style, draw_style
from bertstudy.synthetic.meaning import ROLES, Event, Question, Thing

SETTINGS = ("place", "time")
# Not asked about: of meeting, who met whom is one thing told twice; of having, when it began and
# ended matters, since what was sold was had by two.
_UNCLEAR = frozenset({"meet", "have"})
_ANYONE = frozenset({"someone", "something"})
_UNCOUNTED = lexicon.MASS | _ANYONE


def is_clear(verb: lexicon.Verb) -> bool:
    """Whether a question about who did it has one answer; for `world.draw_event`."""
    return verb.key not in _UNCLEAR and verb.isa not in _UNCLEAR


def askable(event: Event) -> list[str]:
    """The parts of an event that a question can ask for."""
    return [role for role in (*ROLES, *SETTINGS) if getattr(event, role)]


def ask(event: Event, role: str, rng: random.Random, claim: Event | None = None) -> Question:
    """A question that the event answers.

    Args:
        event: what happened.
        role: the part asked for, one of `askable`.
        rng: decides between who or what, which, and how many, and leaves out details.
        claim: something that follows from the event and is asked about in its place.
    """
    claim = replace(claim or event, manner="")
    shortened = {s: "" for s in SETTINGS if rng.random() < 0.5}
    hidden = {"place": "where", "time": "when"}.get(role) or _hidden(getattr(event, role), rng)
    return Question(replace(claim, **(shortened | {role: hidden})))


def _hidden(thing: Thing, rng: random.Random) -> Thing:
    """What stands for a thing in a question about it."""
    if (
        thing.determiner in lexicon.NUMBERS
        and thing.noun not in lexicon.MASS
        and rng.random() < 0.6
    ):
        return replace(thing, determiner="how many")
    kind = world.parent(thing.noun)
    if kind and not thing.plural and rng.random() < 0.2:
        return Thing(kind, "which")
    return Thing("who" if is_person(thing) else "what", "")


def style_of(meaning: Event | Question, rng: random.Random, synonyms: float) -> Style:
    """A style fit for an event or a question about one."""
    event = meaning.event if isinstance(meaning, Question) else meaning
    return draw_style(event, rng, synonyms)


def is_person(thing: Thing) -> bool:
    """Whether one asks "who" for it."""
    if thing.noun in lexicon.NOUNS:
        return lexicon.is_kind(thing.noun, "person")
    return thing.noun not in ("it", "something")


# --------------------------------------------------------------------------------------------
# Other questions
# --------------------------------------------------------------------------------------------


def edited(
    question: Question, event: Event, edit: world.Edit, rng: random.Random
) -> Question | None:
    """Another question, by an edit of what is not asked for; ``event`` knows what is."""
    asked = question.asked
    if not asked:
        changed = edit(question.event, rng)
        return None if changed is None else Question(changed)
    found = getattr(event, asked)
    changed = edit(replace(question.event, **{asked: found}), rng)
    if changed is None or getattr(changed, asked) != found:
        return None
    return Question(replace(changed, **{asked: getattr(question.event, asked)}))


def swapped(question: Question, rng: random.Random) -> Question | None:
    """Who did it to whom the other way round, in the same words: who helped, whom helped he."""
    if getattr(question.event, question.asked or "agent") == Thing("what", ""):
        return None  # a thing does nothing
    changed = world.swap_roles(question.event, rng)
    return None if changed is None else Question(changed)


# --------------------------------------------------------------------------------------------
# Answers
# --------------------------------------------------------------------------------------------


def happened(event: Event) -> bool:
    """Whether the event is told as a fact: not denied, failed, refused, only tried ..."""
    return not event.negated and (not event.mode or lexicon.VERBS[event.mode].holds == "yes")


def answer(event: Event, question: Question) -> Thing | str | None:
    """What the event gives for the asked part: a thing, place or time; None if no answer.

    The event may say more than the question: rescuing answers who helped, a poodle which dog.
    """
    wanted, asked = question.event, question.asked
    if not happened(event) or wanted.verb not in _acts(event.verb):
        return None
    known = all(_covers(getattr(event, part), getattr(wanted, part))
                for part in (*ROLES, *SETTINGS) if part != asked)  # fmt: skip
    found = getattr(event, asked)
    if not known or not found:
        return None
    return found if asked in SETTINGS or _fits(found, getattr(wanted, asked)) else None


def _acts(verb: str) -> set[str]:
    """The verb and what doing it entails doing."""
    acts = {verb}
    while verb := lexicon.VERBS[verb].isa:
        acts.add(verb)
    return acts


def _covers(known: Thing | str | None, claimed: Thing | str | None) -> bool:
    """Whether what is known makes true what is claimed; nothing claimed is always true."""
    if not claimed:
        return True
    if isinstance(known, Thing) and isinstance(claimed, Thing):
        return _is_one(known, claimed) and (
            claimed.noun in _UNCOUNTED or _number(known) == _number(claimed)
        )
    kinds = lexicon.NOUNS[known].kinds if known in lexicon.NOUNS else {known}
    return claimed in kinds


def _is_one(known: Thing, claimed: Thing) -> bool:
    if claimed.noun in _ANYONE:
        return is_person(known) == (claimed.noun == "someone")
    is_name = known.noun not in lexicon.NOUNS
    kinds = {known.noun, "person"} if is_name else lexicon.NOUNS[known.noun].kinds
    return claimed.noun in kinds and claimed.adjective in ("", known.adjective)


def _number(thing: Thing) -> str:
    is_counted = thing.determiner in lexicon.NUMBERS and thing.noun not in _UNCOUNTED
    return thing.determiner if is_counted else ""


def _fits(found: Thing, hidden: Thing) -> bool:
    """Whether a thing can answer who, what, which or how many; "someone" answers nothing."""
    if found.noun in _ANYONE:
        return False
    if hidden.noun in ("who", "what"):
        return is_person(found) == (hidden.noun == "who")
    is_counted = hidden.determiner != "how many" or bool(_number(found))
    return is_counted and _is_one(found, replace(hidden, determiner="the"))
