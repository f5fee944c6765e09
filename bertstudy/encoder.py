"""Encoder, tokenizer and task head; and how examples become batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from bertstudy.attention import IMPLEMENTATION
from bertstudy.errors import BertstudyError
from bertstudy.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def quiet() -> None:
    """Keep transformers' progress bars and load reports off pages and terminals.

    The report names the pre-training heads, which a bare encoder leaves out on purpose.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()


# Loading ------------------------------------------------------------------------------------


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
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
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

    Args:
        seed: of the head's weights, and of all weights where ``pretrained`` is False.
        dropout: rate in training, of hidden states and attention probabilities.
        pretrained: False starts every weight from N(0, .02²): "from scratch".
    """
    outputs = max(len(task.labels), 1)
    kind = "regression" if task.is_regression else "single_label_classification"
    config = load_config(checkpoint)
    config.num_labels, config.problem_type = outputs, kind
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    names = task.labels or ("score",)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    torch.manual_seed(seed)
    fresh = AutoModelForSequenceClassification.from_config(
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
    """A classifier saved by `train.fine_tune`, in evaluation mode."""
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation=IMPLEMENTATION, dtype=torch.float32
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


# Batches ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoded:
    """Tokenised examples, not padded.

    Attributes:
        ids, segments: word pieces and token types of each example.
        labels: ``[example]``, integers for classes and floats for regression.
        pad: id of the padding piece.
    """

    ids: list[list[int]]
    segments: list[list[int]]
    labels: np.ndarray
    pad: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, specials included."""
        return np.array([len(row) for row in self.ids])

    def batch(self, rows: Sequence[int], length: int | None = None) -> dict[str, Tensor]:
        """Model inputs for these rows, padded to the longest of them or to ``length``."""
        length = length or max(len(self.ids[row]) for row in rows)

        def padded(column: list[list[int]], fill: int) -> Tensor:
            full = [column[row] + [fill] * (length - len(column[row])) for row in rows]
            return torch.tensor(full)

        ones = [[1] * len(self.ids[row]) + [0] * (length - len(self.ids[row])) for row in rows]
        return {
            "input_ids": padded(self.ids, self.pad),
            "token_type_ids": padded(self.segments, 0),
            "attention_mask": torch.tensor(ones),
        }


def encode(
    tokenizer: PreTrainedTokenizerBase, rows: "Dataset", task: Task, max_length: int
) -> Encoded:
    """Tokenise a split; a pair that is too long loses tokens of its longer part."""
    texts = [list(rows[column]) for column in task.texts]
    encoded = tokenizer(*texts, truncation=True, max_length=max_length, padding=False)
    segments = encoded.get("token_type_ids") or [[0] * len(ids) for ids in encoded["input_ids"]]
    kind = np.float64 if task.is_regression else np.int64
    return Encoded(
        ids=encoded["input_ids"],
        segments=segments,
        labels=np.asarray(rows["label"], dtype=kind),
        pad=tokenizer.pad_token_id,
    )


def by_length(lengths: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Rows in batches of similar length, shortest first; every row once."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), size):
        yield order[start : start + size]


def shuffled(
    lengths: np.ndarray, size: int, rng: np.random.Generator, pool: int = 16
) -> list[np.ndarray]:
    """Random batches whose members have similar lengths, in random order.

    Rows are shuffled, cut into pools of ``pool`` batches, sorted by length within a pool:
    little padding, and no two epochs alike.
    """
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), size * pool):
        members = order[start : start + size * pool]
        members = members[np.argsort(lengths[members], kind="stable")]
        batches += [members[at : at + size] for at in range(0, len(members), size)]
    return [batches[index] for index in rng.permutation(len(batches))]


@torch.inference_mode()
def predict(model: PreTrainedModel, data: Encoded, batch_size: int = 64) -> np.ndarray:
    """Logits of every example, ``[example, output]``, in the data's order."""
    model.eval()
    where = next(model.parameters()).device
    logits: np.ndarray | None = None
    for rows in by_length(data.lengths, batch_size):
        batch = {n: t.to(where) for n, t in model_inputs(model, data.batch(rows)).items()}
        out = model(**batch).logits.float().cpu().numpy()
        if logits is None:
            logits = np.empty((len(data), out.shape[1]), np.float32)
        logits[rows] = out
    if logits is None:
        raise BertstudyError("there are no examples to predict")
    return logits


def model_inputs(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs this model takes: RoBERTa has one token type only, so it gets none."""
    if model.config.type_vocab_size < 2:
        return {name: value for name, value in batch.items() if name != "token_type_ids"}
    return batch
