"""Figures 1 and 2 of Kovaleva et al. (2019): patterns of attention maps and their shares."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bertstudy.figures.base import BASELINE, STYLE, head_grid, panels, seed_count
from bertstudy.papers.secrets.labelled_maps import PATTERNS, LabelledMaps
from bertstudy.papers.secrets.patterns import dominant

SHEET = 5  # maps a side of a contact sheet
EXAMPLES_SEED = 0
COLOURS = dict(zip(PATTERNS, ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#BBBBBB"), strict=True))


def draw_map(axis: Axes, weights: np.ndarray, second: int = 0) -> None:
    """One map, queries down and keys across: white is 0, black is 1, by the square root.

    The root keeps a weight of 1/L visible. The scale is the same for every map, so that one that
    is nearly even looks even. A thin mark in the margins shows where a second segment begins.
    """
    axis.imshow(np.sqrt(weights), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color="#bbbbbb", linewidth=0.6)
    if second:
        place, end = second - 0.5, len(weights) - 0.5
        mark = {"color": BASELINE, "linewidth": 1.5, "clip_on": False}
        reach = 0.04 * len(weights)
        axis.plot([place, place], [-0.5 - reach, -0.5], **mark)
        axis.plot([-0.5 - reach, -0.5], [place, place], **mark)
        axis.set(xlim=(-0.5, end), ylim=(end, -0.5))


def contact_sheet(
    maps: Sequence[np.ndarray], seconds: Sequence[int], numbers: Sequence[int]
) -> Figure:
    """Maps to be labelled, numbered and with nothing else that tells one from another.

    Args:
        maps: ``[query, key]`` each, at most `SHEET`² of them.
        seconds: first token of each second segment, 0 if there is none.
        numbers: by which the annotator names them.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            SHEET, SHEET, figsize=(2 * SHEET, 2.15 * SHEET), layout="constrained"
        )
    plt.close(figure)
    for axis in axes.flat:
        axis.axis("off")
    for axis, weights, second, number in zip(axes.flat, maps, seconds, numbers, strict=False):
        axis.axis("on")
        draw_map(axis, weights, second)
        axis.set_title(str(number), fontsize=9, pad=7)
    return figure


def typical_maps(labelled: LabelledMaps, each: int = 6) -> Figure:
    """Figure 1: labelled maps of each pattern, a row a pattern, drawn at random."""
    rng = np.random.default_rng(EXAMPLES_SEED)
    figure, axes = plt.subplots(
        len(PATTERNS), each, figsize=(1.45 * each, 1.45 * len(PATTERNS)), layout="constrained"
    )
    plt.close(figure)
    for row, pattern in zip(axes, PATTERNS, strict=True):
        own = np.flatnonzero(labelled.table["label"] == pattern)
        for axis in row:
            axis.axis("off")
        for axis, index in zip(row, rng.permutation(own)[:each], strict=False):
            axis.axis("on")
            draw_map(axis, labelled.maps[index], int(labelled.table["second"][index]))
        title = pattern.replace("+", "+\n")
        row[0].text(-0.12, 0.5, title, transform=row[0].transAxes, ha="right", va="center")
    return figure


def pattern_shares(shares: pd.DataFrame) -> Figure:
    """Figure 2: percentage of each pattern among a task's maps; a dot a seed, bars are means.

    Args:
        shares: as from `papers.secrets.patterns.shares`.
    """
    names = list(dict.fromkeys(shares["task"]))
    figure, (axis,) = panels(1, max(4.5, 2.1 * len(names)), 3.2)
    width = 0.8 / len(PATTERNS)
    for offset, (pattern, color) in enumerate(COLOURS.items()):
        own = shares[shares["pattern"] == pattern]
        for place, name in enumerate(names):
            seeds = own[own["task"] == name].groupby("seed")["share"].mean()
            x = place - 0.4 + (offset + 0.5) * width
            label = None if place else pattern
            axis.bar(x, seeds.mean(), width * 0.92, color=color, label=label)
            axis.plot([x] * len(seeds), seeds, ".", color="black", markersize=4, alpha=0.6)
    titles = [f"{n.upper()}\n{seed_count(shares[shares['task'] == n])}" for n in names]
    axis.set_xticks(range(len(names)), titles)
    axis.set(ylabel="% of the task's maps", ylim=(0, None))
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure


def pattern_confusions(confusions: Mapping[str, pd.DataFrame]) -> Figure:
    """Held-out labelled maps by label (down) and pattern named (across), a panel a classifier."""
    figure, axes = panels(len(confusions), 3.9, 3.5)
    short = [pattern.replace("+", "+\n") for pattern in PATTERNS]
    for axis, (name, counts) in zip(axes, confusions.items(), strict=True):
        share = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
        text = counts.map(lambda count: f"{count:.1f}".removesuffix(".0"))
        sns.heatmap(
            share,
            ax=axis,
            annot=text,
            fmt="",
            cmap="Blues",
            vmin=0,
            vmax=1,
            cbar=False,
            square=True,
            xticklabels=short,
            yticklabels=short,
        )
        axis.set(xlabel="named by the classifier", ylabel="label", title=name)
        axis.tick_params(labelsize=8, rotation=0)
        axis.tick_params(axis="x", rotation=45)
    return figure


def pattern_of_heads(shares: pd.DataFrame) -> Figure:
    """Each head's commonest pattern over examples and seeds, paler where it is less constant."""
    names = list(dict.fromkeys(shares["task"]))
    figure, axes = panels(len(names), 3.0, 3.3)
    pooled = shares.groupby(["task", "layer", "head", "pattern"], sort=False)["share"].mean()
    most = dominant(pooled.reset_index().assign(seed=0))
    for axis, name in zip(axes, names, strict=True):
        own = most[most["task"] == name]
        pattern = own.assign(index=own["pattern"].map(PATTERNS.index)).pivot(
            index="layer", columns="head", values="index"
        )
        share = own.pivot(index="layer", columns="head", values="share")
        few = share.shape[1] <= 8
        colours = {"cmap": ListedColormap(list(COLOURS.values())), "vmin": -0.5}
        text = {
            "annot": share.round().astype(int),
            "fmt": "d",
            "annot_kws": {"fontsize": 8, "color": "black"},
        }
        head_grid(axis, pattern, vmax=len(PATTERNS) - 0.5, **colours, **(text if few else {}))
        axis.collections[0].set_alpha((share / 100).to_numpy().ravel())
        rows = shares[shares["task"] == name]
        axis.set_title(f"{name.upper()}, {seed_count(rows)}", fontsize=10)
    columns = 2 if len(names) == 1 else 3
    handles = [Patch(color=color, label=pattern) for pattern, color in COLOURS.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False
    )
    return figure
