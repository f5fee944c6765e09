"""Can a scale's tasks answer a question about BERT? Majority, words, from scratch, pre-trained.

A synthetic task is *calibrated* where each step up this ladder is worth `STEP` points, where word
counts alone do not climb it, and where there is room left above. On real data the rule of
`statistics.signal` decides instead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from bertstudy import encoder, paths, tasks
from bertstudy.baselines import bag_of_words, word_overlap
from bertstudy.editions import edition
from bertstudy.errors import BertstudyError
from bertstudy.makers import PART, SCORE, makes
from bertstudy.statistics import SIGNAL_ERRORS, SIGNAL_SEEDS, in_errors, signal
from bertstudy.store import Record, Store
from bertstudy.study import STARTS
from bertstudy.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bertstudy.study import Study

STEP = 5.0  # points: majority to from scratch, from scratch to pre-trained, words to pre-trained
ERRORS = 2.0  # standard errors that the step to pre-trained must exceed
CEILING = 95.0  # above it a task is saturated
COUNTED = {"bag_of_words": "words", "word_overlap": "overlap"}  # measurement to column
AS_WELL = {  # what it means where a count comes as far as the encoder
    "words": ("a bag of words", "little hangs on attention"),
    "overlap": ("counting shared words", "finding equal words may be all that is learnt"),
}
ABOUT_WORDS = ("sst2",)  # sentiment is in the words, in the real SST-2 as well


@makes("bag_of_words", within=SCORE)
def words(study: "Study", task: Task) -> Record:
    """Scores of a bag of words on the task; see `baselines.bag_of_words`."""
    return _counted(study, task, "bag_of_words", bag_of_words)


@makes("word_overlap", within=SCORE)
def overlap(study: "Study", task: Task) -> Record:
    """Scores of counting shared words on a task of pairs; see `baselines.word_overlap`."""
    return _counted(study, task, "word_overlap", word_overlap)


def _counted(
    study: "Study", task: Task, measurement: str, baseline: Callable[..., dict[str, float]]
) -> Record:
    def compute() -> dict[str, Any]:
        train, validation = (study.rows(task, split) for split in ("train", "validation"))
        return {"scores": baseline(train, validation, task)}

    return study.measure_data(measurement, task, compute, version=1)


def ladder(study: "Study") -> list[Record]:
    """The records behind a study's ladder: words, from scratch and pre-trained, for each task."""
    records = []
    for task in study.tasks:
        if task.kind != "spans":  # word counts name no place in a text
            records.append(words(study, task))
        if task.is_of_pairs:
            records.append(overlap(study, task))
        records += [study.scores(task, n, start) for start in STARTS for n in study.seeds]
    return records


def recorded(name: str) -> list[Record]:
    """The shipped records behind an edition's ladder, for readers who have not its data.

    Only those of the checkpoint and of the fine-tuning recipes as they are now; scores in the order
    of `tasks.TASKS`, then by seed.

    Args:
        name: of an edition whose checkpoint comes with the project.

    Raises:
        BertstudyError: unknown edition, a checkpoint of the hub, or nothing is recorded.
    """
    chosen = edition(name)
    if not Path(chosen.checkpoint).is_dir():
        raise BertstudyError(f"the checkpoint of edition '{name}' does not come with the project")
    store = Store(paths.build() / "store", paths.root() / "results" / name)
    checkpoint = encoder.checkpoint_hash(chosen.checkpoint)
    scored, data = [], set()
    for record in store.recorded("scores"):
        model = record.recipe["model"]
        settings = asdict(chosen.recipe(model["task"]))
        if (model["checkpoint"], model["settings"]) == (checkpoint, settings):
            scored.append(record)
            data.add((model["task"], model["train"], model["validation"]))
    if not scored:
        raise BertstudyError(f"no scores of edition '{name}' are recorded for its checkpoint")
    counted = [
        r
        for measurement in COUNTED
        for r in store.recorded(measurement)
        if (r.recipe["task"], r.recipe["train"], r.recipe["validation"]) in data
    ]
    order = list(tasks.TASKS)
    scored.sort(key=lambda r: (order.index(r.recipe["model"]["task"]), r.recipe["model"]["seed"]))
    return scored + counted


def tabulate(records: Sequence[Record]) -> pd.DataFrame:
    """The scores of `ladder` in each task's main metric.

    Returns:
        One row a task: ``task metric majority words overlap scratch pretrained``; the last two
        are lists, one score a seed; ``words`` and ``overlap`` are NaN where there is none.
    """
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        made = record.recipe.get("model", record.recipe)
        main = tasks.task(made["task"]).metrics[0]
        empty = {"task": made["task"], "metric": main, "majority": np.nan}
        empty |= dict.fromkeys(COUNTED.values(), np.nan)
        row = rows.setdefault(made["task"], empty | {start: [] for start in STARTS})
        if record.measurement in COUNTED:
            row[COUNTED[record.measurement]] = record.values["scores"][main]
        else:
            row["majority"] = record.values["majority"][main]
            row[made["start"]].append(record.values["scores"][main])
    return pd.DataFrame(list(rows.values()))


def signals(study: "Study") -> pd.DataFrame:
    """Whether pre-training shows on each task of a study: it must, for the task to bear claims.

    Returns:
        One row a task: ``task metric majority scratch pretrained signal errors``; ``scratch`` and
        ``pretrained`` hold one score a seed, ``errors`` the margin in standard errors.
    """
    seeds = study.seeds[:SIGNAL_SEEDS]
    # Too few seeds decide nothing: training from scratch beside them would be wasted.
    starts = STARTS if len(seeds) == SIGNAL_SEEDS else ("pretrained",)
    found = tabulate([study.scores(t, n, s) for t in study.tasks for s in starts for n in seeds])
    return with_signals(found.drop(columns=[*COUNTED.values()]))


