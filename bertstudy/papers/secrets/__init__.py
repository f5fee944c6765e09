"""Kovaleva, Romanov, Rogers & Rumshisky (2019), *Revealing the Dark Secrets of BERT*.

========================  ====================================================
`patterns`                §4.1: five patterns, two classifiers, the share of each
`labelled_maps`           §4.1: the maps they learn from, and their labels
`pattern_classifiers`     §4.1: a small network, and rules
`change`                  §4.3: maps and scores before and after fine-tuning
`disabling_heads`         §4.6: what is lost without a head, or a layer
========================  ====================================================
"""

from bertstudy.papers.secrets import change, disabling_heads, patterns

# Every quantity that a claim or a printed number of the paper may name.
QUANTITIES = disabling_heads.QUANTITIES | change.QUANTITIES | patterns.QUANTITIES
