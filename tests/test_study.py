"""What a notebook opens, and what is refused before any work."""

import pytest
from transformers import BertConfig

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
        ({"task": "hans"}, "fine-tuned on mnli"),
        ({"task": "squad"}, "squad asks for spans"),
        ({"task": "rte,swag"}, "swag asks for choice"),
        ({"max_length": 2}, "allowed are 3 to 128"),
        ({"max_length": 129}, "max_length is 129: allowed are 3 to 128"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(parameters, message):
    with pytest.raises(BertstudyError, match=message) as caught:
        study.check({"edition": "mini", **parameters})
    assert "\n" not in str(caught.value)


def test_good_parameters_pass():
    study.check({"edition": "mini", "source": "", "task": "all", "seeds": 0, "layer": 5})


def test_a_section_may_take_any_kind_of_task():
    study.check({"edition": "mini", "task": "squad,swag"}, any_kind=True)


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


def test_the_command_of_a_page_makes_that_page():
    own = EDITIONS["mini"]
    assert study.Study(own, own.tasks, own.seeds).command("secrets/4-6") == (
        "bertstudy run secrets/4-6 --edition mini"
    )
    assert (
        study.Study(own, ("rte",), (0, 1))
        .command("secrets/4-6")
        .endswith("--edition mini -p task=rte -p seeds=2")
    )


def test_mini_meets_no_need_of_real_data():
    own = EDITIONS["mini"]
    assert study.Study(own, own.tasks, own.seeds).meets == ()
    assert study.Study(EDITIONS["small"], ("sst2",), (0,)).meets == ("real data",)
    base, large = (study.Study(EDITIONS[name], ("rte",), (0,)) for name in ("base", "large"))
    base.config, large.config = BertConfig(), BertConfig(num_hidden_layers=24)  # no network
    assert base.meets == ("real data", "the paper's checkpoint")
    assert large.meets == ("real data", "a large model")


def test_recording_makes_results_again_and_ships_those_not_live(monkeypatch, tmp_path):
    monkeypatch.setenv(study.RECORD, "1")
    opened = study.Study(edition("mini"), ("rte",), (0, 7))
    opened.store = study.Store(tmp_path / "store", tmp_path / "shipped", look_up=False)
    monkeypatch.setattr(opened, "fine_tuned", lambda *_: None)
    for seed in opened.seeds:
        opened.measure("toy", opened.tasks[0], seed, lambda model: {"x": 1.0})
    shipped = list((tmp_path / "shipped/toy").glob("*.json"))
    assert len(shipped) == 1, "seed 0 is computed whenever the book is made"


@pytest.mark.parametrize(("name", "kind"), [("squad", "spans"), ("swag", "choice")])
def test_explorers_refuse_what_they_cannot_show(name, kind):
    opened = study.Study(EDITIONS["mini"], (name,), (0,))
    with pytest.raises(BertstudyError, match=f"explorers show no {kind}: .* other than {name}"):
        opened.examples(opened.tasks[0], count=3, longest=64)
