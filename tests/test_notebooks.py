"""Pages through papermill at smoke size: tiny real-looking data, one seed, an empty store.

Tests of a section say what its numbers mean; here each of its cells has to run.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from models import SENTENCES, lay_out

ROOT = Path(__file__).resolve().parents[1]
# §4.2, which needs frames, is run by its own tests; §4.6 by `test_site`, on a page that is opened.
PAGES = {  # what it measures beside scores, and how many figures it has
    "secrets/4-1-attention-patterns": ("attention_patterns", 4),
    "secrets/4-3-change-after-fine-tuning": ("attention_change", 3),
    "secrets/4-4-features": ("linguistic_attention", 4),
    "secrets/4-5-token-to-token": ("linguistic_attention", 3),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project without a model's results, and twelve pairs of sentences as RTE."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("_config.yml", "notebooks"):
        (folder / name).symlink_to(ROOT / name)
    shipped = Path("results", "mini", "pattern_classifiers")  # of no data; minutes to make again
    (folder / shipped).parent.mkdir(parents=True)
    (folder / shipped).symlink_to(ROOT / shipped)
    rows = {
        "sentence1": [SENTENCES[n % 5] for n in range(12)],
        "sentence2": [SENTENCES[n * n % 5] for n in range(12)],
        "label": [int(n % 3 == 0) for n in range(12)],
    }
    lay_out(folder / "hub", "rte", train=rows, validation=rows)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs_on_plain_papermill(name, home):
    out = home / f"{name.replace('/', '-')}.ipynb"
    page = home / "notebooks" / f"{name}.ipynb"
    command = [sys.executable, "-m", "papermill", str(page), str(out)]
    chosen = {"source": str(home / "hub"), "task": "rte", "seeds": "1"}
    command += [word for key, value in chosen.items() for word in ("-p", key, value)]
    env = os.environ | {"BERTSTUDY_HOME": str(home), "OMP_NUM_THREADS": "1"}
    env |= {"HF_DATASETS_CACHE": str(home / "cache")}
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    measurement, figures = PAGES[name]
    assert list(home.glob(f"build/store/records/{measurement}/*.json"))
    outputs = [o for cell in json.loads(out.read_text())["cells"] for o in cell.get("outputs", [])]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == figures
