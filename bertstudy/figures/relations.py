"""Figures 3 and 4 of Kovaleva et al. (2019): heads that link a predicate and its elements."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from bertstudy.figures.base import BASELINE, DARK, LIGHT, head_grid, panels
from bertstudy.linguistics import Annotated
from bertstudy.papers.secrets.frame_links import ANY_WORD, MAIN

PERCENTILE = 99  # above which the paper looks


def frame_heads(heads: pd.DataFrame, reading: str = MAIN) -> Figure:
    """Figure 3: frame attention of each head, that of random pairs, and the difference.

    The first two share a scale. A star marks heads that pass the corrected test.

    Args:
        heads: as from `papers.secrets.relation_heads.heads`.
    """
    rows = heads[heads["reading"] == reading]
    grids = {
        name: rows.pivot_table(index="layer", columns="head", values=name)
        for name in ("annotated", "random", "lead", "passes")
    }
    figure, axes = panels(3, 3.4, 3.3)
    most = max(float(grids[name].to_numpy().max()) for name in ("annotated", "random"))
    head_grid(axes[0], grids["annotated"], cmap="viridis", vmin=0, vmax=most)
    head_grid(axes[1], grids["random"], cmap="viridis", vmin=0, vmax=most)
    reach = max(float(grids["lead"].to_numpy().max()), 0.01)  # what lies far below 0 is cut
    head_grid(axes[2], grids["lead"], cmap="RdBu", vmin=-reach, vmax=reach)
    for layer, head in np.argwhere(grids["passes"].to_numpy() > 0):
        axes[2].plot(head + 0.5, layer + 0.5, "*", color="black", markersize=6)
    titles = ("annotated links", "random pairs as far apart", "difference")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
    label = "mean of the largest weight"
    figure.colorbar(axes[0].collections[0], ax=axes[:2], label=label, shrink=0.75)
    figure.colorbar(
        axes[2].collections[0], ax=axes[2], label="difference", shrink=0.75, extend="min"
    )
    return figure


def ranked_heads(heads: pd.DataFrame) -> Figure:
    """Every head from highest to lowest, with both kinds of random pairs that it is held against.

    Args:
        heads: as from `papers.secrets.relation_heads.heads`.
    """
    own = heads[heads["reading"] == MAIN].reset_index(drop=True)
    other = heads[heads["reading"] == ANY_WORD][["layer", "head", "random"]]
    both = own.merge(other, on=["layer", "head"], suffixes=("", "_any"))
    place = both.index + 1
    figure, (axis,) = panels(1, 7.0, 3.2)
    threshold = float(np.percentile(both["annotated"], PERCENTILE))
    axis.axhline(threshold, color="black", linewidth=0.8, linestyle=":")
    said = f"{PERCENTILE}th percentile of the {len(both)} heads"
    axis.text(len(both) / 2, threshold, said, fontsize=8, ha="center", va="bottom", zorder=3,
              bbox={"facecolor": "white", "linewidth": 0, "alpha": 0.8, "pad": 1})  # fmt: skip
    axis.plot(place, both["random"], "_", color=LIGHT, markersize=8, label="pairs as far apart")
    axis.plot(
        place, both["random_any"], "x", color=BASELINE, markersize=4, label="any word to predicate"
    )
    axis.plot(place, both["annotated"], "o", color=DARK, markersize=4, label="annotated links")
    for rank in range(min(2, len(both))):
        row = both.loc[rank]
        name = f"layer {row['layer'] + 1} head {row['head'] + 1}"
        axis.annotate(name, (rank + 1, row["annotated"]), (8, 4), textcoords="offset points",
                      fontsize=8)  # fmt: skip
    axis.set(xlabel="rank among all heads", ylabel="frame attention", ylim=(0, None))
    figure.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=3)
    return figure


def frame_example(text: Annotated) -> Figure:
    """Figure 4: one sentence with its frame, an arrow from each core element to the predicate.

    Blue: the predicate, with the frame's name below it; orange: core elements; grey: others.

    Args:
        text: with one frame, whose target is in one piece.
    """
    (frame,) = text.frames
    width = len(text.text)
    figure, (axis,) = panels(1, 0.125 * width + 1.0, 1.5)
    for at, letter in enumerate(text.text):
        axis.text(at + 0.5, 0, letter, family="monospace", fontsize=13, ha="center", va="center")
    ((start, end),) = frame.targets
    _mark(axis, start, end, frame.name, DARK)
    for element in frame.elements:
        color = BASELINE if element.core else LIGHT
        _mark(axis, element.start, element.end, element.name, color)
        if element.core:
            _link(axis, (element.start + element.end) / 2, (start + end) / 2)
    axis.set(xlim=(-4, width + 4), ylim=(-1.6, 1.9))
    axis.axis("off")
    return figure


def _mark(axis: Axes, start: int, end: int, name: str, color: str) -> None:
    axis.add_patch(
        Rectangle((start, -0.45), end - start, 0.9, facecolor=color, alpha=0.3, linewidth=0)
    )
    axis.text((start + end) / 2, -0.95, name, fontsize=9, ha="center", va="center")


def _link(axis: Axes, element: float, predicate: float) -> None:
    """An arrow from the query to the key."""
    bend = -0.25 if element < predicate else 0.25
    style = {"arrowstyle": "->", "mutation_scale": 12, "color": "black", "linewidth": 1}
    axis.add_patch(
        FancyArrowPatch(
            (element, 0.55), (predicate, 0.55), connectionstyle=f"arc3,rad={bend}", **style
        )
    )
