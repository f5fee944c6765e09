"""The model that is pre-trained: where it starts, how it grows, and its losses."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BertConfig, BertForPreTraining

from bertstudy import cooccurrence
from bertstudy.attention import IMPLEMENTATION
from bertstudy.editions import Architecture, PreTraining
from bertstudy.pretrain.examples import IGNORED, Examples
from bertstudy.pretrain.text import SPECIAL, Corpus


def new_model(architecture: Architecture, layers: int, seed: int):
    """A BertForPreTraining of that shape with fresh weights N(0, .02²) and no dropout."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=architecture.vocabulary,
        hidden_size=architecture.hidden,
        num_hidden_layers=layers,
        num_attention_heads=architecture.heads,
        intermediate_size=architecture.intermediate,
        max_position_embeddings=architecture.positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation=IMPLEMENTATION,
    )
    return BertForPreTraining(config)


def load_model(start: Path):
    """The BertForPreTraining of a finished checkpoint, in fp32 and without dropout."""
    return BertForPreTraining.from_pretrained(
        start,
        dtype=torch.float32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation=IMPLEMENTATION,
    )


@torch.no_grad()
def start_from_counts(model, text: Corpus, plan: PreTraining) -> None:
    """Word embeddings from co-occurrences, output biases from frequencies, both of ``text``.

    The special tokens keep their random vectors. The spread is twice that of the random start:
    at N(0, .02²) a piece's own vector would drown in those of its position and segment.
    """
    embeddings = model.bert.embeddings.word_embeddings.weight
    vocabulary, width = embeddings.shape
    found = cooccurrence.vectors(text.pieces, vocabulary, width, plan.window, plan.seed)
    words = slice(len(SPECIAL), None)
    embeddings[words] = found[words] * (0.04 / found[words].std())
    model.cls.predictions.bias.copy_(torch.from_numpy(log_frequencies(text, vocabulary)))


def log_frequencies(text: Corpus, vocabulary: int) -> np.ndarray:
    """``[vocabulary]``, natural logarithms of the pieces' shares of ``text``, add-one."""
    counted = np.bincount(text.pieces, minlength=vocabulary) + 1.0
    return np.log(counted / counted.sum())


def grow(model, architecture: Architecture, layers: int, seed: int):
    """A deeper model: the layers so far, repeated in order (Gong et al. 2019, stacking)."""
    deeper = new_model(architecture, layers, seed)
    depth = model.config.num_hidden_layers
    state = {n: t for n, t in model.state_dict().items() if ".encoder.layer." not in n}
    deeper.load_state_dict(state, strict=False)
    for index, layer in enumerate(deeper.bert.encoder.layer):
        layer.load_state_dict(model.bert.encoder.layer[index % depth].state_dict())
    return deeper


def losses(model, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """MLM loss and NSP loss (nats, means over masked pieces and over pairs), and NSP hits."""
    full = bool(batch["attention_mask"].all())
    hidden = model.bert(
        batch["input_ids"],
        attention_mask=None if full else batch["attention_mask"],
        token_type_ids=batch["token_type_ids"],
    )
    places = batch["targets"] != IGNORED  # the vocabulary is projected here only
    scores = model.cls.predictions(hidden.last_hidden_state[places])
    pair = model.cls.seq_relationship(hidden.pooler_output)
    hits = (pair.argmax(-1) == batch["is_random"]).float().mean()
    return (
        F.cross_entropy(scores.float(), batch["targets"][places]),
        F.cross_entropy(pair.float(), batch["is_random"]),
        hits,
    )


@torch.no_grad()
def evaluate(model, examples: Examples, batches: int) -> dict[str, float]:
    """Held-out MLM and NSP loss (nats) and NSP accuracy (0 to 1), means over fixed batches.

    The model is left in training mode.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = [losses(model, to(examples.batch(i, 64), device)) for i in range(batches)]
    model.train()
    mlm, nsp, hits = (float(torch.stack(column).mean()) for column in zip(*rows, strict=True))
    return {"mlm_loss": mlm, "nsp_loss": nsp, "nsp_accuracy": hits}


def unigram_loss(text: Corpus, examples: Examples, batches: int) -> float:
    """Loss in nats of guessing masked pieces by their frequency in ``text`` (add-one)."""
    logp = log_frequencies(text, examples.vocabulary)
    targets = torch.cat([examples.batch(i, 64)["targets"].flatten() for i in range(batches)])
    return float(-logp[targets[targets != IGNORED].numpy()].mean())


def to(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
