r"""§4.3, what fine-tuning changes: Figure 5 and Table 1.

For one input of L tokens, let A be head h's map (L×L) in one model and B head g's in another.
Their likeness is the cosine of the flattened maps,

$$c_{hg} = \frac{\sum_{ij} A_{ij} B_{ij}}{\lVert A\rVert\,\lVert B\rVert} \in [0, 1],$$

here averaged over examples. Figure 5 shows c_hh between the encoder before and after
fine-tuning. Table 1 has the scores of three models: pre-trained with an untrained head,
fine-tuned from random weights, fine-tuned from pre-trained ones.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from bertstudy import tasks
from bertstudy.attention import Capture, edited
from bertstudy.encoder import load_classifier, load_encoder, longest_input, model_inputs, predict
from bertstudy.encoding import Encoded, by_length
from bertstudy.errors import BertstudyError
from bertstudy.makers import SCORE, makes
from bertstudy.reference import tidy
from bertstudy.store import Record
from bertstudy.streaming import EXAMPLES, sample
from bertstudy.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study

PADDED = 200  # word pieces to which the released notebook pads every input
EXAMPLES_PADDED = 200  # of those compared so: padding is most of the work
UNTRAINED_HEADS = 5  # drawn for each seed of fine-tuning: one alone scores anything near chance
LAST = 2  # layers that the paper calls the last
COSINE = 0.1  # how far a mean cosine may be from a recorded one
VERSION = 1  # of the measurements here; raise it when the meaning of a value changes
# Weights of one layer-by-head stack of maps of one batch: 64 MB, and 2 GB on a GPU.
WEIGHTS = {"cpu": 16_000_000, "cuda": 500_000_000}


# Comparing maps -------------------------------------------------------------------------------


@torch.inference_mode()
def map_cosines(
    first: "PreTrainedModel",
    second: "PreTrainedModel",
    data: Encoded,
    length: int | None = None,
) -> np.ndarray:
    """Cosines between the maps of two encoders on the same inputs, in the data's order.

    The maps of one batch of ``first`` wait until ``second`` has made its own, layer by layer;
    no others are kept.

    Args:
        first, second: models on the seam, with as many layers and heads.
        length: None compares the L×L maps of the real tokens. A number pads every input to so
            many word pieces and compares whole maps, with the rows of padding queries, as the
            paper's released notebook does.

    Returns:
        ``[example, layer, head of first, head of second]``, float32, in [0, 1] to rounding.

    Raises:
        BertstudyError: the models differ in shape, an input is longer than ``length``, or
            there is none.
    """
    layers, heads = _shape(first)
    if _shape(second) != (layers, heads):
        raise BertstudyError(
            f"maps of {layers} × {heads} heads cannot be compared with "
            f"{_shape(second)[0]} × {_shape(second)[1]}"
        )
    if len(data) == 0:
        raise BertstudyError("there are no examples to compare maps on")
    longest = int(data.lengths.max())
    if length is not None and length < longest:
        raise BertstudyError(f"an input has {longest} word pieces: it cannot be padded to {length}")
    where = next(second.parameters()).device
    budget = WEIGHTS.get(where.type, WEIGHTS["cpu"])
    size = max(1, budget // (layers * heads * (length or longest) ** 2))
    found = np.empty((len(data), layers, heads, heads), np.float32)
    for rows in by_length(data.lengths, size):
        batch = {name: tensor.to(where) for name, tensor in data.batch(rows, length).items()}
        found[rows] = _of_batch(first, second, batch, whole=length is not None).cpu()
    return found


def _shape(model: "PreTrainedModel") -> tuple[int, int]:
    return model.config.num_hidden_layers, model.config.num_attention_heads


def _of_batch(
    first: "PreTrainedModel", second: "PreTrainedModel", batch: dict[str, Tensor], whole: bool
) -> Tensor:
    """`map_cosines` of one batch, ``[batch, layer, head, head]``."""
    counted = torch.ones_like(batch["attention_mask"]) if whole else batch["attention_mask"]
    kept = Capture(lambda probs, site: _unit(probs, counted))
    compared = Capture(lambda probs, site: kept.found[site.layer].pop() @ _unit(probs, counted).mT)
    for model, capture in ((first, kept), (second, compared)):
        model.eval()
        with edited(model, capture):
            model.base_model(**model_inputs(model, batch))
    return torch.stack([compared.found[layer][0] for layer in sorted(compared.found)], dim=1)


def _unit(probs: Tensor, counted: Tensor) -> Tensor:
    """Flattened maps of length 1, ``[batch, head, query × key]``; queries not counted are 0."""
    return F.normalize((probs * counted[:, None, :, None]).flatten(2), dim=-1)


# Measuring ------------------------------------------------------------------------------------


@makes("attention_change", within=COSINE, padded=lambda facts: facts["padded_to"] is not None)
def change(
    study: "Study", task: Task, seed: int, start: str = "pretrained", padded: bool = False
) -> Record:
    """Maps of one fine-tuned model beside those of the weights it started from.

    Args:
        start: "pretrained", or "scratch" for a model that started from random weights.
        padded: over whole padded maps, as the paper's released notebook does.

    Values:
        ``examples``; ``cosine [layer][head]``, the mean over them; ``others [layer]``, the
        mean cosine between *different* heads of the layer, one of each model.
    """

    def compute(model: "PreTrainedModel") -> dict[str, Any]:
        first = _start(study, task, seed, start)
        return _compare(first, model, study, task, examples, length)

    examples = EXAMPLES_PADDED if padded else EXAMPLES
    length = min(PADDED, longest_input(study.config)) if padded else None
    recipe = {"examples": examples, "padded_to": length, "version": VERSION}
    return study.measure("attention_change", task, seed, compute, start, **recipe)


@makes("attention_between_seeds", within=COSINE)
def between_seeds(study: "Study", task: Task, seed: int, other: int) -> Record:
    """Maps of two fine-tuned models of other seeds; values as those of `change`."""

    def compute(model: "PreTrainedModel") -> dict[str, Any]:
        return _compare(study.fine_tuned(task, other), model, study, task, EXAMPLES)

    recipe = {"other": other, "examples": EXAMPLES, "version": VERSION}
    return study.measure("attention_between_seeds", task, seed, compute, **recipe)


@makes("untrained_head", within=SCORE)
def untrained(study: "Study", task: Task, seed: int) -> Record:
    """Scores (×100) of the pre-trained encoder under heads that nobody has trained.

    Values:
        ``scores``, by metric, one entry for each of `UNTRAINED_HEADS` random heads that no
        other seed draws; ``examples``.
    """

    def compute(_: "PreTrainedModel") -> dict[str, Any]:
        data = study.encoded(task, "validation")
        draws = range(seed * UNTRAINED_HEADS, (seed + 1) * UNTRAINED_HEADS)
        models = (load_classifier(study.edition.checkpoint, task, draw) for draw in draws)
        return {
            "scores": [data.score(predict(model, data), task) for model in models],
            "examples": len(data),
        }

    return study.measure(
        "untrained_head", task, seed, compute, heads=UNTRAINED_HEADS, version=VERSION
    )


def _start(study: "Study", task: Task, seed: int, start: str) -> "PreTrainedModel":
    """The model before its first step of training."""
    checkpoint = study.edition.checkpoint
    if start == "pretrained":
        return load_encoder(checkpoint)
    return load_classifier(checkpoint, task, seed, pretrained=False)


def _compare(
    first: "PreTrainedModel",
    second: "PreTrainedModel",
    study: "Study",
    task: Task,
    examples: int,
    length: int | None = None,
) -> dict[str, Any]:
    data = study.encoded(task, "validation")
    data = data.take(sample(len(data), examples))
    mean = map_cosines(first, second, data, length).mean(0, dtype=np.float64)
    other = ~np.eye(mean.shape[-1], dtype=bool)
    return {
        "examples": len(data),
        "cosine": mean.diagonal(axis1=1, axis2=2).round(5).tolist(),
        "others": mean[:, other].mean(1).round(5).tolist(),
    }


def records(study: "Study") -> list[Record]:
    """Everything that §4.3 needs, for every task and seed of the study.

    A seed is compared with the one before it, so that the first seeds, which are computed
    whenever the book is made, need no model of a later one.
    """
    made = []
    for task in study.tasks:
        for seed in study.seeds:
            made += [
                change(study, task, seed),
                change(study, task, seed, padded=True),
                change(study, task, seed, start="scratch"),
                untrained(study, task, seed),
                study.scores(task, seed, "scratch"),
                study.scores(task, seed),
            ]
        pairs = zip(study.seeds, study.seeds[1:], strict=False)
        made += [between_seeds(study, task, seed, before) for before, seed in pairs]
    return made


# Tables and quantities --------------------------------------------------------------------------

COMPARISONS = {  # as a page names them
    "fine-tuning": "before and after fine-tuning",
    "two seeds": "two fine-tuned models of other seeds",
    "random start": "before and after training from random weights",
    "padded": "before and after fine-tuning, whole maps padded",
}


def _comparison(record: Record) -> str | None:
    """Which of `COMPARISONS` a record is of, if of any."""
    if record.measurement == "attention_between_seeds":
        return "two seeds"
    if record.measurement != "attention_change":
        return None
    if record.recipe["model"]["start"] == "scratch":
        return "random start"
    return "fine-tuning" if record.recipe["padded_to"] is None else "padded"


def changes(records: Sequence[Record]) -> pd.DataFrame:
    """Tidy cosines: one row a task, seed, comparison, layer and head.

    Columns ``task seed comparison layer head cosine others origin``; ``comparison`` is a key
    of `COMPARISONS`; layers and heads are 0-based; ``others`` is the layer's mean over pairs
    of different heads.
    """
    rows = []
    for record in records:
        if comparison := _comparison(record):
            model, values = record.recipe["model"], record.values
            common = {"task": model["task"], "seed": model["seed"], "comparison": comparison}
            rows += [
                common
                | {"layer": layer, "head": head, "cosine": cosine, "others": others}
                | {"origin": record.origin}
                for layer, (heads, others) in enumerate(
                    zip(values["cosine"], values["others"], strict=True)
                )
                for head, cosine in enumerate(heads)
            ]
    return pd.DataFrame(rows)


def contrasts(records: Sequence[Record]) -> pd.DataFrame:
    """Each comparison in a line a task: how alike, and whether the last layers differ more.

    Columns ``task comparison examples``; means over heads, layers and seeds, ``same head`` and
    ``other head of the layer``; ``last two layers minus rest``, its ``sd`` over seeds, ``seeds``.
    """
    rows = []
    for name, chosen in _by_task(records).items():
        for key, comparison in COMPARISONS.items():
            if not (own := [r for r in chosen if _comparison(r) == key]):
                continue
            if length := own[0].recipe.get("padded_to"):
                comparison += f" to {length} word pieces"
            last = [_last_minus_rest(r) for r in own]
            rows.append(
                {
                    "task": name,
                    "comparison": comparison,
                    "examples": own[0].values["examples"],
                    "same head": np.mean([r.values["cosine"] for r in own]),
                    "other head of the layer": np.mean([r.values["others"] for r in own]),
                    "last two layers minus rest": np.mean(last),
                    "sd": np.std(last, ddof=1) if len(last) > 1 else np.nan,
                    "seeds": len(own),
                }
            )
    return pd.DataFrame(rows)


def _last_and_rest(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosine of each of the last layers, and of each other; NaN where there is no other."""
    layers = np.mean(record.values["cosine"], axis=1)
    rest = layers[:-LAST]
    return layers[-LAST:], rest if len(rest) else np.array([np.nan])


