r"""Kovaleva, Romanov, Rogers & Rumshisky (2019), *Revealing the Dark Secrets of BERT*.

§4.6, disabling heads and layers. For a model with parameters θ and a task's score S,

$$\Delta_{lh} = S(\theta;\ A^{(l,h)} \leftarrow \tfrac1L) - S(\theta)$$

is the *effect* of disabling head h of layer l: positive where the model does better without
what the head has learnt. Figure 8 shows S with one head disabled, Figure 9 with one layer.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bertstudy.ablation import Sweep, disable_each
from bertstudy.attention import DISABLINGS
from bertstudy.encoding import Encoded
from bertstudy.makers import PART, makes
from bertstudy.reference import of_models, tidy
from bertstudy.store import Record
from bertstudy.tasks import Task, score

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study

KINDS = tuple(DISABLINGS)
HALVES_SEED = 0
VERSION = 1  # of the measurement; raise it when the meaning of a value changes


# Measuring ----------------------------------------------------------------------------------


@makes("disabling", within=PART)
def disabling(study: "Study", task: Task, seed: int, kind: str = "uniform") -> Record:
    """Scores (×100) of one fine-tuned model with every head and every layer disabled in turn.

    Values:
        ``metric``, ``examples``, ``baseline``; ``heads [layer][head]`` and ``layers [layer]``
        on all validation examples, in the task's main metric; and the same three under
        ``halves``, two random halves of those examples, so that a head can be chosen on one
        half and judged on the other.
    """

    def compute(model: "PreTrainedModel") -> dict:
        data = study.encoded(task, "validation")
        swept = disable_each(model, data, kind)
        order = np.random.default_rng(HALVES_SEED).permutation(len(data))
        halves = (order[: len(order) // 2], order[len(order) // 2 :])
        whole = _scores(swept, data, task, np.arange(len(data)))
        return {
            "metric": task.metrics[0],
            "examples": len(data),
            **whole,
            "halves": [_scores(swept, data, task, np.sort(half)) for half in halves],
        }

    return study.measure("disabling", task, seed, compute, kind=kind, version=VERSION)


def _scores(swept: Sweep, data: Encoded, task: Task, rows: np.ndarray) -> dict[str, Any]:
    def main(logits: np.ndarray) -> float:
        return round(score(logits[rows], data.labels[rows], task)[task.metrics[0]], 4)

    return {
        "baseline": main(swept.baseline),
        "heads": [[main(head) for head in layer] for layer in swept.heads],
        "layers": [main(layer) for layer in swept.layers],
    }


def disabling_records(study: "Study") -> list[Record]:
    """Records of every task, seed and kind of the study."""
    return [
        disabling(study, task, seed, kind)
        for task in study.tasks
        for seed in study.seeds
        for kind in KINDS
    ]


def effects(records: Sequence[Record]) -> pd.DataFrame:
    """Tidy effects: one row a task, seed, kind, part, layer and head.

    Columns ``task seed kind part layer head score baseline effect origin``; ``part`` is
    "head" or "layer" (then ``head`` is -1); layers and heads are 0-based; ``effect`` is in
    points (score and baseline are ×100).
    """
    rows = []
    for record in records:
        model, values = record.recipe["model"], record.values
        common = {
            "task": model["task"],
            "seed": model["seed"],
            "kind": record.recipe["kind"],
            "baseline": values["baseline"],
            "origin": record.origin,
        }
        for layer, (heads, whole) in enumerate(zip(values["heads"], values["layers"], strict=True)):
            rows.append(common | {"part": "layer", "layer": layer, "head": -1, "score": whole})
            rows += [
                common | {"part": "head", "layer": layer, "head": head, "score": one}
                for head, one in enumerate(heads)
            ]
    table = pd.DataFrame(rows)
    table["effect"] = table["score"] - table["baseline"]
    return table


# Quantities the paper's claims are about: by task, one number a seed --------------------------


def best_head_gain(records: Sequence[Record]) -> np.ndarray:
    """Largest effect of a single head, chosen and judged on the same examples, as in the paper.

    The largest of many noisy numbers is positive even where every true effect is zero.
    """
    return np.array([np.max(head_effects(r.values)) for r in records])


def best_head_gain_held_out(records: Sequence[Record]) -> np.ndarray:
    """The effect on one half of the examples of the head that was best on the other half.

    Mean over the two directions, and over heads that tie. Unbiased for the head so chosen;
    in expectation a lower bound for the best head.
    """
    return np.array([_held_out(*map(head_effects, r.values["halves"])) for r in records])


def _held_out(first: np.ndarray, second: np.ndarray) -> float:
    forth, back = second[first == first.max()].mean(), first[second == second.max()].mean()
    return float((forth + back) / 2)


def mean_head_effect(records: Sequence[Record]) -> np.ndarray:
    """Mean effect over all heads, one disabled at a time."""
    return np.array([np.mean(head_effects(r.values)) for r in records])


def share_of_heads_that_gain(records: Sequence[Record]) -> np.ndarray:
    """Percentage of heads whose disabling raises the score."""
    return np.array([100 * np.mean(head_effects(r.values) > 0) for r in records])


def best_layer_gain(records: Sequence[Record]) -> np.ndarray:
    """Largest effect of a whole layer, chosen and judged on the same examples."""
    return np.array([np.max(layer_effects(r.values)) for r in records])


def best_layer_gain_held_out(records: Sequence[Record]) -> np.ndarray:
    """`best_head_gain_held_out` for whole layers."""
    return np.array([_held_out(*map(layer_effects, r.values["halves"])) for r in records])


def first_layer_effect(records: Sequence[Record]) -> np.ndarray:
    """Effect of disabling all heads of layer 1."""
    return np.array([layer_effects(r.values)[0] for r in records])


def worst_layer_effect(records: Sequence[Record]) -> np.ndarray:
    """Smallest effect of a whole layer."""
    return np.array([np.min(layer_effects(r.values)) for r in records])


NAMED_HEADS = ((3, 0), (1, 11))  # §5: layer 4 head 1, layer 2 head 12, in bert-base-uncased


def effect_of_named_heads(records: Sequence[Record]) -> np.ndarray:
    """Mean effect of the two heads the paper names; NaN where the model is too small for them."""

    def mean(values: dict) -> float:
        effect = head_effects(values)
        layers, heads = effect.shape
        there = all(layer < layers and head < heads for layer, head in NAMED_HEADS)
        return float(np.mean([effect[at] for at in NAMED_HEADS])) if there else float("nan")

    return np.array([mean(r.values) for r in records])


QUANTITIES: dict[str, Callable[[Sequence[Record]], np.ndarray]] = {
    function.__name__: function
    for function in (
        best_head_gain,
        best_head_gain_held_out,
        mean_head_effect,
        share_of_heads_that_gain,
        best_layer_gain,
        best_layer_gain_held_out,
        effect_of_named_heads,
        first_layer_effect,
        worst_layer_effect,
    )
}


def head_effects(values: dict) -> np.ndarray:
    """Effects of single heads in points, ``[layer, head]``."""
    return np.array(values["heads"]) - values["baseline"]


def layer_effects(values: dict) -> np.ndarray:
    """Effects of whole layers in points, ``[layer]``."""
    return np.array(values["layers"]) - values["baseline"]


def quantities(records: Sequence[Record], kind: str = "uniform") -> pd.DataFrame:
    """Every quantity by task and seed: columns ``quantity task seed value``."""
    return tidy(QUANTITIES, of_models([r for r in records if r.recipe["kind"] == kind]))


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of every quantity, a column a task."""
    named = measured.assign(quantity=measured["quantity"].str.replace("_", " "))
    tasks = list(dict.fromkeys(named["task"]))
    table = named.groupby(["quantity", "task"], sort=False)["value"].agg(["mean", "std"])
    return table.unstack("task").swaplevel(axis=1)[tasks].reset_index()
