"""The synthetic SWAG, WNLI and FrameNet: rows, and labels by a second route from text to meaning.

`Following` adds to `Reader` what the world is like: what pleases whom, and who has what when.
"""

import random
from functools import cache

import datasets
import numpy as np
import pytest
from reader import Reader

from bertstudy.synthetic import lexicon, load, world
from bertstudy.synthetic.tasks import rows

SPLITS = ("train", "validation")
TASKS = ("swag", "wnli", "framenet")
# Written out here, so that a verb in the wrong one of the world's tables is noticed.
KINDLY = {
    *("help", "rescue", "cure", "praise", "thank", "adore", "respect", "trust", "hug", "defend"),
    *("hire", "greet", "release", "amuse", "like", "invite"),
}
UNKINDLY = {
    *("criticize", "blame", "detest", "despise", "hit", "kick", "punch", "harm", "injure", "bite"),
    *("attack", "fire", "deceive", "bore", "dislike", "push", "capture"),
}
PLEASANT = {"happy"}
UNPLEASANT = {"angry", "sad"}


class Following(Reader):
    """A reader that also knows how people feel about what is done to them."""

    def facts(self, text):
        return super().facts(text.removeprefix("So ").removeprefix("so "))

    def follows(self, first, second):
        """Whether something the first sentence tells makes the second true."""
        (claim,) = self.facts(second)
        return any(self.entails(f, claim) or self.feels(f, claim) for f in self.facts(first))

    def feels(self, fact, claim):
        if claim["verb"] != "be" or claim["negated"] or fact["negated"]:
            return False
        mood = (PLEASANT if fact["verb"] in KINDLY else
                UNPLEASANT if fact["verb"] in UNKINDLY else set())  # fmt: skip
        return claim["theme"] == fact.get("theme") and claim["quality"] in mood

    def meant(self, text):
        """The role of the one whom the pronoun of a WNLI sentence means, and who that is."""
        words = text.lower().split()
        link = next(w for w in words if w in lexicon.CONNECTIVES)
        first, second = self.facts(text)
        event, said = (second, first) if second["verb"] not in ("be", "have") else (first, second)
        return event[self.role(link, event, said)], said

    def role(self, link, event, said):
        if said["verb"] == "have":
            return "agent" if link == "before" or event["negated"] else "recipient"
        return "agent" if said["quality"] in ("kind", "cruel") else "theme"


READER = Following()


@cache
def made(task, split):
    return list(rows(task, split))


def read_swag(columns):
    """The ending that follows from the first sentence; None unless it is the only one."""
    endings = [f"{columns['sent2']} {columns[f'ending{i}']}" for i in range(4)]
    found = [i for i, e in enumerate(endings) if READER.follows(columns["sent1"], e)]
    return found[0] if len(found) == 1 else None


def read_wnli(columns):
    """1 if the second sentence names the one whom the pronoun means."""
    (number, _, noun), said = READER.meant(columns["sentence1"])
    (claim,) = READER.facts(columns["sentence2"])
    key = "theme" if claim["verb"] == "be" else "agent"
    same_claim = said["verb"] == claim["verb"] and said.get("quality") == claim.get("quality")
    return int(same_claim and claim[key] == (number, "", noun))


READ = {"swag": read_swag, "wnli": read_wnli}


def columns(task, split):
    """The rows as columns, as `load` gives them."""
    if task == "swag":
        return [dict(r.columns) for r in made(task, split)]
    return [{"sentence1": r.sentences[0].text, "sentence2": r.sentences[1].text, "label": r.label}
            for r in made(task, split)]  # fmt: skip


@pytest.mark.parametrize("task", READ)
@pytest.mark.parametrize("split", SPLITS)
def test_an_independent_reader_agrees_with_every_label(task, split):
    wrong = [row for row in columns(task, split) if READ[task](row) != row["label"]]
    assert wrong == []


@pytest.mark.parametrize("task", READ)
def test_the_reader_catches_five_per_cent_of_planted_flips(task):
    data = columns(task, "train")[:500]
    flipped = set(random.Random(0).sample(range(500), 25))
    n_labels = {"swag": 4, "wnli": 2}[task]
    planted = [r | {"label": (r["label"] + (i in flipped)) % n_labels} for i, r in enumerate(data)]
    caught = {i for i, row in enumerate(planted) if READ[task](row) != row["label"]}
    assert caught == flipped


