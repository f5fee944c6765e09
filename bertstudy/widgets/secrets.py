"""What the explorers of *Dark Secrets* show, gathered from a study."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from bertstudy.ablation import disable_each
from bertstudy.attention import maps
from bertstudy.devices import device
from bertstudy.encoder import load_encoder, longest_input, model_inputs, predict
from bertstudy.encoding import Encoded
from bertstudy.errors import BertstudyError
from bertstudy.linguistics import Aligned
from bertstudy.papers.secrets import annotated, features
from bertstudy.papers.secrets.annotated import readings
from bertstudy.papers.secrets.disabling_heads import KINDS, head_effects, layer_effects
from bertstudy.statistics import interval
from bertstudy.store import Record
from bertstudy.tasks import Task
from bertstudy.widgets.data import AttentionMaps, DisablingGrid, Example, PageData
from bertstudy.widgets.features import NAME as FEATURES

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


def feature_data(
    study: "Study", records: Sequence[Record], examples: int = 3, longest: int = 32
) -> PageData:
    """Feature maps of §4.4, one for each reading that `features.shown` shows, with example maps.

    Args:
        records: of `linguistic_attention`.
        examples: inputs a reading; for data that is not synthetic, sentences of our own.
        longest: only inputs of at most so many word pieces.
    """
    table = features.scores(records)
    inputs = {reading.name: reading for reading in readings(study)}
    encoder, pages, more = load_encoder(study.edition.checkpoint), [], {}
    for title, rows in features.shown(table).groupby("reading", sort=False):
        data, task = rows["data"].iloc[0], rows["task"].iloc[0]
        models = {"pre-trained": encoder}
        if task:
            (found,) = (t for t in study.tasks if t.name == task)
            models[f"fine-tuned (seed {study.seeds[0]})"] = study.fine_tuned(found, study.seeds[0])
        chosen = annotated.examples(inputs[data], examples, longest)
        shown = [_with_maps(study, models.values(), example) for example in chosen]
        pages.append(AttentionMaps(title, tuple(models), (), shown))
        before = table[(table["data"] == data) & (table["model"] == "pre-trained")]
        more[title] = _feature_map(records, before, rows if task else None)
        more[title]["marks"] = [annotated.kinds(example) for example in chosen]
    return PageData(pages, more={FEATURES: more})


def _with_maps(study: "Study", models: Iterable["PreTrainedModel"], example: Aligned) -> Example:
    """An annotated input with every model's maps, without predictions."""
    texts = tuple(one.text for one in example.texts)
    data = encode_texts(study, texts)
    batch = {n: t.to(device()) for n, t in data.batch([0]).items()}
    every = [maps(model, **model_inputs(model, batch))[0] for model in models]
    return Example(
        text=" / ".join(texts),
        tokens=study.tokenizer.convert_ids_to_tokens(data.ids[0]),
        maps=torch.stack(every).float().numpy(force=True),
    )


def _feature_map(
    records: Sequence[Record], before: pd.DataFrame, after: pd.DataFrame | None
) -> dict[str, Any]:
    """What `features.js` shows of one reading but for its examples' marks."""
    data = before["data"].iloc[0]
    values = next(r.values for r in records if r.recipe["data"]["name"] == data)
    made = {"examples": values["examples"], "seeds": 0, "kinds": {}}
    if after is not None:
        made["seeds"] = int(after["seed"].nunique())
        change = features.changes(pd.concat([before, after]))
    for kind in dict.fromkeys(before["feature"]):
        counted = {name: values["features"][kind][name] for name in ("examples", "tokens")}
        found = counted | {"before": _grids(before[before["feature"] == kind]), "after": None}
        if after is not None:
            found["after"] = _grids(after[after["feature"] == kind])
            if made["seeds"] > 1:
                found["interval"] = _bounds(change[change["feature"] == kind])
        made["kinds"][kind] = found
    return made


def _grids(rows: pd.DataFrame) -> dict[str, list[list[float]]]:
    """Mean score and null over seeds, ``[layer][head]``."""
    means = rows.groupby(["layer", "head"])[["score", "null"]].mean().unstack("head")
    return {name: means[name].to_numpy().round(5).tolist() for name in ("score", "null")}


def _bounds(change: pd.DataFrame) -> dict[str, list]:
    """95 % interval of the difference over seeds, ``[layer][head][2]``."""
    found = {}
    for name in ("score", "above"):
        by_head = change.pivot_table(index=["layer", "head"], columns="seed", values=name)
        bounds = np.array([interval(samples)[1:] for samples in by_head.to_numpy()])
        layers = by_head.index.get_level_values("layer").nunique()
        found[name] = bounds.reshape(layers, -1, 2).round(5).tolist()
    return found


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
