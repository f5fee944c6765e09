"""Build the book from executed notebooks; nothing is executed here.

``book/`` and the executed copies are staged side by side under ``build/<edition>/stage``, laid
out as in the repository, so that links between pages hold in both. jupyter-book turns the
stage into a site, with every warning an error; the site replaces the old one only when it is
complete and asks no other host for anything.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import yaml
from filelock import FileLock

from bertstudy import paths, plan
from bertstudy.errors import BertstudyError
from bertstudy.plan import Run
from bertstudy.store import versions

BUILDERS = (
    *("jupyter-book", "Sphinx", "myst-nb", "myst-parser", "sphinx-book-theme"),
    *("pydata-sphinx-theme", "sphinx_external_toc", "sphinxcontrib-bibtex", "sphinxcontrib-katex"),
)
# A plain installation leaves these out; they bring the rest.
OPTIONAL = ("jupyter-book", "sphinxcontrib-bibtex", "sphinxcontrib-katex")
JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
# A chapter's list of its pages.
PAGES_BELOW = re.compile(r"^```\{tableofcontents\}\n```\n?", re.MULTILINE)
# A definition of an equation's or a section's label: "$$ (name)" and "(name)=" on their lines.
LABEL = re.compile(r"^(?:\$\$ *\(([\w:.-]+)\)|\(([\w:.-]+)\)=)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Built:
    """A finished site.

    Attributes:
        index: the page to open.
        pages: executed notebooks in it.
        left_out: a line for each notebook or page that is not in it, and why.
        reused: nothing had changed, so nothing was built.
    """

    index: Path
    pages: int
    left_out: list[str]
    reused: bool


# --- which pages there are


def _variants(edition: str) -> dict[str, list[Run]]:
    """Runs in the manifest with parameters of their own, by notebook."""
    known = set(plan.names())
    found: dict[str, list[Run]] = {}
    for done in plan.manifest(edition).values():
        if done.notebook not in known:
            continue
        notebook = plan.read(done.notebook)
        run = Run(notebook, edition, done.parameters)
        if run.parameters.keys() == notebook.defaults.keys() and run.variant:
            found.setdefault(notebook.name, []).append(run)
    return found


def _own(name: str, edition: str) -> Run:
    """The edition's own page of a notebook, with the source it was run with, if it was."""
    notebook = plan.read(name)
    done = plan.manifest(edition).get(name)
    source = done.parameters.get("source", "") if done else ""
    given = {"source": source} if "source" in notebook.defaults and source else {}
    return Run(notebook, edition, {**notebook.defaults, "edition": edition, **given})


def _pages(edition: str, whole: bool) -> tuple[dict[str, list[Run]], list[str]]:
    """The pages of each notebook, the edition's own first, and lines on what is left out.

    Raises:
        BertstudyError: an own page is stale, or missing from a whole book.
    """
    variants = _variants(edition)
    pages: dict[str, list[Run]] = {}
    left_out = []
    for name in plan.names():
        own = _own(name, edition)
        state = plan.state(own)
        if state == "stale" or (state == "missing" and whole):
            raise BertstudyError(f"{name} is {state} for edition {edition}: {own.command}")
        pages[name] = [own] if state == "current" else []
        for run in variants.get(name, []):
            if plan.state(run) == "current":
                pages[name].append(run)
            else:
                left_out.append(f"left out, {plan.state(run)}: {run.command}")
        if not pages[name] and name not in variants:
            left_out.append(f"left out, not run: {own.command}")
    if not any(pages.values()):
        raise BertstudyError(f"no page of edition {edition} is current: {left_out[0]}")
    return pages, left_out


# --- the table of contents


def _titled(run: Run) -> str:
    given = ", ".join(f"{n} = {v}" for n, v in run.variant.items())
    cells = nbformat.read(run.notebook.path, as_version=4).cells
    heading = re.search(r"^# +(.+?) *$", "\n".join(c.source for c in cells), re.MULTILINE)
    return f"{heading[1] if heading else run.notebook.name} ({given})"


