"""What the explorers of *Dark Secrets* show, gathered from a study."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from bertstudy.ablation import disable_each
from bertstudy.attention import maps
from bertstudy.encoder import Encoded, device, load_encoder, longest_input, model_inputs, predict
from bertstudy.errors import BertstudyError
from bertstudy.papers.secrets.disabling_heads import KINDS, head_effects, layer_effects
from bertstudy.store import Record
from bertstudy.tasks import Task
from bertstudy.widgets.data import AttentionMaps, DisablingGrid, Example, PageData

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study


def explorer_data(
    study: "Study", records: Sequence[Record] = (), examples: int = 3, longest: int = 32
) -> PageData:
    """Maps, predictions and effects of each task, as the explorers of §4.3 and §4.6 show them.

    Args:
        records: of disabling; without them there are no effects to show.
        examples: validation sentences a task; for data that is not synthetic, sentences of
            our own, since no sentence of a data set is published here.
        longest: only examples of at most so many word pieces.
    """
    pages, grids = [], []
    names = ("pre-trained", f"fine-tuned (seed {study.seeds[0]})")
    for task in study.tasks:
        make = _maker(study, task)
        shown = [make(*texts, gold=gold) for texts, gold in study.examples(task, examples, longest)]
        pages.append(AttentionMaps(task.name, names, task.labels, shown))
        if records:
            own = [r for r in records if r.recipe["model"]["task"] == task.name]
            grids.append(_grid(task, own))
    return PageData(pages, grids)


def probe(study: "Study", task: Task) -> Callable[[str, str | None], Example]:
    """A function from the reader's own text to an example for the explorers."""
    make = _maker(study, task)

    def run(text: str, second: str | None = None) -> Example:
        if len(task.texts) == 1:
            return make(text)
        if not second:
            raise BertstudyError(f"{task.name} compares two texts: write the second one too")
        return make(text, second)

    return run


def _grid(task: Task, records: Sequence[Record]) -> DisablingGrid:
    by_kind = {kind: [r for r in records if r.recipe["kind"] == kind] for kind in KINDS}
    first = by_kind[KINDS[0]]
    return DisablingGrid(
        task.name,
        task.metrics[0],
        baseline=[r.values["baseline"] / 100 for r in first],
        effects={
            k: np.stack([head_effects(r.values) for r in v], -1) / 100 for k, v in by_kind.items()
        },
        layer_effects={
            k: np.stack([layer_effects(r.values) for r in v], -1) / 100 for k, v in by_kind.items()
        },
        seeds=[r.recipe["model"]["seed"] for r in first],
        origins=[r.origin for r in first],
    )


def _maker(study: "Study", task: Task) -> Callable[..., Example]:
    """A function from texts to an example; the two models are loaded when first needed."""
    models: list[PreTrainedModel] = []

    def make(*texts: str, gold: str | None = None) -> Example:
        data = encode_texts(study, texts)
        if not models:
            models.extend(
                [load_encoder(study.edition.checkpoint), study.fine_tuned(task, study.seeds[0])]
            )
        encoder, model = models
        batch = {n: t.to(device()) for n, t in model_inputs(model, data.batch([0])).items()}
        both = torch.stack([maps(encoder, **batch)[0], maps(model, **batch)[0]])
        probabilities, disabled = (), {}
        if not task.is_regression:
            probabilities = (None, _softmax(predict(model, data)[0]))
            disabled = {k: _softmax(disable_each(model, data, k).heads[:, :, 0]) for k in KINDS}
        return Example(
            text=" / ".join(texts),
            tokens=study.tokenizer.convert_ids_to_tokens(data.ids[0]),
            maps=both.float().numpy(force=True),
            probabilities=probabilities,
            gold=gold,
            disabled=disabled,
        )

    return make


def encode_texts(study: "Study", texts: tuple[str, ...]) -> Encoded:
    """One input of a text or a pair, uncut.

    Raises:
        BertstudyError: it is longer than the model takes.
    """
    encoded = study.tokenizer(*texts)
    ids = encoded["input_ids"]
    limit = longest_input(study.config)
    if len(ids) > limit:
        raise BertstudyError(f"the text has {len(ids)} word pieces; the model takes {limit}")
    segments = encoded.get("token_type_ids") or [0] * len(ids)
    return Encoded([ids], [segments], np.zeros(1, int), study.tokenizer.pad_token_id)


def _softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).double().softmax(-1).numpy()
