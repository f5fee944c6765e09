"""Recorded results made again: what differs is found, what only rounds otherwise is let be."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bertstudy import calibration, cli, makers, paths, verify
from bertstudy.editions import edition
from bertstudy.errors import BertstudyError
from bertstudy.store import Record, Store

SHIPPED = paths.root() / "results" / "mini"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of RTE with one recorded result, of word counts, which needs no model."""
    monkeypatch.setenv("BERTSTUDY_HOME", str(tmp_path))
    for folder in ("notebooks", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_config.yml").touch()
    made = verify.opened(edition("mini"))
    made.store.ship(calibration.words(made, made.tasks[0]))
    return made


def tampered(study, change):
    """The recorded result, changed and written whole again, as a commit could hold it."""
    (record,) = study.store.recorded()
    values = json.loads(json.dumps(record.values))
    change(values)
    study.store.ship(replace(record, values=values))


def by(points):
    def change(values):
        values["scores"]["accuracy" if "accuracy" in values["scores"] else "f1"] += points

    return change


def test_what_is_as_recorded_passes(study):
    ((record, difference),) = verify.verify(study, 3, 0, 60)
    assert record.measurement == "bag_of_words"
    assert difference is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (by(makers.SCORE + 0.1), "scores.*allowed: 5 apart"),
        (by(-makers.SCORE - 0.1), "scores.*allowed: 5 apart"),
        (lambda values: values["scores"].clear(), "it holds other values: scores"),
        (lambda values: values.update(examples=3), "it holds other values: examples"),
    ],
)
def test_a_tampered_record_is_found(study, change, told):
    tampered(study, change)
    ((_, difference),) = verify.verify(study, 3, 0, 60)
    assert re.search(told, difference)


def test_another_machines_rounding_is_allowed(study):
    tampered(study, by(makers.SCORE / 2))
    ((_, difference),) = verify.verify(study, 3, 0, 60)
    assert difference is None


def test_counts_agree_unless_their_maker_says_otherwise():
    before = Record("x", {}, {"examples": 300, "share": 0.5}, {}, "recorded")
    after = replace(before, values={"examples": 302, "share": 0.5})
    makers.makes("x", within=5)(lambda study: None)
    assert "examples is 302, recorded 300" in verify.difference(before, after)
    makers.makes("x", within=5, counts_agree=False)(lambda study: None)
    assert verify.difference(before, after) is None


def test_what_a_maker_leaves_out_is_not_compared():
    before = Record("x", {}, {"heads": {"p": [0.01, 0.9], "mean": [0.5]}}, {}, "recorded")
    after = replace(before, values={"heads": {"p": [0.2, 0.1], "mean": [0.5]}})
    makers.makes("x", within=0.1)(lambda study: None)
    assert "heads.p.1 is 0.1" in verify.difference(before, after)
    makers.makes("x", within=0.1, left_out=("p",))(lambda study: None)
    assert verify.difference(before, after) is None


def test_many_numbers_may_not_all_be_off():
    before = Record("x", {}, {"heads": [0.5] * 20}, {}, "recorded")
    makers.makes("x", within=0.1)(lambda study: None)
    for off, told in ((0.01, False), (0.03, True)):
        after = replace(before, values={"heads": [0.5 + off] * 20})
        assert ("off on average" in (verify.difference(before, after) or "")) == told


def test_the_command_says_which_and_fails(study):
    runner = CliRunner()
    good = runner.invoke(cli.app, ["verify", "--seed", "7"])
    assert (good.exit_code, good.stdout.splitlines()[-1]) == (
        0,
        "recorded results made again: 1, differing: 0 (--seed 7)",
    )
    tampered(study, by(20))
    bad = runner.invoke(cli.app, ["verify", "--seed", "7"])
    assert bad.exit_code == 1
    assert "bag_of_words: task " in bad.stdout
    assert "differing: 1 (--seed 7)" in bad.stdout


@pytest.mark.parametrize("options", [["--edition", "base"], ["--seconds", "0"]])
def test_a_check_of_nothing_does_not_pass(study, options):
    found = CliRunner().invoke(cli.app, ["verify", *options])
    assert found.exit_code == 2
    assert "could be made again" in found.output


def test_a_damaged_record_is_named(study):
    (file,) = study.store.shipped.glob("*/*.json")
    file.write_text(file.read_text().replace("scores", "scared"))
    with pytest.raises(BertstudyError, match=rf"the record {file} is damaged"):
        verify.chosen(study, 0)


def test_a_record_that_nobody_makes_is_named(study):
    study.store.ship(Record("horoscope", {"task": "rte"}, {}, {"seconds": 1.0}, "computed"))
    with pytest.raises(BertstudyError, match="no function makes records of 'horoscope'"):
        verify.chosen(study, 0)


def test_a_recipe_that_code_has_left_is_told(study):
    (record,) = study.store.recorded()
    old = replace(record, recipe=record.recipe | {"version": 0})
    study.store.ship(old)
    difference = verify.difference(old, makers.maker("bag_of_words").again(study, old))
    assert difference == "today's code has another recipe (version): record it anew"


def test_the_order_is_drawn_by_the_seed_and_time_ends_it(study):
    (record,) = study.store.recorded()
    for version in range(2, 12):
        study.store.ship(replace(record, recipe=record.recipe | {"version": version}))
    orders = [[r.key for r in verify.chosen(study, seed)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert len(list(verify.verify(study, 5, 1, 60))) == 5
    assert list(verify.verify(study, 5, 1, -1)) == []


def test_every_shipped_record_is_whole_and_made_by_a_function():
    verify.opened(edition("mini"))
    records = list(Store(paths.build() / "store", SHIPPED).recorded())
    assert records
    on_tasks = [r for r in records if "task" in r.recipe.get("model", r.recipe)]
    assert len(on_tasks) > len(records) / 2
    for measurement in {record.measurement for record in on_tasks}:
        assert makers.maker(measurement).function


def test_a_recipe_leads_back_to_the_arguments():
    """Every kind of recorded result: the function, asked again, names the same recipe."""
    study = verify.opened(edition("mini"))

    class Asked(Store):
        def measure(self, measurement, recipe, compute):
            return Record(measurement, json.loads(json.dumps(recipe)), {}, {}, "computed")

    own, study.store = study.store, Asked(study.store.folder, study.store.shipped)
    seen = set()
    for record in own.recorded():
        facts = record.recipe.get("model", record.recipe)
        if facts.get("task") in study.edition.tasks and record.measurement not in seen:
            seen.add(record.measurement)
            again = makers.maker(record.measurement).again(study, record)
            assert again.key == record.key
    assert len(seen) >= 7
