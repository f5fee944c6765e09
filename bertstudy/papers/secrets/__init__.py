"""Kovaleva, Romanov, Rogers & Rumshisky (2019), *Revealing the Dark Secrets of BERT*.

========================  ====================================================
`frame_links`             §4.2: predicates, their elements, and random pairs
`relation_heads`          §4.2: heads that link a predicate and its elements
`change`                  §4.3: maps and scores before and after fine-tuning
`disabling_heads`         §4.6: what is lost without a head, or a layer
`shared_words`            §5: heads that link the words of both sentences
========================  ====================================================
"""

from bertstudy.papers.secrets import change, disabling_heads, relation_heads, shared_words

# Every quantity that a claim or a printed number of the paper may name.
QUANTITIES = (
    disabling_heads.QUANTITIES
    | change.QUANTITIES
    | relation_heads.QUANTITIES
    | shared_words.QUANTITIES
)
