"""§4.3 of Dark Secrets: cosines of maps against a plain loop, and what is made of them."""

import dataclasses
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from models import FAMILIES, LENGTHS, SENTENCES, alone, examples, inputs, lay_out, tiny

from bertstudy import figures, reference, streaming, study
from bertstudy.attention import (
    AdditiveMask,
    UniformHeads,
    all_heads,
    attention_modules,
    edited,
    edits_of,
)
from bertstudy.editions import edition
from bertstudy.encoder import predict
from bertstudy.errors import BertstudyError
from bertstudy.figures.change import COMPARED
from bertstudy.papers import secrets
from bertstudy.papers.secrets import change
from bertstudy.papers.secrets.change import map_cosines
from bertstudy.store import Record, Store
from bertstudy.tasks import task

every_family = pytest.mark.parametrize("family", FAMILIES)
NEAR = {"rtol": 0, "atol": 1e-6}  # cosines are kept in float32
ROUNDED = {"rtol": 0, "atol": 1.1e-5}  # records keep five decimals


# Cosines of maps ------------------------------------------------------------------------------


def plain_loop(family, rows, whole=False):
    """Stock transformers, one example, layer and pair of heads at a time."""
    models = [tiny(family, implementation="eager", seed=seed) for seed in (0, 1)]
    found = []
    for row in range(len(LENGTHS)):
        one = {n: t[row : row + 1] for n, t in rows.items()} if whole else alone(rows, row)
        with torch.no_grad():
            both = [model.base_model(**one, output_attentions=True).attentions for model in models]
        layers = zip(*both, strict=True)
        found.append([[[cosine(a, b) for b in new[0]] for a in old[0]] for old, new in layers])
    return np.array(found)


def cosine(first, second):
    a, b = first.flatten(), second.flatten()
    return float(a @ b / (a.norm() * b.norm()))


@every_family
def test_cosines_equal_a_plain_loop_over_stock_models(family):
    found = map_cosines(tiny(family, seed=0), tiny(family, seed=1), examples(family))
    expected = plain_loop(family, inputs(family))
    assert found.shape == expected.shape == (4, 6, 4, 4)
    np.testing.assert_allclose(found, expected, **NEAR)
    assert np.ptp(expected) > 0.3, "the maps must differ for this to say anything"


@every_family
def test_whole_padded_maps_equal_a_plain_loop_with_padding(family):
    found = map_cosines(tiny(family, seed=0), tiny(family, seed=1), examples(family), length=20)
    expected = plain_loop(family, inputs(family, length=20), whole=True)
    np.testing.assert_allclose(found, expected, **NEAR)
    cropped = plain_loop(family, inputs(family))
    assert np.abs(cropped - expected).max() > 0.01, "rows of padding must count"


def test_uniform_beside_diagonal_maps_by_hand():
    """1/L everywhere beside the identity: Σᵢ 1/L ÷ (1 · √L) = 1/√L."""
    uniform, diagonal = tiny("bert", 2, seed=0), tiny("bert", 2, seed=1)
    only_itself = torch.full((12, 12), -torch.inf).fill_diagonal_(0)
    everywhere = UniformHeads(all_heads(0, 4) + all_heads(1, 4))
    with edited(uniform, everywhere), edited(diagonal, AdditiveMask(only_itself)):
        found = map_cosines(uniform, diagonal, examples("bert", (4, 9, 1)))
    for row, expected in zip(found, (1 / 2, 1 / 3, 1.0), strict=True):
        np.testing.assert_allclose(row, expected, **NEAR)


@every_family
def test_a_model_is_like_itself(family):
    model = tiny(family)
    found = map_cosines(model, model, examples(family))
    np.testing.assert_allclose(found.diagonal(axis1=2, axis2=3), 1, **NEAR)
    np.testing.assert_allclose(found, found.swapaxes(2, 3), **NEAR)


@every_family
def test_cosines_are_symmetric_and_between_0_and_1(family):
    first, second, data = tiny(family, seed=0), tiny(family, seed=1), examples(family)
    found = map_cosines(first, second, data)
    np.testing.assert_allclose(found, map_cosines(second, first, data).swapaxes(2, 3), **NEAR)
    assert found.min() > 0
    assert found.max() < 1 + 1e-6


@every_family
def test_neither_padding_nor_the_size_of_batches_matters(family, monkeypatch):
    first, second = tiny(family, seed=0), tiny(family, seed=1)
    together = map_cosines(first, second, examples(family))  # padded to the longest
    monkeypatch.setattr(change, "WEIGHTS", {"cpu": 1})  # one example a batch: no padding at all
    np.testing.assert_allclose(map_cosines(first, second, examples(family)), together, **NEAR)


