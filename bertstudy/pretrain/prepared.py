"""The text of a run on disk: tokenised once, sealed, and made again where it is not whole."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bertstudy import synthetic
from bertstudy.editions import Edition
from bertstudy.paths import write_text
from bertstudy.pretrain.text import (
    SENTENCE_END,
    SYNTHETIC_SENTENCES,
    TOKENIZER,
    Corpus,
    documents,
    tokenize,
    train_tokenizer,
)
from bertstudy.store import file_hashes

VOCABULARY_SENTENCES = 600_000  # at most; enough for a vocabulary of some thousand pieces


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
        # Writing the synthetic text takes a minute, keeping it a few hundred MB.
        kept = list(documents(None, "train", seed)) if corpus is None else []

        def text(split: str) -> Iterable[list[str]]:
            return kept if kept and split == "train" else documents(corpus, split, seed)

        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if start is None:
            sentences = islice(chain.from_iterable(text("train")), VOCABULARY_SENTENCES)
            train_tokenizer(sentences, edition.architecture, tokenizer)
        else:
            tokenizer.mkdir()
            for name in TOKENIZER:
                shutil.copy(start / name, tokenizer)
        for file in (train, validation):
            _save_corpus(tokenize(text(file.stem), tokenizer / "tokenizer.json"), file)
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
    """Names the tokenised text: 16 hexadecimal digits.

    They change with the files of the corpus or, where it is None, with the synthetic grammar; with
    the vocabulary that is asked for, the seed, and the tokenizer of ``start``.
    """
    if corpus is None:
        source = file_hashes(Path(synthetic.__file__).parent)
        facts = [digest for name, digest in source.items() if name.endswith(".py")]
        facts.append(json.dumps(SYNTHETIC_SENTENCES))
    else:
        facts = [f"{name} {digest}" for name, digest in file_hashes(Path(corpus)).items()]
        facts.append(SENTENCE_END.pattern)
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
