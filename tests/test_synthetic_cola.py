"""The synthetic CoLA. Its labels are checked by `Recogniser`, which knows the lexicon's tables and
which strings are sentences, but neither the trees nor how they were broken."""

import random
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef

from bertstudy.synthetic import lexicon
from bertstudy.synthetic.grammar import Builder, Style, assemble
from bertstudy.synthetic.meaning import Event, State, Thing
from bertstudy.synthetic.tasks import rows
from bertstudy.synthetic.tasks.violations import VIOLATIONS
from bertstudy.synthetic.world import side

NOMINATIVE = {"he", "she", "it", "they", "someone", "something"}
ACCUSATIVE = {"him", "her", "it", "them", "someone", "something"}
DOUBLE = {"sell", "lend", "give", "send", "show", "offer", "bring", "throw"}
CONVERSE = {"buy", "borrow", "receive"}


def once(parse):
    """Remember where a phrase that starts at a place of the current sentence may end."""

    def remembering(self, i, *args):
        key = (parse, i, *map(id, args))
        if key not in self.parsed:
            self.parsed[key] = list(parse(self, i, *args))
        return self.parsed[key]

    return remembering


class Recogniser:
    """Which strings are well formed: each method gives the places where its phrase may end."""

    def __init__(self):
        nouns = [(n, name) for n in lexicon.NOUNS.values() for name in n.names]
        self.singular = {name: n for n, name in nouns}
        self.plural = {lexicon.plural(name): n for n, name in nouns}
        self.adjectives = {n for a in lexicon.ADJECTIVES for n in a.names}
        self.manners = {n for a, (syn, _) in lexicon.MANNERS.items() for n in (a, *syn)}
        self.names = {n.lower() for n in lexicon.NAMES}
        self.cities = {c.lower() for c in lexicon.CITIES}
        self.times = [t.lower().split() for t in lexicon.TIMES]
        self.forms = {}
        for verb in lexicon.VERBS.values():
            for name in verb.names:
                for kind, form in (("base", name), ("past", lexicon.past(name)),
                                   ("participle", lexicon.participle(name))):  # fmt: skip
                    self.forms.setdefault((kind, form), []).append(verb)

    def accepts(self, text):
        """Whether the text is a sentence."""
        text = text.lower().removesuffix(".").replace("n't", " not").replace(",", " ,")
        self.words, self.parsed = [*text.split(), *["END"] * 4], {}
        size = len(self.words) - 4
        return size in {*self.clause(0), *self.report(0), *self.compound(0)}

    def at(self, place, *words):
        return tuple(self.words[place : place + len(words)]) == words

    def compound(self, i):
        if self.words[i] in lexicon.CONNECTIVES and self.words[i] not in ("and", "or"):
            for j in self.clause(i + 1):
                if self.at(j, ","):
                    yield from self.clause(j + 1)
        for j in self.clause(i):
            if self.words[j] in lexicon.CONNECTIVES:
                yield from self.clause(j + 1)

    def report(self, i):
        for j, _ in self.noun(i, NOMINATIVE):
            for k, verb in self.finite(j):
                if verb.theme == "clause":
                    yield from self.core(k)
                    if self.at(k, "that"):
                        yield from self.core(k + 1)

    @once
    def clause(self, i):
        for j in (*self.place(i), *self.time(i)):
            if self.at(j, ","):
                yield from self.core(j + 1)
        yield from self.core(i)

    @once
    def core(self, i):
        for j, number in self.noun(i, NOMINATIVE):
            yield from self.predicate(j)
            if self.words[j] == ("were" if number == "plural" else "was"):
                after = j + 1 + self.at(j + 1, "not")
                yield from self.passive(after)
                if self.words[after] in self.adjectives:
                    yield after + 1

    @once
    def predicate(self, i):
        for j, verb in self.finite(i):
            if verb.theme == "plan" and self.at(j, "to"):
                for inner in self.forms.get(("base", self.words[j + 1]), ()):
                    yield from self.complements(j + 2, inner)
            elif verb.theme != "clause":
                yield from self.complements(j, verb)

    def finite(self, i):
        yield from ((i + 1, v) for v in self.forms.get(("past", self.words[i]), ()))
        if self.at(i, "did", "not"):
            yield from ((i + 3, v) for v in self.forms.get(("base", self.words[i + 2]), ()))

    def complements(self, i, verb):
        for j in self.objects(i, verb) if verb.theme not in ("plan", "clause") else ():
            yield from self.adverbials(j)

    def objects(self, i, verb):
        ends = [j for j, _ in self.noun(i, ACCUSATIVE)] if verb.theme else [i]
        if not verb.recipient:
            return ends
        preposition = "from" if verb.key in CONVERSE else "to"
        found = [k for j in ends for k in self.oblique(j, preposition)]
        is_double = verb.key in DOUBLE
        return found + [k for j in ends if is_double for k, _ in self.noun(j, ACCUSATIVE)]

    def oblique(self, i, preposition):
        return [j for j, _ in self.noun(i + 1, ACCUSATIVE)] if self.at(i, preposition) else []

    def passive(self, i):
        for verb in self.forms.get(("participle", self.words[i]), ()):
            if verb.theme in ("", "plan", "clause") or verb.key in CONVERSE:
                continue
            middle = self.oblique(i + 1, "to") if verb.recipient else [i + 1]
            for j in middle:
                for k in self.oblique(j, "by"):
                    yield from self.adverbials(k)

    def adverbials(self, i):
        ends = {i} | ({i + 1} if self.words[i] in self.manners else set())
        ends |= {k for j in ends for k in self.place(j)}
        return ends | {k for j in ends for k in self.time(j)}

    def place(self, i):
        if self.words[i] in ("in", "on", "at"):
            if self.at(i, "in") and self.words[i + 1] in self.cities:
                yield i + 2
            noun = self.singular.get(self.words[i + 2])
            if self.words[i + 1] == "the" and noun and "place" in noun.kinds:
                yield i + 3

    def time(self, i):
        yield from (i + len(t) for t in self.times if self.at(i, *t))

    @once
    def noun(self, i, pronouns):
        """Ends of noun phrases, with their number."""
        word = self.words[i]
        if word in pronouns:
            yield i + 1, "plural" if word in ("they", "them") else "singular"
        if word in self.names:
            yield i + 1, "singular"
        for j in (i + 1, i + 2):
            if j == i + 2 and self.words[i + 1] not in self.adjectives:
                continue
            for number in self.numbers(word, self.words[i + 1], self.words[j]):
                yield j + 1, number
                yield from ((k, number) for k in self.relative(j + 1, self.words[j]))

    def numbers(self, determiner, following, noun):
        one, many = self.singular.get(noun), self.plural.get(noun)
        is_mass = one is not None and one.key in lexicon.MASS
        if determiner == "the" and one:
            yield "singular"
        if determiner in ("a", "an") and one and not is_mass:
            yield from ["singular"] * (determiner == lexicon.article(following))
        if determiner == "some" and is_mass:
            yield "singular"
        if determiner in ("some", "several", "many", *lexicon.NUMBERS) and many:
            yield from ["plural"] * (many.key not in lexicon.MASS)

    def relative(self, i, noun):
        kinds = (self.singular.get(noun) or self.plural[noun]).kinds
        if self.at(i, "who" if "person" in kinds else "that"):
            yield from self.predicate(i + 1)


