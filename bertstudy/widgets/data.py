"""The numbers that explorers show, checked, packed, and put on a page once.

A `PageData` becomes one compressed block: the length of a JSON header (4 bytes, little-endian),
the header, then every attention map as uint8 in the order task, example, model, layer, head,
query, key. `shared.js` is its only reader.
"""

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from numpy.typing import ArrayLike, NDArray

from bertstudy.errors import BertstudyError
from bertstudy.statistics import interval

KINDS = ("uniform", "zero")  # the names of `attention.DISABLINGS`, without loading torch
ORIGINS = ("computed", "stored", "recorded")
MAX_TOKENS = 64  # beyond this neither cells nor labels can be told apart in a page's column
SUM_TOLERANCE = 0.01  # rows of bfloat16 probabilities miss 1 by up to about 0.004


@dataclass(frozen=True, eq=False)
class Example:
    """One input with its attention maps.

    Args:
        text: the sentence, or the pair, as the reader should see it.
        tokens: its word pieces, special tokens included.
        maps: attention after softmax, float [model, layer, head, query, key] in [0, 1]; rows over
            ``key`` sum to 1. The last model is the fine-tuned one.
        probabilities: for each model the class probabilities [class], or None where the model has
            no classifier. Empty means None for all.
        gold: the right label, if there is one; for regression the right value as text.
        disabled: class probabilities of the last model with one head disabled, for each kind of
            disabling, float [layer, head, class].

    Raises:
        BertstudyError: a shape is wrong, or a value is not a probability.
    """

    text: str
    tokens: Sequence[str]
    maps: ArrayLike
    probabilities: Sequence[ArrayLike | None] = ()
    gold: str | None = None
    disabled: Mapping[str, ArrayLike] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"example {self.text[:40]!r}"
        maps = _distributions(self.maps, f"{where}: attention maps", axes=5)
        if not 1 <= len(self.tokens) <= MAX_TOKENS:
            raise BertstudyError(
                f"{where}: {len(self.tokens)} tokens; an explorer shows 1 to {MAX_TOKENS}"
            )
        if maps.shape[-2:] != (len(self.tokens),) * 2:
            raise BertstudyError(
                f"{where}: {len(self.tokens)} tokens but maps of {maps.shape[-2]} queries "
                f"by {maps.shape[-1]} keys"
            )
        given = tuple(self.probabilities) or (None,) * len(maps)
        if len(given) != len(maps):
            raise BertstudyError(f"{where}: {len(maps)} models but {len(given)} predictions")
        probabilities = tuple(
            None if p is None else _distributions(p, f"{where}: class probabilities", axes=1)
            for p in given
        )
        disabled = {
            _known(kind, KINDS, "kind of disabling"): _distributions(
                values, f"{where}: probabilities under {kind} disabling", axes=3
            )
            for kind, values in self.disabled.items()
        }
        object.__setattr__(self, "maps", maps)
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "disabled", disabled)


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Examples of one task as seen by the same models, pre-trained first, fine-tuned last.

    No ``labels`` means regression: examples then have a gold value, and no probabilities.

    Raises:
        BertstudyError: there is no example, or examples differ in models, layers, heads or classes.
    """

    task: str
    models: Sequence[str]
    labels: Sequence[str]
    examples: Sequence[Example]

    def __post_init__(self) -> None:
        if not self.examples:
            raise BertstudyError(f"task {self.task!r}: no example to show")
        object.__setattr__(self, "examples", tuple(self.examples))
        for example in self.examples:
            self._check(example)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self.examples[0].maps.shape[1]

    @property
    def heads(self) -> int:
        """Heads in each layer."""
        return self.examples[0].maps.shape[2]

    def _check(self, example: Example) -> None:
        where = f"task {self.task!r}, example {example.text[:40]!r}"
        expected = (len(self.models), self.layers, self.heads)
        if example.maps.shape[:3] != expected:
            raise BertstudyError(
                f"{where}: maps of {example.maps.shape[:3]} models, layers, heads; "
                f"expected {expected}"
            )
        if self.labels and example.gold is not None:
            _known(example.gold, self.labels, f"{where}: gold label")
        classes = len(self.labels)
        for values in (p for p in example.probabilities if p is not None):
            if len(values) != classes:
                raise BertstudyError(f"{where}: {len(values)} probabilities, {classes} labels")
        for kind, values in example.disabled.items():
            _shaped(values, (self.layers, self.heads, classes), f"{where}, {kind} disabling")


@dataclass(frozen=True, eq=False)
class DisablingGrid:
    """What disabling each head, and each whole layer, does to a task's metric.

    Args:
        task: the name of the `AttentionMaps` shown beside it.
        metric: its name as printed, such as "accuracy".
        baseline: the metric with nothing disabled, float [seed], as a fraction, not in percent.
        effects: metric with the head disabled minus ``baseline``, fractions [layer, head, seed],
            for each kind: "uniform" (Kovaleva et al. 2019), "zero" (Michel et al. 2019).
        layer_effects: the same with all heads of a layer disabled, [layer, seed].
        seeds: the seed of each fine-tuning run.
        origins: for each seed whether its numbers were "computed" now, "stored" by an earlier run
            here, or "recorded" with the book.

    Raises:
        BertstudyError: shapes disagree, a number is not finite, or looks like percent.
    """

    task: str
    metric: str
    baseline: ArrayLike
    effects: Mapping[str, ArrayLike]
    layer_effects: Mapping[str, ArrayLike]
    seeds: Sequence[int]
    origins: Sequence[str]

    def __post_init__(self) -> None:
        where = f"task {self.task!r}"
        runs = len(self.seeds)
        if not runs or not self.effects:
            raise BertstudyError(f"{where}: a disabling grid needs a seed and a kind of disabling")
        if len(self.origins) != runs:
            raise BertstudyError(f"{where}: {runs} seeds but {len(self.origins)} origins")
        for origin in self.origins:
            _known(origin, ORIGINS, "origin")
        baseline = _fractions(self.baseline, f"{where}: baseline", limit=1)
        effects = {
            _known(kind, KINDS, "kind of disabling"): _fractions(v, f"{where}: {kind} effects")
            for kind, v in self.effects.items()
        }
        layers = {
            k: _fractions(v, f"{where}: {k} layer effects") for k, v in self.layer_effects.items()
        }
        shape = next(iter(effects.values())).shape[:2]
        _shaped(baseline, (runs,), f"{where}: baseline")
        for kind, values in effects.items():
            _shaped(values, (*shape, runs), f"{where}: {kind} effects")
            if kind not in layers:
                raise BertstudyError(f"{where}: no layer effects for {kind!r}")
            _shaped(layers[kind], (shape[0], runs), f"{where}: {kind} layer effects")
        object.__setattr__(self, "baseline", baseline)
        object.__setattr__(self, "effects", effects)
        object.__setattr__(self, "layer_effects", {kind: layers[kind] for kind in effects})

    @cached_property
    def intervals(self) -> dict[str, NDArray[np.float64]]:
        """95 % interval of each mean effect, fractions [layer, head, 2]; no kind for one seed."""
        return _intervals(self.effects)

    @cached_property
    def layer_intervals(self) -> dict[str, NDArray[np.float64]]:
        """The same for whole layers, [layer, 2]."""
        return _intervals(self.layer_effects)


class PageData(ipywidgets.Widget):
    """Everything the explorers of one page read.

    Showing it in a cell puts the numbers on the page, once, under a name made from their content;
    explorers shown anywhere on the page find them there. That is one explicit line in a notebook
    rather than a hidden "already shown" flag, so running any cell again, in any order, never loses
    the data. In a running notebook the explorers share this object instead.

    Args:
        maps: attention maps, one entry for each task.
        grids: results of disabling; each names a task of ``maps``.
        more: what a single kind of explorer shows beside the maps, by its name and then by task:
            plain JSON that the explorer's Python side has checked and its module reads as
            ``task.more[name]``.

    Raises:
        BertstudyError: a task appears twice, a grid does not fit its task's maps, or ``more``
            names a task without maps.
    """

    blob = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        maps: AttentionMaps | Iterable[AttentionMaps],
        grids: DisablingGrid | Iterable[DisablingGrid] = (),
        more: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        maps = [maps] if isinstance(maps, AttentionMaps) else list(maps)
        grids = [grids] if isinstance(grids, DisablingGrid) else list(grids)
        self.maps = _by_task(maps, "attention maps")
        self.grids = _by_task(grids, "disabling grids")
        if not self.maps:
            raise BertstudyError("page data need the attention maps of at least one task")
        for grid in grids:
            _check_fit(grid, self.of(grid.task))
        self.more = {name: dict(by_task) for name, by_task in (more or {}).items()}
        for by_task in self.more.values():
            for task in by_task:
                self.of(task)
        packed = pack(self.maps, self.grids, self.more)
        # Fixed at birth: a sentence the reader adds later must not orphan a saved explorer.
        self.key = hashlib.sha256(packed).hexdigest()[:16]
        super().__init__(blob=zlib.compress(packed, 9))

    def of(self, task: str) -> AttentionMaps:
        """The maps of ``task``; `BertstudyError` names the allowed ones."""
        return self.maps[_known(task, self.maps, "task")]

    def add(self, task: str, example: Example) -> int:
        """Append an example to a task in every explorer that reads these data; its index."""
        maps = self.of(task)
        self.maps[task] = replace(maps, examples=(*maps.examples, example))
        self.blob = zlib.compress(pack(self.maps, self.grids, self.more), 9)
        return len(maps.examples)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._summary()}>"  # the block itself is no reading

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        encoded = base64.b64encode(self.blob).decode()
        return {
            "text/plain": self._summary(),
            "text/html": f'<p class="bertstudy-page">{html.escape(self._summary())}</p>\n'
            f'<script type="application/octet-stream" id="bertstudy-data-{self.key}">{encoded}'
            "</script>",
        }

    def _summary(self) -> str:
        examples = sum(len(maps.examples) for maps in self.maps.values())
        first = next(iter(self.maps.values()))
        return (
            f"Data shared by the explorers on this page: {examples} example"
            f"{'s' * (examples != 1)} ({', '.join(self.maps)}), {first.layers} layers × "
            f"{first.heads} heads, {len(self.blob) / 1000:.0f} kB."
        )


def quantise(values: ArrayLike) -> NDArray[np.uint8]:
    """Map [0, 1] linearly to 0..255; the error is at most 1/510."""
    return np.rint(np.asarray(values, dtype=np.float64) * 255).astype(np.uint8)


def pack(
    maps: Mapping[str, AttentionMaps],
    grids: Mapping[str, DisablingGrid],
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> bytes:
    """The block that `shared.js` reads, before compression."""
    own = {
        task: {name: by_task[task] for name, by_task in (more or {}).items() if task in by_task}
        for task in maps
    }
    tasks = [_task_header(m, grids.get(task), own[task]) for task, m in maps.items()]
    header = json.dumps(tasks, allow_nan=False, separators=(",", ":")).encode()
    pixels = [quantise(example.maps).tobytes() for m in maps.values() for example in m.examples]
    return b"".join([len(header).to_bytes(4, "little"), header, *pixels])


def _task_header(
    maps: AttentionMaps, grid: DisablingGrid | None, more: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "task": maps.task,
        "models": list(maps.models),
        "labels": list(maps.labels),
        "layers": maps.layers,
        "heads": maps.heads,
        "examples": [_example_header(example) for example in maps.examples],
        "grid": None if grid is None else _grid_header(grid),
        "more": more,
    }


def _example_header(example: Example) -> dict[str, Any]:
    return {
        "text": example.text,
        "tokens": list(example.tokens),
        "gold": example.gold,
        "probabilities": [None if p is None else _listed(p) for p in example.probabilities],
        "disabled": {kind: _listed(values) for kind, values in example.disabled.items()},
    }


def _grid_header(grid: DisablingGrid) -> dict[str, Any]:
    numbers = ("effects", "layer_effects", "intervals", "layer_intervals")
    return {
        "metric": grid.metric,
        "baseline": _listed(grid.baseline),
        **{n: {kind: _listed(v) for kind, v in getattr(grid, n).items()} for n in numbers},
        "seeds": [int(seed) for seed in grid.seeds],
        "origins": list(grid.origins),
    }


def _intervals(effects: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    return {
        kind: np.apply_along_axis(lambda samples: interval(samples)[1:], -1, values)
        for kind, values in effects.items()
        if values.shape[-1] > 1  # a single run has no interval
    }


def _listed(values: NDArray[np.float64]) -> list[Any]:
    return np.round(values, 6).tolist()


def _by_task(items: Sequence[Any], what: str) -> dict[str, Any]:
    tasks = [item.task for item in items]
    for task in tasks:
        if tasks.count(task) > 1:
            raise BertstudyError(f"{what}: task {task!r} appears {tasks.count(task)} times")
    return dict(zip(tasks, items, strict=True))


def _check_fit(grid: DisablingGrid, maps: AttentionMaps) -> None:
    for kind, values in grid.effects.items():
        runs = len(grid.seeds)
        _shaped(values, (maps.layers, maps.heads, runs), f"task {grid.task!r}: {kind} effects")


def _known(name: str, allowed: Iterable[str], what: str) -> str:
    if name not in allowed:
        raise BertstudyError(f"unknown {what} {name!r}; allowed: {', '.join(allowed)}")
    return name


def _array(values: ArrayLike, what: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BertstudyError(f"{what}: not a regular array of numbers ({error})") from None
    if not np.isfinite(array).all():
        raise BertstudyError(f"{what}: NaN or infinite values")
    return array


def _shaped(array: NDArray[np.float64], shape: tuple[int, ...], what: str) -> None:
    if array.shape != shape:
        raise BertstudyError(f"{what}: shape {array.shape}, expected {shape}")


def _distributions(values: ArrayLike, what: str, axes: int) -> NDArray[np.float64]:
    array = _array(values, what)
    if array.ndim != axes or not array.size:
        raise BertstudyError(f"{what}: shape {array.shape}, expected {axes} non-empty axes")
    if array.min() < 0 or array.max() > 1:
        raise BertstudyError(
            f"{what}: values from {array.min():.4g} to {array.max():.4g}, expected 0 to 1"
        )
    worst = np.abs(array.sum(-1) - 1).max()
    if worst > SUM_TOLERANCE:
        raise BertstudyError(f"{what}: rows must sum to 1, one is off by {worst:.4g}")
    return array


def _fractions(values: ArrayLike, what: str, limit: float = 2) -> NDArray[np.float64]:
    array = _array(values, what)
    if array.size and np.abs(array).max() > limit:
        raise BertstudyError(
            f"{what}: {np.abs(array).max():.4g} is not a fraction such as 0.84; give no percent"
        )
    return array
