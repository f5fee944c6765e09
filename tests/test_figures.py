"""Figures and tables say what the numbers are: labels, units, 1-based places, escaped text."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bertstudy import figures, tables
from bertstudy.papers import secrets
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
    figure = figures.disabled_heads(secrets.effects(records))
    panels = [a for a in figure.axes if a.get_ylabel() == "layer (1-based)"]
    assert len(panels) == 2
    for panel in panels:
        assert [t.get_text() for t in panel.get_xticklabels()] == ["1", "2"]
        assert "baseline 60.0, 3 seeds" in panel.get_title()
    bars = [a for a in figure.axes if a not in panels]
    assert {bar.get_ylabel() for bar in bars} == {"accuracy (%)"}


def test_colours_are_centred_on_the_baseline(records):
    figure = figures.disabled_heads(secrets.effects(records))
    low, high = figure.axes[0].collections[0].get_clim()
    assert (low + high) / 2 == pytest.approx(60.0)


def test_layers_show_each_seed_and_the_baseline(records):
    figure = figures.disabled_layers(secrets.effects(records))
    axis = figure.axes[0]
    assert axis.get_xlabel() == "layer disabled (1-based)"
    assert list(axis.get_xticks()) == [1, 2]
    assert axis.lines[0].get_ydata()[0] == pytest.approx(60.0)
    assert len(axis.lines[1].get_xdata()) == 2 * 3


def test_figures_are_not_left_open(records):
    figures.selection(secrets.quantities(records))
    assert plt.get_fignums() == []


def test_tables_escape_text_and_show_what_is_absent():
    table = pd.DataFrame({"name": ["<b>&"], "value": [np.nan]})
    shown = tables.show(table).to_html()
    assert "&lt;b&gt;&amp;" in shown
    assert tables.ABSENT in shown


def test_a_summary_has_a_column_a_task(records):
    shown = secrets.summary(secrets.quantities(records))
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
