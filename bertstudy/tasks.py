"""GLUE, SNLI and HANS: their columns, labels and metrics, and one way of loading them.

The same code loads the synthetic look-alikes, the hub, and a local folder laid out like the
hub; only `source` differs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertstudy.errors import BertstudyError

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Task:
    """One task as the hub has it.

    Attributes:
        dataset, config: name of the data set and of its configuration on the hub.
        texts: the column of the text, or the two columns of a pair.
        labels: names of the classes by number; empty for regression.
        metrics: names in `METRICS`; the first is the task's main one in this book.
        validation: the split that is scored.
    """

    name: str
    dataset: str
    config: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    validation: str = "validation"
    trained_on: str = ""  # another task's model answers this one: HANS has no training of its own

    @property
    def is_regression(self) -> bool:
        """True where the label is a number rather than a class."""
        return not self.labels


_GLUE, _PAIR = "nyu-mll/glue", ("sentence1", "sentence2")
_NLI = ("entailment", "neutral", "contradiction")
_RTE = ("entailment", "not_entailment")
_MNLI_TEXTS = ("premise", "hypothesis")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("cola", _GLUE, "cola", ("sentence",), ("unacceptable", "acceptable"), ("mcc",)),
        Task("sst2", _GLUE, "sst2", ("sentence",), ("negative", "positive"), ("accuracy",)),
        Task("mrpc", _GLUE, "mrpc", _PAIR, ("not_equivalent", "equivalent"), ("accuracy", "f1")),
        Task("stsb", _GLUE, "stsb", _PAIR, (), ("spearman", "pearson")),
        Task(
            "qqp",
            _GLUE,
            "qqp",
            ("question1", "question2"),
            ("not_duplicate", "duplicate"),
            ("accuracy", "f1"),
        ),
        Task("mnli", _GLUE, "mnli", _MNLI_TEXTS, _NLI, ("accuracy",), "validation_matched"),
        Task("qnli", _GLUE, "qnli", ("question", "sentence"), _RTE, ("accuracy",)),
        Task("rte", _GLUE, "rte", _PAIR, _RTE, ("accuracy",)),
        Task("wnli", _GLUE, "wnli", _PAIR, ("not_entailment", "entailment"), ("accuracy",)),
        Task("snli", "stanfordnlp/snli", "plain_text", _MNLI_TEXTS, _NLI, ("accuracy",)),
        Task(
            "hans",
            "jhu-cogsci/hans",
            "plain_text",
            _MNLI_TEXTS,
            ("entailment", "non-entailment"),
            ("accuracy",),
            trained_on="mnli",
        ),
    )
}


def task(name: str) -> Task:
    """The task of that name.

    Raises:
        BertstudyError: unknown; the message names the nearest and all allowed names.
    """
    if name in TASKS:
        return TASKS[name]
    near = get_close_matches(name, TASKS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise BertstudyError(f"unknown task '{name}'{hint}; allowed: {', '.join(TASKS)}")


def load(name: str, split: str, source: str, limit: int | None = None, seed: int = 0) -> "Dataset":
    """Labelled rows of one split, with the hub's own columns.

    Args:
        split: "train", or "validation" for the split the task is scored on.
        source: "synthetic", "hub", or a folder laid out like the hub.
        limit: at most so many rows, a random sample in its original order.
        seed: of that sample.

    Raises:
        BertstudyError: the data is not there, a column is missing, or labels are withheld.
    """
    found = task(name)
    split = found.validation if split == "validation" else split
    rows = _fetch(found, split, source)
    label = "label"
    missing = [column for column in (*found.texts, label) if column not in rows.column_names]
    if missing:
        raise BertstudyError(f"{name} from '{source}' lacks the column {', '.join(missing)}")
    labels = np.asarray(rows[label], dtype=np.float64)
    # The hub marks SNLI's unresolved pairs and every test row with -1.
    if (labels == -1).all():
        raise BertstudyError(f"{name}/{split} from '{source}' has no labels (all are -1)")
    if (labels == -1).any():
        rows = rows.select(np.flatnonzero(labels != -1))
    if limit is not None and limit < len(rows):
        chosen = np.random.default_rng(seed).choice(len(rows), limit, replace=False)
        rows = rows.select(np.sort(chosen))
    return rows


def _fetch(found: Task, split: str, source: str) -> "Dataset":
    if source == "synthetic":
        from bertstudy import synthetic

        return synthetic.load(found.name, split)
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    where = found.dataset if source == "hub" else Path(source) / found.dataset
    if source != "hub" and not Path(where).is_dir():
        raise BertstudyError(f"no data for {found.name}: '{where}' is not there")
    try:
        return load_dataset(str(where), found.config, split=split)
    except (ValueError, OSError, DatasetsError) as error:
        reason = str(error).splitlines()[0]
        raise BertstudyError(
            f"no data for {found.name}/{split} from '{source}': {reason}"
        ) from error


def fingerprint(rows: "Dataset", found: Task) -> str:
    """Hash of the texts and labels, in order: part of every recipe, whatever the source."""
    digest = sha256()
    for column in (*found.texts, "label"):
        for value in rows[column]:
            digest.update(f"{value}\x00".encode())
    return digest.hexdigest()[:16]


# Metrics ------------------------------------------------------------------------------------


def _accuracy(predicted: np.ndarray, gold: np.ndarray) -> float:
    from sklearn.metrics import accuracy_score

    return accuracy_score(gold, predicted)


def _f1(predicted: np.ndarray, gold: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return f1_score(gold, predicted, zero_division=0)


def _mcc(predicted: np.ndarray, gold: np.ndarray) -> float:
    from sklearn.metrics import matthews_corrcoef

    return matthews_corrcoef(gold, predicted)


def _correlation(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def measure(predicted: np.ndarray, gold: np.ndarray) -> float:
        from scipy import stats

        if np.ptp(predicted) == 0 or np.ptp(gold) == 0:
            return 0.0  # a constant predicts no order; scipy leaves it undefined
        return float(getattr(stats, name)(predicted, gold).statistic)

    return measure


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "mcc": _mcc,
    "pearson": _correlation("pearsonr"),
    "spearman": _correlation("spearmanr"),
}

METRIC_NAMES = {
    "accuracy": "accuracy (%)",
    "f1": "F1 (%)",
    "mcc": "Matthews correlation (×100)",
    "pearson": "Pearson correlation (×100)",
    "spearman": "Spearman correlation (×100)",
}


def predictions(logits: np.ndarray, found: Task) -> np.ndarray:
    """Classes, or values for regression, from ``logits [example, output]``.

    HANS has two labels and is scored with three-way NLI models: neutral and contradiction
    both count as non-entailment (McCoy et al. 2019).
    """
    if found.is_regression:
        return logits[:, 0]
    classes = logits.argmax(-1)
    return np.minimum(classes, 1) if found.name == "hans" else classes


def score(logits: np.ndarray, gold: Sequence[float], found: Task) -> dict[str, float]:
    """Every metric of the task, times 100.

    Args:
        logits: ``[example, output]``.
        gold: labels in the same order.

    Raises:
        BertstudyError: a label is -1 (withheld), a logit is NaN, or the counts differ.
    """
    gold = np.asarray(gold)
    if len(gold) != len(logits):
        raise BertstudyError(f"{len(logits)} predictions for {len(gold)} labels")
    if not found.is_regression and (gold < 0).any():
        raise BertstudyError(f"{found.name} has withheld labels (-1): these rows cannot be scored")
    if not np.isfinite(logits).all():
        raise BertstudyError(f"{found.name}: a prediction is not a finite number")
    predicted = predictions(np.asarray(logits), found)
    return {name: 100 * float(METRICS[name](predicted, gold)) for name in found.metrics}


def majority(gold: Sequence[float], found: Task) -> dict[str, float]:
    """The scores of always giving the commonest class (the mean for regression)."""
    gold = np.asarray(gold)
    if found.is_regression:
        return dict.fromkeys(found.metrics, 0.0)
    classes = np.bincount(gold.astype(int), minlength=len(found.labels))
    return score(np.tile(classes == classes.max(), (len(gold), 1)).astype(float), gold, found)
