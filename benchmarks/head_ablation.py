"""Disabling every head in turn: the sweep against the plain loop, in one run.

The peers are what one writes first: for each head one eager forward over the data with one
edit, in batches of 32 in the data's order, padded to the batch's longest sequence, or to 128
as in fixed-length pipelines. The floor counts the multiply-adds of the exact computation that
cannot be shared: for each layer, its own feed-forward part and all later layers, for H heads.

    python benchmarks/head_ablation.py [--threads 2] [--repeats 3] [--heads-per-layer 3]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from bertstudy.ablation import disable_each
from bertstudy.attention import IMPLEMENTATION, UniformHeads, edited
from bertstudy.encoding import Encoded

T = TypeVar("T")
LAYERS, HEADS, HIDDEN, BATCH, EXAMPLES = 12, 12, 192, 32, 128


def random_model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=8192,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=128,
        initializer_range=0.05,
    )
    config._attn_implementation = IMPLEMENTATION
    return BertForSequenceClassification(config).eval()


def random_data() -> Encoded:
    rng = np.random.default_rng(0)
    lengths = rng.integers(12, 101, EXAMPLES)
    ids = [rng.integers(5, 8192, n).tolist() for n in lengths]
    return Encoded(ids, [[0] * n for n in lengths], np.zeros(EXAMPLES, int), pad=0)


@torch.inference_mode()
def plain_loop(
    model, data: Encoded, length: int | None, heads: list[tuple[int, int]]
) -> dict[tuple[int, int], np.ndarray]:
    """Logits by head: one eager forward over the data with one edit for each."""
    found = {}
    for layer, head in heads:
        with edited(model, UniformHeads([(layer, head)])):
            parts = [
                model(**data.batch(range(start, min(start + BATCH, len(data))), length)).logits
                for start in range(0, len(data), BATCH)
            ]
        found[layer, head] = torch.cat(parts).numpy()
    return found


def operations(lengths: np.ndarray, layer_runs: float) -> float:
    """Multiply-adds of ``layer_runs`` encoder layers over sequences of these lengths."""
    per_token = 12 * HIDDEN**2
    attention = 2 * HIDDEN * lengths.astype(float) ** 2
    return layer_runs * float((per_token * lengths + attention).sum())


def floor(lengths: np.ndarray) -> float:
    """Multiply-adds that no exact method shares between heads (see the module's text)."""
    own = 8 * HIDDEN**2 * lengths.sum()  # the feed-forward part of the head's own layer
    full = operations(lengths, 1.0)
    keys_and_values = 2 * HIDDEN**2 * lengths.sum()  # all that the last layer needs of others
    later = sum(own + (LAYERS - 2 - layer) * full + keys_and_values for layer in range(LAYERS - 1))
    return HEADS * float(later)


def timed(function: Callable[[], T], repeats: int = 1) -> tuple[float, T]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="of the sweep; the median counts")
    parser.add_argument(
        "--heads-per-layer",
        type=int,
        default=3,
        help="heads the loops run, spread over all layers; their time is scaled to every head",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, data = random_model(), random_data()
    step = HEADS // options.heads_per_layer
    heads = [(layer, head) for layer in range(LAYERS) for head in range(0, HEADS, step)]
    scale = LAYERS * HEADS / len(heads)
    plain_loop(model, data, None, heads[:1])  # warm up
    longest, looped = timed(lambda: plain_loop(model, data, None, heads))
    ours, swept = timed(lambda: disable_each(model, data), options.repeats)
    fixed, _ = timed(lambda: plain_loop(model, data, 128, heads))
    difference = max(np.abs(swept.heads[at] - logits).max() for at, logits in looped.items())
    least, loop = floor(data.lengths), operations(data.lengths, LAYERS * LAYERS * HEADS)
    print(f"{LAYERS} x {HEADS}, d={HIDDEN}, {EXAMPLES} sequences, {options.threads} threads")
    print(f"loops timed on {len(heads)} heads, spread over all layers, and scaled by {scale:.0f}")
    print(f"sweep                          {ours:8.2f} s   (median of {options.repeats})")
    for name, seconds in (("batch's longest", longest * scale), ("128", fixed * scale)):
        print(f"loop, padded to {name:<15}{seconds:8.2f} s   ratio {seconds / ours:5.2f}")
    print(f"largest difference of a logit  {difference:.1e}")
    print(
        f"floor {least / 1e9:.1f} G multiply-adds ({loop / least:.2f} times fewer than the loop "
        f"without padding); the sweep did {least / ours / 1e9:.1f} G of them a second"
    )


if __name__ == "__main__":
    main()
