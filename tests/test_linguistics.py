"""Annotation from every source, its alignment to word pieces, and the paper's frame pairs."""

import json
import os
import random
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import models
import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from tokenizers import BertWordPieceTokenizer
from tokenizers.processors import RobertaProcessing
from transformers import BertTokenizerFast

from bertstudy import synthetic
from bertstudy.editions import CHECKPOINTS
from bertstudy.encoder import load_tokenizer
from bertstudy.errors import BertstudyError
from bertstudy.linguistics import (
    FEATURES,
    PAPER,
    RELEASED,
    Annotated,
    Element,
    Filters,
    Frame,
    Word,
    align,
    frame_pairs,
    framenet,
    from_sentence,
    nltk_framenet,
    spacy_texts,
    synthetic_texts,
    universal_dependencies,
)

UPOS = "NOUN PUNCT ADP NUM SYM SCONJ ADJ PART DET CCONJ PROPN PRON X _ ADV INTJ VERB AUX".split()  # noqa: SIM905


def words_at(text: str, forms: str, **known: str) -> Annotated:
    """A text whose words are the forms, found from left to right; ``known`` adds fields."""
    columns = {name: values.split() for name, values in known.items()}
    words, end = [], 0
    for i, form in enumerate(forms.split()):
        start = text.index(form, end)
        end = start + len(form)
        words.append(
            Word(form, start, end, **{name: column[i] for name, column in columns.items()})
        )
    return Annotated(text, tuple(words))


def having(annotated: Annotated, name: str) -> list[str]:
    return [word.text for word in annotated.words if FEATURES[name](word)]


def is_tree(annotated: Annotated) -> bool:
    """One root, and every word reaches it."""
    heads = [word.head for word in annotated.words]
    seen, reached = -1, {-1}
    while len(reached) != seen:
        seen, reached = len(reached), reached | {i for i, h in enumerate(heads) if h in reached}
    return heads.count(-1) == 1 and reached == {-1, *range(len(heads))}


# The data model ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "frames", "problem"),
    [
        ((Word("cat", 3, 6),), (), "not at 3:6"),
        ((Word("The", 0, 3), Word("he", 1, 3)), (), "after the word before it"),
        ((Word("", 0, 0),), (), "not at 0:0"),
        ((Word("The", 0, 3, head=1),), (), "head 1 among 1"),
        ((), (Frame("F", ((0, 3),), (Element("Agent", 4, 9, True),)),), "4:9 is outside"),
        ((), (Frame("F", ((2, 2),), ()),), "2:2 is outside"),
    ],
)
def test_annotation_that_does_not_fit_its_text_is_refused(words, frames, problem):
    with pytest.raises(BertstudyError, match=problem):
        Annotated("The cat", words, frames)


def test_words_in_a_span_are_those_that_share_a_character():
    text = words_at("I didn't see it .", "I did n't see it .")
    assert text.words_in(2, 8) == (1, 2)
    assert text.words_in(4, 6) == (1, 2)
    assert text.words_in(8, 9) == ()  # the space
    assert text.words_in(0, 17) == (0, 1, 2, 3, 4, 5)


def test_features_of_a_sentence_worked_by_hand():
    forms = "Kim must not give her anything that she could have lost , should she ?"
    pos = "PROPN AUX PART VERB PRON PRON PRON PRON AUX AUX VERB PUNCT AUX PRON PUNCT"
    relation = (
        "nsubj aux advmod root iobj obj obj nsubj:pass aux aux acl:relcl punct aux nsubj punct"
    )
    lemma = "Kim must not give she anything that she can have lose , should she ?"
    text = words_at(forms, forms, pos=pos, relation=relation, lemma=lemma)
    assert having(text, "noun") == ["Kim"]
    assert having(text, "verb") == ["give", "have", "lost"]  # no modal: must, could, should
    assert having(text, "pronoun") == ["her", "she", "she"]  # not anything, that
    assert having(text, "subject") == ["Kim", "she", "she"]
    assert having(text, "object") == ["her", "anything", "that"]
    assert having(text, "punctuation") == [",", "?"]


