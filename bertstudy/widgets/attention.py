"""The attention explorer: one head's map, pre-trained beside fine-tuned."""

from bertstudy.widgets.base import STYLE, Explorer, module


class AttentionExplorer(Explorer):
    """Choose an example, a layer and a head; see the map and the token-to-token lines.

    The last model of the data is the fine-tuned one; its heads are shown in the overview. See
    `Explorer` for the arguments and `attention.js` for the view.
    """

    _esm = module("attention")
    _css = STYLE
