"""Figures 6 and 7 of Kovaleva et al. (2019): what heads attend to, by kind of token."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bertstudy.figures.base import (
    BASELINE,
    DARK,
    LIGHT,
    head_grid,
    mean_with_interval,
    panel_grid,
    panels,
    seed_count,
)
from bertstudy.papers.secrets.features import KINDS, SPECIALS, shown
from bertstudy.papers.secrets.token_to_token import BEST, CHOICES


def _order(table: pd.DataFrame) -> list[str]:
    """Kinds of token that the table has, always in the same order."""
    return [kind for kind in KINDS if kind in set(table["feature"])]


def _title(rows: pd.DataFrame) -> str:
    """The reading, and over how many seeds; the encoder has none."""
    (reading,) = set(rows["reading"])
    said = f"{reading}, {seed_count(rows)}" if rows["seed"].min() >= 0 else reading
    return said.replace(", ", "\n", 1)


def _by_reading(table: pd.DataFrame) -> list[pd.DataFrame]:
    return [rows for _, rows in shown(table).groupby("reading", sort=False)]


def special_heads(scores: pd.DataFrame) -> Figure:
    """Figure 6: scores of [SEP] (above) and [CLS] (below), layers by heads; a column a reading.

    Mean over examples and seeds. Each reading has its scale: the longer its inputs, the less a
    token can receive.

    Args:
        scores: as from `papers.secrets.features.scores`.
    """
    return _grids(scores, list(reversed(SPECIALS)), "score", "attention received")


def word_heads(scores: pd.DataFrame) -> Figure:
    """Figure 6 for kinds of words, minus the null: a row a kind, a column a reading."""
    words = [kind for kind in _order(shown(scores)) if kind not in SPECIALS]
    return _grids(scores, words, "above", "minus the null")


def _grids(scores: pd.DataFrame, kinds: Sequence[str], value: str, label: str) -> Figure:
    readings = _by_reading(scores)
    figure, axes = panel_grid(len(kinds), len(readings), 1.9, 1.8)
    grids = {
        (kind, column): rows[rows["feature"] == kind].pivot_table(
            index="layer", columns="head", values=value
        )
        for kind in kinds
        for column, rows in enumerate(readings)
    }
    for column, rows in enumerate(readings):
        reach = max(float(grids[kind, column].abs().max(axis=None)) for kind in kinds
                    if grids[kind, column].size)  # fmt: skip
        line = [axes[row][column] for row in range(len(kinds))]
        line[0].set_title(_title(rows), fontsize=9)
        for axis, kind in zip(line, kinds, strict=True):
            if not grids[kind, column].size:
                _empty(axis, f"no {kind}\nknown in it")
                continue
            head_grid(axis, grids[kind, column], **_colours(value, reach))
            _thin_ticks(axis)
            drawn = axis.collections[0]
            axis.set_xlabel("head (1-based)" if kind == kinds[-1] else "")
            axis.set_ylabel("" if column else "layer (1-based)")
        bar = figure.colorbar(drawn, ax=line, label=label, location="bottom", shrink=0.9)
        bar.locator = MaxNLocator(3)
        bar.ax.tick_params(labelsize=7)
    for row, kind in enumerate(kinds):
        axes[row][0].set_ylabel(f"{kind}\n{axes[row][0].get_ylabel()}")
    return figure


def _thin_ticks(axis: Axes) -> None:
    """Of many heads and layers every other is named: small panels have no room for all."""
    axis.tick_params(labelsize=7, labelrotation=0)
    for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
        for label in ticks[1::2] if len(ticks) > 8 else ():
            label.set_visible(False)


def _colours(value: str, reach: float) -> dict[str, Any]:
    """A scale from 0, or symmetric about it where the null is subtracted."""
    if value == "above":
        return {"cmap": "RdBu", "vmin": -reach, "vmax": reach}
    return {"cmap": "Blues", "vmin": 0, "vmax": reach}


def _empty(axis: Axes, said: str) -> None:
    axis.text(0.5, 0.5, said, ha="center", va="center", fontsize=8, color=LIGHT)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_box_aspect(1)
    for spine in axis.spines.values():
        spine.set_visible(False)


def against_null(scores: pd.DataFrame) -> Figure:
    """Each kind's score, mean over all heads, beside its null: seeds, mean, 95 % interval."""
    figure, axes = _beside_null(scores)
    for axis in axes:
        axis.set(xlabel="attention received", xlim=(0, None))
    return figure


def changed_attention(changes: pd.DataFrame) -> Figure:
    """Scores of the fine-tuned model minus the encoder's, mean over heads; the null's as well.

    Args:
        changes: as from `papers.secrets.features.changes`.
    """
    figure, axes = _beside_null(changes)
    for axis in axes:
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_xlabel("change by fine-tuning")
    return figure


SERIES = (  # column, label, colour, marker, place beside the kind's line
    ("score", "this kind of token", DARK, "o", 0.13),
    ("null", "as many random words", BASELINE, "s", -0.13),
)


def _beside_null(table: pd.DataFrame) -> tuple[Figure, list[Axes]]:
    readings, kinds = _by_reading(table), _order(shown(table))[::-1]
    figure, axes = panels(len(readings), 2.1, 3.4)
    for axis, rows in zip(axes, readings, strict=True):
        means = rows.groupby(["feature", "seed"])[["score", "null"]].mean()
        for place, kind in enumerate(kinds):
            if kind not in set(rows["feature"]):
                continue
            for value, label, color, marker, offset in SERIES:
                samples, at = means.loc[kind][value].to_numpy(), place + offset
                axis.plot(samples, [at] * len(samples), ".", color=color, alpha=0.4)
                mean_with_interval(axis, at, samples, color, label, marker, horizontal=True)
        first = axis is axes[0]
        axis.set_yticks(range(len(kinds)), kinds if first else [""] * len(kinds))
        axis.set_ylim(-0.6, len(kinds) - 0.4)
        axis.tick_params(axis="x", labelsize=8)
        axis.set_title(_title(rows), fontsize=9)
    _legend(figure, axes[0])
    return figure, axes


