"""What all figures share: colours, panels, a grid of heads, a mean with its interval."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bertstudy.statistics import interval

BASELINE = "#E69F00"  # orange, as in the paper; told from blue by colour-blind readers
DARK, LIGHT = "#0072B2", "#999999"
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white"}


def panel_grid(
    rows: int, columns: int, width: float, height: float
) -> tuple[Figure, list[list[Axes]]]:
    """Panels of that size in inches, by row."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(width * columns, height * rows),
            squeeze=False,
            layout="constrained",
        )
    plt.close(figure)  # the caller shows it; an open one would be shown twice
    return figure, [list(line) for line in axes]


def panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure, (line,) = panel_grid(1, count, width, height)
    return figure, line


def seed_count(rows: pd.DataFrame) -> str:
    seeds = rows["seed"].nunique()
    return f"{seeds} seed" + ("s" if seeds > 1 else "")


def head_grid(axis: Axes, grid: pd.DataFrame, **colours: Any) -> None:
    """A cell a head, layer 1 below and head 1 left; ``grid``: layers by heads, 0-based."""
    sns.heatmap(
        grid,
        ax=axis,
        square=True,
        linewidths=0.4,
        linecolor="white",
        xticklabels=[head + 1 for head in grid.columns],
        yticklabels=[layer + 1 for layer in grid.index],
        cbar=False,
        **colours,
    )
    axis.invert_yaxis()
    axis.set(xlabel="head (1-based)", ylabel="layer (1-based)")
    axis.tick_params(labelsize=8)


def mean_with_interval(
    axis: Axes,
    place: float,
    samples: np.ndarray,
    color: str = DARK,
    label: str | None = None,
    marker: str = "o",
    horizontal: bool = False,
) -> None:
    mean, low, high = interval(samples)
    error = [[mean - low], [high - mean]] if np.isfinite(low) else None
    style = {"fmt": marker, "color": color, "capsize": 3, "markersize": 5, "zorder": 3}
    if horizontal:
        axis.errorbar(mean, place, xerr=error, label=label, **style)
    else:
        axis.errorbar(place, mean, yerr=error, label=label, **style)
