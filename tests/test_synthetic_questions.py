"""Questions of the synthetic world, and the tasks that ask: QQP, QNLI and SQuAD.

Labels and answers are recomputed by `QuestionReader` from the text alone.
"""

import random
import re
from functools import cache
from itertools import islice

import pytest
from reader import Reader

from bertstudy.synthetic import annotated_documents, lexicon, load
from bertstudy.synthetic.grammar import Style, realise
from bertstudy.synthetic.meaning import Answer, Event, Question, Thing
from bertstudy.synthetic.questions import answer, ask, askable
from bertstudy.synthetic.tasks import TASKS, rows
from bertstudy.synthetic.world import side

SPLITS = ("train", "validation")


# ---- a second route from text to meaning ---------------------------------------------------


class QuestionReader(Reader):
    """Also reads questions; what is asked for has a "?" where other things have their number."""

    def __init__(self):
        super().__init__()
        self.determiners |= {"which", "how"}

    def noun(self, words):
        if words[-1] in ("who", "whom", "what"):
            return ("?", "", words[-1].replace("whom", "who"))
        number, quality, noun = super().noun(words)
        if words[0] in ("which", "how"):
            number = f"?{words[0]}"
        return (number, quality, noun)

    def facts(self, text):
        return super().facts(re.sub(r"^It was (.*?) (?:who|that) ", r"\1 ", text))

    def covers(self, key, known, claimed):
        if known and claimed[2:] in (("someone",), ("something",)):
            return self.is_person(known) == (claimed[2] == "someone")
        if known and claimed == ("", "", "person"):
            return self.is_person(known)  # as Anna is
        return super().covers(key, known, claimed)

    def is_person(self, value):
        """Whether a thing is one; names are not among the nouns."""
        is_named = value[2] not in lexicon.NOUNS and value[2] != "something"
        return is_named or "person" in lexicon.NOUNS[value[2]].kinds

    def phrase_end(self, words, start):
        """Where the noun phrase that begins at ``start`` ends."""
        end = start + 1
        while words[end - 1] in self.determiners | set(self.adjectives):
            end += 1
        return end

    def question(self, text):
        """The event a question is about; the asked part is marked, see `asked`."""
        words = text.lower().rstrip("?").split()
        is_setting = words[0] in ("where", "when")
        if words[0] in ("did", "was", "were"):
            front, rest = [], words
        else:
            end = 1 if is_setting else self.phrase_end(words, words[0] in ("to", "by", "from"))
            front, rest = words[:end], words[end:]
        is_inverted = not front or is_setting or front[0] in ("to", "by", "from")
        if is_inverted or rest[0] == "did":
            end = self.phrase_end(rest, 1)
            words = rest[1:end] + rest[:1] + rest[end:] + ([] if is_setting else front)
        fact = self.event(words)
        if is_setting:
            fact["place" if front == ["where"] else "time"] = "?"
        return fact

    def asked(self, question):
        """The part marked as asked for; None in a yes/no question."""
        return next((k for k, v in question.items() if k not in ("negated", "verb")
                     and v[0].startswith("?")), None)  # fmt: skip

    def acts(self, verb):
        """The verb and all it entails."""
        return {verb} | (self.acts(lexicon.VERBS[verb].isa) if lexicon.VERBS[verb].isa else set())

    def found(self, fact, question):
        """What a fact gives for the asked part; None if it does not answer."""
        asked = self.asked(question)
        if fact["negated"] or question["verb"] not in self.acts(fact["verb"]):
            return None
        said = [k for k in question if k not in ("verb", "negated", asked)]
        value = fact.get(asked)
        if value is None or not all(self.covers(k, fact.get(k), question[k]) for k in said):
            return None
        is_fit = asked in ("place", "time") or self.fits(value, question[asked])
        return value if is_fit else None

    def fits(self, value, wanted):
        if value[2] in ("someone", "something"):
            return False  # no answer
        kinds = lexicon.NOUNS[value[2]].kinds if value[2] in lexicon.NOUNS else {"person"}
        if wanted[2] in ("who", "what"):
            return self.is_person(value) == (wanted[2] == "who")
        is_counted = wanted[0] != "?how" or value[0] in lexicon.NUMBERS
        return is_counted and wanted[2] in kinds and wanted[1] in ("", value[1])

    def answers(self, sentence, question):
        """What a sentence gives for the asked part of a question (both text), as a list."""
        wanted = self.question(question)
        values = [self.found(f, wanted) for f in self.facts(sentence)]
        return [v for v in values if v is not None]

    def value(self, phrase, question):
        """What an answer means, as `answers` gives it; for "how many" the number."""
        words = phrase.lower().split()
        asked = self.asked(self.question(question))
        if asked == "time":
            return next(t for t in self.times if t.endswith(" ".join(words)))
        if asked == "place":
            return words[-1] if words[-1] in self.cities else self.nouns[words[-1]]
        return words[0] if question.lower().startswith("how many") else self.noun(words)


