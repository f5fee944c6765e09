"""The feature map: which heads attend to a kind of token, and more than chance would have it."""

from typing import Any

import traitlets

from bertstudy.errors import BertstudyError
from bertstudy.widgets.base import STYLE, Explorer, module
from bertstudy.widgets.data import PageData

NAME = "features"  # of what this explorer finds in its page data
SIDES = ("pre-trained", "fine-tuned", "difference")


class FeatureExplorer(Explorer):
    """A grid of layers × heads for a kind of token; click one to see its map, the kind marked.

    Args:
        data: page data with `NAME` among what they hold more; see `secrets.feature_data`.
        task: which reading first; the first one if not given.
        kind: of token, such as "noun"; the reading's first one where it has none of that name.
        side: of `SIDES`.
        minus: whether the null is subtracted.
        example, layer, head: what to show first, 0-based.

    Raises:
        BertstudyError: the data hold no feature map, or a choice does not exist.
    """

    _esm = module("features")
    _css = STYLE

    kind = traitlets.Unicode("[SEP]").tag(sync=True)
    side = traitlets.Enum(SIDES, default_value="fine-tuned").tag(sync=True)
    minus = traitlets.Bool(False).tag(sync=True)
    shown = (*Explorer.shown, "kind", "side", "minus")

    def __init__(self, data: PageData, *, task: str | None = None, **chosen: Any) -> None:
        if NAME not in data.more:
            raise BertstudyError("a feature explorer needs page data with a feature map")
        super().__init__(data, task=task, **chosen)
