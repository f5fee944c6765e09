"""The ladder's verdicts on planted numbers, and its records on a tiny study."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from bertstudy import calibration
from bertstudy.editions import edition
from bertstudy.encoder import checkpoint_hash
from bertstudy.errors import BertstudyError
from bertstudy.store import Record, Store

GOOD = {
    "task": "rte",
    "metric": "accuracy",
    "majority": 50.0,
    "words": 62.0,
    "overlap": 58.0,
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


def test_a_loss_without_spread_is_no_gain():
    found = verdict(scratch=[70.0] * 5, pretrained=[60.0] * 5)
    assert found["gained_errors"] == -np.inf
    assert "the gain is -inf standard errors" in found["reason"]


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


# What a real task can say


def said(**changes):
    found = calibration.with_signals(pd.DataFrame([GOOD | changes]))
    return calibration.can_say(found).iloc[0]


def test_a_planted_signal_can_be_asked():
    assert said().startswith("claims can be decided: pre-training shows by 22.4 standard errors")
    assert "bag of words" not in said()


def test_a_bag_of_words_that_does_as_well_is_said():
    assert "a bag of words does as well (70.5)" in said(words=70.5)
    assert "bag of words" not in said(words=np.nan), "spans have none"


def test_counting_shared_words_that_does_as_well_is_said():
    assert "counting shared words does as well (70.5), so finding equal" in said(overlap=70.5)
    assert "bag of words" not in said(overlap=70.5)
    assert "shared words" not in said(overlap=60.0)


@pytest.mark.parametrize(
    ("changes", "rival"),
    [({"pretrained": GOOD["scratch"]}, "training from scratch"), ({"majority": 71.0}, "majority")],
)
def test_a_planted_null_says_nothing_and_names_the_nearest_rival(changes, rival):
    assert said(**changes).startswith("nothing about what pre-training taught: ")
    assert rival in said(**changes)


def test_too_few_seeds_say_nothing_yet():
    assert said(scratch=[60.0], pretrained=[70.0]) == "nothing yet: fewer than 5 seeds"


def test_an_editions_records_are_those_of_its_checkpoint_and_recipes(tmp_path, monkeypatch):
    for name in ("_config.yml", "notebooks/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setenv("BERTSTUDY_HOME", str(tmp_path))
    mini = edition("mini")
    checkpoint, settings = checkpoint_hash(mini.checkpoint), asdict(mini.recipe("rte"))
    store = Store(tmp_path / "store", tmp_path / "results" / "mini")

    def ship(seed, data="a", **changes):
        model = {"checkpoint": checkpoint, "task": "rte", "train": data, "validation": "b"}
        model |= {"seed": seed, "start": "scratch", "settings": settings} | changes
        values = {"scores": {"accuracy": 60.0}, "majority": {"accuracy": 50.0}}
        store.ship(store.measure("scores", {"model": model}, lambda: values))

    ship(1)
    ship(0)
    other = asdict(mini.recipe("sst2"))
    ship(0, data="c", task="sst2", settings=other)
    ship(2, checkpoint="other")
    ship(3, settings=settings | {"epochs": 99})
    for data in ("a", "older"):
        recipe = {"task": "rte", "train": data, "validation": "b"}
        store.ship(store.measure("bag_of_words", recipe, lambda: {"scores": {"accuracy": 55.0}}))
    found = calibration.recorded("mini")
    order = [(r.recipe["model"]["task"], r.recipe["model"]["seed"]) for r in found[:3]]
    assert order == [("sst2", 0), ("rte", 0), ("rte", 1)]
    assert [r.recipe["train"] for r in found[3:]] == ["a"]
    assert calibration.tabulate(found)["words"].tolist()[1:] == [55.0]
    with pytest.raises(BertstudyError, match="does not come with the project"):
        calibration.recorded("base")


def test_no_records_of_a_checkpoint_are_an_error(tmp_path, monkeypatch):
    for name in ("_config.yml", "notebooks/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setenv("BERTSTUDY_HOME", str(tmp_path))
    with pytest.raises(BertstudyError, match="no scores of edition 'small' are recorded"):
        calibration.recorded("small")


# Heuristics


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
    counted = replace(WORDS, measurement="word_overlap", values={"scores": {"accuracy": 58.0}})
    table = calibration.tabulate([WORDS, counted, *made, scores("qnli", 0, "scratch", 55.0)])
    rte, qnli = table.to_dict("records")
    assert (rte["majority"], rte["words"], rte["overlap"]) == (50.0, 61.0, 58.0)
    assert (rte["scratch"], rte["pretrained"]) == ([60.0, 61.0], [70.0, 71.0])
    assert np.isnan(qnli["words"])
    assert np.isnan(qnli["overlap"])
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
