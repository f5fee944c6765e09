"""Kovaleva, Romanov, Rogers & Rumshisky (2019), *Revealing the Dark Secrets of BERT*.

========================  ====================================================
`change`                  §4.3: maps and scores before and after fine-tuning
`features`                §4.4: attention to kinds of words
`token_to_token`          §4.5: [CLS] in the last layer, linked words, diagonal maps
`disabling_heads`         §4.6: what is lost without a head, or a layer
========================  ====================================================
"""

from bertstudy.papers.secrets import change, disabling_heads, features, token_to_token

# Every quantity that a claim or a printed number of the paper may name.
QUANTITIES = disabling_heads.QUANTITIES | change.QUANTITIES
QUANTITIES |= features.QUANTITIES | token_to_token.QUANTITIES
