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
import transformers
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BatchEncoding,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from bertstudy import spans, tasks
from bertstudy.attention import IMPLEMENTATION
from bertstudy.errors import BertstudyError
from bertstudy.tasks import Kind, Task

if TYPE_CHECKING:
    from datasets import Dataset


BF16_UNITS = ("avx512_bf16", "amx_bf16")  # of a CPU


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16_units(where: torch.device) -> bool:
    """Whether it multiplies in bf16: a GPU does, and a CPU with AVX512-BF16 or AMX."""
    if where.type != "cpu":
        return True
    present = torch.cpu.get_capabilities()
    return any(present.get(unit) is True for unit in BF16_UNITS)


def mixed_precision(where: torch.device, wanted: bool = True) -> torch.autocast:
    """A block whose matrix products are in bf16 where the device has units for them.

    They are several times as quick there. Elsewhere, and where it is not ``wanted``, all stays
    fp32.
    """
    return torch.autocast(where.type, torch.bfloat16, enabled=wanted and has_bf16_units(where))


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
    """A fine-tuned model that was saved with its head, in evaluation mode."""
    (saved,) = load_config(str(folder)).architectures
    model = getattr(transformers, saved).from_pretrained(
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
        return len(self.labels)

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

    def take(self, rows: Sequence[int]) -> "Encoded":
        """These examples alone, in the order given."""
        return Encoded(
            ids=[self.ids[row] for row in rows],
            segments=[self.segments[row] for row in rows],
            labels=self.labels[rows],
            pad=self.pad,
        )

    def score(self, logits: np.ndarray, task: Task) -> dict[str, float]:
        """The task's metrics of what `predict` gave for these examples, times 100."""
        return tasks.score(logits, self.labels, task)

    def majority(self, task: Task) -> dict[str, float]:
        """The scores of always giving the commonest answer."""
        return tasks.majority(self.labels, task)


@dataclass(frozen=True)
class Choices(Encoded):
    """Examples of as many sequences each as there are choices, which follow one another.

    Attributes:
        ids, segments: of every sequence: those of example e start at e times the choices.
        labels: ``[example]``, the number of the right choice.
    """

    @property
    def count(self) -> int:
        """Choices of each example."""
        return len(self.ids) // len(self)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example's longest choice."""
        return super().lengths.reshape(len(self), -1).max(1) if len(self) else np.zeros(0, int)

    def batch(self, rows: Sequence[int], length: int | None = None) -> dict[str, Tensor]:
        """Model inputs ``[example, choice, token]`` for these rows."""
        flat = [row * self.count + choice for row in rows for choice in range(self.count)]
        tensors = super().batch(flat, length)
        return {name: tensor.unflatten(0, (len(rows), -1)) for name, tensor in tensors.items()}


@dataclass(frozen=True)
class Windows(Encoded):
    """Questions, each with overlapping windows on its context; a window is what is trained on.

    Attributes:
        ids, segments: of each window.
        labels: ``[window, start and end]``, first and last piece of the answer; 0 and 0, which
            is [CLS], where the window does not hold it.
        offsets: of each window ``[piece, 2]``, characters of the context; -1 elsewhere.
        question_of: ``[window]``, the number of its question.
        contexts: of each question.
        golds: people's answers to each question; none where it has none.
    """

    offsets: list[np.ndarray]
    question_of: np.ndarray
    contexts: list[str]
    golds: list[list[str]]

    def answers(self, logits: np.ndarray) -> spans.Answers:
        """The best answer to each question, from what `predict` gave."""
        return spans.decode(logits, self.offsets, self.question_of, self.contexts)

    def score(self, logits: np.ndarray, task: Task) -> dict[str, float]:
        """F1 and exact match, times 100, and more for SQuAD 2.0: see `spans.score`."""
        return spans.score(self.answers(logits), self.golds, task.unanswerable)

    def majority(self, task: Task) -> dict[str, float]:
        """The scores of never answering: 0 where every question has an answer."""
        none = 100 * float(np.mean([not gold for gold in self.golds]))
        return dict.fromkeys(task.metrics, none)


def encode(
    tokenizer: PreTrainedTokenizerBase, rows: "Dataset", task: Task, max_length: int
) -> Encoded:
    """Tokenise a split.

    A pair that is too long loses tokens of its longer part; a context that is too long is
    cut into windows.

    Args:
        max_length: word pieces of a sequence, specials included.

    Raises:
        BertstudyError: ``max_length`` leaves a window no room.
    """
    if task.kind == "spans":
        return _windows(tokenizer, rows, task, max_length)
    texts = [list(rows[column]) for column in task.texts]
    if task.kind == "choice":
        texts = _completed(*texts)
    encoded = tokenizer(*texts, truncation=True, max_length=max_length, padding=False)
    number = np.float64 if task.is_regression else np.int64
    return (Choices if task.kind == "choice" else Encoded)(
        ids=encoded["input_ids"],
        segments=_segments(encoded),
        labels=np.asarray(rows["label"], dtype=number),
        pad=tokenizer.pad_token_id,
    )


def _segments(encoded: BatchEncoding) -> list[list[int]]:
    """Token types; RoBERTa's tokenizer gives none."""
    return encoded.get("token_type_ids") or [[0] * len(ids) for ids in encoded["input_ids"]]


def _completed(first: list[str], second: list[str], *endings: list[str]) -> list[list[str]]:
    """Pairs of the first sentence and of the second completed by each ending in turn."""
    begun = list(zip(second, zip(*endings, strict=True), strict=True))
    return [
        [text for text in first for _ in endings],
        [f"{start} {ending}" for start, choices in begun for ending in choices],
    ]


# Questions tokenised at a time: offsets as Python lists would fill the memory.
QUESTIONS = 1000
SHORTEST_WINDOW = 16  # word pieces


def _windows(
    tokenizer: PreTrainedTokenizerBase, rows: "Dataset", task: Task, max_length: int
) -> Windows:
    if max_length < SHORTEST_WINDOW:
        raise BertstudyError(f"windows of {max_length} word pieces: at least {SHORTEST_WINDOW}")
    ids, segments, offsets, labels, question_of = [], [], [], [], []
    for start in range(0, len(rows), QUESTIONS):
        part = rows[start : start + QUESTIONS]
        encoded = _cut_in_windows(tokenizer, *(part[c] for c in task.texts), max_length)
        ids += encoded["input_ids"]
        segments += _segments(encoded)
        for window, row in enumerate(encoded["overflow_to_sample_mapping"]):
            offsets.append(_context_offsets(encoded, window))
            labels.append(_target(offsets[-1], part["answers"][row]))
            question_of.append(start + row)
    return Windows(
        ids=ids,
        segments=segments,
        labels=np.array(labels, np.int64).reshape(-1, 2),
        pad=tokenizer.pad_token_id,
        offsets=offsets,
        question_of=np.array(question_of, np.int64),
        contexts=list(rows[task.texts[1]]),
        golds=[answers["text"] for answers in rows["answers"]],
    )


def _cut_in_windows(
    tokenizer: PreTrainedTokenizerBase, questions: list[str], contexts: list[str], max_length: int
) -> BatchEncoding:
    """Windows that share a third of their pieces, as Devlin et al.'s share 128 of 384.

    A question longer than a third is cut, so that the context always has another third.
    """
    third = max_length // 3
    return tokenizer(
        _cut(tokenizer, questions, third),
        contexts,
        truncation="only_second",
        max_length=max_length,
        stride=third,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )


def _cut(tokenizer: PreTrainedTokenizerBase, texts: list[str], most: int) -> list[str]:
    """Each text up to its ``most``-th word piece."""
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        truncation=True,
        max_length=most,
        return_offsets_mapping=True,
    )
    pairs = zip(texts, encoded["offset_mapping"], strict=True)
    return [text[: at[-1][1]] if len(at) == most else text for text, at in pairs]


def _context_offsets(encoded: BatchEncoding, window: int) -> np.ndarray:
    """``[piece, 2]``, characters of the context from and to; -1 at other pieces."""
    is_context = np.array([part == 1 for part in encoded.sequence_ids(window)])
    offsets = np.array(encoded["offset_mapping"][window], np.int32)
    return np.where(is_context[:, None], offsets, np.int32(-1))


def _target(offsets: np.ndarray, answers: dict) -> tuple[int, int]:
    """Where the first of people's answers stands; [CLS] where there is none."""
    if not answers["text"]:
        return 0, 0
    begin = answers["answer_start"][0]
    return spans.target(offsets, begin, begin + len(answers["text"][0]))


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
