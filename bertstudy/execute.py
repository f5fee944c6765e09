"""One notebook in a process of its own: the child of `bertstudy.batch`.

The parent writes the job as one JSON line to standard input and keeps the pipe open; when the
pipe closes, the parent is gone and so is this process. What happens is told on standard
output, one JSON object a line: ``{"cell": n}`` after each code cell, then ``{"error": ...}``
if there is one. The exit status is 0 only for a notebook that ran to its end.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

START_TIMEOUT = 180  # seconds until a kernel must answer; a busy machine imports slowly
LONGEST_SOCKET = 100  # bytes of a Unix socket's path; Linux takes 107, macOS 103


def _kernel() -> Config:
    """Sockets in the file system cannot collide with another kernel's ports (papermill 511).

    For this transport jupyter takes "ip" as the beginning of the sockets' paths. It must be
    given: the default is the same relative name for every kernel.
    """
    start = Path(os.environ.get("JUPYTER_RUNTIME_DIR", "."), str(os.getpid()))
    if os.name != "posix" or len(os.fsencode(start)) + len("-5") > LONGEST_SOCKET:
        return Config(KernelManager={"transport": "tcp"})
    return Config(KernelManager={"transport": "ipc", "ip": str(start)})


def _tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)  # the kernel watches its own parent and follows


def _cell_done(cell: nbformat.NotebookNode, cell_index: int, execute_reply: dict) -> None:
    _tell(cell=cell_index)


def _tidy(path: Path, page: str) -> None:
    """Keep this machine's folders out of the executed copy, which readers may download."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.papermill["input_path"] = f"notebooks/{page}"
    notebook.metadata.papermill["output_path"] = None
    nbformat.write(notebook, path)


def execute(source: Path, output: Path, parameters: dict[str, Any], page: str) -> None:
    """Run ``source`` into ``output``.

    Raises:
        PapermillExecutionError: a cell failed; ``output`` holds the cells up to it.
    """
    papermill.execute_notebook(
        source,
        output,
        parameters,
        progress_bar=False,
        start_timeout=START_TIMEOUT,
        on_cell_executed=_cell_done,
        store_widget_state=False,  # explorers carry their own data; see widgets
        coalesce_streams=True,
        config=_kernel(),
    )
    _tidy(output, page)


def describe(error: Exception) -> str:
    """The error's first line; for a failing cell, the exception's own words."""
    if isinstance(error, PapermillExecutionError):
        words = (error.evalue or "").strip() or "no message"
        own = error.ename == "BertstudyError"  # written for readers; its kind adds nothing
        return words.splitlines()[0] if own else f"{error.ename}: {words.splitlines()[0]}"
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def main() -> int:
    """Do the one job that stands on standard input; returns the exit status."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        execute(Path(job["source"]), Path(job["output"]), job["parameters"], job["page"])
    except Exception as error:  # whatever it is, the parent has to show it in one line
        _tell(error=describe(error), cell_failed=isinstance(error, PapermillExecutionError))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
