r"""Every head, and every layer, disabled in turn: the exact sweep, without its repeated work.

A plain loop runs the whole model once a head. But disabling a head of layer l leaves the
layers before l as they were, so their outputs are kept, and only layer l's output projection
and feed-forward part, and the layers after it, are computed again. The H heads of a layer, and
the whole layer, go through those layers together as one batch. Sequences of similar length
share a batch, and in the last layer only the [CLS] row is computed, since the head reads no
other. Nothing is approximated: the results equal separate forwards to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bertstudy.attention import DISABLINGS, Site, attention, edits_of
from bertstudy.encoder import classify, encoder_layers, model_inputs
from bertstudy.encoding import Encoded
from bertstudy.errors import BertstudyError

# Tokens of one batch, all variants counted: large enough to fill matrix products, small enough
# that the feed-forward activations stay in a CPU's outer cache (measured on two cores: 2.5k is
# a quarter faster than 6k and a third faster than 16k).
CHUNK_TOKENS = {"cpu": 2_500, "cuda": 400_000}

Replacement = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sweep:
    """Logits of the model as it is and with each head or layer disabled, in the data's order.

    Attributes:
        baseline: ``[example, output]``.
        heads: ``[layer, head, example, output]``, one head disabled.
        layers: ``[layer, example, output]``, all heads of the layer disabled.
    """

    baseline: np.ndarray
    heads: np.ndarray
    layers: np.ndarray


@torch.inference_mode()
def disable_each(model: PreTrainedModel, data: Encoded, kind: str = "uniform") -> Sweep:
    """Logits of a sequence classifier under every single disabling.

    Args:
        model: a BERT or RoBERTa classifier on the seam.
        data: the examples to predict.
        kind: "uniform" (Kovaleva et al. 2019) or "zero" (Michel et al. 2019).

    Raises:
        BertstudyError: unknown kind, no examples, a model of another layout or task.
    """
    if kind not in DISABLINGS:
        raise BertstudyError(f"unknown disabling '{kind}'; allowed: {', '.join(DISABLINGS)}")
    if len(data) == 0:
        raise BertstudyError("there are no examples to predict")
    if not type(model).__name__.endswith("ForSequenceClassification"):
        raise BertstudyError(
            f"a sweep over heads needs a sequence classifier, not {type(model).__name__}"
        )
    model.eval()
    layers, heads = len(encoder_layers(model)), model.config.num_attention_heads
    where = next(model.parameters()).device
    replacement = DISABLINGS[kind].replacement
    out: np.ndarray | None = None  # [1 + layers * (heads + 1), example, output]
    for rows in _batches(data.lengths, heads + 1, where):
        batch = {n: t.to(where) for n, t in model_inputs(model, data.batch(rows)).items()}
        logits = _sweep_batch(model, batch, replacement).float().cpu().numpy()
        if out is None:
            out = np.empty((logits.shape[0], len(data), logits.shape[2]), np.float32)
        out[:, rows] = logits
    assert out is not None
    swept = out[1:].reshape(layers, heads + 1, *out.shape[1:])
    return Sweep(baseline=out[0], heads=swept[:, :heads], layers=swept[:, heads])


def _batches(lengths: np.ndarray, variants: int, where: torch.device) -> list[np.ndarray]:
    """Rows of similar length, longest first, as many as keep all variants within the chunk."""
    budget = CHUNK_TOKENS.get(where.type, CHUNK_TOKENS["cpu"]) // variants
    order = np.argsort(lengths, kind="stable")[::-1]
    batches, start = [], 0
    while start < len(order):
        longest = int(lengths[order[start]])
        rows = order[start : start + max(1, budget // longest)]
        same = rows[lengths[rows] == longest]  # no padding, so attention needs no mask
        if len(same) * longest * 3 > budget:
            rows = same
        batches.append(rows)
        start += len(rows)
    return batches


def _sweep_batch(
    model: PreTrainedModel, batch: dict[str, Tensor], replacement: Replacement
) -> Tensor:
    """``[1 + layers * (heads + 1), batch, output]``: baseline, then by layer heads and layer."""
    is_token = batch["attention_mask"].bool()
    embedded = {n: t for n, t in batch.items() if n != "attention_mask"}
    hidden = model.base_model.embeddings(**embedded)
    layers = encoder_layers(model)
    results = []
    for index, layer in enumerate(layers):
        last = index == len(layers) - 1
        context, values = _attend(layer, hidden, is_token, first_only=last)
        changed = _with_each_head_replaced(context, replacement(values, is_token))
        residual = hidden[:, : context.size(1)]
        variants = changed.size(0)
        state = _finish(layer, changed.flatten(0, 1).flatten(2), residual.repeat(variants, 1, 1))
        state = _run(layers[index + 1 :], state, is_token.repeat(variants, 1))
        results.append(classify(model, state).unflatten(0, (variants, -1)))
        hidden = _finish(layer, context.flatten(2), residual)
    return torch.cat([classify(model, hidden)[None], *results])


def _with_each_head_replaced(context: Tensor, replacement: Tensor) -> Tensor:
    """``[head + 1, batch, token, head, width]``: each head replaced alone, then all of them."""
    heads = context.size(2)
    changed = context.expand(heads + 1, *context.shape).clone()
    for head in range(heads):
        changed[head, :, :, head] = replacement[:, None, head]
    changed[heads] = replacement[:, None]
    return changed


def _run(layers: nn.ModuleList, hidden: Tensor, is_token: Tensor) -> Tensor:
    """The remaining layers; the last of them for [CLS] alone."""
    for index, layer in enumerate(layers):
        context, _ = _attend(layer, hidden, is_token, first_only=index == len(layers) - 1)
        hidden = _finish(layer, context.flatten(2), hidden[:, : context.size(1)])
    return hidden


def _attend(
    layer: nn.Module, hidden: Tensor, is_token: Tensor, first_only: bool
) -> tuple[Tensor, Tensor]:
    """Context ``[batch, query, head, width]`` and values ``[batch, head, key, width]``.

    ``first_only`` asks for the first token's query alone; a model that is already edited gets
    all of them, since an edit may mix the contexts of several tokens.
    """
    module = layer.attention.self
    width = module.attention_head_size

    def project(linear: nn.Linear, states: Tensor) -> Tensor:
        return linear(states).unflatten(-1, (-1, width)).transpose(1, 2)

    queries = hidden[:, :1] if first_only and not edits_of(module) else hidden
    query, key = project(module.query, queries), project(module.key, hidden)
    values = project(module.value, hidden)
    mask = None
    if not is_token.all():
        mask = is_token[:, None, None, :].expand(-1, 1, query.size(2), -1)
    context, _ = attention(module, query, key, values, mask, scaling=module.scaling)
    site = Site(module.layer_idx, is_token)
    for edit in edits_of(module):  # what a replaced head averages is what the others see
        values = edit.values(values, site)
    return context, values


def _finish(layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
    """The layer after its attention: output projection, residual, feed-forward part."""
    attended = layer.attention.output(context, residual)
    return layer.output(layer.intermediate(attended), attended)