def test_one_token_attends_to_itself_whatever_the_model():
    found = map_cosines(tiny("bert", seed=0), tiny("bert", seed=1), examples("bert", (1,)))
    np.testing.assert_allclose(found, 1, **NEAR)


def test_what_cannot_be_compared_is_named():
    model, data = tiny("bert", 2), examples("bert")
    with pytest.raises(BertstudyError, match="2 × 4 heads cannot be compared with 3 × 4"):
        map_cosines(model, tiny("bert", 3), data)
    with pytest.raises(BertstudyError, match="12 word pieces: it cannot be padded to 11"):
        map_cosines(model, model, data, length=11)
    with pytest.raises(BertstudyError, match="no examples"):
        map_cosines(model, model, examples("bert", ()))
    with pytest.raises(BertstudyError, match="does not use the seam"):
        map_cosines(model, tiny("bert", 2, implementation="eager"), data)
    assert not any(map(edits_of, attention_modules(model))), "the model must come back as it was"


# Records ----------------------------------------------------------------------------------------


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """The mini checkpoint, a dozen examples, and fine-tuning that leaves the weights alone."""
    train_with(monkeypatch, lambda model: None)
    return study_of(SENTENCES, tmp_path)


def study_of(texts, folder):
    """RTE at `mini` on a dozen pairs of these texts, with an empty store."""
    rows = {
        "sentence1": [texts[n % len(texts)] for n in range(12)],
        "sentence2": [texts[n * n % len(texts)] for n in range(12)],
        "label": [int(n % 3 == 0) for n in range(12)],
    }
    source = lay_out(folder / "hub", "rte", train=rows, validation=rows)
    made = study.Study(edition("mini", source), ("rte",), (0, 1))
    made.store = Store(folder / "store")
    return made


def train_with(monkeypatch, step):
    def fine_tune(model, *_, **__):
        with torch.no_grad():
            step(model)
        return {"epochs": [{"validation": {"accuracy": 0.0}}], "steps": 0}

    monkeypatch.setattr(study, "fine_tune", fine_tune)


def in_layer(index):
    """Training that changes what one layer attends to, and nothing else."""

    def step(model):
        query = model.base_model.encoder.layer[index].attention.self.query
        draw = torch.Generator().manual_seed(0)
        query.weight += torch.randn(query.weight.shape, generator=draw)

    return step


@pytest.mark.parametrize("start", study.STARTS)
def test_without_training_nothing_has_changed(opened, start):
    (rte,) = opened.tasks
    found = change.change(opened, rte, 0, start).values
    assert found["examples"] == 12
    # The start must be that which training had.
    np.testing.assert_allclose(found["cosine"], np.ones((6, 6)), **ROUNDED)
    assert len(found["others"]) == 6
    assert max(found["others"]) < 1


def test_a_change_of_one_layer_leaves_those_before_it_and_reaches_those_after(opened, monkeypatch):
    train_with(monkeypatch, in_layer(4))
    (rte,) = opened.tasks
    for padded in (False, True):
        layers = np.mean(change.change(opened, rte, 0, padded=padded).values["cosine"], axis=1)
        np.testing.assert_allclose(layers[:4], 1, **ROUNDED)
        assert (layers[4:] < 0.999).all()


def test_two_seeds_from_one_encoder_differ_by_what_training_did(opened, monkeypatch):
    (rte,) = opened.tasks
    same = change.between_seeds(opened, rte, 1, other=0)
    np.testing.assert_allclose(same.values["cosine"], 1, **ROUNDED)
    opened.store = Store(opened.store.folder.parent / "another")
    opened.fine_tuned(rte, 0)
    train_with(monkeypatch, in_layer(2))
    other = change.between_seeds(opened, rte, 1, other=0)
    assert np.mean(other.values["cosine"][2]) < 0.999
    assert other.key == same.key


def test_untrained_heads_are_other_ones_for_each_seed(opened):
    (rte,) = opened.tasks
    heads = [change.untrained(opened, rte, seed).values["scores"] for seed in (0, 1)]
    assert [len(h) for h in heads] == [change.UNTRAINED_HEADS] * 2
    accuracies = {scores["accuracy"] for some in heads for scores in some}
    assert len(accuracies) > 1, "heads must differ"
    assert all(0 <= accuracy <= 100 for accuracy in accuracies)


def test_a_seed_needs_no_model_of_a_later_one(opened):
    made = change.records(opened)
    pairs = [
        (r.recipe["model"]["seed"], r.recipe["other"])
        for r in made
        if r.measurement == "attention_between_seeds"
    ]
    assert pairs == [(1, 0)]
    again = change.records(opened)
    assert {r.origin for r in again} == {"stored"}
    assert [r.values for r in again] == [r.values for r in made]
    paths = [(r.measurement, r.key) for r in made]
    assert len(set(paths)) == len(paths) == 2 * 6 + 1


