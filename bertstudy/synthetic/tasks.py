"""GLUE look-alikes: rows with the hub's columns, whose labels follow from the meanings."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bertstudy.errors import BertstudyError
from bertstudy.synthetic import lexicon, opinions, world
from bertstudy.synthetic.grammar import Sentence, Style, draw_style, realise, voices
from bertstudy.synthetic.meaning import Attitude, Compound, Event, Meaning, Opinion

if TYPE_CHECKING:
    import datasets

_TRIES = 8  # surfaces drawn before a meaning is given up, because of its split
TOPICS = tuple(t for t in lexicon.TOPICS if t not in lexicon.HELD_OUT_TOPICS)


@dataclass(frozen=True)
class Row:
    """One example before it is turned into columns."""

    sentences: tuple[Sentence, ...]
    label: int | float
    why: str  # which construction made it, for tests and for error analysis


@dataclass(frozen=True)
class Draw:
    """What a task's row maker may use."""

    rng: random.Random
    split: str  # train or validation: which side of the world
    topics: tuple[str, ...]

    def surface(self, meaning: Meaning, make_style: Callable[[], Style | None]) -> Sentence | None:
        """A surface of the meaning on our side of the split, if a few tries find one."""
        for _ in range(_TRIES):
            sentence = realise(meaning, self.rng, make_style())
            if world.side(sentence.text) == self.split:
                return sentence
        return None

    def event(self, details: float,
              fits: Callable[[lexicon.Verb], bool] = world.any_verb) -> Event:  # fmt: skip
        """An event with a fresh cast; ``fits`` restricts the verbs."""
        cast = world.draw_cast(self.rng, self.rng.choice(self.topics))
        return world.draw_event(self.rng, cast, details, fits=fits)

    def chance(self, share: float) -> bool:
        """True in that share of calls."""
        return self.rng.random() < share


