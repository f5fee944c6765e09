"""Tidy table in, Figure out. Layers and heads are 1-based here and every axis says so.

One module a subject; all of them draw with what is in ``base``.
"""

from bertstudy.figures.change import changed_heads, changed_layers
from bertstudy.figures.disabling import disabled_heads, disabled_layers, selection
from bertstudy.figures.features import (
    against_null,
    changed_attention,
    coincidence,
    diagonals,
    last_layer,
    special_heads,
    word_heads,
)
from bertstudy.figures.ladder import RUNGS, STARTS, ladder
from bertstudy.figures.patterns import (
    contact_sheet,
    pattern_confusions,
    pattern_of_heads,
    pattern_shares,
    typical_maps,
)
from bertstudy.figures.relations import frame_example, frame_heads, ranked_heads

__all__ = [
    "RUNGS",
    "STARTS",
    "against_null",
    "changed_attention",
    "changed_heads",
    "changed_layers",
    "coincidence",
    "contact_sheet",
    "diagonals",
    "disabled_heads",
    "disabled_layers",
    "frame_example",
    "frame_heads",
    "ladder",
    "last_layer",
    "pattern_confusions",
    "pattern_of_heads",
    "pattern_shares",
    "ranked_heads",
    "selection",
    "special_heads",
    "typical_maps",
    "word_heads",
]
