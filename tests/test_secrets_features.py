"""§4.4 and §4.5 of Dark Secrets: attention by kind of word, against plain loops and by hand."""

from itertools import combinations
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from browser import Watched
from models import PAD, tiny, wordpiece_tokenizer
from test_linguistics import PLAIN, having, treebank, words_at
from test_secrets_change import study_of, train_with
from test_widgets import write_page

from bertstudy import figures, reference, streaming, study
from bertstudy.attention import Edit, Site, UniformHeads, all_heads, edited, maps
from bertstudy.editions import edition
from bertstudy.errors import BertstudyError
from bertstudy.linguistics import BY_FORM, FEATURES, SPECIALS, Annotated, align, by_form
from bertstudy.papers import secrets
from bertstudy.papers.secrets import annotated, features, linguistic_attention, token_to_token
from bertstudy.papers.secrets.annotated import Reading, _encoded
from bertstudy.papers.secrets.linguistic_attention import RELATIONS, expected_largest, largest
from bertstudy.store import Record, Store
from bertstudy.widgets import FeatureExplorer, PageData
from bertstudy.widgets.secrets import feature_data

NEAR = {"rtol": 0, "atol": 1e-6}
KINDS = (*SPECIALS, *FEATURES)
TOKENIZER = wordpiece_tokenizer()


def sentence(text, pos, heads, relations, negates=""):
    """A text of words between spaces; ``heads`` count from 1, 0 is the root."""
    words = words_at(text, text).words
    said = zip(words, pos.split(), heads, relations.split(), strict=True)
    return Annotated(
        text,
        tuple(
            type(w)(w.text, w.start, w.end, p, w.text, h - 1, r, w.text in negates.split())
            for w, p, h, r in said
        ),
    )


CAT = sentence("the cat chase it .", "DET NOUN VERB PRON PUNCT", [2, 3, 0, 3, 3],
               "det nsubj root obj punct")  # fmt: skip
DOG = sentence("its dog did not sail .", "PRON NOUN AUX PART VERB PUNCT", [2, 5, 5, 5, 0, 5],
               "nmod:poss nsubj aux advmod root punct", "not")  # fmt: skip
BIRD = sentence("a movie !", "DET NOUN PUNCT", [2, 0, 2], "det root punct")
TEXTS = [(CAT, DOG), (BIRD, BIRD), (DOG, BIRD), (CAT, CAT)]


def reading(texts=TEXTS, annotation="by hand"):
    """Annotated pairs as a task's; segments as the tokenizer gives them."""
    aligned = align(TOKENIZER, texts, 64)
    data = _encoded(aligned, PAD["bert"])
    for row, one in zip(data.segments, aligned, strict=True):
        row[:] = TOKENIZER(*[t.text for t in one.texts])["token_type_ids"]
    found = Reading(
        "rte",
        False,
        annotation,
        "x",
        64,
        lambda: (texts, data),
        SimpleNamespace(tokenizer=TOKENIZER),
    )
    assert found.inputs[0] is data
    return found


def model(**changed):
    return tiny("bert", 2, vocabulary=len(TOKENIZER), **changed)


# Scores and their null ------------------------------------------------------------------------


def test_one_head_by_hand():
    values = torch.tensor([[[0.1, 0.4, 0.3, 0.2]]])
    marks = torch.tensor([[[True, False, True, False], [False] * 4]])
    found = largest(values, marks)
    assert found[0, 0, 0] == pytest.approx(0.3)
    assert found[0, 0, 1].isnan()
    # Of the words .4, .3, .2 two are drawn: .4 twice in three, else .3.
    weights = linguistic_attention._weights([[[0, 2], []]], [3], 4)
    words = torch.tensor([[False, True, True, True]])
    null = expected_largest(values, words, weights)
    assert null[0, 0, 0] == pytest.approx((0.4 + 0.4 + 0.3) / 3)
    assert null[0, 0, 1].isnan()