def _last_minus_rest(record: Record) -> float:
    last, rest = _last_and_rest(record)
    return float(last.mean() - rest.mean())


def starting_points(records: Sequence[Record]) -> pd.DataFrame:
    """Table 1: one row a task, ``task metric majority untrained scratch pretrained``.

    The last three are lists in the task's main metric, one score a seed.
    """
    rows = []
    for name, chosen in _by_task(records).items():
        scored = [r for r in chosen if r.measurement == "scores"]
        main = tasks.task(name).metrics[0]
        rows.append(
            {
                "task": name,
                "metric": main,
                "majority": scored[0].values["majority"][main],
                "untrained": untrained_score(chosen).tolist(),
                "scratch": scratch_score(chosen).tolist(),
                "pretrained": pretrained_score(chosen).tolist(),
            }
        )
    return pd.DataFrame(rows)


def most_changed(table: pd.DataFrame, task: str) -> tuple[int, int]:
    """0-based layer and head whose maps fine-tuning changed most, from `changes`."""
    own = table[(table["task"] == task) & (table["comparison"] == "fine-tuning")]
    layer, head = own.groupby(["layer", "head"])["cosine"].mean().idxmin()
    return int(layer), int(head)


def _by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    names = dict.fromkeys(record.recipe["model"]["task"] for record in records)
    ordered = sorted(records, key=lambda record: record.recipe["model"]["seed"])  # they make pairs
    return {n: [r for r in ordered if r.recipe["model"]["task"] == n] for n in names}


