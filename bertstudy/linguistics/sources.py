"""Where annotation comes from: the synthetic world, gold corpora, spaCy, NLTK's reader."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bertstudy.errors import BertstudyError
from bertstudy.linguistics.annotation import (
    BY_FORM,
    Annotated,
    Element,
    Frame,
    Span,
    Word,
    is_negation,
)
from bertstudy.tasks import from_folder

if TYPE_CHECKING:
    from datasets import Dataset

    from bertstudy.synthetic.grammar import Sentence

# The synthetic world ----------------------------------------------------------------------------


def from_sentence(sentence: "Sentence") -> Annotated:
    """A synthetic sentence; the grammar only gives a frame its core elements."""
    words = tuple(
        Word(w.text, w.start, w.end, w.pos, w.lemma, w.head, w.relation, w.negates)
        for w in sentence.words
    )

    def characters(start: int, end: int) -> Span:
        return words[start].start, words[end - 1].end

    frames = (
        Frame(
            f.name,
            (characters(f.target, f.target + 1),),
            tuple(Element(name, *characters(a, b), core=True) for name, a, b in f.elements),
        )
        for f in sentence.frames
    )
    return Annotated(sentence.text, words, tuple(frames))


def synthetic_texts(task_name: str, split: str) -> list[tuple[Annotated, ...]]:
    """The texts of each row of a synthetic task, in the rows' order (their ``idx``).

    Raises:
        BertstudyError: unknown task or split, or a task whose texts are not one sentence each.
    """
    from bertstudy.synthetic import tasks

    made = list(tasks.rows(task_name, split))
    if any(len(row.sentences) != len(tasks.TASKS[task_name].columns) for row in made):
        raise BertstudyError(f"synthetic {task_name} has texts of more or less than one sentence")
    return [tuple(map(from_sentence, row.sentences)) for row in made]


# Gold corpora -----------------------------------------------------------------------------------

ORIGINS = ("", "lu", "fulltext")  # of FrameNet's annotation sets
_TREEBANK = ("text", "tokens", "lemmas", "upos", "head", "deprel")
_ANNOTATION_SET = ("sentence", "frame", "target_start", "target_end",
                   "fe_name", "fe_start", "fe_end", "fe_core", "source")  # fmt: skip


def universal_dependencies(source: str, config: str, split: str = "validation") -> list[Annotated]:
    """Sentences of a treebank of Universal Dependencies, such as ``en_ewt``.

    Args:
        source: a folder laid out like the hub, which has ``universal_dependencies`` in it. Its
            columns are the hub's: text, tokens, lemmas, upos, head (0 is the root), deprel.

    Raises:
        BertstudyError: the data or a column is not there, or a word is not in its text.
    """
    rows = _rows(source, "universal_dependencies", config, split, _TREEBANK)
    names = rows.features["upos"].feature.names
    return [_from_treebank(row, names) for row in rows]


def _from_treebank(row: Mapping[str, Any], names: list[str]) -> Annotated:
    # The hub's own files also list multiword tokens ("don't" before "do" and "n't"), which
    # have no head; heads count the words alone.
    own = [i for i, head in enumerate(row["head"]) if str(head) != "None"]
    spans = _located(row["text"], [row["tokens"][i] for i in own])
    words = []
    for i, (start, end) in zip(own, spans, strict=True):
        form, lemma, head = row["tokens"][i], row["lemmas"][i], int(row["head"][i]) - 1
        pos, relation, negates = names[row["upos"][i]], row["deprel"][i], is_negation(form, lemma)
        words.append(Word(form, start, end, pos, lemma, head, relation, negates))
    return Annotated(row["text"], tuple(words))


def _located(text: str, forms: Iterable[str]) -> list[Span]:
    """Where the forms stand in the text, one after the other, with only white space between."""
    spans, end = [], 0
    for form in forms:
        start = end + len(text[end:]) - len(text[end:].lstrip())
        end = start + len(form)
        if text[start:end] != form:
            raise BertstudyError(f"'{form}' is not at character {start} of '{text}'")
        spans.append((start, end))
    return spans


def framenet(source: str, split: str = "train", origin: str = "") -> Iterator[Annotated]:
    """FrameNet's annotation sets, each a text with one frame.

    FrameNet stores its sentences in tokens with spaces between them ("did n't", "Dad 's"): these
    are the words, of which nothing else is known. The synthetic world knows its words.

    Args:
        source: "synthetic", or a folder laid out like the hub, which has ``framenet`` in it, with
            columns sentence, frame, target_start, target_end, fe_name, fe_start, fe_end,
            fe_core, source.
        origin: "lu" for the examples of lexical units, "fulltext" for running text, "" for all.

    Raises:
        BertstudyError: the data or a column is not there, a span is outside its sentence, or an
            unknown ``origin``.
    """
    if origin not in ORIGINS:
        raise BertstudyError(f"unknown origin '{origin}'; allowed: {', '.join(ORIGINS[1:])} or ''")
    if source == "synthetic":
        from bertstudy.synthetic import tasks

        made = list(tasks.rows("framenet", split))
        known = ((row.columns, from_sentence(row.sentences[0]).words) for row in made)
    else:
        rows = _rows(source, "framenet", None, split, _ANNOTATION_SET)
        known = ((row, _tokens(row["sentence"])) for row in _in_batches(rows, _ANNOTATION_SET))
    return (_from_annotation_set(*one) for one in known if origin in ("", one[0]["source"]))


def framenet_release(source: str) -> str:
    """What the frames of `framenet` are, in words: the title of the folder's own card.

    Raises:
        BertstudyError: the folder has no card (README.md) with a title.
    """
    if source == "synthetic":
        return "frames of the synthetic world"
    card = Path(source) / "framenet" / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    if not (title := re.search(r"^# (.+)", text, re.MULTILINE)):
        raise BertstudyError(f"'{card}' has no title: it has to say which release this is")
    return title[1].strip()


def _in_batches(rows: "Dataset", columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Rows, read a thousand at a time: one by one they take three times as long."""
    for part in rows.select_columns(list(columns)).iter(1000):
        yield from (dict(zip(part, row, strict=True)) for row in zip(*part.values(), strict=True))