@pytest.mark.parametrize(("first", "second", "does"), [
    ("The nurse rescued Tom because Anna sang.", "So Tom was glad.", True),
    ("The nurse rescued Tom because Anna sang.", "Tom was furious.", False),
    ("Tom failed to sell the poodle to Anna.", "So Tom did not sell Anna the poodle.", True),
    ("Tom sold the poodle to Anna.", "So Anna had the poodle.", True),
    ("Tom sold the poodle to Anna.", "Tom had the poodle.", False),
    ("The baker kissed Tom and the judge hit Anna.", "The judge touched Anna.", True),
    ("The baker kissed Tom and the judge hit Anna.", "The judge touched Tom.", False),
])  # fmt: skip
def test_the_reader_on_hand_written_stories(first, second, does):
    assert READER.follows(first, second) == does


@pytest.mark.parametrize(("text", "who"), [
    ("Before the nurse sold the ring to Tom, she had it.", "nurse"),
    ("After Tom bought the ring from the nurse, he had it.", "tom"),
    ("Because the nurse failed to sell the ring to Tom, he had it.", "nurse"),
    ("Because Tom was rescued by the nurse, he was happy.", "tom"),
    ("Tom was rescued by the nurse because she was kind.", "nurse"),
])  # fmt: skip
def test_whom_a_pronoun_means(text, who):
    assert READER.meant(text)[0][2] == who


# ---- layout --------------------------------------------------------------------------------

TEXT, INT = datasets.Value("string"), datasets.Value("int32")
LAYOUT = {
    "swag": {
        **dict.fromkeys(("video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source",
                         "ending0", "ending1", "ending2", "ending3"), TEXT),
        "label": datasets.ClassLabel(names=["0", "1", "2", "3"]),
    },
    "wnli": {
        "sentence1": TEXT, "sentence2": TEXT,
        "label": datasets.ClassLabel(names=["not_entailment", "entailment"]), "idx": INT,
    },
    "framenet": {
        "sentence": TEXT, "frame": TEXT, "lu": TEXT, "target_start": INT, "target_end": INT,
        "fe_name": datasets.List(TEXT), "fe_start": datasets.List(INT),
        "fe_end": datasets.List(INT), "fe_core": datasets.List(datasets.Value("bool")),
        "source": TEXT, "document": TEXT,
    },
}  # fmt: skip
SIZES = {"swag": (3000, 500), "wnli": (600, 70), "framenet": (2000, 500)}


@pytest.mark.parametrize("task", TASKS)
def test_columns_features_and_sizes(task):
    data = load(task, "validation")
    assert dict(data.features) == LAYOUT[task]
    assert (len(made(task, "train")), len(data)) == SIZES[task]
    assert columns(task, "validation") == data.to_list() if task == "swag" else True


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_sentence(task):
    said = {s: {x.text for r in made(task, s) for x in r.sentences} for s in SPLITS}
    assert said["train"].isdisjoint(said["validation"])
    assert all({world.side(t) for t in said[s]} == {s} for s in SPLITS)


def test_swag_rows_are_whole_sentences_cut_after_their_subject():
    for row in made("swag", "train"):
        cells = row.columns
        whole = [f"{cells['sent2']} {cells[f'ending{i}']}" for i in range(4)]
        assert [cells["sent1"], *whole] == [s.text for s in row.sentences]
        assert cells["startphrase"] == f"{cells['sent1']} {cells['sent2']}"
        assert len(set(whole)) == 4
        assert (
            max(len(s.words) for s in row.sentences[1:]) + len(row.sentences[0].words) < 56
        )  # and three specials, in 64 pieces


@pytest.mark.parametrize(("task", "n_labels"), [("swag", 4), ("wnli", 2)])
def test_labels_are_even(task, n_labels):
    shares = np.bincount([r.label for r in made(task, "train")]) / len(made(task, "train"))
    assert shares == pytest.approx([1 / n_labels] * n_labels, abs=0.05)


# ---- frames --------------------------------------------------------------------------------


