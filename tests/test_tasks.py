"""Tasks: data laid out like the hub, labels that may be withheld, and scores worked by hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from models import lay_out
from scipy import stats
from sklearn import metrics

from bertstudy.editions import EDITIONS, edition
from bertstudy.errors import BertstudyError
from bertstudy.synthetic.tasks import TASKS as MADE
from bertstudy.tasks import (
    METRIC_NAMES,
    METRICS,
    TASKS,
    fingerprint,
    load,
    load_unlabelled,
    majority,
    predictions,
    score,
    task,
)

ROWS = {
    "sentence1": [f"first {n}" for n in range(6)],
    "sentence2": [f"second {n}" for n in range(6)],
    "label": [0, 1, 1, 0, 1, 1],
    "idx": list(range(6)),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """What `datasets` keeps between calls must not outlive a test."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


# Names ------------------------------------------------------------------------------------------


def test_unknown_tasks_get_the_allowed_names():
    with pytest.raises(BertstudyError) as caught:
        task("mrcp")
    message = str(caught.value)
    assert "unknown task 'mrcp' (did you mean mrpc?)" in message
    assert all(name in message for name in TASKS)
    assert "\n" not in message
    with pytest.raises(BertstudyError, match=r"unknown task 'xyzzy'; allowed"):
        task("xyzzy")


def test_every_task_is_whole():
    for name, found in TASKS.items():
        assert found.name == name
        assert found.metrics
        assert set(found.metrics) <= set(METRIC_NAMES)
        assert found.is_regression == (name == "stsb")
        assert len(set(found.labels)) == len(found.labels)
        assert bool(found.labels) == (found.kind in ("classification", "choice"))
        assert (set(found.metrics) <= set(METRICS)) == (found.kind != "spans")
        assert found.gold == ("answers" if found.kind == "spans" else "label")
        assert not found.trained_on or task(found.trained_on).kind == found.kind
    assert set(METRICS) | {"token_f1", "exact"} == set(METRIC_NAMES)


def test_every_edition_names_known_tasks():
    for found in EDITIONS.values():
        assert set(found.tasks) <= set(TASKS)
        assert set(found.recipes) <= set(TASKS)
        assert set(found.live_seeds) <= set(found.seeds)
        assert (found.architecture is None) == (found.pretraining is None)
        for name in found.tasks:
            assert found.recipe(name) is found.recipes.get(name, found.fine_tuning)


def test_unknown_editions_and_sources_are_refused(tmp_path):
    with pytest.raises(BertstudyError, match="unknown edition 'tiny'; allowed: mini, small, base"):
        edition("tiny")
    with pytest.raises(BertstudyError, match="is not a folder; allowed: synthetic, hub"):
        edition("mini", str(tmp_path / "nowhere"))


def test_a_source_replaces_the_editions_own(tmp_path, monkeypatch):
    assert edition("mini").source == edition("mini", "").source == "synthetic"
    assert edition("mini", "hub").source == "hub"
    monkeypatch.chdir(tmp_path)
    assert edition("mini", ".").source == str(tmp_path)
    assert EDITIONS["mini"].source == "synthetic"


# Data ---------------------------------------------------------------------------------------------


def test_a_local_folder_is_read_like_the_hub(tmp_path):
    source = lay_out(tmp_path, train=ROWS, validation={k: v[:2] for k, v in ROWS.items()})
    assert load("mrpc", "train", source).to_dict() == ROWS
    assert load("mrpc", "validation", source)["sentence2"][:] == ["second 0", "second 1"]


def test_folders_laid_out_alike_are_told_apart(tmp_path):
    """Also the same folder before and after a change."""
    for name in ("a", "b"):
        rows = {"sentence": [name], "label": [0], "idx": [0]}
        source = lay_out(tmp_path / name, "cola", train=rows)
        assert load("cola", "train", source).to_dict() == rows
    changed = {"sentence": ["c", "d"], "label": [0, 1], "idx": [0, 1]}
    assert (
        load("cola", "train", lay_out(tmp_path / "a", "cola", train=changed)).to_dict() == changed
    )


