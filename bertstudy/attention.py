"""The seam: one attention function through which every intervention of the book passes.

`attention` is registered with transformers under the name `IMPLEMENTATION`. Without edits it
is the stock scaled-dot-product path, or in bf16 on a CPU the same products written out. *Edits*
change it for the length of a ``with`` block (`edited`) or for as long as a model keeps them
(`own`):

========================  ===============================================================
`UniformHeads`            every token receives 1/L (Kovaleva et al. 2019 §4.6)
`ZeroHeads`               the head's output is removed (Michel et al. 2019)
`BlurContext`             Gaussian blur of A·V along the tokens (Su & Cheng 2019 eq. 9)
`BlurValues`              Gaussian blur of V (Su & Cheng 2019 eq. 10)
`AdditiveMask`            a constant added to the scores (Shi et al. 2021 §4.2)
`SoftMask`                Q = -c(1 - sigmoid(alpha)), learnt (Shi et al. 2021 §3.1)
`Capture`                 hands the maps to a reduction as they are made
========================  ===============================================================

An edit sees the computation at four places, in this order: ``scores`` before the softmax
(padding is excluded afterwards, so no edit can let it in), ``probs`` after it and before
dropout, ``values``, and ``context`` = A·V before the heads are joined.

>>> with edited(model, UniformHeads([(0, 3)])):      # layer 1, head 4 of the figures
...     logits = model(**batch).logits
"""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from bertstudy.errors import BertstudyError

IMPLEMENTATION = "bertstudy"
_EDITS = "_bertstudy_edits"  # attribute of an attention module while it is edited


@dataclass(frozen=True)
class Site:
    """Where an edit is being applied.

    Attributes:
        layer: 0-based.
        is_token: ``[batch, key]``, False at padding; [CLS] and [SEP] are tokens.
    """

    layer: int
    is_token: Tensor


class Edit(nn.Module):
    """An intervention; the methods it does not override leave their input as it is.

    A module, so that a learnt edit can hold parameters. ``batch head query key width`` name
    the axes.
    """

    def check(self, layers: int, heads: int) -> None:
        """Raise BertstudyError if this edit cannot apply to a model of that shape."""

    def scores(self, scores: Tensor, site: Site) -> Tensor:
        """``[batch, head, query, key]`` before padding is excluded and before the softmax."""
        return scores

    def probs(self, probs: Tensor, site: Site) -> Tensor:
        """``[batch, head, query, key]``, rows sum to 1, before dropout."""
        return probs

    def values(self, values: Tensor, site: Site) -> Tensor:
        """``[batch, head, key, width]``."""
        return values

    def context(self, context: Tensor, site: Site) -> Tensor:
        """``[batch, head, query, width]``, before the heads are joined and projected."""
        return context


# The attention function ---------------------------------------------------------------------


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: object,
) -> tuple[Tensor, Tensor | None]:
    """Self-attention with the module's edits, in the form that transformers calls.

    Args:
        module: the attention module; its ``layer_idx`` says which layer it is.
        query, key, value: ``[batch, head, token, width]``.
        attention_mask: None; boolean ``[batch, 1, query, key]``, True where attention may
            go; or a caller's own additive float mask that broadcasts to the scores.

    Returns:
        ``[batch, query, head, width]`` and, unless the fused path was taken, the probabilities.
    """
    edits = edits_of(module)
    if not edits and not _is_slow_fused(query):
        kwargs["is_causal"] = False
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    site = Site(module.layer_idx, tokens_of(attention_mask, key))
    scaled = query * (query.size(-1) ** -0.5 if scaling is None else scaling)
    scores = scaled @ key.transpose(2, 3)
    if attention_mask is not None and attention_mask.dtype != torch.bool:
        scores = scores + attention_mask
    for edit in edits:
        scores = edit.scores(scores, site)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    probs = scores.softmax(-1).to(query.dtype)
    for edit in edits:
        probs = edit.probs(probs, site)
    dropped = F.dropout(probs, dropout, training=module.training)
    for edit in edits:
        value = edit.values(value, site)
    context = dropped @ value
    for edit in edits:
        context = edit.context(context, site)
    return context.transpose(1, 2).contiguous(), probs


def _is_slow_fused(query: Tensor) -> bool:
    """Whether products written out beat the library's fused attention.

    They do in bf16 on a CPU, most of all in the backward pass (`benchmarks/training_step.py`).
    """
    return query.device.type == "cpu" and query.dtype == torch.bfloat16


