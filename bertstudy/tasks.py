"""GLUE, SNLI, HANS, SWAG and SQuAD: columns, labels, metrics, and one way of loading them.

The same code loads the synthetic look-alikes, the hub, and a local folder laid out like the
hub; only `source` differs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bertstudy.errors import BertstudyError

if TYPE_CHECKING:
    from datasets import Dataset


Kind = Literal["classification", "regression", "choice", "spans"]


@dataclass(frozen=True)
class Task:
    """One task as the hub has it.

    Attributes:
        dataset, config: name of the data set and of its configuration on the hub.
        texts: the column of the text, or the two columns of a pair. For a choice the two
            columns of the beginning and then the endings; for spans question and context.
        labels: names of the classes, or of the choices, by number; else empty.
        metrics: names in `METRIC_NAMES`; the first is the task's main one in this book.
        validation: the split that is scored.
        kind: what is predicted: a class, a number, one of several endings, or a span of the
            context. The model's head, its loss and the way it is scored follow from it.
        unanswerable: some questions have no answer in their context (SQuAD 2.0).
    """

    name: str
    dataset: str
    config: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    validation: str = "validation"
    trained_on: str = ""  # another task's model answers this one: HANS has no training of its own
    kind: Kind = "classification"
    unanswerable: bool = False

    @property
    def is_regression(self) -> bool:
        """True where the label is a number rather than a class."""
        return self.kind == "regression"

    @property
    def is_of_pairs(self) -> bool:
        """Whether it asks for a class or a number of two texts."""
        return self.is_of_whole and len(self.texts) == 2

    @property
    def is_of_whole(self) -> bool:
        """True where one class or number is said of the whole input: no choice, no span."""
        return self.kind in ("classification", "regression")

    @property
    def gold(self) -> str:
        """The column of what is to be predicted."""
        return "answers" if self.kind == "spans" else "label"


_GLUE, _PAIR = "nyu-mll/glue", ("sentence1", "sentence2")
_NLI = ("entailment", "neutral", "contradiction")
_RTE = ("entailment", "not_entailment")
_MNLI_TEXTS = ("premise", "hypothesis")
_ENDINGS = ("ending0", "ending1", "ending2", "ending3")
_QUESTION = ("question", "context")
_SPANS = ("token_f1", "exact")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("cola", _GLUE, "cola", ("sentence",), ("unacceptable", "acceptable"), ("mcc",)),
        Task("sst2", _GLUE, "sst2", ("sentence",), ("negative", "positive"), ("accuracy",)),
        Task("mrpc", _GLUE, "mrpc", _PAIR, ("not_equivalent", "equivalent"), ("accuracy", "f1")),
        Task("stsb", _GLUE, "stsb", _PAIR, (), ("spearman", "pearson"), kind="regression"),
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
        Task("ax", _GLUE, "ax", _MNLI_TEXTS, _NLI, ("mcc",), "test", trained_on="mnli"),
        Task(
            "swag",
            "allenai/swag",
            "regular",
            ("sent1", "sent2", *_ENDINGS),
            _ENDINGS,
            ("accuracy",),
            kind="choice",
        ),
        Task("squad", "rajpurkar/squad", "plain_text", _QUESTION, (), _SPANS, kind="spans"),
        Task(
            "squad_v2",
            "rajpurkar/squad_v2",
            "squad_v2",
            _QUESTION,
            (),
            _SPANS,
            kind="spans",
            unanswerable=True,
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
        split: "train", or "validation" for the split the task is scored on; or a split by its
            own name, such as MNLI's "validation_mismatched".
        source: "synthetic", "hub", or a folder laid out like the hub.
        limit: at most so many rows, a random sample in its original order.
        seed: of that sample.

    Raises:
        BertstudyError: the data is not there, a column is missing, or labels are withheld.
    """
    found = task(name)
    split = found.validation if split == "validation" else split
    rows = _with_columns(found, split, source)
    # The hub marks SNLI's unresolved pairs and GLUE's test rows with -1, but for MRPC's, whose
    # labels are public; SQuAD's tests are not there, and no answer is an answer in SQuAD 2.0.
    if found.kind != "spans":
        labels = np.asarray(rows["label"], dtype=np.float64)
        if (labels == -1).all():
            raise BertstudyError(f"{name}/{split} from '{source}' has no labels (all are -1)")
        if (labels == -1).any():
            rows = rows.select(np.flatnonzero(labels != -1))
    if limit is not None and limit < len(rows):
        chosen = np.random.default_rng(seed).choice(len(rows), limit, replace=False)
        rows = rows.select(np.sort(chosen))
    return rows


