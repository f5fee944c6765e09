"""Tidy table in, Figure out. Layers and heads are 1-based here and every axis says so.

One module a subject; all of them draw with what is in ``base``.
"""

from bertstudy.figures.change import changed_heads, changed_layers
from bertstudy.figures.disabling import disabled_heads, disabled_layers, selection
from bertstudy.figures.ladder import RUNGS, STARTS, ladder
from bertstudy.figures.relations import frame_example, frame_heads, ranked_heads

__all__ = [
    "RUNGS",
    "STARTS",
    "changed_heads",
    "changed_layers",
    "disabled_heads",
    "disabled_layers",
    "frame_example",
    "frame_heads",
    "ladder",
    "ranked_heads",
    "selection",
]
