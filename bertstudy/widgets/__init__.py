"""Interactive explorers that are alive in a static page and in a running notebook.

Three steps in a notebook: gather the numbers in a `PageData`, show it once (this puts them on the
page), then show any number of explorers that read it.
"""

from bertstudy.widgets.attention import AttentionExplorer
from bertstudy.widgets.data import AttentionMaps, DisablingGrid, Example, PageData
from bertstudy.widgets.disabling import DisablingExplorer
from bertstudy.widgets.features import FeatureExplorer
from bertstudy.widgets.labelling import LabellingTool
from bertstudy.widgets.live import LivePanel
from bertstudy.widgets.patterns import PatternGallery

__all__ = [
    "AttentionExplorer",
    "AttentionMaps",
    "DisablingExplorer",
    "DisablingGrid",
    "Example",
    "FeatureExplorer",
    "LabellingTool",
    "LivePanel",
    "PageData",
    "PatternGallery",
]
