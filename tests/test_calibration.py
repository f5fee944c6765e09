"""The ladder's verdicts on planted numbers, and its records on a tiny study."""

import numpy as np
import pandas as pd
import pytest

from bertstudy import calibration
from bertstudy.store import Record

GOOD = {
    "task": "rte",
    "metric": "accuracy",
    "majority": 50.0,
    "words": 62.0,
    "scratch": [59.0, 60.0, 61.0, 60.0, 60.0],
    "pretrained": [70.0, 71.0, 69.0, 70.0, 70.0],
}


def verdict(**changes):
    return calibration.judged(pd.DataFrame([GOOD | changes])).iloc[0]


def test_a_planted_ladder_is_calibrated():
    found = verdict()
    assert found["calibrated"]
    assert found["reason"] == ""
    assert found["learnt"] == pytest.approx(10.0)
    assert found["gained"] == pytest.approx(10.0)
    # Both starts have a standard deviation of sqrt(.5), so the difference has sqrt(.2).
    assert found["gained_errors"] == pytest.approx(10 / np.sqrt(0.2))
    assert found["over_words"] == pytest.approx(8.0)
    assert found["signal"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"majority": 56.0}, "from scratch is only +4.0 over the majority"),
        ({"scratch": [66.0] * 5}, "pre-training gains only +4.0"),
        ({"pretrained": [40.0, 100.0, 90.0, 60.0, 60.0]}, "standard errors"),
        ({"words": 66.0}, "pre-trained is +4.0 over the bag of words"),
        ({"pretrained": [96.0] * 5}, "saturated: 96.0"),
    ],
)
def test_whatever_is_missing_is_named(changes, reason):
    found = verdict(**changes)
    assert not found["calibrated"]
    assert reason in found["reason"]


def test_a_planted_null_has_neither_gain_nor_signal():
    found = verdict(pretrained=GOOD["scratch"])
    assert not found["calibrated"]
    assert not found["signal"]


def test_words_may_decide_sentiment():
    assert verdict(task="sst2", words=69.0)["calibrated"]


def test_spans_have_no_bag_of_words():
    assert verdict(task="squad", words=np.nan)["calibrated"]


def test_fewer_than_five_seeds_say_nothing_of_signal():
    assert verdict(scratch=[60.0, 60.1], pretrained=[70.0, 70.1])["signal"] is None


def test_one_seed_has_no_spread_and_is_not_calibrated():
    found = verdict(scratch=[60.0], pretrained=[70.0])
    assert np.isnan(found["gained_errors"])
    assert not found["calibrated"]


def test_no_nli_model_gives_an_empty_table():
    assert calibration.heuristics_table([]).empty


def test_heuristics_table_hand_worked():
    def record(entailed, other):
        shares = {"lexical_overlap entailment": entailed, "lexical_overlap non-entailment": other}
        return Record("hans", {}, {"accuracy": shares}, {}, "computed")

    table = calibration.heuristics_table([record(90.0, 10.0), record(80.0, 30.0)])
    assert list(table["gold label"]) == ["entailment", "non-entailment"]
    assert list(table["accuracy (%)"]) == [85.0, 20.0]
    assert table["sd over seeds"].tolist() == pytest.approx([np.sqrt(50), np.sqrt(200)])
    assert list(table["seeds"]) == [2, 2]


def scores(task, seed, start, value):
    model = {"task": task, "seed": seed, "start": start}
    values = {"scores": {"accuracy": value}, "majority": {"accuracy": 50.0}, "examples": 9}
    return Record("scores", {"model": model, "version": 1}, values, {}, "computed")


WORDS = Record(
    "bag_of_words",
    {"task": "rte", "train": "t", "validation": "v"},
    {"scores": {"accuracy": 61.0}},
    {},
    "computed",
)


def test_records_become_one_row_a_task():
    made = [scores("rte", s, start, v + s) for start, v in (("scratch", 60.0), ("pretrained", 70.0))
            for s in range(2)]  # fmt: skip
    table = calibration.tabulate([WORDS, *made, scores("qnli", 0, "scratch", 55.0)])
    rte, qnli = table.to_dict("records")
    assert (rte["majority"], rte["words"]) == (50.0, 61.0)
    assert (rte["scratch"], rte["pretrained"]) == ([60.0, 61.0], [70.0, 71.0])
    assert np.isnan(qnli["words"])
    assert qnli["pretrained"] == []


class Scored:
    """A study whose models score 60 from scratch and 70 pre-trained, each by seed a little more."""

    def __init__(self, seeds):
        self.tasks, self.seeds, self.asked = ("rte", "qnli"), range(seeds), []

    def scores(self, task, seed, start):
        self.asked.append(start)
        return scores(task, seed, start, {"scratch": 60.0, "pretrained": 70.0}[start] + seed)


def test_signals_need_five_seeds_and_train_from_scratch_only_then():
    few, enough = Scored(4), Scored(6)
    none = calibration.signals(few)
    assert set(few.asked) == {"pretrained"}
    assert none["signal"].tolist() == [None, None]
    assert none["scratch"].tolist() == [[], []]
    found = calibration.signals(enough)
    assert found["task"].tolist() == ["rte", "qnli"]
    assert found["signal"].tolist() == [True, True]
    assert found["scratch"].tolist() == [[60.0, 61.0, 62.0, 63.0, 64.0]] * 2
    # Each start has a standard error of sqrt(2.5 / 5), so the difference has 1.
    assert found["errors"].tolist() == pytest.approx([10.0, 10.0])
    assert "words" not in found
