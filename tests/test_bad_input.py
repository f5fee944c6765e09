"""Generated mistakes in command lines and parameters cells: one clear line each, and no work.

Each mistake is made so that it is one whatever it is made of, and says which words its line
must hold. Hypothesis draws the same ones every time.
"""

import ast
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_batch import HEADER, home, write_notebook  # noqa: F401
from typer.testing import CliRunner

from bertstudy import paths, plan
from bertstudy.cli import app
from bertstudy.editions import EDITIONS
from bertstudy.tasks import TASKS

EACH = 45  # different cases of each of the five commands; with the cells' more than 200
FIXED = settings(max_examples=3 * EACH, derandomize=True, database=None, deadline=None)
STUDY = "secrets/4-6-disabling-heads"
SETS = {"source", "task", "seeds", "layer", "head", "max_length", "rate", "quick"}
GOOD = HEADER + 'task = "all"\nseeds = 3\nlayer = 0\nhead = 0\nmax_length = 32\n'
GOOD += "rate = 0.5\nquick = False"

# --- what mistakes are made of

NASTY = [
    *("", " ", "\n", "a\nb", "\t", "\x1b[31m", "\u2028", "ä", "日本", "\udcff", "[/red]", "{0}"),
    *("%s", "-", "=", ".", "..", "/", "a/b", "nan", "inf", "-1", "1e400", "0x10", "1.5", "None"),
    *("x" * 300, "9" * 5000, "-p", "mini ", "MINI", "'", '"', "$HOME", "*"),
]
# No command line holds a NUL; half of a pair stands for a byte that is no UTF-8.
CHARACTERS = st.characters(exclude_characters="\0") | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]
)
TEXT = st.sampled_from(NASTY) | st.text(CHARACTERS, max_size=8)


def reads_as(kind: Callable[[str], float]) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            return math.isfinite(kind(text))
        except (ValueError, OverflowError):
            return False

    return test


def no(is_good: Callable[[str], bool], texts: st.SearchStrategy = TEXT) -> st.SearchStrategy:
    return texts.filter(lambda text: not is_good(text))


def option(name: str, values: st.SearchStrategy, told: str = "") -> st.SearchStrategy:
    """An option with a bad value, and the word its line must hold."""
    return values.flatmap(
        lambda value: st.sampled_from([[f"--{name}={value}"], [f"--{name}", value]])
    ).map(lambda words: (words, told or name))


def parameter(name: str, values: st.SearchStrategy) -> st.SearchStrategy:
    return values.map(lambda value: (["-p", f"{name}={value}"], name))


def known_source(text: str) -> bool:
    try:
        return text in ("", "synthetic", "hub") or os.path.isdir(text) or text.startswith("~")
    except ValueError:
        return False


def outside(least: int, most: int) -> st.SearchStrategy:
    numbers = st.integers(max_value=least - 1) | st.integers(min_value=most + 1)
    return numbers.map(str)


BELOW_ONE = st.integers(max_value=0).map(str)

COMMON = [  # mistakes that every command can be given
    option("edition", no(EDITIONS.__contains__)),
    st.sampled_from(["--nosuch", "--nosuch=1", "-z", "---", "--édition", "--edition\n"]).map(
        lambda word: ([word], "option")
    ),
    st.just((["--edition"], "edition")),
]


