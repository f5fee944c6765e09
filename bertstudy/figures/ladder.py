"""The scores of a task from the majority class up to the pre-trained encoder."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bertstudy.figures.base import BASELINE, DARK, LIGHT, panels
from bertstudy.statistics import interval
from bertstudy.tasks import METRIC_NAMES

RUNGS = {  # of `ladder`: column, label, marker, colour
    "majority": ("majority class", "|", "black"),
    "words": ("bag of words", "D", BASELINE),
    "overlap": ("shared words counted", "x", BASELINE),
    "scratch": ("from scratch", "o", LIGHT),
    "pretrained": ("pre-trained", "o", DARK),
}

STARTS = {  # rungs of Table 1 of Kovaleva et al. (2019)
    "majority": ("majority class", "|", "black"),
    "untrained": ("pre-trained, not fine-tuned", "s", BASELINE),
    "scratch": ("fine-tuned from random weights", "o", LIGHT),
    "pretrained": ("fine-tuned from pre-trained", "o", DARK),
}


def ladder(table: pd.DataFrame, rungs: Mapping[str, tuple[str, str, str]] = RUNGS) -> Figure:
    """Each task's scores from the majority class up to the pre-trained encoder.

    Small points are seeds; the large one is their mean with its 95 % interval.

    Args:
        table: as from `calibration.tabulate`, or with `STARTS` as from
            `papers.secrets.change.starting_points`.
        rungs: column to label, marker and colour.
    """
    figure, (axis,) = panels(1, 6.4, 1.1 + 0.45 * len(table))
    named: set[str] = set()  # in the legend, once
    for place, row in zip(range(len(table))[::-1], table.to_dict("records"), strict=True):
        for column, (label, marker, color) in rungs.items():
            samples = np.atleast_1d(row[column])
            if not len(samples):
                continue  # not run
            shown = None if label in named else label
            named.add(label)
            if len(samples) == 1:
                size = 14 if marker == "|" else 6
                axis.plot(samples, place, marker, color=color, markersize=size, label=shown)
                continue
            axis.plot(samples, [place] * len(samples), ".", color=color, markersize=4, alpha=0.6)
            mean, low, high = interval(samples)
            style = {"fmt": marker, "color": color, "capsize": 3, "markersize": 7, "label": shown}
            axis.errorbar(mean, place, xerr=[[mean - low], [high - mean]], **style)
    names = [f"{row['task'].upper()}\n{METRIC_NAMES[row['metric']]}" for _, row in table.iterrows()]
    axis.set_yticks(range(len(table))[::-1], names, fontsize=9)
    axis.set_ylim(-0.6, len(table) - 0.4)
    axis.set_xlabel("validation score (×100)")
    axis.grid(axis="x", linewidth=0.3)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure
