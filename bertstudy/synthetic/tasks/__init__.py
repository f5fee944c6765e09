"""Look-alikes of the real tasks: rows with the hub's columns, labels by meaning.

``draws`` is what the row makers share; each of the other modules makes one family of tasks.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bertstudy.errors import BertstudyError
from bertstudy.synthetic import lexicon
from bertstudy.synthetic.tasks import (
    choice,
    coreference,
    diagnostic,
    frames,
    hans,
    inference,
    reading,
    similarity,
    single,
)
from bertstudy.synthetic.tasks.draws import TOPICS, Draw, Row, Spec

if TYPE_CHECKING:
    import datasets

TASKS: dict[str, Spec] = {
    **single.SPECS,
    **similarity.SPECS,
    **choice.SPECS,
    **coreference.SPECS,
    **frames.SPECS,
    **inference.SPECS,
    **hans.SPECS,
    **diagnostic.SPECS,
    **reading.SPECS,
}


def rows(task_name: str, split: str) -> Iterator[Row]:
    """The rows of a task's split with their meanings and annotation; see `load`."""
    spec = _spec(task_name)
    if split not in spec.sizes:
        raise BertstudyError(
            f"no split {split!r} in synthetic {task_name}; allowed: {', '.join(spec.sizes)}"
        )
    part, _, other = split.partition("_")
    side = "train" if part == "train" else "validation"
    topics = TOPICS if side == "train" else spec.validation_topics
    if other == "mismatched":
        topics = lexicon.HELD_OUT_TOPICS
    seed = f"{task_name} {part} {other if other != 'matched' else ''}"
    draw = Draw(random.Random(seed), side, topics)
    made = _alike(spec, draw) if spec.alike else _drawn(spec, draw)
    return itertools.islice(made, spec.sizes[split])


def _drawn(spec: Spec, draw: Draw) -> Iterator[Row]:
    """Rows without end, no two of the same sentences, labels by their shares."""
    seen: set[tuple[str, ...]] = set()
    while True:
        label = len(seen)  # without shares the row maker is given the row's number
        if spec.shares:
            label = draw.rng.choices(range(len(spec.shares)), spec.shares)[0]
        yield _fresh_row(spec, draw, label, seen)


def _alike(spec: Spec, draw: Draw) -> Iterator[Row]:
    """Rows without end in pairs, label 0 and label 1, of which ``spec.alike`` says the same."""
    assert spec.alike is not None
    seen: set[tuple[str, ...]] = set()
    waiting: defaultdict[object, tuple[deque[Row], deque[Row]]] = defaultdict(
        lambda: (deque(), deque())
    )
    while True:
        for label in (0, 1):
            row = _fresh_row(spec, draw, label, seen)
            queues = waiting[spec.alike(row)]
            queues[label].append(row)
            if all(queues):
                yield from (queue.popleft() for queue in queues)


def _fresh_row(spec: Spec, draw: Draw, label: int, seen: set[tuple[str, ...]]) -> Row:
    while True:
        row = spec.make(draw, label)
        texts = row and tuple(s.text for s in row.sentences)
        if texts and texts not in seen:
            seen.add(texts)
            return row


def _spec(task_name: str) -> Spec:
    if task_name not in TASKS:
        raise BertstudyError(f"no synthetic task {task_name!r}; allowed: {', '.join(TASKS)}")
    return TASKS[task_name]


def load(task_name: str, split: str) -> datasets.Dataset:
    """A synthetic task's split with the hub's columns and label names.

    Args:
        task_name: a key of `TASKS`.
        split: ``train`` or ``validation``; for mnli also ``validation_matched`` (the same as
            ``validation``) and ``validation_mismatched`` (topics that training does not have).

    Returns:
        The same rows at every call, in every process.

    Raises:
        BertstudyError: an unknown task or split; the message names the allowed ones.
    """
    import datasets  # slow to import, and documents() does without it

    spec, made = _spec(task_name), list(rows(task_name, split))
    if spec.features is not None:
        own = {name: [row.columns[name] for row in made] for name in spec.features()}
        return datasets.Dataset.from_dict(own, features=spec.features())
    columns: dict[str, list] = {c: [r.sentences[i].text for r in made] for i, c in
                                enumerate(spec.columns)}  # fmt: skip
    columns |= {"label": [r.label for r in made], "idx": list(range(len(made)))}
    names = list(spec.labels)
    label = datasets.ClassLabel(names=names) if names else datasets.Value("float32")
    texts = {c: datasets.Value("string") for c in spec.columns}
    features = datasets.Features({**texts, "label": label, "idx": datasets.Value("int32")})
    return datasets.Dataset.from_dict(columns, features=features)
