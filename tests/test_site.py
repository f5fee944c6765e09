"""The real notebook through papermill, the page built from it, and the page in a browser."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import Watched, served

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = "secrets/4-6-disabling-heads"
PAGE = f"notebooks/{NOTEBOOK}--task-rte--seeds-1.html"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with nothing recorded and nothing computed, run for one task and one seed."""
    home = tmp_path_factory.mktemp("project")
    for name in ("book", "notebooks", "_config.yml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, home / name)
    run(home, "-m", "bertstudy", "run", "secrets/4-6", "-p", "task=rte", "-p", "seeds=1")
    run(home, "-m", "bertstudy", "build", "--no-whole")
    return home


def run(home, *arguments):
    env = os.environ | {"BERTSTUDY_HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=home, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def record(project):
    """The record of constant attention that the page must show."""
    bodies = [json.loads(p.read_text()) for p in project.glob("build/store/records/disabling/*")]
    return {body["recipe"]["kind"]: body["values"] for body in bodies}


def test_the_run_leaves_one_record_a_kind_with_every_head(record):
    assert set(record) == {"uniform", "zero"}
    for values in record.values():
        assert [len(row) for row in values["heads"]] == [6] * 6
        assert len(values["layers"]) == 6
        assert values["baseline"] == record["uniform"]["baseline"]


def test_the_executed_page_holds_its_figures_and_no_error(project):
    executed = json.loads(
        (project / f"build/mini/notebooks/{NOTEBOOK}--task-rte--seeds-1.ipynb").read_text()
    )
    outputs = [o for cell in executed["cells"] for o in cell.get("outputs", [])]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 3
    assert "widgets" not in executed["metadata"]


def test_plain_papermill_gives_the_same_numbers(project, record):
    out = project / "alone.ipynb"
    source = project / "notebooks" / f"{NOTEBOOK}.ipynb"
    run(project, "-m", "papermill", str(source), str(out), "-p", "task", "rte", "-p", "seeds", "1")
    text = out.read_text()
    assert "1 recorded" not in text
    again = list(project.glob("build/store/records/disabling/*"))
    assert len(again) == len(record), "the same recipe must find the same record"


@pytest.mark.parametrize("how", ["file", "sub-path"])
@pytest.mark.browser
def test_the_built_page_is_alive_and_right(how, project, record, page: Watched):
    site = project / "build/mini/html"
    if how == "file":
        check_page(page, site.as_uri() + "/", record)
        page.assert_quiet("file://")
    else:
        with served(site) as address:
            check_page(page, address, record)
            page.assert_quiet(address)


def check_page(watched, address, record):
    watched.page.goto(address + PAGE)
    explorer = watched.page.get_by_role("region", name="Disabling explorer")
    explorer.locator("canvas.cells").first.wait_for()
    draw = random.Random(address.startswith("file"))
    for _ in range(5):
        kind, layer, head = draw.choice(["uniform", "zero"]), draw.randrange(6), draw.randrange(6)
        explorer.locator(f"input[value={kind}]").check()
        explorer.get_by_role("gridcell", name=f"layer {layer + 1}, head {head + 1}:").click()
        text = explorer.locator(".effect .value").inner_text()
        shown = float(re.search(r"[−+]?\d+\.\d+", text)[0].replace("−", "-"))
        effect = record[kind]["heads"][layer][head] - record[kind]["baseline"]
        assert shown == pytest.approx(effect, abs=0.0051)
    attention = watched.page.get_by_role("region", name="Attention explorer")
    attention.get_by_role("slider", name="Layer").fill("4")
    assert attention.get_by_text("Layer 4, head").is_visible()