def with_signals(found: pd.DataFrame) -> pd.DataFrame:
    """`tabulate`'s table with ``signal`` and its margin in standard errors, ``errors``."""
    return found.join(_signals(found))


def _signals(found: pd.DataFrame) -> pd.DataFrame:
    decided = [
        signal(row["pretrained"], row["scratch"], row["majority"]) for _, row in found.iterrows()
    ]
    return pd.DataFrame(decided, columns=["signal", "errors"], index=found.index)


def judged(found: pd.DataFrame) -> pd.DataFrame:
    """`tabulate`'s table with its steps and verdicts.

    Adds ``learnt`` (from scratch minus majority), ``gained`` (pre-trained minus from scratch),
    ``gained_errors`` (the same in standard errors), ``over_words`` (pre-trained minus words),
    ``calibrated``, ``reason`` (what is missing, "" if nothing), ``signal`` and its margin,
    ``errors``.
    """
    steps = pd.DataFrame([_judge(row) for _, row in found.iterrows()], index=found.index)
    return found.join(steps).join(_signals(found))


def _judge(row: Mapping[str, Any]) -> dict[str, Any]:
    scratch, pretrained = float(np.mean(row["scratch"])), float(np.mean(row["pretrained"]))
    spread = float(np.hypot(_error(row["scratch"]), _error(row["pretrained"])))
    steps = {
        "learnt": scratch - row["majority"],
        "gained": pretrained - scratch,
        "gained_errors": in_errors(pretrained - scratch, spread),
        "over_words": pretrained - row["words"],
    }
    missing = list(_missing(row["task"], steps, max(row["pretrained"])))
    return steps | {"calibrated": not missing, "reason": "; ".join(missing)}


def _error(samples: Sequence[float]) -> float:
    """Standard error of a mean; NaN of a single sample, whose spread is unknown."""
    return float(stats.sem(samples)) if len(samples) > 1 else float("nan")


def _missing(task: str, steps: Mapping[str, float], best: float) -> Iterator[str]:
    if steps["learnt"] < STEP:
        yield f"from scratch is only {steps['learnt']:+.1f} over the majority"
    if steps["gained"] < STEP:
        yield f"pre-training gains only {steps['gained']:+.1f}"
    if not steps["gained_errors"] > ERRORS:
        yield f"the gain is {steps['gained_errors']:.1f} standard errors"
    if steps["over_words"] < STEP and task not in ABOUT_WORDS:
        yield f"pre-trained is {steps['over_words']:+.1f} over the bag of words"
    if best > CEILING:
        yield f"saturated: {best:.1f}"


def can_say(found: pd.DataFrame) -> pd.Series:
    """In words, what each task of `with_signals`'s table can and cannot be asked."""
    return found.apply(_can_say, axis=1)


def _can_say(row: Mapping[str, Any]) -> str:
    if row["signal"] is None:
        return f"nothing yet: fewer than {SIGNAL_SEEDS} seeds"
    mean = float(np.mean(row["pretrained"]))
    if not row["signal"]:
        over = {
            "the majority class": mean - row["majority"],
            "training from scratch": mean - float(np.mean(row["scratch"])),
        }
        rival, gain = min(over.items(), key=lambda item: item[1])
        return (
            f"nothing about what pre-training taught: {gain:+.1f} over {rival}, "
            f"{row['errors']:.1f} standard errors where more than {SIGNAL_ERRORS:.0f} are asked"
        )
    said = f"claims can be decided: pre-training shows by {row['errors']:.1f} standard errors"
    for column, (what, so) in AS_WELL.items():
        if mean < row[column] + ERRORS * _error(row["pretrained"]):  # never where there is none
            said += f"; {what} does as well ({row[column]:.1f}), so {so}"
    return said


# Heuristics -----------------------------------------------------------------------------------


@makes("hans", within=PART)
def heuristics(study: "Study", task: Task, seed: int) -> Record:
    """Accuracy (×100) of one NLI model on HANS, by heuristic and gold label.

    A model that has learnt the heuristic is right on the entailed pairs and wrong on the others
    (McCoy et al. 2019); neutral and contradiction both count as non-entailment.
    """
    hans = tasks.task("hans")

    def compute(model: "PreTrainedModel") -> dict[str, Any]:
        rows = study.rows(hans, "validation")
        found = tasks.predictions(encoder.predict(model, study.encoded(hans, "validation")), hans)
        table = pd.DataFrame({"heuristic": rows["heuristic"], "label": rows["label"]})
        right = pd.Series(found == np.asarray(rows["label"]))
        shares = 100 * right.groupby([table["heuristic"], table["label"]]).mean()
        return {"accuracy": {f"{h} {hans.labels[g]}": s for (h, g), s in shares.items()}}

    data = tasks.fingerprint(study.rows(hans, "validation"), hans)
    return study.measure("hans", task, seed, compute, data=data, version=1)


def heuristics_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a heuristic and gold label: mean accuracy and its spread over seeds."""
    rows = pd.DataFrame([r.values["accuracy"] for r in records])
    split = [name.split(" ", 1) for name in rows]  # none where the study leaves MNLI out
    return pd.DataFrame(
        {
            "heuristic": [s[0] for s in split],
            "gold label": [s[1] for s in split],
            "accuracy (%)": rows.mean().to_numpy(),
            "sd over seeds": rows.std(ddof=1).to_numpy(),
            "seeds": len(rows),
        }
    )
