"""Figures and tables say what the numbers are: labels, units, 1-based places, escaped text."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bertstudy import calibration, figures, tables
from bertstudy.papers.secrets import disabling_heads
from bertstudy.store import Record


@pytest.fixture(scope="module")
def records():
    """Two tasks, three seeds, two layers of two heads."""
    rng = np.random.default_rng(0)
    made = []
    for task in ("rte", "mrpc"):
        for seed in range(3):
            half = {
                "baseline": 60.0,
                "heads": (60 + rng.normal(size=(2, 2))).tolist(),
                "layers": (60 + rng.normal(size=2)).tolist(),
            }
            recipe = {"model": {"task": task, "seed": seed}, "kind": "uniform"}
            made.append(
                Record("disabling", recipe, half | {"halves": [half, half]}, {}, "computed")
            )
    return made


def test_heads_have_a_panel_a_task_and_count_from_one(records):
    figure = figures.disabled_heads(disabling_heads.effects(records))
    panels = [a for a in figure.axes if a.get_ylabel() == "layer (1-based)"]
    assert len(panels) == 2
    for panel in panels:
        assert [t.get_text() for t in panel.get_xticklabels()] == ["1", "2"]
        assert "baseline 60.0, 3 seeds" in panel.get_title()
    bars = [a for a in figure.axes if a not in panels]
    assert {bar.get_ylabel() for bar in bars} == {"accuracy (%)"}


def test_colours_are_centred_on_the_baseline(records):
    figure = figures.disabled_heads(disabling_heads.effects(records))
    low, high = figure.axes[0].collections[0].get_clim()
    assert (low + high) / 2 == pytest.approx(60.0)


def test_layers_show_each_seed_and_the_baseline(records):
    figure = figures.disabled_layers(disabling_heads.effects(records))
    axis = figure.axes[0]
    assert axis.get_xlabel() == "layer disabled (1-based)"
    assert list(axis.get_xticks()) == [1, 2]
    assert axis.lines[0].get_ydata()[0] == pytest.approx(60.0)
    assert len(axis.lines[1].get_xdata()) == 2 * 3


def test_figures_are_not_left_open(records):
    figures.selection(disabling_heads.quantities(records))
    assert plt.get_fignums() == []


def test_tables_escape_text_and_show_what_is_absent():
    table = pd.DataFrame({"name": ["<b>&"], "value": [np.nan]})
    shown = tables.show(table).to_html()
    assert "&lt;b&gt;&amp;" in shown
    assert tables.ABSENT in shown


def test_a_summary_has_a_column_a_task(records):
    shown = disabling_heads.summary(disabling_heads.quantities(records))
    assert {name for name, _ in shown.columns} == {"quantity", "rte", "mrpc"}
    tables.show(shown).to_html()


def test_provenance_tells_recorded_from_computed():
    made = {
        "device": "cpu",
        "python": "3",
        "libraries": {"torch": "2"},
        "commit": "abc",
        "seconds": 2.0,
    }
    records = [Record("m", {}, {}, made, origin) for origin in ("recorded", "stored", "computed")]
    said = repr(tables.Provenance(records, "bertstudy run <x>"))
    assert "2 results computed on this machine, 1 recorded" in said
    assert said.count("torch 2, commit abc") == 2
    assert "<x>" not in tables.Provenance(records, "bertstudy run <x>")._repr_html_()


LADDER = pd.DataFrame(
    [
        {"task": "rte", "metric": "accuracy", "majority": 50.0, "words": 62.0, "overlap": 55.0,
         "scratch": [59.0, 61.0], "pretrained": [70.0, 72.0]},
        {"task": "squad", "metric": "token_f1", "majority": 4.0, "words": np.nan, "overlap": np.nan,
         "scratch": [20.0, 22.0], "pretrained": [50.0]},
    ]
)  # fmt: skip


def test_a_ladder_has_a_row_a_task_and_says_its_units():
    (axis,) = figures.ladder(LADDER).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert set(names) == {"RTE\naccuracy (%)", "SQUAD\nF1 (%)"}
    assert axis.get_xlabel() == "validation score (×100)"
    means = [float(line.get_xdata()[0]) for line in axis.lines if line.get_markersize() == 7]
    assert 71.0 in means
    assert 60.0 in means


def test_a_ladder_of_one_task_has_all_rungs_in_its_legend():
    figure = figures.ladder(LADDER.head(1))
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [
        label for label, _, _ in figures.RUNGS.values()
    ]


def test_a_start_that_was_not_run_leaves_its_rung_empty():
    table = LADDER.assign(scratch=[LADDER["scratch"][0], []])
    figure = figures.ladder(table)
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(said) == sorted(label for label, _, _ in figures.RUNGS.values())
    found = calibration.with_signals(table)
    assert calibration.can_say(found).tolist()[1] == "nothing yet: fewer than 5 seeds"
    assert tables.ABSENT in tables.can_say(found, calibration.can_say(found)).to_html()


def test_the_ladders_table_says_what_is_missing():
    shown = tables.ladder(calibration.judged(LADDER.head(1))).to_html()
    assert "60.0 ± 1.4" in shown
    assert "yes" in shown
    low = LADDER.head(1).assign(words=69.0)
    assert "no: pre-trained is +2.0 over the bag of words" in (
        tables.ladder(calibration.judged(low)).to_html()
    )
