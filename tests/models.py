"""Tiny random models, tokenizers, a forward pass written out by hand, and folders like the hub."""

import re
import string
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from datasets import Dataset
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertTokenizerFast,
    PreTrainedModel,
    RobertaConfig,
    RobertaTokenizerFast,
)

from bertstudy.attention import IMPLEMENTATION
from bertstudy.encoder import HEADS
from bertstudy.encoding import Encoded
from bertstudy.tasks import Kind, task

FAMILIES = ("bert", "roberta")
VOCABULARY = 50
LENGTHS = (7, 2, 12, 5)
PAD = {"bert": 0, "roberta": 1}

SENTENCES = [
    "The cat sat on the mat, and the dog barked.",
    "A lowly worm is not half as interesting as a bird!",
    "Nobody laughed; the movie works in its ragged way.",
    "Seven ships sailed from the old harbour at dawn.",
    "Does the dog chase the cat, or does the cat chase the dog?",
]


def tiny(
    family: str,
    layers: int = 6,
    *,
    heads: int = 4,
    outputs: int = 2,
    implementation: str = IMPLEMENTATION,
    seed: int = 0,
    dropout: float = 0.0,
    vocabulary: int = VOCABULARY,
    dtype: torch.dtype = torch.float64,
    kind: Kind = "classification",
) -> PreTrainedModel:
    """A model of width 4 a head whose every parameter is random, biases included.

    The maps are far from uniform, and what a layer adds is small beside what passes it by, the
    more so the deeper the model. With equal spreads the tokens of a random model grow alike
    from layer to layer until nothing done to the upper layers shows in the logits. In float64,
    so that two routes can be told apart from rounding on any machine.
    """
    make = BertConfig if family == "bert" else RobertaConfig
    config = make(
        vocab_size=vocabulary,
        hidden_size=4 * heads,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=12,
        max_position_embeddings=40,
        type_vocab_size=2 if family == "bert" else 1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        num_labels=outputs,
        layer_norm_eps=1e-12,
        pad_token_id=PAD[family],
    )
    model = HEADS[kind].from_config(config, attn_implementation=implementation, dtype=dtype)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(("LayerNorm.weight" in name) + _spread(name, layers) * noise)
    return model.eval()


def _spread(name: str, layers: int) -> float:
    if "LayerNorm" in name or name.endswith("bias"):
        return 0.1
    return 0.1 * (6 / layers) ** 0.5 if ".output.dense" in name else 0.6


