"""Do two sentences say the same? MRPC and QQP say yes or no, STS-B from 0 to 5."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bertstudy.synthetic import lexicon, questions, world
from bertstudy.synthetic.meaning import Event, Question
from bertstudy.synthetic.tasks.draws import PAIR, Draw, Row, Spec, edited, pair, wording

# --------------------------------------------------------------------------------------------
# MRPC: do two sentences tell the same event?
# --------------------------------------------------------------------------------------------

_MRPC_CHANGES: tuple[world.Edit, ...] = (
    world.swap_roles, world.swap_roles, world.other_noun, world.other_verb, world.other_quality,
    world.other_number, world.other_number, world.other_setting, world.other_setting,
)  # fmt: skip


def _mrpc(draw: Draw, label: int) -> Row | None:
    event = draw.event(details=0.45 if label else 0.6)
    if draw.chance(0.06):
        event = replace(event, negated=True)
    other, why = event, "same"
    if not label:
        # One sentence denying the other is the cue that words alone give, as in real MRPC.
        changes = (world.negate,) if draw.chance(0.26) else _MRPC_CHANGES
        other, why = edited(event, changes, draw.rng)
    return other and pair(draw, event, other, label, why)


# --------------------------------------------------------------------------------------------
# STS-B: how alike are two sentences, from 0 to 5?
# --------------------------------------------------------------------------------------------

_COSTS: dict[world.Edit, float] = {  # points lost by each difference
    world.drop_detail: 0.6, world.generalise_noun: 0.8, world.other_number: 1.0,
    world.other_quality: 1.2, world.other_setting: 1.2, world.swap_roles: 1.6,
    world.other_noun: 1.6, world.negate: 2.2, world.other_verb: 2.4,
}  # fmt: skip


def _stsb(draw: Draw, label: int) -> Row | None:
    """``label`` is the number of differences; the last class is a sentence with another verb.

    No part is changed twice: the second change could undo the first, or hide it.
    """
    event = other = draw.event(details=0.5)
    if label == 4:
        verb = lexicon.VERBS[event.verb]
        unlike = draw.event(0.5, fits=lambda other: not world.is_akin(other, verb))
        return pair(draw, event, unlike, 0.0, "unrelated")
    score, names, touched = 5.0, [], set()
    for edit in draw.rng.sample(tuple(_COSTS), len(_COSTS)):
        edited = edit(other, draw.rng) if len(names) < label else None
        parts = world.changed(other, edited) if edited else set()
        if parts and not parts & touched:
            other, score, touched = edited, score - _COSTS[edit], touched | parts
            names.append(edit.__name__)
    return pair(draw, event, other, round(max(score, 0.0), 1), " ".join(names) or "same")


# --------------------------------------------------------------------------------------------
# QQP: do two questions ask the same?
# --------------------------------------------------------------------------------------------

_QQP_EDITS: tuple[world.Edit, ...] = (
    world.other_noun, world.other_verb, world.other_verb, world.other_quality, world.other_number,
    world.other_setting, world.other_setting,
)  # fmt: skip
# Most other questions ask the same of quite other people and things, and the same question comes in
# synonyms. Both labels are alike in `wording`, and validation is in topics that fine-tuning has not
# seen, so what tells is which words mean the same and which belong together.
_RECAST_SHARE = 0.7
_SYNONYMS = 0.9
# Yes/no questions by label: as in the real data, what is asked says a little by itself.
_WHETHER = (0.2, 0.35)


def _qqp(draw: Draw, label: int) -> Row | None:
    event = replace(draw.event(details=0.4, fits=questions.is_clear), manner="")
    is_whether = draw.chance(_WHETHER[label])
    role = "" if is_whether else draw.rng.choice(questions.askable(event))
    one = questions.ask(event, role, draw.rng) if role else Question(event)
    two, why = (one, "same") if label else _other_question(draw, one, event)
    if two is None or (two == one and not label):
        return None
    first, second = (draw.surface(q, partial(questions.style_of, q, draw.rng, _SYNONYMS))
                     for q in (one, two))  # fmt: skip
    is_pair = first and second and first.text != second.text
    return Row((first, second), label, why) if is_pair else None


def _other_question(draw: Draw, one: Question, event: Event) -> tuple[Question | None, str]:
    if draw.chance(_RECAST_SHARE):
        other = draw.recast(one.event)
        return other and Question(other), "recast"
    chance = draw.rng.random()
    if chance < 0.2:
        return questions.swapped(one, draw.rng), "swapped"
    if chance < 0.45 and one.asked:
        roles = [role for role in questions.askable(event) if role != one.asked]
        if not roles:
            return None, ""
        return questions.ask(event, draw.rng.choice(roles), draw.rng), "another part"
    edit = draw.rng.choice(_QQP_EDITS)
    return questions.edited(one, event, edit, draw.rng), edit.__name__


SPECS = {
    "mrpc": Spec(
        PAIR,
        ("not_equivalent", "equivalent"),
        {"train": 3000, "validation": 600},  # fewer leave no margin over the majority
        (0.42, 0.58),
        _mrpc,
    ),
    "qqp": Spec(
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        {"train": 3000, "validation": 600},
        (),
        _qqp,
        validation_topics=lexicon.HELD_OUT_TOPICS,
        alike=wording,
    ),
    "stsb": Spec(
        PAIR,
        (),
        {"train": 600, "validation": 400},
        (0.1, 0.2, 0.2, 0.2, 0.3),
        _stsb,
        validation_topics=lexicon.HELD_OUT_TOPICS,
    ),
}
