"""The store under stress: kills, races, damaged files and full disks change no result."""

import json
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import victim
from models import hub_checkpoint
from test_batch import Silent, home  # noqa: F401

from bertstudy import batch, paths, plan, submission
from bertstudy.store import DamagedResult, Store, file_hashes
from bertstudy.tasks import task

KILLS = 20  # half at an operation on files, half at a moment of the clock


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny random BERT."""
    folder = tmp_path_factory.mktemp("checkpoint")
    hub_checkpoint(folder)
    return str(folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, checkpoint):
    """What the study finds when nothing happens to it, where, and in how many seconds."""
    place = victim.project(tmp_path_factory.mktemp("undisturbed") / "home")
    child = victim.Child(victim.work, place, checkpoint)
    start = time.perf_counter()
    found = child.go().result()
    assert set(found["origins"].values()) == {"computed"}
    assert (found["damaged"], found["trained"]) == ([], 4)
    return place, found, time.perf_counter() - start


def kept(place: Path) -> dict[str, Any]:
    """Every file of a store and its manifest, records without their provenance."""
    found: dict[str, Any] = {}
    for path in sorted(place.rglob("*")):
        if not path.is_file() or path.suffix == ".lock":
            continue
        name = str(path.relative_to(place))
        if path.suffix == ".json" and path.parent.parent.name in ("records", "models"):
            body = json.loads(path.read_text())
            if path.name != "config.json":
                body = {n: body[n] for n in ("measurement", "key", "recipe", "values")}
            found[name] = body
        else:
            found[name] = path.read_bytes()
    return found


# --- killed


def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(
    tmp_path, checkpoint, undisturbed
):
    place, expected, seconds = undisturbed
    counting = victim.project(tmp_path / "counting")
    operations = victim.call(victim.count_files, counting, 0, victim.work, checkpoint)
    assert kept(counting) == kept(place), "an undisturbed run is the same every time"

    draw = random.Random(0)
    for number, stop in enumerate(sorted(draw.sample(range(1, operations + 1), KILLS // 2))):
        killed = victim.project(tmp_path / f"at-file-{number}")
        assert victim.call(victim.count_files, killed, stop, victim.work, checkpoint) is None
        resumes(killed, checkpoint, expected, place)
    for number in range(KILLS // 2):
        killed = victim.project(tmp_path / f"at-time-{number}")
        victim.Child(victim.work, killed, checkpoint).kill(draw.uniform(0, seconds))
        resumes(killed, checkpoint, expected, place)


def resumes(killed: Path, checkpoint: str, expected: dict[str, Any], place: Path) -> None:
    """The next run carries on, believes nothing half-written and leaves nothing behind."""
    before = {path.name for path in (killed / "store").glob("models/[!.]*")}
    found = victim.call(victim.work, killed, checkpoint)
    assert found["values"] == expected["values"]
    assert found["damaged"] == []
    assert found["trained"] == 4 - len(before), "what was finished is not made again"
    assert kept(killed) == kept(place)


def test_what_a_killed_writer_left_is_not_part_of_a_result(tmp_path):
    path = tmp_path / "results" / "a.json"
    with paths.replacing(path) as temporary:
        temporary.write_text("half")
        assert file_hashes(tmp_path) == {}
        shutil.copy(temporary, tmp_path / "left")
    shutil.copy(tmp_path / "left", temporary)  # as if it had never been removed
    assert file_hashes(path.parent).keys() == {"a.json"}
    paths.sweep(path)
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


# --- two at once


def test_two_runs_at_once_agree_and_train_each_model_once(tmp_path, checkpoint, undisturbed):
    place, expected, _ = undisturbed
    shared = victim.project(tmp_path / "home")
    both = [victim.Child(victim.work, shared, checkpoint) for _ in range(2)]
    for child in both:
        child.go()
    first, second = (child.result() for child in both)

    assert first["values"] == second["values"] == expected["values"]
    assert first["trained"] + second["trained"] == 4
    made = [found["origins"][name] for name in expected["origins"] for found in (first, second)]
    assert made.count("computed") == len(expected["origins"]), "each record is made by one"
    assert first["damaged"] + second["damaged"] == []
    assert kept(shared) == kept(place)


def test_a_damaged_model_that_another_process_removes_is_no_error(tmp_path, monkeypatch):
    store = Store(tmp_path)
    folder, _ = store.model({"seed": 0}, write_weights)

    def vanishing(folder):
        shutil.rmtree(folder)
        return file_hashes(folder) or folder.joinpath("weights").read_bytes()

    monkeypatch.setattr("bertstudy.store.file_hashes", vanishing)
    with pytest.warns(DamagedResult, match=folder.name):
        assert store._intact_model(folder, {"seed": 0}) is None


# --- damaged


def flipped(data: bytes, draw: random.Random) -> bytes:
    position = draw.randrange(8 * len(data))
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "halved": lambda data, _: data[: len(data) // 2],
    "emptied": lambda data, _: b"",
    "flipped": flipped,
    "flipped elsewhere": flipped,
    "another's": lambda data, _: b'{"checksum": "0", "values": {}}',
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_kind_of_damaged_file_is_noticed_and_made_again(
    tmp_path, checkpoint, undisturbed, name
):
    place, expected, _ = undisturbed
    hurt, draw = tmp_path / "home", random.Random(name)
    shutil.copytree(place, hurt)
    shutil.rmtree(hurt / "store/records/logits")  # so that each model is asked for
    (hurt / "shipped/scores").mkdir(parents=True)
    first, second, *_ = sorted(hurt.glob("store/records/scores/*"))
    shipped = first.rename(hurt / "shipped/scores" / first.name)
    models = sorted(hurt.glob("store/models/*"))
    draw.shuffle(models)
    (lock,) = hurt.glob(f"store/locks/scores-{second.stem}.lock")
    lock.write_bytes(b"nothing that anybody reads")
    files = [shipped, second, lock, models[0] / "model.safetensors"]
    files += [models[1] / "config.json", models[2] / "record.json"]
    for path in files:
        path.write_bytes(DAMAGES[name](path.read_bytes(), draw))
    damaged = shipped.read_bytes()

    found = victim.call(victim.work, hurt, checkpoint)
    assert found["values"] == expected["values"]
    assert found["trained"] == 3
    assert [o for n, o in found["origins"].items() if "scores" in n].count("computed") == 2
    for path in (shipped, second, *models[:3]):
        assert any(str(path) in line for line in found["damaged"])
    assert not any(str(path) in line for line in found["damaged"] for path in (lock, models[3]))
    assert shipped.read_bytes() == damaged, "is for whoever recorded it to mend"

    shipped.unlink()
    again = victim.call(victim.work, hurt, checkpoint)
    assert (again["damaged"], again["trained"]) == ([], 0)
    assert kept(hurt) == kept(place)


def test_a_flipped_bit_anywhere_in_a_record_is_noticed_or_changes_nothing(tmp_path):
    """Not noticed can only be what JSON does not tell apart, such as 1e-05 and 1E-05."""
    store = Store(tmp_path)
    values = {"loss": [0.1, 1e-05, 3], "name": "é", "none": None, "right": True}
    store.measure("effect", {"seed": 1}, lambda: values)
    (path,) = store.folder.glob("records/*/*")
    whole, draw, noticed = path.read_bytes(), random.Random(0), 0
    for _ in range(600):
        path.write_bytes(flipped(whole, draw))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = store._intact(path, "effect", {"seed": 1})
        assert (found is None) == bool(warned)
        noticed += found is None
        if found is not None:
            assert found.values == values
            assert json.loads(path.read_bytes()) == json.loads(whole)
    assert noticed > 500


@pytest.mark.parametrize("text", ["{}", "null", "3", '"record"', "[" * 100_000, '{"checksum": 1}'])
def test_json_that_is_no_record_is_made_again(tmp_path, text):
    store = Store(tmp_path)
    store.measure("effect", {"seed": 1}, lambda: {"a": 1})
    (path,) = store.folder.glob("records/*/*")
    path.write_text(text)
    with pytest.warns(DamagedResult, match=path.name):
        assert store.measure("effect", {"seed": 1}, lambda: {"a": 1}).origin == "computed"


@pytest.mark.parametrize("missing", ["values", "provenance", "recipe", "measurement"])
def test_a_record_that_lacks_a_part_is_made_again_though_its_checksum_fits(tmp_path, missing):
    from bertstudy.store import _checksum

    store = Store(tmp_path)
    store.measure("effect", {"seed": 1}, lambda: {"a": 1})
    (path,) = store.folder.glob("records/*/*")
    body = json.loads(path.read_text())
    del body[missing]
    path.write_text(json.dumps(body | {"checksum": _checksum(body)}))
    with pytest.warns(DamagedResult, match=path.name):
        assert store.measure("effect", {"seed": 1}, lambda: {"a": 1}).origin == "computed"


def test_a_model_whose_record_names_no_files_is_made_again(tmp_path):
    from bertstudy.store import _checksum

    store = Store(tmp_path)
    folder, _ = store.model({"seed": 1}, write_weights)
    body = json.loads((folder / "record.json").read_text())
    del body["provenance"]["files"]
    (folder / "record.json").write_text(json.dumps(body | {"checksum": _checksum(body)}))
    with pytest.warns(DamagedResult, match=folder.name):
        assert store.model({"seed": 1}, write_weights)[1].origin == "computed"


def test_a_file_and_a_folder_in_each_others_place_are_made_again(tmp_path):
    store = Store(tmp_path)
    store.measure("effect", {"seed": 1}, lambda: {"a": 1})
    folder, _ = store.model({"seed": 1}, write_weights)
    (path,) = store.folder.glob("records/*/*")
    path.unlink()
    path.mkdir()
    shutil.rmtree(folder)
    folder.touch()
    with pytest.warns(DamagedResult):
        assert store.measure("effect", {"seed": 1}, lambda: {"a": 1}).values == {"a": 1}
    with pytest.warns(DamagedResult):
        assert store.model({"seed": 1}, write_weights)[1].values == {"a": 1}


def write_weights(folder: Path) -> dict[str, int]:
    (folder / "weights").write_bytes(bytes(5000))
    return {"a": 1}


def note_pages(place: Path) -> dict[str, plan.Done]:
    """A manifest of four pages, as it was written."""
    for name in victim.TASKS:
        for seed in victim.SEEDS:
            plan.note(victim.page(place, name, seed), victim.done(name, seed))
    return plan.manifest("mini")


def test_each_kind_of_damage_to_the_manifest_costs_pages_and_changes_none(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.HOME_VARIABLE, str(victim.project(tmp_path / "home")))
    written = note_pages(tmp_path / "home")
    assert len(written) == 4
    path, draw = plan.manifest_path("mini"), random.Random(0)
    whole, lost = path.read_bytes(), []
    texts = [b"[]", b"null", b"3", b'{"toy/1-study": 3}', b'{"toy/1-study": {}}', b"[" * 100_000]
    flips = [flipped(whole, draw) for _ in range(400)]
    for data in [whole[: len(whole) // 2], b"", *texts, *flips]:
        path.write_bytes(data)
        found = plan.manifest("mini")
        assert found.items() <= written.items()
        if found == written:
            assert json.loads(data) == json.loads(whole), "not noticed: JSON tells no difference"
        lost.append(len(written) - len(found))
    assert lost[:8] == [4] * 8
    assert 1 in lost[8:], "a damaged line costs its own page alone"

    note_pages(tmp_path / "home")
    assert path.read_bytes() == whole, "the next run mends it"


def test_a_flipped_bit_of_an_executed_page_makes_it_stale(home):  # noqa: F811
    (run,) = plan.plan(["sparse"])
    run.output.parent.mkdir(parents=True)
    run.output.write_text("a page")
    sha256 = file_hashes(run.output.parent)[run.output.name]
    made = plan.Done(run.notebook.name, dict(run.parameters), plan.digest(run), sha256, 1.0, "")
    plan.note(run, made)
    assert plan.state(run) == "current"
    draw = random.Random(0)
    for damage in DAMAGES.values():
        run.output.write_bytes(damage(b"a page", draw))
        assert plan.state(run) == "stale"


# --- a full disk


WRITERS = [
    victim.write_record,
    victim.write_model,
    victim.ship_record,
    victim.write_manifest,
    victim.write_predictions,
]


def visible(place: Path) -> dict[str, bytes]:
    """What a reader finds, leftovers included; locks hold nothing."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("limit", [0, 100, 250])
def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path, write, limit):
    with pytest.raises(OSError, match="File too large"):
        victim.call(victim.starved, limit, write, tmp_path / "new", 1)
    assert visible(tmp_path / "new").keys() <= {"_config.yml"}

    write_in_child(write, tmp_path / "old", 0)
    before = visible(tmp_path / "old")
    with pytest.raises(OSError, match="File too large"):
        victim.call(victim.starved, limit, write, tmp_path / "old", 1)
    assert visible(tmp_path / "old") == before

    for place in (tmp_path / "new", tmp_path / "old"):  # there is room again
        write_in_child(write, place, 1)
    assert visible(tmp_path / "new").keys() <= visible(tmp_path / "old").keys()
    assert visible(tmp_path / "old") != before


def write_in_child(write: Callable[[Path, int], None], place: Path, number: int) -> None:
    """The manifest's place is told by a variable of the process."""
    victim.call(victim.finished, write, place, number)


def test_a_full_disk_leaves_no_archive(tmp_path):
    for (name, split), file in submission.FILES.items():
        outputs = max(len(task(name).labels), 1)
        submission.write(np.zeros((submission.ROWS[file], outputs)), task(name), split, tmp_path)
    with pytest.raises(OSError, match="File too large"):
        victim.call(victim.starved, 10_000, victim.write_archive, tmp_path, 0)
    assert visible(tmp_path).keys() == set(submission.FILES.values())
    victim.write_archive(tmp_path, 0)
    assert visible(tmp_path).keys() == {*submission.FILES.values(), submission.ARCHIVE}


STARVED = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
from bertstudy.cli import main
main()
"""


def test_a_notebook_on_a_full_disk_fails_in_a_line_and_succeeds_later(home):  # noqa: F811
    command = [sys.executable, "-c", STARVED, "run", "sparse"]
    done = subprocess.run(command, capture_output=True, text=True)
    (run,) = plan.plan(["sparse"])
    assert done.returncode == 1
    assert "File too large" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not run.output.exists()
    assert plan.state(run) == "missing"

    (outcome,) = batch.execute([run], Silent())
    assert outcome.status == "done"
    assert plan.state(run) == "current"
