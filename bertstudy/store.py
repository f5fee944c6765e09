"""Results and fine-tuned models, found by what made them.

A *recipe* is plain JSON that says everything a number depends on: checkpoint hash, task, data
fingerprint, seed, settings, version of the measurement. Its hash is the key. Asking for a
result names the recipe and a function that makes it; the store looks among the shipped
records, then among its own, and computes last. Two processes that want the same thing make
it once, and what is found damaged is made again.

Layout::

    FOLDER/records/<measurement>/<key>.json
    FOLDER/models/<key>/{the model's files, record.json}
    SHIPPED/<measurement>/<key>.json
"""

import functools
import hashlib
import json
import logging
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from bertstudy import paths
from bertstudy.errors import BertstudyError

logger = logging.getLogger(__name__)

LIBRARIES = ("torch", "transformers", "datasets", "tokenizers", "numpy", "scipy", "scikit-learn")
MODEL = "model"  # the measurement under which a fine-tuned model's record is filed
RECORD = "record.json"
NO_FILE = (IsADirectoryError, NotADirectoryError)  # something else has its name

Origin = Literal["computed", "stored", "recorded"]
JSON = dict[str, Any]


class DamagedResult(UserWarning):
    """A stored file was not what was written; it is being made again."""


def _plain(value: Any, where: str, *, whole: bool) -> Any:
    """A copy of ``value`` as plain JSON; ``whole`` writes 2.0 as 2, as JSON sees no difference."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}: only finite numbers can be recorded")
        return int(value) if whole and value.is_integer() else float(value)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]", whole=whole) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"{where} has the name {name!r}: names must be text")
        return {name: _plain(value[name], f"{where}.{name}", whole=whole) for name in value}
    kind = type(value).__name__
    raise TypeError(f"{where} is a {kind}: use plain JSON (text, numbers, lists, dicts)")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(recipe: Mapping[str, Any]) -> str:
    """The one spelling of a recipe: sorted names, no spaces, tuples as lists, 2.0 as 2.

    Raises:
        TypeError: something in it is not plain JSON.
        ValueError: a number in it is not finite.
    """
    return _text(_plain(recipe, "recipe", whole=True))


def key(recipe: Mapping[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of the canonical recipe."""
    return _sha256(canonical(recipe))[:16]


@dataclass(frozen=True)
class Record:
    """One result with everything that says where it came from.

    Attributes:
        measurement: what was measured; also the folder's name.
        recipe: what it depends on, canonical.
        values: the result, plain JSON.
        provenance: versions, commit, device, wall time in seconds, UTC time.
        origin: "computed" just now, "stored" by an earlier run here, or "recorded" with the
            project. Not written to the file: it says how the record was found.
    """

    measurement: str
    recipe: JSON
    values: JSON
    provenance: JSON
    origin: Origin

    @property
    def key(self) -> str:
        """The recipe's key; also the file's name."""
        return key(self.recipe)


def _checksum(body: Mapping[str, Any]) -> str:
    return _sha256(_text({name: body[name] for name in body if name != "checksum"}))