RECOGNISER = Recogniser()
SPLITS = ("train", "validation")


@cache
def made(split):
    return list(rows("cola", split))


@pytest.mark.parametrize("split", SPLITS)
def test_the_recogniser_agrees_with_every_label(split):
    wrong = [(r.why, r.sentences[0].text) for r in made(split)
             if RECOGNISER.accepts(r.sentences[0].text) != bool(r.label)]  # fmt: skip
    assert wrong == []


def test_the_recogniser_catches_five_per_cent_of_planted_flips():
    data = made("validation")
    flipped = set(random.Random(0).sample(range(len(data)), len(data) // 20))
    caught = {
        i
        for i, row in enumerate(data)
        if RECOGNISER.accepts(row.sentences[0].text) != bool(row.label ^ (i in flipped))
    }
    assert caught == flipped


@pytest.mark.parametrize(("text", "is_sentence"), [
    ("The nurse sold the ring to Anna in Rome on Monday.", True),
    ("Because two dogs weren't bitten by him, she laughed quickly.", True),
    ("Tom knew the nurse who helped a cat that slept failed to sing.", True),
    ("Two dogs that chased the cat was bitten by him.", False),
    ("The nurse rescued.", False),
    ("The nurse slept the dog.", False),
    ("The nurse bought the ring to Anna.", False),
    ("The nurse not did sell the ring to Anna.", False),
    ("An sedan was stolen by her.", False),
    ("The ring was stolen by she.", False),
])  # fmt: skip
def test_the_recogniser_on_hand_written_sentences(text, is_sentence):
    assert RECOGNISER.accepts(text) == is_sentence


class AlwaysFirst(random.Random):
    """Chance that never leaves a site out."""

    def random(self):
        return 0.0


def broken(kind, meaning, style=None, seed=0):
    """Every surface that a kind of violation leaves of a meaning."""
    found, i = set(), 0
    while True:
        root = Builder(random.Random(seed), style or Style(synonyms=0.0)).clause(meaning)
        sites = list(VIOLATIONS[kind](root, AlwaysFirst()))
        if i == len(sites):
            return found
        sites[i]()
        found.add(assemble(root, meaning).text)
        i += 1


SOLD = Event("sell", Thing("nurse", "the", "old"), Thing("car", "a"), Thing("Anna", ""))
HIT = Event("hit", Thing("he", ""), Thing("dog", "two"))
PASSIVE = Style("passive", synonyms=0.0)


@pytest.mark.parametrize(("kind", "meaning", "style", "texts"), [
    ("agreement", HIT, PASSIVE, {"Two dogs was hit by him"}),
    ("agreement", State(Thing("sheep", "some"), "hungry"), None, set()),
    ("verb form", SOLD, None, {"The old nurse sell a car to Anna"}),
    ("verb form", SOLD, PASSIVE, {"A car was sell to Anna by the old nurse"}),
    ("verb form", HIT, None, set()),  # hit, hit, hit
    ("missing object", SOLD, None, set()),  # "sold to Anna" may do
    ("missing object", Event("rescue", Thing("he", ""), Thing("dog")), None, {"He rescued"}),
    ("missing subject", HIT, None, {"Hit two dogs"}),
    ("pronoun case", HIT, None, {"Him hit two dogs"}),
    ("number", SOLD, None, {"The old nurse sold a cars to Anna"}),
    ("article form", SOLD, None, {"The old nurse sold an car to Anna"}),
    ("missing determiner", SOLD, None, {"Old nurse sold a car to Anna",
                                        "The old nurse sold car to Anna"}),
    ("phrase order", SOLD, None, {"Old the nurse sold a car to Anna",
                                  "The nurse old sold a car to Anna",
                                  "The old nurse sold car a to Anna"}),
    ("verb order", HIT, PASSIVE, {"Two dogs hit were by him"}),
    ("converse preposition", SOLD, Style("converse", synonyms=0.0),
     {"Anna bought a car to the old nurse"}),
    ("converse preposition", SOLD, None, set()),  # a car from Anna may be sold
    ("converse preposition", replace(SOLD, verb="give"), Style(synonyms=0.0),
     {"The old nurse gave a car from Anna"}),
    ("object order", HIT, None, {"He two dogs hit"}),
    ("double subject", SOLD, None, {"The old nurse she sold a car to Anna"}),
    ("infinitive", replace(HIT, mode="try"), Style(synonyms=0.0), {"He tried hit two dogs"}),
    ("infinitive", Event("work", Thing("boy"), mode="forget"), None, set()),  # a noun too
])  # fmt: skip
def test_violations_on_hand_worked_trees(kind, meaning, style, texts):
    if kind == "double subject":  # a nurse is he or she
        assert broken(kind, meaning, style) <= {*texts, "The old nurse he sold a car to Anna"}
    else:
        assert broken(kind, meaning, style) == texts


def test_kinds_of_violation_are_many_and_all_used():
    broken_by = Counter(r.why for r in made("train") if not r.label)
    spared = Counter(r.why.removeprefix("no ") for r in made("train") if r.label)
    assert set(broken_by) == set(spared) == set(VIOLATIONS)
    assert min(broken_by.values()) > 30


def test_splits_share_no_sentence_and_the_classes_are_40_to_60():
    texts = {split: {r.sentences[0].text for r in made(split)} for split in SPLITS}
    assert texts["train"].isdisjoint(texts["validation"])
    assert all({side(t) for t in texts[split]} == {split} for split in SPLITS)
    for split in SPLITS:
        assert np.mean([r.label for r in made(split)]) == pytest.approx(0.6, abs=0.05)


def test_words_alone_tell_little():
    """The classes are drawn alike and then broken, so counts of words are a weak cue."""
    texts = {s: [r.sentences[0].text for r in made(s)] for s in SPLITS}
    gold = {s: [r.label for r in made(s)] for s in SPLITS}
    count = CountVectorizer(token_pattern=r"[\w']+")
    model = LogisticRegression(max_iter=300).fit(count.fit_transform(texts["train"]), gold["train"])
    guessed = model.predict(count.transform(texts["validation"]))
    assert 0 < matthews_corrcoef(gold["validation"], guessed) < 0.3
