"""The command line: bad input gets one line before any work, and help comes at once."""

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from test_batch import home, write_notebook  # noqa: F401
from typer.testing import CliRunner

import bertstudy
from bertstudy import doctor, paths
from bertstudy.cli import app
from bertstudy.errors import BertstudyError

PROJECT = Path(__file__).parents[1]


def call(*words: str):
    return CliRunner().invoke(app, words)


@pytest.fixture
def nothing_runs(monkeypatch):
    """Starting work would fail the test."""

    def refuse(*_, **__):
        raise AssertionError("work started")

    monkeypatch.setattr("bertstudy.batch.execute", refuse)


BAD = {
    "edition": (["run", "--edition", "tiny"], "unknown edition 'tiny'; allowed: mini, small"),
    "source": (["run", "--source", "nowhere"], "source 'nowhere' is not a folder"),
    "notebook": (["run", "secrets/4-7"], "no notebook 'secrets/4-7': did you mean secrets/4-6"),
    "parameter": (["run", "-p", "taks=rte"], "has no parameter taks: it has source, task"),
    "type": (["run", "-p", "seeds=many"], "parameter seeds=many: expected a whole number"),
    "jobs": (["run", "--jobs", "0"], "Invalid value for '--jobs'"),
    "option": (["run", "--job", "2"], "No such option: --job"),
    "group option": (["--foo"], "No such option: --foo"),
    "command": (["rnu"], "No such command 'rnu'"),
    "build": (["build", "--edition", "tiny"], "unknown edition 'tiny'"),
    "book not run": (["build"], "is missing for edition mini: bertstudy run secrets/4-6"),
    "corpus": (["pretrain", "--corpus", "nowhere"], "--corpus nowhere is not a folder"),
    "start": (["pretrain", "--start", "nowhere"], "--start nowhere is not a checkpoint of ours"),
    "minutes": (["pretrain", "--minutes", "-1"], "Invalid value for '--minutes'"),
    "submit": (["submit", "--task", "snli"], "GLUE has no task 'snli'; allowed: cola, sst2"),
    "doctor": (["doctor", "--edition", "tiny"], "unknown edition 'tiny'"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_line_and_status_2(home, nothing_runs, words, message):  # noqa: F811
    result = call(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("bertstudy: ")
    assert message in line
    assert not (home / "build").exists() or words == ["build"]


def test_synthetic_predictions_are_not_for_glue(tmp_path):
    result = call("submit", "--edition", "mini", "--task", "rte", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "left out: GLUE scores its own test rows" in result.stdout
    assert not (tmp_path / "out").exists()


def test_no_words_at_all_show_the_help():
    result = call()
    assert result.exit_code == 2
    assert "Usage: " in result.output
    assert " doctor " in result.output


def test_absent_library_gets_one_line(home, nothing_runs, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "papermill", None)
    result = call("run")
    assert result.exit_code == 2
    message = "papermill is not installed: pip install -r requirements.txt"
    assert result.stderr == f"bertstudy: {message}\n"


def test_absent_module_of_our_own_is_no_ones_to_install(home, monkeypatch):  # noqa: F811
    def broken(*_):
        raise ModuleNotFoundError("no module", name="bertstudy.gone")

    monkeypatch.setattr("bertstudy.plan.plan", broken)
    assert isinstance(call("run").exception, ModuleNotFoundError)


@pytest.mark.parametrize(("option", "forced"), [((), False), (("--record",), True)])
def test_recording_runs_also_what_is_up_to_date(home, monkeypatch, option, forced):  # noqa: F811
    checked, given = [], []

    def execute(runs, watcher, jobs, force):
        given.append(force)
        return []

    monkeypatch.setenv("BERTSTUDY_RECORD", "")  # the command sets it; this puts it back
    monkeypatch.setattr("bertstudy.plan.state", lambda run: "current")
    monkeypatch.setattr("bertstudy.plan.check", checked.extend)
    monkeypatch.setattr("bertstudy.batch.execute", execute)
    assert call("run", "sparse", *option).exit_code == 0
    assert (len(checked), given) == (int(forced), [forced])


def test_refused_pretraining_keeps_the_saved_state(home):  # noqa: F811
    state = home / "build" / "pretrain" / "small" / "state.json"
    state.parent.mkdir(parents=True)
    state.touch()
    result = call("pretrain", "--edition", "small", "--fresh")
    assert result.exit_code == 2
    assert result.stderr == "bertstudy: edition 'small' needs --corpus FOLDER\n"
    assert state.exists()


def test_a_study_can_refuse_its_parameters_before_any_work(home, nothing_runs, monkeypatch):  # noqa: F811
    def refuse(parameters, **_):
        raise BertstudyError(f"unknown task {parameters['task']}")

    stand_in = SimpleNamespace(check=refuse)  # the real one brings torch
    monkeypatch.setitem(sys.modules, "bertstudy.study", stand_in)
    monkeypatch.setattr(bertstudy, "study", stand_in, raising=False)
    write_notebook(home, "ssa/3-study", "study = bertstudy.open(edition=edition, task=task)")
    result = call("run", "-p", "task=rtf")
    assert result.exit_code == 2
    assert result.stderr == "bertstudy: ssa/3-study: unknown task rtf\n"


def test_summary_and_status_tell_what_failed(home):  # noqa: F811
    write_notebook(home, "secrets/4-6-disabling-heads", "raise KeyError('[layer] 9')")
    result = call("run", "secrets", "sparse", "--jobs", "2")
    rows = [line for line in result.stdout.splitlines() if line.startswith("│")]

    assert result.exit_code == 1
    assert len(rows) == 3
    assert "failed" in rows[0]
    assert "KeyError: '[layer] 9'" in rows[0]
    assert "build/mini/notebooks/secrets/4-60-other.ipynb" in rows[1]
    assert "as far as it came: " in result.stdout
    assert "4-6-disabling-heads.failed.ipynb" in result.stdout

    again = call("run", "sparse")
    assert again.exit_code == 0
    assert "up to date" in again.stdout


def test_outside_a_project_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
    result = call("run")
    assert result.exit_code == 2
    assert "is not a bertstudy project" in result.stderr


def test_root_is_the_nearest_project(tmp_path, monkeypatch):
    monkeypatch.delenv(paths.HOME_VARIABLE, raising=False)
    (tmp_path / "_config.yml").touch()
    (tmp_path / "notebooks" / "secrets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks" / "secrets")
    assert paths.root() == tmp_path
    monkeypatch.chdir("/")
    assert paths.root() == PROJECT, "else the checkout the package comes from"


def test_help_comes_at_once_and_brings_no_torch():
    code = (
        "import sys, bertstudy.cli; print({'torch', 'papermill', 'pandas', 'numpy', 'nbformat'} & "
        "sys.modules.keys())"
    )
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert loaded == "set()\n"
    text = subprocess.check_output([sys.executable, "-m", "bertstudy", "--help"], text=True)
    for command in ("run", "build", "pretrain", "doctor"):
        assert f" {command} " in text


# --- doctor


def test_doctor_names_what_is_missing_with_its_remedy(home, monkeypatch):  # noqa: F811
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv(doctor.BROWSER_VARIABLE, raising=False)
    (home / "build").write_text("a file in the way")
    checks = {check.what: check for check in doctor.examine("mini")}

    assert checks["data of rte"].ok
    assert not checks["write access"].ok
    assert "writable" in checks["write access"].remedy
    assert checks["browser"].optional
    assert "apt-get install chromium" in checks["browser"].remedy


def test_doctor_finds_missing_data(home, tmp_path):  # noqa: F811
    result = call("doctor", "--edition", "small", "--source", str(tmp_path))
    assert result.exit_code == 1
    assert "missing data of sst2: no data for sst2" in result.stdout
    assert "--source FOLDER" in result.stdout


@pytest.mark.parametrize(
    ("module", "edition", "what"),
    [
        ("datasets", "mini", "data"),
        ("jupyter_client", "mini", "notebook kernel"),
        ("huggingface_hub", "base", "checkpoint of base"),
    ],
)
def test_doctor_survives_an_absent_library(home, monkeypatch, module, edition, what):  # noqa: F811
    monkeypatch.delitem(sys.modules, "jupyter_client.kernelspec", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    (check,) = [check for check in doctor.examine(edition) if check.what == what]
    assert not check.ok
    assert check.found.startswith(module)
    assert check.found.endswith(" is not installed")
    assert check.remedy == doctor.INSTALL


def test_doctor_refuses_what_is_no_source():
    with pytest.raises(BertstudyError, match="is not a folder"):
        doctor.examine("mini", "nowhere")


# --- what is declared


def test_requirements_pin_everything_that_is_declared():
    text = (PROJECT / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in text if line and not line.startswith("#")]
    pinned = {pin.name.lower(): pin for pin in pins}
    optional = ("nltk", "spacy")  # annotators that neither the book nor its tests need
    declared = [Requirement(text) for text in requires("bertstudy")]
    declared = [wanted for wanted in declared if wanted.name not in optional]

    for wanted in declared:
        (pin,) = pinned[wanted.name.lower()].specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version, prereleases=True), wanted
    assert pinned.keys() - {wanted.name.lower() for wanted in declared} == {"setuptools"}


def test_markers_are_registered():
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["pytest"]
    markers = settings["ini_options"]["markers"]
    assert {marker.partition(":")[0] for marker in markers} == {"browser", "gpu"}
