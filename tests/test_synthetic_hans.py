"""The synthetic HANS and AX, and the bias of the synthetic MNLI that HANS exposes.

`HansReader` is a second route from a pair to its label: a small parser of surface words that
lists the acts a sentence asserts. It knows no subcase and no tree.
"""

import os
import random
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from reader import Reader

from bertstudy.synthetic import lexicon, load
from bertstudy.synthetic.grammar import Node, assemble
from bertstudy.synthetic.meaning import Event, Thing
from bertstudy.synthetic.tasks import diagnostic, hans, rows
from bertstudy.synthetic.world import side

BESIDE = {"near", "behind", "beside"}
FACTIVE = {"knew", "realized", "remembered", "regretted"}
SURE = {"certainly", "definitely", "clearly", "obviously", "undoubtedly"}
DOUBTFUL = {"maybe", "perhaps", "probably", "supposedly", "hopefully", "if", "unless"}
LINKS = {"because", "although", "after", "while"}


class HansReader(Reader):
    """The acts asserted by a sentence, as (who, verb, whom, where)."""

    def asserted(self, text):
        self.words, self.acts, self.at = text.lower().replace(",", " ,").rstrip(".").split(), [], 0
        first = self.words[0]
        if first in DOUBTFUL or "or" in self.words:
            return []
        if first in LINKS and "," not in self.words:  # the first clause has no object then
            self.at = 1
            self.act(self.core(), self.take())
        elif first in SURE | LINKS:
            self.at = 1
            self.told()
            self.at += self.next() == ","
        if self.next():
            self.told()
        return self.acts

    def next(self, ahead=0):
        at = self.at + ahead
        return self.words[at] if at < len(self.words) else ""

    def take(self):
        self.at += 1
        return self.words[self.at - 1]

    def act(self, who, verb, whom=None, where=""):
        self.acts.append((who, verb, whom, where))

    def core(self):
        """Article or number, adjectives, noun: what tells the people of a pair apart."""
        number = self.take() if self.next() in self.determiners else ""
        while self.next() in self.adjectives:
            self.take()
        return number, self.nouns[self.take()]

    def people(self):
        """A noun phrase with what hangs on it; more than one where "and" joins nouns."""
        found = [self.core()]
        if self.next() in BESIDE:
            self.take()
            self.core()
        elif self.next() == "who":
            self.take()
            verb = self.take()
            self.act(found[0], verb, self.core() if self.next() in self.determiners else None)
        elif self.next() == "and":
            start = self.at
            self.take()
            found.append(self.core())
            if start > 3 and self.next() in self.past:  # a clause follows, not a second object
                self.at = start
                found.pop()
        return found

    def place(self):
        if self.next() not in ("in", "at", "on"):
            return ""
        phrase = " ".join(self.words[self.at : self.at + 3])
        self.at += 3
        return phrase

    def told(self):
        subjects, verb = self.people(), self.take()
        if verb in ("was", "were"):
            verb, _ = self.take(), self.take()
            return self.act(self.core(), verb, subjects[0])
        where = self.place()
        if where and self.next() in self.past:  # "the nurse helped in the park sang"
            verb, where = self.take(), ""
        if self.embeds(verb):
            return self.embedded(verb)
        objects = [None]
        if self.next() and self.next() != "and" and self.next() != ",":
            objects = self.people()
        if self.next() in self.past:  # "hugged the nurse helped in the park"
            self.take()
            self.place()
        for who in subjects:
            for whom in objects:
                self.act(who, verb, whom, where)
        if self.next() == "and":
            self.take()
            self.told()
        return None

    def embeds(self, verb):
        """Whether a clause follows, not a person: "knew the nurse slept"."""
        kind = lexicon.VERBS[self.past[verb]].theme
        rest = self.words[self.at :]
        return kind == "clause" and any(word in self.past for word in rest)

    def embedded(self, verb):
        self.at += self.next() == "that"
        if verb in FACTIVE:
            self.told()

    def label(self, row):
        """0 if what the hypothesis asserts is among what the premise asserts."""
        ((who, verb, whom, where),) = self.asserted(row["hypothesis"])
        return int(not any(
            (who, verb) == act[:2] and whom in (None, act[2]) and where in ("", act[3])
            for act in self.asserted(row["premise"])
        ))  # fmt: skip


