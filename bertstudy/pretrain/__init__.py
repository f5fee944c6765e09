"""Pre-training `mini` and `small`: masked-language model and next-sentence prediction.

Devlin et al. (2019) §3.1, sized for two cores: dropout off (it keeps attention from its fast
path on a CPU, and a short budget does not overfit), the vocabulary projected at masked places
only, and, where the edition says so, word embeddings that start from co-occurrence counts and
depth grown in stages (Gong et al. 2019). Each step's examples depend on (seed, step) alone, so a
killed run resumes exactly where it was.

In the order of the work: `text`, `prepared`, `examples`, `model`, `run`, `checkpoint`.
"""

from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from bertstudy import devices, store
from bertstudy.editions import Edition
from bertstudy.encoder import quiet
from bertstudy.errors import BertstudyError
from bertstudy.paths import build, put_back
from bertstudy.pretrain.checkpoint import began_from, export, refuse_foreign
from bertstudy.pretrain.prepared import prepare, text_key
from bertstudy.pretrain.run import Run, drop_state
from bertstudy.store import file_hashes

__all__ = ["pretrain"]


def pretrain(
    edition: Edition,
    corpus: Path | None = None,
    out: Path | None = None,
    minutes: float | None = None,
    device: str | None = None,
    resume: bool = True,
    start: Path | None = None,
) -> Path:
    """Pre-train an edition's encoder and write it as a checkpoint with its card.

    Args:
        edition: one with an architecture (`mini`, `small`).
        corpus: local folder with a ``text`` column; None for the synthetic world.
        out: where the checkpoint goes; the edition's own folder by default.
        minutes: a budget in wall-clock minutes instead of the plan's tokens. Such a run is
            not reproducible to the bit: the number of steps depends on the machine.
        device: torch device; a GPU if there is one.
        resume: carry on from a saved state if there is one; otherwise it is removed.
        start: a checkpoint of this project and shape whose training goes on, with its tokenizer,
            instead of fresh weights.

    Returns:
        The checkpoint's folder: bf16 safetensors, tokenizer, ``training.json``, README.md.

    Raises:
        BertstudyError: nothing to pre-train, no corpus, an ``out`` that holds something else,
            a damaged or foreign saved state, another process at it, or a loss that is not
            finite.
    """
    if edition.architecture is None or edition.pretraining is None:
        raise BertstudyError(
            f"edition '{edition.name}' uses a published checkpoint; allowed: mini, small"
        )
    if edition.source != "synthetic" and corpus is None:
        raise BertstudyError(f"edition '{edition.name}' needs --corpus FOLDER")
    out = Path(out or edition.checkpoint)
    put_back(out)
    refuse_foreign(out)
    quiet()
    if start is not None:
        began_from(start, edition.architecture)  # a wrong one is refused before any work
    device = device or devices.device().type
    work = build() / "pretrain" / edition.name
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            text = work / f"text-{text_key(edition, corpus, start)}"
            train, validation = prepare(edition, corpus, text, start)
            if not resume:  # only now: a corpus that cannot be read must not cost the state
                drop_state(work)
            # The files, not what they are made of: another version of a library may read otherwise.
            run = Run(edition, work, minutes, device, store.key(file_hashes(text)), start)
            run.train(train, validation)
            export(run, train, validation, text / "tokenizer", out)
            drop_state(work)
    except Timeout as error:
        raise BertstudyError(f"another process is pre-training {edition.name} in {work}") from error
    except SafetensorError as error:  # its own kind for a disk that is full
        raise OSError(str(error)) from error
    return out