READER = QuestionReader()


def read_qqp(row):
    """1 if both questions ask the same."""
    return int(READER.question(row["question1"]) == READER.question(row["question2"]))


def read_qnli(row):
    """0 (entailment) if the sentence answers the question."""
    return int(not READER.answers(row["sentence"], row["question"]))


def sentences_in(context):
    """(start, text) of each sentence."""
    return [(m.start(), m.group()) for m in re.finditer(r"[^. ][^.]*\.", context)]


def is_right(row):
    """Whether the gold spans are answers, and each answering sentence has one (in training one)."""
    question, gold = row["question"], row["answers"]
    counts = question.lower().startswith("how many")
    wanted = {}
    for start, sentence in sentences_in(row["context"]):
        for value in READER.answers(sentence, question):
            wanted[start] = value[0] if counts else value
    given = {}
    for text, at in zip(gold["text"], gold["answer_start"], strict=True):
        start = max(s for s, _ in sentences_in(row["context"]) if s <= at)
        if READER.value(text, question) != given.setdefault(start, READER.value(text, question)):
            return False
    is_complete = given.keys() == wanted.keys() or (row["split"] == "train" and wanted)
    return bool(is_complete) and all(wanted.get(s) == v for s, v in given.items()) and (
        bool(given) == bool(wanted))  # fmt: skip


@cache
def made(task, split):
    """All rows of validation and, to be quick, the first 500 of training."""
    return list(islice(rows(task, split), 600 if split == "validation" else 500))


@cache
def table(task, split):
    """The rows as columns; `test_load_gives_the_rows` checks that these are what is loaded."""
    names = (*TASKS[task].columns, "label")
    return [
        {"split": split}
        | (
            dict(r.columns)
            or dict(zip(names, (*(s.text for s in r.sentences), r.label), strict=True))
        )
        for r in made(task, split)
    ]


READERS = {"qqp": read_qqp, "qnli": read_qnli}


@pytest.mark.parametrize("task", READERS)
@pytest.mark.parametrize("split", SPLITS)
def test_an_independent_reader_agrees_with_every_label(task, split):
    assert [r for r in table(task, split) if READERS[task](r) != r["label"]] == []