# The synthetic world ----------------------------------------------------------------------------


def test_synthetic_annotation_keeps_what_the_grammar_knows():
    documents = synthetic.annotated_documents("validation", 200)
    sentences = [sentence for document in documents for sentence in document]
    assert any(word.negates for s in sentences for word in s.words)
    for sentence in sentences:
        gold = from_sentence(sentence)
        assert is_tree(gold)
        assert "".join(w.text for w in gold.words) == sentence.text.replace(" ", "")
        for mine, theirs in zip(gold.words, sentence.words, strict=True):
            assert vars(mine) == vars(theirs)
        for mine, theirs in zip(gold.frames, sentence.frames, strict=True):
            ((start, end),) = mine.targets
            assert gold.text[start:end] == sentence.words[theirs.target].text
            for element, (name, first, last) in zip(mine.elements, theirs.elements, strict=True):
                assert (element.name, element.core) == (name, True)
                covered = gold.words_in(element.start, element.end)
                assert covered == tuple(range(first, last))


def test_synthetic_rows_and_their_annotation_go_together():
    rows, gold = synthetic.load("rte", "validation"), synthetic_texts("rte", "validation")
    assert [tuple(text.text for text in texts) for texts in gold] == list(
        zip(rows["sentence1"], rows["sentence2"], strict=True)
    )
    with pytest.raises(BertstudyError, match="no synthetic task"):
        synthetic_texts("nonsense", "validation")


def test_every_negation_of_the_grammar_is_one_for_the_other_sources():
    from bertstudy.linguistics.annotation import is_negation

    for document in synthetic.annotated_documents("validation", 600):
        for word in (word for sentence in document for word in sentence.words):
            assert is_negation(word.text, word.lemma) == word.negates
    papers = "neither nor not never none nothing nowhere n't"
    assert all(map(is_negation, papers.split()))
    assert is_negation("nt", "not")
    assert not any(map(is_negation, ("knot", "note", "don", "t", "Nora")))


# Universal Dependencies -------------------------------------------------------------------------


def treebank(folder: Path, rows: list[dict]) -> Path:
    """The rows as a treebank laid out like the hub's."""
    strings = Sequence(Value("string"))
    features = Features(
        {
            "idx": Value("string"),
            "text": Value("string"),
            "tokens": strings,
            "lemmas": strings,
            "upos": Sequence(ClassLabel(names=UPOS)),
            "head": Sequence(Value("string")),
            "deprel": strings,
        }
    )
    columns = {name: [row[name] for row in rows] for name in features}
    home = folder / "universal_dependencies"
    (home / "en_tiny").mkdir(parents=True)
    Dataset.from_dict(columns, features).to_parquet(
        home / "en_tiny" / "validation-00000-of-00001.parquet"
    )
    card = {
        "config_name": "en_tiny",
        "data_files": [{"split": "validation", "path": "en_tiny/validation-*"}],
    }
    (home / "README.md").write_text(f"---\nconfigs: {json.dumps([card])}\n---\n")
    return folder


def row(text: str, tokens: str, lemmas: str, upos: str, head: str, deprel: str) -> dict:
    columns = {"tokens": tokens, "lemmas": lemmas, "head": head, "deprel": deprel}
    split = {name: column.split() for name, column in columns.items()}
    return {"idx": "1", "text": text, "upos": [UPOS.index(p) for p in upos.split()], **split}


PLAIN = row(
    "I don't  know.", "I do n't know .", "I do not know .",
    "PRON AUX PART VERB PUNCT", "4 4 4 0 4", "nsubj aux advmod root punct",
)  # fmt: skip
# As in the hub's own files, where a multiword token stands before its words.
RANGES = row(
    "I don't  know.", "I don't do n't know .", "I _ do not know .",
    "PRON _ AUX PART VERB PUNCT", "4 None 4 4 0 4", "nsubj _ aux advmod root punct",
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Data sets made here leave nothing in the user's cache."""
    cache = str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)


