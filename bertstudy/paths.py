"""Where the project lives on this machine."""

import os
from pathlib import Path

from bertstudy.errors import BertstudyError

HOME_VARIABLE = "BERTSTUDY_HOME"


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
        folder = Path(home).expanduser().resolve()
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
