"""Tidy table in, Figure out. Layers and heads are 1-based here and every axis says so.

One module a subject; all of them draw with what is in ``base``.
"""

from bertstudy.figures.change import changed_heads, changed_layers
from bertstudy.figures.disabling import disabled_heads, disabled_layers, selection
from bertstudy.figures.ladder import RUNGS, STARTS, ladder
from bertstudy.figures.patterns import (
    contact_sheet,
    pattern_confusions,
    pattern_of_heads,
    pattern_shares,
    typical_maps,
)

__all__ = [
    "RUNGS",
    "STARTS",
    "changed_heads",
    "changed_layers",
    "contact_sheet",
    "disabled_heads",
    "disabled_layers",
    "ladder",
    "pattern_confusions",
    "pattern_of_heads",
    "pattern_shares",
    "selection",
    "typical_maps",
]
