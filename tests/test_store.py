"""The store: one spelling per recipe, one computation per key, and nothing half-written."""

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bertstudy.errors import BertstudyError
from bertstudy.store import DamagedResult, Store, canonical, key

RECIPE = {"task": "rte", "seed": 3, "rate": 2e-5}


def forbidden(*_):
    """Stands where nothing should be computed."""
    raise AssertionError("computed again")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", tmp_path / "shipped")


def write_weights(folder: Path) -> dict:
    (folder / "deep").mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "deep" / "vocab.txt").write_text("[CLS]\n")
    return {"accuracy": 0.5}


# --- recipes


def test_key_of_a_known_recipe():
    # printf '{"a":[1,2],"b":2}' | sha256sum
    assert canonical({"b": 2.0, "a": (1, 2)}) == '{"a":[1,2],"b":2}'
    assert key({"b": 2.0, "a": (1, 2)}) == "68b7e88ecdcf999e"


@pytest.mark.parametrize("other", [{"seed": 3.5}, {"seed": "3"}, {"seed": True}, {"seed": None}])
def test_every_difference_changes_the_key(other):
    assert key(RECIPE | other) != key(RECIPE)


def test_true_is_not_one():
    assert key({"a": True}) != key({"a": 1})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_numbers_that_are_not_finite_are_refused(number):
    with pytest.raises(ValueError, match=r"recipe\.grid\[1\]\.rate is"):
        canonical({"grid": [1, {"rate": number}]})


@pytest.mark.parametrize("thing", [object(), {1, 2}, np.zeros(2), np.int64(1), b"x", Path("x")])
def test_objects_are_refused(thing):
    with pytest.raises(TypeError, match=r"recipe\.thing is a \w+"):
        canonical({"thing": thing})


def test_names_must_be_text():
    with pytest.raises(TypeError, match="name 1"):
        canonical({1: "a"})


def test_measurement_must_be_able_to_name_a_folder(store):
    with pytest.raises(ValueError, match="measurement"):
        store.measure("../escape", RECIPE, forbidden)


# --- records


def test_second_time_is_read_not_computed(store):
    first = store.measure("effect", RECIPE, lambda: {"drop": (0.25, 1.0)})
    second = store.measure("effect", RECIPE, forbidden)

    assert (first.origin, second.origin) == ("computed", "stored")
    assert second.values == first.values == {"drop": [0.25, 1.0]}
    assert second.provenance == first.provenance
    assert {"libraries", "commit", "device", "seconds", "utc", "python"} <= first.provenance.keys()


@pytest.mark.parametrize("units", [True, False])
def test_provenance_says_whether_the_cpu_multiplies_in_bf16(store, monkeypatch, units):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": units})
    found = store.measure("effect", RECIPE, lambda: {"drop": 0.25})
    assert ("bf16 units" in found.provenance["device"]) is units


def test_measurements_do_not_share_a_recipe(store):
    store.measure("effect", RECIPE, lambda: {"a": 1})
    assert store.measure("other", RECIPE, lambda: {"a": 2}).values == {"a": 2}


def test_shipped_record_is_found_first_and_marked(store):
    store.ship(store.measure("effect", RECIPE, lambda: {"drop": 1}))
    other = Store(store.folder.parent / "empty", store.shipped)

    assert store.measure("effect", RECIPE, forbidden).origin == "recorded"
    assert other.measure("effect", RECIPE, forbidden).origin == "recorded"
    assert Store(store.folder).measure("effect", RECIPE, forbidden).origin == "stored"
    assert not other.folder.exists(), "a lookup writes nothing"


def test_damaged_shipped_record_is_left_in_place_and_not_used(store):
    path = store.ship(store.measure("effect", RECIPE, lambda: {"drop": 1}))
    path.write_text(path.read_text().replace('"drop": 1', '"drop": 2'))
    with pytest.warns(DamagedResult, match="checksum"):
        assert store.measure("effect", RECIPE, forbidden).values == {"drop": 1}
    assert path.exists()


def record_file(store: Store) -> Path:
    (path,) = store.folder.glob("records/*/*.json")
    return path


DAMAGES = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "bit flipped": lambda data: data.replace(b"0.25", b"0.24"),
    "not text": lambda data: b"\xff\xfe" + data,
    "another thing": lambda data: b"[]",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_record_is_noticed_and_remade(store, damage):
    store.measure("effect", RECIPE, lambda: {"drop": 0.25})
    path = record_file(store)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.warns(DamagedResult, match=path.name):
        again = store.measure("effect", RECIPE, lambda: {"drop": 0.25})
    assert again.origin == "computed"
    assert store.measure("effect", RECIPE, forbidden).values == {"drop": 0.25}


def test_record_under_another_recipes_name_is_not_believed(store):
    store.measure("effect", RECIPE, lambda: {"drop": 1})
    path = record_file(store)
    path.rename(path.with_stem(key(RECIPE | {"seed": 4})))
    with pytest.warns(DamagedResult, match="another recipe"):
        record = store.measure("effect", RECIPE | {"seed": 4}, lambda: {"drop": 2})
    assert record.values == {"drop": 2}