def examples(family: str, lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> Encoded:
    """Random word pieces with no padding piece among them; a second segment from half-way."""
    draw = torch.Generator().manual_seed(seed)
    ids = [torch.randint(5, VOCABULARY, (n,), generator=draw).tolist() for n in lengths]
    segments = [[0] * (n - n // 2) + [1] * (n // 2) for n in lengths]
    labels = torch.arange(len(lengths)).remainder(2).numpy()
    return Encoded(ids=ids, segments=segments, labels=labels, pad=PAD[family])


def inputs(
    family: str, lengths: tuple[int, ...] = LENGTHS, length: int | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """One padded batch of `examples`, as the family's model takes it."""
    batch = examples(family, lengths, seed).batch(range(len(lengths)), length)
    if family == "roberta":
        del batch["token_type_ids"]
    return batch


def alone(batch: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    """One example of a batch, without its padding."""
    count = int(batch["attention_mask"][row].sum())
    return {name: column[row : row + 1, :count] for name, column in batch.items()}


# A second route to the logits -----------------------------------------------------------------

Change = Callable[[int, int, Tensor], Tensor]  # layer, head, matrix -> matrix


def _same(layer: int, head: int, matrix: Tensor) -> Tensor:
    return matrix


def by_hand(
    model: PreTrainedModel,
    batch: Mapping[str, Tensor],
    *,
    scores: Change = _same,
    probs: Change = _same,
    values: Change = _same,
    context: Change = _same,
) -> Tensor:
    """Logits ``[example, output]`` in float64: one example, one layer, one head at a time.

    With a head for spans ``[example, start and end, token]``, all of one length; a model for
    choices is given its sequences one by one. Padding is left out, not masked. The four
    functions change a head's ``[query, key]``, ``[query, key]``, ``[key, width]`` and
    ``[query, width]`` matrices.
    """
    weights = {name: value.double() for name, value in model.state_dict().items()}
    base = next(name.split(".")[0] for name in weights)
    rows = []
    for row in range(len(batch["input_ids"])):
        hidden = _embed(weights, base, alone(batch, row))
        for layer in range(model.config.num_hidden_layers):
            at = f"{base}.encoder.layer.{layer}."
            heads = []
            for head in range(model.config.num_attention_heads):
                query, key, value = (
                    _linear(weights, f"{at}attention.self.{name}", hidden)[:, 4 * head :][:, :4]
                    for name in ("query", "key", "value")
                )
                map_ = scores(layer, head, query @ key.T / 2).softmax(-1)  # sqrt(4) = 2
                mixed = probs(layer, head, map_) @ values(layer, head, value)
                heads.append(context(layer, head, mixed))
            joined = _linear(weights, f"{at}attention.output.dense", torch.cat(heads, -1))
            middle = _norm(weights, f"{at}attention.output.LayerNorm", joined + hidden)
            wide = F.gelu(_linear(weights, f"{at}intermediate.dense", middle))
            out = _linear(weights, f"{at}output.dense", wide)
            hidden = _norm(weights, f"{at}output.LayerNorm", out + middle)
        rows.append(_head(weights, base, hidden))
    return torch.stack(rows)


def _linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-12).sqrt()
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _embed(weights: dict[str, Tensor], base: str, example: dict[str, Tensor]) -> Tensor:
    at = f"{base}.embeddings."
    ids = example["input_ids"][0]
    first = 2 if base == "roberta" else 0  # RoBERTa counts from its padding id + 1
    types = example.get("token_type_ids", torch.zeros(1, len(ids), dtype=torch.long))[0]
    total = weights[f"{at}word_embeddings.weight"][ids]
    total = total + weights[f"{at}position_embeddings.weight"][first : first + len(ids)]
    total = total + weights[f"{at}token_type_embeddings.weight"][types]
    return _norm(weights, f"{at}LayerNorm", total)


def _head(weights: dict[str, Tensor], base: str, hidden: Tensor) -> Tensor:
    if "qa_outputs.weight" in weights:
        return _linear(weights, "qa_outputs", hidden).T
    inner = "classifier.dense" if "classifier.dense.weight" in weights else f"{base}.pooler.dense"
    outer = "classifier.out_proj" if inner.startswith("classifier") else "classifier"
    return _linear(weights, outer, _linear(weights, inner, hidden[0]).tanh())


# Tokenizers -------------------------------------------------------------------------------------


def wordpiece_tokenizer() -> BertTokenizerFast:
    """Lower-casing WordPiece that knows short words whole, long ones in two halves, and letters.

    Written down, not learnt: the library's trainer breaks ties differently from run to run.
    """
    from tokenizers import BertWordPieceTokenizer

    words = sorted(set(re.findall(r"\w+", " ".join(SENTENCES).lower())))
    halves = [(w[: len(w) // 2], f"##{w[len(w) // 2 :]}") for w in words if len(w) > 4]
    pieces = [w for w in words if len(w) <= 4] + [piece for pair in halves for piece in pair]
    letters = [form for c in string.ascii_lowercase + string.digits for form in (c, f"##{c}")]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    known = dict.fromkeys([*special, *string.punctuation, *letters, *pieces])
    vocabulary = {piece: number for number, piece in enumerate(known)}
    made = BertWordPieceTokenizer(vocabulary, lowercase=True)
    return BertTokenizerFast(tokenizer_object=made._tokenizer, do_lower_case=True)


def bytelevel_tokenizer() -> RobertaTokenizerFast:
    """Byte-level byte-pair encoding with RoBERTa's special tokens, learnt from a few sentences."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing

    learner = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learner.train_from_iterator(
        SENTENCES, vocab_size=330, min_frequency=1, special_tokens=special, show_progress=False
    )
    learner._tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    return RobertaTokenizerFast(tokenizer_object=learner._tokenizer)


# Laid out like the hub ----------------------------------------------------------------------------


def lay_out(root: Path, name: str = "mrpc", **splits: dict[str, list]) -> str:
    """Add a task's data to a folder laid out like the hub: parquet, and a card that lists it."""
    found = task(name)
    folder = root / found.dataset
    (folder / found.config).mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        file = folder / found.config / f"{split}-00000-of-00001.parquet"
        Dataset.from_dict(rows).to_parquet(file)
    listing = ""
    for config in sorted(path for path in folder.iterdir() if path.is_dir()):
        listing += f"- config_name: {config.name}\n  data_files:\n"
        for file in sorted(config.iterdir()):
            split = file.name.split("-")[0]
            listing += f"  - split: {split}\n    path: {config.name}/{file.name}\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n{listing}---\n")
    return str(root)


def hub_checkpoint(folder: Path, positions: int = 128) -> dict[str, Tensor]:
    """A tiny random BERT in the form of the hub's bert-base-uncased; returns its weights.

    That file is of 2018: LayerNorm's weight and bias are called gamma and beta, and the
    pre-training heads are there.
    """
    tokenizer = wordpiece_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
    )
    torch.manual_seed(0)
    weights = {n: t.clone() for n, t in BertForPreTraining(config).state_dict().items()}
    for name, tensor in weights.items():
        if "LayerNorm" in name:
            tensor += 0.1 * torch.randn(tensor.shape)
    config.architectures = ["BertForMaskedLM"]
    config.save_pretrained(folder)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    stored = {}
    for name, tensor in weights.items():
        for new, first in old.items():
            name = name.replace(new, first)
        stored[name] = tensor.clone()
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    return weights
