"""Kovaleva, Romanov, Rogers & Rumshisky (2019), *Revealing the Dark Secrets of BERT*.

========================  ====================================================
`patterns`                §4.1: five patterns, two classifiers, the share of each
`labelled_maps`           §4.1: the maps they learn from, and their labels
`pattern_classifiers`     §4.1: a small network, and a small tree
`frame_links`             §4.2: predicates and their elements
`nulls`                   §4.2, §4.5: random pairs of words, and the test against them
`relation_heads`          §4.2: heads that link a predicate and its elements
`change`                  §4.3: maps and scores before and after fine-tuning
`features`                §4.4: attention to kinds of words
`token_to_token`          §4.5: [CLS] in the last layer, linked words, diagonal maps
`disabling_heads`         §4.6: what is lost without a head, or a layer
`shared_words`            §5: heads that link the words of both sentences
`what_remains`            findings of §4.2 and §4.4 to §4.6 beside their nulls, in one table
========================  ====================================================
"""

from bertstudy.papers.secrets import (
    change,
    disabling_heads,
    features,
    patterns,
    relation_heads,
    shared_words,
    token_to_token,
)

# Every quantity that a claim or a printed number of the paper may name.
QUANTITIES = (
    patterns.QUANTITIES
    | relation_heads.QUANTITIES
    | change.QUANTITIES
    | features.QUANTITIES
    | token_to_token.QUANTITIES
    | disabling_heads.QUANTITIES
    | shared_words.QUANTITIES
)