def test_a_treebank_is_located_in_its_text_with_and_without_multiword_tokens(tmp_path):
    plain, ranges = universal_dependencies(
        str(treebank(tmp_path, [PLAIN, RANGES])), "en_tiny", "validation"
    )
    assert plain == ranges
    spans = [(w.text, w.start, w.end) for w in plain.words]
    assert spans == [("I", 0, 1), ("do", 2, 4), ("n't", 4, 7), ("know", 9, 13), (".", 13, 14)]
    assert [w.head for w in plain.words] == [3, 3, 3, -1, 3]
    assert is_tree(plain)
    assert having(plain, "negation") == ["n't"]
    assert having(plain, "verb") == ["do", "know"]
    assert having(plain, "subject") == having(plain, "pronoun") == ["I"]


def test_a_word_that_is_not_in_its_text_is_named(tmp_path):
    wrong = {**PLAIN, "tokens": ["I", "does", "n't", "know", "."]}
    with pytest.raises(BertstudyError, match=r"'does' is not at character 2 of 'I don't"):
        universal_dependencies(str(treebank(tmp_path, [wrong])), "en_tiny")


def test_a_folder_or_configuration_that_is_missing_is_named(tmp_path):
    with pytest.raises(BertstudyError, match=r"universal_dependencies' is not there"):
        universal_dependencies(str(tmp_path), "en_tiny")
    with pytest.raises(BertstudyError, match="en_other"):
        universal_dependencies(str(treebank(tmp_path, [PLAIN])), "en_other")


# FrameNet ---------------------------------------------------------------------------------------


def annotation_set(sentence: str, target: str, origin: str = "lu", **elements: str) -> dict:
    """A row of FrameNet: elements by name, with ``_`` for spaces; a capital name is core."""

    def span(part: str) -> tuple[int, int]:
        start = sentence.index(part.replace("_", " "))
        return start, start + len(part)

    spans = {name: span(part) for name, part in elements.items()}
    return {
        "sentence": sentence, "frame": "F", "lu": "x.v",
        "target_start": span(target)[0], "target_end": span(target)[1],
        "fe_name": list(spans), "fe_start": [a for a, _ in spans.values()],
        "fe_end": [b for _, b in spans.values()], "fe_core": [n[0].isupper() for n in spans],
        "source": origin, "document": "1",
    }  # fmt: skip


ROWS = [
    # kept by the paper's filters and by the released ones: "He" is three from "agitated"
    annotation_set("He was becoming very agitated .", "agitated", Experiencer="He"),
    # two apart: kept by the paper's only
    annotation_set("He was agitated .", "agitated", Experiencer="He"),
    # neighbours
    annotation_set("Dogs bark .", "bark", Agent="Dogs"),
    # the element that is not core is next to the target: only the released filters look at it
    annotation_set("He had not left early .", "left", Agent="He", time="early"),
    # the element that is not core has four words
    annotation_set("He had not yet left in the same week .", "left", Agent="He", time="in_the_same_week"),  # noqa: E501
    # a core element of four words
    annotation_set("The very old man had not yet left .", "left", Agent="The_very_old_man"),
    # thirteen words, and twelve
    annotation_set("He said he had not been a very happy man that day .", "happy", Experiencer="He"),  # noqa: E501
    annotation_set("He said he had not been a very happy man then .", "happy", Experiencer="He"),
    # nothing core, and nothing at all
    annotation_set("He had not yet left .", "left", agent="He"),
    annotation_set("It rained .", "rained"),
    # the target fills a role of its own frame
    annotation_set("He wore old rags .", "rags", Garment="rags", Wearer="He"),
    # two core elements, one of them near: the sentence goes with both
    annotation_set("He had not sold boats .", "sold", Seller="He", Goods="boats"),
    # two core elements, both far
    annotation_set("He sold off all the boats .", "sold", "fulltext", Goods="boats", Part="the"),
]  # fmt: skip


@pytest.fixture
def gold_frames(tmp_path) -> list[Annotated]:
    (tmp_path / "framenet").mkdir()
    Dataset.from_list(ROWS).to_parquet(tmp_path / "framenet" / "train-00000-of-00001.parquet")
    return list(framenet(str(tmp_path)))