def _from_annotation_set(row: Mapping[str, Any], words: tuple[Word, ...]) -> Annotated:
    spans = zip(row["fe_name"], row["fe_start"], row["fe_end"], row["fe_core"], strict=True)
    elements = tuple(Element(*element) for element in spans)
    target = (row["target_start"], row["target_end"])
    frame = Frame(row["frame"], (target,), elements)
    return Annotated(row["sentence"], words, (frame,))


def _tokens(text: str) -> tuple[Word, ...]:
    found = ((m.group(), *m.span()) for m in re.finditer(r"\S+", text))
    return tuple(Word(form, start, end) for form, start, end in found)


def _rows(
    source: str, name: str, config: str | None, split: str, columns: Iterable[str]
) -> "Dataset":
    rows = from_folder(Path(source) / name, config, split, config or name)
    if missing := [column for column in columns if column not in rows.column_names]:
        raise BertstudyError(f"{name} from '{source}' lacks the column {', '.join(missing)}")
    return rows


# Form alone ---------------------------------------------------------------------------------------

_FORMS = re.compile(
    r"\w+?(?=n['’]t\b)|n['’]t\b|['’](?:s|re|ve|ll|d|m)\b|\w+(?:['’]\w+)*|[^\w\s]", re.IGNORECASE
)
_SIGNS = frozenset("%&@#*/\\")  # Unicode's punctuation that is read as a word, or a symbol


def by_form(text: str) -> Annotated:
    """Any English text with what its words' forms tell: negations and punctuation, no more.

    "don't" is two words, ``do`` and ``n't``, as in treebanks.
    """
    words = []
    for found in _FORMS.finditer(text):
        form = found.group()
        is_mark = unicodedata.category(form[0]).startswith("P") and len(form) == 1
        pos = "PUNCT" if is_mark and form not in _SIGNS else ""
        words.append(Word(form, *found.span(), pos, negates=is_negation(form)))
    return Annotated(text, tuple(words), by_form=BY_FORM)


# Annotators that may be installed -----------------------------------------------------------------


def _optional(module: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise BertstudyError(
            f"{package} is not installed; install it with: pip install 'bertstudy[linguistics]'"
        ) from error


SPACY_MODEL = "en_core_web_sm"


def spacy_version(model: str = SPACY_MODEL) -> str:
    """The model and spaCy with their versions; "" where one of them is not installed."""
    try:
        return f"spaCy {version('spacy')}, {model} {version(model)}"
    except PackageNotFoundError:
        return ""


def spacy_texts(texts: Iterable[str], model: str = SPACY_MODEL) -> Iterator[Annotated]:
    """Any English texts, tagged and parsed by spaCy; relations are spaCy's (dobj, nsubjpass).

    Raises:
        BertstudyError: spaCy or the model is not installed, or the model does not parse.
    """
    spacy = _optional("spacy")
    try:
        pipeline = spacy.load(model, exclude=["ner"])
    except OSError as error:
        raise BertstudyError(
            f"spaCy's model {model} is not installed; install it with: "
            f"python -m spacy download {model}"
        ) from error
    return map(_from_spacy, pipeline.pipe(texts))


def _from_spacy(doc: Any) -> Annotated:
    # spaCy makes tokens of double spaces, which are no words.
    kept = [token for token in doc if not token.is_space]
    if not all(token.pos_ and token.dep_ for token in kept):
        raise BertstudyError("spaCy's model gives no parts of speech or no dependencies")
    index = {token.i: number for number, token in enumerate(kept)}

    def word(token: Any) -> Word:
        head = -1 if token.head.i == token.i else index.get(token.head.i, -1)
        negates = is_negation(token.text, token.lemma_)
        start, end = token.idx, token.idx + len(token.text)
        return Word(token.text, start, end, token.pos_, token.lemma_, head, token.dep_, negates)

    return Annotated(doc.text, tuple(map(word, kept)))


def nltk_framenet(core_sets: bool = False) -> Iterator[Annotated]:
    """The lexical units' examples in FrameNet 1.7, by NLTK's reader; words as in `framenet`.

    Args:
        core_sets: call an element core if it is in one of the frame's core sets, as the paper's
            released notebook does, rather than if FrameNet calls it core.

    Raises:
        BertstudyError: NLTK or its copy of FrameNet is not installed.
    """
    reader = _optional("nltk.corpus").framenet
    try:
        annotations = reader.annotations(full_text=False)
    except LookupError as error:
        raise BertstudyError(
            "NLTK's copy of FrameNet is not installed; install it with: "
            "python -m nltk.downloader framenet_v17"
        ) from error
    # An example whose layer of targets was left empty has no target.
    return (_from_nltk(a, core_sets) for a in annotations if "Target" in a)


def _from_nltk(annotation: Any, core_sets: bool) -> Annotated:
    frame, text = annotation.frame, annotation.text
    in_sets = {element.name for members in frame.FEcoreSets for element in members}

    def is_core(name: str) -> bool:
        if core_sets:
            return name in in_sets
        return name in frame.FE and frame.FE[name].coreType in ("Core", "Core-Unexpressed")

    overt = annotation.FE[0]
    elements = tuple(Element(name, start, end, is_core(name)) for start, end, name in overt)
    found = Frame(frame.name, tuple(annotation.Target), elements)
    return Annotated(text, _tokens(text), (found,))