@pytest.mark.parametrize("values", [{"loss": math.nan}, {"loss": [math.inf]}])
def test_nan_in_values_is_refused_by_name_and_not_stored(store, values):
    with pytest.raises(ValueError, match=r"effect\.loss"):
        store.measure("effect", RECIPE, lambda: values)
    assert not list(store.folder.glob("records/*/*"))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_nothing_and_frees_the_lock(store, error):
    def fail(*_):
        raise error

    for call in (lambda: store.measure("effect", RECIPE, fail), lambda: store.model(RECIPE, fail)):
        with pytest.raises(error):
            call()
    assert not list(store.folder.glob("records/*/*")) + list(store.folder.glob("models/*"))
    assert store.measure("effect", RECIPE, lambda: {"a": 1}).origin == "computed"


def test_files_are_readable_json(store):
    store.measure("effect", RECIPE, lambda: {"drop": 0.25})
    body = json.loads(record_file(store).read_text())
    assert body["recipe"] == RECIPE
    assert body["key"] == key(RECIPE) == record_file(store).stem
    assert record_file(store).stat().st_mode & 0o777 == 0o644


# --- models


def test_model_is_trained_once(store):
    folder, first = store.model(RECIPE, write_weights)
    again, second = store.model(RECIPE, forbidden)

    assert folder == again
    assert (first.origin, second.origin) == ("computed", "stored")
    assert second.values == {"accuracy": 0.5}
    assert set(second.provenance["files"]) == {"weights.bin", "deep/vocab.txt"}


def flip_bit(folder):
    data = bytearray((folder / "weights.bin").read_bytes())
    data[5000] ^= 1
    (folder / "weights.bin").write_bytes(data)


MODEL_DAMAGES = {
    "bit flipped": flip_bit,
    "truncated": lambda folder: os.truncate(folder / "weights.bin", 100),
    "file gone": lambda folder: (folder / "deep" / "vocab.txt").unlink(),
    "file added": lambda folder: (folder / "extra").write_text("x"),
    "record truncated": lambda folder: os.truncate(folder / "record.json", 40),
}


@pytest.mark.parametrize("damage", MODEL_DAMAGES.values(), ids=MODEL_DAMAGES)
def test_damaged_model_is_noticed_and_remade(store, damage):
    folder, _ = store.model(RECIPE, write_weights)
    damage(folder)
    with pytest.warns(DamagedResult, match=folder.name):
        folder, record = store.model(RECIPE, write_weights)
    assert record.origin == "computed"
    assert store.model(RECIPE, forbidden)[1].origin == "stored"


# --- several processes


def measure_slowly(folder: Path, log: Path, barrier) -> None:
    """Ask at the same time as others; leave one line per computation."""

    def compute():
        with log.open("a") as file:
            file.write("computed\n")
        time.sleep(0.4)
        return {"pid": os.getpid()}

    def train(target):
        (target / "weights").write_text(str(os.getpid()))
        return compute()

    store = Store(folder)
    barrier.wait()
    record = store.measure("slow", RECIPE, compute)
    _, model = store.model(RECIPE, train)
    with log.open("a") as file:
        file.write(f"saw {record.values['pid']} {model.values['pid']}\n")


def test_processes_that_want_the_same_compute_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")  # torch may have threads by now
    log, barrier = tmp_path / "log", context.Barrier(3)
    arguments = (tmp_path / "store", log, barrier)
    workers = [context.Process(target=measure_slowly, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0

    lines = log.read_text().splitlines()
    assert lines.count("computed") == 2, "one record and one model"
    assert len({line for line in lines if line.startswith("saw")}) == 1


TRAIN_FOR_EVER = """
    import sys, time
    from pathlib import Path
    from bertstudy.store import Store

    def train(folder):
        (folder / "weights").write_text("half")
        print("training", flush=True)
        time.sleep(60)

    Store(Path(sys.argv[1])).model({"seed": 1}, train)
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_killed_training_starts_afresh(tmp_path, stop):
    command = [sys.executable, "-c", textwrap.dedent(TRAIN_FOR_EVER), str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout.readline() == "training\n"
        process.send_signal(stop)
    assert not (tmp_path / "models" / key({"seed": 1})).exists()

    folder, record = Store(tmp_path).model({"seed": 1}, write_weights)
    assert record.origin == "computed"
    assert not (folder / "weights").exists(), "nothing of the killed run is mixed in"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


# --- what was recorded


def test_recorded_finds_what_was_shipped_whatever_its_recipe(store):
    made = [store.measure("scores", {"seed": n}, lambda n=n: {"score": n}) for n in range(3)]
    for record in made[:2]:
        store.ship(record)
    store.ship(store.measure("words", {}, lambda: {"score": 9}))
    found = list(store.recorded("scores"))
    assert {r.values["score"] for r in found} == {0, 1}
    assert {r.origin for r in found} == {"recorded"}
    assert len(list(store.recorded())) == 3
    assert list(store.recorded("other")) == []
    assert list(Store(store.folder).recorded("scores")) == []


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda _: "[]"])
def test_a_damaged_record_is_an_error_where_all_are_asked_for(store, damage):
    path = store.ship(store.measure("scores", RECIPE, lambda: {"score": 1}))
    path.write_text(damage(path.read_text()))
    with pytest.raises(BertstudyError, match="is damaged"):
        list(store.recorded("scores"))
