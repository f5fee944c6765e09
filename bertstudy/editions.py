"""What `mini`, `small`, `base` and `large` mean: one frozen dataclass each.

A notebook never asks for an edition's name; it reads these fields. `mini` and `small` are
pre-trained by this project (`bertstudy pretrain`) and shipped; `base` and `large` come from the
hub.
"""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from bertstudy.errors import BertstudyError

CHECKPOINTS = Path(__file__).parent / "checkpoints"


@dataclass(frozen=True)
class Architecture:
    """The shape of an encoder that this project pre-trains itself."""

    layers: int
    heads: int
    hidden: int
    vocabulary: int  # word pieces
    positions: int = 128  # longest sequence, in word pieces

    @property
    def intermediate(self) -> int:
        """Width of the feed-forward layer: four times the hidden size, as in BERT."""
        return 4 * self.hidden


@dataclass(frozen=True)
class PreTraining:
    """MLM + NSP pre-training (Devlin et al. 2019), sized for a short budget."""

    tokens: int  # budget: word pieces seen, padding included
    batch_size: int
    length: int  # word pieces of the longest sequences
    # Shorter lengths that take turns with `length` at random, a step with as many word pieces.
    # Sequences as short as the tasks' own teach the model where their parts end.
    shorter: tuple[int, ...] = ()
    # Share of NSP's negatives that come from elsewhere in the same document, where names and
    # places agree and only what is said can tell; Devlin et al. (2019) have 0.
    near: float = 0.0
    learning_rate: float = 1e-3
    warmup: float = 0.02  # share of the budget
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    masked: float = 0.15  # share of the tokens to be predicted
    # Word embeddings start from co-occurrences within so many pieces, output biases from
    # frequencies (`cooccurrence`); 0: from random numbers and zero. On real English the loss is
    # after 1.4 M pieces where it was after 7 M without (measured on a 3-layer start).
    window: int = 0
    # Depth by share of the budget spent: each stage starts from the layers of the one before,
    # repeated (Gong et al. 2019, "progressively stacking"). Shallow models leave the unigram
    # plateau sooner and cost less a step.
    growth: tuple[tuple[float, int], ...] = ()
    onward_rate: float = 1e-3  # peak rate where a finished checkpoint is trained on, at full depth
    seed: int = 0


@dataclass(frozen=True)
class FineTuning:
    """One recipe for fine-tuning; a field of the record's key, so a change retrains."""

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-5
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.01
    max_length: int = 128  # word pieces
    clip: float = 1.0  # largest norm of the gradient
    dropout: float = 0.1  # of hidden states and of attention; BERT's own rate
    train_limit: int | None = None  # examples; None = all
    validation_limit: int | None = None


@dataclass(frozen=True)
class Edition:
    """One scale at which every notebook runs.

    Attributes:
        checkpoint: folder of a shipped checkpoint, or a name on the hub.
        source: "synthetic", "hub", or a folder laid out like the hub.
        tasks: the tasks whose results the published book shows at this scale.
        seeds: seeds of fine-tuning.
        live_seeds: those computed whenever the book is made, for the edition's own tasks; all
            other results come with the project where they have been recorded.
        fine_tuning: the recipe; `recipes` holds a task's own where it differs.
        mixed_precision: fine-tune with products in bf16 where the device has units for them.
        architecture, pretraining: None where the checkpoint is somebody else's.
    """

    name: str
    checkpoint: str
    source: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    fine_tuning: FineTuning
    live_seeds: tuple[int, ...] = ()
    mixed_precision: bool = True
    recipes: dict[str, FineTuning] = field(default_factory=dict)
    architecture: Architecture | None = None
    pretraining: PreTraining | None = None

    def recipe(self, task: str) -> FineTuning:
        """The fine-tuning recipe of one task."""
        return self.recipes.get(task, self.fine_tuning)


