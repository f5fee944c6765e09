"""GLUE's submission: a file of predictions for each test split, and all of them in one zip.

GLUE (Wang et al. 2019) keeps its test labels; its server takes eleven tab-separated files with
the columns ``index`` and ``prediction``. Nothing here is scored.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from bertstudy import encoder, encoding, paths, tasks
from bertstudy.errors import BertstudyError
from bertstudy.tasks import Task

if TYPE_CHECKING:
    from bertstudy.study import Study

FILES: dict[tuple[str, str], str] = {
    ("cola", "test"): "CoLA.tsv",
    ("sst2", "test"): "SST-2.tsv",
    ("mrpc", "test"): "MRPC.tsv",
    ("stsb", "test"): "STS-B.tsv",
    ("qqp", "test"): "QQP.tsv",
    ("mnli", "test_matched"): "MNLI-m.tsv",
    ("mnli", "test_mismatched"): "MNLI-mm.tsv",
    ("qnli", "test"): "QNLI.tsv",
    ("rte", "test"): "RTE.tsv",
    ("wnli", "test"): "WNLI.tsv",
    ("ax", "test"): "AX.tsv",
}
ROWS = {  # of each test split; the server refuses a file of any other length
    "CoLA.tsv": 1063, "SST-2.tsv": 1821, "MRPC.tsv": 1725, "STS-B.tsv": 1379, "QQP.tsv": 390_965,
    "MNLI-m.tsv": 9796, "MNLI-mm.tsv": 9847, "QNLI.tsv": 5463, "RTE.tsv": 3000, "WNLI.tsv": 146,
    "AX.tsv": 1104,
}  # fmt: skip
NAMED = ("mnli", "qnli", "rte", "ax")  # these are answered by the label's name, not its number
ARCHIVE = "submission.zip"


def chosen(names: str) -> list[tuple[str, str]]:
    """The test splits of "all" tasks, or of those named with commas.

    Raises:
        BertstudyError: a name is not one of GLUE's tasks.
    """
    known = list(dict.fromkeys(name for name, _ in FILES))
    wanted = known if names == "all" else [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise BertstudyError(f"GLUE has no task '{unknown[0]}'; allowed: {', '.join(known)}")
    return [key for key in FILES if key[0] in wanted]


def predicted(logits: np.ndarray, task: Task) -> list[str]:
    """What GLUE's server wants to read for each row of ``logits [example, output]``.

    Raises:
        BertstudyError: a logit is not a finite number, or the outputs are not the task's.
    """
    outputs = max(len(task.labels), 1)
    if logits.ndim != 2 or logits.shape[1] != outputs:
        raise BertstudyError(f"{task.name} has {outputs} outputs, not logits {logits.shape}")
    if not np.isfinite(logits).all():
        raise BertstudyError(f"{task.name}: a prediction is not a finite number")
    found = tasks.predictions(logits, task)
    if task.is_regression:
        return [f"{value:.5f}" for value in np.clip(found, 0, 5)]
    if task.name in NAMED:
        return [task.labels[number] for number in found]
    return [str(number) for number in found]


def write(logits: np.ndarray, task: Task, split: str, folder: Path) -> Path:
    """Write the file of one test split; its rows are numbered in the order of the logits.

    Raises:
        BertstudyError: GLUE asks for no such split, or as for `predicted`.
    """
    path = folder / _file(task, split)
    rows = [f"{index}\t{value}\n" for index, value in enumerate(predicted(logits, task))]
    paths.write_text(path, "".join(["index\tprediction\n", *rows]))
    return path


def _file(task: Task, split: str) -> str:
    if (task.name, split) not in FILES:
        allowed = ", ".join("/".join(key) for key in FILES)
        raise BertstudyError(f"GLUE wants no {task.name}/{split}; allowed: {allowed}")
    return FILES[task.name, split]


def export(study: "Study", name: str, split: str, folder: Path, seed: int = 0) -> Path:
    """Predict one of GLUE's test splits with the study's fine-tuned model, and write its file.

    AX is answered by MNLI's model.

    Raises:
        BertstudyError: the study's data is synthetic or has no such split, or as for `write`.
    """
    task = tasks.task(name)
    _file(task, split)  # before any work
    if study.edition.source == "synthetic":
        raise BertstudyError("GLUE scores its own test rows; synthetic ones cannot be submitted")
    rows = tasks.load_unlabelled(name, split, study.edition.source)
    length = study.edition.recipe(name).max_length
    data = encoding.encode(study.tokenizer, rows, task, length)
    model = study.fine_tuned(tasks.task(task.trained_on or name), seed)
    return write(encoder.predict(model, data), task, split, folder)


def archive(folder: Path) -> Path:
    """All eleven files of the folder in one zip, which GLUE's server takes only whole.

    Raises:
        BertstudyError: files are missing or not as long as their test split; it names them.
    """
    missing = [name for name in FILES.values() if not (folder / name).is_file()]
    if missing:
        raise BertstudyError(f"no submission: '{folder}' lacks {', '.join(missing)}")
    for name, wanted in ROWS.items():
        rows = len((folder / name).read_text().splitlines()) - 1
        if rows != wanted:
            raise BertstudyError(f"no submission: {name} has {rows} rows, GLUE wants {wanted}")
    with (
        paths.replacing(folder / ARCHIVE) as temporary,
        ZipFile(temporary, "w", ZIP_DEFLATED) as made,
    ):
        for name in FILES.values():
            made.write(folder / name, name)
    return folder / ARCHIVE
