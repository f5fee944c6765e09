"""Where the project lives on this machine, and how a file or folder is put there whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertstudy.errors import BertstudyError

HOME_VARIABLE = "BERTSTUDY_HOME"
UNFINISHED = ".part"  # suffix of a file that is being written


def _is_root(folder: Path) -> bool:
    return (folder / "_config.yml").is_file() and (folder / "notebooks").is_dir()


def root() -> Path:
    """The project's root: the folder that holds ``_config.yml`` and ``notebooks/``.

    `BERTSTUDY_HOME` decides if it is set; otherwise the nearest such folder at or above the
    current directory, so that a second checkout works on its own files, and last the one
    this package was installed from.

    Raises:
        BertstudyError: there is no such folder.
    """
    if home := os.environ.get(HOME_VARIABLE):
        folder = Path(os.path.realpath(os.path.expanduser(home)))  # pathlib's raise on ~nobody
        if not _is_root(folder):
            raise BertstudyError(
                f"{HOME_VARIABLE}={home} is not a bertstudy project: "
                "it needs _config.yml and notebooks/"
            )
        return folder
    here, package = Path.cwd(), Path(__file__).resolve().parent
    for folder in (here, *here.parents, *package.parents):
        if _is_root(folder):
            return folder
    raise BertstudyError(
        f"no bertstudy project at or above {here}: run inside a checkout or set {HOME_VARIABLE}"
    )


def build() -> Path:
    """Everything generated lives here; deleting it loses nothing but time."""
    return root() / "build"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write beside ``path``, whose place it takes when the block ends well.

    Nobody reads half a file, and a full disk leaves the old one as it was. A kill leaves a hidden
    file named after ``path`` with the suffix `UNFINISHED`, which nothing reads: see `sweep`.
    There is no fsync: what a power cut tears has to be noticed by whoever reads it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(UNFINISHED, f".{path.name}.", path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes it private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_folder(folder: Path, new: Path) -> None:
    """Put ``new`` in the place of ``folder``, if there is one; both on one file system.

    A kill between its two halves leaves the old one under another name: see `put_back`.
    """
    old = _replaced(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def put_back(folder: Path) -> None:
    """Undo the first half of a `replace_folder` that was killed before the second."""
    if not folder.exists() and _replaced(folder).exists():
        _replaced(folder).rename(folder)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")  # nobody gives a folder such a name


def write_text(path: Path, text: str) -> None:
    """Write all of ``text`` or, if that fails, nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def sweep(path: Path) -> None:
    """Remove what killed writers left beside ``path``; needs the lock under which it is written."""
    for left in path.parent.glob(f".{path.name}.*{UNFINISHED}"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
