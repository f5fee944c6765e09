"""What a notebook opens, and what is refused before any work."""

import pytest

from bertstudy import study
from bertstudy.editions import EDITIONS, edition
from bertstudy.errors import BertstudyError


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"edition": "huge"}, "mini, small, base, large"),
        ({"task": "rtee"}, "did you mean rte"),
        ({"task": "rte,"}, "task is empty"),
        ({"seeds": -1}, "seeds is -1"),
        ({"source": "/nowhere/at/all"}, "not a folder"),
        ({"layer": 6}, "layer is 6: allowed are 0 to 5"),
        ({"head": -1}, "head is -1: allowed are 0 to 5"),
        ({"max_length": 129}, "max_length is 129: allowed are 0 to 128"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(parameters, message):
    with pytest.raises(BertstudyError, match=message) as caught:
        study.check({"edition": "mini", **parameters})
    assert "\n" not in str(caught.value)


def test_good_parameters_pass():
    study.check({"edition": "mini", "source": "", "task": "all", "seeds": 0, "layer": 5})


def test_missing_data_is_said_before_work(tmp_path):
    with pytest.raises(BertstudyError, match="no data for rte"):
        study.check({"edition": "mini", "source": str(tmp_path), "task": "rte"})


def test_open_says_what_it_opened(capsys):
    opened = study.open_study("mini", task="rte,mrpc", seeds=3)
    assert [t.name for t in opened.tasks] == ["rte", "mrpc"]
    assert opened.seeds == (0, 1, 2)
    said = capsys.readouterr().out
    assert "6 layers × 6 heads" in said
    assert "rte, mrpc" in said


def test_all_and_zero_mean_the_editions_own():
    own = EDITIONS["mini"]
    opened = study.Study(own, study.choose_tasks(own, "all"), study.choose_seeds(own, 0))
    assert tuple(t.name for t in opened.tasks) == own.tasks
    assert opened.seeds == own.seeds


def test_a_recipe_changes_with_everything_the_model_depends_on():
    own = edition("mini")
    opened = study.Study(own, ("rte", "mrpc"), (0, 1))
    rte, mrpc = opened.tasks
    recipes = [
        opened.recipe(rte, 0),
        opened.recipe(rte, 1),
        opened.recipe(rte, 0, "scratch"),
        opened.recipe(mrpc, 0),
    ]
    assert len({str(r) for r in recipes}) == 4
    with pytest.raises(BertstudyError, match="pretrained, scratch"):
        opened.recipe(rte, 0, "elsewhere")


def test_examples_of_synthetic_data_are_its_own_rows():
    opened = study.Study(edition("mini"), ("rte",), (0,))
    rows = opened.examples(opened.tasks[0], 3, longest=32)
    assert len(rows) == 3
    for (first, second), label in rows:
        assert label in opened.tasks[0].labels
        assert len(opened.tokenizer(first, second)["input_ids"]) <= 32


def test_every_task_of_an_edition_has_sentences_of_our_own():
    import yaml

    written = yaml.safe_load(study.OWN_SENTENCES.read_text())
    for own in EDITIONS.values():
        assert set(own.tasks) <= set(written)
