"""GLUE's submission files: names, labels and numbers as its server reads them."""

from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
from models import SENTENCES, hub_checkpoint, lay_out

from bertstudy.editions import EDITIONS
from bertstudy.encoder import predict
from bertstudy.encoding import encode
from bertstudy.errors import BertstudyError
from bertstudy.store import Store
from bertstudy.study import Study
from bertstudy.submission import ARCHIVE, FILES, ROWS, archive, chosen, export, write
from bertstudy.tasks import TASKS, load, load_unlabelled, task


def one_hot(*classes, outputs=2):
    return np.eye(outputs)[list(classes)]


@pytest.mark.parametrize(
    ("name", "split", "file", "logits", "values"),
    [
        ("cola", "test", "CoLA.tsv", one_hot(0, 1, 1), ["0", "1", "1"]),
        ("sst2", "test", "SST-2.tsv", one_hot(1, 0), ["1", "0"]),
        ("mrpc", "test", "MRPC.tsv", one_hot(1, 0), ["1", "0"]),
        ("qqp", "test", "QQP.tsv", one_hot(0, 1), ["0", "1"]),
        ("wnli", "test", "WNLI.tsv", one_hot(0, 1), ["0", "1"]),
        ("qnli", "test", "QNLI.tsv", one_hot(0, 1), ["entailment", "not_entailment"]),
        ("rte", "test", "RTE.tsv", one_hot(1, 0), ["not_entailment", "entailment"]),
        *(
            (name, split, file, one_hot(2, 0, 1, outputs=3),
             ["contradiction", "entailment", "neutral"])
            for name, split, file in (
                ("mnli", "test_matched", "MNLI-m.tsv"),
                ("mnli", "test_mismatched", "MNLI-mm.tsv"),
                ("ax", "test", "AX.tsv"),
            )
        ),
        ("stsb", "test", "STS-B.tsv", np.array([[2.5], [-0.3], [5.2], [1 / 3]]),
         ["2.50000", "0.00000", "5.00000", "0.33333"]),
    ],
)  # fmt: skip
def test_each_file_hand_worked(tmp_path, name, split, file, logits, values):
    path = write(logits, task(name), split, tmp_path / "new")
    assert path == tmp_path / "new" / file
    lines = ["index\tprediction", *(f"{index}\t{value}" for index, value in enumerate(values))]
    assert path.read_text() == "\n".join(lines) + "\n"


def test_every_glue_task_has_a_file():
    glue = {name for name, found in TASKS.items() if found.dataset == "nyu-mll/glue"}
    assert {name for name, _ in FILES} == glue
    assert len(set(FILES.values())) == len(FILES) == 11


