r"""§4.1, five patterns of attention maps: Figures 1 and 2.

A classifier, trained on maps that were labelled by eye (`labelled_maps`), names the pattern of
every map that a fine-tuned model makes on up to a thousand validation examples. Figure 2 shows the
share of each pattern among all these maps: examples × layers × heads.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from bertstudy import reference
from bertstudy.attention import Site
from bertstudy.encoding import Encoded
from bertstudy.makers import makes
from bertstudy.papers.secrets import labelled_maps, pattern_classifiers
from bertstudy.papers.secrets.labelled_maps import GUIDELINE, PATTERNS, LabelledMaps, second_segment
from bertstudy.papers.secrets.pattern_classifiers import UNCERTAIN, Classifier
from bertstudy.reference import of_models, tidy
from bertstudy.store import Record
from bertstudy.streaming import EXAMPLES, Gold, sample, stream
from bertstudy.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study

FOLDS = 5
FOLD_SEED = 0
TRAINING_SEEDS = (0, 1, 2)  # of the network in every fold
KEPT = 0.95  # share of the examples on which a head that "keeps one pattern" shows it
HETEROGENEOUS = PATTERNS.index("Heterogeneous")
# Share of the examples on which a head may show another pattern if the model was fine-tuned on
# another processor.
CHANGING = 0.1
# Of the two measurements; raise one when the meaning of its values changes.
VERSION = 1
JUDGING = 2  # 1 had maps of one head on both sides of a fold


# Judging the classifiers on maps of heads they have not seen --------------------------------------


def held_out(
    labelled: LabelledMaps, fit: Callable[[LabelledMaps, int], Classifier], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of every labelled map, each by a classifier that was fitted on other folds.

    Returns:
        ``[map, pattern]``, and the fold of each map, ``[map]``. All maps of a head are in one fold:
        a head makes much the same map of one sentence as of the next. Folds are stratified by
        label as far as that allows, and the same for every classifier and seed.
    """
    targets, heads = labelled.targets, labelled.heads
    probabilities = np.zeros((len(labelled), len(PATTERNS)))
    folds = np.zeros(len(labelled), int)
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=FOLD_SEED)
    with warnings.catch_warnings():  # of a pattern that has fewer maps than there are folds
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(split.split(targets, targets, heads))
    for fold, (rest, own) in enumerate(parts):
        classifier = fit(labelled.take(rest), seed)
        found = classifier.probabilities(*pattern_classifiers.padded(labelled.take(own)))
        probabilities[own], folds[own] = found[:, 0].numpy(), fold
    return probabilities, folds


def macro_f1(targets: np.ndarray, predicted: np.ndarray) -> float:
    """F1, mean over the patterns; one that is neither there nor named has no F1 and is left out."""
    patterns = np.union1d(targets, predicted)
    return float(f1_score(targets, predicted, labels=patterns, average="macro", zero_division=0))


def judge(labelled: LabelledMaps, name: str, seed: int) -> dict[str, Any]:
    """One classifier on the maps of held-out heads.

    Returns:
        ``f1 [fold]``, macro; ``classes``, the index of the pattern named for each map, a digit a
        map; ``uncertain``, the share of maps whose most probable pattern is not above `UNCERTAIN`.
    """
    probabilities, folds = held_out(labelled, pattern_classifiers.FITS[name], seed)
    predicted, targets = probabilities.argmax(-1), labelled.targets
    own = [folds == fold for fold in range(FOLDS)]
    return {
        "seed": seed,
        "f1": [round(macro_f1(targets[rows], predicted[rows]), 5) for rows in own],
        "classes": "".join(map(str, predicted)),
        "uncertain": round(float((probabilities.max(-1) <= UNCERTAIN).mean()), 5),
    }


def classifiers(study: "Study") -> Record:
    """Both classifiers, judged on maps of held-out heads; the same for every edition and task.

    Values:
        For "network" and "rules" a list of what `judge` returns, one entry a training seed.
    """
    labelled = labelled_maps.load()
    seeds = {"network": TRAINING_SEEDS, "rules": TRAINING_SEEDS[:1]}  # rules draw nothing

    def compute() -> dict[str, Any]:
        return {n: [judge(labelled, n, seed) for seed in some] for n, some in seeds.items()}

    recipe = {
        "labels": labelled.hash,
        "how": pattern_classifiers.settings(),
        "seeds": seeds,
        "folds": [FOLDS, FOLD_SEED],
        "version": JUDGING,
    }
    record = study.store.measure("pattern_classifiers", recipe, compute)
    if study.recording:
        study.store.ship(record)
    return record


def better(record: Record) -> str:
    """The classifier that Figure 2 uses: the higher mean held-out F1 over folds and seeds.

    This rule was written down before either had been trained.
    """
    means = {n: np.mean([judged["f1"] for judged in some]) for n, some in record.values.items()}
    return max(means, key=means.get)


# Measuring --------------------------------------------------------------------------------------


def classify(
    model: "PreTrainedModel", data: Encoded, classifier: Classifier
) -> tuple[np.ndarray, np.ndarray]:
    """The pattern of every map of a data set, without holding the maps.

    Returns:
        Index into `PATTERNS` and its probability, each ``[example, layer, head]``.
    """
    seconds = torch.tensor([second_segment(ids) for ids in data.ids])

    def reduce(probs: Tensor, site: Site, gold: Gold) -> dict[str, Tensor]:
        found = classifier.probabilities(probs, site.is_token, gold["second"]).max(-1)
        return {"pattern": found.indices.to(torch.uint8), "confidence": found.values}

    found = stream(model, data, reduce, lambda rows, _: {"second": seconds[rows]})
    return found["pattern"], found["confidence"]


@makes(
    "attention_patterns",
    within=lambda values: CHANGING * values["examples"],
    counts_agree=False,
    name=lambda facts: facts["classifier"],
)
def patterns(study: "Study", task: Task, seed: int, name: str) -> Record:
    """The patterns of one fine-tuned model's maps.

    Args:
        name: of the classifier, "network" or "rules" (a small tree over hand-made statistics).

    Values:
        ``examples``; ``counts [layer][head][pattern]``, on how many of them a head shows each
        pattern; ``uncertain [layer][head]``, on how many the classifier is.
    """
    labelled = labelled_maps.load()

    def compute(model: "PreTrainedModel") -> dict[str, Any]:
        data = study.encoded(task, "validation")
        data = data.take(sample(len(data)))
        classifier = pattern_classifiers.fitted(name, labelled)
        found, confidence = classify(model, data, classifier)
        counts = (found[..., None] == np.arange(len(PATTERNS))).sum(0)
        return {
            "examples": len(data),
            "counts": counts.tolist(),
            "uncertain": (confidence <= UNCERTAIN).sum(0).tolist(),
        }

    recipe = {
        "classifier": name,
        "made": pattern_classifiers.made(name, labelled),
        "examples": EXAMPLES,
        "version": VERSION,
    }
    return study.measure("attention_patterns", task, seed, compute, **recipe)


def records(study: "Study") -> list[Record]:
    """Everything that §4.1 needs: the classifiers first, then every task and seed of the study."""
    judged = classifiers(study)
    name = better(judged)
    found = [patterns(study, task, seed, name) for task in study.tasks for seed in study.seeds]
    return [judged, *found]


# Tables -----------------------------------------------------------------------------------------


def _judged(records: Sequence[Record]) -> Record:
    return next(r for r in records if r.measurement == "pattern_classifiers")


def _models(records: Sequence[Record]) -> list[Record]:
    return [r for r in records if r.measurement == "attention_patterns"]


def _classes(judged: dict[str, Any]) -> np.ndarray:
    return np.array(list(judged["classes"]), int)


def guideline(labelled: LabelledMaps) -> pd.DataFrame:
    """By what each label was given, and how many maps have it, by edition."""
    rule = pd.DataFrame({"pattern": PATTERNS, "looks like": [GUIDELINE[p] for p in PATTERNS]})
    counts = pd.crosstab(labelled.table["label"], labelled.table["edition"])
    counts = counts.add_prefix("maps of ").reindex(PATTERNS, fill_value=0)
    share = (100 * counts.sum(axis=1) / len(labelled)).rename("% of all")
    return rule.merge(counts.join(share), left_on="pattern", right_index=True)


def beside_paper(labelled: LabelledMaps) -> pd.DataFrame:
    """The paper's labelled maps and ours in numbers: columns ``labelled maps paper ours``."""
    printed = reference.numbers("secrets").query("row == 'annotated maps'").set_index("column")
    vertical = 100 * (labelled.table["label"] == "Vertical").mean()
    ours = {"all": ("number", len(labelled)), "Vertical": ("Vertical, % of all", vertical)}
    return pd.DataFrame(
        {"labelled maps": title, "paper": printed.at[column, "value"], "ours": value}
        for column, (title, value) in ours.items()
    )


def shares(records: Sequence[Record]) -> pd.DataFrame:
    """Tidy shares: one row a task, seed, layer, head and pattern.

    Columns ``task seed layer head pattern share uncertain examples origin``; layers and heads are
    0-based; ``share`` and ``uncertain`` are percentages of the head's examples.
    """
    rows = []
    for record in _models(records):
        model, values = record.recipe["model"], record.values
        common = {"task": model["task"], "seed": model["seed"], "origin": record.origin}
        common |= {"examples": values["examples"]}
        for (layer, head), unsure in np.ndenumerate(np.array(values["uncertain"])):
            rows += [
                common
                | {"layer": layer, "head": head, "pattern": pattern}
                | {"share": 100 * count / values["examples"]}
                | {"uncertain": 100 * unsure / values["examples"]}
                for pattern, count in zip(PATTERNS, values["counts"][layer][head], strict=True)
            ]
    return pd.DataFrame(rows)


