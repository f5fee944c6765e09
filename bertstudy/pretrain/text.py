"""What is pre-trained on: documents, their sentences and word pieces."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from bertstudy import synthetic
from bertstudy.editions import Architecture
from bertstudy.errors import BertstudyError
from bertstudy.tasks import from_folder

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
ALPHABET = 1000  # letters at most, as in the library
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
SYNTHETIC_SENTENCES = {"train": 800_000, "validation": 6_000}
_CLOSING = r"[\"'”’)\]]"
SENTENCE_END = re.compile(
    rf"(?:(?<=[.!?;])|(?<=[.!?;]{_CLOSING})|(?<=[.!?;]{_CLOSING}{{2}}))"
    r"\s+(?=[\"'“‘(\[]?[A-Z])"
)


@dataclass(frozen=True)
class Corpus:
    """A tokenised text: all word pieces in one row, and where sentences and documents begin.

    Every sentence has a word piece or more, and every document two sentences or more.

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


def split_sentences(paragraph: str) -> list[str]:
    """Cut a paragraph after ``. ! ? ;`` before a capital; good enough to pair sentences."""
    return [part for part in SENTENCE_END.split(paragraph.strip()) if part]


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
    """Tokenise documents given as lists of sentences.

    A sentence without a word piece (of zero-width characters, say) is none, and a document of
    fewer than two sentences is dropped.

    Args:
        tokenizer_file: a ``tokenizer.json`` of at most 65,536 pieces.
        chunk: documents tokenised at a time, about.

    Raises:
        BertstudyError: no document is left.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pieces: list[np.ndarray] = []  # of each document
    lengths: list[int] = []  # of each sentence
    counts: list[int] = []  # sentences of each document

    def add(batch: list[list[str]]) -> None:
        encoded = iter(tokenizer.encode_batch_fast(list(chain(*batch)), add_special_tokens=False))
        for document in batch:
            sentences = [e.ids for e in islice(encoded, len(document)) if len(e)]
            if len(sentences) > 1:
                pieces.append(np.fromiter(chain(*sentences), np.uint16))
                lengths.extend(map(len, sentences))
                counts.append(len(sentences))

    batch: list[list[str]] = []
    for document in texts:
        batch.append(document)
        if sum(map(len, batch)) >= 40 * chunk:
            add(batch)
            batch = []
    if batch:
        add(batch)
    if not lengths:
        raise BertstudyError("the corpus has no document of two sentences or more")
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Corpus(np.concatenate(pieces), starts, np.concatenate([[0], np.cumsum(counts)]))
