"""What a notebook opens: an edition's models, data and results, ready to be measured."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from bertstudy import devices, encoder, encoding, paths, tasks
from bertstudy.editions import EDITIONS, Edition, edition
from bertstudy.errors import BertstudyError
from bertstudy.makers import SCORE, makes
from bertstudy.store import Record, Store
from bertstudy.synthetic.tasks import rows as synthetic_rows
from bertstudy.tasks import Task
from bertstudy.train import fine_tune, save_epochs

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

OWN_SENTENCES = Path(__file__).with_name("own_sentences.yaml")
RECORD = "BERTSTUDY_RECORD"  # "1" while results are being recorded for the project
MAX_SEEDS = 1000
PAPERS_CHECKPOINT = "google-bert/bert-base-uncased"  # of *Dark Secrets*, which alone names heads
MIN_LENGTH = 3  # [CLS], one piece, [SEP]
STARTS = ("pretrained", "scratch")


class Study:
    """An edition narrowed to some tasks and seeds, with its store.

    Attributes:
        edition: the frozen settings.
        tasks: the tasks, in the order asked for.
        seeds: seeds of fine-tuning.
        store: where results are looked up and kept.
        recording: True while results are made anew and written among the shipped ones.
    """

    def __init__(self, chosen: Edition, names: tuple[str, ...], seeds: tuple[int, ...]):
        encoder.quiet()
        self.edition = chosen
        self.tasks = tuple(tasks.task(name) for name in names)
        self.seeds = seeds
        self.recording = os.environ.get(RECORD) == "1"
        shipped = paths.root() / "results" / chosen.name
        self.store = Store(paths.build() / "store", shipped, look_up=not self.recording)
        self.rows = cache(self._rows)
        self.encoded = cache(self._encoded)

    def __str__(self) -> str:
        source = {"synthetic": "synthetic English", "hub": "the hub"}.get(
            self.edition.source, "a local copy of the hub's files"
        )
        shape = self.config
        return (
            f"edition {self.edition.name}: {shape.num_hidden_layers} layers × "
            f"{shape.num_attention_heads} heads, hidden size {shape.hidden_size}, "
            f"checkpoint {self.checkpoint_hash}\n"
            f"data: {source}; tasks: {', '.join(task.name for task in self.tasks)}\n"
            f"fine-tuning seeds: {', '.join(map(str, self.seeds))}; "
            f"device: {devices.device().type}"
        )

    @cached_property
    def config(self) -> "PretrainedConfig":
        """The checkpoint's transformers configuration."""
        return encoder.load_config(self.edition.checkpoint)

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The checkpoint's tokenizer."""
        return encoder.load_tokenizer(self.edition.checkpoint)

    @cached_property
    def checkpoint_hash(self) -> str:
        """What every recipe calls the checkpoint."""
        return encoder.checkpoint_hash(self.edition.checkpoint)

    # Data

    def _rows(self, task: Task, split: str) -> "Dataset":
        recipe = self.edition.recipe(task.name)
        limit = recipe.train_limit if split == "train" else recipe.validation_limit
        return tasks.load(task.name, split, self.edition.source, limit)

    def _encoded(self, task: Task, split: str) -> encoding.Encoded:
        length = self.edition.recipe(task.name).max_length
        return encoding.encode(self.tokenizer, self.rows(task, split), task, length)

    def examples(self, task: Task, count: int, longest: int) -> list[tuple[tuple[str, ...], str]]:
        """A few texts with their label's name, for explorers.

        From the validation rows where the data is this project's own (synthetic English), else
        from `own_sentences.yaml`: no sentence of somebody's data set is published.

        Args:
            longest: word pieces of an example, specials included.

        Raises:
            BertstudyError: the task is of choices or spans, which explorers do not show.
        """
        if not task.is_of_whole:
            raise BertstudyError(
                f"explorers show no {task.kind}: choose a task other than {task.name}"
            )
        if self.edition.source != "synthetic":
            written = yaml.safe_load(OWN_SENTENCES.read_text())[task.name]
            return [(tuple(texts), label) for texts, label in written[:count]]
        rows, lengths = self.rows(task, "validation"), self.encoded(task, "validation").lengths
        chosen = rows.select(np.flatnonzero(lengths <= longest)[:count])
        return [
            (
                tuple(row[column] for column in task.texts),
                f"{row['label']:.1f}" if task.is_regression else task.labels[row["label"]],
            )
            for row in chosen
        ]

    # Models

    def recipe(self, task: Task, seed: int, start: str = "pretrained") -> dict[str, Any]:
        """Everything a fine-tuned model depends on: the key of the model and of its results."""
        if start not in STARTS:
            raise BertstudyError(f"unknown start '{start}'; allowed: {', '.join(STARTS)}")
        return {
            "checkpoint": self.checkpoint_hash,
            "task": task.name,
            "train": tasks.fingerprint(self.rows(task, "train"), task),
            "validation": tasks.fingerprint(self.rows(task, "validation"), task),
            "seed": seed,
            "start": start,
            "settings": asdict(self.edition.recipe(task.name)),
            "training_version": 1,
        }

    def fine_tuned(
        self, task: Task, seed: int, start: str = "pretrained", every_epoch: bool = False
    ) -> "PreTrainedModel":
        """The fine-tuned classifier, trained now unless the store has it.

        Args:
            start: "pretrained", or "scratch" for fresh weights everywhere.
            every_epoch: also keep each epoch's model (a separate entry of the store).
        """
        recipe = self.recipe(task, seed, start) | ({"every_epoch": True} if every_epoch else {})

        def train(folder: Path) -> dict:
            settings = self.edition.recipe(task.name)
            model = encoder.load_classifier(
                self.edition.checkpoint, task, seed, start == "pretrained", settings.dropout
            )
            result = fine_tune(
                model,
                task,
                self.encoded(task, "train"),
                self.encoded(task, "validation"),
                settings,
                seed,
                after_epoch=save_epochs(folder) if every_epoch else None,
                mixed=self.edition.mixed_precision,
            )
            model.save_pretrained(folder)
            return result

        folder, record = self.store.model(recipe, train)
        if record.origin == "computed":
            last = record.values["epochs"][-1]["validation"][task.metrics[0]]
            seconds = record.provenance["seconds"]
            print(
                f"fine-tuned {task.name}, seed {seed}, {start}: {task.metrics[0]} {last:.1f} "
                f"in {seconds:.0f} s"
            )
        return encoder.load_finetuned(folder)

    def command(self, notebook: str) -> str:
        """The command line that makes this study's page again."""
        own, words = EDITIONS[self.edition.name], [f"bertstudy run {notebook}"]
        words.append(f"--edition {self.edition.name}")
        if self.edition.source != own.source:
            words.append(
                "--source FOLDER"
                if Path(self.edition.source).is_dir()
                else f"--source {self.edition.source}"
            )
        if (names := [task.name for task in self.tasks]) != list(own.tasks):
            words.append(f"-p task={','.join(names)}")
        if self.seeds != own.seeds:
            words.append(f"-p seeds={len(self.seeds)}")
        return " ".join(words)

    @property
    def meets(self) -> tuple[str, ...]:
        """Which needs of a claim this edition meets; see `bertstudy.reference.Claim`."""
        if self.edition.source == "synthetic":
            return ()
        found = {
            "the paper's checkpoint": self.edition.checkpoint == PAPERS_CHECKPOINT,
            "a large model": self.config.num_hidden_layers >= 24,
            "RoBERTa": self.config.model_type == "roberta",
        }
        return ("real data", *(need for need, is_met in found.items() if is_met))

    # Results

    def measure(
        self,
        measurement: str,
        task: Task,
        seed: int,
        compute: Callable[["PreTrainedModel"], Mapping[str, Any]],
        start: str = "pretrained",
        **parameters: Any,
    ) -> Record:
        """One record about one fine-tuned model, which is made only if the record is not there.

        Args:
            measurement: its name; a folder of the store.
            compute: from the model to plain JSON values.
            parameters: what else the values depend on, the measurement's version included.
        """
        recipe = {"model": self.recipe(task, seed, start), **parameters}
        record = self.store.measure(
            measurement, recipe, lambda: compute(self.fine_tuned(task, seed, start))
        )
        own = start == "pretrained" and task.name in self.edition.tasks
        if self.recording and not (own and seed in self.edition.live_seeds):
            self.store.ship(record)
        return record

    def measure_data(
        self,
        measurement: str,
        task: Task,
        compute: Callable[[], Mapping[str, Any]],
        **parameters: Any,
    ) -> Record:
        """One record about a task's data alone, which no encoder has seen."""
        data = {s: tasks.fingerprint(self.rows(task, s), task) for s in ("train", "validation")}
        record = self.store.measure(measurement, {"task": task.name, **data, **parameters}, compute)
        if self.recording:
            self.store.ship(record)
        return record

    def measure_encoder(
        self,
        measurement: str,
        data: str | Mapping[str, Any],
        compute: Callable[["PreTrainedModel"], Mapping[str, Any]],
        **parameters: Any,
    ) -> Record:
        """One record about the pre-trained encoder, which no task has changed.

        There are few, so an edition that computes anything whenever the book is made computes
        these too.

        Args:
            data: what the encoder reads, for the recipe: a fingerprint, or that and a name.
            compute: from the encoder to plain JSON values.
            parameters: what else the values depend on, the measurement's version included.
        """
        recipe = {"checkpoint": self.checkpoint_hash, "data": data, **parameters}
        record = self.store.measure(
            measurement, recipe, lambda: compute(encoder.load_encoder(self.edition.checkpoint))
        )
        if self.recording and not self.edition.live_seeds:
            self.store.ship(record)
        return record

    @makes("scores", within=SCORE)
    def scores(self, task: Task, seed: int, start: str = "pretrained") -> Record:
        """Validation scores (×100) of one fine-tuned model beside the majority class's."""

        def compute(model: "PreTrainedModel") -> dict:
            data = self.encoded(task, "validation")
            return {
                "scores": data.score(encoder.predict(model, data), task),
                "majority": data.majority(task),
                "examples": len(data),
            }

        return self.measure("scores", task, seed, compute, start, version=1)


