"""The command line: ``bertstudy run | build | verify | pretrain | submit | doctor``.

Only light modules are imported at the top, so that ``--help`` answers at once.
"""

import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from bertstudy.errors import BertstudyError

LOG_WIDTH = 160  # columns of a table that goes to a file
UsageError: type[Exception] = typer.BadParameter.__base__  # every mistake in options is one


@contextmanager
def _one_line() -> Iterator[None]:
    """Turns what the user can mend into one line and status 2."""
    try:
        yield
        return
    except BertstudyError as error:
        message, status = str(error), 2
    except UsageError as error:
        message, status = error.format_message(), 2
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "bertstudy":  # our own mistake
            raise
        message, status = f"{error.name} is not installed: pip install -r requirements.txt", 2
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except OSError as error:  # a full disk, a file where a folder should be, no permission
        where = f"{error.filename}: " if error.filename else ""
        message, status = f"{where}{error.strerror or error}", 1
    except KeyboardInterrupt:
        message, status = "stopped; nothing is half-written, the same command carries on", 130
    line = " ".join(message.split())
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print("bertstudy:", shown, file=sys.stderr)
    raise typer.Exit(status)


def _refuse_out(out: Path) -> None:
    """Refuse a folder that cannot be made, before the hours of work that fill it."""
    there = next(folder for folder in (out, *out.parents) if folder.exists())
    if not there.is_dir():
        raise BertstudyError(f"--out {out}: {there} is not a folder")
    if not os.access(there, os.W_OK):
        raise BertstudyError(f"--out {out}: {there} is not writable for you")


class _Commands(TyperGroup):
    """The commands, with one line for every mistake."""

    def make_context(
        self, info_name: str | None, args: list[str], *rest: Any, **extra: Any
    ) -> typer.Context:
        # The group's own options are read here. No words at all ask for help, which has many lines.
        with _one_line() if args else nullcontext():
            return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: typer.Context) -> Any:
        with _one_line():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="An executable book about BERT's self-attention.",
)

Edition = Annotated[str, typer.Option(help="Scale: mini, small, base or large.")]
Source = Annotated[
    str, typer.Option(help="Data: 'synthetic', 'hub' or a folder laid out like the hub.")
]


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)