@pytest.mark.parametrize("drawn", [1, 2, 5, 7])
def test_the_expected_maximum_is_that_over_all_draws(drawn):
    values = torch.rand(2, 3, 9, generator=torch.Generator().manual_seed(drawn))
    words = torch.zeros(2, 9, dtype=torch.bool)
    words[:, 1:8] = True
    weights = linguistic_attention._weights([[range(drawn)]] * 2, [7, 7], 9)
    draws = [values[..., list(chosen)].amax(-1) for chosen in combinations(range(1, 8), drawn)]
    expected = torch.stack(draws).mean(0)
    torch.testing.assert_close(expected_largest(values, words, weights)[..., 0], expected)


def plain_loop(encoder, of):
    """`measured`, one example, layer, head and kind at a time; nulls of links by their draws."""
    data, aligned = of.inputs
    rng = np.random.default_rng(linguistic_attention.DRAWS_SEED)
    found = {}
    for row, one in enumerate(aligned):
        pairs = [
            linguistic_attention.random_pairs(one, r, linguistic_attention.DRAWS, rng)
            for r in RELATIONS
        ]
        for (layer, head), map_ in each_map(maps(encoder, **data.batch([row]))[0].numpy()):
            values = of_map(map_, one, pairs)
            for name, value in values.items():
                found.setdefault(name, {})[row, layer, head] = value
    shape = (len(aligned), 2, 4)
    return {
        name: np.array([by_head[at] for at in np.ndindex(*shape)]).reshape(*shape, -1)
        for name, by_head in found.items()
    }


def each_map(layers):
    return ((at, layers[at]) for at in np.ndindex(*layers.shape[:2]))


def of_map(map_, one, pairs):
    words = [i for i, special in enumerate(one.specials) if not special]
    values = {"neighbours": (np.trace(map_, 1) + np.trace(map_, -1)) / len(map_)}
    for prefix, weights in (("", map_.mean(0)), ("cls_", map_[0])):
        scores, nulls = [], []
        for kind in KINDS:
            places = list(one.where(kind))
            scores.append(max(weights[places], default=np.nan))
            draws = combinations(words, len(places)) if places else ()
            nulls.append(np.mean([max(weights[list(d)]) for d in draws]) if places else np.nan)
        values[prefix + "score"], values[prefix + "null"] = scores, nulls

    def link(some):
        return max((max(map_[i, j], map_[j, i]) for i, j in some), default=np.nan)

    values["linked"] = [[link(draw) for draw in drawn] for drawn in pairs]
    return values


def test_everything_equals_a_plain_loop():
    of = reading()
    found, expected = linguistic_attention.measured(model(), of), plain_loop(model(), of)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].reshape(values.shape), values, **NEAR)
    assert np.isnan(found["linked"][1]).all(), "no verb and no pronoun there"
    assert np.nanstd(expected["score"]) > 0.01, "the maps must differ for this to say anything"


def test_neither_padding_nor_the_size_of_batches_matters(monkeypatch):
    of, encoder = reading(), model()
    together = linguistic_attention.measured(encoder, of)
    monkeypatch.setattr(streaming, "WEIGHTS", {"cpu": 1})
    for name, values in linguistic_attention.measured(encoder, of).items():
        np.testing.assert_allclose(values, together[name], **NEAR)


def test_what_is_received_sums_to_one(monkeypatch):
    """Every token is of one of the kinds: each token's score, summed."""
    of, sums = reading(), []
    monkeypatch.setattr(
        linguistic_attention,
        "largest",
        lambda values, marks: sums.append(values.sum(-1)) or largest(values, marks),
    )
    linguistic_attention.measured(model(), of)
    for total in sums:
        torch.testing.assert_close(total, torch.ones_like(total))


def test_a_uniform_head_gives_every_kind_its_null():
    of, encoder = reading(), model()
    with edited(encoder, UniformHeads(all_heads(0, 4) + all_heads(1, 4))):
        found = linguistic_attention.measured(encoder, of)
    for name in ("score", "null", "cls_score", "cls_null", "linked"):
        by_example = np.moveaxis(found[name], 0, -1)
        expected = np.broadcast_to(1 / of.inputs[0].lengths, by_example.shape)
        there = ~np.isnan(by_example)
        np.testing.assert_allclose(by_example[there], expected[there], **NEAR)


