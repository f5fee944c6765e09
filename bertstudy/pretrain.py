"""Pre-training `mini` and `small`: masked-language model and next-sentence prediction.

Devlin et al. (2019) §3.1, sized for two cores: dropout off (it keeps attention from its fast
path on a CPU, and a short budget does not overfit), the vocabulary projected at masked places
only, and, where the edition says so, word embeddings that start from co-occurrence counts and
depth grown in stages (Gong et al. 2019). Each step's examples depend on (seed, step) alone, so a
killed run resumes exactly where it was.
"""

import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from bertstudy import cooccurrence, store
from bertstudy.attention import IMPLEMENTATION
from bertstudy.editions import Architecture, Edition, PreTraining
from bertstudy.encoder import checkpoint_hash, has_bf16_units, mixed_precision, quiet
from bertstudy.errors import BertstudyError
from bertstudy.paths import build, write_text
from bertstudy.store import file_hashes
from bertstudy.tasks import from_folder

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
IGNORED = -100
ALPHABET = 1000  # letters at most, as in the library
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
SYNTHETIC_SENTENCES = {"train": 800_000, "validation": 6_000}
EVALUATION_BATCHES = 24
SAVE_EVERY = 240  # seconds between two saved states
LOG_EVERY = 200  # steps
_CLOSING = r"[\"'”’)\]]"
_SENTENCE_END = re.compile(
    rf"(?:(?<=[.!?;])|(?<=[.!?;]{_CLOSING})|(?<=[.!?;]{_CLOSING}{{2}}))"
    r"\s+(?=[\"'“‘(\[]?[A-Z])"
)


@dataclass(frozen=True)
class Corpus:
    """A tokenised text: all word pieces in one row, and where sentences and documents begin.

    Attributes:
        pieces: word-piece ids, uint16, ``[pieces]``.
        sentences: start of each sentence in ``pieces``, with the end as last entry.
        documents: start of each document in ``sentences``, with the end as last entry.
    """

    pieces: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    def document_of(self, sentence: np.ndarray) -> np.ndarray:
        """Index of the document each sentence belongs to."""
        return np.searchsorted(self.documents, sentence, side="right") - 1


# Text ---------------------------------------------------------------------------------------


def split_sentences(paragraph: str) -> list[str]:
    """Cut a paragraph after ``. ! ? ;`` before a capital; good enough to pair sentences."""
    return [part for part in _SENTENCE_END.split(paragraph.strip()) if part]


def read_documents(corpus: Path, split: str) -> Iterator[list[str]]:
    """Sentences of each document of a local corpus with a ``text`` column.

    Args:
        corpus: a folder that `datasets.load_dataset` reads; paragraphs are separated by one
            blank line.
        split: "train" or "validation".

    Raises:
        BertstudyError: no such folder, split or column.
    """
    rows = from_folder(corpus, None, split, "pre-training")
    if "text" not in rows.column_names:
        raise BertstudyError(
            f"corpus '{corpus}' has no 'text' column; it has {', '.join(rows.column_names)}"
        )
    for row in rows:
        yield [s for paragraph in row["text"].split("\n\n") for s in split_sentences(paragraph)]


def documents(corpus: Path | None, split: str, seed: int) -> Iterator[list[str]]:
    """Documents of a local corpus, or of the synthetic world where ``corpus`` is None."""
    if corpus is not None:
        return read_documents(corpus, split)
    from bertstudy import synthetic

    return synthetic.documents(split, SYNTHETIC_SENTENCES[split], seed)


def train_tokenizer(texts: Iterable[str], architecture: Architecture, folder: Path) -> None:
    """Learn a lower-casing WordPiece vocabulary and save it as a transformers tokenizer.

    The same texts give the same bytes. Left to itself the library numbers letters in the order
    of a hash table that is another in each process, and breaks ties between pairs by number.
    """
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    texts = list(texts)
    learner = BertWordPieceTokenizer(lowercase=True)
    first, inner = _letters(texts, learner)
    learner.train_from_iterator(
        texts,
        vocab_size=architecture.vocabulary,
        special_tokens=[*SPECIAL, *first, *inner],  # numbered before all else, in this order
        initial_alphabet=first,
        limit_alphabet=len(first),
        show_progress=False,
    )
    learnt = BertWordPieceTokenizer(learner.get_vocab(), lowercase=True)  # letters are not special
    BertTokenizerFast(
        tokenizer_object=learnt._tokenizer,
        do_lower_case=True,
        model_max_length=architecture.positions,
    ).save_pretrained(folder)


def _letters(texts: Iterable[str], learner) -> tuple[list[str], list[str]]:
    """The commonest `ALPHABET` letters, and ``##`` before those found inside words; both sorted."""
    normalize = learner._tokenizer.normalizer.normalize_str
    split = learner._tokenizer.pre_tokenizer.pre_tokenize_str
    words = Counter(word for text in texts for word, _ in split(normalize(text)))
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    kept = set(sorted(counts, key=lambda letter: (-counts[letter], letter))[:ALPHABET])
    inner = {f"##{letter}" for word in words for letter in word[1:] if letter in kept}
    return sorted(kept), sorted(inner)


def tokenize(texts: Iterable[list[str]], tokenizer_file: Path, chunk: int = 512) -> Corpus:
    """Tokenise documents given as lists of sentences; documents of one sentence are dropped."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pieces, lengths, counts = [], [], []

    def add(batch: list[list[str]]) -> None:
        encoded = tokenizer.encode_batch_fast(
            [sentence for document in batch for sentence in document], add_special_tokens=False
        )
        sizes = np.array([len(e) for e in encoded], dtype=np.int64)
        pieces.append(np.fromiter((i for e in encoded for i in e.ids), np.uint16, sizes.sum()))
        lengths.append(sizes)
        counts.extend(len(document) for document in batch)

    batch: list[list[str]] = []
    for document in texts:
        if len(document) > 1:
            batch.append(document)
        if sum(map(len, batch)) >= 40 * chunk:
            add(batch)
            batch = []
    if batch:
        add(batch)
    if not lengths:
        raise BertstudyError("the corpus has no document of two sentences or more")
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return Corpus(np.concatenate(pieces), starts, np.concatenate([[0], np.cumsum(counts)]))


def prepare(
    edition: Edition, corpus: Path | None, folder: Path, start: Path | None = None
) -> tuple[Corpus, Corpus]:
    """Tokenised train and validation text; kept in ``folder`` with the tokenizer.

    They are made again where any of it is not as it was written, or not all was written.
    The tokenizer is that of the checkpoint ``start``, or learnt from the text.
    """
    assert edition.architecture is not None
    assert edition.pretraining is not None
    seed, tokenizer, seal = edition.pretraining.seed, folder / "tokenizer", folder / "files.json"
    train, validation = (folder / f"{split}.safetensors" for split in ("train", "validation"))
    if not _is_sealed(seal):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if start is None:
            sample = (s for d in documents(corpus, "train", seed) for s in d)
            limit = 600_000  # sentences; enough for a vocabulary of some thousand pieces
            sentences = (s for _, s in zip(range(limit), sample, strict=False))
            train_tokenizer(sentences, edition.architecture, tokenizer)
        else:
            tokenizer.mkdir()
            for name in TOKENIZER:
                shutil.copy(start / name, tokenizer)
        for file in (train, validation):
            text = tokenize(documents(corpus, file.stem, seed), tokenizer / "tokenizer.json")
            _save_corpus(text, file)
        write_text(seal, json.dumps(_beside(seal)))
    return _load_corpus(train), _load_corpus(validation)


def _beside(seal: Path) -> dict[str, str]:
    return {n: digest for n, digest in file_hashes(seal.parent).items() if n != seal.name}


def _is_sealed(seal: Path) -> bool:
    try:
        return json.loads(seal.read_bytes()) == _beside(seal)
    except (FileNotFoundError, ValueError):
        return False


def text_key(edition: Edition, corpus: Path | None, start: Path | None = None) -> str:
    """Names the tokenised text: it changes with corpus, synthetic grammar, plan or tokenizer."""
    if corpus is None:
        source = sorted((Path(__file__).parent / "synthetic").glob("*.py"))
        facts = [sha256(file.read_bytes()).hexdigest() for file in source]
        facts.append(json.dumps(SYNTHETIC_SENTENCES))
    else:
        files = sorted(file for file in Path(corpus).rglob("*") if file.is_file())
        facts = [f"{file.name} {file.stat().st_size}" for file in files]
        facts.append(_SENTENCE_END.pattern)
    facts.append(json.dumps([asdict(edition.architecture), edition.pretraining.seed]))
    if start is not None:
        facts += [sha256((start / name).read_bytes()).hexdigest() for name in TOKENIZER]
    return sha256("\n".join(facts).encode()).hexdigest()[:16]


def _save_corpus(text: Corpus, file: Path) -> None:
    save_file(
        {
            "pieces": torch.from_numpy(text.pieces.view(np.int16)),
            "sentences": torch.from_numpy(text.sentences),
            "documents": torch.from_numpy(text.documents),
        },
        file,
    )


def _load_corpus(file: Path) -> Corpus:
    arrays = {name: tensor.numpy() for name, tensor in load_file(file).items()}
    return Corpus(arrays["pieces"].view(np.uint16), arrays["sentences"], arrays["documents"])


# Examples -----------------------------------------------------------------------------------


class Examples:
    """Draws NSP pairs with masked word pieces; batch ``step`` is the same whenever asked for.

    Each example starts at a random sentence that is not its document's last. The second part
    is what follows (label 0) or, half of the time, other text (label 1): from another
    document as in Devlin et al. (2019), or for a share ``near`` of it from elsewhere in the same
    one. Sequences are filled to the step's length.
    """

    def __init__(self, text: Corpus, plan: PreTraining, vocabulary: int):
        self.text, self.plan, self.vocabulary = text, plan, vocabulary
        last = text.documents[1:] - 1
        self.starts = np.setdiff1d(np.arange(len(text.sentences) - 1), last)
        if len(text.documents) < 3:
            raise BertstudyError("the corpus needs at least two documents of two sentences")

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """The batch of one step: ids, segments, mask, targets and NSP labels on the CPU.

        ``size`` is for the plan's full length; a step of shorter sequences has more of them.
        """
        rng = np.random.default_rng((self.plan.seed, step))
        length = int(rng.choice((self.plan.length, *self.plan.shorter)))
        size = size * self.plan.length // length
        ids = np.zeros((size, length), np.int64)
        segments = np.zeros_like(ids)
        follows = rng.random(size) < 0.5
        for row in range(size):
            first, second = self._pair(rng, follows[row], length - 3)
            cut, end = len(first) + 2, len(first) + len(second) + 3
            ids[row, :cut] = [CLS, *first, SEP]
            ids[row, cut:end] = [*second, SEP]
            segments[row, cut:end] = 1
        masked, targets = self._mask(rng, ids)
        return {
            "input_ids": torch.from_numpy(masked),
            "token_type_ids": torch.from_numpy(segments),
            "attention_mask": torch.from_numpy((ids != PAD).astype(np.int64)),
            "targets": torch.from_numpy(targets),
            "is_random": torch.from_numpy((~follows).astype(np.int64)),
        }

    def _from(
        self, sentence: int, room: int, stop: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pieces from a sentence on, at most ``room`` of them, and the sentence ends inside.

        They end with the document, or before sentence ``stop``.
        """
        text = self.text
        stop = stop or int(text.documents[text.document_of(np.int64(sentence)) + 1])
        begin, limit = text.sentences[sentence], text.sentences[stop]
        ends = text.sentences[sentence + 1 : min(stop, sentence + room) + 1] - begin
        pieces = text.pieces[begin : min(limit, begin + room)]
        return pieces, ends[(ends > 0) & (ends < len(pieces))]

    def _pair(
        self, rng: np.random.Generator, follows: bool, room: int
    ) -> tuple[np.ndarray, np.ndarray]:
        start = int(rng.choice(self.starts))
        pieces, ends = self._from(start, room)
        cut = int(rng.choice(ends)) if len(ends) else len(pieces) // 2  # one very long sentence
        first, second = pieces[: max(cut, 1)], pieces[max(cut, 1) :]
        if not follows:
            used = 1 + int(np.searchsorted(ends, cut))  # sentences of the first part
            other, stop = self._elsewhere(rng, start, start + used)
            second, _ = self._from(other, room - len(first), stop)
        return first, second

    def _elsewhere(
        self, rng: np.random.Generator, start: int, following: int
    ) -> tuple[int, int | None]:
        """A sentence that does not follow, and the sentence to stop before, if any.

        For a share ``near`` it is of the same document, outside ``start`` to ``following``;
        text from before ``start`` must not run into the first part.
        """
        here = self.text.document_of(np.int64(start))
        if rng.random() < self.plan.near:
            begin, end = self.text.documents[here : here + 2]
            apart = [s for s in range(begin, end) if not start <= s <= following]
            if apart:
                chosen = int(rng.choice(apart))
                return chosen, start if chosen < start else None
        while True:
            other = int(rng.choice(self.starts))
            if self.text.document_of(np.int64(other)) != here:
                return other, None

    def _mask(self, rng: np.random.Generator, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Choose ``masked`` of the pieces; 80 % become [MASK], 10 % another piece, 10 % stay."""
        chosen = (rng.random(ids.shape) < self.plan.masked) & (ids > MASK)
        targets = np.where(chosen, ids, IGNORED)
        fate = rng.random(ids.shape)
        other = rng.integers(len(SPECIAL), self.vocabulary, ids.shape)
        masked = np.where(chosen & (fate < 0.8), MASK, ids)
        return np.where(chosen & (fate >= 0.9), other, masked), targets


def held_out_examples(text: Corpus, plan: PreTraining, architecture: Architecture) -> Examples:
    """Examples at the plan's full length only, so that runs of different plans compare."""
    return Examples(text, replace(plan, shorter=()), architecture.vocabulary)


# Training -----------------------------------------------------------------------------------


def new_model(architecture: Architecture, layers: int, seed: int):
    """A BertForPreTraining of that shape with fresh weights N(0, .02²) and no dropout."""
    from transformers import BertConfig, BertForPreTraining

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


def onward(plan: PreTraining) -> PreTraining:
    """The plan of a run that carries a finished checkpoint on: no counts, no growth."""
    return replace(plan, learning_rate=plan.onward_rate, window=0, growth=())


def began_from(start: Path, architecture: Architecture) -> dict:
    """Which checkpoint a run starts from, and what had gone into it.

    Returns:
        ``checkpoint`` (its hash), ``held_out`` (its scores), and ``tokens steps seconds`` of its
        training and of all training before that.

    Raises:
        BertstudyError: the folder is no checkpoint of this project, or of another shape.
    """
    wanted = asdict(architecture)
    try:
        numbers = json.loads((start / "training.json").read_bytes())
        shape, held_out = numbers["architecture"], numbers["held_out"]
        total = seen(numbers)
        missing = [n for n in ("model.safetensors", *TOKENIZER) if not (start / n).is_file()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BertstudyError(
            f"--start {start} is not a checkpoint of ours: it has no whole training.json"
        ) from error
    if missing:
        raise BertstudyError(f"--start {start} is not a whole checkpoint: no {missing[0]} in it")
    if shape != wanted:
        differing = ", ".join(
            f"{n} {shape.get(n)}, not {v}" for n, v in wanted.items() if shape.get(n) != v
        )
        raise BertstudyError(f"--start {start} has not the edition's shape: {differing}")
    return {"checkpoint": checkpoint_hash(str(start)), "held_out": held_out, **total}


def seen(numbers: dict) -> dict[str, float]:
    """``tokens steps seconds`` in all: of a ``training.json`` and of what that run began from.

    Files written before runs could start from a checkpoint have no "began".
    """
    before = numbers.get("began") or {}
    return {name: before.get(name, 0) + numbers[name] for name in ("tokens", "steps", "seconds")}


def load_model(start: Path):
    """The BertForPreTraining of a finished checkpoint, in fp32 and without dropout."""
    from transformers import BertForPreTraining

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
    counted = np.bincount(text.pieces, minlength=vocabulary) + 1.0
    logp = np.log(counted / counted.sum())
    model.cls.predictions.bias.copy_(torch.from_numpy(logp))


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
    """Held-out MLM loss, NSP loss and NSP accuracy on fixed batches."""
    model.eval()
    device = next(model.parameters()).device
    rows = [losses(model, _to(examples.batch(i, 64), device)) for i in range(batches)]
    model.train()
    mlm, nsp, hits = (float(torch.stack(column).mean()) for column in zip(*rows, strict=True))
    return {"mlm_loss": mlm, "nsp_loss": nsp, "nsp_accuracy": hits}


def unigram_loss(text: Corpus, examples: Examples, batches: int) -> float:
    """Loss in nats of guessing masked pieces by their frequency in ``text`` (add-one)."""
    counts = np.bincount(text.pieces, minlength=examples.vocabulary) + 1.0
    logp = np.log(counts / counts.sum())
    targets = torch.cat([examples.batch(i, 64)["targets"].flatten() for i in range(batches)])
    return float(-logp[targets[targets != IGNORED].numpy()].mean())


def _to(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _optimizer(model, plan: PreTraining) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]  # biases and LayerNorm
    groups = [
        {"params": decayed, "weight_decay": plan.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=plan.betas, eps=1e-6)


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
        self.optimizer = _optimizer(self.model, self.plan)
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
        while self.share < 1.0:
            if (depth := self._depth_at(self.share)) != self.model.config.num_hidden_layers:
                self._build(depth, self.model)
            loss = self._one_step(examples)
            self.seconds = time.monotonic() - started
            if self.step % LOG_EVERY == 0 or self.share >= 1.0:
                self._log(loss, held_out, bar)
            if time.monotonic() - saved > SAVE_EVERY:
                self._save()
                saved = time.monotonic()
        bar.close()

    def _one_step(self, examples: Examples) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        batch = _to(examples.batch(self.step, self.plan.batch_size), self.device)
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


def _drop_state(folder: Path) -> None:
    (folder / "state.json").unlink(missing_ok=True)  # first: without it the rest is no state
    for state in folder.glob("state*"):
        state.unlink()


def _refuse_foreign(out: Path) -> None:
    """The finished checkpoint replaces ``out``, so it must hold an older one or nothing."""
    empty = out.is_dir() and not any(out.iterdir())
    if out.exists() and not empty and not (out / "training.json").is_file():
        raise BertstudyError(f"--out {out} is not a checkpoint of ours; name a new or empty folder")


def pretrain(
    edition: Edition,
    corpus: Path | None = None,
    out: Path | None = None,
    minutes: float | None = None,
    device: str | None = None,
    resume: bool = True,
    start: Path | None = None,
) -> Path:
    """Pre-train an edition's encoder and write it as a checkpoint with its card.

    Args:
        edition: one with an architecture (`mini`, `small`).
        corpus: local folder with a ``text`` column; None for the synthetic world.
        out: where the checkpoint goes; the edition's own folder by default.
        minutes: a budget in wall-clock minutes instead of the plan's tokens. Such a run is
            not reproducible to the bit: the number of steps depends on the machine.
        device: torch device; a GPU if there is one.
        resume: carry on from a saved state if there is one; otherwise it is removed.
        start: a checkpoint of this project and shape whose training goes on, with its tokenizer,
            instead of fresh weights.

    Returns:
        The checkpoint's folder: bf16 safetensors, tokenizer, ``training.json``, README.md.

    Raises:
        BertstudyError: nothing to pre-train, no corpus, an ``out`` that holds something else,
            a damaged or foreign saved state, another process at it, or a loss that is not
            finite.
    """
    if edition.architecture is None or edition.pretraining is None:
        raise BertstudyError(
            f"edition '{edition.name}' uses a published checkpoint; allowed: mini, small"
        )
    if edition.source != "synthetic" and corpus is None:
        raise BertstudyError(f"edition '{edition.name}' needs --corpus FOLDER")
    out = Path(out or edition.checkpoint)
    _refuse_foreign(out)
    quiet()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    work = build() / "pretrain" / edition.name
    work.mkdir(parents=True, exist_ok=True)
    if start is not None:
        began_from(start, edition.architecture)  # a wrong one is refused before any work
    text = work / f"text-{text_key(edition, corpus, start)}"
    try:
        with FileLock(work / "lock", timeout=0):
            train, validation = prepare(edition, corpus, text, start)
            if not resume:  # only now: a corpus that cannot be read must not cost the state
                _drop_state(work)
            # The files, not what they are made of: another version of a library may read otherwise.
            run = Run(edition, work, minutes, device, store.key(file_hashes(text)), start)
            run.train(train, validation)
            export(run, train, validation, text / "tokenizer", out)
            _drop_state(work)
    except Timeout as error:
        raise BertstudyError(f"another process is pre-training {edition.name} in {work}") from error
    except SafetensorError as error:  # its own kind for a disk that is full
        raise OSError(str(error)) from error
    return out


def export(run: Run, train: Corpus, validation: Corpus, tokenizer: Path, out: Path) -> None:
    """Write the checkpoint in bf16 with tokenizer, numbers and card; then swap it in.

    Raises:
        BertstudyError: the budget ended before the model had all its layers.
    """
    depth = run.model.config.num_hidden_layers
    if depth != run.architecture.layers:
        raise BertstudyError(
            f"the budget ended at {depth} of {run.architecture.layers} layers: it is too short "
            "for this plan's growth"
        )
    held_out = held_out_examples(validation, run.plan, run.architecture)
    model = run.model.to(torch.bfloat16)
    scores = evaluate(model.float(), held_out, EVALUATION_BATCHES)
    scores["unigram_loss"] = unigram_loss(train, held_out, EVALUATION_BATCHES)
    numbers = {
        "architecture": asdict(run.architecture),
        "plan": asdict(run.plan),
        "minutes": run.minutes,
        "began": run.began,
        "corpus": {"pieces": len(train.pieces), "documents": len(train.documents) - 1},
        "held_out": {name: round(value, 4) for name, value in scores.items()},
        "steps": run.step,
        "tokens": run.tokens,
        "seconds": round(run.seconds, 1),
        "device": str(run.device),
        "products": "bf16" if has_bf16_units(run.device) else "fp32",
        "threads": torch.get_num_threads(),
        "curve": run.curve,
    }
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shutil.copytree(tokenizer, part, dirs_exist_ok=True)
    # Dropout was off here; fine-tuning wants BERT's own rate, so the shipped config has it.
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.1
    model.to(torch.bfloat16).save_pretrained(part)
    (part / "training.json").write_text(json.dumps(numbers, indent=1) + "\n")
    (part / "README.md").write_text(card(numbers))
    shutil.rmtree(out, ignore_errors=True)
    os.replace(part, out)


def card(numbers: dict) -> str:
    """The checkpoint's model card, every number taken from ``training.json``.

    Its ``notes``, added by hand where a run was not as planned, are listed last.
    """
    began = numbers.get("began")
    before = ""
    if began:
        before = (
            f", on from checkpoint {began['checkpoint']}: {seen(numbers)['tokens']:,} word pieces "
            f"in all (held-out MLM loss {began['held_out']['mlm_loss']:.3f} before)"
        )
    device = numbers["device"]
    if "products" in numbers:  # cards from before it was written down
        device += f", products in {numbers['products']}"
    notes = "".join(f"- {note}\n" for note in numbers.get("notes", ()))
    a, held, plan = numbers["architecture"], numbers["held_out"], numbers["plan"]
    gain = held["unigram_loss"] - held["mlm_loss"]
    lengths = ", ".join(map(str, (plan["length"], *plan["shorter"])))
    window = plan.get("window", 0)
    starts = "the checkpoint's own" if began else "random vectors"
    if window:
        starts = f"co-occurrences within {window} pieces"
    growth = ", ".join(f"{layers} from {start:.0%}" for start, layers in plan["growth"])
    return f"""# BERT {a["layers"]} × {a["heads"]}, hidden size {a["hidden"]}

An encoder of BERT's architecture pre-trained from scratch by `bertstudy pretrain` with masked
language modelling and next-sentence prediction. It is small and was trained briefly: use it to
study the methods of the book, not for its scores.

| | |
|---|---|
| layers × heads | {a["layers"]} × {a["heads"]} |
| hidden size, positions | {a["hidden"]}, {a["positions"]} |
| vocabulary | {a["vocabulary"]} word pieces, lower-cased |
| text | {numbers["corpus"]["documents"]:,} documents, {numbers["corpus"]["pieces"]:,} word pieces |
| seen in training | {numbers["tokens"]:,} word pieces in {numbers["steps"]:,} steps{before} |
| word pieces a step | {plan["batch_size"] * plan["length"]:,}, in sequences of {lengths} |
| NSP negatives from the same document | {plan["near"]:.0%} |
| word embeddings start from | {starts} |
| depth by share of the budget | {growth or "full depth throughout"} |
| peak learning rate, seed | {plan["learning_rate"]}, {plan["seed"]} |
| wall time, device | {numbers["seconds"] / 60:.0f} min, {device} |
| held-out MLM loss (nats) | {held["mlm_loss"]:.3f} |
| the same for a unigram model | {held["unigram_loss"]:.3f} (the model is {gain:.3f} lower) |
| held-out NSP accuracy | {held["nsp_accuracy"]:.3f} |

Weights are bf16; the learning curve is in `training.json`.

{notes}"""
