"""The pattern gallery: maps by pattern, layer and head, with the classifier's confidence."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import traitlets

from bertstudy.errors import BertstudyError
from bertstudy.papers.secrets.labelled_maps import PATTERNS, second_segment
from bertstudy.papers.secrets.pattern_classifiers import UNCERTAIN, Classifier
from bertstudy.papers.secrets.patterns import shares
from bertstudy.store import Record
from bertstudy.widgets.base import STYLE, Explorer, module
from bertstudy.widgets.data import AttentionMaps, PageData
from bertstudy.widgets.secrets import explorer_data

if TYPE_CHECKING:
    from bertstudy.study import Study

NAME = "patterns"  # of what this explorer adds to the page's data
EXAMPLES = 4  # of each task: at 36 heads that is 144 maps to choose from


class PatternGallery(Explorer):
    """Choose a pattern, a layer and a head; see the maps that show it, and one of them large.

    Args:
        data: page data with ``more["patterns"]``, as from `gallery_data`.
        task: which task first; the first one that has patterns if not given.
        pattern: one of `PATTERNS`, or "" for every one.
        layer, head: 0-based, or None for every one.

    Raises:
        BertstudyError: the data hold no patterns, or a choice does not exist.
    """

    _esm = module("patterns")
    _css = STYLE

    pattern = traitlets.Unicode("").tag(sync=True)
    layer = traitlets.Int(None, allow_none=True).tag(sync=True)
    head = traitlets.Int(None, allow_none=True).tag(sync=True)
    shown = ("task", "pattern", "layer", "head")

    def __init__(self, data: PageData, *, task: str | None = None, **chosen: Any) -> None:
        if not data.more.get(NAME):
            raise BertstudyError("a pattern gallery needs page data with patterns")
        super().__init__(data, task=next(iter(data.more[NAME])) if task is None else task, **chosen)

    @traitlets.validate("task")
    def _check_task(self, proposal: dict[str, Any]) -> str:
        task = proposal["value"]
        if task not in self.data.more[NAME]:
            allowed = ", ".join(self.data.more[NAME])
            raise BertstudyError(f"no patterns for task {task!r}; allowed: {allowed}")
        return task

    @traitlets.validate("pattern")
    def _check_pattern(self, proposal: dict[str, Any]) -> str:
        pattern = proposal["value"]
        if pattern and pattern not in PATTERNS:
            raise BertstudyError(f"unknown pattern {pattern!r}; allowed: {', '.join(PATTERNS)}")
        return pattern

    @traitlets.validate("layer")
    def _check_layer(self, proposal: dict[str, Any]) -> int | None:
        return None if proposal["value"] is None else super()._check_layer(proposal)


def gallery_data(
    study: "Study", records: Sequence[Record], classifier: Classifier, examples: int = EXAMPLES
) -> PageData:
    """Page data for the gallery: a few examples a task, their maps classified here and now.

    Args:
        records: as from `papers.secrets.patterns.records`; they say what a head does over all
            validation examples.
        classifier: the one that made the records.
    """
    page = explorer_data(study, examples=examples)
    table = shares(records)
    found = {
        task: _patterns(maps, classifier, table[table["task"] == task])
        for task, maps in page.maps.items()
    }
    return PageData(list(page.maps.values()), more={NAME: found})


def _patterns(maps: AttentionMaps, classifier: Classifier, own: pd.DataFrame) -> dict[str, Any]:
    """What `patterns.js` reads as ``task.more.patterns``."""
    named = [_classified(np.asarray(e.maps[-1]), e.tokens, classifier) for e in maps.examples]
    census = own.groupby(["layer", "head", "pattern"])["share"].mean().unstack()[list(PATTERNS)]
    shape = (maps.layers, maps.heads, len(PATTERNS))
    return {
        "names": list(PATTERNS),
        "uncertain": UNCERTAIN,
        "classes": [probabilities.argmax(-1).tolist() for probabilities in named],
        "confidence": [probabilities.max(-1).round(3).tolist() for probabilities in named],
        "shares": census.to_numpy().reshape(shape).round(2).tolist(),
        "examples": int(own["examples"].iloc[0]),
    }


def _classified(maps: np.ndarray, tokens: Sequence[str], classifier: Classifier) -> np.ndarray:
    """Probabilities ``[layer, head, pattern]`` of one example's maps, each layer a batch entry."""
    probs = torch.from_numpy(maps).float()
    is_token = torch.ones(len(probs), len(tokens), dtype=torch.bool)
    second = torch.full((len(probs),), second_segment(tokens))
    return classifier.probabilities(probs, is_token, second).numpy()