# Quantities: from `records` of one task, one number a seed


def last_layers_cosine_minus_rest(records: Sequence[Record]) -> np.ndarray:
    """Mean cosine of the last two layers minus the mean of all others."""
    return np.array([_last_minus_rest(r) for r in _fine_tuned(records)])


def last_layers_cosine_minus_lowest(records: Sequence[Record]) -> np.ndarray:
    """The larger cosine of the last two layers minus the smallest of any other layer."""
    pairs = [_last_and_rest(r) for r in _fine_tuned(records)]
    return np.array([last.max() - rest.min() for last, rest in pairs])


def _fine_tuned(records: Sequence[Record]) -> list[Record]:
    return [r for r in records if _comparison(r) == "fine-tuning"]


def untrained_score(records: Sequence[Record]) -> np.ndarray:
    """Pre-trained encoder, no fine-tuning: the mean over untrained heads."""
    return np.array(
        [
            np.mean([scores[_main(r)] for scores in r.values["scores"]])
            for r in records
            if r.measurement == "untrained_head"
        ]
    )


def scratch_score(records: Sequence[Record]) -> np.ndarray:
    """Fine-tuned from random weights, N(0, .02²)."""
    return _scores(records, "scratch")


def pretrained_score(records: Sequence[Record]) -> np.ndarray:
    """Fine-tuned from the pre-trained encoder."""
    return _scores(records, "pretrained")


