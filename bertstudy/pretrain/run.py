"""One pre-training run, which can be killed at any moment and continued."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm
from transformers import BertForPreTraining

from bertstudy import store
from bertstudy.devices import mixed_precision
from bertstudy.editions import Architecture, Edition, PreTraining
from bertstudy.errors import BertstudyError
from bertstudy.paths import write_text
from bertstudy.pretrain.checkpoint import began_from
from bertstudy.pretrain.examples import Examples, held_out_examples
from bertstudy.pretrain.model import (
    evaluate,
    grow,
    load_model,
    losses,
    new_model,
    start_from_counts,
    to,
)
from bertstudy.pretrain.text import Corpus
from bertstudy.train import parameter_groups

SAVE_EVERY = 240  # seconds between two saved states
LOG_EVERY = 200  # steps


def onward(plan: PreTraining) -> PreTraining:
    """The plan of a run that carries a finished checkpoint on: no counts, no growth."""
    return replace(plan, learning_rate=plan.onward_rate, window=0, growth=())


def optimizer_of(model: BertForPreTraining, plan: PreTraining) -> torch.optim.AdamW:
    """AdamW with the plan's rates, in one pass over the weights (``fused``)."""
    groups = parameter_groups(model, plan.weight_decay)
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=plan.betas, eps=1e-6, fused=True)


