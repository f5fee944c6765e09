"""Statistics of attention maps over a data set, without ever holding the maps.

Each layer's maps of one batch are reduced where they are made and then gone. What is kept is what
the reduction returns: a few numbers an example, layer and head.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bertstudy.attention import Capture, Site, edited
from bertstudy.encoder import model_inputs
from bertstudy.encoding import Encoded, by_length
from bertstudy.errors import BertstudyError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EXAMPLES = 1000  # looked at in each task at most, as in Kovaleva et al. (2019), footnote 5
SAMPLE_SEED = 0
# Weights of one layer's maps of one batch: 16 MB, and 1 GB on a GPU (not measured). On a CPU
# 96 sequences of 128 tokens (12 x 12 heads, d=192) took, with .25, 1, 2, 4, 8 and 16 million,
# 4.4, 3.8, 3.9, 3.5, 3.9 and 5.4 processor seconds.
WEIGHTS = {"cpu": 4_000_000, "cuda": 250_000_000}

Gold = Mapping[str, Tensor]
Reduction = Callable[[Tensor, Site, Gold], Mapping[str, Tensor]]


def sample(total: int, count: int = EXAMPLES) -> np.ndarray:
    """Rows of at most ``count`` of ``total`` examples: random, the same each time, in order."""
    if total <= count:
        return np.arange(total)
    return np.sort(np.random.default_rng(SAMPLE_SEED).choice(total, count, replace=False))


@torch.inference_mode()
def stream(
    model: "PreTrainedModel",
    data: Encoded,
    reduce: Reduction,
    prepare: Callable[[np.ndarray, int], Gold] | None = None,
) -> dict[str, np.ndarray]:
    """Reduce every map of a data set to a few numbers.

    Args:
        model: on the seam (`bertstudy.attention`), in any mode; it is put in evaluation mode.
        data: of single texts or pairs.
        reduce: called once a layer and batch with ``probs [batch, head, query, key]`` after the
            softmax, their `Site`, and what ``prepare`` gave; returns by name ``[batch, head,
            ...]``, names and the rest the same each time. Rows of padding queries are in
            ``probs``; ``site.is_token`` tells them apart.
        prepare: called once a batch with the rows of ``data`` in it and the length they are
            padded to; returns by name tensors ``[batch, ...]``, which are moved to the model's
            device.

    Returns:
        By name ``[example, layer, head, ...]``, in the data's order.

    Raises:
        BertstudyError: there are no examples.
    """
    if len(data) == 0:
        raise BertstudyError("there are no examples to read maps of")
    where = next(model.parameters()).device
    heads, longest = model.config.num_attention_heads, int(data.lengths.max())
    size = max(1, WEIGHTS.get(where.type, WEIGHTS["cpu"]) // (heads * longest**2))
    found: dict[str, np.ndarray] = {}
    rows, gold = np.zeros(0, int), {}

    def keep(probs: Tensor, site: Site) -> None:
        for name, values in reduce(probs, site, gold).items():
            numbers = values.cpu().numpy()
            if name not in found:
                # Whole, at once: small arrays left between the maps of one batch and of the next
                # break up the heap, and the process grows by half a gigabyte.
                shape = (len(data), model.config.num_hidden_layers, *numbers.shape[1:])
                found[name] = np.empty(shape, numbers.dtype)
            found[name][rows, site.layer] = numbers

    model.eval()
    with edited(model, Capture(keep)):
        for rows in by_length(data.lengths, size):
            batch = {name: tensor.to(where) for name, tensor in data.batch(rows).items()}
            made = prepare(rows, batch["input_ids"].size(-1)) if prepare else {}
            gold = {name: tensor.to(where) for name, tensor in made.items()}
            model.base_model(**model_inputs(model, batch))
    return found


def received(probs: Tensor, site: Site) -> Tensor:
    """Attention to each key, mean over the real queries, ``[batch, head, key]``; sums to 1.

    Kovaleva et al. (2019) §4.4: the column sum divided by the length L.
    """
    queries = site.is_token.to(probs.dtype)
    return torch.einsum("bhqk,bq->bhk", probs, queries / queries.sum(-1, keepdim=True))


def neighbours(probs: Tensor, site: Site) -> Tensor:
    """Attention to the previous and to the next token together, mean over the real queries.

    ``[batch, head]``, in [0, 1]. The first and the last query have one neighbour each. Only keys
    that are tokens count; padding is on the right.
    """
    next_ = probs.diagonal(1, dim1=2, dim2=3)  # [batch, head, query]: weight at key query + 1
    previous = probs.diagonal(-1, dim1=2, dim2=3)
    both = site.is_token[:, None, 1:].to(probs.dtype)  # the later of the two is a token
    return ((next_ + previous) * both).sum(-1) / site.is_token.sum(-1)[:, None]