MISTAKES: dict[str, tuple[list[str], list[st.SearchStrategy]]] = {
    "run": (
        ["run", "secrets/4-6", "--edition", "mini", "-p", "quick=true"],
        [
            *COMMON,
            TEXT.map(lambda text: ([f"x{text}"], "no notebook")),
            option("source", no(known_source)),
            option("jobs", no(reads_as(int)) | BELOW_ONE),
            no(lambda text: "=" in text).map(lambda text: (["-p", text], "parameter")),
            no(SETS.__contains__).map(lambda name: (["-p", f"{name}x=1"], "parameter")),
            st.sampled_from(["edition", "source"]).map(lambda n: (["-p", f"{n}=x"], f"--{n}")),
            parameter("seeds", no(reads_as(int)) | outside(0, 1000)),
            parameter("layer", no(reads_as(int)) | outside(0, 5)),
            parameter("head", no(reads_as(int)) | outside(0, 5)),
            parameter("max_length", no(reads_as(int)) | outside(3, 128)),
            parameter("rate", no(reads_as(float))),
            parameter("quick", no(lambda text: text.lower() in ("true", "false"))),
            parameter("task", no(lambda t: t == "all" or {*t.split(",")} <= {*TASKS})),
            st.sampled_from(["hans", "squad", "rte,swag", "rte,,mrpc", "snli"]).map(
                lambda names: (["-p", f"task={names}"], STUDY)
            ),
            st.sampled_from(
                [["-p", "seeds=0", "-p", "seeds=-1"], ["-p", "seeds=2", "-p", "seeds="]]
            ).map(lambda words: (words, "seeds")),
            st.just((["--force=yes"], "force")),
            st.just((["-p"], "-p")),
        ],
    ),
    "build": (
        ["build"],
        [
            *COMMON,
            TEXT.filter(lambda text: not text.startswith("-")).map(lambda t: ([t], "argument")),
            st.just((["--whole=1"], "whole")),
            st.sampled_from(["mini", "base", "large", "small"]).map(
                lambda edition: (["--edition", edition, "--whole"], "missing")
            ),
        ],
    ),
    "pretrain": (
        ["pretrain", "--fresh"],
        [
            *COMMON,
            st.sampled_from(["base", "large"]).map(lambda e: (["--edition", e], "published")),
            st.just((["--edition", "small"], "--corpus")),
            option("corpus", no(lambda text: text == "" or known_source(text)), ""),
            option("minutes", no(reads_as(float)) | BELOW_ONE),
            st.sampled_from(["file", "file/below/it", "notebooks", ".", "..", "/", ""]).map(
                lambda out: (["--out", out], "--out")
            ),
            st.just((["--out", "x" * 300], "File name too long")),
        ],
    ),
    "submit": (
        ["submit"],
        [
            *COMMON,
            option("source", no(known_source)),
            option("task", no(lambda t: t == "all" or {*map(str.strip, t.split(","))} <= {*TASKS})),
            st.sampled_from(["snli", "hans", "rte,snli", "rte,", ",", "squad_v2"]).flatmap(
                lambda task: option("task", st.just(task))
            ),
            st.sampled_from(["file", "file/below/it"]).map(lambda out: (["--out", out], "--out")),
            st.sampled_from(["rte", "stsb", "cola"]).map(
                lambda task: (["--task", task, "--source", "notebooks"], "no data for")
            ),
        ],
    ),
    "doctor": (
        ["doctor"],
        [
            *COMMON,
            option("source", no(known_source)),
            TEXT.filter(lambda text: not text.startswith("-")).map(lambda t: ([t], "argument")),
        ],
    ),
}


@pytest.fixture
def ready(home, monkeypatch):  # noqa: F811
    """A project in the current folder where work, once begun, fails the test."""

    def refuse(*_, **__):
        raise AssertionError("work started")

    works = ("batch.execute", "book._jupyter_book", "pretrain.prepare", "store.Store.model")
    for work in (*works, "tasks._read"):  # the last may ask the network
        monkeypatch.setattr(f"bertstudy.{work}", refuse)
    monkeypatch.chdir(home)
    write_notebook(home, STUDY, "study = bertstudy.open(edition=edition)", parameters=GOOD)
    (home / "file").touch()
    return home


def files(home: Path) -> dict[str, bytes]:  # noqa: F811
    """Every file but locks, which hold nothing."""
    every = (path for path in home.rglob("*") if path.is_file())
    return {str(p): p.read_bytes() for p in every if p.name != "lock" and p.suffix != ".lock"}


def the_line(result) -> str:
    """The only line that was said."""
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit), result.exception
    (line,) = result.output.splitlines()
    assert line.isprintable()
    return line


