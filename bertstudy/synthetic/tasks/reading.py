"""Questions and the sentences that answer them: QNLI, and SQuAD with and without an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import Sentence, Word
from bertstudy.synthetic.meaning import ROLES, Event, Question, Thing
from bertstudy.synthetic.questions import (
    SETTINGS,
    answer,
    ask,
    askable,
    is_clear,
    style_of,
)
from bertstudy.synthetic.tasks.draws import Draw, Row, Spec, edited, wording

if TYPE_CHECKING:
    import datasets

_UNREAL = tuple(v.key for v in world.PLANS if v.holds != "yes")


def _surface(draw: Draw, meaning: Event | Question, synonyms: float) -> Sentence | None:
    return draw.surface(meaning, partial(style_of, meaning, draw.rng, synonyms))


def _asked(draw: Draw, event: Event, general: float, settings: float | None = None) -> Question:
    """A question that the event answers, in a ``general`` share about what follows from it.

    In a share ``settings`` it asks where or when, if the event says it; by default all that it
    says is asked for alike.
    """
    parts = askable(event)
    if settings is not None:
        wanted = draw.chance(settings)
        parts = [part for part in parts if (part in SETTINGS) == wanted] or parts
    claim = world.weaken(event, draw.rng) if draw.chance(general) else None
    return ask(event, draw.rng.choice(parts), draw.rng, claim)


# --------------------------------------------------------------------------------------------
# QNLI: does the sentence answer the question?
# --------------------------------------------------------------------------------------------

_QNLI_CHANGES: tuple[world.Edit, ...] = (
    *(world.swap_roles, world.other_verb) * 3, world.other_noun, world.other_noun,
    world.other_quality, world.other_number, world.other_setting, world.other_setting,
)  # fmt: skip


# As for QQP: most sentences that do not answer tell the same of quite other people and things, and
# both labels are alike in `wording`.
_RECAST_SHARE = 0.7
_SYNONYMS = 0.9
_ASKS_SETTING = (0.3, 0.5)  # by label, "where" and "when": a cue that words alone give


def _qnli(draw: Draw, label: int) -> Row | None:
    event = replace(draw.event(details=0.7, fits=is_clear), manner="")
    question = _asked(draw, event, 0.3, _ASKS_SETTING[label])
    told, why = _qnli_silent(draw, event, question) if label else (event, "told")
    if told is None or (answer(told, question) is None) != bool(label):
        return None
    if world.is_act(told) and not (told.mode or told.negated) and draw.chance(0.06):
        told, why = replace(told, mode="manage"), f"{why} managed"
    one, two = (_surface(draw, meaning, _SYNONYMS) for meaning in (question, told))
    return Row((one, two), label, why) if one and two else None


def _qnli_silent(draw: Draw, event: Event, question: Question) -> tuple[Event | None, str]:
    """Of others, or the same event without what is asked for, denied, or a part of it changed."""
    if draw.chance(_RECAST_SHARE):
        return draw.recast(event), "recast"
    chance = draw.rng.random()
    if question.asked in SETTINGS and chance < 0.5:
        other = "time" if question.asked == "place" else "place"
        moved = event if getattr(event, other) else world.add_setting(event, draw.rng)
        return moved and replace(moved, **{question.asked: ""}), "absent"
    if chance < 0.07:
        return replace(event, negated=True), "negated"
    if chance < 0.12:
        is_act = world.is_act(event)
        return replace(event, mode=draw.rng.choice(_UNREAL)) if is_act else None, "unreal"
    if chance < 0.24:
        return world.weaken(event, draw.rng), "less"
    return edited(event, _QNLI_CHANGES, draw.rng)


# --------------------------------------------------------------------------------------------
# SQuAD: where in a little story is the answer? In the second version perhaps nowhere.
# --------------------------------------------------------------------------------------------

_MAX_WORDS = 54  # question and story, so that with [CLS] and two [SEP] they fit in 64 pieces
_NEARLY: tuple[world.Edit, ...] = (
    *(world.swap_roles, world.other_verb) * 2, world.other_noun, world.other_setting,
    world.other_number, world.negate, world.drop_detail,
)  # fmt: skip


@dataclass(frozen=True)
class _Told:
    """A sentence of a story and what it tells."""

    event: Event
    sentence: Sentence


def _squad(draw: Draw, label: int) -> Row | None:
    """``label`` 0 has an answer, 1 has none."""
    topic = draw.rng.choice(draw.topics)
    cast = _cast(draw, topic)
    is_transfer = draw.chance(0.3)  # else one needs a recipient but seldom
    event = _event(draw, cast, lambda v: is_clear(v) and (not is_transfer or bool(v.recipient)))
    question = _asked(draw, event, general=0.3)
    main, why = _near(draw, event) if label else (event, "told")
    if main is None:
        return None
    events = [main, *(_rival(draw, cast, event) for _ in range(draw.rng.randint(2, 4)))]
    if not label and draw.chance(0.12):
        events[-1] = event  # told again, in other words
    found = {answer(e, question) for e in events} - {None}
    if len(set(events)) < 3 or len(found) != 1 - label:
        return None
    return _squad_row(draw, topic, question, events, f"{question.asked} {why}")


def _cast(draw: Draw, topic: str) -> world.Cast:
    """People, animals and things that "the" or a number picks out."""
    cast = world.draw_cast(draw.rng, topic, names=0.35)
    definite = {
        kind: tuple(
            _definite(thing, keeps_number=kind == "objects") for thing in getattr(cast, kind)
        )
        for kind in ("people", "animals", "objects")
    }
    return replace(cast, **definite)


def _definite(thing: Thing, keeps_number: bool) -> Thing:
    is_kept = not thing.determiner or (keeps_number and thing.determiner in lexicon.NUMBERS)
    return thing if is_kept else replace(thing, determiner="the")


def _event(draw: Draw, cast: world.Cast, fits: Callable[[lexicon.Verb], bool],
           agent: Thing | None = None) -> Event:  # fmt: skip
    return replace(world.draw_event(draw.rng, cast, 0.45, agent, fits), manner="")


def _near(draw: Draw, event: Event) -> tuple[Event | None, str]:
    """What nearly is the event: one part differs or is missing, or it did not come to it."""
    if draw.chance(0.2) and world.is_act(event):
        return replace(event, mode=draw.rng.choice(_UNREAL)), "unreal"
    return edited(event, _NEARLY, draw.rng)


def _rival(draw: Draw, cast: world.Cast, event: Event) -> Event:
    """Another event of the story, so like the one asked about that words alone do not do."""
    chance = draw.rng.random()
    if chance < 0.35:
        return _event(draw, cast, lambda verb: verb.key == event.verb)
    if chance < 0.6:  # not a denial, which would contradict the story
        changes = tuple(edit for edit in _NEARLY if edit is not world.negate)
        return edited(event, changes, draw.rng)[0] or event
    if chance < 0.8 and event.agent in (*cast.people, *cast.animals):
        return _event(draw, cast, world.any_verb, event.agent)
    return _event(draw, cast, world.any_verb)


def _squad_row(draw: Draw, topic: str, question: Question, events: list[Event],
               why: str) -> Row | None:  # fmt: skip
    story = []
    for event in draw.rng.sample(events, len(events)):
        sentence = _surface(draw, event, 0.35)
        if sentence is None:
            return None
        story.append(_Told(event, sentence))
    asked = _surface(draw, question, 0.5)
    if asked is None:
        return None
    sentences = (*(told.sentence for told in story), asked)
    texts = {s.text for s in sentences}
    if len(texts) < len(sentences) or sum(len(s.words) for s in sentences) > _MAX_WORDS:
        return None
    context = " ".join(told.sentence.text for told in story)
    spans = list(_spans(story, question))
    given = spans[:1] if draw.split == "train" else spans  # as on the hub
    key = hashlib.sha1(f"{context} {asked.text}".encode()).hexdigest()[:24]
    columns = {
        "id": key,
        "title": topic.capitalize(),
        "context": context,
        "question": asked.text,
        "answers": {
            "text": [context[a:b] for a, b in given],
            "answer_start": [a for a, _ in given],
        },
    }
    return Row(sentences, 0 if spans else 1, why, columns)


def _spans(story: Iterable[_Told], question: Question) -> Iterable[tuple[int, int]]:
    """The spans of a story that answer, ends exclusive: of each the bare one, then a longer one."""
    start = 0
    for told in story:
        if answer(told.event, question) is not None:
            words = _words(told, question)
            for a, b in words:
                first, last = told.sentence.words[a], told.sentence.words[b - 1]
                yield start + first.start, start + last.end
        start += len(told.sentence.text) + 1


def _words(told: _Told, question: Question) -> list[tuple[int, int]]:
    """As `_spans`, in words of one sentence."""
    words = told.sentence.words
    if question.asked in SETTINGS:
        a, b = _setting(told, question.asked)
        return [(a + 1, b), (a, b)]  # "Rome" and "in Rome"
    a, b = _element(told, question.asked)
    a += words[a].pos == "ADP"
    if question.counts:
        number = next(i for i in range(a, b) if words[i].relation == "nummod")
        return [(number, number + 1), (a, b)]
    return [(a, b)]


def _element(told: _Told, role: str) -> tuple[int, int]:
    """Where the frame element of a role stands."""
    verb = lexicon.VERBS[told.event.verb]
    tellings = {verb.frame, lexicon.VERBS[verb.conv].frame if verb.conv else verb.frame}
    frame = next(f for f in told.sentence.frames if f.name in tellings)
    wanted = lexicon.elements(frame.name)[ROLES.index(role)]
    return next((a, b) for name, a, b in frame.elements if name == wanted)


def _setting(told: _Told, kind: str) -> tuple[int, int]:
    """Where the phrase of the place or time stands, its preposition included."""
    value = getattr(told.event, kind)
    names = lexicon.NOUNS[value].names if value in lexicon.NOUNS else (value.split()[-1],)
    words = told.sentence.words
    head = next(i for i, w in enumerate(words) if w.text in names and _is_setting(words, i))
    return min(i for i, w in enumerate(words) if w.head == head), head + 1


def _is_setting(words: tuple[Word, ...], head: int) -> bool:
    cases = {w.text.lower() for w in words if w.head == head and w.relation == "case"}
    return not cases.isdisjoint({"in", "on", "at"})


def _features() -> datasets.Features:
    from datasets import Features, List, Value

    answers = {"text": List(Value("string")), "answer_start": List(Value("int32"))}
    texts = {name: Value("string") for name in _COLUMNS[:-1]}
    return Features({**texts, "answers": answers})


_COLUMNS = ("id", "title", "context", "question", "answers")
_SIZES = {"train": 3000, "validation": 400}
SPECS = {
    "qnli": Spec(
        ("question", "sentence"),
        ("entailment", "not_entailment"),
        {"train": 3000, "validation": 600},
        (),
        _qnli,
        validation_topics=lexicon.HELD_OUT_TOPICS,
        alike=wording,
    ),
    "squad": Spec(_COLUMNS, (), _SIZES, (1.0,), _squad, _features),
    "squad_v2": Spec(_COLUMNS, (), _SIZES, (0.67, 0.33), _squad, _features),
}
