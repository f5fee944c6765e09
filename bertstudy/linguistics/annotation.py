"""What is known about a text, whatever its source, and the features of its words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bertstudy.errors import BertstudyError

Span = tuple[int, int]  # characters of the text, end exclusive


@dataclass(frozen=True)
class Word:
    """One word.

    Attributes:
        start, end: its characters, end exclusive.
        pos: Universal Dependencies' part of speech; "" where the source gives none.
        head: index of its head among the words, -1 at the root.
        relation: to its head, in the labels of the source (spaCy's are older than UD's); ""
            where the source gives no tree.
        negates: is itself a negation, as `is_negation` has it.
    """

    text: str
    start: int
    end: int
    pos: str = ""
    lemma: str = ""
    head: int = -1
    relation: str = ""
    negates: bool = False


@dataclass(frozen=True)
class Element:
    """An overt frame element and its characters; ``core`` as FrameNet has it."""

    name: str
    start: int
    end: int
    core: bool


@dataclass(frozen=True)
class Frame:
    """One frame with what evokes it: ``targets`` has two spans where the target is in pieces."""

    name: str
    targets: tuple[Span, ...]
    elements: tuple[Element, ...]


@dataclass(frozen=True)
class Annotated:
    """A text with its words from left to right, without overlap, and its frames.

    Attributes:
        by_form: features that words have by their form alone, known although the source gives
            no parts of speech.

    Raises:
        BertstudyError: an annotation does not fit the text.
    """

    text: str
    words: tuple[Word, ...]
    frames: tuple[Frame, ...] = ()
    by_form: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if problem := next(self._problems(), ""):
            raise BertstudyError(f"annotation does not fit its text: {problem} ('{self.text}')")

    def _problems(self) -> Iterator[str]:
        end, count = 0, len(self.words)
        for word in self.words:
            if word.start < end or self.text[word.start : word.end] != word.text or not word.text:
                yield f"'{word.text}' is not at {word.start}:{word.end}, after the word before it"
            if not -1 <= word.head < count:
                yield f"'{word.text}' has head {word.head} among {count} words"
            end = word.end
        for start, end in self._frame_spans():
            if not 0 <= start < end <= len(self.text):
                yield f"a frame's span {start}:{end} is outside"

    def _frame_spans(self) -> Iterator[Span]:
        for frame in self.frames:
            yield from frame.targets
            yield from ((element.start, element.end) for element in frame.elements)

    def tells(self, name: str) -> bool:
        """Whether the source says which of the words have a feature."""
        return name in self.by_form or all(word.pos for word in self.words)

    def words_in(self, start: int, end: int) -> tuple[int, ...]:
        """Indices of the words that share a character with ``start:end``."""
        return tuple(i for i, w in enumerate(self.words) if w.start < end and w.end > start)


# Features ---------------------------------------------------------------------------------------


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


# The words of the paper's footnote 6, whose contractions (don't, won't, ...) all hold n't, and
# beyond it those that the synthetic world marks, and cannot.
_NEGATIONS = _set_of(
    "neither nor not never none nothing nowhere n't n’t cannot no nobody hardly scarcely"
)


def is_negation(text: str, lemma: str = "") -> bool:
    """True for a negation word, by its form or its lemma."""
    return not _NEGATIONS.isdisjoint((text.lower(), lemma.lower()))


_PERSONAL = _set_of(
    "i me my mine myself you your yours yourself yourselves he him his himself she her hers "
    "herself it its itself we us our ours ourselves they them their theirs themselves themself"
)
# Penn's VB* does not hold the modals, which are auxiliaries in Universal Dependencies.
_MODALS = _set_of("can could may might must need ought shall should will would")
# The paper's lists of spaCy labels and Universal Dependencies' names of the same relations,
# without subtypes (nsubj:pass). UD has none for spaCy's "agent", which marks "by", nor for
# "attr" and "oprd", whose words it makes heads or open complements.
_SUBJECTS = _set_of("nsubj nsubjpass csubj csubjpass expl agent")
_OBJECTS = _set_of("obj dobj iobj dative attr oprd")


def _is_verb(word: Word) -> bool:
    return word.pos == "VERB" or (word.pos == "AUX" and word.lemma.lower() not in _MODALS)


def _is_pronoun(word: Word) -> bool:
    """Penn's PRP and PRP$: personal, possessive and reflexive, not who, this or something."""
    forms = (word.text.lower(), word.lemma.lower())
    return word.pos == "PRON" and not _PERSONAL.isdisjoint(forms)


def _related(relations: frozenset[str]) -> Callable[[Word], bool]:
    return lambda word: word.relation.partition(":")[0] in relations


FEATURES: Mapping[str, Callable[[Word], bool]] = {
    "noun": lambda word: word.pos in ("NOUN", "PROPN"),
    "verb": _is_verb,
    "pronoun": _is_pronoun,
    "subject": _related(_SUBJECTS),
    "object": _related(_OBJECTS),
    "negation": lambda word: word.negates,
    "punctuation": lambda word: word.pos == "PUNCT",
}
BY_FORM = ("negation", "punctuation")  # features that take no tagger
SPECIALS = ("[CLS]", "[SEP]")  # features of a model's input rather than of a text's words


def feature(name: str) -> Callable[[Word], bool]:
    """The predicate of that name in `FEATURES`.

    Raises:
        BertstudyError: unknown; the message names the allowed ones.
    """
    if name not in FEATURES:
        raise BertstudyError(
            f"unknown feature '{name}'; allowed: {', '.join((*FEATURES, *SPECIALS))}"
        )
    return FEATURES[name]
