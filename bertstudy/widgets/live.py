"""The reader's own sentence: ipywidgets in front of a running model."""

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from bertstudy.errors import BertstudyError
from bertstudy.widgets.data import Example

if TYPE_CHECKING:  # base.py imports this module
    from bertstudy.widgets.base import Explorer

Probe = Callable[[str, str | None], Example]

MAX_CHARACTERS = 1000  # refuses a pasted document before a tokenizer sees it
STATIC = "Run this notebook to try a sentence of your own."


class LivePanel(ipywidgets.VBox):
    """Text inputs and a button that add the reader's sentence to one task of an explorer.

    Whatever goes wrong is said in the panel, because a notebook hides what a callback raises. In a
    static page, where the controls would be dead, the panel is one sentence.
    """

    def __init__(self, explorer: "Explorer", probe: Probe, task: str, *, pair: bool = True) -> None:
        self._explorer, self._probe, self._task = explorer, probe, task
        self.label = ipywidgets.Label(f"Your own text, read by the model of {task}")
        wide = ipywidgets.Layout(width="min(40em, 95%)")
        style = {"description_width": "9em"}
        self.first = ipywidgets.Text(description="Your sentence", layout=wide, style=style)
        self.second = ipywidgets.Text(description="Second sentence", layout=wide, style=style)
        self.button = ipywidgets.Button(description="Show it", button_style="primary")
        self.message = ipywidgets.HTML()
        self.button.on_click(lambda _: self.run())
        texts = [self.first, self.second] if pair else [self.first]
        super().__init__([self.label, *texts, ipywidgets.HBox([self.button, self.message])])

    def run(self) -> None:
        """Ask the model about the texts as they stand; the button calls this."""
        self.button.disabled = True
        self._say("Running …")
        try:
            index = self._add()
            self._say(f"Added as example {index + 1} of {self._task}.")
        except Exception as error:  # whatever it is, a callback's traceback would be lost
            known = isinstance(error, BertstudyError)
            self._say(str(error) if known else f"{type(error).__name__}: {error}")
        finally:
            self.button.disabled = False

    def _add(self) -> int:
        first, second = self.first.value.strip(), self.second.value.strip()
        if not first:
            raise BertstudyError("Write a sentence first.")
        if max(len(first), len(second)) > MAX_CHARACTERS:
            raise BertstudyError(f"Too long: at most {MAX_CHARACTERS} characters.")
        example = self._probe(first, second or None)
        index = self._explorer.data.add(self._task, example)
        with self._explorer.hold_sync():  # one step for the view, not by way of another example
            self._explorer.task = self._task
            self._explorer.example = index
        return index

    def _say(self, text: str) -> None:
        self.message.value = f'<span role="status">{html.escape(text)}</span>'

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/html": f'<p class="bertstudy-page">{STATIC}</p>'}