def test_framenet_rows_become_texts_with_one_frame(tmp_path, gold_frames):
    assert [text.text for text in gold_frames] == [r["sentence"] for r in ROWS]
    text = gold_frames[11]
    assert [w.text for w in text.words] == ["He", "had", "not", "sold", "boats", "."]
    expected = (Element("Seller", 0, 2, True), Element("Goods", 16, 21, True))
    assert text.frames == (Frame("F", ((11, 15),), expected),)
    assert len(list(framenet(str(tmp_path), origin="lu"))) == 12
    assert len(list(framenet(str(tmp_path), origin="fulltext"))) == 1
    with pytest.raises(BertstudyError, match=r"framenet' is not there"):
        framenet(str(tmp_path / "none"))
    with pytest.raises(BertstudyError, match="unknown origin 'full'; allowed: lu, fulltext or ''"):
        framenet(str(tmp_path), origin="full")


def test_a_source_without_its_columns_is_refused(tmp_path):
    for name, read in (
        ("framenet", framenet),
        ("universal_dependencies", lambda source: universal_dependencies(source, None, "train")),
    ):
        (tmp_path / name).mkdir()
        bare = Dataset.from_dict({"text": ["He left ."], "sentence": ["He left ."]})
        bare.to_parquet(tmp_path / name / "train-00000-of-00001.parquet")
        with pytest.raises(BertstudyError, match=f"{name} from .* lacks the column ") as caught:
            read(str(tmp_path))
        assert "\n" not in str(caught.value)


def kept(texts: list[Annotated], filters: Filters) -> list[int]:
    """Which of the texts have pairs."""
    pairs, _ = frame_pairs(texts, filters)
    found = {pair.text.text for pair in pairs}
    return [number for number, text in enumerate(texts) if text.text in found]


def test_each_of_the_papers_filters_takes_what_it_should(gold_frames):
    assert kept(gold_frames, PAPER) == [0, 1, 3, 4, 7, 12]
    assert kept(gold_frames, RELEASED) == [0, 7, 12]
    assert kept(gold_frames, Filters(apart=3)) == [0, 3, 4, 7, 12]
    assert kept(gold_frames, Filters(longest_sentence=13)) == [0, 1, 3, 4, 6, 7, 12]
    assert kept(gold_frames, Filters(longest_element=4)) == [0, 1, 3, 4, 5, 7, 12]
    assert kept(gold_frames, Filters(apart=1)) == [0, 1, 2, 3, 4, 7, 11, 12]
    assert kept(gold_frames, Filters(apart=0)) == [0, 1, 2, 3, 4, 7, 10, 11, 12]


def test_counts_after_every_step(gold_frames):
    pairs, steps = frame_pairs([*gold_frames, gold_frames[0]], PAPER)
    assert [(s.frames, s.sentences, s.pairs) for s in steps] == [
        (14, 13, 15),
        (14, 13, 15),  # every target is in one piece
        (12, 11, 15),  # without the two that have no core element
        (11, 10, 14),  # ... the one of four words
        (10, 9, 13),  # ... the long sentence
        (7, 6, 8),  # ... the three that are near
    ]
    assert len(pairs) == 8
    assert [step.name for step in steps][-1] == "core elements at least 2 tokens from the target"


def test_pairs_hold_words_of_target_and_element(gold_frames):
    pairs, _ = frame_pairs(gold_frames[-1:], PAPER)
    assert [(p.name, p.target, p.element) for p in pairs] == [
        ("Goods", (1,), (5,)),
        ("Part", (1,), (4,)),
    ]


def test_a_target_in_two_pieces_is_dropped_by_its_own_step():
    text = words_at("He picked the old boats up .", "He picked the old boats up .")
    frame = Frame("F", ((3, 9), (24, 26)), (Element("Goods", 14, 17, True),))
    pairs, steps = frame_pairs([Annotated(text.text, text.words, (frame,))])
    assert pairs == []
    assert [step.frames for step in steps] == [1, 0, 0, 0, 0, 0]


