"""Encoder, tokenizer and task head: loaded, run in parts, and run over a whole split."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from bertstudy.attention import IMPLEMENTATION
from bertstudy.devices import device
from bertstudy.encoding import Encoded, by_length
from bertstudy.errors import BertstudyError
from bertstudy.tasks import Kind, Task


def quiet() -> None:
    """Keep transformers' progress bars and load reports off pages and terminals.

    The report names the pre-training heads, which a bare encoder leaves out on purpose.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()


# Loading ------------------------------------------------------------------------------------

HEADS: dict[Kind, type] = {
    "classification": AutoModelForSequenceClassification,
    "regression": AutoModelForSequenceClassification,
    "choice": AutoModelForMultipleChoice,
    "spans": AutoModelForQuestionAnswering,
}
PROBLEMS = {"classification": "single_label_classification", "regression": "regression"}
OUTPUTS = {"regression": ("score",), "spans": ("start", "end")}  # elsewhere the task's labels


def _found(checkpoint: str) -> str:
    if checkpoint.startswith(("/", ".", "~")) and not Path(checkpoint, "config.json").exists():
        raise BertstudyError(
            f"no checkpoint in '{checkpoint}'; make one with `bertstudy pretrain` "
            "or name a model of the hub"
        )
    return checkpoint


@contextmanager
def _one_line(checkpoint: str) -> Iterator[None]:
    """A checkpoint that cannot be read, or fetched, is one line and not a traceback."""
    try:
        yield
    except BertstudyError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if Path(checkpoint).is_dir() or not isinstance(error, OSError):
            raise BertstudyError(
                f"the checkpoint '{checkpoint}' cannot be read ({reason})"
            ) from error
        raise BertstudyError(
            f"no checkpoint '{checkpoint}' ({reason}); with a network: hf download {checkpoint}"
        ) from error


def load_config(checkpoint: str) -> PretrainedConfig:
    """The checkpoint's configuration, without its weights."""
    with _one_line(checkpoint):
        return AutoConfig.from_pretrained(_found(checkpoint))


def longest_input(config: PretrainedConfig) -> int:
    """Word pieces the model has positions for; RoBERTa's first places are not used."""
    first = config.pad_token_id + 1 if config.model_type == "roberta" else 0
    return config.max_position_embeddings - first


def load_tokenizer(checkpoint: str) -> PreTrainedTokenizerBase:
    """The checkpoint's fast tokenizer (offsets are needed to align words)."""
    with _one_line(checkpoint):
        tokenizer = AutoTokenizer.from_pretrained(_found(checkpoint))
    if not tokenizer.is_fast:
        raise BertstudyError(f"'{checkpoint}' has no fast tokenizer, which alignment needs")
    return tokenizer


def load_encoder(checkpoint: str) -> PreTrainedModel:
    """The bare encoder in fp32, in evaluation mode, with its attention on the seam."""
    return _load(checkpoint)[0].to(device()).eval()


