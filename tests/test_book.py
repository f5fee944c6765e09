"""The book: whole or not at all, rebuilt only when needed, and nothing from another host."""

import hashlib
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from test_batch import write_notebook

from bertstudy import batch, book, paths, plan
from bertstudy.errors import BertstudyError

PROJECT = Path(__file__).parents[1]
TOC = """
format: jb-book
root: book/intro
chapters:
  - file: book/secrets
    sections:
      - file: notebooks/secrets/4-6-disabling-heads
"""
INTRO = "# Intro\n\nAs {cite:t}`someone` says, $a_b = 1$.\n\n```{bibliography}\n```\n"
BIB = "@misc{someone, title={A title}, author={One, Some}, year={2020}}\n"
EQUATION = (
    "The mean is\n\n$$ \\frac{a}{b}\n$$ (eq:mean)\n\nas {eq}`eq:mean` says; eq:meaning is another."
)
NAME = "secrets/4-6-disabling-heads"


class Silent:
    def started(self, run, cells): ...
    def cell(self, run): ...
    def finished(self, outcome): ...


def pretend(*pairs: str) -> plan.Run:
    """A page that looks executed; a kernel takes seconds."""
    (wanted,) = plan.plan(pairs=pairs)
    shutil.copy(wanted.notebook.path, wanted.output)
    digest, parameters = plan.digest(wanted), dict(wanted.parameters)
    sha256 = hashlib.sha256(wanted.output.read_bytes()).hexdigest()
    plan.note(wanted, plan.Done(NAME, parameters, digest, sha256, 1.0, ""))
    return wanted


def words(html: str) -> str:
    """The page without its tags."""
    return re.sub(r"<[^>]*>", "", html)


def run(*pairs: str, edition: str = "mini") -> list[batch.Outcome]:
    outcomes = batch.execute(plan.plan(edition=edition, pairs=pairs), Silent())
    assert all(outcome.status in ("done", "up to date") for outcome in outcomes)
    return outcomes


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A project with one notebook, executed for two editions and with other parameters."""
    home = tmp_path_factory.mktemp("project")
    shutil.copy(PROJECT / "_config.yml", home)
    shutil.copytree(PROJECT / "book" / "style", home / "book" / "style")
    (home / "book" / "_toc.yml").write_text(TOC)
    (home / "book" / "intro.md").write_text(INTRO)
    (home / "book" / "secrets.md").write_text("# Secrets\n\nA chapter.\n")
    (home / "book" / "references.bib").write_text(BIB)
    path = write_notebook(home, NAME, "print('task', task)")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell(EQUATION))
    nbformat.write(notebook, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.HOME_VARIABLE, str(home))
        run()
        run("task=rte", "task=sst2", edition="small")
    return home


@pytest.fixture(scope="module")
def built(executed):
    """The sites of both editions: the whole mini book and a part of small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.HOME_VARIABLE, str(executed))
        return book.build("mini"), book.build("small", whole=False)


@pytest.fixture
def project(executed, tmp_path, monkeypatch):
    """A copy that a test may change."""
    home = tmp_path / "copy"
    shutil.copytree(executed, home)
    monkeypatch.setenv(paths.HOME_VARIABLE, str(home))
    return home


@pytest.fixture
def no_sphinx(monkeypatch):
    """Building would fail the test."""

    def refuse(*_):
        raise AssertionError("built")

    monkeypatch.setattr(book, "_jupyter_book", refuse)


def test_site_has_the_page_with_its_output(built):
    mini, _ = built
    html = (mini.index.parent / "notebooks" / f"{NAME}.html").read_text()
    assert (mini.pages, mini.left_out, mini.reused) == (1, [], False)
    assert "task all" in html
    assert mini.index.is_file()


def test_notebook_is_offered_from_the_site_itself(built):
    page = built[0].index.parent / "notebooks" / f"{NAME}.html"
    (link,) = re.findall(r'href="([^"]*_downloads[^"]*)"', page.read_text())
    offered = nbformat.read(page.parent / link, as_version=4)
    assert not any(cell.get("outputs") for cell in offered.cells)
    assert f"bertstudy run {NAME} --edition mini" in words(page.read_text())
    assert '<p class="notebook-offer">' in page.read_text()


def test_pages_of_other_parameters_stand_side_by_side(built):
    _, small = built
    site = small.index.parent / "notebooks" / "secrets"
    pages = {path.stem.partition("--")[2]: path.read_text() for path in site.glob("*.html")}
    assert pages.keys() == {"task-rte", "task-sst2"}
    assert small.pages == 2
    for task in ("rte", "sst2"):
        html = pages[f"task-{task}"]
        assert f"task {task}" in html
        assert f"--edition small -p task={task}" in words(html)
        assert f"(task = {task})" in html, "the contents tell them apart"
        assert "injected" not in re.sub(r"tag_injected-parameters", "", html)
        assert "fewer examples" not in html, "the defaults' cell would be misleading"
        assert f'id="equation-eq-mean-4-6-disabling-heads-task-{task}"' in html


def test_site_loads_nothing_from_another_host(built):
    for site in built:
        assert book.foreign_requests(site.index.parent) == []
        html = (site.index.parent / "book" / "intro.html").read_text()
        assert "unpkg" not in html


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_quiet_in_a_browser(built, browser, scheme):
    context = browser.new_context(color_scheme=scheme)
    tab = context.new_page()
    requests, errors = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    tab.goto((built[0].index.parent / "notebooks" / f"{NAME}.html").as_uri())
    tab.wait_for_selector("math mfrac", state="attached")

    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []
    context.close()