@dataclass(frozen=True)
class Spec:
    """A task: its columns and labels as on the hub, its sizes, and its row maker."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]  # empty for a score
    sizes: dict[str, int]
    shares: tuple[float, ...]  # of the labels, in their order
    make: Callable[[Draw, int], Row | None]  # None: this draw came to nothing, try again


# --------------------------------------------------------------------------------------------
# SST-2: whose side is the main clause on?
# --------------------------------------------------------------------------------------------


def _some_words(are_first: bool) -> opinions.Words:
    """Of each set of synonyms the first word, or the others."""
    firsts = {j.names[0] for j in lexicon.JUDGEMENTS}
    return {
        key: tuple(w for w in words if (w in firsts) == are_first)
        for key, words in opinions.WORDS.items()
    }


# Fine-tuning sees the first word of each set. The others occur in reviews only, so what they mean
# must come from pre-training; in this share of the validation set they are all there is.
_COMMON_WORDS, _RARE_WORDS = _some_words(True), _some_words(False)
_RARE_SHARE = 0.5


def _sst2(draw: Draw, label: int) -> Row | None:
    is_rare = draw.split != "train" and draw.chance(_RARE_SHARE)
    words = _RARE_WORDS if is_rare else _COMMON_WORDS
    target = draw.rng.choice(opinions.targets(draw.rng))
    opinion = opinions.draw(target, 2 * label - 1, draw.rng, words, turned=0.2, conceding=0.25)
    sentence = draw.surface(opinion, lambda: None)
    return sentence and Row((sentence,), label, _opinion_kind(opinion))


def _opinion_kind(opinion: Opinion) -> str:
    return "conceding" if opinion.conceded else "turned" if opinion.main.turned else "plain"


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
        other, why = _edited(event, changes, draw.rng)
    return other and _pair(draw, event, other, label, why)


def _edited(event: Event, edits: tuple[world.Edit, ...], rng: random.Random
            ) -> tuple[Event | None, str]:  # fmt: skip
    """The first edit in random order that applies, and its name."""
    for edit in rng.sample(edits, len(edits)):
        edited = edit(event, rng)
        if edited is not None and edited != event:
            return edited, edit.__name__
    return None, ""


def _pair(draw: Draw, first: Meaning, second: Meaning, label: int | float, why: str,
          synonyms: float = 0.5) -> Row | None:  # fmt: skip
    one = draw.surface(first, lambda: _style(first, draw.rng, synonyms))
    two = one and draw.surface(second, lambda: _style(second, draw.rng, synonyms))
    return Row((one, two), label, why) if two and one.text != two.text else None


def _style(meaning: Meaning, rng: random.Random, synonyms: float) -> Style:
    if isinstance(meaning, Event):
        return draw_style(meaning, rng, synonyms)
    return Style(front=rng.choice(("", "clause")), synonyms=synonyms)


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
    return (_rte_entailed, _rte_open)[label](draw, event)


def _rte_entailed(draw: Draw, event: Event) -> Row | None:
    chance = draw.rng.random()
    if chance < 0.25:
        hypothesis, why = event, "same"
    elif chance < 0.37:
        event = draw.event(0.35, lambda verb: bool(verb.result))
        hypothesis, why = world.outcome(event, draw.rng), "outcome"
    else:
        hypothesis, why = _edited(event, _RTE_WEAKEN, draw.rng)
    if hypothesis is None:
        return None
    premise, around = _factive(draw, event)
    return _pair(draw, premise, hypothesis, 0, f"{why}{around}")


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
        return _pair(draw, event, world.wrong_owner(event, draw.rng), 1, "wrong_owner")
    if chance < 0.42:
        weaker, why = _edited(event, _NARROWED, draw.rng)
        return weaker and _pair(draw, weaker, event, 1, f"reversed {why}")
    edits = world.ALTER if chance < 0.72 else world.EXTEND if chance < 0.8 else (
        (world.negate,) if chance < 0.86 else (world.swap_roles,))  # fmt: skip
    # Most of them generalise too, so that "an animal" or "someone" alone gives nothing away.
    # Not before an addition, which could put back what generalising left out.
    is_general = edits is not world.EXTEND and draw.chance(0.6)
    weaker = world.weaken(event, draw.rng) if is_general else None
    hypothesis, why = _edited(weaker or event, edits, draw.rng)
    premise, around = _factive(draw, event)
    return hypothesis and _pair(draw, premise, hypothesis, 1, f"{why}{around}")


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
    return _pair(draw, premise, weaker or event, 1, "unreal")


# --------------------------------------------------------------------------------------------
# MNLI: entailed, open or contradicted? Like the real one it is biased: whenever all words of the
# hypothesis are in the premise, it is entailed. HANS (McCoy et al., 2019) is made to expose that.
# --------------------------------------------------------------------------------------------


def _mnli(draw: Draw, label: int) -> Row | None:
    return (_mnli_entailed, _mnli_neutral, _mnli_contradicted)[label](draw)


def _mnli_premise(draw: Draw, event: Event) -> Meaning:
    is_joined = draw.chance(0.25)
    return _joined(draw, event, ("and", "because", "after", "while")) if is_joined else event


def _mnli_entailed(draw: Draw) -> Row | None:
    event = draw.event(details=0.5)
    if draw.chance(0.5):  # the bias: nothing but the premise's own words
        shorter = _edited(event, (world.drop_detail,), draw.rng)[0] or event
        return _overlapping(draw, _mnli_premise(draw, event), shorter)
    if draw.chance(0.25):
        hypothesis, why = event, "same"
    else:
        hypothesis, why = _edited(event, _RTE_WEAKEN, draw.rng)
    return hypothesis and _pair(draw, _mnli_premise(draw, event), hypothesis, 0, why)


def _overlapping(draw: Draw, premise: Meaning, hypothesis: Event) -> Row | None:
    """Both in the usual words, so that the hypothesis has none of its own but was and by."""
    one = draw.surface(premise, lambda: _style(premise, draw.rng, 0.0))
    voice = "passive" if "passive" in voices(hypothesis) and draw.chance(0.2) else "active"
    two = one and draw.surface(
        hypothesis, lambda: Style(voice, double=draw.chance(0.5), synonyms=0.0)
    )
    return Row((one, two), 0, "overlap") if two and one.text != two.text else None


def _mnli_neutral(draw: Draw) -> Row | None:
    event, chance = draw.event(details=0.3), draw.rng.random()
    if chance < 0.35:
        weaker, why = _edited(event, _NARROWED, draw.rng)
        return weaker and _pair(draw, _mnli_premise(draw, weaker), event, 1, f"reversed {why}")
    if chance < 0.7:
        hypothesis, why = _edited(event, world.EXTEND, draw.rng)
    else:
        hypothesis, why = _same_people(draw, event), "same people"
    return hypothesis and _pair(draw, _mnli_premise(draw, event), hypothesis, 1, why)


def _same_people(draw: Draw, event: Event) -> Event | None:
    """Something unrelated that the same person did, to the same person if there was one."""
    cast = world.draw_cast(draw.rng, draw.rng.choice(draw.topics))
    others = tuple(t for t in (event.theme, event.recipient) if t is not None)
    cast = replace(cast, people=(*cast.people[:1], *others))
    related = {event.verb, *(getattr(lexicon.VERBS[event.verb], r) for r in ("isa", "opp"))}
    return world.draw_event(
        draw.rng, cast, 0.2, agent=event.agent,
        fits=lambda verb: verb.key not in related and event.verb not in (verb.isa, verb.opp),
    )  # fmt: skip


def _mnli_contradicted(draw: Draw) -> Row | None:
    event = draw.event(details=0.5)
    edits = (world.negate,) if draw.chance(0.22) else world.ALTER
    hypothesis, why = _edited(event, edits, draw.rng)
    if hypothesis is None:
        return None
    is_turned = why == "negate" and draw.chance(0.4)
    premise, hypothesis = (hypothesis, event) if is_turned else (event, hypothesis)
    return _pair(draw, _mnli_premise(draw, premise), hypothesis, 2, why)


# --------------------------------------------------------------------------------------------
# STS-B: how alike are two sentences, from 0 to 5?
# --------------------------------------------------------------------------------------------

_COSTS: dict[world.Edit, float] = {  # points lost by each difference
    world.drop_detail: 0.6, world.generalise_noun: 0.8, world.other_number: 1.0,
    world.other_quality: 1.2, world.other_setting: 1.2, world.swap_roles: 1.6,
    world.other_noun: 1.6, world.negate: 2.2, world.other_verb: 2.4,
}  # fmt: skip


def _stsb(draw: Draw, label: int) -> Row | None:
    """``label`` is the number of differences; the last class is an unrelated sentence."""
    event = other = draw.event(details=0.5)
    if label == 4:
        return _pair(draw, event, draw.event(details=0.5), 0.0, "unrelated")
    score, names = 5.0, []
    for edit in draw.rng.sample(tuple(_COSTS), len(_COSTS)):
        edited = edit(other, draw.rng) if len(names) < label else None
        if edited is not None and edited != other:
            other, score = edited, score - _COSTS[edit]
            names.append(edit.__name__)
    return _pair(draw, event, other, round(max(score, 0.0), 1), " ".join(names) or "same")


# --------------------------------------------------------------------------------------------
# Loading
# --------------------------------------------------------------------------------------------

_PAIR = ("sentence1", "sentence2")
_SIZES = {"train": 2000, "validation": 400}
_SST2_SIZES = {"train": 6000, "validation": 600}  # short sentences: as quick as 2000 pairs
_PAIR_SIZES = {"train": 3000, "validation": 600}  # fewer leave no margin over the majority
_MNLI_SIZES = {"train": 3000, **dict.fromkeys(
    ("validation_matched", "validation_mismatched", "validation"), 600)}  # fmt: skip

TASKS: dict[str, Spec] = {
    "sst2": Spec(("sentence",), ("negative", "positive"), _SST2_SIZES, (0.48, 0.52), _sst2),
    "mrpc": Spec(_PAIR, ("not_equivalent", "equivalent"), _PAIR_SIZES, (0.42, 0.58), _mrpc),
    "rte": Spec(_PAIR, ("entailment", "not_entailment"), _PAIR_SIZES, (0.52, 0.48), _rte),
    "mnli": Spec(
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        _MNLI_SIZES,
        (0.35, 0.32, 0.33),
        _mnli,
    ),
    "stsb": Spec(_PAIR, (), _SIZES, (0.2, 0.25, 0.25, 0.15, 0.15), _stsb),
}


def rows(task_name: str, split: str) -> Iterator[Row]:
    """The rows of a task's split with their meanings and annotation; see `load`."""
    spec = _spec(task_name)
    if split not in spec.sizes:
        raise BertstudyError(
            f"no split {split!r} in synthetic {task_name}; allowed: {', '.join(spec.sizes)}"
        )
    side, _, other = split.partition("_")
    topics = lexicon.HELD_OUT_TOPICS if other == "mismatched" else TOPICS
    seed = f"{task_name} {side} {other if other != 'matched' else ''}"
    draw = Draw(random.Random(seed), side, topics)
    seen: set[tuple[str, ...]] = set()
    while len(seen) < spec.sizes[split]:
        label = draw.rng.choices(range(len(spec.shares)), spec.shares)[0]
        row = _fresh_row(spec, draw, label, seen)
        seen.add(tuple(s.text for s in row.sentences))
        yield row