def _write(path: Path, record: Record) -> None:
    """Write it whole, with a checksum: a file that was torn or changed is made again."""
    body = {name: value for name, value in asdict(record).items() if name != "origin"}
    body |= {"key": record.key}
    body |= {"checksum": _checksum(body)}
    paths.write_text(path, json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _read(path: Path, measurement: str, recipe: JSON, origin: Origin) -> Record | None:
    """The record at ``path``; None if there is none.

    Raises:
        ValueError: it is not a record, not for this recipe, or not as it was written.
    """
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    if not isinstance(body, dict) or body.get("checksum") != _checksum(body):
        raise ValueError("its checksum does not fit")
    if (body.get("measurement"), body.get("recipe")) != (measurement, recipe):
        raise ValueError("it was made by another recipe")
    return Record(measurement, recipe, body["values"], body["provenance"], origin)


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below ``folder``, by POSIX path; a model's record is left out."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / RECORD and path.suffix != paths.UNFINISHED:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            hashes[path.relative_to(folder).as_posix()] = digest
    return hashes


def _sweep(path: Path) -> None:
    """Remove a damaged ``path`` and what killed writers left beside it; needs its lock."""
    paths.sweep(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of these distributions; those that are absent are left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def _commit() -> str | None:
    """The commit of this package's checkout, "+dirty" if tracked files differ; None outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+dirty"]
    here = Path(__file__).parent
    if "site-packages" in here.parts:  # an installed copy may lie below someone else's checkout
        return None
    try:
        done = subprocess.run(
            command, cwd=here, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _device() -> tuple[str, int | None]:
    """The device work runs on by default, and torch's threads if torch is in use."""
    torch = sys.modules.get("torch")
    if torch is None:
        return f"cpu ({platform.machine()})", None
    threads = torch.get_num_threads()
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(), threads
    from bertstudy.devices import has_bf16_units

    # Whether an edition trains in bf16 depends on it.
    units = ", bf16 units" if has_bf16_units(torch.device("cpu")) else ""
    return f"cpu ({platform.machine()}{units})", threads


def provenance(seconds: float) -> JSON:
    """What a result owes to the machine and the day: versions, commit, device, wall time."""
    device, threads = _device()
    return {
        "bertstudy": versions(["bertstudy"]).get("bertstudy"),
        "libraries": versions(LIBRARIES),
        "python": platform.python_version(),
        "commit": _commit(),
        "device": device,
        "torch_threads": threads,
        "seconds": round(seconds, 3),
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _name(measurement: str) -> str:
    """``measurement`` if it can name a folder."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", measurement):
        raise ValueError(f"measurement {measurement!r}: use small letters, digits and . _ -")
    return measurement


class Store:
    """Records and fine-tuned models below one folder, with the shipped records in front.

    Args:
        folder: where this machine keeps what it computes; made when first written to.
        shipped: reviewed records that come with the project, looked up first and never
            changed by a lookup; None to compute everything, as for checking them.
        look_up: False to make them again: they are written (`ship`) but not looked up.
    """

    def __init__(self, folder: Path, shipped: Path | None = None, *, look_up: bool = True) -> None:
        self.folder = Path(folder)
        self.look_up = look_up
        self.shipped = None if shipped is None else Path(shipped)

    def measure(
        self,
        measurement: str,
        recipe: Mapping[str, Any],
        compute: Callable[[], Mapping[str, Any]],
    ) -> Record:
        """The record for this recipe: shipped, else stored, else computed now.

        Args:
            measurement: what is measured, for example "secrets.disable-heads".
            recipe: everything the result depends on, plain JSON.
            compute: makes the values, plain JSON with finite numbers. If it raises, nothing
                is stored.

        Raises:
            TypeError: recipe or values are not plain JSON.
            ValueError: a number in them is not finite.
        """
        recipe = json.loads(canonical(recipe))
        path = self._record_path(measurement, recipe)
        if found := self._shipped(measurement, recipe):
            return found
        if found := self._intact(path, measurement, recipe):
            return found
        with self._lock(measurement, path.stem):
            if found := self._intact(path, measurement, recipe):
                return found  # another process computed it while this one waited
            _sweep(path)
            start = time.perf_counter()
            values = _plain(compute(), measurement, whole=False)
            made = provenance(time.perf_counter() - start)
            record = Record(measurement, recipe, values, made, "computed")
            _write(path, record)
        return record

    def model(
        self, recipe: Mapping[str, Any], train: Callable[[Path], Mapping[str, Any]]
    ) -> tuple[Path, Record]:
        """The folder of the model this recipe makes, trained now if it is not there yet.

        Args:
            recipe: everything the model depends on, plain JSON.
            train: fills the empty folder it is given and returns values to record. If it
                raises or is killed, nothing is stored; a later call starts afresh.

        Returns:
            The folder, to be read and not changed, and the record, whose provenance holds
            the SHA-256 of each file.
        """
        recipe = json.loads(canonical(recipe))
        final = self.folder / "models" / key(recipe)
        if found := self._intact_model(final, recipe):
            return final, found
        with self._lock(MODEL, final.name):
            if found := self._intact_model(final, recipe):
                return final, found
            _sweep(final)
            record = self._train(final, recipe, train)
        return final, record

    def ship(self, record: Record) -> Path:
        """Write ``record`` among the shipped ones, for review and commit."""
        if self.shipped is None:
            raise ValueError("this store has no folder of shipped records")
        path = self.shipped / _name(record.measurement) / f"{record.key}.json"
        _write(path, record)
        return path

    def recorded(self, measurement: str = "*") -> Iterator[Record]:
        """Every shipped record, or those of one measurement, by measurement and key.

        Raises:
            BertstudyError: one is not as it was written.
        """
        for path in sorted(self.shipped.glob(f"{measurement}/*.json")) if self.shipped else ():
            try:
                body = json.loads(path.read_bytes())
                found = _read(path, path.parent.name, body["recipe"], "recorded")
                if path.stem != found.key:
                    raise ValueError("it has another recipe's name")
            except (ValueError, KeyError, TypeError) as error:
                raise BertstudyError(f"the record {path} is damaged: {error}") from error
            yield found

    def _train(
        self, final: Path, recipe: JSON, train: Callable[[Path], Mapping[str, Any]]
    ) -> Record:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(paths.UNFINISHED, f".{final.name}.", final.parent))
        try:
            start = time.perf_counter()
            values = _plain(train(temporary), MODEL, whole=False)
            made = provenance(time.perf_counter() - start) | {"files": file_hashes(temporary)}
            record = Record(MODEL, recipe, values, made, "computed")
            _write(temporary / RECORD, record)
            temporary.chmod(0o755)  # mkdtemp makes it private
            os.replace(temporary, final)
        except SafetensorError as error:  # its own kind for a disk that is full
            raise OSError(str(error)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return record

    def _record_path(self, measurement: str, recipe: JSON) -> Path:
        return self.folder / "records" / _name(measurement) / f"{key(recipe)}.json"

    def _shipped(self, measurement: str, recipe: JSON) -> Record | None:
        if self.shipped is None or not self.look_up:
            return None
        return self._intact(
            self.shipped / measurement / f"{key(recipe)}.json", measurement, recipe, "recorded"
        )

    def _intact(
        self, path: Path, measurement: str, recipe: JSON, origin: Origin = "stored"
    ) -> Record | None:
        """The record at ``path``; None, with a warning, if it is damaged."""
        try:
            return _read(path, measurement, recipe, origin)
        except (ValueError, KeyError, RecursionError, *NO_FILE) as error:
            self._warn(path, error)
            return None

    def _intact_model(self, folder: Path, recipe: JSON) -> Record | None:
        record = self._intact(folder / RECORD, MODEL, recipe)
        if record is None:
            return None
        try:
            whole = record.provenance.get("files") == file_hashes(folder)
        except FileNotFoundError:  # another process found damage and is removing it
            whole = False
        if not whole:
            self._warn(folder, "its files are not those that were written")
            return None
        return record

    @staticmethod
    def _warn(path: Path, reason: object) -> None:
        message = f"{path} is damaged ({reason}) and not used: the result is made again"
        warnings.warn(message, DamagedResult, stacklevel=4)

    @contextmanager
    def _lock(self, measurement: str, name: str) -> Iterator[None]:
        """Hold the key's lock; the system frees it when the process ends, however it ends."""
        path = self.folder / "locks" / f"{measurement}-{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("waiting for another process that computes %s %s", measurement, name)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
