"""A finished model as a folder: weights, tokenizer, numbers and card."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bertstudy.devices import has_bf16_units
from bertstudy.editions import Architecture
from bertstudy.encoder import checkpoint_hash
from bertstudy.errors import BertstudyError
from bertstudy.paths import replace_folder
from bertstudy.pretrain.examples import held_out_examples
from bertstudy.pretrain.model import evaluate, unigram_loss
from bertstudy.pretrain.text import TOKENIZER, Corpus

if TYPE_CHECKING:
    from bertstudy.pretrain.run import Run

EVALUATION_BATCHES = 24


def refuse_foreign(out: Path) -> None:
    """The finished checkpoint replaces ``out``, so it must hold an older one or nothing."""
    empty = out.is_dir() and not any(out.iterdir())
    if out.exists() and not empty and not (out / "training.json").is_file():
        raise BertstudyError(f"--out {out} is not a checkpoint of ours; name a new or empty folder")


def export(run: "Run", train: Corpus, validation: Corpus, tokenizer: Path, out: Path) -> None:
    """Write the checkpoint in bf16 with tokenizer, numbers and card; then swap it in.

    Args:
        tokenizer: folder of the tokenizer's files.
        out: what stands there is replaced once the new one is whole.

    Raises:
        BertstudyError: the budget ended before the model had all its layers.
    """
    depth = run.model.config.num_hidden_layers
    if depth != run.architecture.layers:
        raise BertstudyError(
            f"the budget ended at {depth} of {run.architecture.layers} layers: it is too short "
            "for this plan's growth"
        )
    held_out = held_out_examples(validation, run.plan, run.architecture)
    model = run.model.to(torch.bfloat16)
    scores = evaluate(model.float(), held_out, EVALUATION_BATCHES)
    scores["unigram_loss"] = unigram_loss(train, held_out, EVALUATION_BATCHES)
    numbers = {
        "architecture": asdict(run.architecture),
        "plan": asdict(run.plan),
        "minutes": run.minutes,
        "began": run.began,
        "corpus": {"pieces": len(train.pieces), "documents": len(train.documents) - 1},
        "held_out": {name: round(value, 4) for name, value in scores.items()},
        "steps": run.step,
        "tokens": run.tokens,
        "seconds": round(run.seconds, 1),
        "device": str(run.device),
        "products": "bf16" if has_bf16_units(run.device) else "fp32",
        "threads": torch.get_num_threads(),
        "curve": run.curve,
    }
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shutil.copytree(tokenizer, part, dirs_exist_ok=True)
    # Dropout was off here; whoever fine-tunes the checkpoint elsewhere gets BERT's own rate.
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.1
    model.to(torch.bfloat16).save_pretrained(part)
    (part / "training.json").write_text(json.dumps(numbers, indent=1) + "\n")
    (part / "README.md").write_text(card(numbers))
    replace_folder(out, part)


def card(numbers: dict) -> str:
    """The checkpoint's model card, every number taken from ``training.json``.

    Its ``notes``, added by hand where a run was not as planned, are listed last.
    """
    began = numbers.get("began")
    before = ""
    if began:
        before = (
            f", on from checkpoint {began['checkpoint']}: {seen(numbers)['tokens']:,} word pieces "
            f"in all (held-out MLM loss {began['held_out']['mlm_loss']:.3f} before)"
        )
    device = numbers["device"]
    if "products" in numbers:  # cards from before it was written down
        device += f", products in {numbers['products']}"
    notes = "".join(f"- {note}\n" for note in numbers.get("notes", ()))
    a, held, plan = numbers["architecture"], numbers["held_out"], numbers["plan"]
    gain = held["unigram_loss"] - held["mlm_loss"]
    lengths = ", ".join(map(str, (plan["length"], *plan["shorter"])))
    window = plan.get("window", 0)
    starts = "the checkpoint's own" if began else "random vectors"
    if window:
        starts = f"co-occurrences within {window} pieces"
    growth = ", ".join(f"{layers} from {start:.0%}" for start, layers in plan["growth"])
    return f"""# BERT {a["layers"]} × {a["heads"]}, hidden size {a["hidden"]}

An encoder of BERT's architecture pre-trained from scratch by `bertstudy pretrain` with masked
language modelling and next-sentence prediction. It is small and was trained briefly: use it to
study the methods of the book, not for its scores.

| | |
|---|---|
| layers × heads | {a["layers"]} × {a["heads"]} |
| hidden size, positions | {a["hidden"]}, {a["positions"]} |
| vocabulary | {a["vocabulary"]} word pieces, lower-cased |
| text | {numbers["corpus"]["documents"]:,} documents, {numbers["corpus"]["pieces"]:,} word pieces |
| seen in training | {numbers["tokens"]:,} word pieces in {numbers["steps"]:,} steps{before} |
| word pieces a step | {plan["batch_size"] * plan["length"]:,}, in sequences of {lengths} |
| NSP negatives from the same document | {plan["near"]:.0%} |
| word embeddings start from | {starts} |
| depth by share of the budget | {growth or "full depth throughout"} |
| peak learning rate, seed | {plan["learning_rate"]}, {plan["seed"]} |
| wall time, device | {numbers["seconds"] / 60:.0f} min, {device} |
| held-out MLM loss (nats) | {held["mlm_loss"]:.3f} |
| the same for a unigram model | {held["unigram_loss"]:.3f} (the model is {gain:.3f} lower) |
| held-out NSP accuracy | {held["nsp_accuracy"]:.3f} |

Weights are bf16; the learning curve is in `training.json`.

{notes}"""


def began_from(start: Path, architecture: Architecture) -> dict:
    """Which checkpoint a run starts from, and what had gone into it.

    Returns:
        ``checkpoint`` (its hash), ``held_out`` (its scores), and ``tokens steps seconds`` of its
        training and of all training before that.

    Raises:
        BertstudyError: the folder is no checkpoint of this project, or of another shape.
    """
    wanted = asdict(architecture)
    try:
        numbers = json.loads((start / "training.json").read_bytes())
        shape, held_out = numbers["architecture"], numbers["held_out"]
        total = seen(numbers)
        missing = [n for n in ("model.safetensors", *TOKENIZER) if not (start / n).is_file()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BertstudyError(
            f"--start {start} is not a checkpoint of ours: it has no whole training.json"
        ) from error
    if missing:
        raise BertstudyError(f"--start {start} is not a whole checkpoint: no {missing[0]} in it")
    if shape != wanted:
        differing = ", ".join(
            f"{n} {shape.get(n)}, not {v}" for n, v in wanted.items() if shape.get(n) != v
        )
        raise BertstudyError(f"--start {start} has not the edition's shape: {differing}")
    return {"checkpoint": checkpoint_hash(str(start)), "held_out": held_out, **total}


def seen(numbers: dict) -> dict[str, float]:
    """``tokens steps seconds`` in all: of a ``training.json`` and of what that run began from.

    Files written before runs could start from a checkpoint have no "began".
    """
    before = numbers.get("began") or {}
    return {name: before.get(name, 0) + numbers[name] for name in ("tokens", "steps", "seconds")}
