"""Pairs of texts with masked word pieces, drawn from (seed, step) alone."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bertstudy.editions import Architecture, PreTraining
from bertstudy.errors import BertstudyError
from bertstudy.pretrain.text import CLS, MASK, PAD, SEP, SPECIAL, Corpus

IGNORED = -100


class Examples:
    """Draws NSP pairs with masked word pieces; batch ``step`` is the same whenever asked for.

    Each example starts at a random sentence that is not its document's last. The second part
    is what follows (label 0) or, half of the time, other text (label 1): from another
    document as in Devlin et al. (2019), or for a share ``near`` of it from elsewhere in the same
    one. Sequences are filled to the step's length.
    """

    def __init__(self, text: Corpus, plan: PreTraining, vocabulary: int):
        self.text, self.plan, self.vocabulary = text, plan, vocabulary
        last = text.documents[1:] - 1
        self.starts = np.setdiff1d(np.arange(len(text.sentences) - 1), last)
        if len(text.documents) < 3:
            raise BertstudyError("the corpus needs at least two documents of two sentences")

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """The batch of one step, on the CPU.

        Returns:
            ``input_ids``, ``token_type_ids``, ``attention_mask`` and ``targets`` ``[pair, token]``
            (`IGNORED` where nothing was masked), and ``is_random`` ``[pair]``, 1 where the second
            part does not follow the first.

        ``size`` is for the plan's full length; a step of shorter sequences has more of them.
        """
        rng = np.random.default_rng((self.plan.seed, step))
        length = int(rng.choice((self.plan.length, *self.plan.shorter)))
        size = size * self.plan.length // length
        ids = np.zeros((size, length), np.int64)
        segments = np.zeros_like(ids)
        follows = rng.random(size) < 0.5
        for row in range(size):
            first, second = self._pair(rng, follows[row], length - 3)
            cut, end = len(first) + 2, len(first) + len(second) + 3
            ids[row, :cut] = [CLS, *first, SEP]
            ids[row, cut:end] = [*second, SEP]
            segments[row, cut:end] = 1
        masked, targets = self._mask(rng, ids)
        return {
            "input_ids": torch.from_numpy(masked),
            "token_type_ids": torch.from_numpy(segments),
            "attention_mask": torch.from_numpy((ids != PAD).astype(np.int64)),
            "targets": torch.from_numpy(targets),
            "is_random": torch.from_numpy((~follows).astype(np.int64)),
        }

    def _from(
        self, sentence: int, room: int, stop: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pieces from a sentence on, at most ``room`` of them, and the sentence ends inside.

        They end with the document, or before sentence ``stop``.
        """
        text = self.text
        stop = stop or int(text.documents[text.document_of(np.int64(sentence)) + 1])
        begin, limit = text.sentences[sentence], text.sentences[stop]
        ends = text.sentences[sentence + 1 : min(stop, sentence + room) + 1] - begin
        pieces = text.pieces[begin : min(limit, begin + room)]
        return pieces, ends[(ends > 0) & (ends < len(pieces))]

    def _pair(
        self, rng: np.random.Generator, follows: bool, room: int
    ) -> tuple[np.ndarray, np.ndarray]:
        start = int(rng.choice(self.starts))
        pieces, ends = self._from(start, room)
        cut = int(rng.choice(ends)) if len(ends) else len(pieces) // 2  # one very long sentence
        first, second = pieces[: max(cut, 1)], pieces[max(cut, 1) :]
        if not follows:
            used = 1 + int(np.searchsorted(ends, cut))  # sentences of the first part
            other, stop = self._elsewhere(rng, start, start + used)
            second, _ = self._from(other, room - len(first), stop)
        return first, second

    def _elsewhere(
        self, rng: np.random.Generator, start: int, following: int
    ) -> tuple[int, int | None]:
        """A sentence that does not follow, and the sentence to stop before, if any.

        For a share ``near`` it is of the same document, outside ``start`` to ``following``;
        text from before ``start`` must not run into the first part.
        """
        here = self.text.document_of(np.int64(start))
        if rng.random() < self.plan.near:
            begin, end = self.text.documents[here : here + 2]
            apart = [s for s in range(begin, end) if not start <= s <= following]
            if apart:
                chosen = int(rng.choice(apart))
                return chosen, start if chosen < start else None
        while True:
            other = int(rng.choice(self.starts))
            if self.text.document_of(np.int64(other)) != here:
                return other, None

    def _mask(self, rng: np.random.Generator, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Choose ``masked`` of the pieces; 80 % become [MASK], 10 % another piece, 10 % stay."""
        chosen = (rng.random(ids.shape) < self.plan.masked) & (ids > MASK)
        targets = np.where(chosen, ids, IGNORED)
        fate = rng.random(ids.shape)
        other = rng.integers(len(SPECIAL), self.vocabulary, ids.shape)
        masked = np.where(chosen & (fate < 0.8), MASK, ids)
        return np.where(chosen & (fate >= 0.9), other, masked), targets


def held_out_examples(text: Corpus, plan: PreTraining, architecture: Architecture) -> Examples:
    """Examples at the plan's full length only, so that runs of different plans compare."""
    return Examples(text, replace(plan, shorter=()), architecture.vocabulary)