def _load(checkpoint: str) -> tuple[PreTrainedModel, set[str]]:
    """The bare encoder, and the names of its weights that the checkpoint does not hold.

    Raises:
        BertstudyError: any but the pooler's is missing, so that the encoder would be random.
    """
    with _one_line(checkpoint):
        model, info = AutoModel.from_pretrained(
            _found(checkpoint),
            attn_implementation=IMPLEMENTATION,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = set(info["missing_keys"])
    if absent := sorted(name for name in missing if not name.startswith("pooler.")):
        raise BertstudyError(
            f"checkpoint '{checkpoint}' lacks {absent[0]} and {len(absent)} in all"
        )
    return model, missing


def load_classifier(
    checkpoint: str, task: Task, seed: int, pretrained: bool = True, dropout: float = 0.1
) -> PreTrainedModel:
    """An encoder with a fresh head for the task, in fp32, with its attention on the seam.

    The head is transformers' own for the task's kind: one output a class or a number from
    [CLS], one from each choice's [CLS], or a start and an end from each word piece.

    Args:
        seed: of the head's weights, and of all weights where ``pretrained`` is False.
        dropout: rate in training, of hidden states and attention probabilities.
        pretrained: False starts every weight from N(0, .02²): "from scratch".
    """
    names = OUTPUTS.get(task.kind, task.labels)
    config = load_config(checkpoint)
    config.num_labels, config.problem_type = len(names), PROBLEMS.get(task.kind)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    torch.manual_seed(seed)
    fresh = HEADS[task.kind].from_config(
        config, attn_implementation=IMPLEMENTATION, dtype=torch.float32
    )
    if pretrained:
        encoder, missing = _load(checkpoint)
        # A pooler that the checkpoint lacks keeps the seed's fresh weights; one that the
        # classifier does not have (RoBERTa's) is left out.
        held = {n: t for n, t in encoder.state_dict().items() if n not in missing}
        fresh.base_model.load_state_dict(held, strict=False)
    return fresh.to(device()).eval()


def load_finetuned(folder: Path) -> PreTrainedModel:
    """A fine-tuned model that was saved with its head, in evaluation mode.

    Raises:
        BertstudyError: it cannot be read, or its weights are not those of a stock model: some
            are missing, or an edit's own (`attention.own`) were saved with it.
    """
    (saved,) = load_config(str(folder)).architectures
    with _one_line(str(folder)):
        model, info = getattr(transformers, saved).from_pretrained(
            folder,
            attn_implementation=IMPLEMENTATION,
            dtype=torch.float32,
            output_loading_info=True,
        )
    for what in ("missing", "unexpected"):
        if names := sorted(info[f"{what}_keys"]):
            raise BertstudyError(
                f"the model in '{folder}' cannot be loaded as it was saved: "
                f"{what} weights {names[0]}, {len(names)} in all"
            )
    return model.to(device()).eval()


def checkpoint_hash(checkpoint: str) -> str:
    """What a recipe calls the checkpoint: hash of its weights, or the hub's commit."""
    if Path(checkpoint).is_dir():
        files = [f for f in sorted(Path(checkpoint).resolve().glob("*")) if _decides(f)]
        return _hash_of(tuple((f, f.stat().st_mtime_ns, f.stat().st_size) for f in files))
    commit = load_config(checkpoint)._commit_hash
    if commit is None:
        raise BertstudyError(
            f"the hub gives no commit for '{checkpoint}': its weights are not pinned"
        )
    return commit


def _decides(file: Path) -> bool:
    """Whether what the model computes depends on this file of its folder."""
    named = ("config.json", "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
    return file.suffix in (".safetensors", ".bin") or file.name in named


@cache
def _hash_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of the files' names and bytes; their times and sizes only tell the cache of a change."""
    digest = sha256()
    for file, _, _ in files:
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


# Running in parts -----------------------------------------------------------------------------


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The encoder's layers, first to last.

    Raises:
        BertstudyError: the model is not laid out like BERT or RoBERTa.
    """
    try:
        return model.base_model.encoder.layer
    except AttributeError as error:
        name = type(model).__name__
        raise BertstudyError(f"{name} is not laid out like BERT or RoBERTa") from error


def classify(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits ``[batch, output]`` from the last layer's ``hidden [batch, token, width]``.

    Only the first token is read, by BERT's pooler and by RoBERTa's head alike.
    """
    pooler = getattr(model.base_model, "pooler", None)
    if pooler is None:
        return model.classifier(hidden)
    return model.classifier(model.dropout(pooler(hidden)))


@torch.inference_mode()
def predict(model: PreTrainedModel, data: Encoded, batch_size: int = 64) -> np.ndarray:
    """Logits of every example, in the data's order.

    Returns:
        ``[example, output]``; for spans ``[window, start and end, piece]`` with -inf beyond
        a window's own pieces.

    Raises:
        BertstudyError: there are no examples.
    """
    model.eval()
    where = next(model.parameters()).device
    found = []
    for rows in by_length(data.lengths, batch_size):
        batch = {n: t.to(where) for n, t in model_inputs(model, data.batch(rows)).items()}
        found.append((rows, logits_of(model, batch).float().cpu().numpy()))
    if not found:
        raise BertstudyError("there are no examples to predict")
    shape = found[-1][1].shape[1:]  # the longest are the last
    logits = np.full((len(data), *shape), -np.inf, np.float32)
    for rows, out in found:
        logits[rows, ..., : out.shape[-1]] = out
    return logits


def logits_of(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """The model's logits ``[example, output]``, for spans ``[window, start and end, piece]``.

    Padding can neither start nor end a span: there the logits are -inf, so that neither the
    loss nor a prediction depends on what else is in the batch.
    """
    out = model(**batch)
    if "logits" in out:
        return out.logits
    both = torch.stack([out.start_logits, out.end_logits], 1)
    return both.masked_fill(~batch["attention_mask"][:, None].bool(), -torch.inf)


def model_inputs(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs this model takes: RoBERTa has one token type only, so it gets none."""
    if model.config.type_vocab_size < 2:
        return {name: value for name, value in batch.items() if name != "token_type_ids"}
    return batch
