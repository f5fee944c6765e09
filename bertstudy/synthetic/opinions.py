"""Judgements of films, books and their parts: what SST-2's look-alike and the reviews say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from bertstudy.synthetic import lexicon
from bertstudy.synthetic.meaning import Judged, Opinion, Thing

TURNS = ("not", "not", "not", *lexicon.DOUBTS, "far from", "anything but")
_SHARES = (("ADJ", 0.72), ("NOUN", 0.86), ("VERB", 1.0))  # cumulative, of kinds of judgement

Words = dict[tuple[str, int], tuple[str, ...]]  # (part of speech, polarity) to words
WORDS: Words = {
    (pos, polarity): tuple(
        n for j in lexicon.JUDGEMENTS if (j.pos, j.polarity) == (pos, polarity) for n in j.names
    )
    for pos in ("ADJ", "NOUN", "VERB")
    for polarity in (1, -1)
}
_SYNONYMS = {n: tuple(o for o in j.names if o != n) for j in lexicon.JUDGEMENTS for n in j.names}


def targets(rng: random.Random) -> list[Thing]:
    """A work and three parts of it, the work first."""
    works = [n for n in lexicon.hyponyms("work") if n != "work"]
    parts = [n for n in lexicon.hyponyms("part") if n != "part"]
    work = Thing(rng.choice(works), rng.choice(("the", "this")))
    return [work, *(Thing(p) for p in rng.sample(parts, 3))]


def judge(target: Thing, verdict: int, rng: random.Random, words: Words, turned: float,
          turns: Sequence[str] = TURNS) -> Judged:  # fmt: skip
    """One clause that comes down on the side of ``verdict``, negated in a ``turned`` share."""
    turn = rng.choice(turns) if rng.random() < turned else ""
    polarity = -verdict if turn else verdict
    chance = rng.random()
    pos = next(p for p, top in _SHARES if chance < top)
    if pos == "VERB" and turn in ("far from", "anything but", "scarcely"):
        turn = "not"
    pool: Sequence[str] = words[pos, polarity]
    n = 2 if pos == "ADJ" and not turn and rng.random() < 0.3 else 1
    return Judged(target, tuple(rng.sample(pool, n)), pos, polarity, turn)


def restate(opinion: Opinion, rng: random.Random) -> Opinion:
    """The main clause again, each word replaced by one of its synonyms where it has any."""
    words = tuple(rng.choice(_SYNONYMS[w] or (w,)) for w in opinion.main.words)
    return Opinion(replace(opinion.main, words=words))


def draw(target: Thing, verdict: int, rng: random.Random, words: Words, turned: float,
         conceding: float, turns: Sequence[str] = TURNS) -> Opinion:  # fmt: skip
    """An opinion with the given verdict; a ``conceding`` share grants the opposite of a part."""
    main = judge(target, verdict, rng, words, turned, turns)
    if rng.random() >= conceding:
        return Opinion(main)
    other = rng.choice([t for t in targets(rng)[1:] if t.noun != target.noun])
    conceded = judge(other, -verdict, rng, words, turned / 2, turns)
    return Opinion(main, conceded, rng.choice(("although", "but")))