# No dropout: these encoders were pre-trained without it and are too narrow to spare units; with
# 0.1 they stay at the majority class for hundreds of steps (measured).
_mini = FineTuning(epochs=4, learning_rate=3e-4, max_length=64, dropout=0.0)
_small = FineTuning(
    epochs=3, learning_rate=2e-4, max_length=128, dropout=0.0, validation_limit=1000
)
_base = FineTuning(epochs=3, learning_rate=2e-5, max_length=128)

EDITIONS: dict[str, Edition] = {
    "mini": Edition(
        name="mini",
        checkpoint=str(CHECKPOINTS / "mini"),
        source="synthetic",
        tasks=("mrpc", "rte", "mnli"),
        seeds=tuple(range(8)),
        live_seeds=(0, 1),
        mixed_precision=False,  # quick as it is, and its numbers are compared across machines
        fine_tuning=_mini,
        recipes={
            "sst2": replace(_mini, epochs=8, learning_rate=1e-3),
            # With `_mini` these learn too little from scratch.
            **dict.fromkeys(("stsb", "qqp", "qnli"), replace(_mini, epochs=6, learning_rate=5e-4)),
            "squad_v2": replace(_mini, epochs=6, learning_rate=1e-3),
            "swag": replace(_mini, learning_rate=1e-3),
        },
        architecture=Architecture(layers=6, heads=6, hidden=96, vocabulary=2048),
        pretraining=PreTraining(
            tokens=36_000_000,
            batch_size=32,
            length=64,
            shorter=(20, 28, 40),
            near=0.5,
            learning_rate=2e-3,
            window=5,
            growth=((0.0, 2), (0.3, 4), (0.6, 6)),
        ),
    ),
    "small": Edition(
        name="small",
        checkpoint=str(CHECKPOINTS / "small"),
        source="hub",
        tasks=("sst2", "mrpc"),
        seeds=(0,),  # whose results are recorded; -p seeds=5 for verdicts
        fine_tuning=_small,
        recipes={"sst2": replace(_small, train_limit=8000, epochs=2)},
        architecture=Architecture(layers=12, heads=12, hidden=192, vocabulary=8192),
        pretraining=PreTraining(
            tokens=40_000_000,
            batch_size=16,  # small steps, many of them: measured ahead of 32 and 64
            length=128,
            shorter=(64, 32),
            learning_rate=1.5e-3,
            window=5,
            growth=((0.0, 3), (0.4, 6), (0.75, 12)),
        ),
    ),
    "base": Edition(
        name="base",
        checkpoint="google-bert/bert-base-uncased",
        source="hub",
        tasks=("mrpc", "rte", "stsb", "sst2", "qnli"),
        seeds=tuple(range(5)),
        fine_tuning=_base,
    ),
    "large": Edition(
        name="large",
        checkpoint="google-bert/bert-large-cased",
        source="hub",
        tasks=("mrpc", "rte", "sst2", "mnli"),
        seeds=tuple(range(5)),  # fewer decide nothing
        fine_tuning=replace(_base, learning_rate=1e-5),
    ),
}


def edition(name: str, source: str | None = None) -> Edition:
    """The edition of that name, with its data taken from `source` if one is given.

    Args:
        name: one of `EDITIONS`.
        source: "synthetic", "hub", or an existing folder laid out like the hub; None or ""
            keeps the edition's own.

    Raises:
        BertstudyError: unknown name, or a source that is neither of these words nor a folder.
    """
    if name not in EDITIONS:
        raise BertstudyError(f"unknown edition '{name}'; allowed: {', '.join(EDITIONS)}")
    found = EDITIONS[name]
    if not source:
        return found
    if source not in ("synthetic", "hub"):
        folder = os.path.expanduser(source)  # pathlib's raises on ~nobody
        if not os.path.isdir(folder):
            raise BertstudyError(
                f"source '{source}' is not a folder; allowed: synthetic, hub, "
                "or a folder laid out like the hub"
            )
        source = os.path.realpath(folder)
    return replace(found, source=source)
