"""Texts whose words are annotated, as the models of §4.4 and §4.5 read them.

A synthetic task knows the grammar of its texts. A real one is tagged by spaCy where that is
installed; elsewhere only what words tell by their form is known: negations, punctuation and the
special tokens. A corpus with gold annotation stands beside the tasks: the treebank of a source
that has one, or the stories of the synthetic world.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertstudy import tasks
from bertstudy.encoding import Encoded
from bertstudy.errors import BertstudyError
from bertstudy.linguistics import (
    BY_FORM,
    FEATURES,
    SPECIALS,
    Aligned,
    Annotated,
    align,
    by_form,
    from_sentence,
    spacy_texts,
    spacy_version,
    synthetic_texts,
    universal_dependencies,
)
from bertstudy.streaming import sample
from bertstudy.tasks import Task

if TYPE_CHECKING:
    from bertstudy.study import Study

Texts = list[tuple[Annotated, ...]]

FORMS = "word forms"  # the annotation that takes no tagger
TREEBANK = "en_ewt"
STORIES = 2000  # sentences, about as many as the treebank's validation split has
STORIES_SEED = 1


@dataclass(frozen=True)
class Reading:
    """Inputs with what is known about their words, annotated when that is first asked for.

    Attributes:
        name: of the task whose validation examples they are, or of a corpus.
        is_corpus: no task's.
        annotation: where it comes from, for the recipe and for readers.
        fingerprint: of the texts.
        max_length: word pieces.
        make: the annotated texts, and the inputs as the task has them.
        study: whose tokenizer reads them.
    """

    name: str
    is_corpus: bool
    annotation: str
    fingerprint: str
    max_length: int
    make: Callable[[], tuple[Texts, Encoded | None]]
    study: "Study"

    @property
    def known(self) -> tuple[str, ...]:
        """The features that the annotation tells, [CLS] and [SEP] first."""
        return SPECIALS + (BY_FORM if self.annotation == FORMS else tuple(FEATURES))

    @property
    def has_tree(self) -> bool:
        """Whether words are linked to their heads."""
        return self.annotation != FORMS

    @property
    def recipe(self) -> dict[str, Any]:
        """What a measurement on these inputs depends on."""
        return {
            "name": self.name,
            "texts": self.fingerprint,
            "annotation": self.annotation,
            "max_length": self.max_length,
        }

    @cached_property
    def inputs(self) -> tuple[Encoded, list[Aligned]]:
        """The inputs as the model takes them and, in the same order, their words."""
        texts, encoded = self.make()
        aligned = align(self.study.tokenizer, texts, self.max_length)
        if encoded is None:
            return _encoded(aligned, self.study.tokenizer.pad_token_id), aligned
        if [list(one.ids) for one in aligned] != encoded.ids:
            raise BertstudyError(f"the annotation of {self.name} is not that of its examples")
        return encoded, aligned


@lru_cache(maxsize=1)  # a page's figures and its explorer read the same texts
def readings(study: "Study") -> tuple[Reading, ...]:
    """One for each task of the study, and the corpus if the source has one."""
    own, corpus = (of_task(study, task) for task in study.tasks), _corpus(study)
    return (*own, *([corpus] if corpus else []))


def of_task(study: "Study", task: Task) -> Reading:
    """At most a thousand validation examples of a task."""
    rows = study.rows(task, "validation")
    chosen = sample(len(rows))
    annotation = _annotation(study.edition.source)

    def make() -> tuple[Texts, Encoded]:
        own = rows.select(chosen)
        if annotation == "synthetic":
            every = synthetic_texts(task.name, task.validation)
            texts = [every[index] for index in own["idx"]]
        else:
            annotate = _annotator(annotation)
            columns = [list(annotate(list(own[column]))) for column in task.texts]
            texts = list(zip(*columns, strict=True))
        return texts, study.encoded(task, "validation").take(chosen)

    length = study.edition.recipe(task.name).max_length
    found = tasks.fingerprint(rows, task)
    return Reading(task.name, False, annotation, found, length, make, study)


def examples(reading: Reading, count: int, longest: int) -> list[Aligned]:
    """A few inputs for explorers, those with most kinds of token first.

    Of the reading where the texts are this project's own (synthetic English), else sentences of
    our own, with the annotation that the reading's task gets: no data set's are published.

    Args:
        longest: word pieces of an example, specials included.
    """
    study = reading.study
    if study.edition.source == "synthetic":
        own = reading.inputs[1]
    else:
        (task, *_) = [t for t in study.tasks if t.name == reading.name] or study.tasks
        annotate = _annotator(_annotation(study.edition.source))
        texts = [texts for texts, _ in study.examples(task, count, longest)]
        own = align(study.tokenizer, [tuple(annotate(list(one))) for one in texts], longest)
    fitting = [one for one in own if len(one.ids) <= longest]
    return sorted(fitting, key=lambda one: -len(kinds(one)))[:count]


def kinds(example: Aligned) -> dict[str, tuple[int, ...]]:
    """The kinds of token that are known of an example and occur in it, with their places."""
    told = [name for name in FEATURES if all(text.tells(name) for text in example.texts)]
    places = {name: example.where(name) for name in (*SPECIALS, *told)}
    return {name: found for name, found in places.items() if found}


def _annotator(annotation: str) -> Callable[[list[str]], Iterable[Annotated]]:
    return spacy_texts if annotation != FORMS else lambda texts: map(by_form, texts)


def _annotation(source: str) -> str:
    return "synthetic" if source == "synthetic" else spacy_version() or FORMS


def _corpus(study: "Study") -> Reading | None:
    """Gold annotation that no task needs: stories, or a treebank if the source has one."""
    source = study.edition.source
    if source == "synthetic":
        return _of_texts(study, "stories", source, _stories())
    if Path(source, "universal_dependencies", TREEBANK).is_dir():
        texts = universal_dependencies(source, TREEBANK)
        return _of_texts(study, TREEBANK, "Universal Dependencies", texts)
    return None


def _stories() -> list[Annotated]:
    from bertstudy.synthetic import annotated_documents

    made = chain.from_iterable(annotated_documents("validation", STORIES, STORIES_SEED))
    return [from_sentence(sentence) for sentence in made]


def _of_texts(study: "Study", name: str, annotation: str, texts: list[Annotated]) -> Reading:
    chosen = [texts[index] for index in sample(len(texts))]
    digest = sha256("\x00".join(one.text for one in chosen).encode()).hexdigest()[:16]
    length = study.edition.fine_tuning.max_length
    return Reading(
        name, True, annotation, digest, length, lambda: ([(one,) for one in chosen], None), study
    )


def _encoded(aligned: list[Aligned], pad: int) -> Encoded:
    """Single texts, which no label belongs to."""
    ids = [list(one.ids) for one in aligned]
    return Encoded(ids, [[0] * len(row) for row in ids], np.zeros(len(ids), int), pad)
