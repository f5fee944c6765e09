"""Parts of speech, dependencies, negation and frame elements, aligned to word pieces.

``annotation`` what is known about a text, and the features of its words; ``sources`` where that
comes from; ``alignment`` words and word pieces; ``frames`` the pairs of Kovaleva et al., §4.2.
"""

from bertstudy.linguistics.alignment import Aligned, align
from bertstudy.linguistics.annotation import FEATURES, Annotated, Element, Frame, Word
from bertstudy.linguistics.frames import PAPER, RELEASED, Filters, FramePair, Step, frame_pairs
from bertstudy.linguistics.sources import (
    framenet,
    framenet_release,
    from_sentence,
    nltk_framenet,
    spacy_texts,
    synthetic_texts,
    universal_dependencies,
)

__all__ = [
    "FEATURES",
    "PAPER",
    "RELEASED",
    "Aligned",
    "Annotated",
    "Element",
    "Filters",
    "Frame",
    "FramePair",
    "Step",
    "Word",
    "align",
    "frame_pairs",
    "framenet",
    "framenet_release",
    "from_sentence",
    "nltk_framenet",
    "spacy_texts",
    "synthetic_texts",
    "universal_dependencies",
]
