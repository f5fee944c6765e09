"""Figure 5 of Kovaleva et al. (2019): maps before and after fine-tuning."""

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
from bertstudy.papers.secrets.change import COMPARISONS


def changed_heads(changes: pd.DataFrame) -> Figure:
    """Figure 5: cosine of each head's maps before and after fine-tuning; one panel a task.

    Mean over examples and seeds; darker has changed more, on the paper's scale of 0 to 1.

    Args:
        changes: as from `papers.secrets.change.changes`.
    """
    heads = changes[changes["comparison"] == "fine-tuning"]
    names = list(dict.fromkeys(heads["task"]))
    figure, axes = panels(len(names), 3.0, 3.1)
    for axis, name in zip(axes, names, strict=True):
        rows = heads[heads["task"] == name]
        grid = rows.pivot_table(index="layer", columns="head", values="cosine")
        head_grid(axis, grid, cmap="viridis", vmin=0, vmax=1)
        axis.set_title(f"{name.upper()}, {seed_count(rows)}", fontsize=10)
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
    figure, axes = panels(len(names), 3.3, 3.0)
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
                mean_with_interval(axis, place, samples.to_numpy(), color, shown, marker)
            floor = own.groupby("layer")["others"].mean()
            if comparison != "two seeds":  # as good as that of fine-tuning
                axis.plot(floor.index + 1, floor, ":", color=color, linewidth=1.2)
        axis.set(xlabel="layer (1-based)", ylabel="mean cosine", ylim=(0, 1.03))
        axis.set_xticks(range(1, rows["layer"].max() + 2))
        axis.set_title(f"{name.upper()}, {seed_count(rows)}", fontsize=10)
    axes[0].plot([], [], ":", color="black", linewidth=1.2, label="different heads of the layer")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure
