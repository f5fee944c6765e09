"""Statistics of every map of a data set: streamed, against collecting `output_attentions`.

Each side runs in a process of its own, and its memory is the rise of the process's peak resident
set over what it was with the model loaded. Time is the processor's: other work on the machine
stretches wall time, which stands beside it, and hardly this. The peers are stock transformers,
eager, in batches of 32: ``collect`` keeps every map and then reduces, as one writes it first;
``batchwise`` reduces each batch's maps before the next. All three compute the same two statistics.
The floor counts the multiply-adds of the encoder, which every side must do, and the bytes of the
maps, which a side that writes each once and reads it once has to move.

    python benchmarks/streaming.py [--examples 1000] [--repeats 3] [--threads 1] [--weights 4]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from head_ablation import HEADS, HIDDEN, IMPLEMENTATION, LAYERS, operations
from head_ablation import random_model as model_on
from torch import Tensor

from bertstudy import streaming
from bertstudy.attention import Site
from bertstudy.encoding import Encoded
from bertstudy.streaming import neighbours, received, stream

BATCH, LONGEST = 32, 128
SMALLER = 10  # times less memory than collecting, and no slower: what the package promises
Found = dict[str, np.ndarray]


def random_data(examples: int, shortest: int) -> Encoded:
    rng = np.random.default_rng(0)
    lengths = rng.integers(shortest, LONGEST + 1, examples)
    ids = [rng.integers(5, 8192, n).tolist() for n in lengths]
    return Encoded(ids, [[0] * n for n in lengths], np.zeros(examples, int), pad=0)


def reduce(probs: Tensor, site: Site, _: object = None) -> dict[str, Tensor]:
    """Attention to [CLS] and to the neighbours: two numbers a map."""
    return {"first": received(probs, site)[..., 0], "neighbours": neighbours(probs, site)}


def streamed(model, data: Encoded) -> Found:
    return stream(model, data, reduce)


def _forward(model, data: Encoded, start: int) -> tuple[tuple[Tensor, ...], Tensor]:
    batch = data.batch(range(start, min(start + BATCH, len(data))))
    made = model.base_model(**batch, output_attentions=True)
    return made.attentions, batch["attention_mask"].bool()


def _reduced(attentions: tuple[Tensor, ...], is_token: Tensor) -> list[dict[str, Tensor]]:
    return [reduce(probs, Site(layer, is_token)) for layer, probs in enumerate(attentions)]


def _joined(batches: list[list[dict[str, Tensor]]]) -> Found:
    return {
        name: torch.cat([torch.stack([x[name] for x in layers], 1) for layers in batches]).numpy()
        for name in batches[0][0]
    }


@torch.inference_mode()
def batchwise(model, data: Encoded) -> Found:
    starts = range(0, len(data), BATCH)
    return _joined([_reduced(*_forward(model, data, start)) for start in starts])


@torch.inference_mode()
def collect(model, data: Encoded) -> Found:
    collected = [_forward(model, data, start) for start in range(0, len(data), BATCH)]
    return _joined([_reduced(*one) for one in collected])


SIDES: dict[str, Callable[..., Found]] = {
    "streamed": streamed,
    "batchwise": batchwise,
    "collect": collect,
}


def peak() -> int:
    """Largest resident set of this process so far, bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def one(side: str, options: argparse.Namespace) -> dict[str, float]:
    """Time and memory of one side, and a digest of what it found; run in a fresh process."""
    torch.set_num_threads(options.threads)
    streaming.WEIGHTS["cpu"] = round(options.weights * 1e6)
    model = model_on()
    model.set_attn_implementation(IMPLEMENTATION if side == "streamed" else "eager")
    data = random_data(options.examples, options.shortest)
    SIDES[side](model, data.take(range(2)))  # warm up: two examples
    before, start, busy = peak(), time.perf_counter(), time.process_time()
    found = SIDES[side](model, data)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    digest = {name: float(np.abs(values).mean()) for name, values in found.items()}
    last = {f"last {name}": float(values[-1, -1, -1]) for name, values in found.items()}
    used = {"seconds": seconds, "busy": busy, "memory": float(peak() - before)}
    return used | digest | last


def alone(side: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side]
    for name in ("examples", "threads", "weights", "shortest"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(runs: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    print(
        f"{LAYERS} x {HEADS}, d={HIDDEN}, {options.examples} sequences of {options.shortest} to "
        f"{LONGEST} tokens, {options.threads} threads, {options.repeats} repeats in turn, "
        f"{options.weights:g} M weights a batch of ours"
    )
    print(f"{'':10}  processor s: least, median, ratio    wall s: median    peak MB, ratio")

    def of(side: str, name: str) -> list[float]:
        return [run[name] for run in runs[side]]

    ours, missed = runs["streamed"][0], []
    for side, found in runs.items():
        busy, memory = of(side, "busy"), statistics.median(of(side, "memory"))
        # Of neighbours in time: the machine may be busier at one time than at another.
        slower = statistics.median(
            theirs / own for theirs, own in zip(busy, of("streamed", "busy"), strict=True)
        )
        larger = memory / statistics.median(of("streamed", "memory"))
        print(
            f"{side:10}{min(busy):20.1f}{statistics.median(busy):8.1f}{slower:6.2f}x"
            f"{statistics.median(of(side, 'seconds')):18.1f}{memory / 1e6:15.0f}{larger:6.1f}x"
        )
        if side == "collect" and (larger < SMALLER or slower < 1):
            missed.append(f"{larger:.1f}x the memory and {slower:.2f}x the time of streaming")
        for name in ours.keys() - {"seconds", "busy", "memory"}:
            if abs(found[0][name] - ours[name]) > 1e-5:
                raise SystemExit(f"{side} finds {name} {found[0][name]}, streaming {ours[name]}")
    lengths = random_data(options.examples, options.shortest).lengths
    least, adds = min(of("streamed", "busy")), operations(lengths, LAYERS) / 1e9
    maps = 4 * LAYERS * HEADS * float((lengths.astype(float) ** 2).sum())
    print(
        f"floor {adds:.0f} G multiply-adds, of which streaming did {adds / least:.1f} G a "
        f"second; maps of {maps / 1e9:.2f} GB, written once and read once"
    )
    if missed:
        raise SystemExit(f"collecting takes only {missed[0]}: asked for {SMALLER}x and 1x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--shortest", type=int, default=LONGEST, help="tokens; the longest has 128")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=float, default=streaming.WEIGHTS["cpu"] / 1e6)
    parser.add_argument("--side", choices=SIDES, help="run one alone and print JSON")
    parser.add_argument("--without", choices=SIDES, action="append", default=[])
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one(options.side, options)))
        return
    sides = [side for side in SIDES if side not in options.without]
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(options.repeats):
        for side in sides:
            runs[side].append(alone(side, options))
    report(runs, options)


if __name__ == "__main__":
    main()
