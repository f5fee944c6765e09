"""The disabling explorer: what a head is worth to a task, and to one prediction."""

from typing import Any

import traitlets

from bertstudy.errors import BertstudyError
from bertstudy.widgets.base import STYLE, Explorer, module
from bertstudy.widgets.data import KINDS, PageData


class DisablingExplorer(Explorer):
    """A grid of layers × heads coloured by the effect of disabling; click one to look closer.

    Args:
        data: page data with at least one `DisablingGrid`.
        task: a task that has a grid; the first one if not given.
        kind: "uniform" (Kovaleva et al. 2019) or "zero" (Michel et al. 2019).
        example, layer, head: what to show first, 0-based; ``head=None`` is the whole layer.

    Raises:
        BertstudyError: the data hold no grid, or a choice does not exist.
    """

    _esm = module("disabling")
    _css = STYLE

    kind = traitlets.Enum(KINDS, default_value="uniform").tag(sync=True)
    head = traitlets.Int(0, allow_none=True).tag(sync=True)
    shown = (*Explorer.shown, "kind")

    def __init__(self, data: PageData, *, task: str | None = None, **chosen: Any) -> None:
        if not data.grids:
            raise BertstudyError("a disabling explorer needs page data with a disabling grid")
        super().__init__(data, task=next(iter(data.grids)) if task is None else task, **chosen)

    @traitlets.validate("task")
    def _check_task(self, proposal: dict[str, Any]) -> str:
        task = proposal["value"]
        if task not in self.data.grids:
            allowed = ", ".join(self.data.grids)
            raise BertstudyError(f"no disabling grid for task {task!r}; allowed: {allowed}")
        return task
