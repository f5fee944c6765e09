"""An executable book about BERT's self-attention.

A notebook starts with ``study = bertstudy.open(edition=...)``; everything else is found in the
module that is named after it (`bertstudy.attention`, `bertstudy.papers.secrets`, ...).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertstudy.study import Study

__version__ = "0.1.0"
__all__ = ["open"]


def open(  # noqa: A001 - a notebook says bertstudy.open(...)
    edition: str = "mini",
    source: str = "",
    task: str = "all",
    seeds: int = 0,
    any_kind: bool = False,
) -> "Study":
    """Open an edition; see `bertstudy.study.open_study`. Imports torch only when called."""
    from bertstudy.study import open_study

    return open_study(edition, source, task, seeds, any_kind)