def _entries(entry: dict[str, Any], pages: Mapping[str, list[Run]]) -> Iterator[dict[str, Any]]:
    """A contents entry with its notebooks replaced by their pages, variants below the own."""
    entry = {
        name: [e for item in value for e in _entries(item, pages)]
        if name in ("parts", "chapters", "sections")
        else value
        for name, value in entry.items()
    }
    entry = {name: value for name, value in entry.items() if value != []}
    file = str(entry.get("file", ""))
    if not file.startswith("notebooks/"):
        yield entry
        return
    name = file.removeprefix("notebooks/").removesuffix(plan.SUFFIX)
    if name not in pages:
        raise BertstudyError(f"book/_toc.yml names {file}, which is not there")
    runs = pages[name]
    variants = [{"file": f"notebooks/{r.page}", "title": _titled(r)} for r in runs if r.variant]
    if any(not run.variant for run in runs):
        sections = [*entry.get("sections", []), *variants]
        yield entry | ({"sections": sections} if sections else {})
    else:
        yield from variants


def _contents(pages: Mapping[str, list[Run]]) -> dict[str, Any]:
    """``book/_toc.yml`` for these pages.

    Raises:
        BertstudyError: it names a notebook that is not there, or leaves one out.
    """
    text = (paths.root() / "book" / "_toc.yml").read_text()
    for name in pages:
        if not re.search(rf"file: *notebooks/{re.escape(name)}(\.ipynb)?\s*$", text, re.MULTILINE):
            raise BertstudyError(f"notebooks/{name}.ipynb has no place in book/_toc.yml")
    (contents,) = _entries(yaml.safe_load(text), pages)
    return contents


def _childless(entry: Mapping[str, Any]) -> Iterator[str]:
    """Files of contents entries that have nothing below them."""
    below = [e for name in ("parts", "chapters", "sections") for e in entry.get(name, [])]
    if not below and "file" in entry:
        yield entry["file"]
    for child in below:
        yield from _childless(child)


# --- the stage


def _own_labels(cells: list[nbformat.NotebookNode], suffix: str) -> None:
    """Give labels a suffix, here and where the page refers to them: two pages cannot share one."""
    markdown = [cell for cell in cells if cell.cell_type == "markdown"]
    labels = {a or b for cell in markdown for a, b in LABEL.findall(cell.source)}
    for label in labels:
        whole = re.compile(rf"(?<![\w:.-]){re.escape(label)}(?![\w:.-])")
        for cell in markdown:
            cell.source = whole.sub(f"{label}--{suffix}", cell.source)


def _tag(cell: nbformat.NotebookNode, tag: str) -> None:
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), tag]


def _stage_notebook(run: Run, stage: Path) -> None:
    """The executed copy as a page: the parameters it ran with, and a line that offers it."""
    notebook = nbformat.read(run.output, as_version=4)
    tags = {tag: c for c in notebook.cells for tag in c.metadata.get("tags", [])}
    if injected := tags.get("injected-parameters"):
        # On a page of its own parameters these are what counts; else they say nothing new.
        _tag(tags["parameters"] if run.variant else injected, "remove-cell")
    if run.variant:
        _own_labels(notebook.cells, run.page.rpartition("/")[2])
    offer = (
        "{.notebook-offer}\n"
        f"{{download}}`Download this notebook </downloads/{run.notebook.name}.ipynb>` "
        f"or run it: `{run.command}`"
    )
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(offer, id="notebook-offer"))
    target = stage / "notebooks" / f"{run.page}{plan.SUFFIX}"
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    download = stage / "downloads" / f"{run.notebook.name}{plan.SUFFIX}"
    download.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.notebook.path, download)


def _stage(stage: Path, edition: str, pages: Mapping[str, list[Run]]) -> None:
    """Lay out everything the site is made of."""
    contents = _contents(pages)
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(paths.root() / "book", stage / "book", ignore=shutil.ignore_patterns("_toc*"))
    config = yaml.safe_load((paths.root() / "_config.yml").read_text())
    config["title"] += f" ({edition})"
    for name in _childless(contents):  # a list of pages that are left out would be an error
        page = stage / f"{name}.md"
        if page.is_file():
            page.write_text(PAGES_BELOW.sub("", page.read_text()))
    for name, content in (("_config.yml", config), ("_toc.yml", contents)):
        (stage / name).write_text(yaml.safe_dump(content, sort_keys=False))
    for runs in pages.values():
        for run in runs:
            _stage_notebook(run, stage)


# --- the site