def test_the_scored_split_has_the_tasks_own_name(tmp_path):
    rows = {"premise": ["p"], "hypothesis": ["h"], "label": [2]}
    other = {"premise": ["q"], "hypothesis": ["h"], "label": [0]}
    source = lay_out(tmp_path, "mnli", validation_matched=rows, validation_mismatched=other)
    assert load("mnli", "validation", source)["premise"][:] == ["p"]
    assert load("mnli", "validation_mismatched", source)["premise"][:] == ["q"]


def test_unresolved_labels_are_dropped(tmp_path):
    rows = {"premise": list("abcd"), "hypothesis": list("efgh"), "label": [-1, 2, -1, 0]}
    source = lay_out(tmp_path, "snli", train=rows)
    found = load("snli", "train", source)
    assert found.to_dict() == {"premise": ["b", "d"], "hypothesis": ["f", "h"], "label": [2, 0]}


def test_withheld_labels_are_refused(tmp_path):
    source = lay_out(tmp_path, test=ROWS | {"label": [-1] * 6})
    with pytest.raises(BertstudyError, match=r"mrpc/test .*has no labels \(all are -1\)"):
        load("mrpc", "test", source)


def test_a_sample_keeps_its_order_and_depends_on_the_seed(tmp_path):
    rows = {"sentence1": ["a"] * 200, "sentence2": ["b"] * 200, "label": [0, 1] * 100}
    source = lay_out(tmp_path, train=rows | {"idx": list(range(200))})
    chosen = [load("mrpc", "train", source, 50, seed)["idx"][:] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert chosen[0] == sorted(set(chosen[0]))
    assert len(chosen[0]) == 50
    assert max(chosen[0]) > 100, "not the first rows"
    assert len(load("mrpc", "train", source, 1000)) == 200


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"sentence1": ["a"], "label": [0]}, "lacks the column sentence2"),
        ({"sentence1": ["a"], "sentence2": ["b"]}, "lacks the column label"),
        ({"sentence1": [], "sentence2": [], "label": []}, "corresponds to no data"),
    ],
)
def test_data_that_does_not_fit_is_refused(tmp_path, rows, message):
    source = lay_out(tmp_path, train=rows)
    with pytest.raises(BertstudyError, match=message):
        load("mrpc", "train", source)


def test_absent_data_is_named(tmp_path):
    with pytest.raises(BertstudyError, match=r"no data for rte: .* is not there"):
        load("rte", "train", str(tmp_path))
    source = lay_out(tmp_path, train=ROWS)
    for name, split in (("mrpc", "validation"), ("rte", "train")):
        with pytest.raises(BertstudyError, match=f"no data for {name}/{split} from"):
            load(name, split, source)


def test_a_damaged_file_is_one_clear_error(tmp_path):
    source = lay_out(tmp_path, train=ROWS)
    (tmp_path / "nyu-mll/glue/mrpc/train-00000-of-00001.parquet").write_bytes(b"not parquet")
    with pytest.raises(BertstudyError, match="no data for mrpc/train") as caught:
        load("mrpc", "train", source)
    assert "\n" not in str(caught.value)


ANSWERS = {"text": ["mat"], "answer_start": [15]}
FEW = {
    "swag": {
        "startphrase": ["He sat. She"],
        "sent1": ["He sat."],
        "sent2": ["She"],
        **{f"ending{n}": [f"ran {n}."] for n in range(4)},
        "label": [2],
    },
    "squad": {
        "id": ["a"],
        "title": ["t"],
        "question": ["Where?"],
        "context": ["The cat on the mat."],
        "answers": [ANSWERS],
    },
    "squad_v2": {
        "id": ["a", "b"],
        "title": ["t", "t"],
        "question": ["Where?", "When?"],
        "context": ["The cat on the mat."] * 2,
        "answers": [ANSWERS, {"text": [], "answer_start": []}],
    },
}


