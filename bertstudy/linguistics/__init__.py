"""Parts of speech, dependencies, negation and frame elements, aligned to word pieces.

``annotation`` what is known about a text, and the features of its words; ``sources`` where that
comes from; ``alignment`` words and word pieces; ``frames`` the pairs of Kovaleva et al., §4.2.
"""

from bertstudy.linguistics.alignment import Aligned, align
from bertstudy.linguistics.annotation import (
    BY_FORM,
    FEATURES,
    SPECIALS,
    Annotated,
    Element,
    Frame,
    Word,
)
from bertstudy.linguistics.frames import PAPER, RELEASED, Filters, FramePair, Step, frame_pairs
from bertstudy.linguistics.sources import (
    by_form,
    framenet,
    framenet_release,
    from_sentence,
    nltk_framenet,
    spacy_texts,
    spacy_version,
    synthetic_texts,
    universal_dependencies,
)

__all__ = [
    "BY_FORM",
    "FEATURES",
    "PAPER",
    "RELEASED",
    "SPECIALS",
    "Aligned",
    "Annotated",
    "Element",
    "Filters",
    "Frame",
    "FramePair",
    "Step",
    "Word",
    "align",
    "by_form",
    "frame_pairs",
    "framenet",
    "framenet_release",
    "from_sentence",
    "nltk_framenet",
    "spacy_texts",
    "spacy_version",
    "synthetic_texts",
    "universal_dependencies",
]
