"""What all explorers share on the Python side: two faces of one ES module.

In a running notebook an explorer is an ordinary anywidget. In a static page its ``text/html`` twin
runs the same module over a stand-in for the widget model, with no other file and no request.
"""

import json
import re
import uuid
from importlib import resources
from typing import Any

import anywidget
import ipywidgets
import traitlets

from bertstudy.errors import BertstudyError
from bertstudy.widgets.data import AttentionMaps, PageData
from bertstudy.widgets.live import LivePanel, Probe

_FILES = resources.files(__package__)
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./shared\.js";\n', re.MULTILINE)

STYLE = (_FILES / "explorers.css").read_text(encoding="utf-8")


def module(name: str) -> str:
    """The ES module ``name``.js with ``shared.js`` written into it.

    Both are plain modules that a browser could load side by side; a widget's source and an inline
    script have to be one text, so the import is replaced by what it names.
    """
    shared = (_FILES / "shared.js").read_text(encoding="utf-8")
    own = (_FILES / f"{name}.js").read_text(encoding="utf-8")
    return re.sub(r"^export ", "", shared, flags=re.MULTILINE) + _IMPORT.sub("", own)


class Explorer(anywidget.AnyWidget):
    """Chooses task, example, layer and head over shared `PageData`; subclasses bring the view.

    Args:
        data: what to show; display it once on the page too.
        task: which task first; the first one if not given.
        example, layer, head: what to show first, 0-based (the page counts layers and heads from 1).

    Raises:
        BertstudyError: one of them does not exist. The same holds when they are set later.
    """

    data = traitlets.Instance(PageData).tag(sync=True, **ipywidgets.widget_serialization)
    task = traitlets.Unicode().tag(sync=True)
    example = traitlets.Int(0).tag(sync=True)
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)

    shown: tuple[str, ...] = ("task", "example", "layer", "head")

    def __init__(self, data: PageData, *, task: str | None = None, **chosen: Any) -> None:
        task = next(iter(data.maps)) if task is None else task
        super().__init__(data=data, task=task, **chosen)

    def live(self, probe: Probe, task: str | None = None, *, pair: bool = True) -> LivePanel:
        """A panel in which the reader tries a sentence of their own; needs a running notebook.

        Args:
            probe: takes the first and the second text (None when left empty) and returns an
                `Example` with the same models, layers and heads as the task's.
            task: whose model ``probe`` runs; the task shown now if not given. The panel keeps to
                it, and turns the explorer to it, whatever the reader chooses meanwhile.
            pair: whether to ask for a second text at all.

        Raises:
            BertstudyError: the explorer does not show such a task.
        """
        task = self.task if task is None else self._check_task({"value": task})
        return LivePanel(self, probe, task, pair=pair)

    @property
    def _maps(self) -> AttentionMaps:
        return self.data.of(self.task)

    @traitlets.validate("task")
    def _check_task(self, proposal: dict[str, Any]) -> str:
        return self.data.of(proposal["value"]).task

    @traitlets.validate("example")
    def _check_example(self, proposal: dict[str, Any]) -> int:
        return _within(proposal["value"], len(self._maps.examples), "example")

    @traitlets.validate("layer")
    def _check_layer(self, proposal: dict[str, Any]) -> int:
        return _within(proposal["value"], self._maps.layers, "layer")

    @traitlets.validate("head")
    def _check_head(self, proposal: dict[str, Any]) -> int | None:
        head = proposal["value"]  # None: the whole layer, where a subclass allows it
        return None if head is None else _within(head, self._maps.heads, "head")

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle, metadata = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/html": self._twin()}, metadata

    def _twin(self) -> str:
        state = {name: getattr(self, name) for name in self.shown} | {"data": self.data.key}
        literal = json.dumps(state).replace("<", "\\u003c")  # "</script>" in a task's name
        name = f"bertstudy-{uuid.uuid4().hex[:12]}"  # the same explorer may be shown twice
        return (
            f'<div class="bertstudy" id="{name}"><noscript>This explorer needs scripts: allow them '
            "to use it. The figures and tables of the page work without.</noscript></div>\n"
            f"<style>{STYLE}</style>\n"
            f'<script type="module">{self._esm}\n'
            f'render({{ model: standIn({literal}), el: document.getElementById("{name}") }});\n'
            "</script>"
        )


def _within(index: int, count: int, what: str) -> int:
    if not 0 <= index < count:
        raise BertstudyError(f"{what} {index} is out of range; allowed: 0 to {count - 1}")
    return index
