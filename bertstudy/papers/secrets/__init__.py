"""Kovaleva, Romanov, Rogers & Rumshisky (2019), *Revealing the Dark Secrets of BERT*.

========================  ====================================================
`change`                  §4.3: maps and scores before and after fine-tuning
`disabling_heads`         §4.6: what is lost without a head, or a layer
========================  ====================================================
"""

from bertstudy.papers.secrets import change, disabling_heads
from bertstudy.papers.secrets.disabling_heads import (
    KINDS,
    best_head_gain,
    best_head_gain_held_out,
    best_layer_gain,
    best_layer_gain_held_out,
    disabling,
    disabling_records,
    effect_of_named_heads,
    effects,
    head_effects,
    layer_effects,
    quantities,
    summary,
)

# Every quantity that a claim or a printed number of the paper may name.
QUANTITIES = disabling_heads.QUANTITIES | change.QUANTITIES

__all__ = [
    "KINDS",
    "QUANTITIES",
    "best_head_gain",
    "best_head_gain_held_out",
    "best_layer_gain",
    "best_layer_gain_held_out",
    "change",
    "disabling",
    "disabling_heads",
    "disabling_records",
    "effect_of_named_heads",
    "effects",
    "head_effects",
    "layer_effects",
    "quantities",
    "summary",
]
