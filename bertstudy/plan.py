"""What a run consists of: notebooks, their parameters, and whether a page is up to date.

Nothing here executes anything. `bertstudy.batch` runs a plan; `bertstudy.book` asks which
executed notebooks are complete and current.
"""

import ast
import difflib
import functools
import hashlib
import itertools
import json
import math
import os
import platform
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bertstudy import paths
from bertstudy.errors import BertstudyError
from bertstudy.store import file_hashes, key, versions

Value = int | float | str | bool
Parameters = dict[str, Value]

LIBRARIES = (
    *("torch", "transformers", "datasets", "numpy", "scipy", "scikit-learn", "pandas"),
    *("matplotlib", "seaborn", "ipykernel", "anywidget", "ipywidgets", "papermill"),
)
# These run notebooks and build pages; no result depends on them.
NOT_IN_RESULTS = {"__main__.py", "cli.py", "doctor.py", "plan.py", "batch.py", "book.py"}
SUFFIX = ".ipynb"


@dataclass(frozen=True)
class Notebook:
    """A source notebook and the defaults of its parameters cell.

    Attributes:
        name: path below ``notebooks/`` without the suffix, "secrets/4-6-disabling-heads".
        defaults: parameter name to default value, in the cell's order.
    """

    name: str
    path: Path
    defaults: Mapping[str, Value]

    @property
    def paper(self) -> str:
        """The folder, which is the paper's short name."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class Run:
    """One notebook with one set of parameters.

    Attributes:
        parameters: all of them, defaults included.
    """

    notebook: Notebook
    edition: str
    parameters: Mapping[str, Value]

    @property
    def chosen(self) -> Parameters:
        """Parameters that differ from the notebook's defaults; what papermill injects."""
        # In the cell's order, whatever order they were given or stored in: it names the page.
        given = self.parameters
        return {n: given[n] for n, v in self.notebook.defaults.items() if given[n] != v}

    @property
    def variant(self) -> Parameters:
        """What tells this page from the edition's own: `chosen` without edition and source."""
        return {n: v for n, v in self.chosen.items() if n not in ("edition", "source")}

    @property
    def page(self) -> str:
        """Name of the executed copy: "secrets/4-6-disabling-heads--task-sst2"."""
        given = [f"{n}-{v}" for n, v in self.variant.items()]
        safe = [re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-") for text in given]
        if safe != given:
            safe.append(key(self.variant)[:6])  # what was replaced must still make a difference
        return "--".join([self.notebook.name, *safe])

    @property
    def output(self) -> Path:
        """Where the executed copy goes."""
        return executed(self.edition) / f"{self.page}{SUFFIX}"

    @property
    def command(self) -> str:
        """The command that makes this page."""
        given = "".join(f" -p {n}={v}" for n, v in self.variant.items())
        source = self.chosen.get("source")
        given += f" --source {source}" if source else ""
        return f"bertstudy run {self.notebook.name} --edition {self.edition}{given}"

    def label(self) -> str:
        """Short name for a progress line."""
        given = " ".join(f"{n}={v}" for n, v in self.variant.items())
        return f"{self.notebook.name} {given}".strip()


def folder(edition: str) -> Path:
    """Everything generated for one edition."""
    return paths.build() / edition


def executed(edition: str) -> Path:
    """Executed notebooks of one edition, laid out as ``notebooks/``."""
    return folder(edition) / "notebooks"


# --- finding notebooks


def names() -> list[str]:
    """All notebooks of the project, sorted.

    Raises:
        BertstudyError: there are none.
    """
    top = paths.root() / "notebooks"
    every = (path.relative_to(top) for path in top.rglob(f"*{SUFFIX}"))
    found = sorted(
        path.with_suffix("").as_posix()
        for path in every
        if not any(part.startswith(".") for part in path.parts)
    )
    if not found:
        raise BertstudyError(f"no notebooks in {top}")
    return found


def _matches(wanted: str, every: Sequence[str]) -> list[str]:
    """Notebooks meant by ``wanted``: a name, a section ("secrets/4-6"), a paper, or a path."""
    short = wanted.removesuffix(SUFFIX).removeprefix("./").removeprefix("notebooks/").rstrip("/-")
    found = [n for n in every if n == short or n.startswith((f"{short}-", f"{short}/"))]
    if found:
        return found
    sections = {"-".join(n.split("-")[:2]) for n in every}
    close = difflib.get_close_matches(short, [*every, *sorted(sections)], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(every)}"
    raise BertstudyError(f"no notebook {wanted!r}: {hint}")


def read(name: str) -> Notebook:
    """The notebook with its parameters' defaults.

    Raises:
        BertstudyError: it cannot be read, has no parameters cell, or a default is no literal.
    """
    import papermill  # takes most of a second

    path = paths.root() / "notebooks" / f"{name}{SUFFIX}"
    try:
        inferred = papermill.inspect_notebook(str(path))
    except Exception as error:  # nbformat, JSON and papermill each have their own kinds
        raise BertstudyError(f"{name}: not a readable notebook ({_first_line(error)})") from error
    defaults = {n: _literal(name, n, str(p["default"])) for n, p in inferred.items()}
    if "edition" not in defaults:
        raise BertstudyError(f"{name}: its cell tagged 'parameters' must set edition")
    return Notebook(name, path, defaults)


def _literal(notebook: str, name: str, text: str) -> Value:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    if not isinstance(value, int | float | str | bool):
        raise BertstudyError(f"{notebook}: parameter {name} = {text} must be a number or text")
    return value


def _first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# --- parameters


def _convert(name: str, text: str, default: Value) -> Value:
    """``text`` as the type of ``default``."""
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        value = kind(text)
    except (ValueError, KeyError):
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise BertstudyError(f"parameter {name}={text}: expected {wanted}, as in {name}={default}")
    return value


def _settings(pairs: Iterable[str]) -> dict[str, list[str]]:
    """``name=value`` texts by name; a name given twice stands for both values."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name.isidentifier():
            raise BertstudyError(f"parameter {pair!r}: write it as name=value")
        if name in ("edition", "source"):
            raise BertstudyError(f"parameter {name}: use --{name} {text}")
        if text not in found.setdefault(name, []):
            found[name].append(text)
    return found


def _choices(notebook: Notebook, settings: Mapping[str, list[str]]) -> dict[str, list[Value]]:
    """The values of each parameter given, typed and checked against the notebook."""
    unknown = [name for name in settings if name not in notebook.defaults]
    if unknown:
        allowed = [n for n in notebook.defaults if n != "edition"]
        raise BertstudyError(
            f"{notebook.name} has no parameter {unknown[0]}: it has {', '.join(allowed) or 'none'}"
        )
    return {
        name: [_convert(name, text, notebook.defaults[name]) for text in texts]
        for name, texts in settings.items()
    }


def plan(
    wanted: Sequence[str] = (),
    edition: str = "mini",
    source: str = "",
    pairs: Iterable[str] = (),
) -> list[Run]:
    """The runs these words stand for: notebooks times parameter values.

    Args:
        wanted: names or beginnings of names; none means every notebook.
        source: where data comes from; empty leaves it to the edition.
        pairs: ``name=value``; a name given twice makes a run for each value.

    Raises:
        BertstudyError: an unknown notebook or parameter, or a value of another type.
    """
    every = names()
    found = dict.fromkeys(n for w in wanted for n in _matches(w, every)) if wanted else every
    settings = _settings(pairs) | ({"source": [source]} if source else {})
    runs = []
    for notebook in map(read, found):
        choices = _choices(notebook, settings)
        for values in itertools.product(*choices.values()):
            given = dict(zip(choices, values, strict=True))
            parameters = {**notebook.defaults, "edition": edition, **given}
            runs.append(Run(notebook, edition, parameters))
    return runs


def check(runs: Iterable[Run]) -> None:
    """Let the study refuse tasks, heads, layers and data it does not have, before any work.

    Only for notebooks that open a study: another's parameters may mean anything.

    Raises:
        BertstudyError: from the study, its message led by the notebook's name.
    """
    for run in runs:
        opening = [text for _, text, _ in _cells(run.notebook.path) if "bertstudy.open(" in text]
        if not opening:
            continue
        from bertstudy import study  # brings torch, so only once there is something to check

        try:
            study.check(dict(run.parameters), any_kind="any_kind=True" in opening[0])
        except BertstudyError as error:
            raise BertstudyError(f"{run.notebook.name}: {error}") from error


# --- what a page depends on


def tree_digest(folder: Path) -> str:
    """One hash for the names and contents of the files below ``folder``; "" if it has none."""
    hashes = file_hashes(folder)
    return key(hashes) if hashes else ""


@functools.cache
def _package_digest(edition: str) -> str:
    """Hash of the code a result can depend on and of the edition's own checkpoint."""
    own = f"checkpoints/{edition}/"
    hashes = {
        name: digest
        for name, digest in file_hashes(Path(__file__).parent).items()
        if name not in NOT_IN_RESULTS
        and "__pycache__" not in name
        and (name.startswith(own) or not name.startswith("checkpoints/"))
    }
    return key(hashes)


def _cells(path: Path) -> list[tuple[str, str, list[str]]]:
    """Kind, source and tags of each cell."""
    cells = json.loads(path.read_text())["cells"]
    return [(c["cell_type"], "".join(c["source"]), c["metadata"].get("tags", [])) for c in cells]


def source_digest(path: Path) -> str:
    """Hash of a notebook's cells and their tags; outputs and ids do not count."""
    return hashlib.sha256(json.dumps(_cells(path)).encode()).hexdigest()


def digest(run: Run) -> str:
    """Hash of everything the executed page depends on."""
    source = str(run.parameters.get("source", ""))
    is_folder = bool(source) and Path(source).is_dir()
    parameters = {n: repr(v) for n, v in run.parameters.items() if n != "source"}
    return key(
        {
            "notebook": source_digest(run.notebook.path),
            "parameters": parameters,
            "source": str(Path(source).resolve()) if is_folder else source,
            "package": _package_digest(run.edition),
            "shipped": tree_digest(paths.root() / "results" / run.edition),
            "libraries": versions(LIBRARIES) | {"python": platform.python_version()},
        }
    )


# --- the manifest: what has been done


@dataclass(frozen=True)
class Done:
    """The manifest's line for one page.

    Attributes:
        digest: of what the page depended on when it was made.
        sha256: of the executed notebook.
        seconds: wall time.
    """

    notebook: str
    parameters: Parameters
    digest: str
    sha256: str
    seconds: float
    utc: str


def manifest_path(edition: str) -> Path:
    """The manifest of one edition."""
    return folder(edition) / "manifest.json"


def manifest(edition: str) -> dict[str, Done]:
    """Pages done, by page name. A damaged manifest counts as empty: pages are made again."""
    try:
        body = json.loads(manifest_path(edition).read_text())
        return {page: Done(**line) for page, line in body.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        return {}


def note(run: Run, done: Done | None) -> None:
    """Write a page's line, or remove it; safe beside other processes."""
    path = manifest_path(run.edition)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        lines = {page: vars(line) for page, line in manifest(run.edition).items()}
        lines.pop(run.page, None)
        if done is not None:
            lines[run.page] = vars(done)
        write_text(path, json.dumps(lines, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write beside the target and rename, so that nobody reads half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.replace(temporary, path)


def state(run: Run) -> str:
    """ "current", "stale" (something it depends on changed, or it was damaged) or "missing"."""
    line = manifest(run.edition).get(run.page)
    if line is None or not run.output.is_file():
        return "missing"
    whole = hashlib.sha256(run.output.read_bytes()).hexdigest() == line.sha256
    return "current" if whole and line.digest == digest(run) else "stale"
