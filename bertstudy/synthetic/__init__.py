"""A small world in English whose sentences come with their meaning.

``lexicon`` words, ``meaning`` what can be said, ``grammar`` how it is said, ``world`` what happens
and what follows, ``opinions`` and ``stories`` text for pre-training, ``tasks`` GLUE look-alikes.
"""

from bertstudy.synthetic.stories import annotated_documents, documents
from bertstudy.synthetic.tasks import load

__all__ = ["annotated_documents", "documents", "load"]