def load_unlabelled(name: str, split: str, source: str) -> "Dataset":
    """All rows of a split, those labelled -1 included: to be predicted and not to be scored.

    Args:
        split: by its own name; GLUE's are "test", and "test_matched" and "test_mismatched".
        source: as for `load`.

    Raises:
        BertstudyError: the data is not there, or a column is missing.
    """
    return _with_columns(task(name), split, source)


def _with_columns(found: Task, split: str, source: str) -> "Dataset":
    rows = _fetch(found, split, source)
    missing = [column for column in (*found.texts, found.gold) if column not in rows.column_names]
    if missing:
        raise BertstudyError(f"{found.name} from '{source}' lacks the column {', '.join(missing)}")
    return rows


def _fetch(found: Task, split: str, source: str) -> "Dataset":
    if source == "synthetic":
        from bertstudy import synthetic

        return synthetic.load(found.name, split)
    if source != "hub":
        return from_folder(Path(source) / found.dataset, found.config, split, found.name)
    return _read(found.dataset, found.config, split, found.name)


def from_folder(folder: Path, config: str | None, split: str, name: str) -> "Dataset":
    """One split of a folder laid out like a data set of the hub.

    Args:
        name: what an error calls the data.

    Raises:
        BertstudyError: the folder, configuration or split is not there, or cannot be read.
    """
    if not folder.is_dir():
        raise BertstudyError(f"no data for {name}: '{folder}' is not there")
    return _read(str(folder), config, split, name, _cache(folder))


def _read(
    where: str, config: str | None, split: str, name: str, cache: str | None = None
) -> "Dataset":
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        return load_dataset(where, config, split=split, cache_dir=cache)
    except (ValueError, OSError, DatasetsError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BertstudyError(f"no data for {name}/{split} from '{where}': {reason}") from error


def _cache(folder: Path) -> str:
    """Where `datasets` keeps this folder as it is now.

    Its own key is the folder's layout alone: it would give the rows of another folder laid out
    alike, or those that this one held before.
    """
    from datasets import config

    files = sorted(file for file in folder.resolve().rglob("*") if file.is_file())
    state = [(str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files]
    name = sha256(repr(state).encode()).hexdigest()[:16]
    return str(Path(config.HF_DATASETS_CACHE) / "local" / name)


def fingerprint(rows: "Dataset", found: Task) -> str:
    """Hash of the texts and labels, in order: part of every recipe, whatever the source."""
    digest = sha256()
    for column in (*found.texts, found.gold):
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
    "token_f1": "F1 (%)",  # of the words of an answer: `bertstudy.spans`
    "exact": "exact match (%)",
}


def predictions(logits: np.ndarray, found: Task) -> np.ndarray:
    """Classes or choices, or values for regression, from ``logits [example, output]``.

    HANS has two labels and is scored with three-way NLI models: neutral and contradiction
    both count as non-entailment (McCoy et al. 2019).
    """
    if found.is_regression:
        return logits[:, 0]
    classes = logits.argmax(-1)
    return np.minimum(classes, len(found.labels) - 1) if found.trained_on else classes


def score(logits: np.ndarray, gold: Sequence[float], found: Task) -> dict[str, float]:
    """Every metric of the task, times 100; for spans see `bertstudy.spans.score`.

    Args:
        logits: ``[example, output]``.
        gold: labels in the same order.

    Raises:
        BertstudyError: a label is -1 (withheld), a logit is NaN, or the counts differ.
    """
    gold = np.asarray(gold)
    if len(gold) != len(logits):
        raise BertstudyError(f"{len(logits)} predictions for {len(gold)} labels")
    if (gold < 0).any():  # no class and no score of a task is negative
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