def test_a_large_set_is_sampled_in_order_and_the_same_way_again():
    data = examples("bert", tuple(range(1, 30)))
    some = data.take(streaming.sample(len(data), 10))
    assert len(some) == 10
    assert list(some.lengths) == sorted(set(some.lengths)), "drawn once each, in their order"
    assert some.ids == data.take(streaming.sample(len(data), 10)).ids
    for ids, segments, label in zip(some.ids, some.segments, some.labels, strict=True):
        row = len(ids) - 1
        assert (ids, segments) == (data.ids[row], data.segments[row])
        assert label == data.labels[row]
    assert streaming.sample(29, 29).tolist() == list(range(29))


# Tables and quantities, from records written by hand ---------------------------------------------


def record(measurement, values, seed=0, start="pretrained", task="rte", **recipe):
    recipe = {"model": {"task": task, "seed": seed, "start": start}} | recipe
    return Record(measurement, recipe, values, {}, "computed")


def maps(cosine, others=0.5, **recipe):
    recipe = {"padded_to": None} | recipe
    values = {"cosine": cosine, "others": [others] * len(cosine), "examples": 3}
    return record("attention_change", values, **recipe)


def scored(score, start="pretrained", seed=0):
    values = {"scores": {"accuracy": score}, "majority": {"accuracy": 50.0}, "examples": 3}
    return record("scores", values, seed, start)


LATE = [[1.0, 1.0], [1.0, 0.8], [0.7, 0.5], [0.4, 0.4]]  # layers: 1, .9, .6, .4
EARLY = LATE[::-1]


@pytest.fixture
def page():
    """Two seeds: the late layers changed in one, the early layers in the other."""
    made = []
    for seed, cosine in enumerate((LATE, EARLY)):
        made += [
            maps(cosine, seed=seed),
            maps([[1.0, 1.0]] * 4, seed=seed, padded_to=128),
            maps([[0.9, 0.9]] * 4, others=0.9, seed=seed, start="scratch"),
            record("untrained_head", {"scores": [{"accuracy": 40.0}, {"accuracy": 60.0}]}, seed),
            scored(52.0 + seed, "scratch", seed),
            scored(70.0, seed=seed),
        ]
    values = {"cosine": LATE, "others": [0.5] * 4, "examples": 3}
    return [*made, record("attention_between_seeds", values, seed=1, other=0)]


def test_quantities_match_hand_worked_records(page):
    table = change.quantities(page).set_index(["quantity", "seed"])["value"]
    expected = {
        "last_layers_cosine_minus_rest": (-0.45, 0.45),  # .5 - .95 and back
        "last_layers_cosine_minus_lowest": (-0.3, 0.6),  # .6 - .9, 1 - .4
        "untrained_score": (50.0, 50.0),
        "scratch_score": (52.0, 53.0),
        "pretrained_score": (70.0, 70.0),
        "pretraining_gain": (18.0, 17.0),
        "frozen_minus_random_start": (-2.0, -3.0),
    }
    assert set(expected) == set(change.QUANTITIES)
    assert set(change.QUANTITIES) < set(secrets.QUANTITIES)
    for name, values in expected.items():
        assert tuple(table[name]) == pytest.approx(values), name


def test_quantities_keep_tasks_apart(page):
    other = [
        dataclasses.replace(r, recipe=r.recipe | {"model": r.recipe["model"] | {"task": "mrpc"}})
        for r in page
    ]
    table = change.quantities(page + other)
    assert table.groupby("task").size().to_dict() == {"rte": 14, "mrpc": 14}


def test_a_model_of_two_layers_has_no_rest():
    assert np.isnan(change.last_layers_cosine_minus_rest([maps(LATE[:2])])).all()
    assert np.isnan(change.last_layers_cosine_minus_lowest([maps(LATE[:2])])).all()


def test_changes_are_tidy_and_keep_comparisons_apart(page):
    table = change.changes(page)
    assert set(table["comparison"]) == set(change.COMPARISONS)
    assert len(table) == 7 * 4 * 2
    one = table.query("comparison == 'fine-tuning' and seed == 0 and layer == 2 and head == 1")
    assert one["cosine"].item() == 0.5
    means = table.groupby("comparison")["cosine"].mean()
    assert means["padded"] == 1.0
    assert means["random start"] == pytest.approx(0.9)


def test_contrasts_have_a_line_a_comparison(page):
    table = change.contrasts(page).set_index("comparison")
    line = table.loc[change.COMPARISONS["fine-tuning"]]
    assert line["same head"] == pytest.approx(0.725)
    assert line["other head of the layer"] == 0.5
    assert line["last two layers minus rest"] == pytest.approx(0)
    assert line["sd"] == pytest.approx(np.std([-0.45, 0.45], ddof=1))
    assert line["seeds"] == 2
    assert table.loc[change.COMPARISONS["two seeds"], "seeds"] == 1
    assert f"{change.COMPARISONS['padded']} to 128 word pieces" in table.index


