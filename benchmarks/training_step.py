"""One step of pre-training on a CPU: the seam in bf16 against stock transformers, in one run.

Forward pass, MLM + NSP loss, backward pass, clipping and AdamW of `small`'s encoder. The peers are
transformers' own model with its default attention, in fp32 and under bf16 autocast; the three take
turns. The floor is the time of the step's matrix products alone at the speed that a product of a
feed-forward layer reaches here.
On a CPU without bf16 units ours is the stock model in fp32, and the script says so.

    python benchmarks/training_step.py [--threads 2] [--repeats 5] [--length 128]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bertstudy.devices import mixed_precision
from bertstudy.editions import EDITIONS, Architecture
from bertstudy.pretrain.examples import IGNORED
from bertstudy.pretrain.model import losses, new_model

TOKENS = 2048  # of a step, as in the edition's plan
CPU = torch.device("cpu")


def batch(architecture: Architecture, length: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    size = TOKENS // length
    ids = torch.randint(5, architecture.vocabulary, (size, length))
    return {
        "input_ids": ids,
        "token_type_ids": torch.zeros_like(ids),
        "attention_mask": torch.ones_like(ids),
        "targets": torch.where(torch.rand(ids.shape) < 0.15, ids, IGNORED),
        "is_random": torch.randint(0, 2, (size,)),
    }


def step_of(
    architecture: Architecture, inputs: dict[str, Tensor], stock: bool, mixed: bool
) -> Callable[[], None]:
    model = new_model(architecture, architecture.layers, seed=0).train()
    if stock:
        model.set_attn_implementation("sdpa")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        ours = mixed_precision(CPU, mixed)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed) if stock else ours:
            mlm, nsp, _ = losses(model, inputs)
        optimizer.zero_grad(set_to_none=True)
        (mlm + nsp).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def operations(architecture: Architecture, length: int) -> float:
    """Floating-point operations of a step's products: forward once, backward twice."""
    width = architecture.hidden
    layers = architecture.layers * (12 * width**2 + 2 * width * length) * TOKENS
    head = 0.15 * TOKENS * (width**2 + width * architecture.vocabulary)
    return 3 * 2 * (layers + head)


def ceiling(architecture: Architecture, kind: torch.dtype) -> float:
    """Operations a second of a feed-forward layer's first product."""
    width, wide = architecture.hidden, architecture.intermediate
    a, b = torch.randn(TOKENS, width).to(kind), torch.randn(width, wide).to(kind)
    return 2 * TOKENS * width * wide / min(seconds(lambda: a @ b) for _ in range(50))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--length", type=int, default=128)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    architecture = EDITIONS["small"].architecture
    assert architecture is not None
    inputs = batch(architecture, chosen.length)
    with mixed_precision(CPU):
        has_units = torch.is_autocast_enabled("cpu")
    ways = {
        "stock, fp32": step_of(architecture, inputs, stock=True, mixed=False),
        "stock, bf16": step_of(architecture, inputs, stock=True, mixed=True),
        "ours": step_of(architecture, inputs, stock=False, mixed=True),
    }
    for step in ways.values():  # warm up
        step()
    rounds = [{name: seconds(step) for name, step in ways.items()} for _ in range(chosen.repeats)]
    times = {name: [found[name] for found in rounds] for name in ways}
    ours = statistics.median(times["ours"])
    print(f"{chosen.threads} threads, {TOKENS} word pieces in sequences of {chosen.length}")
    if not has_units:
        print("this CPU has no bf16 units: ours is fp32")
    for name, found in times.items():
        middle = statistics.median(found)
        print(
            f"{name:12} {middle * 1e3:7.0f} ms ({min(found) * 1e3:.0f} to {max(found) * 1e3:.0f})"
            f" {TOKENS / middle:7,.0f} pieces/s, {middle / ours:.2f} of ours"
        )
    kind = torch.bfloat16 if has_units else torch.float32
    floor = operations(architecture, chosen.length) / ceiling(architecture, kind)
    print(f"{'floor':12} {floor * 1e3:7.0f} ms, {floor / ours:.2f} of ours")


if __name__ == "__main__":
    main()