@pytest.mark.parametrize("task", READERS)
def test_the_reader_catches_five_per_cent_of_planted_flips(task):
    data = table(task, "validation")
    flipped = set(random.Random(0).sample(range(len(data)), len(data) // 20))
    planted = [r | {"label": 1 - r["label"]} if i in flipped else r for i, r in enumerate(data)]
    assert {i for i, r in enumerate(planted) if READERS[task](r) != r["label"]} == flipped


@pytest.mark.parametrize("task", ["squad", "squad_v2"])
@pytest.mark.parametrize("split", SPLITS)
def test_an_independent_reader_finds_the_same_answers(task, split):
    assert [r for r in table(task, split) if not is_right(r)] == []


@pytest.mark.parametrize("task", ["squad", "squad_v2"])
def test_the_reader_catches_five_per_cent_of_planted_answers(task):
    data, rng = table(task, "validation"), random.Random(0)
    chosen = set(rng.sample(range(len(data)), len(data) // 20))
    planted = [r | {"answers": wrong_answer(r, rng)} if i in chosen else r
               for i, r in enumerate(data)]  # fmt: skip
    assert {i for i, r in enumerate(planted) if not is_right(r)} == chosen


def wrong_answer(row, rng):
    """Another noun phrase of the story, or none where there is an answer."""
    right = {t.lower() for t in row["answers"]["text"]}
    names = "|".join(lexicon.NAMES)
    spans = re.finditer(rf"\b(?:[Tt]he \w+|{names})\b", row["context"])
    known = {*READER.nouns, *lexicon.NAMES}
    others = [m for m in spans if m.group().lower() not in right and m.group().split()[-1] in known]
    is_setting = READER.asked(READER.question(row["question"])) in ("place", "time")
    if right and (is_setting or not others or rng.random() < 0.5):
        return {"text": [], "answer_start": []}
    span = rng.choice(others)
    return {"text": [span.group()], "answer_start": [span.start()]}


def test_the_reader_reads_hand_written_questions():
    sold = "The farmer sold the ring to the baker in Rome."
    for question, found in {
        "Who bought the ring from the farmer?": ("", "", "baker"),
        "Which worker purchased a jewel from the farmer in Rome?": ("", "", "baker"),
        "By whom was the ring sold to the baker?": ("", "", "farmer"),
        "What did the farmer sell the baker?": ("", "", "ring"),
        "Where was the ring sold to the baker by the farmer?": "rome",
    }.items():
        assert READER.answers(sold, question) == [found]
    for question in ("Who bought the ring from the baker?", "When did the farmer sell the ring?",
                     "How many rings did the farmer sell?", "Who lent the ring?"):  # fmt: skip
        assert READER.answers(sold, question) == []
    assert READER.answers("Anna failed to sell the ring to Tom.", "Who sold the ring?") == []
    asked = READER.question("Did the nurse help Tom?")
    assert READER.asked(asked) is None
    assert asked == READER.question("Was Tom helped by the nurse?")
    assert asked != READER.question("Did Tom help the nurse?")


# ---- columns, features, sizes --------------------------------------------------------------


@pytest.mark.parametrize(("task", "texts", "labels"), [
    ("qqp", ["question1", "question2"], ["not_duplicate", "duplicate"]),
    ("qnli", ["question", "sentence"], ["entailment", "not_entailment"]),
])  # fmt: skip
def test_columns_and_labels_are_the_hubs(task, texts, labels):
    data = load(task, "validation")
    assert data.column_names == [*texts, "label", "idx"]
    assert data.features["label"].names == labels
    assert data["idx"] == list(range(len(data)))
    assert len(data) == 600
    share = max(data["label"].count(v) for v in (0, 1)) / len(data)
    assert share < (0.68 if task == "qqp" else 0.55)


def test_squad_has_the_hubs_features_and_sizes():
    from datasets import Features, List, Value

    expected = Features({
        "id": Value("string"), "title": Value("string"), "context": Value("string"),
        "question": Value("string"),
        "answers": {"text": List(Value("string")), "answer_start": List(Value("int32"))},
    })  # fmt: skip
    for task in ("squad", "squad_v2"):
        for split, size in (("train", 3000), ("validation", 400)):
            assert TASKS[task].sizes[split] == size
            data = table(task, split)
            assert len({row["id"] for row in data}) == len(data)
            empty = sum(not row["answers"]["text"] for row in data) / len(data)
            assert empty == 0 if task == "squad" else 0.28 < empty < 0.39
        assert load(task, "validation").features == expected


@pytest.mark.parametrize("task", ["qqp", "qnli", "squad", "squad_v2"])
def test_load_gives_the_rows(task):
    loaded = [{"split": "validation"} | row for row in load(task, "validation").to_list()]
    assert [{k: v for k, v in row.items() if k != "idx"} for row in loaded] == table(
        task, "validation"
    )


@pytest.mark.parametrize("task", ["squad", "squad_v2"])
@pytest.mark.parametrize("split", SPLITS)
def test_offsets_are_exact_and_rows_short(task, split):
    for row in table(task, split):
        texts, starts = row["answers"].values()
        assert all(row["context"][a : a + len(t)] == t for t, a in zip(texts, starts, strict=True))
        assert len(set(zip(texts, starts, strict=True))) == len(texts)
        assert len(texts) <= 1 or split == "validation"
        assert len(re.findall(r"\w+|[^\w\s]", row["context"] + row["question"])) + 3 <= 60
        assert 3 <= len(sentences_in(row["context"])) <= 5
    assert split == "train" or any(len(r["answers"]["text"]) > 1 for r in table(task, split))


@pytest.mark.parametrize("task", ["qqp", "qnli", "squad", "squad_v2"])
def test_every_sentence_is_on_its_side_of_the_split(task):
    drawn = {split: {s.text for r in made(task, split) for s in r.sentences} for split in SPLITS}
    assert drawn["train"].isdisjoint(drawn["validation"])
    for split, texts in drawn.items():
        assert {side(t) for t in texts} == {split}


# ---- English and annotation ----------------------------------------------------------------

SOLD = Event("sell", Thing("farmer"), Thing("ring", "two"), Thing("baker"), place="Rome")
WHO = Thing("who", "")


@pytest.mark.parametrize(("changes", "style", "text"), [
    ({"agent": WHO}, Style(), "Who sold two rings to the baker in Rome?"),
    ({"agent": WHO}, Style("passive"), "By whom were two rings sold to the baker in Rome?"),
    ({"agent": WHO}, Style("converse"), "From whom did the baker buy two rings in Rome?"),
    ({"recipient": WHO}, Style(double=True), "To whom did the farmer sell two rings in Rome?"),
    ({"recipient": WHO}, Style("converse"), "Who bought two rings from the farmer in Rome?"),
    ({"theme": Thing("what", "")}, Style(double=True), "What did the farmer sell the baker in "
     "Rome?"),
    ({"theme": Thing("ring", "how many")}, Style("passive"),
     "How many rings were sold to the baker by the farmer in Rome?"),
    ({"theme": Thing("jewel", "which")}, Style(), "Which jewel did the farmer sell to the baker in "
     "Rome?"),
    ({"place": "where"}, Style(front="place"), "Where did the farmer sell two rings to the baker?"),
    ({"time": "when", "place": ""}, Style("passive"),
     "When were two rings sold to the baker by the farmer?"),
    ({}, Style(), "Did the farmer sell two rings to the baker in Rome?"),
    ({}, Style("passive"), "Were two rings sold to the baker by the farmer in Rome?"),
])  # fmt: skip
def test_one_event_is_asked_about_in_many_ways(changes, style, text):
    event = Event(**{**vars(SOLD), **changes})
    plain = Style(style.voice, style.front, style.double, synonyms=0.0)
    assert realise(Question(event), random.Random(0), plain).text == text


def test_annotation_of_a_hand_worked_question():
    event = Event("sell", Thing("farmer"), Thing("ring", "how many"), Thing("Anna", ""))
    sentence = realise(Question(event), random.Random(0), Style(synonyms=0.0))
    assert sentence.text == "How many rings did the farmer sell to Anna?"
    words = sentence.words
    found = {w.text: (w.pos, words[w.head].text if w.head >= 0 else "", w.relation) for w in words}
    assert found == {
        "How": ("ADV", "many", "advmod"), "many": ("ADJ", "rings", "amod"),
        "rings": ("NOUN", "sell", "obj"), "did": ("AUX", "sell", "aux"),
        "the": ("DET", "farmer", "det"), "farmer": ("NOUN", "sell", "nsubj"),
        "sell": ("VERB", "", "root"), "to": ("ADP", "Anna", "case"),
        "Anna": ("PROPN", "sell", "obl"), "?": ("PUNCT", "sell", "punct"),
    }  # fmt: skip
    (frame,) = sentence.frames
    spans = {n: " ".join(w.text for w in words[a:b]) for n, a, b in frame.elements}
    assert spans == {"Seller": "the farmer", "Goods": "How many rings", "Buyer": "to Anna"}
    assert words[frame.target].lemma == "sell"


def test_whom_is_who_where_it_need_not_be_whom():
    event = Event("help", Thing("nurse"), WHO)
    drawn = {realise(Question(event), random.Random(i), Style(synonyms=0.0)) for i in range(20)}
    assert {s.text for s in drawn} == {"Whom did the nurse help?", "Who did the nurse help?"}
    assert {s.words[0].lemma for s in drawn} == {"who"}


@pytest.mark.parametrize(("asked", "counts", "texts"), [
    ("agent", False, {"The farmer.", "It was the farmer.", "The farmer did."}),
    ("theme", True, {"Two rings.", "Two."}),
    ("recipient", False, {"To the baker.", "It was the baker.", "The baker."}),
    ("place", False, {"In Rome.", "It was in Rome."}),
])  # fmt: skip
def test_answers_are_phrases(asked, counts, texts):
    told = {realise(Answer(SOLD, asked, counts), random.Random(i), Style(synonyms=0.0)).text
            for i in range(60)}  # fmt: skip
    assert told == texts


def test_what_an_event_answers():
    hidden = {role: Question(Event(**{**vars(SOLD), role: value})) for role, value in
              {"agent": WHO, "recipient": Thing("who", ""), "theme": Thing("jewel", "which"),
               "place": "where"}.items()}  # fmt: skip
    assert answer(SOLD, hidden["recipient"]) == Thing("baker")
    assert answer(SOLD, hidden["theme"]) == Thing("ring", "two")
    assert answer(SOLD, hidden["place"]) == "Rome"
    assert answer(Event(**{**vars(SOLD), "negated": True}), hidden["agent"]) is None
    assert answer(Event(**{**vars(SOLD), "mode": "try"}), hidden["agent"]) is None
    assert answer(Event(**{**vars(SOLD), "mode": "manage"}), hidden["agent"]) == Thing("farmer")
    assert answer(Event("kick", Thing("nurse"), Thing("poodle")),
                  Question(Event("touch", WHO, Thing("dog", "a")))) == Thing("nurse")  # fmt: skip


def test_an_event_answers_every_question_asked_about_it():
    for seed in range(200):
        rng = random.Random(seed)
        for role in askable(SOLD):
            question = ask(SOLD, role, rng)
            assert question.asked == role
            assert answer(SOLD, question) == getattr(SOLD, role)


# ---- documents -----------------------------------------------------------------------------


@cache
def exchanges():
    """(question, next sentence, document) of some training documents."""
    told = list(annotated_documents("train", 12000, seed=2))
    return [(q, reply, d) for d in told for q, reply in zip(d, [*d[1:], None], strict=True)
            if isinstance(q.meaning, Question)]  # fmt: skip


def test_each_question_in_a_document_is_answered_in_the_next_sentence():
    assert len(exchanges()) > 300
    for question, reply, _ in exchanges():
        asked = question.meaning.asked
        if not asked:
            assert reply.text.startswith(("Yes, ", "No, "))
        elif isinstance(reply.meaning, Answer):
            assert answer(reply.meaning.event, question.meaning)
        else:
            assert READER.answers(reply.text, question.text)


def test_yes_and_no_are_said_with_reason():
    for question, reply, _ in exchanges():
        if not question.meaning.asked:
            is_yes, _, fact = reply.text.partition(", ")
            (told,) = READER.facts(fact)
            claim = READER.question(question.text)
            said = [k for k in claim if k not in ("verb", "negated")]
            is_true = claim["verb"] in READER.acts(told["verb"]) and all(
                READER.covers(k, told.get(k), claim[k]) for k in said)  # fmt: skip
            assert is_true == (is_yes == "Yes"), (question.text, reply.text)
