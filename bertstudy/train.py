"""Fine-tuning for classification, regression, multiple choice and spans."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from bertstudy.devices import mixed_precision
from bertstudy.editions import FineTuning
from bertstudy.encoder import logits_of, model_inputs, predict
from bertstudy.encoding import Encoded, shuffled
from bertstudy.errors import BertstudyError
from bertstudy.tasks import Task


class TrainingDiverged(BertstudyError):
    """The loss stopped being a number."""


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy for classes and choices, squared error for regression (one output).

    For spans, logits ``[window, start and end, piece]`` and labels ``[window, start and end]``,
    the mean cross-entropy of starts and ends.
    """
    if logits.ndim == 3:
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
    if logits.size(-1) == 1:
        return F.mse_loss(logits[:, 0].float(), labels.float())
    return F.cross_entropy(logits.float(), labels)


def parameter_groups(model: PreTrainedModel, decay: float) -> list[dict]:
    """Weight decay on matrices only: biases and LayerNorm are left alone, as in BERT."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": decay},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]


def fine_tune(
    model: PreTrainedModel,
    task: Task,
    train: Encoded,
    validation: Encoded,
    settings: FineTuning,
    seed: int,
    after_epoch: Callable[[int, PreTrainedModel], None] | None = None,
    mixed: bool = False,
) -> dict:
    """Train ``model`` in place: AdamW, linear warm-up and decay.

    Args:
        model: with the head of the task's kind: `encoder.load_classifier`.
        train, validation: from `encoding.encode`; the second is scored after each epoch, and
            nothing is selected on it.
        seed: of the order of the batches and of dropout. The same seed gives the same
            numbers on the same machine with the same number of threads.
        after_epoch: called with the 1-based epoch and the model, for checkpoints.
        mixed: matrix products in bf16 where the device has units for them; weights stay fp32.

    Returns:
        ``epochs``: the mean training loss and the validation scores after each epoch;
        ``steps``.

    Raises:
        TrainingDiverged: the loss is NaN or infinite; says at which epoch and step.
        BertstudyError: there are no training examples.
    """
    if len(train) == 0:
        raise BertstudyError(f"{task.name} has no training examples")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    where = next(model.parameters()).device
    steps = settings.epochs * math.ceil(len(train) / settings.batch_size)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, settings.weight_decay), lr=settings.learning_rate
    )
    schedule = get_linear_schedule_with_warmup(optimizer, round(settings.warmup * steps), steps)
    bar = tqdm(total=steps, desc=f"{task.name} seed {seed}", unit="step", disable=None, leave=False)
    epochs, step = [], 0
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = 0.0
        for rows in shuffled(train.lengths, settings.batch_size, rng):
            step += 1
            with mixed_precision(where, mixed):
                loss = _loss(model, train, rows, where)
            if not torch.isfinite(loss):
                raise TrainingDiverged(
                    f"the loss is {loss.item()} at epoch {epoch}, step {step} of {steps} "
                    f"({task.name}, seed {seed}, learning rate {settings.learning_rate}): "
                    "try a smaller learning rate"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
            bar.update()
        scores = validation.score(predict(model, validation), task)
        epochs.append({"loss": total / len(train), "validation": scores})
        bar.set_postfix_str(f"epoch {epoch}: {task.metrics[0]} {scores[task.metrics[0]]:.1f}")
        if after_epoch is not None:
            after_epoch(epoch, model)
    bar.close()
    model.eval()
    return {"epochs": epochs, "steps": steps}


def _loss(model: PreTrainedModel, data: Encoded, rows: np.ndarray, where: torch.device) -> Tensor:
    batch = {n: t.to(where) for n, t in model_inputs(model, data.batch(rows)).items()}
    return loss_of(logits_of(model, batch), torch.from_numpy(data.labels[rows]).to(where))


def save_epochs(folder: Path) -> Callable[[int, PreTrainedModel], None]:
    """An ``after_epoch`` that keeps each epoch's model under ``folder/epoch-N``."""

    def save(epoch: int, model: PreTrainedModel) -> None:
        model.save_pretrained(folder / f"epoch-{epoch}")

    return save