READER = HansReader()


@cache
def data(task, split):
    return load(task, split).to_list()


def words(text):
    return re.findall(r"[\w']+|[.,]", text)


# ---- labels --------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_independent_reader_agrees_with_every_label(split):
    wrong = [r for r in data("hans", split) if READER.label(r) != r["label"]]
    assert wrong == []


def test_the_reader_catches_five_per_cent_of_planted_flips():
    made = data("hans", "validation")
    flipped = set(random.Random(0).sample(range(len(made)), len(made) // 20))
    planted = [r | {"label": 1 - r["label"]} if i in flipped else r for i, r in enumerate(made)]
    assert {i for i, r in enumerate(planted) if READER.label(r) != r["label"]} == flipped


@pytest.mark.parametrize(("premise", "hypothesis", "label"), [
    ("The nurse near the boy hugged the cook.", "The nurse hugged the cook.", 0),
    ("The nurse near the boy hugged the cook.", "The boy hugged the cook.", 1),
    ("The boy was hugged by two cooks.", "Two cooks hugged the boy.", 0),
    ("After the cook called the boy slept.", "The cook called the boy.", 1),
    ("The cook knew that the boy slept.", "The boy slept.", 0),
    ("The cook knew the boy slept.", "The cook knew the boy.", 1),
    ("The boy slept and the cook sang.", "The cook sang.", 0),
])  # fmt: skip
def test_the_reader_labels_hand_written_pairs(premise, hypothesis, label):
    assert READER.label({"premise": premise, "hypothesis": hypothesis}) == label


# ---- the three heuristics, literally -------------------------------------------------------


def test_the_hypothesis_has_only_words_of_the_premise():
    for row in data("hans", "validation") + data("hans", "train"):
        premise, hypothesis = (words(row[k].lower()) for k in ("premise", "hypothesis"))
        assert not Counter(hypothesis) - Counter(premise), row


def test_a_subsequence_is_one_run_of_the_premise():
    for row in data("hans", "validation"):
        premise, hypothesis = (" ".join(words(row[k].lower())[:-1]) + " " for k in
                               ("premise", "hypothesis"))  # fmt: skip
        is_run = f" {hypothesis}" in f" {premise}"
        assert is_run == (row["heuristic"] != "lexical_overlap") or row["subcase"].startswith("l")
        assert row["heuristic"] != "subsequence" or is_run


def subtrees(text):
    """(label, tokens) of every bracket, read from the string alone."""
    stack, found, tokens = [], [], []
    for part in re.findall(r"\(|\)|[^\s()]+", text):
        if part == "(":
            stack.append([None, len(tokens)])
        elif part == ")":
            label, start = stack.pop()
            found.append((label, tokens[start:]))
        elif stack[-1][0] is None:
            stack[-1][0] = part
        else:
            tokens.append(part)
    assert not stack, text
    return found, tokens


@pytest.mark.parametrize("part", ["premise", "hypothesis"])
def test_parses_read_back_to_the_sentence(part):
    for row in data("hans", "validation"):
        found, tokens = subtrees(row[f"parse_{part}"])
        assert tokens == words(row[part])
        assert found[-1][0] == "ROOT"
        assert [label for label, _ in found].count("ROOT") == 1
        binary = row[f"binary_parse_{part}"].split()
        assert [w for w in binary if w not in "()"] == tokens
        assert binary.count("(") == binary.count(")") == len(tokens) - 1  # two parts in each
        depth = 0
        for word in binary[:-1]:
            depth += {"(": 1, ")": -1}.get(word, 0)
            assert depth > 0


def test_a_constituent_is_a_clause_of_the_premises_parse():
    for row in data("hans", "validation"):
        if row["heuristic"] == "constituent":
            clause = [w.lower() for w in words(row["hypothesis"])[:-1]]
            found, _ = subtrees(row["parse_premise"])
            assert ("S", clause) in [(label, [w.lower() for w in t]) for label, t in found], row


def test_the_parse_of_a_hand_worked_sentence():
    def noun(text):
        return Node(text, "NOUN", text, [("det", Node("the", "DET"))])

    nurse, boy = noun("nurse"), noun("boy")
    nurse.after = [("acl:relcl", Node("slept", "VERB", "sleep", [("nsubj", Node("who", "PRON"))]))]
    root = Node("hugged", "VERB", "hug", [("nsubj", nurse)],
                [("obj", boy), ("punct", Node(".", "PUNCT"))])  # fmt: skip
    tree = hans.parse(assemble(root, Event("hug", Thing("nurse"), Thing("boy"))))
    assert str(tree) == (
        "(ROOT (S (NP (NP (DT The) (NN nurse)) (SBAR (WHNP (WP who)) (S (VP (VBD slept))))) "
        "(VP (VBD hugged) (NP (DT the) (NN boy))) (. .)))"
    )
    assert tree.binary == "( ( ( The nurse ) ( who slept ) ) ( ( hugged ( the boy ) ) . ) )"


# ---- layout --------------------------------------------------------------------------------

COLUMNS = ["premise", "hypothesis", "label", "parse_premise", "parse_hypothesis",
           "binary_parse_premise", "binary_parse_hypothesis", "heuristic", "subcase",
           "template"]  # fmt: skip


def test_columns_are_the_hubs():
    made = load("hans", "train")
    assert made.column_names == COLUMNS
    assert made.features["label"].names == ["entailment", "non-entailment"]
    assert {str(made.features[c].dtype) for c in COLUMNS if c != "label"} == {"string"}
    other = load("ax", "test")
    assert other.column_names == ["premise", "hypothesis", "label", "idx"]
    assert other.features["label"].names == ["entailment", "neutral", "contradiction"]


@pytest.mark.skipif("BERTSTUDY_HUB" not in os.environ, reason="BERTSTUDY_HUB names no folder")
def test_columns_and_subcases_are_those_of_the_real_files():
    from datasets import load_dataset

    hub = Path(os.environ["BERTSTUDY_HUB"])
    real = load_dataset(str(hub / "jhu-cogsci/hans"), "plain_text", split="validation")
    assert load("hans", "validation").features == real.features
    ours = {(r["heuristic"], r["subcase"], r["label"]) for r in data("hans", "validation")}
    assert ours == set(zip(real["heuristic"], real["subcase"], real["label"], strict=True))
    real = load_dataset(str(hub / "nyu-mll/glue"), "ax", split="test")
    assert load("ax", "test").features == real.features


@pytest.mark.parametrize(("split", "each"), [("train", 30), ("validation", 60)])
def test_every_subcase_has_the_same_number_of_rows(split, each):
    made = data("hans", split)
    assert set(Counter(r["subcase"] for r in made).values()) == {each}
    assert len({r["subcase"] for r in made}) == 30
    cells = Counter((r["heuristic"], r["label"]) for r in made)
    assert len(cells) == 6
    assert set(cells.values()) == {5 * each}
    assert all(len({r["subcase"] for r in made if r["template"] == t}) == 1
               for t in {r["template"] for r in made})  # fmt: skip


def test_splits_share_no_sentence():
    texts = {split: {r[k] for r in data("hans", split) for k in ("premise", "hypothesis")}
             for split in ("train", "validation")}  # fmt: skip
    texts["test"] = {r[k] for r in data("ax", "test") for k in ("premise", "hypothesis")}
    assert texts["train"].isdisjoint(texts["validation"] | texts["test"])
    assert {side(t) for t in texts["train"]} == {"train"}
    assert {side(t) for t in texts["validation"] | texts["test"]} == {"validation"}


# ---- AX ------------------------------------------------------------------------------------

PLANS = {("fail", False): "no", ("fail", True): "yes", ("forget", True): "yes",
         ("manage", True): "no", ("refuse", False): "no", ("try", False): "",
         ("plan", False): ""}  # fmt: skip


def read_quantity(premise, hypothesis):
    """The law of each pair of quantifiers; a number of one kind stands for any."""
    first, second = (re.sub("|".join(lexicon.NUMBERS), "number", t.lower().split()[0])
                     .replace("an", "a") for t in (premise, hypothesis))  # fmt: skip
    laws = {("every", "a"): 0, ("a", "every"): 1, ("no", "a"): 2, ("number", "no"): 2,
            ("number", "some"): 0, ("some", "number"): 1}  # fmt: skip
    return laws[first, second]


def read_plan(premise, _):
    bare = premise.replace("n't", " not").replace(" did not ", " ").split()
    denied = bare != premise.split()
    to = bare.index("to")
    verb = bare[to - 1]
    key = READER.base[verb] if denied else READER.past[verb]
    return PLANS[key, denied]


def read_linked(premise, hypothesis):
    """ "and" holds both, "or" either, and a single clause says nothing of a second."""
    denied = " not " in hypothesis.replace("n't", " not")
    is_longer = len(words(hypothesis)) > len(words(premise))
    if denied:
        return 2
    return {(" and ", False): 0, (" and ", True): 1, (" or ", False): 1, (" or ", True): 0}[
        " or " if " or " in premise + hypothesis else " and ", is_longer
    ]


@cache
def ax():
    return [(r.why, r.label, *(s.text for s in r.sentences)) for r in rows("ax", "test")]


def read_ax(why, premise, hypothesis):
    """The label, for the categories that have a law of their own or that facts decide."""
    if why == "quantity":
        return read_quantity(premise, hypothesis)
    if why in ("plans", "double negation"):
        happened = {"yes": True, "no": False}.get(read_plan(premise, hypothesis))
        claims = " not " not in hypothesis.replace("n't", " not")
        return 1 if happened is None else 0 if happened == claims else 2
    if why in ("and", "or"):
        return read_linked(premise, hypothesis)
    if why == "definitions":
        kinds = [lexicon.NOUNS[READER.nouns[words(t)[-2]]] for t in (premise, hypothesis)]
        return (0 if kinds[1].key in kinds[0].kinds else 1 if kinds[0].key in kinds[1].kinds
                else 2)  # fmt: skip
    facts, (claim,) = READER.facts(premise), READER.facts(hypothesis)
    if any(READER.entails(fact, claim) for fact in facts):
        return 0
    if why == "outcomes" and claim["negated"]:
        return 2
    return 2 if why in ("negation", "opposites") else 1


def test_ax_labels_are_read_again_from_the_surface():
    assert [r for r in ax() if read_ax(r[0], r[2], r[3]) != r[1]] == []


def test_ax_flips_are_caught():
    made = ax()
    for i in random.Random(0).sample(range(len(made)), len(made) // 20):
        why, label, premise, hypothesis = made[i]
        assert read_ax(why, premise, hypothesis) != (label + 1) % 3


def test_ax_has_every_category_and_label():
    made = ax()
    assert len(made) == 600
    assert {(why, label) for why, label, *_ in made} == {m[:2] for m in diagnostic.MAKERS}
    assert max(Counter(label for _, label, *_ in made).values()) / len(made) < 0.5


# ---- what HANS is made to expose -----------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "validation_mismatched"])
def test_mnli_hypotheses_without_a_new_word_are_always_entailed(split):
    made = list(rows("mnli", split))
    tokens = [[{w.text.lower() for w in s.words} for s in r.sentences] for r in made]
    overlapping = [r.label for r, (one, two) in zip(made, tokens, strict=True) if two <= one]
    entailed = sum(r.label == 0 for r in made)
    assert set(overlapping) == {0}
    assert len(overlapping) / entailed > 0.35