def few(name):
    """A row or two with the hub's columns."""
    texts = {column: ["a text"] for column in task(name).texts}
    return FEW.get(name) or texts | {"label": [0.5 if name == "stsb" else 0], "idx": [0]}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_loads_from_the_hubs_layout(tmp_path, name):
    found = task(name)
    source = lay_out(tmp_path, name, train=few(name), **{found.validation: few(name)})
    for split in ("train", "validation"):
        rows = load(name, split, source)
        assert {*found.texts, found.gold} <= set(rows.column_names)
        assert rows.to_dict() == few(name)
        assert fingerprint(rows, found) == fingerprint(Dataset.from_dict(few(name)), found)


def test_the_fingerprint_is_of_the_answers_too():
    moved = FEW["squad"] | {"answers": [ANSWERS | {"answer_start": [14]}]}
    first, second = (
        fingerprint(Dataset.from_dict(rows), task("squad")) for rows in (FEW["squad"], moved)
    )
    assert first != second


def test_configurations_of_one_data_set_stand_side_by_side(tmp_path):
    for name in ("rte", "ax", "cola"):
        source = lay_out(tmp_path, name, test=few(name))
    assert load("ax", "validation", source)["premise"][:] == ["a text"], "scored where labelled"
    assert load("cola", "test", source)["sentence"][:] == ["a text"]


def test_a_split_that_is_not_there_is_said_with_those_that_are(tmp_path):
    lay_out(tmp_path, "qnli", validation=few("qnli"), test=few("qnli"))
    source = lay_out(tmp_path, "squad_v2", validation=few("squad_v2"))
    for name, there in (("qnli", "'test', 'validation'"), ("squad_v2", "'validation'")):
        with pytest.raises(BertstudyError, match=f"no data for {name}/train .*{there}") as caught:
            load(name, "train", source)
        assert "\n" not in str(caught.value)
    with pytest.raises(BertstudyError, match=r"no data for swag: '.*allenai/swag' is not there"):
        load("swag", "train", source)


def test_withheld_rows_can_be_read_but_not_scored(tmp_path):
    withheld = ROWS | {"label": [-1] * 6}
    source = lay_out(tmp_path, test=withheld)
    assert load_unlabelled("mrpc", "test", source).to_dict() == withheld
    with pytest.raises(BertstudyError, match="has no labels"):
        load("mrpc", "test", source)
    bare = lay_out(tmp_path / "other", test={"sentence1": ["a"], "label": [-1]})
    with pytest.raises(BertstudyError, match="lacks the column sentence2"):
        load_unlabelled("mrpc", "test", bare)


HUB = os.environ.get("BERTSTUDY_HUB", "")


@pytest.mark.skipif(not Path(HUB, "nyu-mll").is_dir(), reason="BERTSTUDY_HUB names no folder")
@pytest.mark.parametrize("name", [n for n, t in TASKS.items() if Path(HUB, t.dataset).is_dir()])
def test_real_data_loads(name):
    """Every split that the folder holds loads, no label is unknown, and our own is alike."""
    found, splits = task(name), []
    for file in sorted(Path(HUB, found.dataset, found.config).glob("*.parquet")):
        splits.append(file.name.split("-")[0])
        rows = load_unlabelled(name, splits[-1], HUB)
        if found.labels:
            assert set(rows["label"]) <= {-1, *range(len(found.labels))}
        if found.kind == "spans":
            for row in rows:
                for text, at in zip(*row["answers"].values(), strict=True):
                    assert row["context"][at : at + len(text)] == text
        if name in MADE and splits[-1] in MADE[name].sizes:
            assert load_unlabelled(name, splits[-1], "synthetic").features == rows.features
    assert found.validation in splits


# Fingerprints -----------------------------------------------------------------------------------


