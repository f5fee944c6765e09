"""The bag of words finds what words give away, and nothing else."""

import random

import pytest
from datasets import Dataset

from bertstudy.baselines import bag_of_words, word_overlap
from bertstudy.errors import BertstudyError
from bertstudy.tasks import task

WORDS = ["red", "green", "blue", "black", "white", "grey", "pink", "brown"]


def pairs(label_of, rows=600, seed=0):
    """Random pairs of four words each."""
    rng = random.Random(seed)
    parts = [(rng.sample(WORDS, 4), rng.sample(WORDS, 4)) for _ in range(rows)]
    return Dataset.from_dict(
        {
            "sentence1": [" ".join(one) for one, _ in parts],
            "sentence2": [" ".join(two) for _, two in parts],
            "label": [label_of(one, two) for one, two in parts],
        }
    )


def accuracy(label_of, name="rte"):
    found = bag_of_words(pairs(label_of), pairs(label_of, 400, seed=1), task(name))
    return found[task(name).metrics[0]]


def test_a_word_of_one_part_is_found():
    assert accuracy(lambda one, two: int("red" in two)) > 99


def test_a_word_that_both_parts_share_is_found():
    assert accuracy(lambda one, two: int("red" in one and "red" in two)) > 95


def test_the_number_of_shared_words_is_found():
    assert accuracy(lambda one, two: int(len(set(one) & set(two)) > 2)) > 90


def test_a_class_that_training_lacks_is_never_the_answer():
    known = Dataset.from_dict({"premise": ["red", "blue"] * 20, "hypothesis": ["."] * 40,
                               "label": [0, 2] * 20})  # fmt: skip
    assert bag_of_words(known, known, task("mnli"))["accuracy"] == 100


def test_order_is_not_seen():
    """Which of the two first words comes first in the alphabet leaves the counts as they are."""
    assert accuracy(lambda one, two: int(one[0] < one[1])) < 60


def test_case_is_not_seen():
    rows = pairs(lambda one, two: int("red" in one))
    upper = rows.map(lambda row: {"sentence1": row["sentence1"].upper()})
    assert bag_of_words(rows, upper, task("rte"))["accuracy"] > 99


def test_a_number_is_predicted_by_regression():
    assert accuracy(lambda one, two: float(len(set(one) & set(two))), "stsb") > 85


def test_of_several_endings_the_one_with_the_telling_word_is_chosen():
    rng = random.Random(0)
    rows = {name: [] for name in ("sent1", "sent2", *(f"ending{i}" for i in range(4)), "label")}
    for _ in range(300):
        label = rng.randrange(4)
        rows["sent1"].append(" ".join(rng.sample(WORDS, 3)))
        rows["sent2"].append("the")
        rows["label"].append(label)
        for i in range(4):
            rows[f"ending{i}"].append(rng.choice(WORDS) + (" right" if i == label else " wrong"))
    data = Dataset.from_dict(rows | {"startphrase": rows["sent1"]})
    assert bag_of_words(data, data, task("swag"))["accuracy"] == pytest.approx(100.0)


def test_spans_are_refused():
    with pytest.raises(BertstudyError, match="squad"):
        bag_of_words(Dataset.from_dict({}), Dataset.from_dict({}), task("squad"))


# Shared words counted -------------------------------------------------------------------------


def overlap_accuracy(label_of, name="rte"):
    found = word_overlap(pairs(label_of), pairs(label_of, 400, seed=1), task(name))
    return found[task(name).metrics[0]]


def test_counting_shared_words_finds_their_number_and_not_their_names():
    assert overlap_accuracy(lambda one, two: int(len(set(one) & set(two)) > 2)) > 99
    assert overlap_accuracy(lambda one, two: int("red" in two)) < 60


def test_shared_words_are_counted_for_words_that_were_never_seen():
    new = dict(zip(WORDS, ["ant", "bee", "cow", "dog", "eel", "fox", "gnu", "hen"], strict=True))

    def renamed(row):
        columns = ("sentence1", "sentence2")
        return {c: " ".join(new[word] for word in row[c].split()) for c in columns}

    label_of = lambda one, two: int(len(set(one) & set(two)) > 2)  # noqa: E731
    known, asked = pairs(label_of), pairs(label_of, 400, seed=1).map(renamed)
    assert word_overlap(known, asked, task("rte"))["accuracy"] > 99
    assert bag_of_words(known, asked, task("rte"))["accuracy"] < 90


def test_shared_words_predict_a_number_by_regression():
    assert overlap_accuracy(lambda one, two: float(len(set(one) & set(two))), "stsb") > 95


@pytest.mark.parametrize("name", ["sst2", "swag", "squad"])
def test_only_pairs_have_shared_words(name):
    with pytest.raises(BertstudyError, match=f"{name} has no pairs"):
        word_overlap(None, None, task(name))