def by_task(shares: pd.DataFrame) -> pd.DataFrame:
    """Figure 2 in numbers: a row a task, mean over seeds of each pattern's percentage.

    Columns ``task``, one a pattern, ``uncertain``, ``sd of Heterogeneous`` over seeds, ``examples``
    and ``seeds``.
    """
    rows = []
    for name, own in shares.groupby("task", sort=False):
        seeds = own.groupby(["seed", "pattern"])["share"].mean().unstack()[list(PATTERNS)]
        spread = seeds["Heterogeneous"].std() if len(seeds) > 1 else np.nan
        rows.append(
            {"task": name, **seeds.mean(), "uncertain": own["uncertain"].mean()}
            | {"sd of Heterogeneous": spread, "examples": own["examples"].iloc[0]}
            | {"seeds": len(seeds)}
        )
    return pd.DataFrame(rows)


def dominant(shares: pd.DataFrame) -> pd.DataFrame:
    """Each head's commonest pattern: columns ``task seed layer head pattern share``."""
    keys = ["task", "seed", "layer", "head"]
    most = shares.groupby(keys, sort=False)["share"].idxmax()
    return shares.loc[most, [*keys, "pattern", "share"]].reset_index(drop=True)


def steady_heads(shares: pd.DataFrame) -> pd.DataFrame:
    """How many heads keep one pattern: a row a task and pattern, means over seeds.

    Columns ``task pattern``; ``heads``, of which it is the commonest pattern; those that show it
    on `KEPT` of the examples; those that show it on all.
    """
    most = dominant(shares)
    seeds = most.groupby("task")["seed"].nunique()
    kept = {
        "heads": most["share"] > 0,
        f"on {KEPT:.0%} of the examples": most["share"] >= 100 * KEPT,
        "on all examples": most["share"] == 100,
    }
    counts = pd.DataFrame(kept).groupby([most["task"], most["pattern"]], sort=False).sum()
    order = pd.MultiIndex.from_product([seeds.index, PATTERNS], names=["task", "pattern"])
    found = counts.reindex(order, fill_value=0)
    return found.div(seeds, axis=0, level="task").reset_index()


def judgements(records: Sequence[Record], labelled: LabelledMaps) -> pd.DataFrame:
    """The classifiers beside each other on held-out maps.

    Columns ``classifier``; ``macro-F1``, mean over folds, and its ``sd over folds``; ``accuracy``;
    F1 of each pattern, and their mean ``pooled macro-F1``, on all held-out maps together;
    ``uncertain``, a percentage; ``seeds agree``, the percentage of maps on which two training
    seeds name one pattern (absent where nothing is drawn). Means over training seeds.
    """
    targets, rows = labelled.targets, []
    for name, some in _judged(records).values.items():
        named = np.array([_classes(judged) for judged in some])
        folds = np.mean([judged["f1"] for judged in some], axis=0)
        each = [
            f1_score(targets, one, labels=range(len(PATTERNS)), average=None, zero_division=0)
            for one in named
        ]
        pairs = [(named[i] == named[j]).mean() for i in range(len(named)) for j in range(i)]
        rows.append(
            {"classifier": name, "macro-F1": folds.mean(), "sd over folds": folds.std(ddof=1)}
            | {"accuracy": (named == targets).mean()}
            | {"pooled macro-F1": np.mean(each)}
            | dict(zip(PATTERNS, np.mean(each, axis=0), strict=True))
            | {"uncertain": 100 * np.mean([judged["uncertain"] for judged in some])}
            | {"seeds agree": 100 * np.mean(pairs) if pairs else np.nan}
        )
    return pd.DataFrame(rows)


def confusions(records: Sequence[Record], labelled: LabelledMaps) -> dict[str, pd.DataFrame]:
    """For each classifier the held-out maps by label (down) and named pattern; means over seeds."""
    found = {}
    for name, some in _judged(records).values.items():
        counts = [
            confusion_matrix(labelled.targets, _classes(judged), labels=range(len(PATTERNS)))
            for judged in some
        ]
        found[name] = pd.DataFrame(np.mean(counts, axis=0), index=PATTERNS, columns=PATTERNS)
    return found


# Quantities: from `records`, one number a fold or a seed ------------------------------------------


def pattern_classifier_f1(records: Sequence[Record]) -> np.ndarray:
    """Macro-F1 of the network on each fold, mean over its training seeds."""
    return np.mean([judged["f1"] for judged in _judged(records).values["network"]], axis=0)


def heterogeneous_share(records: Sequence[Record]) -> np.ndarray:
    """Percentage of a task's maps that the classifier calls Heterogeneous, one number a seed."""
    counts = [np.array(r.values["counts"]).sum((0, 1)) for r in _models(records)]
    return np.array([100 * c[HETEROGENEOUS] / c.sum() for c in counts])


QUANTITIES: dict[str, Callable[[Sequence[Record]], np.ndarray]] = {
    function.__name__: function for function in (pattern_classifier_f1, heterogeneous_share)
}


def quantities(records: Sequence[Record]) -> pd.DataFrame:
    """Every quantity by task and seed: columns ``quantity task seed value``.

    The classifier belongs to no task; in its rows ``task`` is "" and ``seed`` counts folds.
    """
    return pd.concat(
        [
            tidy({pattern_classifier_f1.__name__: pattern_classifier_f1}, [("", None, records)]),
            tidy({heterogeneous_share.__name__: heterogeneous_share}, of_models(_models(records))),
        ],
        ignore_index=True,
    )