def tokens_of(attention_mask: Tensor | None, key: Tensor) -> Tensor:
    """``[batch, key]``: True at real tokens, which are those that some query may attend."""
    if attention_mask is None:
        return torch.ones(key.size(0), key.size(2), dtype=torch.bool, device=key.device)
    allowed = attention_mask
    if allowed.dtype != torch.bool:
        allowed = allowed > torch.finfo(allowed.dtype).min / 2
    return allowed.any(dim=(1, 2)).expand(key.size(0), -1)


AttentionInterface.register(IMPLEMENTATION, attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)


# Applying edits -----------------------------------------------------------------------------


def attention_modules(model: PreTrainedModel) -> list[nn.Module]:
    """The self-attention modules of an encoder, by layer."""
    found = [m for m in model.modules() if hasattr(m, "layer_idx") and hasattr(m, "query")]
    return sorted(found, key=lambda m: m.layer_idx)


def edits_of(module: nn.Module) -> tuple[Edit, ...]:
    """The edits that an attention module has now, in the order they apply."""
    return getattr(module, _EDITS, ())


def _attach(model: PreTrainedModel, edits: tuple[Edit, ...]) -> list[nn.Module]:
    if model.config._attn_implementation != IMPLEMENTATION:
        raise BertstudyError(
            "this model does not use the seam; load it with "
            f"attn_implementation='{IMPLEMENTATION}' (it has "
            f"'{model.config._attn_implementation}')"
        )
    for edit in edits:
        edit.check(model.config.num_hidden_layers, model.config.num_attention_heads)
    modules = attention_modules(model)
    if not modules:
        raise BertstudyError(f"{type(model).__name__} is not laid out like BERT or RoBERTa")
    for module in modules:
        # A plain tuple: edits held for a moment must not appear among the model's parameters.
        object.__setattr__(module, _EDITS, (*edits_of(module), *edits))
    return modules


@contextmanager
def edited(model: PreTrainedModel, *edits: Edit) -> Iterator[None]:
    """Apply edits, in the order given and after those already there, inside the block.

    Raises:
        BertstudyError: the model does not use the seam, or an edit names a layer or head
            that it has not.
    """
    before = [edits_of(m) for m in attention_modules(model)]
    modules = _attach(model, edits)
    try:
        yield
    finally:
        for module, kept in zip(modules, before, strict=True):
            object.__setattr__(module, _EDITS, kept)


def own(model: PreTrainedModel, edit: Edit) -> None:
    """Make a learnt edit part of the model: applied always, its parameters trained and saved."""
    name = type(edit).__name__.lower()
    if hasattr(model, name):
        raise BertstudyError(f"the model already has an edit called '{name}'")
    _attach(model, (edit,))
    model.add_module(name, edit)


# Heads --------------------------------------------------------------------------------------


def all_heads(layer: int, heads: int) -> list[tuple[int, int]]:
    """Every head of one layer, as `UniformHeads` and `ZeroHeads` take them."""
    return [(layer, head) for head in range(heads)]


class _HeadEdit(Edit):
    """An edit of chosen heads: 0-based ``(layer, head)`` pairs."""

    def __init__(self, heads: Collection[tuple[int, int]]) -> None:
        super().__init__()
        self.heads = frozenset((int(layer), int(head)) for layer, head in heads)

    def check(self, layers: int, heads: int) -> None:
        for layer, head in sorted(self.heads):
            if not (0 <= layer < layers and 0 <= head < heads):
                raise BertstudyError(
                    f"there is no layer {layer} head {head} (0-based): "
                    f"layers are 0 to {layers - 1}, heads 0 to {heads - 1}"
                )

    def _here(self, site: Site) -> list[int]:
        return sorted(head for layer, head in self.heads if layer == site.layer)


class UniformHeads(_HeadEdit):
    r"""Kovaleva et al. (2019, arXiv:1908.08593) §4.6, *disabling*: constant attention.

    With L_b the number of real tokens of sequence b, at every query

    $$a_{bhij} = 1 / L_b \text{ if token } j \text{ is real, else } 0.$$
    """

    def probs(self, probs: Tensor, site: Site) -> Tensor:
        heads = self._here(site)
        if not heads:
            return probs
        row = (site.is_token / site.is_token.sum(-1, keepdim=True)).to(probs.dtype)
        probs = probs.clone()
        probs[:, heads] = row[:, None, None, :]
        return probs

    @staticmethod
    def replacement(values: Tensor, is_token: Tensor) -> Tensor:
        """What a disabled head puts out at each query: the mean value, ``[batch, head, width]``."""
        weights = (is_token / is_token.sum(-1, keepdim=True)).to(values.dtype)
        return torch.einsum("bk,bhkw->bhw", weights, values)


