r"""Word-piece vectors from co-occurrence counts: where short pre-training may start from.

Positive pointwise mutual information, factorised (Levy & Goldberg 2014, "Neural word embedding as
implicit matrix factorization"; Levy, Goldberg & Dagan 2015 for the smoothed contexts). With n(w, c)
the number of times c stands within ``window`` pieces of w, each counted 1/distance,

$$M_{wc} = \max\Bigl(0, \log \frac{n(w,c)}{n(w)\, p(c)}\Bigr),\quad
  p(c) \propto n(c)^{0.75},\qquad M \approx U S V^\top,\quad E = U S^{1/2}$$

A pass over the whole corpus takes seconds, where gradient descent takes millions of pieces to learn
the same: which words are alike.
"""

import numpy as np
import torch
from torch import Tensor

SMOOTHING = 0.75
_SLICE = 16_000_000  # pieces counted at a time, to bound the memory
_OVERSAMPLED = 20  # extra dimensions of the randomised factorisation


def counts(pieces: np.ndarray, vocabulary: int, window: int) -> np.ndarray:
    """n(w, c), symmetric, float32 ``[vocabulary, vocabulary]``; sentence ends are not walls."""
    found = np.zeros(vocabulary * vocabulary, np.float32)
    for distance in range(1, window + 1):
        for start in range(0, len(pieces) - distance, _SLICE):
            stop = min(start + _SLICE, len(pieces) - distance)
            cells = pieces[start:stop].astype(np.int64) * vocabulary
            cells += pieces[start + distance : stop + distance]
            found += np.bincount(cells, minlength=len(found)).astype(np.float32) / distance
    square = found.reshape(vocabulary, vocabulary)
    return square + square.T


def positive_information(counted: np.ndarray) -> np.ndarray:
    """M of the module's equation; zero wherever nothing was counted."""
    total = counted.sum(0)
    contexts = total**SMOOTHING / (total**SMOOTHING).sum()
    expected = np.outer(total, contexts)
    ratio = np.divide(counted, expected, out=np.ones_like(expected), where=counted > 0)
    return np.maximum(np.log(ratio), 0.0)


def vectors(pieces: np.ndarray, vocabulary: int, width: int, window: int, seed: int) -> Tensor:
    """E of the module's equation, ``[vocabulary, width]``, centred; pieces never seen are zero."""
    information = torch.from_numpy(positive_information(counts(pieces, vocabulary, window)))
    torch.manual_seed(seed)
    rank = min(width + _OVERSAMPLED, vocabulary)
    left, strength, _ = torch.svd_lowrank(information.float(), q=rank, niter=3)
    found = left[:, :width] * strength[:width].sqrt()
    seen = information.any(1)
    return torch.where(seen[:, None], found - found[seen].mean(0), 0.0)
