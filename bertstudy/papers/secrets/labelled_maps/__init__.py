"""Attention maps sorted by eye into the five patterns of Kovaleva et al. (2019) §4.1.

``maps.csv`` has a row a map: where it comes from and what it was called. ``maps.safetensors`` holds
the maps themselves, the L×L part of an input's real tokens, each as ``round(255 · A / peak)`` with
its largest weight ``peak`` in the table. No text and no word piece is kept.

The paper's own maps and labels were not released. How these came about: `draw`, as it was in commit
05daed5, took them at random. It seeded a task by its place in a study, and CoLA and SST-2 were each
the first of theirs, so both have maps of the same heads, each as often; `draw` now seeds by the
task's name. One annotator sorted the maps on contact sheets (`bertstudy.figures.contact_sheet`)
that showed nothing but the map and where a second sentence begins, and sorted a random hundred
again in another order. No label was changed afterwards.
"""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file, save_file
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from bertstudy import paths
from bertstudy.attention import maps as maps_of
from bertstudy.encoder import model_inputs
from bertstudy.errors import BertstudyError

if TYPE_CHECKING:
    from bertstudy.study import Study

PATTERNS = ("Vertical", "Diagonal", "Vertical+Diagonal", "Block", "Heterogeneous")
GUIDELINE = {  # by which the labels were given, written before the first of them
    "Vertical": (
        "one or a few columns stand out over most of the rows; beside them there is nothing "
        "with a shape"
    ),
    "Diagonal": (
        "a line of cells at or near the main diagonal (a token itself, or one to three places "
        "before or after it) runs over most of the map, and no column stands out over most rows"
    ),
    "Vertical+Diagonal": "both are plain to see, wherever in the map each of them is",
    "Block": (
        "two sentences, and most of the weight of a row lies evenly in the square of its own "
        "sentence, or in that of the other one; squares are the first thing seen"
    ),
    "Heterogeneous": (
        "none of these: single cells, rows that differ without order, columns in a few rows only, "
        "or an even grey"
    ),
}
COLUMNS = [
    "id",
    "edition",
    "checkpoint",
    "task",
    "seed",
    "row",
    "layer",
    "head",
    "length",
    "second",
    "peak",
    "label",
    "again",
]
SHORTEST, LONGEST = 8, 48  # word pieces: a shape needs some cells, and a sheet some room
FOLDER = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class LabelledMaps:
    """Maps with what is known of each.

    Attributes:
        table: a row a map, columns `COLUMNS`; ``row`` is that of the task's validation set,
            layers and heads are 0-based, ``second`` is the first token of the second segment (0 if
            there is none), ``label`` and ``again`` are of `PATTERNS` or empty.
        maps: float32 ``[query, key]`` each, rows sum to 1 but for rounding.

    Raises:
        BertstudyError: a label is none of the patterns, or a map has not the shape it should.
    """

    table: pd.DataFrame
    maps: Sequence[np.ndarray]

    def __post_init__(self) -> None:
        if len(self.table) != len(self.maps):
            raise BertstudyError(f"{len(self.table)} rows but {len(self.maps)} maps")
        for row, found in zip(self.table.itertuples(), self.maps, strict=True):
            if found.shape != (row.length, row.length):
                raise BertstudyError(f"map {row.id}: shape {found.shape}, length {row.length}")
            for label in (row.label, row.again):
                if label and label not in PATTERNS:
                    raise BertstudyError(
                        f"map {row.id}: '{label}' is no pattern; allowed: {', '.join(PATTERNS)}"
                    )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def targets(self) -> np.ndarray:
        """Labels as indices into `PATTERNS`.

        Raises:
            BertstudyError: a map has no label yet.
        """
        if (missing := self.table["label"] == "").any():
            raise BertstudyError(f"{missing.sum()} maps have no label yet")
        return np.array([PATTERNS.index(label) for label in self.table["label"]])

    @property
    def heads(self) -> np.ndarray:
        """Which maps share a head: a number for each edition, layer and head, ``[map]``.

        The models of an edition start from one encoder, so a head is the same for all tasks.
        """
        return self.table.groupby(["edition", "layer", "head"]).ngroup().to_numpy()

    @property
    def hash(self) -> str:
        """Of maps and first labels: what a classifier that learnt from them depends on."""
        digest = hashlib.sha256("\n".join(self.table["label"]).encode())
        for found in self.maps:
            digest.update(found.tobytes())
        return digest.hexdigest()[:16]

    def take(self, rows: Sequence[int]) -> "LabelledMaps":
        """These maps alone, in the order given."""
        return LabelledMaps(
            self.table.iloc[rows].reset_index(drop=True), [self.maps[row] for row in rows]
        )