def test_the_fingerprint_is_of_texts_and_labels_in_order():
    found, rows = task("mrpc"), Dataset.from_dict(ROWS)
    print_ = fingerprint(rows, found)
    assert fingerprint(Dataset.from_dict(ROWS), found) == print_
    assert fingerprint(rows.remove_columns("idx"), found) == print_
    changes = [
        ROWS | {"label": [0, 1, 1, 0, 1, 0]},
        ROWS | {"sentence1": [*ROWS["sentence1"][:5], "first 5."]},
        ROWS | {"sentence1": ROWS["sentence2"], "sentence2": ROWS["sentence1"]},
        {name: column[::-1] for name, column in ROWS.items()},
        {name: column[:5] for name, column in ROWS.items()},
        ROWS | {"sentence1": ["first 0 ", *ROWS["sentence1"][1:]]},
    ]
    prints = {fingerprint(Dataset.from_dict(change), found) for change in changes}
    assert len(prints | {print_}) == len(changes) + 1


def test_texts_that_only_join_alike_have_different_fingerprints():
    found = task("sst2")
    first, second = (
        Dataset.from_dict({"sentence": texts, "label": [0, 1]})
        for texts in (["ab", "c"], ["a", "bc"])
    )
    assert fingerprint(first, found) != fingerprint(second, found)


# Scores -------------------------------------------------------------------------------------------


def one_hot(classes, outputs=2):
    return np.eye(outputs)[list(classes)]


def test_two_class_scores_hand_worked():
    """2 true positives, 1 false positive, 1 false negative, 2 true negatives."""
    gold, predicted = [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0]
    assert score(one_hot(predicted), gold, task("mrpc")) == pytest.approx(
        {"accuracy": 400 / 6, "f1": 400 / 6}
    )
    # MCC = (TP·TN - FP·FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) = (4 - 1) / 9
    assert score(one_hot(predicted), gold, task("cola")) == pytest.approx({"mcc": 100 / 3})


def test_f1_is_of_class_one_and_not_symmetric():
    assert score(one_hot([1, 1, 1, 1]), [1, 0, 0, 0], task("mrpc"))["f1"] == pytest.approx(40)


def test_regression_scores_hand_worked():
    """Ranks 1 2 3 4 against 1 3 2 4: 1 - 6·2 / (4·15) = .8."""
    logits = np.array([[0.1], [0.2], [0.3], [9.0]])
    found = score(logits, [1.0, 3.0, 2.0, 4.0], task("stsb"))
    assert found["spearman"] == pytest.approx(80)
    assert found["pearson"] == pytest.approx(100 * np.corrcoef(logits[:, 0], [1, 3, 2, 4])[0, 1])


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_the_libraries_on_random_cases(seed):
    rng = np.random.default_rng(seed)
    logits, gold = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    predicted = logits.argmax(1)
    assert score(logits, gold, task("qqp")) == pytest.approx(
        {
            "accuracy": 100 * metrics.accuracy_score(gold, predicted),
            "f1": 100 * metrics.f1_score(gold, predicted),
        }
    )
    expected = 100 * metrics.matthews_corrcoef(gold, predicted)
    assert score(logits, gold, task("cola"))["mcc"] == pytest.approx(expected)
    values = rng.uniform(0, 5, size=50).round(1)
    found = score(logits[:, :1], values, task("stsb"))
    assert found["pearson"] == pytest.approx(100 * stats.pearsonr(logits[:, 0], values)[0])
    assert found["spearman"] == pytest.approx(100 * stats.spearmanr(logits[:, 0], values)[0])


@pytest.mark.parametrize(
    ("name", "logits", "gold", "expected"),
    [
        ("cola", one_hot([1, 1, 1]), [1, 0, 1], {"mcc": 0}),
        ("mrpc", one_hot([0, 0]), [1, 1], {"accuracy": 0, "f1": 0}),
        ("stsb", np.ones((3, 1)), [1.0, 2.0, 3.0], {"spearman": 0, "pearson": 0}),
    ],
)
def test_constant_predictions_score_zero_without_a_warning(name, logits, gold, expected):
    assert score(logits, gold, task(name)) == pytest.approx(expected)


