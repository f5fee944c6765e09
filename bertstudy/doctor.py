"""What this machine has for an edition, and the command that mends what it lacks."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertstudy import paths, store
from bertstudy.editions import Edition
from bertstudy.editions import edition as find_edition
from bertstudy.errors import BertstudyError

INSTALL = "pip install -r requirements.txt"
LIBRARIES = ("torch", "transformers", "datasets", "papermill", "anywidget", "jupyter-book")
BROWSER_VARIABLE = "BERTSTUDY_CHROMIUM"


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        remedy: the command that mends it, or what to do; "" if it is in order.
        optional: the book can be made without it.
    """

    what: str
    ok: bool
    found: str
    remedy: str = ""
    optional: bool = False


def _absent(what: str, error: ModuleNotFoundError) -> Check:
    return Check(what, ok=False, found=f"{error.name} is not installed", remedy=INSTALL)


def _libraries() -> Iterator[Check]:
    found = store.versions(LIBRARIES)
    for name in LIBRARIES:
        yield Check(name, name in found, found.get(name, "not installed"), INSTALL)


def _device() -> Check:
    try:
        import torch
    except ImportError:
        return Check("device", ok=False, found="torch is not installed", remedy=INSTALL)
    if torch.cuda.is_available():
        return Check("device", ok=True, found=torch.cuda.get_device_name())
    return Check("device", ok=True, found=f"CPU, {os.cpu_count()} cores, no GPU")


def _kernel() -> Check:
    try:
        from jupyter_client.kernelspec import KernelSpecManager
    except ModuleNotFoundError as error:
        return _absent("notebook kernel", error)
    folder = KernelSpecManager().find_kernel_specs().get("python3")
    remedy = "python -m ipykernel install --sys-prefix"
    return Check("notebook kernel", folder is not None, "python3" if folder else "none", remedy)


def _checkpoint(edition: Edition) -> Check:
    what = f"checkpoint of {edition.name}"
    if edition.architecture is None:
        try:
            from huggingface_hub import try_to_load_from_cache
        except ModuleNotFoundError as error:
            return _absent(what, error)
        ok = isinstance(try_to_load_from_cache(edition.checkpoint, "config.json"), str)
        found = f"{edition.checkpoint}, {'downloaded' if ok else 'not downloaded yet'}"
        return Check(what, ok, found, f"hf download {edition.checkpoint}")
    ok = (Path(edition.checkpoint) / "config.json").is_file()
    corpus = "" if edition.source == "synthetic" else " --corpus FOLDER"
    remedy = f"bertstudy pretrain --edition {edition.name}{corpus}"
    return Check(what, ok, "shipped" if ok else f"nothing in {edition.checkpoint}", remedy)


def _data(edition: Edition) -> Iterator[Check]:
    """One row of each task is loaded, except from the hub: asking it may download everything."""
    try:
        import datasets

        from bertstudy import tasks
    except ModuleNotFoundError as error:
        yield _absent("data", error)
        return
    datasets.disable_progress_bars()
    for name in edition.tasks:
        what = f"data of {name}"
        if edition.source == "hub":
            yield Check(what, ok=True, found="fetched from the hub at first use")
            continue
        try:
            tasks.load(name, "validation", edition.source, limit=1)
        except BertstudyError as error:
            remedy = "give a folder laid out like the hub: --source FOLDER"
            yield Check(what, ok=False, found=str(error), remedy=remedy)
        else:
            yield Check(what, ok=True, found=edition.source)


def _writable() -> Check:
    folder = paths.build()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = f"make {folder} writable for you"
        return Check("write access", ok=False, found=str(error.strerror), remedy=remedy)
    free = shutil.disk_usage(folder).free / 1e9
    return Check("write access", ok=True, found=f"{folder}, {free:.0f} GB free")


def browser() -> str | None:
    """Path of the Chromium that tests drive; None if there is none."""
    return os.environ.get(BROWSER_VARIABLE) or shutil.which("chromium")


def _browser() -> Check:
    path = browser()
    remedy = f"install Chromium (apt-get install chromium) or set {BROWSER_VARIABLE}; tests only"
    return Check("browser", path is not None, path or "no chromium", remedy, optional=True)


def examine(edition: str, source: str = "") -> list[Check]:
    """All checks for one edition.

    Raises:
        BertstudyError: there is no such edition or source.
    """
    chosen = find_edition(edition, source)
    return [
        Check("Python", ok=True, found=platform.python_version()),
        *_libraries(),
        _device(),
        _kernel(),
        _checkpoint(chosen),
        *_data(chosen),
        _writable(),
        _browser(),
    ]
