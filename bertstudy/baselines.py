"""What word counts alone say about a task, and how many words two texts share.

A task on which one of them comes near the encoder can be solved without its attention, and says
little about it.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix, hstack

from bertstudy.errors import BertstudyError
from bertstudy.tasks import Task, score

if TYPE_CHECKING:
    from datasets import Dataset

ITERATIONS = 1000
WORD = r"\w+|[^\w\s]"


def bag_of_words(train: "Dataset", validation: "Dataset", task: Task) -> dict[str, float]:
    """Validation scores (×100) of a linear model on word counts.

    Of a pair each part has its own counts, and the words of both parts are counted a third time.
    Classes by logistic regression, a number by ridge regression, a choice by the logistic
    regression of right against wrong endings. Regularisation is scikit-learn's default.

    Args:
        train, validation: rows with the task's columns.

    Raises:
        BertstudyError: the task asks for spans, which word counts cannot name.
    """
    if task.kind == "spans":
        raise BertstudyError(f"there is no bag of words for {task.name}: it asks for spans")
    known, asked = _texts(train, task), _texts(validation, task)
    features = _Counts(known)
    logits = _linear(features(known), np.asarray(train["label"]), features(asked), task)
    return score(logits, validation["label"], task)


def word_overlap(train: "Dataset", validation: "Dataset", task: Task) -> dict[str, float]:
    """Validation scores (×100) of a linear model on how many words two texts share.

    Three numbers of a pair: different words of both parts, of the first only, of the second only.
    They do not say which words, so they tell about words that were never seen.

    Args:
        train, validation: rows with the task's columns.

    Raises:
        BertstudyError: the task is not one of pairs.
    """
    if not task.is_of_pairs:
        raise BertstudyError(f"{task.name} has no pairs whose words could overlap")
    known, asked = (_shared(_texts(rows, task)) for rows in (train, validation))
    logits = _linear(known, np.asarray(train["label"]), asked, task)
    return score(logits, validation["label"], task)


def _linear(
    known: csr_matrix | np.ndarray, gold: np.ndarray, asked: csr_matrix | np.ndarray, task: Task
) -> np.ndarray:
    """``[example, output]`` for ``asked``, by a linear model of ``known`` with labels ``gold``."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if task.is_regression:
        return Ridge().fit(known, gold).predict(asked)[:, None]
    is_choice = task.kind == "choice"
    if is_choice:
        gold = (gold[:, None] == np.arange(len(task.labels))).ravel()
    model = LogisticRegression(max_iter=ITERATIONS).fit(known, gold)
    if is_choice:
        return model.decision_function(asked).reshape(-1, len(task.labels))
    found = np.zeros((asked.shape[0], len(task.labels)))  # a class may be missing from training
    found[:, model.classes_] = model.predict_proba(asked)
    return found


def _shared(texts: Sequence[Sequence[str]]) -> np.ndarray:
    """``[pair, both and only first and only second]``."""
    sets = [[set(re.findall(WORD, text.lower())) for text in pair] for pair in texts]
    return np.array([[len(a & b), len(a - b), len(b - a)] for a, b in sets], float)


class _Counts:
    """Sparse counts of the words of each part, and of those that all parts have."""

    def __init__(self, texts: Sequence[Sequence[str]]):
        from sklearn.feature_extraction.text import CountVectorizer

        self.counter = CountVectorizer(token_pattern=WORD)  # case is ignored
        self.counter.fit(text for parts in texts for text in parts)

    def __call__(self, texts: Sequence[Sequence[str]]) -> csr_matrix:
        parts = [self.counter.transform(column) for column in zip(*texts, strict=True)]
        shared = parts[0].minimum(parts[1]) if len(parts) == 2 else None
        return hstack([*parts, shared] if shared is not None else parts, format="csr")


def _texts(rows: "Dataset", task: Task) -> list[tuple[str, ...]]:
    """The parts of each example; of a choice the beginning and, for each ending, the rest."""
    examples = zip(*(rows[column] for column in task.texts), strict=True)
    if task.kind != "choice":
        return list(examples)
    return [
        (first, f"{second} {ending}") for first, second, *endings in examples for ending in endings
    ]