class Looks(Edit):
    """Layer 1 head 1: every token looks at chosen places; all other heads are uniform."""

    def __init__(self, places):
        super().__init__()
        self.places = list(places)

    def probs(self, probs: torch.Tensor, site: Site) -> torch.Tensor:
        changed = torch.full_like(probs, 1 / probs.size(-1))
        if site.layer == 0:
            changed[:, 0] = 0
            changed[:, 0, :, self.places] = 1 / len(self.places)
        return changed


def test_a_planted_head_is_found_and_its_kind_alone():
    of, encoder = reading([(CAT, DOG)]), model()
    nouns = of.inputs[1][0].where("noun")
    with edited(encoder, Looks(nouns)):
        found = linguistic_attention.measured(encoder, of)
    above = (found["score"] - found["null"])[0, ..., KINDS.index("noun")]
    assert above[0, 0] > 0.05
    assert np.abs(np.delete(above.ravel(), 0)).max() < 1e-6, "all other heads are their null"
    assert found["score"][0, 0, 0, KINDS.index("verb")] == 0


def test_a_planted_head_of_distance_is_no_head_of_a_relation():
    """Every token looks at the one before it: so does a verb at its subject, and no more."""
    of = reading([(CAT, CAT)])
    count = len(of.inputs[1][0].ids)
    probs = torch.zeros(1, 1, count, count)
    probs[0, 0, range(count), [max(0, i - 1) for i in range(count)]] = 1
    rng = np.random.default_rng(0)
    pairs = [linguistic_attention.random_pairs(of.inputs[1][0], r, 10, rng) for r in RELATIONS]
    found = linguistic_attention.largest_linked(probs, linguistic_attention._pairs([pairs], count))
    torch.testing.assert_close(found[0, 0, 0], torch.ones(11))


# Links and readings ---------------------------------------------------------------------------


def test_linked_pieces_by_hand():
    (one,) = align(TOKENIZER, [(CAT, DOG)], 64)
    words = [one.pieces[text] for text in (0, 1)]

    def each(text, first, second):
        return [(i, j) for i in words[text][first] for j in words[text][second]]

    subjects = each(0, 1, 2) + each(1, 1, 4)  # cat-chase, dog-sail
    assert linguistic_attention.linked(one, "verb-subject") == subjects
    assert linguistic_attention.linked(one, "noun-pronoun") == each(1, 0, 1)  # its-dog


def test_random_pairs_keep_distance_and_text():
    (one,) = align(TOKENIZER, [(CAT, DOG)], 64)
    drawn = linguistic_attention.random_pairs(one, "verb-subject", 50, np.random.default_rng(0))
    assert drawn[0].tolist() == [list(p) for p in linguistic_attention.linked(one, "verb-subject")]
    apart = np.sort(drawn[..., 1] - drawn[..., 0], axis=1)
    assert (apart == apart[0]).all()
    owners = [{text for text, _ in one.owners[place]} for place in range(len(one.ids))]
    assert all(owners[i] == owners[j] != set() for i, j in drawn.reshape(-1, 2))
    words = [set(own) for own in one.owners]
    assert all(words[i].isdisjoint(words[j]) for i, j in drawn.reshape(-1, 2))
    assert all(len(set(map(tuple, draw))) == drawn.shape[1] for draw in drawn), "no pair twice"
    assert len({tuple(pair) for pair in drawn[1:, 0].tolist()}) > 1
    none = linguistic_attention.random_pairs(one, "verb-subject", 50, np.random.default_rng(0))
    assert (none == drawn).all(), "the same each time"


def test_forms_tell_negations_and_punctuation_and_no_more():
    text = by_form("He can't say it's so -- \"n't\" at 5%, nobody's.")
    assert having(text, "negation") == ["n't", "n't"]
    assert having(text, "punctuation") == ["-", "-", '"', '"', ",", "."]
    (one,) = align(TOKENIZER, [(text,)], 64)
    assert len(one.where("negation")) >= 2
    with pytest.raises(BertstudyError, match="gives no parts of speech"):
        one.where("noun")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """The mini checkpoint on a dozen real-looking rows, and training that changes nothing."""
    monkeypatch.setattr(annotated, "spacy_version", lambda: "")
    train_with(monkeypatch, lambda model: None)
    texts = ["The cat didn't see it.", "Nobody laughed; the dog barked.", "Seven ships sailed"]
    return study_of(texts, tmp_path)


def test_without_a_tagger_only_forms_are_measured(opened):
    records = linguistic_attention.records(opened)
    assert [("model" in r.recipe, r.recipe["data"]["annotation"]) for r in records] == [
        (False, annotated.FORMS), (True, annotated.FORMS), (True, annotated.FORMS),
    ]  # fmt: skip
    for record in records:
        assert set(record.values["features"]) == {*SPECIALS, *BY_FORM}
        assert record.values["relations"] == {}
    table = features.counts(records).set_index("kind")
    assert list(table) == ["rte: word forms, 12 examples"]
    assert table.loc["noun"].item() == "not annotated"
    assert table.loc["[CLS]"].item() == "12 / 12"
    undefined = {"word_attention_share", "noun_attention_increase", "object_attention_increase"}
    measured = features.quantities(records).groupby("quantity")["value"]
    assert {name for name, values in measured if values.isna().all()} == undefined
    assert token_to_token.quantities(records)["value"].isna().all()
    assert {r.origin for r in linguistic_attention.records(opened)} == {"stored"}


def test_models_that_did_not_change_differ_by_nothing(opened):
    records = linguistic_attention.records(opened)
    change = features.changes(features.scores(records))
    assert set(change["seed"]) == {0, 1}
    assert (change[["score", "null", "above"]] == 0).all(axis=None)
    assert (features.negation_attention_increase(records) == 0).all()


def test_a_treebank_beside_an_untagged_task_is_read_by_all_models(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(annotated, "TREEBANK", "en_tiny")
    treebank(tmp_path / "hub", [PLAIN])
    records = linguistic_attention.records(opened)
    own = [features.described(r)["reading"] for r in records]
    assert own == ["rte, pre-trained", "en_tiny, pre-trained"] + [
        "RTE", "en_tiny, tuned on RTE",
    ] * 2  # fmt: skip
    assert set(records[1].values["features"]) == set(KINDS)
    assert len(features.quantities(records)) == 2 * len(features.QUANTITIES)
    page = feature_data(opened, records)
    assert set(page.maps) == {"RTE", "en_tiny, tuned on RTE"}
    assert PLAIN["text"] not in str([e.text for m in page.maps.values() for e in m.examples])


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Records of the synthetic world on 30 examples, without training."""
    patch = pytest.MonkeyPatch()
    patch.setattr(annotated, "sample", lambda total: np.arange(min(total, 30)))
    train_with(patch, lambda model: None)
    made = study.Study(edition("mini"), ("rte",), (0, 1))
    made.store = Store(tmp_path_factory.mktemp("store"))
    every = made.rows
    made.rows = lambda task, _: every(task, "validation")  # nothing is trained: no training rows
    yield made, linguistic_attention.records(made)
    patch.undo()


def test_the_synthetic_world_tells_every_kind(synthetic):
    _, records = synthetic
    assert [features.described(r)["reading"] for r in records] == [
        "rte, pre-trained", "stories, pre-trained", "RTE", "RTE",
    ]  # fmt: skip
    for record in records:
        assert set(record.values["features"]) == set(KINDS)
        assert record.values["examples"] == 30
        assert record.values["relations"]["verb-subject"]["pairs"] > 0
    assert "score" not in records[0].values["features"]["pronoun"], "left out, not zero"
    assert records[0].values["features"]["pronoun"]["examples"] == 0
    assert "pronoun" not in set(features.scores(records[2:])["feature"])


def test_an_annotation_of_other_texts_is_refused(synthetic):
    made, _ = synthetic
    (rte,) = made.tasks
    right = annotated.of_task(made, rte)
    texts, encoded = right.make()
    wrong = Reading("rte", False, "x", "x", 64, lambda: (texts[::-1], encoded), made)
    with pytest.raises(BertstudyError, match="annotation of rte is not that of its examples"):
        _ = wrong.inputs


# Quantities, from records written by hand -------------------------------------------------------


def kind(score, null=0.0, cls=0.1, halves=None):
    found = {"examples": 3, "tokens": 5, "score": score, "null": [[null] * 2] * 4}
    found |= {"cls": [cls, cls], "cls_null": [0.1, 0.1]}
    return found | ({"halves": [{"score": h, "null": h} for h in halves]} if halves else {})


FLAT = [[0.1, 0.1]] * 4


def record(seed=None, nouns=(FLAT, FLAT), links=None, diagonal=None, data="rte", p=FLAT, **other):
    kinds = {name: kind(FLAT) for name in KINDS}
    kinds["[CLS]"] = kind([[0.4, 0.2], [0.2, 0.2], [0.1, 0.1], [0.1, 0.1]])
    kinds["[SEP]"] = kind([[0.1, 0.1], [0.1, 0.1], [0.3, 0.5], [0.6, 0.6]], cls=0.5)
    for name in ("noun", "object", "negation"):
        kinds[name] = kind(np.mean(nouns, axis=0).tolist(), halves=nouns)
    kinds |= other
    one = {"examples": 3, "pairs": 4, "score": links or FLAT, "null": FLAT, "p": p}
    values = {
        "examples": 3,
        "features": kinds,
        "relations": {"verb-subject": one, "noun-pronoun": {"examples": 0, "pairs": 0}},
        "neighbours": diagonal or FLAT,
    }
    recipe = {"data": {"name": data, "annotation": "by hand"}}
    if seed is not None:
        recipe["model"] = {"task": "rte", "seed": seed}
    return Record("linguistic_attention", recipe, values, {}, "computed")


def test_quantities_match_hand_worked_records():
    # On the first half head (3, 0) rises most, by .5, and by .1 on the second; there it is head
    # (0, 1), by .3, which falls by .1 on the first.
    first = [[0.1, 0.0], [0.1, 0.1], [0.1, 0.1], [0.6, 0.1]]
    second = [[0.1, 0.4], [0.1, 0.1], [0.1, 0.1], [0.2, 0.1]]
    links = [[0.9, 0.8], [0.7, 0.6], [0.5, 0.1], [0.1, 0.1]]
    diagonal = [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    records = [record(), record(0, (first, second), links, diagonal), record(data="stories")]
    table = features.quantities(records)
    both = {**table.set_index("quantity")["value"],
            **token_to_token.quantities(records).set_index("quantity")["value"]}  # fmt: skip
    nouns = np.mean([first, second])
    expected = {
        "cls_attention_early": 0.25,
        "cls_attention_late": 0.1,
        "sep_attention_early": 0.1,
        "sep_attention_late": 0.5,
        "sep_attention": 0.3,
        "word_attention_share": max(nouns, 0.1) / ((0.175 + 0.3) / 2),
        "noun_attention_increase": 0.0,  # (.1 - .1) / 2
        "object_attention_increase": 0.0,
        "negation_attention_increase": 0.0,
        "last_layer_sep_lead": 0.4,
        "last_layer_punctuation_lead": -0.4,
        "verb_subject_heads_diagonal": 4 / 5 - 1 / 2,
        "noun_pronoun_heads_diagonal": np.nan,
    }
    assert both == pytest.approx(expected, nan_ok=True)
    assert set(expected) <= set(secrets.QUANTITIES)


def test_a_half_without_the_kind_has_no_rise():
    nouns = kind(FLAT) | {"halves": [{"score": FLAT, "null": FLAT}, {"score": None, "null": None}]}
    found = features.noun_attention_increase([record(noun=nouns), record(0, noun=nouns)])
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("rise", "expected"), [(0.2, "holds"), (0.0, "undecided"), (-0.2, "fails")]
)
def test_planted_rises_are_judged_as_planted(rise, expected):
    rng = np.random.default_rng(0)

    def halves(by):
        made = rng.normal(0, 0.002, (2, 4, 2)) + 0.1
        made[:, 2, 1] += max(by, 0)
        made += min(by, 0)
        return made.tolist()

    records = [record(nouns=(FLAT, FLAT)), *(record(seed, halves(rise)) for seed in range(6))]
    found = reference.compare("secrets", "§4.4", features.quantities(records), {"rte": True})
    own = found[(found["quantity"] == "noun_attention_increase") & (found["task"] == "rte")]
    assert list(own["verdict"]) == [expected]


def test_heads_of_distance_coincide_with_diagonals_and_heads_above_it_do_not():
    diagonal = [[0.9, 0.9], [0.9, 0.9], [0.9, 0.1], [0.1, 0.1]]
    one = record(0, links=(np.array(diagonal) * 0.8).tolist(), diagonal=diagonal)
    null = np.array(one.values["relations"]["verb-subject"]["score"]).copy()
    null[2, 1:] -= 0.05  # what is more than distance is not diagonal
    null[3] -= 0.06
    one.values["relations"]["verb-subject"]["null"] = null.tolist()
    table = token_to_token.coincidence(token_to_token.links([one])).set_index("chosen_by")
    assert table.loc["score", "diagonal"] == pytest.approx(0.9 - 0.6)
    assert table.loc["null", "diagonal"] == pytest.approx(0.9 - 0.6)
    assert table.loc["null", "shared"] == 5
    assert table.loc["above", "diagonal"] == pytest.approx((2 * 0.9 + 3 * 0.1) / 5 - 0.6)


def test_heads_of_a_relation_pass_and_heads_of_distance_do_not():
    """Head 1 looks along the links, head 2 at that distance whatever the words are."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 0.1, (60, 1, 2, 1 + linguistic_attention.DRAWS))
    values[:, 0, 0, 0] += 0.1
    values[:, 0, 1] += 0.5
    values[::3] = np.nan  # without a link
    found = linguistic_attention.against_random_pairs(values)
    assert found["p"][0][0] < 0.05 < found["p"][0][1]
    there = values[~np.isnan(values[:, 0, 0, 0])]
    np.testing.assert_allclose(found["score"], there[..., 0].mean(0), atol=1e-5)
    np.testing.assert_allclose(found["null"], there[..., 1:].mean((0, 3)), atol=1e-5)


def test_heads_that_pass_are_counted_by_seed():
    links = [[0.9, 0.8], [0.7, 0.6], [0.5, 0.1], [0.1, 0.1]]
    one, other = [[0.01, 0.05], [0.6, 0.6], *FLAT[:2]], [[0.01, 0.06], [0.6, 0.6], *FLAT[:2]]
    records = [record(0, links=links, p=one), record(1, links=links, p=other)]
    (line,) = token_to_token.passing(token_to_token.links(records)).to_dict("records")
    assert (line["heads"], line["heads that pass"], line["models"]) == (8, "1.5", 2)
    assert (line["fewest"], line["most"], line["in most models"]) == (1, 2, 1)
    assert line["of the five highest"] == 1


def test_the_sections_claims_are_about_what_is_measured():
    for place, own in (("§4.4", features.QUANTITIES), ("§4.5", token_to_token.QUANTITIES)):
        claims = [c for c in reference.claims("secrets") if c.place.startswith(place)]
        assert claims
        for claim in claims:
            named = {claim.quantity, (claim.minus or claim.quantity).partition("@")[0]}
            assert named <= set(own)


# Figures, tables, the explorer --------------------------------------------------------------------


def test_figures_say_what_they_show(synthetic):
    _, records = synthetic
    scores, links = features.scores(records), token_to_token.links(records)
    special = figures.special_heads(scores)
    titles = [a.get_title() for a in special.axes if a.get_title()]
    assert titles == ["RTE\n2 seeds", "stories\npre-trained"]
    assert "[SEP]\nlayer (1-based)" in [a.get_ylabel() for a in special.axes]
    words = figures.word_heads(scores)
    assert any("no pronoun" in t.get_text() for a in words.axes for t in a.texts)
    assert words.axes[0].collections[0].get_clim()[0] == -words.axes[0].collections[0].get_clim()[1]
    table = token_to_token.last_layer(records)
    last = figures.last_layer(table)
    drawn = features.shown(table).groupby(["reading", "feature", "head"])["score"].mean()
    assert last.axes[0].collections[0].get_clim() == pytest.approx((0, drawn.max()))
    assert last.axes[0].get_xlabel() == "head (1-based)"
    assert [t.get_text() for t in last.axes[0].get_xticklabels()] == list("123456")
    for figure in (
        figures.against_null(scores),
        figures.changed_attention(features.changes(scores)),
        figures.diagonals(links),
        figures.coincidence(token_to_token.coincidence(features.shown(links))),
    ):
        assert all(axis.get_xlabel() for axis in figure.axes)
    assert plt.get_fignums() == []


def test_tables_are_of_readings_and_kinds(synthetic):
    _, records = synthetic
    beyond = features.beyond_chance(features.scores(records))
    assert set(beyond["reading"]) == {"RTE", "stories, pre-trained"}
    rises = features.rises(records).set_index("kind")
    assert rises.loc["noun", "held out"].startswith("+0.0000")
    assert "pronoun" not in rises.index
    counted = token_to_token.counts(records)
    assert list(counted["kind"]) == list(RELATIONS)
    assert [title.partition(":")[0] for title in counted] == ["kind", "rte", "stories"]
    assert list(dict.fromkeys(features.scores(records[1:2])["feature"])) == list(KINDS)
    assert token_to_token.strongest_link(token_to_token.links(records), "none of it") == (0, 0)


@pytest.fixture(scope="module")
def page_data(synthetic):
    return feature_data(*synthetic, examples=2)


def test_feature_explorer_needs_its_data(page_data):
    page = PageData(page_data.maps.values())
    with pytest.raises(BertstudyError, match="unknown task"):
        FeatureExplorer(page_data, task="mrpc")
    with pytest.raises(BertstudyError, match="needs page data with a feature map"):
        FeatureExplorer(page)


@pytest.mark.browser
def test_the_feature_map_shows_the_numbers_of_the_records(
    synthetic, page_data, page: Watched, tmp_path
):
    (_, records), data = synthetic, page_data
    path = write_page(tmp_path, data, FeatureExplorer(data, kind="noun"))
    page.page.goto(path.as_uri())
    explorer = page.page.get_by_role("region", name="Feature explorer")
    explorer.locator("canvas.cells").first.wait_for()
    nouns = records[2].values["features"]["noun"]

    def shown(layer, head):
        cell = explorer.get_by_role("gridcell", name=f"layer {layer + 1}, head {head + 1}:")
        cell.click()
        return float(cell.get_attribute("title").split(": ")[1].replace("−", "-"))

    assert shown(3, 2) == pytest.approx(nouns["score"][3][2], abs=0.0006)
    assert "Layer 4, head 3: noun" in explorer.locator("h4").inner_text()
    marked = explorer.locator(".rows").first.locator(".marked").all_inner_texts()
    assert len(marked) == len(data.more["features"]["RTE"]["marks"][0]["noun"])
    explorer.get_by_label("minus as many random words").check()
    assert shown(1, 4) == pytest.approx(nouns["score"][1][4] - nouns["null"][1][4], abs=0.0006)
    explorer.get_by_label("difference").check()
    assert shown(0, 0) == 0  # nothing was trained
    explorer.get_by_label("Kind of token").select_option("[SEP]")
    explorer.get_by_label("Task").select_option("stories, pre-trained")
    assert explorer.locator("input[value=difference]").is_hidden()
    assert shown(5, 5) is not None
    page.assert_quiet("file://")