def test_frame_spans_are_whole_phrases_in_the_order_of_the_text():
    for row in made("framenet", "validation"):
        c, words = row.columns, row.sentences[0].words
        starts, ends = {w.start for w in words}, {w.end for w in words}
        (target,) = [w for w in words if w.start == c["target_start"]]
        assert (target.end, f"{target.lemma}.v") == (c["target_end"], c["lu"])
        assert target.pos == "VERB"
        assert c["fe_start"] == sorted(c["fe_start"])
        assert set(c["fe_start"]) <= starts
        assert set(c["fe_end"]) <= ends
        assert len(c["fe_name"]) == len(set(c["fe_name"])) == len(c["fe_core"])
        assert not any(a <= target.start < b
                       for a, b in zip(c["fe_start"], c["fe_end"], strict=True))  # fmt: skip


def elements(columns):
    text = columns["sentence"]
    spans = zip(columns["fe_name"], columns["fe_start"], columns["fe_end"], columns["fe_core"],
                strict=True)  # fmt: skip
    return {name: (text[a:b], is_core) for name, a, b, is_core in spans}


def test_circumstances_are_read_off_the_text_too():
    """Places, times and manners in the text of a sentence of one verb are elements of its frame."""
    reader, n = Reader(), 0
    for row in made("framenet", "train"):
        if len(row.sentences[0].frames) > 1:
            continue
        _, found = reader.take_adverbials(
            row.columns["sentence"].lower().rstrip(".").replace(",", "").split()
        )
        names = {k.capitalize() for k in found}
        assert names == {k for k, (_, is_core) in elements(row.columns).items() if not is_core}
        n += bool(found)
    assert n > 300


def heard(columns):
    """Element to noun, by the reader; None where the sentence says of nothing that it happened."""
    reader = Reader()
    for fact in reader.facts(columns["sentence"]):
        said = lexicon.VERBS[reader.base[columns["lu"].removesuffix(".v")]]
        assert fact["verb"] in (said.key, reader.base_of.get(said.key))
        names = dict(zip(world.ROLES, lexicon.elements(columns["frame"]), strict=True))
        return {names[k]: v[2] for k, v in fact.items() if k in names}
    return None


def core(columns):
    """Element to noun, by the annotation: compared by the last word of each element."""
    nouns = Reader().nouns
    last = {k: t.split()[-1].lower() for k, (t, is_core) in elements(columns).items() if is_core}
    return {k: nouns.get(word, word) for k, word in last.items()}


@cache
def of_one_frame():
    alone = [r.columns for r in made("framenet", "train") if len(r.sentences[0].frames) == 1]
    return [c for c in alone if heard(c) is not None]


def test_core_elements_are_the_roles_that_the_reader_hears():
    """Who and what, in each voice."""
    assert len(of_one_frame()) > 500
    assert [c for c in of_one_frame() if heard(c) != core(c)] == []


def test_five_per_cent_of_exchanged_elements_are_caught():
    data = [c for c in of_one_frame() if len({*list(core(c).values())[:2]}) == 2]
    planted = set(random.Random(0).sample(range(len(data)), len(data) // 20))
    caught = set()
    for i, columns in enumerate(data):
        names = list(columns["fe_name"])
        if i in planted:
            a, b, *_ = (at for at, is_core in enumerate(columns["fe_core"]) if is_core)
            names[a], names[b] = names[b], names[a]
        if heard(columns) != core(columns | {"fe_name": names}):
            caught.add(i)
    assert planted
    assert caught == planted


def remote(columns):
    """Whether the paper's filters keep it: short, elements of 1 to 3 words beyond two others."""
    spaced = columns["sentence"].replace(".", " .").replace(",", " ,").replace("n't", " n't")
    tokens, place = spaced.split(), len(columns["sentence"][: columns["target_start"]].split())
    lengths = [len(text.split()) for text, _ in elements(columns).values()]
    if len(tokens) > 12 or max(lengths) > 3:
        return False
    text = columns["sentence"]
    gaps = [len(text[b : columns["target_start"]].split()) if b <= columns["target_start"]
            else len(text[columns["target_end"] : a].split())
            for a, b in zip(columns["fe_start"], columns["fe_end"], strict=True)]  # fmt: skip
    return place > 0 and min(gaps) >= 2 and any(columns["fe_core"])


def test_enough_rows_pass_the_filters_of_kovaleva_et_al():
    kept = [r for r in made("framenet", "train") if remote(r.columns)]
    assert len(kept) > 250
    assert len({r.columns["frame"] for r in kept}) > 10