def last_layer(table: pd.DataFrame) -> Figure:
    """Figure 7: attention of the last layer's [CLS], heads by kinds; below it minus the null.

    Args:
        table: as from `papers.secrets.token_to_token.last_layer`.
    """
    readings, kinds = _by_reading(table), _order(shown(table))
    figure, axes = panel_grid(2, len(readings), 2.1, 2.3)
    values = (("score", "attention of [CLS]"), ("above", "minus the null"))
    for line, (value, label) in zip(axes, values, strict=True):
        grids = [
            rows.pivot_table(index="feature", columns="head", values=value).reindex(kinds)
            for rows in readings
        ]
        reach = max(float(grid.abs().max(axis=None)) for grid in grids)
        for axis, rows, grid in zip(line, readings, grids, strict=True):
            named = kinds if axis is line[0] else False
            heads = [head + 1 for head in grid.columns]
            colours = _colours(value, reach)
            style = {"linewidths": 0.4, "linecolor": "white", "cbar": False}
            sns.heatmap(grid, ax=axis, xticklabels=heads, yticklabels=named, **style, **colours)
            axis.set(xlabel="head (1-based)", ylabel="")
            axis.tick_params(labelsize=8, labelrotation=0)
            axis.set_title(_title(rows), fontsize=9)
        figure.colorbar(line[-1].collections[0], ax=line, label=label, shrink=0.8)
    return figure


def diagonals(links: pd.DataFrame) -> Figure:
    """Attention between linked words against how diagonal the head is; a dot a head.

    Mean over seeds. Filled dots are heads that pass the corrected test in most seeds; the five with
    most attention are ringed; squares are the same heads' attention between random words as far
    apart.

    Args:
        links: as from `papers.secrets.token_to_token.links`.
    """
    own = shown(links)
    groups = [rows for _, rows in own.groupby(["reading", "relation"], sort=False)]
    if not groups:
        return _nothing()
    wide = min(len(groups), 3)
    figure, axes = panel_grid(-(-len(groups) // wide), wide, 2.5, 2.6)
    flat = [axis for line in axes for axis in line]
    for axis in flat[len(groups) :]:
        axis.set_axis_off()
    for axis, rows in zip(flat, groups, strict=False):
        heads = rows.groupby(["layer", "head"])[["score", "null", "neighbours", "passes"]].mean()
        best = heads.nlargest(BEST, "score")
        axis.plot(heads["neighbours"], heads["null"], "s", color=BASELINE, markersize=4, alpha=0.7,
                  label="random words as far apart")  # fmt: skip
        passes = heads["passes"] > 0.5
        for own, fill, label in ((heads[passes], DARK, "the two words: passes the test"),
                                 (heads[~passes], "white", "does not pass")):  # fmt: skip
            axis.plot(own["neighbours"], own["score"], "o", markersize=4, markerfacecolor=fill,
                      markeredgecolor=DARK, label=label)  # fmt: skip
        axis.plot(best["neighbours"], best["score"], "o", markersize=9, markerfacecolor="none",
                  markeredgecolor="black", label="five highest")  # fmt: skip
        axis.set(xlabel="attention to both neighbours", ylabel="attention", ylim=(0, None))
        axis.set_title(f"{rows['relation'].iloc[0]}: {_title(rows)}", fontsize=9)
    _legend(figure, flat[0], 2)
    return figure


def coincidence(table: pd.DataFrame) -> Figure:
    """How much more diagonal than all heads the five are that stand out, by what chose them.

    Args:
        table: as from `papers.secrets.token_to_token.coincidence`.
    """
    keys = ["relation", "reading"]
    groups = list(table.groupby(keys, sort=False))
    if not groups:
        return _nothing()
    figure, (axis,) = panels(1, 7.0, 0.7 * len(groups) + 1.6)
    styles = zip(CHOICES, (DARK, BASELINE, LIGHT), ("o", "s", "D"), (0.2, 0, -0.2), strict=True)
    for key, color, marker, offset in styles:
        for place, (_, rows) in enumerate(reversed(groups)):
            samples = rows.loc[rows["chosen_by"] == key, "diagonal"].to_numpy()
            label = CHOICES[key] if place == 0 else None
            axis.plot(samples, [place + offset] * len(samples), ".", color=color, alpha=0.4)
            mean_with_interval(axis, place + offset, samples, color, label, marker, horizontal=True)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(groups)), [f"{r}: {name}" for (r, name), _ in reversed(groups)])
    axis.set_xlabel("attention to neighbours: five heads minus all heads")
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", fontsize=8, frameon=False,
                  title="five heads chosen by", title_fontsize=8)  # fmt: skip
    return figure


def _nothing() -> Figure:
    """Where no reading has a tree: said, rather than an empty place on the page."""
    figure, (axis,) = panels(1, 4.0, 1.0)
    _empty(axis, "no tree is known of these texts: no relation to show")
    axis.set_box_aspect(None)
    return figure


def _legend(figure: Figure, axis: Axes, columns: int = 2) -> None:
    drawn = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))  # each label once
    figure.legend(
        drawn.values(),
        drawn.keys(),
        loc="outside upper center",
        ncols=columns,
        fontsize=8,
        frameon=False,
    )