def test_synthetic_framenet_has_the_grammars_words():
    rows, gold = synthetic.load("framenet", "validation"), list(framenet("synthetic", "validation"))
    assert [text.text for text in gold] == rows["sentence"]
    assert all(map(is_tree, gold))
    for text, row in zip(gold, rows, strict=True):
        (frame,) = text.frames
        assert frame.targets == ((row["target_start"], row["target_end"]),)
        assert [e.name for e in frame.elements if e.core] == [
            name for name, core in zip(row["fe_name"], row["fe_core"], strict=True) if core
        ]
        for start, end in (*frame.targets, *((e.start, e.end) for e in frame.elements)):
            inside = [text.words[i] for i in text.words_in(start, end)]
            assert (inside[0].start, inside[-1].end) == (start, end)


def test_frames_of_synthetic_sentences_pass_through_the_same_filters():
    documents = synthetic.annotated_documents("validation", 300)
    texts = [from_sentence(sentence) for document in documents for sentence in document]
    pairs, steps = frame_pairs(texts)
    assert steps[0].frames == sum(len(text.frames) for text in texts)
    assert pairs
    for pair in pairs:
        assert len(pair.text.words) <= 12
        assert 1 <= len(pair.element) <= 3
        assert all(abs(i - j) >= 2 for i in pair.target for j in pair.element)


# Annotators that may be installed ---------------------------------------------------------------


def test_an_absent_package_is_answered_with_the_command_that_installs_it(monkeypatch):
    command = re.escape("pip install 'bertstudy[linguistics]'")
    for module in ("spacy", "nltk", "nltk.corpus"):
        monkeypatch.setitem(sys.modules, module, None)  # import fails, installed or not
    with pytest.raises(BertstudyError, match=f"spacy is not installed.*{command}"):
        spacy_texts(["A cat."])
    with pytest.raises(BertstudyError, match=f"nltk is not installed.*{command}"):
        nltk_framenet()


def planted(monkeypatch, name: str, **members) -> None:
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


def test_an_absent_model_or_corpus_is_answered_with_its_command(monkeypatch):
    def no_model(*args, **kwargs):
        raise OSError("[E050] Can't find model")

    class NoCorpus:
        def __getattr__(self, name):
            raise LookupError("Resource framenet_v17 not found")

    planted(monkeypatch, "spacy", load=no_model)
    planted(monkeypatch, "nltk")
    planted(monkeypatch, "nltk.corpus", framenet=NoCorpus())
    with pytest.raises(BertstudyError, match="python -m spacy download en_core_web_md"):
        spacy_texts(["A cat."], "en_core_web_md")
    with pytest.raises(BertstudyError, match=r"python -m nltk\.downloader framenet_v17"):
        nltk_framenet()


class Doc(list):
    """What we use of spaCy's Doc: tokens and the text."""

    def __init__(self, text: str, forms: list[str], pos: str, heads: list[int], deps: str):
        self.text, end = text, 0
        for i, (form, tag, dep) in enumerate(zip(forms, pos.split(), deps.split(), strict=True)):
            start = text.index(form, end)
            end = start + len(form)
            lemma = "not" if form == "n't" else form.lower()
            self.append(SimpleNamespace(
                i=i, idx=start, text=form, is_space=form.isspace(), pos_=tag,
                dep_=dep.strip("_"), lemma_=lemma,
            ))  # fmt: skip
        for token, head in zip(self, heads, strict=True):
            token.head = self[head]


def test_spacy_tokens_become_words_without_those_for_double_spaces(monkeypatch):
    doc = Doc(
        "He  didn't see John.", ["He", " ", "did", "n't", "see", "John", "."],
        "PRON SPACE AUX PART VERB PROPN PUNCT", [4, 0, 4, 4, 4, 4, 4],
        "nsubj _ aux neg ROOT dobj punct",
    )  # fmt: skip
    pipeline = SimpleNamespace(pipe=lambda texts: (doc for _ in texts))
    planted(monkeypatch, "spacy", load=lambda name, exclude: pipeline)
    (text,) = spacy_texts([doc.text])
    assert [w.text for w in text.words] == ["He", "did", "n't", "see", "John", "."]
    assert [w.head for w in text.words] == [3, 3, 3, -1, 3, 3]
    assert having(text, "subject") == ["He"]
    assert having(text, "object") == ["John"]
    assert having(text, "negation") == ["n't"]
    doc[0].pos_ = ""
    with pytest.raises(BertstudyError, match="no parts of speech"):
        list(spacy_texts([doc.text]))


