"""Figures 1 and 2 of Kovaleva et al. (2019): patterns of attention maps and their shares."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bertstudy.figures.base import BASELINE, STYLE

SHEET = 5  # maps a side of a contact sheet


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
    for axis, weights, second, number in zip(
        axes.flat, maps, seconds, numbers, strict=False
    ):
        axis.axis("on")
        draw_map(axis, weights, second)
        axis.set_title(str(number), fontsize=9, pad=7)
    return figure
