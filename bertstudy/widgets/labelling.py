"""The labelling tool: attention maps one at a time, sorted into the five patterns by a click."""

import io
from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

from bertstudy.errors import BertstudyError
from bertstudy.figures.patterns import draw_map
from bertstudy.papers.secrets.labelled_maps import GUIDELINE, PATTERNS, LabelledMaps, load, save

STATIC = "Run this notebook to sort maps yourself."
PIXELS = 360  # a side of the map shown


class LabellingTool(ipywidgets.VBox):
    """Shows maps in a random order, with nothing that says where they come from, and keeps labels.

    Each label is written to the folder at once, so that a sitting can be broken off; opened again
    on the same folder and seed, the tool goes on with the first map that has no label there.

    Args:
        maps: what to label; their own labels are not shown.
        folder: where `labelled_maps.save` puts the result; other than that of the shipped labels.
        seed: of the order. Another one makes another sitting.

    Raises:
        BertstudyError: the folder holds other maps.
    """

    def __init__(self, maps: LabelledMaps, folder: Path | str, seed: int = 0) -> None:
        self.folder = Path(folder)
        self.labelled = self._opened(maps)
        self.order = np.random.default_rng(seed).permutation(len(maps))
        self.place = next(
            (n for n, row in enumerate(self.order) if not self._label(row)), len(self.order)
        )
        self.image = ipywidgets.Image(format="png", width=PIXELS)
        self.message = ipywidgets.HTML()
        self.buttons = {pattern: self._button(pattern) for pattern in PATTERNS}
        self.back = ipywidgets.Button(description="Back", icon="undo")
        self.back.on_click(lambda _: self.go_back())
        super().__init__(
            [self.message, self.image, ipywidgets.HBox([*self.buttons.values(), self.back])]
        )
        self._show()

    def label(self, pattern: str) -> None:
        """Give the map shown a label, write it down, and show the next map."""
        if self.place == len(self.order):
            raise BertstudyError("every map has a label: go back to change one")
        if pattern not in PATTERNS:
            raise BertstudyError(f"'{pattern}' is no pattern; allowed: {', '.join(PATTERNS)}")
        self._set(self.order[self.place], pattern)
        self.place += 1
        save(self.labelled, self.folder)
        self._show()

    def go_back(self) -> None:
        """Show the map before this one again, to be labelled anew."""
        self.place = max(0, self.place - 1)
        self._show()

    def _opened(self, maps: LabelledMaps) -> LabelledMaps:
        """The folder's state of these maps, or the maps without labels."""
        if not (self.folder / "maps.csv").exists():
            return LabelledMaps(maps.table.assign(label="", again=""), maps.maps)
        found = load(self.folder)
        where = ["checkpoint", "task", "seed", "row", "layer", "head"]
        if not found.table[where].equals(maps.table[where]):
            raise BertstudyError(f"{self.folder} holds other maps: choose another folder")
        return found

    def _label(self, row: int) -> str:
        return self.labelled.table.loc[row, "label"]

    def _set(self, row: int, pattern: str) -> None:
        self.labelled.table.loc[row, "label"] = pattern

    def _button(self, pattern: str) -> ipywidgets.Button:
        button = ipywidgets.Button(description=pattern, tooltip=GUIDELINE[pattern])
        button.on_click(lambda _: self.label(pattern))
        return button

    def _show(self) -> None:
        done = self.place == len(self.order)
        for button in self.buttons.values():
            button.disabled = done
        self.back.disabled = self.place == 0
        self.message.value = (
            f"All {len(self.order)} maps have a label; they are in {self.folder}."
            if done
            else f"Map {self.place + 1} of {len(self.order)}"
        )
        if not done:
            row = self.order[self.place]
            second = int(self.labelled.table.loc[row, "second"])
            self.image.value = _png(self.labelled.maps[row], second)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/html": f'<p class="bertstudy-page">{STATIC}</p>'}


def _png(weights: np.ndarray, second: int) -> bytes:
    figure, axis = plt.subplots(figsize=(4, 4), layout="constrained")
    plt.close(figure)
    draw_map(axis, weights, second)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=PIXELS / 4)
    return written.getvalue()
