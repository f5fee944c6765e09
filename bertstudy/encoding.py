"""How examples become word pieces, and those batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from bertstudy import spans, tasks
from bertstudy.errors import BertstudyError
from bertstudy.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset


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
        """Model inputs ``[row, token]``, padded to the longest of these rows or to ``length``."""
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
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            segments=[self.segments[row] for row in rows],
            labels=self.labels[rows],
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
        tensors = super().batch(self._sequences(rows), length)
        return {name: tensor.unflatten(0, (len(rows), -1)) for name, tensor in tensors.items()}

    def take(self, rows: Sequence[int]) -> "Choices":
        """These examples alone, each with all its choices, in the order given."""
        flat = self._sequences(rows)
        return replace(
            self,
            ids=[self.ids[at] for at in flat],
            segments=[self.segments[at] for at in flat],
            labels=self.labels[rows],
        )

    def _sequences(self, rows: Sequence[int]) -> list[int]:
        return [row * self.count + choice for row in rows for choice in range(self.count)]


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

    def take(self, rows: Sequence[int]) -> "Windows":
        """Not for windows: a question is answered from all of its own.

        Raises:
            BertstudyError: always.
        """
        raise BertstudyError("windows are taken by question: select rows before `encode`")

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
