"""Figures 8 and 9 of Kovaleva et al. (2019): what is lost without a head, or a layer."""

import pandas as pd
from matplotlib.figure import Figure

from bertstudy.figures.base import (
    BASELINE,
    DARK,
    LIGHT,
    head_grid,
    mean_with_interval,
    panels,
    seed_count,
)
from bertstudy.tasks import METRIC_NAMES, task


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
    figure, axes = panels(len(names), 3.3, 3.1)
    for axis, name in zip(axes, names, strict=True):
        rows = heads[heads["task"] == name]
        grid = rows.pivot_table(index="layer", columns="head", values="score")
        baseline = rows.groupby("seed")["baseline"].first().mean()
        reach = max(float((grid - baseline).abs().to_numpy().max()), 0.1)
        head_grid(axis, grid, cmap="RdBu", vmin=baseline - reach, vmax=baseline + reach)
        axis.set_xlabel("head disabled (1-based)")
        metric = METRIC_NAMES[task(name).metrics[0]]
        bar = figure.colorbar(axis.collections[0], ax=axis, label=metric, shrink=0.8)
        bar.ax.axhline(baseline, color=BASELINE, linewidth=3)
        axis.set_title(f"{name.upper()}: baseline {baseline:.1f}, {seed_count(rows)}", fontsize=10)
    return figure


def disabled_layers(effects: pd.DataFrame, kind: str = "uniform") -> Figure:
    """Figure 9: the score with one layer disabled: each seed, the mean, its 95 % interval.

    Seeds are shown as their effect added to the mean baseline (the orange line), so that the
    spread seen is that of the effect and not of the models.
    """
    layers = effects[(effects["part"] == "layer") & (effects["kind"] == kind)]
    names = list(dict.fromkeys(layers["task"]))
    figure, axes = panels(len(names), 3.0, 2.9)
    for axis, name in zip(axes, names, strict=True):
        rows = layers[layers["task"] == name]
        baseline = rows.groupby("seed")["baseline"].first().mean()
        axis.axhline(baseline, color=BASELINE, linewidth=2, label="no layer disabled", zorder=1)
        place = rows["layer"] + 1
        axis.plot(place, baseline + rows["effect"], ".", color=LIGHT, label="one seed", zorder=2)
        for layer, group in rows.groupby("layer"):
            mean_with_interval(axis, layer + 1, baseline + group["effect"].to_numpy())
        axis.set(xlabel="layer disabled (1-based)", ylabel=METRIC_NAMES[task(name).metrics[0]])
        axis.set_xticks(sorted(place.unique()))
        axis.set_title(f"{name.upper()}, {seed_count(rows)}", fontsize=10)
    axes[0].plot([], [], "o", color=DARK, label="mean and 95 % interval")
    axes[0].legend(fontsize=7, frameon=False, loc="best")
    return figure


def selection(measured: pd.DataFrame) -> Figure:
    """The gain of the best head, judged where it was chosen and judged on other examples."""
    names = {
        "best_head_gain": "chosen and judged on the same examples (the paper's way)",
        "best_head_gain_held_out": "chosen on one half, judged on the other",
    }
    rows = measured[measured["quantity"].isin(names)]
    figure, (axis,) = panels(1, 6.4, 3.0)
    tasks = list(dict.fromkeys(rows["task"]))
    for offset, (quantity, label), color in zip(
        (-0.12, 0.12), names.items(), (BASELINE, DARK), strict=True
    ):
        for index, name in enumerate(tasks):
            values = rows[(rows["quantity"] == quantity) & (rows["task"] == name)]["value"]
            place = index + offset
            axis.plot([place] * len(values), values, ".", color=LIGHT, zorder=1)
            shown = label if index == 0 else None
            mean_with_interval(axis, place, values.to_numpy(), color, shown)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(tasks)), [name.upper() for name in tasks])
    axis.set_xlim(-0.6, len(tasks) - 0.4)
    axis.set_ylabel("effect of the best head (points)")
    axis.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