def _jupyter_book(stage: Path, out: Path, log: Path) -> None:
    """Build ``stage`` into ``out/_build/html``, every warning an error."""
    shutil.rmtree(out, ignore_errors=True)
    options = ["--config", "_config.yml", "--toc", "_toc.yml", "--path-output", str(out)]
    command = [*JUPYTER_BOOK, "build", ".", *options, "-n", "-W", "--keep-going"]
    with log.open("w") as file:
        env = dict(os.environ) | {"NO_COLOR": "1", "PYTHONWARNINGS": "default"}
        done = subprocess.run(
            command, cwd=stage, stdout=file, stderr=subprocess.STDOUT, env=env, check=False
        )
    if done.returncode:
        raise BertstudyError(f"the book does not build: {_first_trouble(log, stage)} (all: {log})")


def _first_trouble(log: Path, stage: Path) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text()).splitlines()
    lines = [line.strip().replace(f"{stage}/", "") for line in lines if line.strip()]
    for line in lines:
        if re.search(r"\b(WARNING|ERROR|CRITICAL|[A-Za-z]+Error)\b", line):
            return line
    return lines[-1] if lines else "it printed nothing"


LOADS = {"src", "srcset", "poster", "data", "href"}
ELSEWHERE = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
STYLE_LOAD = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)
SCRIPT_LOAD = re.compile(r"(?:\bfrom|\bimport)\s*\(?\s*[\"']((?:https?:)?//[^\"']+)")


class _Loads(HTMLParser):
    """Collects what a page would ask another host for; links a reader may follow do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        given = {name: value or "" for name, value in attrs}
        self.found += STYLE_LOAD.findall(given.get("style", ""))
        if tag == "a" or given.get("rel") in ("canonical", "license", "author"):
            return
        self.found += [v for n, v in given.items() if n in LOADS and ELSEWHERE.match(v)]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        pattern = {"style": STYLE_LOAD, "script": SCRIPT_LOAD}.get(self._inside)
        self.found += pattern.findall(data) if pattern else []


def foreign_requests(site: Path) -> list[str]:
    """ "page: address" for each script, style, font or picture taken from another host."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            loads = _Loads()
            loads.feed(path.read_text())
            addresses = loads.found
        elif path.suffix == ".css":
            addresses = STYLE_LOAD.findall(path.read_text())
        else:
            continue
        found += [f"{path.relative_to(site)}: {address}" for address in addresses]
    return found


def _reusable(note: Path, site: Path, digest: str) -> bool:
    """Whether the site was built from this stage and is as it was then."""
    try:
        last = json.loads(note.read_text())
    except (OSError, ValueError):
        return False
    return last == {"stage": digest, "site": plan.tree_digest(site)}


def _look_for_builders() -> None:
    found = versions(OPTIONAL)
    if absent := [name for name in OPTIONAL if name not in found]:
        names = ", ".join(absent)
        raise BertstudyError(f"not installed: {names}; run pip install -r requirements.txt")


def build(edition: str = "mini", whole: bool = True) -> Built:
    """The site of one edition, built anew only if something in it changed.

    Args:
        whole: every notebook must have been executed; otherwise those that were not are left
            out and named.

    Raises:
        BertstudyError: a builder is not installed, a page is missing or stale, jupyter-book
            warns, or the site would ask another host for something. The old site then stays
            as it was.
    """
    _look_for_builders()
    folder = plan.folder(edition)
    folder.mkdir(parents=True, exist_ok=True)
    site, stage, note = folder / "html", folder / "stage", folder / "book.json"
    with FileLock(folder / "book.lock"):
        paths.put_back(site)
        pages, left_out = _pages(edition, whole)
        _stage(stage, edition, pages)
        digest = plan.key({"stage": plan.tree_digest(stage), "builders": versions(BUILDERS)})
        built = Built(site / "index.html", sum(map(len, pages.values())), left_out, reused=False)
        if _reusable(note, site, digest):
            return Built(built.index, built.pages, left_out, reused=True)
        out = folder / "sphinx"
        _jupyter_book(stage, out, folder / "book.log")
        new = out / "_build" / "html"
        if found := foreign_requests(new):
            raise BertstudyError(f"the book would load from another host: {found[0]}")
        paths.replace_folder(site, new)
        shutil.rmtree(out)
        paths.write_text(note, json.dumps({"stage": digest, "site": plan.tree_digest(site)}))
    return built