class Run:
    """One pre-training run that can be killed at any moment and continued.

    The state (weights, both moments, counters) is written to ``folder`` every few minutes,
    under a temporary name first. ``text`` is the key of the text that is trained on: a state
    of another text has other word pieces and is refused. ``start`` is a checkpoint of this
    project whose training goes on, at its full depth (`onward`), without its optimizer's moments,
    which are not shipped. A state is carried on only from the same start.
    """

    def __init__(
        self,
        edition: Edition,
        folder: Path,
        minutes: float | None,
        device: str,
        text: str = "",
        start: Path | None = None,
    ):
        assert edition.architecture is not None
        assert edition.pretraining is not None
        self.architecture, self.plan = edition.architecture, edition.pretraining
        self.start, self.began = start, {}
        if start is not None:
            self.plan = onward(self.plan)
            self.began = began_from(start, self.architecture)
            text = store.key([text, self.began["checkpoint"]])
        self.folder, self.minutes, self.device = folder, minutes, torch.device(device)
        self.text = text
        self.step = self.tokens = self.since_growth = 0
        self.seconds = 0.0
        self.curve: list[dict[str, float]] = []
        self._build(self._depth_at(0.0), model=None)
        if (folder / "state.json").exists():
            self._load()

    @property
    def share(self) -> float:
        """Share of the budget spent: time where minutes were given, tokens otherwise."""
        if self.minutes:
            return min(self.seconds / (60 * self.minutes), 1.0)
        return min(self.tokens / self.plan.tokens, 1.0)

    def _depth_at(self, share: float) -> int:
        depths = [layers for start, layers in self.plan.growth if start <= share]
        return depths[-1] if depths else self.architecture.layers

    def _build(self, layers: int, model) -> None:
        seed = self.plan.seed
        if model is not None:
            self.model = grow(model, self.architecture, layers, seed)
        elif self.start is not None:
            self.model = load_model(self.start)
        else:
            self.model = new_model(self.architecture, layers, seed)
        self.model.to(self.device).train()
        self.optimizer = optimizer_of(self.model, self.plan)
        self.since_growth = 0

    def _rate(self) -> float:
        """Linear warm-up, linear decay to zero, and a short ramp after each growth."""
        rise = min(self.share / self.plan.warmup, 1.0, (self.since_growth + 1) / 100)
        return self.plan.learning_rate * rise * max(1.0 - self.share, 0.0)

    def train(self, train: Corpus, validation: Corpus) -> None:
        """Train until the budget is spent, logging speed and time left."""
        # Other examples than those that the checkpoint has seen: no two legs begin at one total.
        fresh = replace(self.plan, seed=self.plan.seed + self.began.get("tokens", 0))
        examples = Examples(train, fresh, self.architecture.vocabulary)
        held_out = held_out_examples(validation, self.plan, self.architecture)
        if self.step == 0 and self.plan.window:
            start_from_counts(self.model, train, self.plan)
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        bar = tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}")
        # The next batch is drawn while the device works at this one.
        with ThreadPoolExecutor(1) as drawer:
            following = drawer.submit(examples.batch, self.step, self.plan.batch_size)
            while self.share < 1.0:
                if (depth := self._depth_at(self.share)) != self.model.config.num_hidden_layers:
                    self._build(depth, self.model)
                batch = following.result()
                following = drawer.submit(examples.batch, self.step + 1, self.plan.batch_size)
                loss = self._one_step(to(batch, self.device))
                self.seconds = time.monotonic() - started
                if self.step % LOG_EVERY == 0 or self.share >= 1.0:
                    self._log(loss, held_out, bar)
                if time.monotonic() - saved > SAVE_EVERY:
                    self._save()
                    saved = time.monotonic()
        bar.close()

    def _one_step(self, batch: dict[str, Tensor]) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        with mixed_precision(self.device):
            mlm, nsp, _ = losses(self.model, batch)
        if not torch.isfinite(mlm + nsp):
            loss = (mlm + nsp).item()
            raise BertstudyError(f"pre-training loss is {loss} at step {self.step}")
        self.optimizer.zero_grad(set_to_none=True)
        (mlm + nsp).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.since_growth += 1
        self.tokens += batch["input_ids"].numel()
        return mlm.detach()

    def _log(self, loss: Tensor, held_out: Examples, bar: tqdm) -> None:
        row = {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1)}
        row |= {"layers": self.model.config.num_hidden_layers, "train_mlm": round(float(loss), 4)}
        row |= {k: round(v, 4) for k, v in evaluate(self.model, held_out, batches=4).items()}
        self.curve.append(row)
        speed = self.tokens / max(self.seconds, 1e-9)
        bar.n = round(100 * self.share, 1)
        bar.set_postfix_str(
            f"{speed:,.0f} tokens/s, {self.tokens / 1e6:.1f} M, {row['layers']} layers, "
            f"MLM {row['mlm_loss']:.3f}, NSP {row['nsp_accuracy']:.3f}"
        )

    def _counters(self) -> dict:
        names = ("step", "tokens", "seconds", "since_growth", "curve")
        return {name: getattr(self, name) for name in names}

    def _save(self) -> None:
        tensors = {f"model.{n}": t for n, t in _untied(self.model.state_dict()).items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{n}": t for n, t in entry.items()}
        part = self.folder / "state.safetensors.part"
        save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, part)
        digest = sha256(part.read_bytes()).hexdigest()
        state = self._counters() | {
            "layers": self.model.config.num_hidden_layers,
            "plan": _plan_of(self.architecture, self.plan, self.minutes),
            "text": self.text,
            "sha256": digest,
        }
        os.replace(part, self.folder / f"state-{digest[:16]}.safetensors")
        state |= {"checksum": store.key(state)}
        write_text(self.folder / "state.json", json.dumps(state))
        for old in self.folder.glob("state-*.safetensors"):
            if digest[:16] not in old.name:
                old.unlink()

    def _load(self) -> None:
        damaged = f"the saved state in {self.folder} is damaged; --fresh starts anew"
        try:
            state = json.loads((self.folder / "state.json").read_bytes())
            whole = state.pop("checksum") == store.key(state)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise BertstudyError(damaged) from error
        if not whole:
            raise BertstudyError(damaged)
        if state["plan"] != _plan_of(self.architecture, self.plan, self.minutes):
            raise BertstudyError(
                f"{self.folder} holds a run of another plan or other --minutes, unfinished; "
                "--fresh removes it"
            )
        if state["text"] != self.text:
            raise BertstudyError(
                f"{self.folder} holds a run on another text or from another checkpoint, "
                "unfinished; --fresh removes it"
            )
        file = self.folder / f"state-{state['sha256'][:16]}.safetensors"
        if not file.exists() or sha256(file.read_bytes()).hexdigest() != state["sha256"]:
            raise BertstudyError(damaged)
        self._build(state["layers"], model=None)
        tensors = load_file(file, device=str(self.device))
        weights = {n[6:]: t for n, t in tensors.items() if n.startswith("model.")}
        self.model.load_state_dict(weights, strict=False)
        self.model.tie_weights()
        layout = self.optimizer.state_dict()
        layout["state"] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, entry = name.split(".")
                layout["state"].setdefault(int(index), {})[entry] = tensor
        self.optimizer.load_state_dict(layout)
        for name in self._counters():
            setattr(self, name, state[name])


def _plan_of(architecture: Architecture, plan: PreTraining, minutes: float | None) -> list:
    """What a saved state may be carried on with: depth and rate follow from the minutes, too."""
    return json.loads(json.dumps([asdict(architecture), asdict(plan), minutes]))


def _untied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights without the second name of those that share memory (safetensors refuses them)."""
    seen: set[int] = set()
    return {
        name: tensor
        for name, tensor in state.items()
        if not (tensor.data_ptr() in seen or seen.add(tensor.data_ptr()))
    }


def drop_state(folder: Path) -> None:
    """Remove the saved state."""
    (folder / "state.json").unlink(missing_ok=True)  # first: without it the rest is no state
    for state in folder.glob("state*"):
        state.unlink()
