"""Tidy table in, Figure out. Layers and heads are 1-based here and every axis says so."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bertstudy.papers.secrets.change import COMPARISONS
from bertstudy.statistics import interval
from bertstudy.tasks import METRIC_NAMES, task

BASELINE = "#E69F00"  # orange, as in the paper; told from blue by colour-blind readers
DARK, LIGHT = "#0072B2", "#999999"
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white"}


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, count, figsize=(width * count, height), squeeze=False, layout="constrained"
        )
    plt.close(figure)  # the caller shows it; an open one would be shown twice
    return figure, list(axes[0])


def _seed_count(rows: pd.DataFrame) -> str:
    seeds = rows["seed"].nunique()
    return f"{seeds} seed" + ("s" if seeds > 1 else "")


def disabled_heads(effects: pd.DataFrame, kind: str = "uniform") -> Figure:
    """Figure 8: the score with one head disabled, mean over seeds; one panel a task.

    Colours diverge from the baseline, which the colour bar marks in orange: blue gains, red
    costs. The limits are symmetric and each panel has its own.

    Args:
        effects: as from `papers.secrets.effects`.
        kind: "uniform" or "zero".
    """
    heads = effects[(effects["part"] == "head") & (effects["kind"] == kind)]
    names = list(dict.fromkeys(heads["task"]))
    figure, axes = _panels(len(names), 3.3, 3.1)
    for axis, name in zip(axes, names, strict=True):
        rows = heads[heads["task"] == name]
        grid = rows.pivot_table(index="layer", columns="head", values="score")
        baseline = rows.groupby("seed")["baseline"].first().mean()
        reach = max(float((grid - baseline).abs().to_numpy().max()), 0.1)
        _head_grid(axis, grid, cmap="RdBu", vmin=baseline - reach, vmax=baseline + reach)
        axis.set_xlabel("head disabled (1-based)")
        metric = METRIC_NAMES[task(name).metrics[0]]
        bar = figure.colorbar(axis.collections[0], ax=axis, label=metric, shrink=0.8)
        bar.ax.axhline(baseline, color=BASELINE, linewidth=3)
        axis.set_title(f"{name.upper()}: baseline {baseline:.1f}, {_seed_count(rows)}", fontsize=10)
    return figure


def _head_grid(axis: Axes, grid: pd.DataFrame, **colours: Any) -> None:
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


def disabled_layers(effects: pd.DataFrame, kind: str = "uniform") -> Figure:
    """Figure 9: the score with one layer disabled: each seed, the mean, its 95 % interval.

    Seeds are shown as their effect added to the mean baseline (the orange line), so that the
    spread seen is that of the effect and not of the models.
    """
    layers = effects[(effects["part"] == "layer") & (effects["kind"] == kind)]
    names = list(dict.fromkeys(layers["task"]))
    figure, axes = _panels(len(names), 3.0, 2.9)
    for axis, name in zip(axes, names, strict=True):
        rows = layers[layers["task"] == name]
        baseline = rows.groupby("seed")["baseline"].first().mean()
        axis.axhline(baseline, color=BASELINE, linewidth=2, label="no layer disabled", zorder=1)
        place = rows["layer"] + 1
        axis.plot(place, baseline + rows["effect"], ".", color=LIGHT, label="one seed", zorder=2)
        for layer, group in rows.groupby("layer"):
            _mean_with_interval(axis, layer + 1, baseline + group["effect"].to_numpy())
        axis.set(xlabel="layer disabled (1-based)", ylabel=METRIC_NAMES[task(name).metrics[0]])
        axis.set_xticks(sorted(place.unique()))
        axis.set_title(f"{name.upper()}, {_seed_count(rows)}", fontsize=10)
    axes[0].plot([], [], "o", color=DARK, label="mean and 95 % interval")
    axes[0].legend(fontsize=7, frameon=False, loc="best")
    return figure


def _mean_with_interval(
    axis: Axes,
    place: float,
    samples: np.ndarray,
    color: str = DARK,
    label: str | None = None,
    marker: str = "o",
) -> None:
    mean, low, high = interval(samples)
    error = [[mean - low], [high - mean]] if np.isfinite(low) else None
    style = {"fmt": marker, "color": color, "capsize": 3, "markersize": 5, "zorder": 3}
    axis.errorbar(place, mean, yerr=error, label=label, **style)


def selection(measured: pd.DataFrame) -> Figure:
    """The gain of the best head, judged where it was chosen and judged on other examples."""
    names = {
        "best_head_gain": "chosen and judged on the same examples (the paper's way)",
        "best_head_gain_held_out": "chosen on one half, judged on the other",
    }
    rows = measured[measured["quantity"].isin(names)]
    figure, (axis,) = _panels(1, 6.4, 3.0)
    tasks = list(dict.fromkeys(rows["task"]))
    for offset, (quantity, label), color in zip(
        (-0.12, 0.12), names.items(), (BASELINE, DARK), strict=True
    ):
        for index, name in enumerate(tasks):
            values = rows[(rows["quantity"] == quantity) & (rows["task"] == name)]["value"]
            place = index + offset
            axis.plot([place] * len(values), values, ".", color=LIGHT, zorder=1)
            shown = label if index == 0 else None
            _mean_with_interval(axis, place, values.to_numpy(), color, shown)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(tasks)), [name.upper() for name in tasks])
    axis.set_xlim(-0.6, len(tasks) - 0.4)
    axis.set_ylabel("effect of the best head (points)")
    axis.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def changed_heads(changes: pd.DataFrame) -> Figure:
    """Figure 5: cosine of each head's maps before and after fine-tuning; one panel a task.

    Mean over examples and seeds; darker has changed more, on the paper's scale of 0 to 1.

    Args:
        changes: as from `papers.secrets.change.changes`.
    """
    heads = changes[changes["comparison"] == "fine-tuning"]
    names = list(dict.fromkeys(heads["task"]))
    figure, axes = _panels(len(names), 3.0, 3.1)
    for axis, name in zip(axes, names, strict=True):
        rows = heads[heads["task"] == name]
        grid = rows.pivot_table(index="layer", columns="head", values="cosine")
        _head_grid(axis, grid, cmap="viridis", vmin=0, vmax=1)
        axis.set_title(f"{name.upper()}, {_seed_count(rows)}", fontsize=10)
    figure.colorbar(axes[-1].collections[0], ax=axes, label="mean cosine", shrink=0.8)
    return figure


COMPARED = {  # of `changed_layers`: comparison, marker, colour
    "fine-tuning": ("o", DARK),
    "two seeds": ("s", BASELINE),
    "random start": ("D", LIGHT),
}


def changed_layers(changes: pd.DataFrame) -> Figure:
    """Mean cosine of each layer's heads: each seed, the mean, its 95 % interval.

    The dotted lines, of *different* heads of the layer before and after training, say how alike
    maps are that have nothing to do with each other but their place.
    """
    names = list(dict.fromkeys(changes["task"]))
    figure, axes = _panels(len(names), 3.3, 3.0)
    for axis, name in zip(axes, names, strict=True):
        rows = changes[changes["task"] == name]
        for offset, (comparison, (marker, color)) in zip(
            (-0.15, 0, 0.15), COMPARED.items(), strict=True
        ):
            own = rows[rows["comparison"] == comparison]
            by_seed = own.groupby(["layer", "seed"])["cosine"].mean()
            for layer, samples in by_seed.groupby("layer"):
                place, shown = layer + 1 + offset, None if layer else COMPARISONS[comparison]
                axis.plot([place] * len(samples), samples, ".", color=color, alpha=0.4)
                _mean_with_interval(axis, place, samples.to_numpy(), color, shown, marker)
            floor = own.groupby("layer")["others"].mean()
            if comparison != "two seeds":  # as good as that of fine-tuning
                axis.plot(floor.index + 1, floor, ":", color=color, linewidth=1.2)
        axis.set(xlabel="layer (1-based)", ylabel="mean cosine", ylim=(0, 1.03))
        axis.set_xticks(range(1, rows["layer"].max() + 2))
        axis.set_title(f"{name.upper()}, {_seed_count(rows)}", fontsize=10)
    axes[0].plot([], [], ":", color="black", linewidth=1.2, label="different heads of the layer")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


RUNGS = {  # of `ladder`: column, label, marker, colour
    "majority": ("majority class", "|", "black"),
    "words": ("bag of words", "D", BASELINE),
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
    figure, (axis,) = _panels(1, 6.4, 1.1 + 0.45 * len(table))
    for place, row in zip(range(len(table))[::-1], table.to_dict("records"), strict=True):
        for column, (label, marker, color) in rungs.items():
            shown = label if place == 0 else None
            samples = np.atleast_1d(row[column])
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
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure
