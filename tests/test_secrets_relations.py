"""§4.2 and §5 of Dark Secrets: links, random pairs, the corrected test, shared words."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from datasets import Dataset
from models import FAMILIES, SENTENCES, alone, examples, inputs, lay_out, tiny

from bertstudy import figures, reference, streaming, study, synthetic
from bertstudy.attention import Edit, edited
from bertstudy.editions import edition
from bertstudy.encoder import load_encoder
from bertstudy.errors import BertstudyError
from bertstudy.linguistics import PAPER, RELEASED, Aligned, Annotated, FramePair, frame_pairs
from bertstudy.papers import secrets
from bertstudy.papers.secrets import frame_links, relation_heads, shared_words
from bertstudy.papers.secrets.frame_links import MAIN, READINGS, FrameSentence, link_attention
from bertstudy.papers.secrets.nulls import DRAWS, corrected_p, distance, predicate, redraw
from bertstudy.papers.secrets.relation_heads import FOLDS
from bertstudy.store import Record, Store
from bertstudy.tasks import task

ROOT = Path(__file__).resolve().parents[1]
NEAR = {"rtol": 0, "atol": 1e-6}


def sentence(length, links, first=None):
    """[CLS], ``length - 2`` pieces of one word each, [SEP]; links by their places."""
    specials = ("[CLS]", *[""] * (length - 2), "[SEP]")
    aligned = Aligned((Annotated("", ()),), tuple(range(length)), ((),), ((),) * length, specials)
    return FrameSentence(aligned, tuple(links), tuple(first or links[:1]))


# Reading maps -----------------------------------------------------------------------------------


class Fixed(Edit):
    """Maps that are known: head h has weight h + table[query, key], padding or not."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def probs(self, probs, site):
        heads, length = probs.size(1), probs.size(-1)
        known = self.table[:length, :length] + torch.arange(heads)[:, None, None]
        return known.expand_as(probs).to(probs.dtype)


@pytest.fixture
def by_hand():
    """A sentence of 5 pieces with a two-piece element and predicate at 4, beside a longer one."""
    table = torch.zeros(12, 12)
    for (query, key), weight in {(1, 4): 0.3, (2, 4): 0.5, (4, 1): 0.2, (4, 2): 0.1}.items():
        table[query, key] = weight
    table[9, 3], table[3, 9] = 0.7, 0.6
    table[6, 0] = 9.0  # [CLS] and [SEP] are no word pieces
    table[0, 6] = 9.0
    short = sentence(7, [(1, 4), (2, 4)])
    long = sentence(12, [(9, 3)])
    model, data = tiny("bert", 2), examples("bert", (7, 12))
    with edited(model, Fixed(table)):
        return link_attention(model, [short, long], data)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ("element to predicate", (0.5, 0.7)),
        ("element to predicate, any word", (0.5, 0.7)),
        ("predicate to element", (0.2, 0.6)),
        ("first pieces", (0.3, 0.7)),
    ],
)
def test_the_largest_weight_of_the_links_matches_known_maps(by_hand, reading, expected):
    found = by_hand[reading]
    assert found.shape == (2, 2, 4, 1 + DRAWS)
    for number, weight in enumerate(expected):
        for head in range(4):
            np.testing.assert_allclose(found[number, :, head, 0], weight + head, **NEAR)


def test_random_pairs_read_known_maps_too(by_hand):
    """At distance +3 and +2 of the short sentence only the links weigh anything."""
    drawn = by_hand["element to predicate"][0, 0, 0, 1:]
    assert set(np.round(drawn, 6)) <= {0.0, 0.3, 0.5}
    assert drawn.min() < 0.5, "some draw must be elsewhere"
    assert by_hand["element to predicate, any word"][0, 0, 0, 1:].max() <= 0.5
    assert by_hand["predicate to element"][0, 0, 0, 1:].max() < 9, "the specials are left out"


@pytest.mark.parametrize("family", FAMILIES)
def test_links_equal_a_plain_loop_over_stock_maps(family, monkeypatch):
    lengths = (7, 5, 12, 9)
    draw = np.random.default_rng(0)
    sentences = []
    for length in lengths:
        places = range(1, length - 1)
        pairs = {tuple(draw.choice(places, 2, replace=False).tolist()) for _ in range(3)}
        sentences.append(sentence(length, sorted(pairs)))
    found = link_attention(tiny(family), sentences, examples(family, lengths))
    stock = tiny(family, implementation="eager")
    for row, own in enumerate(sentences):
        with torch.no_grad():
            one = alone(inputs(family, lengths), row)
            maps = torch.cat(stock.base_model(**one, output_attentions=True).attentions)
        largest = [torch.stack([maps[..., q, k] for q, k in own.links]).amax(0)]
        largest += [torch.stack([maps[..., k, q] for q, k in own.links]).amax(0)]
        for reading, expected in zip((MAIN, "predicate to element"), largest, strict=True):
            np.testing.assert_allclose(found[reading][row, ..., 0], expected, **NEAR)
    monkeypatch.setattr(streaming, "WEIGHTS", {"cpu": 1})  # one sentence a batch, no padding
    again = link_attention(tiny(family), sentences, examples(family, lengths))
    for reading in READINGS:
        np.testing.assert_allclose(again[reading], found[reading], **NEAR)


# Random pairs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [distance, predicate])
def test_random_pairs_share_what_they_should_and_stay_in_the_sentence(shared):
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = list(range(1, int(rng.integers(3, 12))))
        pairs = [(q, k) for q in places for k in places if q != k]
        count = int(rng.integers(1, min(6, len(pairs)) + 1))
        links = [pairs[i] for i in rng.choice(len(pairs), count, replace=False)]
        drawn = redraw(links, pairs, shared, rng)
        assert Counter(map(shared, drawn)) == Counter(map(shared, links))
        assert len(set(drawn)) == len(links), "no pair twice: the largest of fewer is smaller"
        assert set(drawn) <= set(pairs)


def test_every_place_is_drawn_equally_often_the_links_own_among_them():
    rng = np.random.default_rng(0)
    pairs = sentence(8, [(1, 3)]).pairs
    drawn = Counter(redraw([(1, 3)], pairs, distance, rng)[0] for _ in range(2000))
    assert set(drawn) == {(1, 3), (2, 4), (3, 5), (4, 6)}
    assert max(abs(count - 500) for count in drawn.values()) < 4 * np.sqrt(2000 * 0.25 * 0.75)


def test_a_sentence_without_another_place_keeps_its_links():
    rng = np.random.default_rng(0)
    short, longer = sentence(5, [(1, 3)]), sentence(6, [(1, 3), (2, 4)])
    assert redraw(short.links, short.pairs, distance, rng) == [(1, 3)]
    assert sorted(redraw(longer.links, longer.pairs, distance, rng)) == [(1, 3), (2, 4)]
    assert not short.has_choice
    assert not longer.has_choice
    assert sentence(6, [(1, 3)]).has_choice


def test_pairs_are_of_different_words_and_leave_the_specials_out(opened):
    text = FramePair(shared_words.words("He didn't linger"), "F", (3,), "R", (0,))
    (own,), data = frame_links.frame_sentences(opened, [text])
    pieces = opened.tokenizer.convert_ids_to_tokens(data.ids[0])
    assert pieces == ["[CLS]", "he", "didn", "'", "t", "ling", "##er", "[SEP]"]
    places = {place for pair in own.pairs for place in pair}
    assert places == {1, 2, 3, 4, 5, 6}
    assert not {(5, 6), (6, 5)} & set(own.pairs)
    assert set(own.links) == {(1, 5), (1, 6)} < set(own.pairs)


# The corrected test -------------------------------------------------------------------------------


def noise(rng, sentences=40, layers=3, heads=4):
    """Skewed, alike between heads, of different size a head: nothing is annotated."""
    common = rng.exponential(size=(sentences, 1, 1, 1 + DRAWS))
    own = rng.exponential(size=(sentences, layers, heads, 1 + DRAWS))
    return (common + own) * rng.uniform(0.1, 10, size=(layers, heads, 1))


def test_one_false_head_or_more_is_as_rare_as_the_level():
    rng = np.random.default_rng(0)
    runs = 200
    wrong = sum((corrected_p(noise(rng), 99) <= 0.05).any() for _ in range(runs))
    assert 1 <= wrong <= 10 + 3 * np.sqrt(runs * 0.05 * 0.95)


def test_a_planted_head_comes_out_and_no_other():
    values = noise(np.random.default_rng(1), sentences=80)
    values[:, 1, 2, 0] += values[:, 1, 2].std()
    assert np.argwhere(corrected_p(values) < 0.05).tolist() == [[1, 2]]


def test_p_depends_neither_on_a_heads_size_nor_on_what_all_its_values_share():
    values = noise(np.random.default_rng(2))
    expected = corrected_p(values)
    values *= np.array([1, 10, 0.1, 3])[:, None]
    values += np.random.default_rng(3).normal(size=(40, 3, 4, 1))
    np.testing.assert_allclose(corrected_p(values), expected)
    assert expected.min() >= 1 / 1000


def test_a_head_that_says_nothing_does_not_pass():
    values = np.ones((20, 1, 2, 1 + DRAWS))
    values[:, 0, 1, 0] = 2.0
    assert corrected_p(values)[0, 0] == 1.0
    assert corrected_p(values)[0, 1] < 0.05
    assert corrected_p(np.ones((20, 2, 2, 1 + DRAWS))).tolist() == [[1, 1], [1, 1]]


class Planted(Edit):
    """Layer 2 head 3 looks along the links, head 1 always three ahead, head 2 at the predicate."""

    def __init__(self, links):
        super().__init__()
        self.links, self.row = links, 0

    def probs(self, probs, site):
        if site.layer != 1:
            return probs
        probs = torch.full_like(probs, 1 / probs.size(-1))
        ahead = probs.new_zeros(probs.shape[-2:])
        ahead.diagonal(3).fill_(0.9)
        probs[:, 0] = ahead
        for row in range(len(probs)):
            query, key = self.links[self.row]
            probs[row, 1, :, key] = 0.9
            probs[row, 2, query, key] = 0.9
            self.row += 1
        return probs


def test_a_head_of_a_fixed_distance_or_of_verbs_is_told_from_one_of_a_relation():
    starts = np.random.default_rng(0).integers(1, 7, size=60).tolist()
    links = [(start, start + 3) for start in starts]
    sentences = [sentence(12, [link]) for link in links]
    model = tiny("bert", 2)
    with edited(model, Planted(links)):
        found = link_attention(model, sentences, examples("bert", (12,) * 60))
    attention = found[MAIN].mean(0)[1, :3, 0]
    np.testing.assert_allclose(attention, 0.9, **NEAR)  # the paper's measure sees no difference
    passes = {reading: corrected_p(values)[1] < 0.05 for reading, values in found.items()}
    assert passes[MAIN].tolist() == [False, True, True, False]
    assert passes["element to predicate, any word"].tolist() == [True, False, True, False]


# Sentences and records ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder laid out like the hub: some frames, and a task of pairs."""
    root = tmp_path_factory.mktemp("hub")
    rows = {
        "sentence1": [SENTENCES[n % 5] for n in range(12)],
        "sentence2": [SENTENCES[n * n % 5] for n in range(12)],
        "label": [int(n % 3 == 0) for n in range(12)],
    }
    lay_out(root, "rte", train=rows, validation=rows)
    (root / "framenet").mkdir()
    frames = synthetic.load("framenet", "train").select(range(90))
    frames.to_parquet(root / "framenet" / "train-00000-of-00001.parquet")
    (root / "framenet" / "README.md").write_text(
        "---\nlicense: x\n---\n\n# FrameNet 0.1\n\n# Use\n"
    )
    return str(root)


@pytest.fixture
def opened(source, tmp_path, monkeypatch):
    """The mini checkpoint on that folder, and fine-tuning that leaves the weights alone."""
    made = study.Study(edition("mini", source), ("rte",), (0,))
    made.store = Store(tmp_path / "store", tmp_path / "shipped")

    def fine_tune(*_, **__):
        return {"epochs": [{"validation": {"accuracy": 0.0}}], "steps": 0}

    monkeypatch.setattr(study, "fine_tune", fine_tune)
    return made


@pytest.fixture
def frames(opened):
    return relation_heads.frame_attention(opened)


def test_links_are_between_the_pieces_of_the_annotated_words(opened):
    pairs, _ = frame_pairs(frame_links.annotated(opened.edition.source))
    kept, data = frame_links.frame_sentences(opened, pairs)
    assert len(kept) == len(data) == len({pair.text.text for pair in pairs})
    by_text = {pair.text.text: pair for pair in pairs}
    for own, ids in zip(kept, data.ids, strict=True):
        (text,) = own.aligned.texts
        pair = by_text[text.text]
        for words, places in ((pair.element, {q for q, _ in own.links}),
                              (pair.target, {k for _, k in own.links})):  # fmt: skip
            said = opened.tokenizer.decode([ids[place] for place in sorted(places)])
            expected = " ".join(text.words[word].text for word in words).lower()
            assert said.replace(" ", "") == expected.replace(" ", "")
        assert set(own.links) <= set(own.pairs)
        assert set(own.first) <= set(own.links)
        pieces = [sorted({link[end] for link in own.links}) for end in (0, 1)]
        assert len(own.first) == min(map(len, pieces))
        assert own.first[0] == (pieces[0][0], pieces[1][0])


def test_a_sentence_with_two_frames_counts_once_and_one_without_pieces_does_not(opened):
    pairs, _ = frame_pairs(frame_links.annotated(opened.edition.source))
    one = pairs[0]
    swapped = type(one)(one.text, "Other", one.element, "Role", one.target)
    kept, _ = frame_links.frame_sentences(opened, [one, swapped])
    assert len(kept) == 1
    assert {(k, q) for q, k in kept[0].links} == set(kept[0].links)
    nothing = type(one)(one.text, "Other", one.target, "Role", ())
    assert frame_links.frame_sentences(opened, [nothing])[0] == []


def test_a_record_holds_what_a_plain_loop_finds(opened, frames):
    values = frames.values
    pairs, steps = frame_pairs(frame_links.annotated(opened.edition.source))
    kept, data = frame_links.frame_sentences(opened, pairs)
    found = link_attention(opened_encoder(opened), kept, data)
    assert values["steps"] == [asdict(step) for step in steps]
    assert values["sentences"] == len(kept) == sum(values["folds"]["sizes"])
    for name, reading in values["readings"].items():
        np.testing.assert_allclose(reading["annotated"], found[name][..., 0].mean(0), atol=1e-5)
        np.testing.assert_allclose(reading["random"], found[name][..., 1:].mean((0, 3)), atol=1e-5)
        np.testing.assert_allclose(reading["p"], corrected_p(found[name]), atol=1e-5)
    sizes, folds = values["folds"]["sizes"], values["folds"]["annotated"]
    assert np.shape(folds) == (FOLDS, 6, 6)
    whole = np.average(folds, axis=0, weights=sizes)
    np.testing.assert_allclose(whole, values["readings"][MAIN]["annotated"], atol=2e-5)


def opened_encoder(opened):
    return load_encoder(opened.edition.checkpoint)


def test_a_record_is_found_again_and_differs_with_filters_and_data(opened, frames, monkeypatch):
    assert (frames.origin, relation_heads.frame_attention(opened).origin) == ("computed", "stored")
    released = relation_heads.frame_attention(opened, RELEASED)
    assert released.recipe["filters"]["every_element"]
    original = frame_links.framenet
    monkeypatch.setattr(frame_links, "framenet", lambda *a, **k: list(original(*a, **k))[1:])
    fewer = relation_heads.frame_attention(opened)
    assert len({frames.key, released.key, fewer.key}) == 3


def test_an_edition_without_live_results_ships_what_its_encoder_does(opened, tmp_path):
    opened.recording = True
    relation_heads.frame_attention(opened)
    assert not (tmp_path / "shipped").exists(), "at mini it is made with the book"
    opened.edition = edition("small", opened.edition.source)
    record = opened.measure_encoder("anything", "some data", lambda model: {"value": 1})
    assert (tmp_path / "shipped" / "anything" / f"{record.key}.json").exists()
    assert record.recipe == {"checkpoint": opened.checkpoint_hash, "data": "some data"}


def test_too_few_sentences_and_missing_data_are_named(opened, monkeypatch, tmp_path):
    original = frame_links.framenet
    monkeypatch.setattr(frame_links, "framenet", lambda *a, **k: list(original(*a, **k))[:3])
    with pytest.raises(BertstudyError, match="pass the filters: at least 10 are needed"):
        relation_heads.frame_attention(opened)
    with pytest.raises(BertstudyError, match="framenet' is not there"):
        original(str(tmp_path))


def test_the_data_says_what_it_is(opened, tmp_path):
    assert frame_links.corpus(opened) == "FrameNet 0.1"
    opened.edition = edition("mini")
    assert frame_links.corpus(opened) == "frames of the synthetic world"
    opened.edition = edition("mini", "hub")
    assert frame_links.corpus(opened).startswith("FrameNet 1.7")
    (tmp_path / "framenet").mkdir()
    opened.edition = edition("mini", str(tmp_path))
    assert frame_links.corpus(opened) == f"{tmp_path.name}/framenet, whose README.md has no title"


def test_where_there_is_no_framenet_nltk_is_asked(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nltk", None)
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    for source, name in (("hub", "the hub"), (str(tmp_path), f"'{tmp_path}'")):
        said = f"{name} has no FrameNet, and nltk is not installed.*; or name a folder"
        with pytest.raises(BertstudyError, match=said):
            frame_links.annotated(source)
    asked = []
    monkeypatch.setattr(
        frame_links, "nltk_framenet", lambda core_sets: asked.append(core_sets) or iter(())
    )
    for filters in (PAPER, RELEASED):
        frame_links.annotated("hub", filters)
        frame_links.annotated(str(tmp_path), filters)
    assert asked == [False, False, True, True]


def test_sentences_that_are_shown_are_the_projects_own(opened):
    own = frame_links.examples(opened)
    assert own[0].text == "What did the visitors finally buy?"
    assert len(own) == 5
    assert len(own[0].frames[0].elements) == 2
    opened.edition = edition("mini")
    assert len({text.frames[0].name for text in frame_links.examples(opened, 4)}) == 4


# Tables and quantities, from records written by hand ----------------------------------------------


def frame_record(folds, random=None, p=None, filters=PAPER, sizes=None):
    """From ``[fold][layer][head]``."""
    folds = np.array(folds, float)
    random = np.zeros_like(folds) if random is None else np.array(random, float)
    sizes = [5] * len(folds) if sizes is None else sizes
    grids = {
        "annotated": np.average(folds, axis=0, weights=sizes).tolist(),
        "random": np.average(random, axis=0, weights=sizes).tolist(),
        "p": np.full(folds.shape[1:], 0.5).tolist() if p is None else p,
    }
    step = {"name": "annotated frames", "frames": 9, "sentences": 8, "pairs": 7}
    values = {
        "steps": [step, step | {"name": "last", "sentences": 5}],
        "sentences": sum(sizes),
        "without_choice": 2,
        "readings": dict.fromkeys(READINGS, grids),
        "folds": {"sizes": sizes, "annotated": folds.tolist(), "random": random.tolist()},
    }
    return Record("frame_attention", {"filters": asdict(filters)}, values, {}, "computed")


def sweep(heads, seed=0, name="rte", baseline=50.0, kind="uniform"):
    values = {"metric": "accuracy", "baseline": baseline, "heads": heads, "layers": [0.0]}
    recipe = {"model": {"task": name, "seed": seed}, "kind": kind}
    return Record("disabling", recipe, values, {}, "computed")


@pytest.fixture
def hand():
    """Ten folds of 2 × 2 heads: .4 and .3 lead but on fold 0, where the last head has .9."""
    grid = [[0.1, 0.4], [0.3, 0.2]]
    folds = [[[0.1, 0.5], [0.2, 0.9]]] + [grid] * 9
    random = [[[0.1, 0.2], [0.3, 0.4]]] * 10
    return frame_record(folds, random, p=[[0.5, 0.01], [0.2, 0.9]])


def test_quantities_match_a_hand_worked_record(hand):
    table = relation_heads.quantities([hand])
    found = {name: own["value"].tolist() for name, own in table.groupby("quantity")}
    assert set(table["task"]) == {""}
    # On all sentences: .41 of the second head, .29 of the third, .27 of the last.
    assert found["first_frame_attention"] == pytest.approx([0.5] + [0.4] * 9)
    assert found["second_frame_attention"] == pytest.approx([0.2] + [0.3] * 9)
    # Without fold 0 and without any other the second and the third head lead; with fold 0 the
    # last one has .2 + .7 / 9, below .3.
    assert found["frame_attention_held_out"] == pytest.approx([0.35] + [0.35] * 9)
    assert found["frame_attention_null"] == pytest.approx([0.25] * 10)
    assert found["second_frame_attention_held_out"] == pytest.approx([0.2] + [0.3] * 9)
    assert found["third_frame_attention_held_out"] == pytest.approx([0.9] + [0.2] * 9)
    assert np.isnan(found["rank_of_named_frame_heads"]).all()


def test_heads_are_chosen_without_the_fold_they_are_judged_on(hand):
    """One fold that is large enough to turn the ranking must not choose for itself."""
    values = hand.values["folds"]
    turned = frame_record(values["annotated"], sizes=[500] + [5] * 9)
    assert relation_heads.highest(turned) == [(1, 1), (0, 1)]
    assert relation_heads.frame_attention_held_out([turned])[0] == pytest.approx(0.35)


def test_the_named_heads_are_looked_for_where_there_are_so_many():
    folds = np.zeros((10, 12, 12))
    folds[:, 0, 1], folds[:, 6, 5], folds[:, 3, 3] = 0.2, 0.1, 0.15
    assert relation_heads.rank_of_named_frame_heads([frame_record(folds)]).tolist() == [3]
    folds[:, 3, 3] = 0
    assert relation_heads.rank_of_named_frame_heads([frame_record(folds)]).tolist() == [2]
    assert np.isnan(relation_heads.rank_of_named_frame_heads([frame_record(folds[:, :6])])).all()


def test_the_frame_heads_are_worth_the_smaller_effect(hand):
    records = [
        sweep([[49.0, 48.0], [51.0, 10.0]], seed=1),  # effects -2 and +1
        sweep([[49.0, 50.0], [53.0, 10.0]], seed=0),  # 0 and +3
        sweep([[0.0, 0.0], [0.0, 0.0]], kind="zero"),
        sweep([[50.0, 54.0], [52.0, 50.0]], name="mrpc"),
    ]
    table = relation_heads.effects([hand, *records]).set_index(["task", "seed"])["value"]
    assert table.to_dict() == {("rte", 0): 0.0, ("rte", 1): -2.0, ("mrpc", 0): 2.0}
    shown = relation_heads.without_frame_heads([hand, *records]).set_index(
        ["task", "head disabled"]
    )
    assert shown.loc[("rte", "layer 1 head 2"), "effect (points)"] == pytest.approx(-1.0)
    assert shown.loc[("rte", "layer 2 head 1"), "effect (points)"] == pytest.approx(2.0)


def planted(lead, gap, rng):
    """Folds of a record whose two heads lead random pairs, and the third head, by so much."""
    folds = rng.normal(0, 0.005, size=(10, 3, 2))
    folds[:, 0] += 0.3
    folds[:, 1, 0] += 0.3 - gap
    random = np.zeros((10, 3, 2)) + 0.3 - lead
    return frame_record(folds, random)


@pytest.mark.parametrize(
    ("lead", "gap", "expected"),
    [(0.1, 0.1, ("holds", "holds")), (-0.1, 0.1, ("fails", "holds")),
     (0.0, 0.0, ("undecided", "undecided"))],
)  # fmt: skip
def test_planted_relations_are_judged_as_planted(lead, gap, expected):
    record = planted(lead, gap, np.random.default_rng(4))
    found = reference.compare("secrets", "§4.2", relation_heads.quantities([record]))
    by_quantity = found.set_index("quantity")["verdict"]
    names = (
        "frame_attention_held_out − frame_attention_null",
        "second_frame_attention_held_out − third_frame_attention_held_out",
    )
    assert tuple(by_quantity[list(names)]) == expected
    assert by_quantity["rank_of_named_frame_heads"] == "not comparable"


def test_the_papers_checkpoint_is_judged_by_what_it_prints():
    folds = np.random.default_rng(0).normal(0, 0.002, size=(10, 12, 12))
    folds[:, 0, 1] += 0.201
    folds[:, 6, 5] += 0.209
    measured = relation_heads.quantities([frame_record(folds)])
    found = reference.compare("secrets", "§4.2", measured, met=("the paper's checkpoint",))
    assert list(found.loc[:2, "verdict"]) == ["holds"] * 3
    np.testing.assert_allclose(found.loc[:1, "theirs"], [0.209, 0.201])
    assert np.abs(found.loc[:1, "difference"]).max() < 0.005


@pytest.mark.parametrize(("effect", "expected"), [(0.1, "holds"), (-1.0, "fails")])
def test_a_needed_frame_head_fails_the_claim_of_section_5(hand, effect, expected):
    sweeps = [sweep([[50.0, 50.0 + effect + seed / 1000], [50.5, 50.0]], seed) for seed in range(6)]
    measured = relation_heads.effects([hand, *sweeps])
    found = reference.compare("secrets", "§5", measured, {"rte": True})
    assert found.set_index("quantity").loc["effect_of_frame_heads", "verdict"] == expected


def test_the_sections_claims_are_about_what_is_measured():
    claims = [c for c in reference.claims("secrets") if c.place.startswith(("§4.2", "§5"))]
    assert len(claims) == 7
    for claim in claims:
        assert {claim.quantity, claim.minus or claim.quantity} <= set(secrets.QUANTITIES)


def test_filters_stand_step_by_step_beside_the_papers_count(hand):
    released = frame_record(hand.values["folds"]["annotated"], filters=RELEASED)
    table = relation_heads.filtered([hand, released])
    assert len(table) == 4
    assert table["paper"].isna().tolist() == [True, False] * 2
    printed = reference.numbers("secrets").query("table == '§4.2' and row == 'sentences'")
    assert table["paper"].iloc[1] == printed["value"].item()
    lines = relation_heads.summary([released, hand])
    assert len(lines) == 2 * len(READINGS)
    assert list(lines["highest head"].unique()) == ["layer 1 head 2"]
    assert lines["heads that pass"].iloc[0] == "1 of 4"
    assert lines["without another place"].tolist() == [2] * len(lines)
    first = relation_heads.most_attentive(hand, 3)
    assert list(first["head"]) == ["layer 1 head 2", "layer 2 head 1", "layer 2 head 2"]


# Shared words -------------------------------------------------------------------------------------


def pair(first, second, pieces):
    texts = (shared_words.words(first), shared_words.words(second))
    return Aligned(texts, (0,) * 9, pieces, ((),) * 9, ("",) * 9)


@pytest.fixture
def dogs():
    """Dogs bark, twice; "dogs" in two pieces in the first sentence, "bark" cut off in the other."""
    return pair("Dogs bark!", "The dogs bark", (((1, 2), (3,)), ((5,), (6,), ())))


def test_shared_words_are_found_in_both_orders_and_without_case(dogs):
    assert shared_words.shared(dogs) == [((1, 2), (6,)), ((6,), (1, 2))]
    other = pair("A cat.", "A dog.", (((1,), (2,)), ((5,), (6,))))
    assert shared_words.shared(other) == [((1,), (5,)), ((5,), (1,))]
    assert shared_words.shared(pair("Cats.", "Dogs.", (((1,),), ((3,),)))) == []


def test_overlap_matches_known_maps(dogs):
    """Mean of the pieces that look, sum of those looked at, mean of both orders."""
    table = torch.zeros(12, 12)
    table[1, 6], table[2, 6], table[6, 1], table[6, 2] = 0.2, 0.4, 0.1, 0.5
    none = pair("Cats.", "Dogs.", (((1,),), ((3,),)))
    model, data = tiny("bert", 2), examples("bert", (9, 12, 9))
    with edited(model, Fixed(table)):
        found = shared_words.overlap(model, [none, dogs, dogs], data)
    assert found.shape == (2, 2, 4), "examples without a shared word are left out"
    # Head h adds h to each weight: to one piece looked at, and to two.
    expected = [((0.3 + h) + (0.6 + 2 * h)) / 2 for h in range(4)]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), **NEAR)
    with pytest.raises(BertstudyError, match="no example has a word in both"):
        shared_words.overlap(model, [none], data.take([0]))


def test_overlap_of_a_fine_tuned_model_is_recorded(opened, monkeypatch):
    (rte,) = opened.tasks
    record, swept = shared_words.records(opened)
    assert np.shape(record.values["heads"]) == (6, 6)
    assert 0 < np.min(record.values["heads"]) < np.max(record.values["heads"]) < 1
    assert swept.measurement == "disabling"
    aligned = [
        tuple(shared_words.words(row[column]) for column in rte.texts)
        for row in opened.rows(rte, "validation")
    ]
    ids = [list(a.ids) for a in shared_words.align(opened.tokenizer, aligned, 64)]
    assert ids == opened.encoded(rte, "validation").ids, "alignment must see the model's input"
    with pytest.raises(BertstudyError, match="sst2 has one text an example"):
        shared_words.overlap_attention(opened, task("sst2"), 0)


def overlapped(heads, seed=0, name="rte"):
    recipe = {"model": {"task": name, "seed": seed}}
    values = {"heads": np.asarray(heads).tolist(), "examples": 3}
    return Record("overlap_attention", recipe, values, {}, "computed")


def test_named_heads_lead_the_mean_of_all():
    heads = np.zeros((12, 12))
    heads[3, 0], heads[1, 11] = 0.4, 0.2
    records = [overlapped(heads), sweep(np.zeros((12, 12)).tolist())]
    found = shared_words.named_heads_overlap_attention(records)
    assert found == pytest.approx([0.3 - 0.6 / 144])
    small = [overlapped(heads[:2, :2]), sweep([[0.0, 0.0], [0.0, 0.0]])]
    table = shared_words.quantities(small)
    assert table[["quantity", "task", "seed"]].values.tolist() == [
        ["named_heads_overlap_attention", "rte", 0]
    ]
    assert np.isnan(table["value"].item())
    assert list(shared_words.quantities([])) == ["quantity", "task", "seed", "value"]


def test_heads_that_matter_are_those_whose_loss_is_largest():
    records = []
    for seed in range(3):
        records.append(overlapped([[0.1, 0.2], [0.3, 0.4]], seed))
        records.append(sweep([[50.0, 49.0], [48.0, 47.0 - seed]], seed))
    (line,) = shared_words.needed_heads(records).to_dict("records")
    assert shared_words.most_needed(records[1]) == [(1, 1), (1, 0)]
    assert line["two most needed, minus all"] == pytest.approx(0.35 - 0.25)
    assert line["rank correlation with loss"] == pytest.approx(1.0)
    assert line["seeds"] == 3
    flat = [overlapped([[0.1, 0.1]]), sweep([[50.0, 49.0]])]
    (line,) = shared_words.needed_heads(flat).to_dict("records")
    assert line["rank correlation with loss"] == 0
    assert np.isnan(line["from"])


# Figures ------------------------------------------------------------------------------------------


def test_frame_heads_share_a_scale_and_star_those_that_pass(hand):
    figure = figures.frame_heads(relation_heads.heads(hand))
    links, random, difference = figure.axes[:3]
    assert links.collections[0].get_clim() == random.collections[0].get_clim() == (0, 0.41)
    low, high = difference.collections[0].get_clim()
    assert low == -high
    stars = [line.get_xydata().tolist() for line in difference.lines]
    assert stars == [[[1.5, 0.5]]]  # layer 1 head 2
    for axis in (links, random, difference):
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("head (1-based)", "layer (1-based)")
    assert plt.get_fignums() == []


def test_heads_are_ranked_beside_both_kinds_of_random_pairs(hand):
    figure = figures.ranked_heads(relation_heads.heads(hand))
    (axis,) = figure.axes
    dots = next(line for line in axis.lines if line.get_marker() == "o")
    assert list(dots.get_ydata()) == pytest.approx([0.41, 0.29, 0.27, 0.1])
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 3
    texts = [text.get_text() for text in axis.texts]
    assert {"layer 1 head 2", "layer 2 head 1"} < set(texts)


def test_an_example_shows_its_predicate_and_elements():
    own = next(frame_links._own_frames())
    (axis,) = figures.frame_example(own).axes
    said = [text.get_text() for text in axis.texts]
    assert "".join(said[: len(own.text)]) == own.text
    assert set(said[len(own.text) :]) == {"Commerce_buy", "Goods", "Buyer"}
    assert len(axis.patches) == 3 + 2  # three marks, two arrows


# The notebook -------------------------------------------------------------------------------------


def test_the_notebook_runs_on_real_data_and_shows_none_of_it(source, tmp_path):
    shutil.copytree(ROOT / "notebooks" / "secrets", tmp_path / "notebooks" / "secrets")
    shutil.copy(ROOT / "_config.yml", tmp_path)
    notebook, out = tmp_path / "notebooks/secrets/4-2-relation-heads.ipynb", tmp_path / "out.ipynb"
    words = ["-m", "papermill", str(notebook), str(out), "-p", "source", source]
    words += ["-p", "task", "rte", "-p", "seeds", "1"]
    env = os.environ | {"BERTSTUDY_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = (
        values
        for path in tmp_path.glob("build/store/records/frame_attention/*.json")
        if not (body := json.loads(path.read_text()))["recipe"]["filters"]["every_element"]
        and (values := body["values"])
    )
    assert record["sentences"] >= FOLDS
    outputs = [
        json.dumps(output)
        for cell in json.loads(out.read_text())["cells"]
        for output in cell.get("outputs", [])
    ]
    assert sum('"image/png"' in output for output in outputs) == 3
    assert any("FrameNet 0.1" in output for output in outputs)
    rows = Dataset.from_parquet(str(Path(source) / "framenet/train-00000-of-00001.parquet"))
    for text in [*rows["sentence"], *SENTENCES]:
        assert not any(text in output for output in outputs)
