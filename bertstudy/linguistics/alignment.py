"""Which word pieces a word is made of, by the characters they share.

Words and pieces need not nest: of "don't", Universal Dependencies' words are ``do`` and ``n't``,
WordPiece's pieces ``don``, ``'`` and ``t``. So a word has every piece that shares a character
with it, and a piece may belong to two words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertstudy.errors import BertstudyError
from bertstudy.linguistics.annotation import SPECIALS, Annotated, Word, feature

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WordId = tuple[int, int]  # which text of the example, which of its words


@dataclass(frozen=True)
class Aligned:
    """One example, a text or a pair, in word pieces.

    Attributes:
        texts: the annotated texts.
        ids: the model's input, special tokens included, without padding.
        pieces: ``[text][word]``, places in ``ids``; empty where the word was cut off, in whole
            or in part, or where the tokenizer drops all its characters.
        owners: ``[place]``, the words it belongs to; none at a special token, and none at what
            is left of a word that was cut in two.
        specials: ``[place]``, "[CLS]", "[SEP]" or "".
    """

    texts: tuple[Annotated, ...]
    ids: tuple[int, ...]
    pieces: tuple[tuple[tuple[int, ...], ...], ...]
    owners: tuple[tuple[WordId, ...], ...]
    specials: tuple[str, ...]

    def pieces_of(self, text: int, words: Sequence[int]) -> tuple[int, ...]:
        """Places of these words of a text, each once, in order."""
        return tuple(sorted({place for word in words for place in self.pieces[text][word]}))

    def where(self, name: str) -> tuple[int, ...]:
        """Places that have a feature of `annotation.FEATURES`, or hold one of `SPECIALS`.

        Raises:
            BertstudyError: unknown feature, or the source says nothing about it.
        """
        if name in SPECIALS:
            return tuple(i for i, special in enumerate(self.specials) if special == name)
        accepts = feature(name)
        if not all(text.tells(name) for text in self.texts):
            raise BertstudyError(f"no feature '{name}': this source gives no parts of speech")
        chosen = (i for i, words in enumerate(self.owners) if any(map(accepts, self._at(words))))
        return tuple(chosen)

    def _at(self, words: tuple[WordId, ...]) -> list[Word]:
        return [self.texts[text].words[word] for text, word in words]


def align(
    tokenizer: "PreTrainedTokenizerBase",
    examples: Sequence[tuple[Annotated, ...]],
    max_length: int,
) -> list[Aligned]:
    """Tokenise texts, or pairs of texts, as `encoding.encode` does, and align their words.

    Args:
        examples: of one or of two texts, all alike.
        max_length: word pieces; a pair that is too long loses pieces of its longer part.

    Raises:
        BertstudyError: the tokenizer is slow or truncates on the left, or an example holds more
            or fewer texts than the first.
    """
    if not examples:
        return []
    if not tokenizer.is_fast or tokenizer.truncation_side != "right":
        raise BertstudyError("alignment needs a fast tokenizer that truncates on the right")
    if {len(texts) for texts in examples} not in ({1}, {2}):
        raise BertstudyError("examples to align are all of one text, or all of two")
    columns = [[annotated.text for annotated in part] for part in zip(*examples, strict=True)]
    cut = tokenizer(*columns, truncation=True, max_length=max_length, padding=False)
    # What was cut off has to be known: a word that lost a piece is not the word any more.
    whole = tokenizer(*columns, truncation=False, padding=False, verbose=False)
    names = {tokenizer.cls_token_id: "[CLS]", tokenizer.sep_token_id: "[SEP]"}
    return [
        _align(texts, cut.encodings[i], whole.encodings[i], names)
        for i, texts in enumerate(examples)
    ]


def _align(texts: tuple[Annotated, ...], cut, whole, names: dict[int, str]) -> Aligned:
    owners: list[tuple[WordId, ...]] = [()] * len(cut.ids)
    pieces = []
    for number, annotated in enumerate(texts):
        places = [i for i, part in enumerate(cut.sequence_ids) if part == number]
        spans = [s for s, p in zip(whole.offsets, whole.sequence_ids, strict=True) if p == number]
        of_words = _pieces_of_words(annotated, spans)
        kept = [_survive(found, places) for found in of_words]
        pieces.append(tuple(kept))
        for word, found in enumerate(kept):
            for place in found:
                owners[place] += ((number, word),)
    sequence = zip(cut.ids, cut.sequence_ids, strict=True)
    specials = tuple(names.get(i, "") if part is None else "" for i, part in sequence)
    return Aligned(texts, tuple(cut.ids), tuple(pieces), tuple(owners), specials)


def _pieces_of_words(annotated: Annotated, spans: list[tuple[int, int]]) -> list[list[int]]:
    """For each word, which of the text's pieces share a character with it.

    White space belongs to no word, so a piece whose span starts at the space before its word
    (byte-level encodings) needs no care.
    """
    owner = [-1] * len(annotated.text)
    for number, word in enumerate(annotated.words):
        owner[word.start : word.end] = [number] * (word.end - word.start)
    found: list[list[int]] = [[] for _ in annotated.words]
    for piece, (start, end) in enumerate(spans):
        for number in sorted(set(owner[start:end]) - {-1}):
            found[number].append(piece)
    return found


def _survive(found: list[int], places: list[int]) -> tuple[int, ...]:
    """Where a word's pieces stand in the input; nowhere if the last of them was cut off."""
    if not found or found[-1] >= len(places):
        return ()
    return tuple(places[piece] for piece in found)