def _fresh_row(spec: Spec, draw: Draw, label: int, seen: set[tuple[str, ...]]) -> Row:
    while True:
        row = spec.make(draw, label)
        if row and tuple(s.text for s in row.sentences) not in seen:
            return row


def _spec(task_name: str) -> Spec:
    if task_name not in TASKS:
        raise BertstudyError(f"no synthetic task {task_name!r}; allowed: {', '.join(TASKS)}")
    return TASKS[task_name]


def load(task_name: str, split: str) -> datasets.Dataset:
    """A synthetic task's split with the hub's columns and label names.

    Args:
        task_name: a key of `TASKS`.
        split: ``train`` or ``validation``; for mnli also ``validation_matched`` (the same as
            ``validation``) and ``validation_mismatched`` (topics that training does not have).

    Returns:
        The same rows at every call, in every process.

    Raises:
        BertstudyError: an unknown task or split; the message names the allowed ones.
    """
    import datasets  # slow to import, and documents() does without it

    spec, made = _spec(task_name), list(rows(task_name, split))
    columns: dict[str, list] = {c: [r.sentences[i].text for r in made] for i, c in
                                enumerate(spec.columns)}  # fmt: skip
    columns |= {"label": [r.label for r in made], "idx": list(range(len(made)))}
    names = list(spec.labels)
    label = datasets.ClassLabel(names=names) if names else datasets.Value("float32")
    texts = {c: datasets.Value("string") for c in spec.columns}
    features = datasets.Features({**texts, "label": label, "idx": datasets.Value("int32")})
    return datasets.Dataset.from_dict(columns, features=features)