def choose_tasks(chosen: Edition, wanted: str, any_kind: bool = False) -> tuple[str, ...]:
    """Task names from a parameter: "all" for the edition's own, or names with commas.

    Args:
        any_kind: also tasks of choices and of spans, which most sections cannot measure.

    Raises:
        BertstudyError: an unknown task, one of another kind, or none.
    """
    names = chosen.tasks if wanted == "all" else tuple(n.strip() for n in str(wanted).split(","))
    if not all(names):
        raise BertstudyError("task is empty: give 'all' or names separated by commas")
    for found in map(tasks.task, names):
        if found.trained_on:
            raise BertstudyError(
                f"{found.name} is not trained on: a model fine-tuned on "
                f"{found.trained_on} answers it; choose {found.trained_on} or another task"
            )
        if not (any_kind or found.is_of_whole):
            raise BertstudyError(
                f"this section measures classes and scores; {found.name} asks for {found.kind}"
            )
    return tuple(dict.fromkeys(names))


def _is_whole(value: object, least: int, most: int) -> bool:
    """Whether it is a whole number in that range; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def choose_seeds(chosen: Edition, wanted: int) -> tuple[int, ...]:
    """The first ``wanted`` seeds, 0 for as many as the edition has.

    Raises:
        BertstudyError: not between 0 and `MAX_SEEDS`.
    """
    if not _is_whole(wanted, 0, MAX_SEEDS):
        raise BertstudyError(f"seeds is {wanted}: allowed are 0 (the edition's) to {MAX_SEEDS}")
    return tuple(range(wanted)) if wanted else chosen.seeds


def open_study(
    edition_name: str = "mini",
    source: str = "",
    task: str = "all",
    seeds: int = 0,
    any_kind: bool = False,
) -> Study:
    """Open an edition for a notebook and print what it is.

    Args:
        source: "" for the edition's own data, "hub", "synthetic", or a local folder.
        task: "all" for the edition's tasks, or names separated by commas.
        seeds: how many seeds of fine-tuning; 0 for the edition's own.
        any_kind: allow tasks of choices and of spans too.

    Raises:
        BertstudyError: any of them is not allowed; the message says what is.
    """
    chosen = edition(edition_name, source)
    study = Study(chosen, choose_tasks(chosen, task, any_kind), choose_seeds(chosen, seeds))
    print(study)
    return study


def check(parameters: Mapping[str, Any], any_kind: bool = False) -> None:
    """Refuse parameters that no study has, before any work; `bertstudy run` calls this.

    Args:
        any_kind: as the notebook opens its study.

    Raises:
        BertstudyError: unknown edition or task, no checkpoint, no data, seeds, layer, head or
            sequence length out of range.
    """
    chosen = edition(parameters.get("edition", "mini"), parameters.get("source", ""))
    names = choose_tasks(chosen, parameters.get("task", "all"), any_kind)
    choose_seeds(chosen, parameters.get("seeds", 0))
    study = Study(chosen, names, chosen.seeds)
    config = study.config
    longest = encoder.longest_input(config)
    limits = {
        "layer": (0, config.num_hidden_layers - 1, " (0-based)"),
        "head": (0, config.num_attention_heads - 1, " (0-based)"),
        "max_length": (MIN_LENGTH, longest, " word pieces"),
    }
    for name, (least, most, unit) in limits.items():
        if name in parameters and not _is_whole(parameters[name], least, most):
            raise BertstudyError(
                f"{name} is {parameters[name]}: allowed are {least} to {most}{unit}"
            )
    for task in study.tasks:
        if (length := chosen.recipe(task.name).max_length) > longest:
            raise BertstudyError(
                f"{task.name} asks for {length} word pieces; the model has {longest}"
            )
    for task in study.tasks:
        for split in ("train", "validation"):
            if chosen.source == "synthetic":
                next(synthetic_rows(task.name, split))  # one alone: all of them take seconds
            elif chosen.source != "hub":  # which would be asked over the network: by the run itself
                tasks.load(task.name, split, chosen.source, limit=1)