def test_the_most_changed_head_is_that_of_the_mean_over_seeds(page):
    assert change.most_changed(change.changes(page[:1]), "rte") == (3, 0)
    third = maps([[1.0, 1.0], [1.0, 1.0], [0.1, 1.0], [1.0, 1.0]], seed=2)
    assert change.most_changed(change.changes([*page, third]), "rte") == (2, 0)


@pytest.mark.parametrize(
    ("cosines", "expected"),
    [([LATE] * 6, "holds"), ([EARLY] * 6, "fails"), ([LATE, EARLY] * 3, "undecided")],
)
def test_a_planted_change_is_judged_as_planted(page, cosines, expected):
    """Figure 5's claim, from records to its verdict."""
    rest = [r for r in page if r.recipe["model"]["seed"] == 0 and not is_change(r)]
    made = [maps(cosine, seed=seed) for seed, cosine in enumerate(cosines)]
    for seed in range(len(cosines)):
        recipes = [r.recipe | {"model": r.recipe["model"] | {"seed": seed}} for r in rest]
        made += [dataclasses.replace(r, recipe=k) for r, k in zip(rest, recipes, strict=True)]
    found = reference.compare("secrets", "§4.3", change.quantities(made), {"rte": True})
    claim = found[found["quantity"] == "last_layers_cosine_minus_rest"]
    assert list(claim["verdict"]) == [expected]


def is_change(record):
    return record.measurement.startswith("attention")


def test_the_sections_claims_are_about_what_is_measured():
    claims = [c for c in reference.claims("secrets") if c.place.startswith("§4.3")]
    assert claims
    for claim in claims:
        assert {claim.quantity, claim.minus or claim.quantity} <= set(change.QUANTITIES)


def test_an_untrained_head_is_right_as_often_as_chance_on_average_over_its_rows():
    """What the page says of Table 1's first column: exactly 100/K, whatever the encoder."""
    model, data, mnli = tiny("bert", outputs=3), examples("bert"), task("mnli")
    rows = model.classifier.weight.detach().clone()
    torch.nn.init.zeros_(model.classifier.bias)
    scores = []
    for order in permutations(range(3)):
        model.classifier.weight.data = rows[list(order)]
        scores.append(data.score(predict(model, data), mnli)["accuracy"])
    assert np.mean(scores) == pytest.approx(100 / 3)
    assert np.ptp(scores) > 0


# Figures ------------------------------------------------------------------------------------------


def test_heads_are_coloured_on_one_scale_from_0_to_1(page):
    figure = figures.changed_heads(change.changes(page))
    panel, bar = figure.axes
    assert panel.collections[0].get_clim() == (0, 1)
    # Head 1 and head 2 of layer 1: the mean of both seeds.
    assert list(panel.collections[0].get_array().ravel()[:2]) == pytest.approx([0.7, 0.7])
    assert [t.get_text() for t in panel.get_yticklabels()] == ["1", "2", "3", "4"]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("head (1-based)", "layer (1-based)")
    assert panel.get_title() == "RTE, 2 seeds"
    assert bar.get_ylabel() == "mean cosine"
    assert plt.get_fignums() == []


def test_layers_show_what_they_must_be_held_against(page):
    figure = figures.changed_layers(change.changes(page))
    (axis,) = figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("layer (1-based)", "mean cosine")
    assert list(axis.get_xticks()) == [1, 2, 3, 4]
    (legend,) = figure.legends
    said = {text.get_text() for text in legend.get_texts()}
    drawn = {change.COMPARISONS[name] for name in COMPARED}
    assert said == drawn | {"different heads of the layer"}
    floors = [line.get_ydata() for line in axis.lines if line.get_linestyle() == ":"]
    assert sorted(float(f[0]) for f in floors if len(f)) == pytest.approx([0.5, 0.9])


def test_one_seed_draws_what_there_is(page):
    alone_ = [r for r in page if r.recipe["model"]["seed"] == 0]
    (legend,) = figures.changed_layers(change.changes(alone_)).legends
    assert change.COMPARISONS["two seeds"] not in [t.get_text() for t in legend.get_texts()]


def test_the_three_models_of_table_1_have_a_rung_each(page):
    table = change.starting_points(page)
    assert table.to_dict("records") == [
        {"task": "rte", "metric": "accuracy", "majority": 50.0, "untrained": [50.0, 50.0],
         "scratch": [52.0, 53.0], "pretrained": [70.0, 70.0]}
    ]  # fmt: skip
    (legend,) = figures.ladder(table, figures.STARTS).legends
    labels = [label for label, _, _ in figures.STARTS.values()]
    assert [t.get_text() for t in legend.get_texts()] == labels