def test_second_build_reuses_the_first(built, project, no_sphinx):
    assert book.build("mini").reused


@pytest.mark.parametrize("change", ["prose", "style", "damage"])
def test_a_change_or_damage_rebuilds(built, project, no_sphinx, change):
    if change == "prose":
        (project / "book" / "intro.md").write_text(INTRO + "\nMore.\n")
    elif change == "style":
        (project / "book" / "style" / "bertstudy.css").write_text("body {}")
    else:
        (project / "build" / "mini" / "html" / "book" / "intro.html").write_text("")
    with pytest.raises(AssertionError, match="built"):
        book.build("mini")


def test_absent_builders_are_named_before_any_work(project, no_sphinx, monkeypatch):
    monkeypatch.setattr(book, "versions", lambda _: {"sphinxcontrib-bibtex": "2.7.0"})
    monkeypatch.setattr(book, "_stage", lambda *_: pytest.fail("staged"))
    message = "^not installed: jupyter-book, sphinxcontrib-katex; run pip install -r"
    with pytest.raises(BertstudyError, match=message):
        book.build("mini")


def test_missing_page_fails_in_one_line(project, no_sphinx):
    (project / "build" / "mini" / "notebooks" / f"{NAME}.ipynb").unlink()
    message = f"{NAME} is missing for edition mini: bertstudy run {NAME} --edition mini"
    with pytest.raises(BertstudyError, match=f"^{message}$"):
        book.build("mini")


def test_stale_page_fails_also_in_part_of_a_book(project, no_sphinx):
    write_notebook(project, NAME, "print('other')")
    with pytest.raises(BertstudyError, match="is stale for edition mini"):
        book.build("mini", whole=False)


def test_stale_page_of_other_parameters_is_left_out_and_named(project, no_sphinx):
    pretend("task=rte")
    write_notebook(project, NAME, "print('other')")
    pretend()
    pages, left_out = book._pages("mini", whole=True)
    assert [len(runs) for runs in pages.values()] == [1]
    assert left_out == [f"left out, stale: bertstudy run {NAME} --edition mini -p task=rte"]


def test_edition_without_any_page_fails(project, no_sphinx):
    with pytest.raises(BertstudyError, match=r"no page of edition base is current.*bertstudy run"):
        book.build("base", whole=False)


def test_notebook_without_a_place_in_the_contents_fails(project, no_sphinx):
    toc = project / "book" / "_toc.yml"
    toc.write_text(toc.read_text().replace("4-6-disabling-heads", "4-7-gone"))
    with pytest.raises(BertstudyError, match=r"has no place in book/_toc\.yml"):
        book.build("mini")
    toc.write_text(TOC + "      - file: notebooks/secrets/4-7-gone\n")
    with pytest.raises(BertstudyError, match=r"names notebooks/secrets/4-7-gone"):
        book.build("mini")


def test_variants_hang_below_the_own_page(project):
    pretend("task=rte")
    pages, _ = book._pages("mini", whole=True)
    (chapter,) = book._contents(pages)["chapters"]
    (section,) = chapter["sections"]
    assert section["file"] == f"notebooks/{NAME}"
    assert section["sections"] == [
        {"file": f"notebooks/{NAME}--task-rte", "title": f"{NAME} (task = rte)"}
    ]


def test_warning_fails_the_build_and_keeps_the_old_site(built, project):
    before = plan.tree_digest(project / "build" / "mini" / "html")
    (project / "book" / "intro.md").write_text(INTRO + "\nSee {doc}`nowhere`.\n")
    with pytest.raises(
        BertstudyError, match=r"does not build: book/intro.md:\d+: WARNING.*nowhere"
    ):
        book.build("mini")
    assert plan.tree_digest(project / "build" / "mini" / "html") == before


FOREIGN = {
    "script": '<script src="https://cdn.example/x.js"></script>',
    "protocol-relative": '<img src="//cdn.example/x.png">',
    "style sheet": '<link rel="stylesheet" href="http://cdn.example/x.css">',
    "inline style": '<p style="background: url(https://cdn.example/x)">',
    "style element": '<style>@import "https://cdn.example/x.css";</style>',
    "module": '<script type="module">import x from "https://cdn.example/x.js";</script>',
    "dynamic import": "<script>await import('https://cdn.example/x.js')</script>",
    "frame": '<iframe src="https://cdn.example/"></iframe>',
}


@pytest.mark.parametrize("html", FOREIGN.values(), ids=FOREIGN)
def test_foreign_requests_are_found(tmp_path, html):
    (tmp_path / "page.html").write_text(f"<html><body>{html}</body></html>")
    (found,) = book.foreign_requests(tmp_path)
    assert found.startswith("page.html: ")
    assert "cdn.example" in found


def test_links_and_local_files_are_no_foreign_requests(tmp_path):
    local = '<a href="https://example.org">x</a><img src="data:image/png;base64,//8=">'
    (tmp_path / "page.html").write_text(
        local + "<script>let text = 'from https://example.org';</script>"
    )
    (tmp_path / "page.css").write_text("/* https://example.org */ p { background: url(x.png) }")
    assert book.foreign_requests(tmp_path) == []
    (tmp_path / "page.css").write_text("@font-face { src: url('https://example.org/font.woff') }")
    assert book.foreign_requests(tmp_path) == ["page.css: https://example.org/font.woff"]