class Entry(dict):
    """NLTK's AttrDict: keys are attributes."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize(
    ("core_sets", "core"), [(False, ["Buyer", "Seller"]), (True, ["Buyer", "Time"])]
)
def test_nltk_annotation_becomes_a_text_with_a_frame(monkeypatch, core_sets, core):
    kinds = {"Buyer": "Core", "Seller": "Core-Unexpressed", "Time": "Peripheral"}
    elements = {name: Entry(name=name, coreType=kind) for name, kind in kinds.items()}
    sets = [[elements["Buyer"]], [elements["Time"]]]
    frame = Entry(name="Commerce_buy", FE=elements, FEcoreSets=sets)
    overt = [(0, 5, "Buyer"), (13, 18, "Time"), (19, 27, "Seller")]
    bought = Entry(
        text="Marie bought today from her .",
        frame=frame,
        Target=[(6, 12)],
        FE=(overt, {"Goods": 1}),
    )
    without = Entry(text="Nothing here .", frame=frame, FE=([], {}))
    reader = SimpleNamespace(annotations=lambda full_text: [bought, without])
    planted(monkeypatch, "nltk")
    planted(monkeypatch, "nltk.corpus", framenet=reader)
    (text,) = nltk_framenet(core_sets)
    (found,) = text.frames
    assert [w.text for w in text.words] == ["Marie", "bought", "today", "from", "her", "."]
    assert (found.name, found.targets) == ("Commerce_buy", ((6, 12),))
    spans = [(e.name, text.text[e.start : e.end]) for e in found.elements]
    assert spans == [("Buyer", "Marie"), ("Time", "today"), ("Seller", "from her")]
    assert [e.name for e in found.elements if e.core] == core


# Alignment --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizers() -> dict:
    wide = models.bytelevel_tokenizer()
    # GPT-2's way: the span of a piece starts at the space before its word.
    wide.backend_tokenizer.post_processor = RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=False
    )
    return {
        "wordpiece": load_tokenizer(str(CHECKPOINTS / "mini")),
        "bytelevel": models.bytelevel_tokenizer(),
        "bytelevel-spaces": wide,
    }


KINDS = ("wordpiece", "bytelevel", "bytelevel-spaces")


def surfaces(tokenizer, text: Annotated, max_length: int = 64) -> dict[str, list[str]]:
    (found,) = align(tokenizer, [(text,)], max_length)
    tokens = tokenizer.convert_ids_to_tokens(list(found.ids))
    return {
        word.text: [tokens[place] for place in places]
        for word, places in zip(text.words, found.pieces[0], strict=True)
    }


def wordpiece(vocabulary):
    """A lower-casing tokenizer of just these pieces, so that no training moves the cases."""
    known = {
        p: i for i, p in enumerate([*["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], *vocabulary])
    }
    return BertTokenizerFast(
        tokenizer_object=BertWordPieceTokenizer(known, lowercase=True)._tokenizer
    )


def test_contractions_hyphens_accents_and_unknown_words_by_hand():
    pieces = wordpiece(
        [
            "the",
            "dog",
            "a",
            "i",
            "we",
            "go",
            ".",
            ",",
            "'",
            "-",
            "didn",
            "t",
            "ca",
            "well",
            "k",
            "##n",
            "##ot",
            "##own",
            "##f",
            "##e",
        ]
    )
    assert surfaces(pieces, words_at("I didn't go.", "I did n't go .")) == {
        "I": ["i"], "did": ["didn"], "n't": ["didn", "'", "t"], "go": ["go"], ".": ["."]
    }  # fmt: skip
    assert surfaces(pieces, words_at("We cannot go.", "We can not go .")) == {
        "We": ["we"], "can": ["ca", "##n"], "not": ["##n", "##ot"], "go": ["go"], ".": ["."]
    }  # fmt: skip
    text = words_at("The  dog, a well-known CAFÉ 🙂!", "The dog , a well-known CAFÉ 🙂 !")
    assert surfaces(pieces, text) == {
        "The": ["the"], "dog": ["dog"], ",": [","], "a": ["a"],
        "well-known": ["well", "-", "k", "##n", "##own"], "CAFÉ": ["ca", "##f", "##e"],
        "🙂": ["[UNK]"], "!": ["[UNK]"],
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["bytelevel", "bytelevel-spaces"])
def test_bytes_of_one_character_stay_together_by_hand(tokenizers, kind):
    text = words_at("The dog, né 🙂!", "The dog , né 🙂 !")
    found = surfaces(tokenizers[kind], text)
    assert found["dog"] == ["Ġdog"]
    assert found[","] == [","]
    assert found["né"][-2:] == ["Ã", "©"]
    assert found["🙂"][-4:] == ["ð", "Ł", "Ļ", "Ĥ"]


def test_a_word_that_loses_a_piece_is_absent(tokenizers):
    pieces, text = tokenizers["wordpiece"], words_at("I didn't go.", "I did n't go .")
    # [CLS] i didn ' [SEP]: "did" is whole, "n't" has lost its "t"
    (found,) = align(pieces, [(text,)], 5)
    assert found.pieces == (((1,), (2,), (), (), ()),)
    assert found.owners == ((), ((0, 0),), ((0, 1),), (), ())
    assert found.specials == ("[CLS]", "", "", "", "[SEP]")


def test_special_tokens_and_features_of_a_pair(tokenizers):
    one = words_at("Dogs bark .", "Dogs bark .", pos="NOUN VERB PUNCT")
    two = words_at("I didn't go.", "I did n't go .", pos="PRON AUX PART VERB PUNCT")
    (found,) = align(tokenizers["wordpiece"], [(one, two)], 64)
    last = len(found.ids) - 1
    middle = found.pieces[0][2][-1] + 1
    assert found.where("[CLS]") == (0,)
    assert found.where("[SEP]") == (middle, last)
    assert found.where("punctuation") == (middle - 1, last - 1)
    assert found.where("verb") == tuple(
        sorted(found.pieces[0][1] + found.pieces[1][1] + found.pieces[1][3])
    )
    assert found.pieces_of(1, (1, 2)) == tuple(range(middle + 2, middle + 5))
    (other,) = align(tokenizers["bytelevel"], [(one, two)], 64)
    assert [s for s in other.specials if s] == ["[CLS]", "[SEP]", "[SEP]", "[SEP]"]


def test_what_cannot_be_answered_is_refused(tokenizers):
    bare = words_at("Dogs bark .", "Dogs bark .")
    (found,) = align(tokenizers["wordpiece"], [(bare,)], 64)
    assert found.where("[CLS]") == (0,)
    with pytest.raises(BertstudyError, match="unknown feature 'nouns'; allowed: noun, verb"):
        found.where("nouns")
    with pytest.raises(BertstudyError, match="gives no parts of speech"):
        found.where("noun")
    with pytest.raises(BertstudyError, match="of one text, or all of two"):
        align(tokenizers["wordpiece"], [(bare,), (bare, bare)], 64)
    assert align(tokenizers["wordpiece"], [], 64) == []


def test_a_tokenizer_that_cuts_on_the_left_is_refused():
    tokenizer = models.wordpiece_tokenizer()
    tokenizer.truncation_side = "left"
    with pytest.raises(BertstudyError, match="truncates on the right"):
        align(tokenizer, [(words_at("A cat", "A cat"),)], 8)


POOL = """
    do|n't ca|n't can|not I|'m she|'s well|-|known mother-in-law Zürich naïve café ÉCOLE MacDonald
    NASA xqzwv antidisestablishmentarianism " ' “ ” … — ( ) , . ! ? 3.5 $ 🙂 👍 日本 the cat sat on
    it
""".split()  # noqa: SIM905


def draw_text(rng: random.Random) -> Annotated:
    """Words of the pool with none, one or more spaces between; ``|`` parts words in a token."""
    text, words = " " * rng.randrange(2), []
    for token in rng.choices(POOL, k=rng.randint(1, 14)):
        for form in token.split("|"):
            words.append(Word(form, len(text), len(text) + len(form)))
            text += form
        text += " " * rng.choice((0, 1, 1, 1, 2))
    return Annotated(text, tuple(words))


def sharing(word: Word, spans: list[tuple[int, int]]) -> list[int]:
    """The pieces that share a character with a word; all its characters are in them."""
    own = set(range(word.start, word.end))
    found = [i for i, span in enumerate(spans) if own & set(range(*span))]
    assert own <= {character for i in found for character in range(*spans[i])}
    return found


def place_of_text(specials: tuple[str, ...], number: int) -> tuple[int, int]:
    """Where the first or second text of an example starts, and how many pieces it has."""
    runs = re.finditer("x+", "".join("." if special else "x" for special in specials))
    start, end = list(runs)[number].span()
    return start, end - start


@pytest.mark.parametrize("kind", KINDS)
def test_every_character_of_a_word_is_in_its_own_pieces_and_only_there(tokenizers, kind):
    """Against spans tokenized anew, one text at a time, and sets of characters."""
    rng, tokenizer = random.Random(kind), tokenizers[kind]
    complete = cut = 0
    for size in (1, 2):
        examples = [tuple(draw_text(rng) for _ in range(size)) for _ in range(60)]
        for limit in (8, 16, 400):
            for found in align(tokenizer, examples, limit):
                texts = [text.text for text in found.texts]
                assert (
                    list(found.ids)
                    == tokenizer(*texts, truncation=True, max_length=limit)["input_ids"]
                )
                for number, text in enumerate(found.texts):
                    spans = tokenizer(text.text, return_offsets_mapping=True)["offset_mapping"]
                    first, room = place_of_text(found.specials, number)
                    for word, places in zip(text.words, found.pieces[number], strict=True):
                        expected = sharing(word, spans[1:-1])
                        survives = expected[-1] < room
                        assert [place - first for place in places] == expected * survives
                        complete, cut = complete + survives, cut + (not survives)
    assert complete > 1000
    assert cut > 500


@pytest.mark.parametrize("kind", KINDS)
def test_from_words_to_pieces_and_back(tokenizers, kind):
    rng = random.Random(0)
    examples = [(draw_text(rng), draw_text(rng)) for _ in range(60)]
    for found in align(tokenizers[kind], examples, 24):
        there = {
            (place, (number, word))
            for number, words in enumerate(found.pieces)
            for word, places in enumerate(words)
            for place in places
        }
        back = {(place, word) for place, words in enumerate(found.owners) for word in words}
        assert there == back
        assert not any(s and o for s, o in zip(found.specials, found.owners, strict=True))


def test_examples_do_not_change_one_another(tokenizers):
    rng = random.Random(1)
    examples = [(draw_text(rng), draw_text(rng)) for _ in range(8)]
    together = align(tokenizers["wordpiece"], examples, 20)
    assert together == [align(tokenizers["wordpiece"], [e], 20)[0] for e in examples]


# Real data --------------------------------------------------------------------------------------


@pytest.mark.skipif("BERTSTUDY_HUB" not in os.environ, reason="BERTSTUDY_HUB names no folder")
@pytest.mark.parametrize("config", ["en_ewt", "en_gum"])
def test_real_trees_are_whole_and_every_word_is_found(config, tokenizers):
    texts = universal_dependencies(os.environ["BERTSTUDY_HUB"], config)
    assert all(map(is_tree, texts))
    for text in texts:
        assert "".join("".join(w.text.split()) for w in text.words) == "".join(text.text.split())
    for found in align(tokenizers["wordpiece"], [(text,) for text in texts], 1000):
        assert all(found.pieces[0])