def test_hans_joins_neutral_and_contradiction():
    logits = one_hot([0, 1, 2, 2], outputs=3)
    assert score(logits, [0, 1, 1, 0], task("hans")) == {"accuracy": 75}
    assert score(logits, [0, 1, 1, 0], task("mnli")) == {"accuracy": 50}


def test_ax_is_scored_by_the_correlation_of_three_classes():
    """Gorodkin's R_3 from the confusion matrix [[2,0,0],[1,1,0],[0,0,1]], rows being gold.

    correct 4 of 5; gold 2, 2, 1; predicted 3, 1, 1:
    (4·5 - (6 + 2 + 1)) / sqrt((25 - 11)(25 - 9)) = 11 / sqrt(224).
    """
    gold, predicted = [0, 0, 1, 1, 2], [0, 0, 0, 1, 2]
    found = score(one_hot(predicted, 3), gold, task("ax"))
    assert found == {"mcc": pytest.approx(1100 / 224**0.5)}


def test_choices_are_scored_by_their_number():
    logits = one_hot([3, 1, 0, 2], outputs=4)
    assert score(logits, [3, 1, 0, 0], task("swag")) == {"accuracy": 75}
    assert majority([3, 3, 0, 1], task("swag")) == {"accuracy": 50}


def test_only_a_borrowed_model_may_have_more_classes():
    logits = one_hot([0, 1, 2], outputs=3)
    assert predictions(logits, task("hans")).tolist() == [0, 1, 1]
    assert predictions(logits, task("ax")).tolist() == [0, 1, 2]
    assert predictions(logits, task("rte")).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("logits", "gold", "message"),
    [
        (one_hot([0, 1]), [0, -1], r"withheld labels \(-1\)"),
        (one_hot([0, 1]), [0], "2 predictions for 1 labels"),
        (np.array([[0.0, np.nan]]), [0], "not a finite number"),
    ],
)
def test_what_cannot_be_scored_is_refused(logits, gold, message):
    with pytest.raises(BertstudyError, match=message):
        score(logits, gold, task("mrpc"))


def test_withheld_scores_cannot_be_scored():
    with pytest.raises(BertstudyError, match=r"stsb has withheld labels \(-1\)"):
        score(np.ones((2, 1)), [-1.0, -1.0], task("stsb"))


def test_regression_refuses_predictions_that_are_no_numbers():
    with pytest.raises(BertstudyError, match="not a finite number"):
        score(np.array([[1.0], [np.inf]]), [1.0, 2.0], task("stsb"))


@pytest.mark.parametrize(
    ("name", "gold", "expected"),
    [
        ("mrpc", [1, 1, 1, 0], {"accuracy": 75, "f1": 600 / 7}),
        ("mrpc", [0, 0, 1], {"accuracy": 200 / 3, "f1": 0}),
        ("cola", [1, 1, 0], {"mcc": 0}),
        ("mnli", [2, 0, 2, 1], {"accuracy": 50}),
        ("rte", [0, 1], {"accuracy": 50}),
        ("stsb", [0.0, 2.5, 5.0], {"spearman": 0, "pearson": 0}),
    ],
)
def test_majority_hand_worked(name, gold, expected):
    assert majority(gold, task(name)) == pytest.approx(expected)


def test_majority_of_the_papers_validation_sets():
    """GLUE: RTE 146 of 277 entailed, MRPC 129 of 408 not equivalent (Kovaleva et al., Table 1)."""
    assert majority([0] * 146 + [1] * 131, task("rte"))["accuracy"] == pytest.approx(52.7, abs=0.05)
    assert majority([1] * 279 + [0] * 129, task("mrpc"))["accuracy"] == pytest.approx(
        100 - 31.6, abs=0.05
    )