class ZeroHeads(_HeadEdit):
    """Michel et al. (2019, arXiv:1905.10650), *masking*: the head's output is zero.

    The map is left as it was; what the head puts out, A·V, is removed.
    """

    def context(self, context: Tensor, site: Site) -> Tensor:
        heads = self._here(site)
        if not heads:
            return context
        context = context.clone()
        context[:, heads] = 0
        return context

    @staticmethod
    def replacement(values: Tensor, is_token: Tensor) -> Tensor:
        """What a masked head puts out at each query: nothing, ``[batch, head, width]``."""
        return torch.zeros_like(values[:, :, 0])


DISABLINGS: dict[str, type[UniformHeads] | type[ZeroHeads]] = {
    "uniform": UniformHeads,
    "zero": ZeroHeads,
}


# Blur ---------------------------------------------------------------------------------------


def gaussian_kernel(sigma: float, size: int) -> Tensor:
    r"""``[size]`` weights ∝ exp(-x²/2σ²), x = -(size-1)/2 … (size-1)/2, that sum to 1.

    Su & Cheng (2019, SesameBERT) eq. 7, normalised as in the released code.

    Raises:
        BertstudyError: sigma is not positive, or size is not odd and positive.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise BertstudyError(f"sigma is {sigma}: it must be a positive number")
    if size < 1 or size % 2 == 0:
        raise BertstudyError(f"kernel size is {size}: it must be odd and positive")
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-((x / sigma) ** 2) / 2)
    return (weights / weights.sum()).float()


class _Blur(Edit):
    """Blur along the tokens with symmetric ends, each feature on its own.

    Args:
        sigma: standard deviation in tokens.
        size: odd width of the kernel in tokens; the released code uses 3.
        mask_aware: mirror at the last real token of each sequence instead of at the end of
            the tensor, so that padding cannot leak in.
    """

    def __init__(self, sigma: float, size: int = 3, mask_aware: bool = False) -> None:
        super().__init__()
        self.register_buffer("kernel", gaussian_kernel(sigma, size), persistent=False)
        self.mask_aware = mask_aware

    def _blur(self, x: Tensor, site: Site) -> Tensor:
        """``x``: ``[batch, head, token, width]``."""
        tokens, radius = x.size(2), self.kernel.numel() // 2
        lengths = torch.full((x.size(0), 1), tokens, device=x.device)
        if self.mask_aware:
            lengths = site.is_token.sum(-1, keepdim=True)
        place = torch.arange(tokens, device=x.device)
        out = torch.zeros_like(x)
        for weight, offset in zip(
            self.kernel.to(x.device, x.dtype), range(-radius, radius + 1), strict=True
        ):
            source = _mirror(place + offset, lengths).clamp(max=tokens - 1)
            index = source[:, None, :, None].expand_as(x)
            out = out + weight * x.gather(2, index)
        if self.mask_aware:
            return torch.where(site.is_token[:, None, :, None], out, x)
        return out


def _mirror(place: Tensor, length: Tensor) -> Tensor:
    """Reflect places outside [0, length) with the edge repeated: -1 → 0, length → length-1."""
    folded = place.remainder(2 * length)
    return torch.minimum(folded, 2 * length - 1 - folded)


class BlurContext(_Blur):
    """SesameBERT §3.2, "context": Õ = (A·V) * g."""

    def context(self, context: Tensor, site: Site) -> Tensor:
        return self._blur(context, site)


class BlurValues(_Blur):
    """SesameBERT §3.2, "value": Õ = A·(V * g)."""

    def values(self, values: Tensor, site: Site) -> Tensor:
        return self._blur(values, site)


# Masks --------------------------------------------------------------------------------------


def relative_to_row_maximum(mask: Tensor) -> Tensor:
    """Subtract each row's maximum. Softmax ignores it; low precision keeps the scores' digits."""
    return mask - mask.amax(-1, keepdim=True)


class AdditiveMask(Edit):
    """Add a fixed mask to the scores, for example -inf where attention is forbidden.

    Args:
        mask: ``[places, places]`` or ``[head, places, places]``, cropped to the sequence.
        layers: 0-based layers it applies to; None for all.

    Raises:
        BertstudyError: the mask is not square or forbids every key of some query, which
            would be full attention rather than none.
    """

    def __init__(self, mask: Tensor, layers: Collection[int] | None = None) -> None:
        super().__init__()
        if mask.ndim not in (2, 3) or mask.size(-1) != mask.size(-2):
            raise BertstudyError(f"a mask is [places, places] or [head, ...]; got {mask.shape}")
        if (mask.amax(-1) <= torch.finfo(torch.float32).min / 2).any():
            raise BertstudyError("the mask forbids every key of some query")
        self.register_buffer("mask", mask.float(), persistent=False)
        self.layers = None if layers is None else frozenset(layers)

    def check(self, layers: int, heads: int) -> None:
        if self.mask.ndim == 3 and self.mask.size(0) not in (1, heads):
            raise BertstudyError(f"the mask has {self.mask.size(0)} heads, the model {heads}")
        for layer in sorted(self.layers or ()):
            if not 0 <= layer < layers:
                raise BertstudyError(f"there is no layer {layer}: layers are 0 to {layers - 1}")

    def scores(self, scores: Tensor, site: Site) -> Tensor:
        if self.layers is not None and site.layer not in self.layers:
            return scores
        mask = _crop(self.mask, scores)
        self._leaves_a_key(mask, site)
        return scores + mask

    def _leaves_a_key(self, mask: Tensor, site: Site) -> None:
        """The crop and the padding may take the last key that a query had."""
        open_ = (mask > torch.finfo(torch.float32).min / 2) & site.is_token[:, None, None, :]
        if (~open_.any(-1) & site.is_token[:, None, : mask.size(-2)]).any():
            raise BertstudyError(
                f"the mask forbids every key of some query in a sequence of {mask.size(-1)} tokens"
            )


class SoftMask(Edit):
    r"""Shi et al. (2021, SparseBERT) §3.1: which positions matter, learnt with the weights.

    $$\hat A = \mathrm{softmax}(QK^\top/\sqrt{d_h} + Q_P),\quad
      Q_P = -c\,(1 - P),\quad P = \sigma(\alpha),\ \alpha = \alpha^\top$$

    One α per head, shared by all layers. A P that is constant along rows changes nothing.

    Args:
        heads: number of heads of a layer.
        places: longest sequence; shorter ones use the upper left corner.
        c: how strongly P = 0 forbids.
        spread: standard deviation of α at the start.
    """

    def __init__(self, heads: int, places: int, c: float = 1e4, spread: float = 1e-3) -> None:
        super().__init__()
        self.alpha = nn.Parameter(spread * torch.randn(heads, places, places))
        self.c = c

    def check(self, layers: int, heads: int) -> None:
        if self.alpha.size(0) != heads:
            raise BertstudyError(f"the mask has {self.alpha.size(0)} heads, the model {heads}")

    @property
    def importance(self) -> Tensor:
        """P, ``[head, place, place]``: symmetric, from the upper triangle of α."""
        upper = self.alpha.triu()
        return torch.sigmoid(upper + self.alpha.triu(1).transpose(1, 2))

    def scores(self, scores: Tensor, site: Site) -> Tensor:
        wide = torch.promote_types(scores.dtype, torch.float32)
        mask = _crop(-self.c * (1 - self.importance.to(wide)), scores)
        return scores.to(wide) + relative_to_row_maximum(mask)


def _crop(mask: Tensor, scores: Tensor) -> Tensor:
    """The upper left corner of a ``[..., places, places]`` mask, to the size of the scores."""
    queries, keys = scores.shape[-2:]
    if max(queries, keys) > mask.size(-1):
        raise BertstudyError(
            f"a sequence of {max(queries, keys)} tokens is longer than the mask ({mask.size(-1)})"
        )
    return mask[..., :queries, :keys].to(scores.device)


# Maps ---------------------------------------------------------------------------------------


class Capture(Edit):
    """Hand each layer's probabilities to a reduction as they are made; keep its results only.

    Args:
        reduce: called with ``probs [batch, head, query, key]`` and the `Site`. The default
            keeps the maps themselves: for a few examples, not for a data set.

    Attributes:
        found: by layer, the results of the calls in order.
    """

    def __init__(self, reduce: Callable[[Tensor, Site], object] | None = None) -> None:
        super().__init__()
        self.reduce = reduce or (lambda probs, site: probs.detach().cpu())
        self.found: dict[int, list] = {}

    def probs(self, probs: Tensor, site: Site) -> Tensor:
        self.found.setdefault(site.layer, []).append(self.reduce(probs, site))
        return probs


def maps(model: PreTrainedModel, **batch: Tensor) -> Tensor:
    """All maps of one batch, ``[batch, layer, head, query, key]``, in evaluation mode.

    Args:
        model: left in the mode it is in, and each of its parts.
        batch: the model's inputs, ``[batch, token]`` each.
    """
    capture, modes = Capture(), {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), edited(model, capture):
            model.base_model(**batch)
    finally:
        for module, was_training in modes.items():
            module.training = was_training
    return torch.stack([capture.found[layer][0] for layer in sorted(capture.found)], dim=1)