@pytest.mark.parametrize(
    ("logits", "name", "split", "message"),
    [
        (one_hot(0), "rte", "validation", r"GLUE wants no rte/validation; allowed: cola/test"),
        (one_hot(0), "mnli", "test", "GLUE wants no mnli/test"),
        (one_hot(0), "snli", "test", "GLUE wants no snli/test"),
        (one_hot(0), "ax", "test", r"ax has 3 outputs, not logits \(1, 2\)"),
        (one_hot(0), "stsb", "test", r"stsb has 1 outputs"),
        (np.array([[0.0, np.nan]]), "rte", "test", "not a finite number"),
    ],
)
def test_what_cannot_be_submitted_is_refused(tmp_path, logits, name, split, message):
    with pytest.raises(BertstudyError, match=message) as caught:
        write(logits, task(name), split, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def all_files(folder):
    for (name, split), file in FILES.items():
        outputs = max(len(task(name).labels), 1)
        write(np.zeros((ROWS[file], outputs)), task(name), split, folder)


def test_the_archive_holds_all_files_as_they_are(tmp_path):
    all_files(tmp_path)
    path = archive(tmp_path)
    assert path == tmp_path / ARCHIVE
    with ZipFile(path) as opened:
        assert sorted(opened.namelist()) == sorted(FILES.values())
        for name in opened.namelist():
            assert opened.read(name) == (tmp_path / name).read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {*FILES.values(), ARCHIVE}, "nothing beside"


def test_an_archive_of_some_files_is_refused(tmp_path):
    all_files(tmp_path)
    (tmp_path / "QQP.tsv").unlink()
    (tmp_path / "AX.tsv").unlink()
    with pytest.raises(BertstudyError, match=r"lacks QQP\.tsv, AX\.tsv$"):
        archive(tmp_path)
    assert not (tmp_path / ARCHIVE).exists()


def test_an_archive_with_a_file_of_the_wrong_length_is_refused(tmp_path):
    all_files(tmp_path)
    write(one_hot(*[0] * 2999), task("rte"), "test", tmp_path)
    with pytest.raises(BertstudyError, match=r"RTE\.tsv has 2999 rows, GLUE wants 3000"):
        archive(tmp_path)


def test_tasks_are_chosen_by_name_with_all_their_splits():
    assert chosen("all") == list(FILES)
    assert chosen("rte, mnli") == [
        ("mnli", "test_matched"),
        ("mnli", "test_mismatched"),
        ("rte", "test"),
    ]
    with pytest.raises(BertstudyError, match="GLUE has no task 'snli'; allowed: cola, "):
        chosen("rte,snli")


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = write(one_hot(0), task("rte"), "test", tmp_path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="no space left"):
        write(one_hot(1), task("rte"), "test", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["RTE.tsv"]
    assert path.read_bytes() == before


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Edition base on a tiny checkpoint, with RTE, MNLI and test rows without labels."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    hub_checkpoint(tmp_path / "checkpoint")
    count = len(SENTENCES)
    withheld = {"label": [-1] * count, "idx": list(range(count))}
    known = {"label": [0, 1, 1, 0, 1], "idx": list(range(count))}
    rte = {"sentence1": SENTENCES, "sentence2": SENTENCES[::-1]}
    nli = {"premise": SENTENCES, "hypothesis": SENTENCES[::-1]}
    data = tmp_path / "data"
    lay_out(data, "rte", train=rte | known, validation=rte | known, test=rte | withheld)
    lay_out(data, "mnli", train=nli | known, validation_matched=nli | known,
            test_mismatched=nli | withheld)  # fmt: skip
    source = lay_out(data, "ax", test=nli | withheld)
    base = replace(EDITIONS["base"], checkpoint=str(tmp_path / "checkpoint"), source=source)
    opened = Study(base, ("rte", "mnli"), (0,))
    opened.store = Store(tmp_path / "store")
    return opened


@pytest.mark.parametrize(
    ("name", "split", "by"),
    [("rte", "test", "rte"), ("mnli", "test_mismatched", "mnli"), ("ax", "test", "mnli")],
)
def test_withheld_rows_are_predicted_by_the_right_model_and_not_scored(
    study, tmp_path, name, split, by
):
    path = export(study, name, split, tmp_path / "out")
    found, source = task(name), study.edition.source
    data = encode(study.tokenizer, load_unlabelled(name, split, source), found, 128)
    logits = predict(study.fine_tuned(task(by), 0), data)
    expected = [found.labels[number] for number in logits.argmax(-1)]
    written = [line.split("\t")[1] for line in path.read_text().splitlines()[1:]]
    assert written == expected
    with pytest.raises(BertstudyError, match="withheld labels"):
        data.score(logits, found)
    with pytest.raises(BertstudyError, match="has no labels"):
        load(name, split, source)


def test_a_split_that_glue_does_not_want_is_refused_before_any_work(study, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "fine_tuned", lambda *_: pytest.fail("work started"))
    with pytest.raises(BertstudyError, match="GLUE wants no rte/validation"):
        export(study, "rte", "validation", tmp_path)


def test_synthetic_rows_are_not_submitted(study, tmp_path):
    """The synthetic AX has a test split."""
    study.edition = replace(study.edition, source="synthetic")
    with pytest.raises(BertstudyError, match="synthetic ones cannot be submitted"):
        export(study, "ax", "test", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_that_is_not_there_is_said(study, tmp_path):
    with pytest.raises(BertstudyError, match=r"no data for mnli/test_matched .*test_mismatched"):
        export(study, "mnli", "test_matched", tmp_path)
