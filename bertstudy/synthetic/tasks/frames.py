"""Frame semantics: annotation sets as FrameNet's lexicographers make them.

Each row is one sentence with one of its verbs as the target: a sentence of FrameNet's lexical-unit
files is annotated for one target too. The core elements are the frame's roles, which the grammar
knows; place, time and manner are read off the dependency tree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bertstudy.synthetic import lexicon, world
from bertstudy.synthetic.grammar import Frame, Sentence, Word
from bertstudy.synthetic.meaning import Attitude, Compound, Event, Meaning, Thing
from bertstudy.synthetic.tasks.draws import Draw, Row, Spec, style_of

if TYPE_CHECKING:
    import datasets

Element = tuple[str, int, int, bool]  # name, first word, end (exclusive), is it a core element

_TIMES = frozenset(t.lower() for t in lexicon.TIMES)
_MANNERS = frozenset(n for a, (syn, _) in lexicon.MANNERS.items() for n in (a, *syn))
_UNITS = sorted(n for v in lexicon.VERBS.values() for n in v.names)
_NUMBERS = {unit: str(i) for i, unit in enumerate(_UNITS, 1)}
_COLUMNS = {"sentence": "string", "frame": "string", "lu": "string", "target_start": "int32",
            "target_end": "int32", "fe_name": ["string"], "fe_start": ["int32"],
            "fe_end": ["int32"], "fe_core": ["bool"], "source": "string",
            "document": "string"}  # fmt: skip


def elements(sentence: Sentence, frame: Frame) -> list[Element]:
    """The frame's elements in the order of the text: its roles, and Place, Time and Manner."""
    core = [(name, start, end, True) for name, start, end in frame.elements]
    return sorted(core + _circumstances(sentence, frame), key=lambda e: (e[1], e[2]))


def _circumstances(sentence: Sentence, frame: Frame) -> list[Element]:
    found: list[Element] = []
    core = {(start, end) for _, start, end in frame.elements}
    for i, word in enumerate(sentence.words):
        start, end = _span(sentence.words, i)
        name = _circumstance(sentence, word, start, end)
        if word.head == frame.target and name and (start, end) not in core:
            found.append((name, start, end, False))
    return found


def _circumstance(sentence: Sentence, word: Word, start: int, end: int) -> str:
    """Place, Time, Manner, or "" for a word that heads none of them."""
    if word.relation == "advmod" and word.lemma in _MANNERS:
        return "Manner"
    if word.relation != "obl":
        return ""
    is_time = _text(sentence, start, end).lower() in _TIMES
    return "Time" if is_time else "Place"


def _text(sentence: Sentence, start: int, end: int) -> str:
    words = sentence.words
    return sentence.text[words[start].start : words[end - 1].end]


def _span(words: tuple[Word, ...], top: int) -> tuple[int, int]:
    """The words that a word governs, itself included."""
    inside = [i for i in range(len(words)) if _is_below(words, i, top)]
    return inside[0], inside[-1] + 1


def _is_below(words: tuple[Word, ...], place: int, top: int) -> bool:
    while place not in (top, -1):
        place = words[place].head
    return place == top


# --------------------------------------------------------------------------------------------
# Rows
# --------------------------------------------------------------------------------------------


def _framenet(draw: Draw, label: int) -> Row | None:
    meaning = _meaning(draw)
    sentence = draw.surface(meaning, lambda: style_of(meaning, draw.rng, 0.35))
    if sentence is None:
        return None
    frame = draw.rng.choice(sentence.frames)
    return Row((sentence,), label, frame.name, _annotation_set(sentence, frame))


def _meaning(draw: Draw) -> Meaning:
    """Mostly single events; some far from their elements, some with two frames."""
    chance = draw.rng.random()
    if chance < 0.45:  # "Tom did not sleep": the paper wants elements two words from their target
        return _remote(draw)
    event = draw.event(details=0.3)
    if chance < 0.53:
        verb = draw.rng.choice(world.ATTITUDES).key
        return Attitude(Thing(draw.rng.choice(tuple(lexicon.NAMES)), ""), verb, event)
    if chance < 0.6:
        return Compound(draw.rng.choice(lexicon.CONNECTIVES), event, draw.event(details=0.0))
    return replace(event, negated=draw.chance(0.15))


def _remote(draw: Draw) -> Event:
    event = draw.event(0.2, lambda verb: not verb.theme and verb.frame not in world.STATIVE)
    plan = draw.rng.choice(world.PLANS).key
    return replace(event, mode=plan) if draw.chance(0.5) else replace(event, negated=True)


def _annotation_set(sentence: Sentence, frame: Frame) -> dict[str, object]:
    words, found = sentence.words, elements(sentence, frame)
    target = words[frame.target]
    return {"sentence": sentence.text, "frame": frame.name, "lu": f"{target.lemma}.v",
            "target_start": target.start, "target_end": target.end,
            "fe_name": [name for name, _, _, _ in found],
            "fe_start": [words[start].start for _, start, _, _ in found],
            "fe_end": [words[end - 1].end for _, _, end, _ in found],
            "fe_core": [is_core for *_, is_core in found],
            "source": "lu", "document": _NUMBERS[target.lemma]}  # fmt: skip


def _features() -> datasets.Features:
    import datasets

    def feature(kind: str | list[str]) -> datasets.Value | datasets.List:
        is_list = isinstance(kind, list)
        return datasets.List(datasets.Value(kind[0])) if is_list else datasets.Value(kind)

    return datasets.Features({name: feature(kind) for name, kind in _COLUMNS.items()})


SPECS = {
    "framenet": Spec(
        ("sentence",),
        (),  # nothing to classify: what is asked is where attention goes
        {"train": 2000, "validation": 500},
        (1.0,),
        _framenet,
        _features,
    ),
}