class _Lines:
    """Progress for a log: a line when a notebook begins and one when it ends."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._ended = 0
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def started(self, run: Any, cells: int) -> None:
        self._console.print(f"{run.label()}: running", markup=False)

    def cell(self, run: Any) -> None:
        pass

    def finished(self, outcome: Any) -> None:
        with self._guard:
            self._ended += 1
            count = f"[{self._ended}/{self._total}]"
        time = f" in {outcome.seconds:.0f} s" if outcome.seconds else ""
        self._console.print(f"{count} {outcome.run.label()}: {outcome.status}{time}", markup=False)


class _Bars:
    """Progress in a terminal: a bar of code cells for each notebook at work."""

    def __init__(self, console: Console, total: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console)
        self._all = self._progress.add_task("notebooks", total=total)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def started(self, run: Any, cells: int) -> None:
        if begun := self._tasks.pop(run.page, None):  # its worker was lost: once more
            self._progress.remove_task(begun)
        self._tasks[run.page] = self._progress.add_task(escape(run.label()), total=cells)

    def cell(self, run: Any) -> None:
        self._progress.advance(self._tasks[run.page])

    def finished(self, outcome: Any) -> None:
        if task := self._tasks.pop(outcome.run.page, None):
            self._progress.remove_task(task)
        self._progress.advance(self._all)


def _summary(outcomes: list[Any]) -> Table:
    table = Table("notebook", "parameters", "status", "seconds", "page, or what went wrong")
    for outcome in outcomes:
        variant = " ".join(f"{n}={v}" for n, v in outcome.run.variant.items())
        cells = (outcome.run.notebook.name, variant, outcome.status)
        seconds = f"{outcome.seconds:.1f}" if outcome.seconds else ""
        table.add_row(*map(escape, (*cells, seconds, outcome.detail)))
    return table


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _kill_is_ctrl_c() -> Iterator[None]:
    """A kill or a closed terminal ends the children too, as Ctrl-C does."""
    before = {n: signal.signal(n, _interrupt) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pool(scheduler: str) -> AbstractContextManager[Any]:
    """The workers of a cluster; nothing for this machine."""
    if not scheduler:
        return nullcontext()
    from bertstudy import cluster  # brings Dask

    return cluster.connect(scheduler)


@app.command()
def run(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(help="Names or their beginnings, such as secrets/4-6; none means all."),
    ] = None,
    edition: Edition = "mini",
    source: Source = "",
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value; repeat a name to run each value."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Notebooks at once; above 1 each gets one thread.")
    ] = 1,
    scheduler: Annotated[
        str, typer.Option(help="Address of a Dask scheduler whose workers run the notebooks.")
    ] = "",
    force: Annotated[bool, typer.Option(help="Run also what is up to date.")] = False,
    record: Annotated[
        bool, typer.Option(help="Run all of it and write results under results/, for review.")
    ] = False,
) -> None:
    """Execute notebooks through papermill; what is up to date is left alone."""
    if record:
        os.environ["BERTSTUDY_RECORD"] = "1"  # read by bertstudy.study in the children
    from bertstudy import batch, plan
    from bertstudy.editions import edition as find_edition

    find_edition(edition, source or None)
    if scheduler and jobs > 1:
        raise BertstudyError("--jobs is for this machine: a cluster runs one notebook per worker")
    if find_spec("papermill") is None:  # the children's; importing it here takes most of a second
        raise ModuleNotFoundError(name="papermill")
    force = force or record  # a page that is left alone records nothing
    runs = plan.plan(notebooks or (), edition, source, parameter or ())
    plan.check(run for run in runs if force or plan.state(run) != "current")
    console = _console()
    watcher = (_Bars if console.is_terminal else _Lines)(console, len(runs))
    with _kill_is_ctrl_c(), _pool(scheduler) as pool, watcher:
        outcomes = batch.execute(runs, watcher, pool or jobs, force)
    console.print(_summary(outcomes))
    failed = [outcome for outcome in outcomes if outcome.status not in ("done", "up to date")]
    for outcome in failed:
        copy = batch.failed_copy(outcome.run)
        if copy.is_file():
            console.print(f"as far as it came: {copy}", markup=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@app.command()
def build(
    edition: Edition = "mini",
    whole: Annotated[
        bool | None,
        typer.Option(help="Every notebook must have been run; the default for mini."),
    ] = None,
) -> None:
    """Build the book from executed notebooks; executes nothing."""
    from bertstudy import book
    from bertstudy.editions import edition as find_edition

    find_edition(edition)
    built = book.build(edition, whole=edition == "mini" if whole is None else whole)
    for line in built.left_out:
        print(line)
    print("nothing changed" if built.reused else f"built {built.pages} pages", end="; open ")
    print(built.index.as_uri())


@app.command()
def verify(
    edition: Edition = "mini",
    source: Source = "",
    count: Annotated[int, typer.Option(min=1, help="Recorded results to make again.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Draws them; today's date by default.")] = 0,
    seconds: Annotated[float, typer.Option(min=0, help="None is begun after this time.")] = 60,
) -> None:
    """Make a few recorded results again and compare; status 1 if one differs."""
    from bertstudy import verify
    from bertstudy.editions import edition as find_edition

    chosen = find_edition(edition, source)
    seed = seed or date.today().toordinal()
    done = differing = 0
    for record, difference in verify.verify(verify.opened(chosen), count, seed, seconds):
        print(f"{verify.label(record)}: {difference or 'as recorded'}")
        done, differing = done + 1, differing + (difference is not None)
    if not done:  # a check of nothing must not pass
        raise BertstudyError(
            f"no recorded result of edition '{edition}' could be made again: there is none of its "
            f"own tasks, or {seconds:g} seconds were over before the first"
        )
    print(f"recorded results made again: {done}, differing: {differing} (--seed {seed})")
    raise typer.Exit(1 if differing else 0)


@app.command()
def pretrain(
    edition: Edition = "mini",
    corpus: Annotated[
        Path | None, typer.Option(help="Folder with real English; mini needs none.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the checkpoint goes; the edition's own by default.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Wall time instead of the edition's budget.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Carry on from a saved state if there is one.")
    ] = True,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint to train on, instead of fresh weights.")
    ] = None,
) -> None:
    """Pre-train the encoder of mini or small and write it as a checkpoint."""
    from bertstudy.editions import edition as find_edition

    chosen = find_edition(edition)
    if corpus is not None and not os.path.isdir(corpus):
        raise BertstudyError(f"--corpus {corpus} is not a folder")
    if minutes is not None and not math.isfinite(minutes):
        raise BertstudyError(f"--minutes {minutes}: expected a finite number")
    if out is not None:
        out = Path(os.path.realpath(out))  # it is replaced whole, by its name
        _refuse_out(out)
    from bertstudy.pretrain import pretrain  # brings torch

    print(f"checkpoint: {pretrain(chosen, corpus, out, minutes, resume=resume, start=start)}")


@app.command()
def submit(
    edition: Edition = "small",
    source: Source = "",
    task: Annotated[str, typer.Option(help="GLUE tasks, with commas; all by default.")] = "all",
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("submission"),
) -> None:
    """Fine-tune on GLUE's tasks, seed 0, and write the files that its server takes."""
    from bertstudy import study, submission
    from bertstudy.editions import edition as find_edition

    chosen = find_edition(edition, source)
    wanted = submission.chosen(task)
    _refuse_out(out.absolute())
    names = tuple(dict.fromkeys(name for name, _ in wanted))
    opened = study.Study(chosen, names, seeds=(0,))
    written = []
    for name, split in wanted:
        try:
            written.append(submission.export(opened, name, split, out))
            print(written[-1])
        except BertstudyError as error:  # one task's missing data does not cost the others
            print(f"left out: {error}")
    if not written:
        raise typer.Exit(1)
    if task == "all":
        print(submission.archive(out))


@app.command()
def doctor(edition: Edition = "mini", source: Source = "") -> None:
    """Say what this machine has for an edition, and how to mend what it lacks."""
    from bertstudy import doctor

    checks = doctor.examine(edition, source)
    for check in checks:
        print(f"{'ok' if check.ok else 'missing':8}{check.what}: {check.found}")
        if not check.ok:
            print(f"        {check.remedy}")
    raise typer.Exit(0 if all(check.ok or check.optional for check in checks) else 1)


def main() -> None:
    """Entry point of the ``bertstudy`` command."""
    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be any bytes
    app(prog_name="bertstudy")