def _scores(records: Sequence[Record], start: str) -> np.ndarray:
    return np.array(
        [
            r.values["scores"][_main(r)]
            for r in records
            if r.measurement == "scores" and r.recipe["model"]["start"] == start
        ]
    )


def _main(record: Record) -> str:
    return tasks.task(record.recipe["model"]["task"]).metrics[0]


def pretraining_gain(records: Sequence[Record]) -> np.ndarray:
    """Points by which fine-tuning ends higher from pre-trained weights than from random ones."""
    return pretrained_score(records) - scratch_score(records)


def frozen_minus_random_start(records: Sequence[Record]) -> np.ndarray:
    """Points by which no fine-tuning at all beats fine-tuning from random weights."""
    return untrained_score(records) - scratch_score(records)


QUANTITIES: dict[str, Callable[[Sequence[Record]], np.ndarray]] = {
    function.__name__: function
    for function in (
        last_layers_cosine_minus_rest,
        last_layers_cosine_minus_lowest,
        untrained_score,
        scratch_score,
        pretrained_score,
        pretraining_gain,
        frozen_minus_random_start,
    )
}


def quantities(records: Sequence[Record]) -> pd.DataFrame:
    """Every quantity by task and seed: columns ``quantity task seed value``."""
    groups = _by_task(records).items()
    return tidy(QUANTITIES, ((task, _seeds(own), own) for task, own in groups))


def _seeds(records: Sequence[Record]) -> list[int]:
    return [r.recipe["model"]["seed"] for r in records if r.measurement == "untrained_head"]