@pytest.mark.parametrize("command", ["run", "pretrain"])
def test_without_the_mistake_work_starts(ready, command):
    result = CliRunner().invoke(app, MISTAKES[command][0])
    assert str(result.exception) == "work started"


@pytest.mark.parametrize("command", MISTAKES)
def test_each_bad_command_line_gets_one_clear_line_and_no_work(ready, command):
    before, tried = files(ready), set()
    good, mistakes = MISTAKES[command]

    @FIXED
    @given(st.one_of(mistakes))
    def refused(mistake):
        words, told = mistake
        line = the_line(CliRunner().invoke(app, [*good, *words]))
        lead = "left out: " if told == "no data for" else "bertstudy: "
        assert line.startswith(lead)
        assert told in line
        tried.add(tuple(words))

    refused()
    assert files(ready) == before
    assert len(tried) >= EACH


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([b"run", b"-p", b"task=\xff"], b"task=\\udcff"),
        ([b"build", b"--edition", b"\xf0\x28"], b"unknown edition '\\udcf0('"),
        ([b"pretrain", b"--corpus", b"file"], b"--corpus file is not a folder"),
        ([b"submit", b"--task", b"snli"], b"GLUE has no task 'snli'"),
        ([b"doctor", b"--sauce", b"x"], b"No such option: --sauce"),
        ([b"", b"--help"], b"No such command ''"),
    ],
)
def test_the_same_in_a_process_of_its_own(ready, words, told):
    before = files(ready)
    done = subprocess.run([sys.executable, "-m", "bertstudy", *words], capture_output=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert done.stdout == b""
    assert line.startswith(b"bertstudy: ")
    assert told in line
    assert files(ready) == before


@pytest.mark.parametrize("words", [["run"], ["build"], ["doctor"]])
@pytest.mark.parametrize(
    "place", ["", "nowhere", "file", "file/x", "~nobody-of-that-name", "x" * 300, "."]
)
def test_a_project_that_is_none_gets_one_line(tmp_path, monkeypatch, words, place):
    """An empty variable counts as none: the folder decides, and there is none above it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv(paths.HOME_VARIABLE, place)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "site-packages/bertstudy/paths.py"))
    monkeypatch.setattr("bertstudy.doctor._data", lambda edition: [])  # takes seconds
    assert the_line(CliRunner().invoke(app, words)).startswith("bertstudy: ")


@pytest.mark.parametrize("words", [["run", "sparse"], ["build"]])
def test_a_file_where_generated_things_belong_gets_one_line(ready, words):
    (ready / "build").touch()
    assert str(ready / "build") in the_line(CliRunner().invoke(app, words))


def test_a_full_disk_gets_one_line(ready, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "page.ipynb")

    monkeypatch.setattr("bertstudy.batch.execute", full)
    result = CliRunner().invoke(app, ["run", "sparse"])
    assert the_line(result) == "bertstudy: page.ipynb: No space left on device"
    assert result.exit_code == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_gets_one_line(ready):
    command = [sys.executable, "-u", "-m", "bertstudy", "--help"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"bertstudy: No space left on device\n"


# --- unusual words that are none


def test_values_too_long_for_a_files_name_still_make_pages_of_their_own(ready):
    runs = plan.plan(["sparse"], pairs=[f"task={'x' * n}" for n in (90, 300, 301, 5000)])
    names = {run.output.name for run in runs}
    assert len(names) == 4
    assert max(map(len, names)) < 200, "255 bytes, and what temporary names add"
    assert names >= {f"3-1-positions--task-{'x' * 90}.ipynb"}, "as it was, where it fits"


def test_two_spellings_of_a_value_are_one_run(ready):
    pairs = ["seeds=1", "seeds=01", "rate=1", "rate=1.0", "rate=1e0", "quick=TRUE", "quick=true"]
    (run,) = plan.plan(["sparse"], pairs=pairs)
    assert run.variant == {"seeds": 1, "rate": 1.0, "quick": True}


def test_the_command_of_a_page_can_be_pasted_into_a_shell(ready):
    odd = "a b; 'c' $HOME \\ *"
    (run,) = plan.plan(["sparse"], source=odd, pairs=[f"task={odd}"])
    words = shlex.split(run.command)
    assert words[:5] == ["bertstudy", "run", "sparse/3-1-positions", "--edition", "mini"]
    assert words[5:] == ["-p", f"task={odd}", "--source", odd]


# --- parameters cells

PLAIN = st.integers() | st.text("ab'\"\\\n", max_size=4) | st.booleans() | st.just(0.5)
NOT_PLAIN = st.one_of(
    st.none(),
    st.binary(max_size=3),
    st.lists(PLAIN, max_size=3),
    st.tuples(PLAIN),
    st.tuples(PLAIN, PLAIN),
    st.dictionaries(st.text("ab", max_size=2), PLAIN, max_size=2),
).map(repr)
EXPRESSIONS = st.sampled_from(
    [
        *(
            'f"{edition}"',
            "f'x'",
            "int(3)",
            "3 + 4",
            "2 ** 10",
            "1 if True else 2",
            "seeds",
            "...",
        ),
        *(
            "os.environ['X']",
            "[*range(3)]",
            "[x for x in 'ab']",
            "lambda: 0",
            "(y := 3)",
            "1e999",
        ),
        *(
            "-1e999",
            "2j",
            "1 + 2j",
            "not True",
            "True and False",
            "'a' + 'b'",
            "'a' 'b' % ()",
            "-x",
        ),
        *("'a'.upper()", "3 < 4", "await x", "yield", "*a", "__import__('os').system('false')"),
        *("-" * 9 + "'a'", "-" * 5000 + "1", "(" * 300 + "1" + ")" * 300, "~" * 3 + "'a'"),
        *("'unfinished", "'''unfinished", "0777", "1__0", "9" * 5000, "é = 3", "{'a': {[]: 1}}"),
    ]
)
STATEMENTS = st.sampled_from(
    [
        *("a, b = 1, 2", "a = b = 1", "(a, b) = 1, 2", "[a] = [1]", "a = 1, ", "a: int", "a += 1"),
        *("a.b = 1", "a[0] = 1", "*a, b = 1, 2", "import os", "from os import *", "del edition"),
        *(
            "if True:\n    edition = 'small'",
            "for a in 'b': pass",
            "def f(): pass",
            "class A: pass",
        ),
        *(
            "with a: pass",
            "try: pass\nfinally: pass",
            "print(1)",
            "'text'",
            "3",
            "pass",
            "assert 1",
        ),
        *("global a", "%matplotlib inline", "!ls", "?a", "a = ", "= 1", "  edition = 'mini'", "\\"),
        *("a = 1 b = 2", "seeds: int = f()", "async def f(): pass", "match a:\n    case _: pass"),
        *(
            "(x := 3)",
            "return 1",
            "'''\nedition = \"small\"",
            "a == 1",
            "a? = 1",
            "type = ",
            "\f\f)",
        ),
    ]
)
SETTING = GOOD.splitlines()


def lines(found: list[str]) -> str:
    return "\n".join(found)


CELLS = st.one_of(
    st.one_of(NOT_PLAIN, EXPRESSIONS).map(lambda value: lines([*SETTING, f"seed = {value}"])),
    STATEMENTS.map(lambda statement: lines([*SETTING, statement])),
    STATEMENTS.map(lambda statement: lines([statement, *SETTING])),
    st.sampled_from(SETTING).map(lambda line: lines([*SETTING, line])),  # set twice
    st.sampled_from(["", "# edition = 'mini'", "x = 1", "edition: str", "Edition = 'mini'"]),
    st.sampled_from(["3", "True", "0.5", "None"]).map(lambda value: f"edition = {value}"),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    .filter(lambda text: "=" not in text)
    .map(lambda text: lines([*SETTING, text])),
)


def says_nothing_more(code: str) -> bool:
    """Only comments and blanks were added."""
    try:
        return ast.dump(ast.parse(code)) == ast.dump(ast.parse(GOOD))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def test_each_bad_parameters_cell_gets_one_clear_line_and_no_work(ready):
    tried = set()

    @FIXED
    @given(CELLS)
    def refused(code):
        assume(not says_nothing_more(code))
        write_notebook(ready, "ssa/1-bad", "1 / 0", parameters=code)
        line = the_line(CliRunner().invoke(app, ["run", "ssa"]))
        assert line.startswith("bertstudy: ssa/1-bad: ")
        assert "parameter" in line
        tried.add(code)

    refused()
    assert len(tried) >= 2 * EACH
    assert not (ready / "build").exists()


def test_what_a_cell_may_hold_is_read_as_python_reads_it(ready):
    code = "# a comment\nedition = 'mini'; n: int = -3\ntext = (\n    'a'  # one\n    'b'\n)\n"
    code += "rate = 1e-3\nmany = 1_000\nquick = True\nraw = r'\\d'"
    write_notebook(ready, "ssa/1-good", parameters=code)
    expected: dict[str, object] = {}
    exec(code, {}, expected)
    del expected["__annotations__"]
    found = plan.read("ssa/1-good").defaults
    assert found == expected
    assert list(map(type, found.values())) == list(map(type, expected.values()))


def code_cell(tags: list[str], text: str = GOOD) -> dict:
    return nbformat.v4.new_code_cell(text, metadata={"tags": tags})


TAGGED = {
    "none": [code_cell([])],
    "none at all": [],
    "two": [code_cell(["parameters"]), code_cell(["parameters"], "seeds = 9")],
    "of text": [nbformat.v4.new_markdown_cell(GOOD, metadata={"tags": ["parameters"]})],
    "text first": [
        nbformat.v4.new_markdown_cell("# Parameters", metadata={"tags": ["parameters"]}),
        code_cell(["parameters"]),
    ],
    "executed": [code_cell(["parameters"]), code_cell(["injected-parameters"], "seeds = 9")],
}


@pytest.mark.parametrize("cells", TAGGED.values(), ids=TAGGED)
def test_each_wrong_number_of_parameters_cells_gets_one_line(ready, cells):
    path = write_notebook(ready, "ssa/1-bad")
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    line = the_line(CliRunner().invoke(app, ["run", "ssa"]))
    assert line.startswith("bertstudy: ssa/1-bad: ")
    assert "tagged '" in line


def without(name: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        body = json.loads(text)
        for cell in body["cells"]:
            cell.pop(name, None)
        return json.dumps(body)

    return change


BROKEN = {
    "half": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "a list": lambda text: "[]",
    "a number": lambda text: "3",
    "no cells": lambda text: "{}",
    "cells of nothing": lambda text: '{"cells": [3]}',
    "cells in a number": lambda text: '{"cells": 3}',
    "no source": without("source"),
    "no metadata": without("metadata"),
    "no kind": without("cell_type"),
    "source of numbers": lambda text: text.replace('"source": [', '"source": [1,'),
    "not UTF-8": lambda text: text.replace("edition", "\udcff"),
    "too deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_each_broken_notebook_gets_one_line(ready, change):
    path = write_notebook(ready, "ssa/1-bad")
    path.write_text(change(path.read_text()), errors="surrogateescape")
    line = the_line(CliRunner().invoke(app, ["run", "ssa"]))
    assert line.startswith("bertstudy: ssa/1-bad: not a readable notebook (")


def test_a_folder_with_a_notebooks_name_gets_one_line(ready):
    (ready / "notebooks/ssa/1-bad.ipynb").mkdir(parents=True)
    line = the_line(CliRunner().invoke(app, ["run", "ssa"]))
    assert line.startswith("bertstudy: ssa/1-bad: not a readable notebook (")
