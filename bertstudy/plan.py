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
import platform
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bertstudy import paths
from bertstudy.errors import BertstudyError
from bertstudy.store import JSON, file_hashes, key, versions

Value = int | float | str | bool
Parameters = dict[str, Value]

LIBRARIES = (
    *("torch", "transformers", "datasets", "numpy", "scipy", "scikit-learn", "pandas"),
    *("matplotlib", "seaborn", "ipykernel", "anywidget", "ipywidgets", "papermill"),
)
# These run notebooks and build pages; no result depends on them.
NOT_IN_RESULTS = {
    "__main__.py",
    "cli.py",
    "doctor.py",
    "plan.py",
    "batch.py",
    "cluster.py",
    "book.py",
    "verify.py",
}
SUFFIX = ".ipynb"
LONGEST = 100  # characters of a page's name that tell its parameters: a file's name has its limits


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
        told = "--".join(safe)
        if safe != given or len(told) > LONGEST:  # what is lost must still make a difference
            told = f"{told[:LONGEST]}--{key(self.variant)[:6]}"
        return f"{self.notebook.name}--{told}" if told else self.notebook.name

    @property
    def output(self) -> Path:
        """Where the executed copy goes."""
        return executed(self.edition) / f"{self.page}{SUFFIX}"

    @property
    def command(self) -> str:
        """The command that makes this page."""
        words = ["bertstudy", "run", self.notebook.name, "--edition", self.edition]
        words += [word for n, v in self.variant.items() for word in ("-p", f"{n}={v}")]
        if source := self.chosen.get("source"):
            words += ["--source", str(source)]
        return shlex.join(words)

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
        BertstudyError: it cannot be read, has not one parameters cell, or that sets anything but
            different names to numbers and texts, the edition among them.
    """
    path = paths.root() / "notebooks" / f"{name}{SUFFIX}"
    try:
        cells = _cells(path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BertstudyError(f"{name}: not a readable notebook ({_first_line(error)})") from error
    if any("injected-parameters" in tags for _, _, tags in cells):
        raise BertstudyError(f"{name}: has a cell tagged 'injected-parameters': an executed copy")
    tagged = [(kind, text) for kind, text, tags in cells if "parameters" in tags]
    if [kind for kind, _ in tagged] != ["code"]:
        found = " and ".join(f"a {kind} cell" for kind, _ in tagged) or "none"
        raise BertstudyError(f"{name}: one code cell must be tagged 'parameters'; it has {found}")
    try:
        defaults = _defaults(tagged[0][1])
    except BertstudyError as error:
        raise BertstudyError(f"{name}: {error}") from error
    if not isinstance(defaults.get("edition"), str):
        raise BertstudyError(f"{name}: its cell tagged 'parameters' must set edition to a text")
    return Notebook(name, path, defaults)


NO_LITERAL = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)  # `ast` on any text


def _defaults(code: str) -> Parameters:
    """What a parameters cell sets. Papermill's own reader skips what it does not understand.

    Raises:
        BertstudyError: it does anything else.
    """
    try:
        statements = ast.parse(code).body
    except NO_LITERAL as error:
        raise BertstudyError(f"its parameters cell is not Python ({_first_line(error)})") from error
    found: Parameters = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value, text = statement.value, ast.get_source_segment(code, statement)
            case _:
                text = ast.get_source_segment(code, statement)
                raise BertstudyError(f"its parameters cell has {text!r}: allowed is name = literal")
        if name in found:
            raise BertstudyError(f"its parameters cell sets {name} twice")
        found[name] = _literal(value, text)
    return found


def _literal(value: ast.expr | None, text: str | None) -> Value:
    try:
        found = ast.literal_eval(value) if value else None
    except NO_LITERAL:
        found = None
    if not isinstance(found, int | float | str) or found in (math.inf, -math.inf):
        raise BertstudyError(f"parameter {text} must be a number or text")
    return found


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
        if not sign or not name.isidentifier() or not text.isprintable():
            raise BertstudyError(f"parameter {pair!r}: write it as name=value, on one line")
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
    return {  # 1 and 01 are one value
        name: list(dict.fromkeys(_convert(name, text, notebook.defaults[name]) for text in texts))
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
            # All of it: a page may show what another edition has on record.
            "shipped": tree_digest(paths.root() / "results"),
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
    """Pages done, by page name. Without a line that is damaged: its page is made again."""
    try:
        lines = json.loads(manifest_path(edition).read_bytes()).items()
    except (FileNotFoundError, ValueError, AttributeError, RecursionError):
        return {}
    read = {page: _done(page, line) for page, line in lines}
    return {page: done for page, done in read.items() if done}


def _done(page: str, line: JSON) -> Done | None:
    """A line of the manifest; None if it is not what was written."""
    try:
        body = {name: value for name, value in line.items() if name != "checksum"}
        return Done(**body) if line["checksum"] == _checksum(page, body) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _checksum(page: str, body: JSON) -> str:
    return key({"page": page, **body})


def note(run: Run, done: Done | None) -> None:
    """Write a page's line, or remove it; safe beside other processes."""
    path = manifest_path(run.edition)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        lines = manifest(run.edition) | {run.page: done}
        body = {
            page: vars(line) | {"checksum": _checksum(page, vars(line))}
            for page, line in lines.items()
            if line is not None
        }
        paths.sweep(path)
        paths.write_text(path, json.dumps(body, indent=1, sort_keys=True) + "\n")


def state(run: Run) -> str:
    """ "current", "stale" (something it depends on changed, or it was damaged) or "missing"."""
    line = manifest(run.edition).get(run.page)
    if line is None or not run.output.is_file():
        return "missing"
    whole = hashlib.sha256(run.output.read_bytes()).hexdigest() == line.sha256
    return "current" if whole and line.digest == digest(run) else "stale"