def load(folder: Path = FOLDER) -> LabelledMaps:
    """The maps and labels that come with the project, or those in another folder."""
    table = pd.read_csv(folder / "maps.csv", dtype={"label": str, "again": str})
    table = table.fillna({"label": "", "again": ""})
    pixels = load_file(folder / "maps.safetensors")
    scaled = (
        pixels[str(row.id)].astype(np.float32) * np.float32(row.peak / 255)
        for row in table.itertuples()
    )
    return LabelledMaps(table, list(scaled))


def save(labelled: LabelledMaps, folder: Path) -> None:
    """Write both files; the peaks of the table are those of the maps."""
    table = labelled.table.assign(peak=[round(float(m.max()), 6) for m in labelled.maps])
    pixels = {
        str(row.id): np.rint(255 * found / found.max()).astype(np.uint8)
        for row, found in zip(table.itertuples(), labelled.maps, strict=True)
    }
    paths.write_text(folder / "maps.csv", table[COLUMNS].to_csv(index=False))
    with paths.replacing(folder / "maps.safetensors") as temporary:
        save_file(pixels, temporary)


def draw(
    study: "Study", count: int, seed: int = 0, heads: Sequence[tuple[int, int]] = ()
) -> LabelledMaps:
    """Maps of fine-tuned models drawn at random for labelling, as many from each task.

    Examples of `SHORTEST` to `LONGEST` word pieces and heads of all layers are drawn uniformly and
    independently, also of the study's other tasks. The models are those of the study's first seed.

    Args:
        count: maps of each task.
        seed: of the draw, with the task's name.
        heads: 0-based layers and heads to draw from; all if none are given. For more maps of a
            pattern that is rare, from heads that have shown it.
    """
    rows, found = [], []
    layers, width = study.config.num_hidden_layers, study.config.num_attention_heads
    heads = heads or [(layer, head) for layer in range(layers) for head in range(width)]
    for task in study.tasks:
        rng = np.random.default_rng([seed, *task.name.encode()])
        data = study.encoded(task, "validation")
        fits = (data.lengths >= SHORTEST) & (data.lengths <= LONGEST)
        chosen = rng.choice(np.flatnonzero(fits), count, replace=False)
        model = study.fine_tuned(task, study.seeds[0])
        for row, place in zip(chosen, rng.integers(len(heads), size=count), strict=True):
            layer, head = heads[place]
            batch = {n: t.to(model.device) for n, t in data.batch([row]).items()}
            batch = model_inputs(model, batch)
            with torch.inference_mode():
                found.append(maps_of(model, **batch)[0, layer, head].float().numpy(force=True))
            rows.append(
                {
                    "edition": study.edition.name,
                    "checkpoint": study.checkpoint_hash,
                    "task": task.name,
                    "seed": study.seeds[0],
                    "row": int(row),
                    "layer": int(layer),
                    "head": int(head),
                    "length": int(data.lengths[row]),
                    "second": second_segment(data.ids[row]),
                }
            )
    empty = {"id": range(len(rows)), "peak": [float(m.max()) for m in found]}
    return LabelledMaps(pd.DataFrame(rows).assign(**empty, label="", again=""), found)


def second_segment(pieces: Sequence[Hashable]) -> int:
    """First token of an input's second segment, 0 if it has one segment alone.

    It begins after the separator that closes the first: BERT puts one [SEP] between two texts,
    RoBERTa </s> twice. Token types would not do, since RoBERTa has none.

    Args:
        pieces: ids, or tokens, of one input without padding; the last is the separator.
    """
    *inner, separator = pieces
    if separator not in inner:
        return 0
    start = inner.index(separator) + 1
    return start + (inner[start : start + 1] == [separator])


def agreement(labelled: LabelledMaps) -> tuple[float, pd.DataFrame]:
    """Cohen's kappa between the two sittings, and the table of both, first sitting down."""
    twice = labelled.table[labelled.table["again"] != ""]
    if twice.empty:
        raise BertstudyError("no map was labelled twice")
    first, second = twice["label"], twice["again"]
    counts = confusion_matrix(first, second, labels=PATTERNS)
    return float(cohen_kappa_score(first, second, labels=PATTERNS)), pd.DataFrame(
        counts, index=PATTERNS, columns=PATTERNS
    )
