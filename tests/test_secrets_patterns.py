"""§4.1 of Dark Secrets: labelled maps, two classifiers, and what they say of a model's maps."""

import numpy as np
import pandas as pd
import pytest
import torch
from browser import Watched
from models import FAMILIES, alone, examples, inputs, lay_out, tiny
from torch.nn import functional as F

from bertstudy import figures, reference, study
from bertstudy.editions import edition
from bertstudy.errors import BertstudyError
from bertstudy.papers import secrets
from bertstudy.papers.secrets import labelled_maps, pattern_classifiers, patterns
from bertstudy.papers.secrets.labelled_maps import COLUMNS, PATTERNS, LabelledMaps
from bertstudy.papers.secrets.pattern_classifiers import SIDE, Training, images, resampler
from bertstudy.store import Record, Store
from bertstudy.widgets import AttentionMaps, Example, LabellingTool, PageData, PatternGallery

every_family = pytest.mark.parametrize("family", FAMILIES)


# Labelled maps ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    return labelled_maps.load()


def test_the_shipped_maps_are_what_the_page_says(shipped):
    table = shipped.table
    assert list(table) == COLUMNS
    assert len(table) >= 400
    assert table["id"].is_unique
    assert (table["label"].isin(PATTERNS)).all()
    assert (table["again"] != "").sum() == 100
    assert table["length"].between(labelled_maps.SHORTEST, labelled_maps.LONGEST).all()
    assert ((table["second"] >= 0) & (table["second"] < table["length"])).all()
    for found, peak in zip(shipped.maps, table["peak"], strict=True):
        assert found.max() == pytest.approx(peak, abs=1e-5)
        # Every weight was rounded to a 255th of the peak.
        np.testing.assert_allclose(found.sum(1), 1, atol=len(found) * peak / 510 + 1e-4)
    heads = {name: own[["layer", "head"]].value_counts() for name, own in table.groupby("task")}
    assert heads["cola"].to_dict() == heads["sst2"].to_dict()
    assert len(heads["cola"]) == 70
    size = sum(path.stat().st_size for path in labelled_maps.FOLDER.glob("*.safetensors"))
    assert size < 1_000_000


def test_kappa_is_that_of_the_formula(shipped):
    kappa, table = labelled_maps.agreement(shipped)
    shares = table.to_numpy() / table.to_numpy().sum()
    observed, chance = shares.trace(), (shares.sum(0) * shares.sum(1)).sum()
    assert kappa == pytest.approx((observed - chance) / (1 - chance))
    assert table.to_numpy().sum() == 100


def planted(count, seed=0, label=True):
    """Maps that nobody could mistake, ``count`` of each pattern, 8 to 20 tokens."""
    rng = np.random.default_rng(seed)
    rows, maps = [], []
    for pattern in PATTERNS:
        for _ in range(count):
            length = int(rng.integers(8, 21))
            second = int(rng.integers(3, length - 3))
            maps.append(plant(pattern, length, second, rng))
            rows.append({"length": length, "second": second, "label": pattern if label else ""})
    table = pd.DataFrame(rows).assign(again="", id=range(len(rows)), peak=0.0)
    for name in COLUMNS:
        if name not in table:
            table[name] = range(len(table))
    return LabelledMaps(table[COLUMNS], maps)


def plant(pattern, length, second, rng):
    weights = rng.uniform(0.02, 0.06, (length, length))
    if "Vertical" in pattern:
        weights[:, rng.integers(length)] += 1
    if "Diagonal" in pattern:
        weights += np.eye(length, k=int(rng.integers(-1, 2)))
    if pattern == "Block":
        weights[:second, :second] += 0.5
        weights[second:, second:] += 0.5
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def test_what_is_saved_is_loaded(tmp_path):
    made = planted(2)
    labelled_maps.save(made, tmp_path)
    found = labelled_maps.load(tmp_path)
    assert list(found.table["label"]) == list(made.table["label"])
    for one, other in zip(found.maps, made.maps, strict=True):
        np.testing.assert_allclose(one, other, atol=other.max() / 510 + 1e-6)


def test_what_does_not_fit_is_named():
    made = planted(1)
    with pytest.raises(BertstudyError, match="'Round' is no pattern; allowed: Vertical"):
        LabelledMaps(made.table.assign(label="Round"), made.maps)
    with pytest.raises(BertstudyError, match="5 rows but 4 maps"):
        LabelledMaps(made.table, made.maps[1:])
    with pytest.raises(BertstudyError, match="shape"):
        LabelledMaps(made.table.assign(length=7), made.maps)
    with pytest.raises(BertstudyError, match="5 maps have no label yet"):
        assert planted(1, label=False).targets
    with pytest.raises(BertstudyError, match="labelled twice"):
        labelled_maps.agreement(made)


@pytest.fixture
def opening(tmp_path, monkeypatch):
    """Opens a task on a dozen pairs: the mini checkpoint, fine-tuning leaves the weights alone."""
    texts = [f"the dog saw the {word}" for word in ("cat", "bird", "house", "man")]
    rows = {
        "sentence1": [texts[n % 4] for n in range(12)],
        "sentence2": [texts[n * n % 4] for n in range(12)],
        "label": [int(n % 3 == 0) for n in range(12)],
    }
    result = {"epochs": [{"validation": {"accuracy": 0.0}}], "steps": 0}
    monkeypatch.setattr(study, "fine_tune", lambda *_, **__: result)

    def open_task(name):
        source = lay_out(tmp_path / "hub", name, train=rows, validation=rows)
        made = study.Study(edition("mini", source), (name,), (0, 1))
        made.store = Store(tmp_path / "store")
        return made

    return open_task


@pytest.fixture
def opened(opening):
    return opening("rte")


def test_drawn_maps_are_those_of_the_model(opened):
    found = labelled_maps.draw(opened, 5)
    model, data = (
        opened.fine_tuned(opened.tasks[0], 0),
        opened.encoded(opened.tasks[0], "validation"),
    )
    assert len(found) == 5
    for row, weights in zip(found.table.itertuples(), found.maps, strict=True):
        model.set_attn_implementation("eager")
        with torch.no_grad():
            batch = data.batch([row.row])
            all_maps = model.base_model(**batch, output_attentions=True).attentions
        np.testing.assert_allclose(weights, all_maps[row.layer][0, row.head], atol=1e-5)
        assert data.ids[row.row][row.second - 1] == opened.tokenizer.sep_token_id
    again = labelled_maps.draw(opened, 5)
    assert again.table.equals(found.table)
    other = labelled_maps.draw(opened, 5, seed=1)
    assert not other.table.equals(found.table)
    one = labelled_maps.draw(opened, 5, heads=[(2, 3)]).table
    assert set(zip(one["layer"], one["head"], strict=True)) == {(2, 3)}


def test_two_tasks_are_drawn_from_different_heads_also_in_studies_of_their_own(opening):
    drawn = [labelled_maps.draw(opening(name), 10).table for name in ("rte", "mrpc")]
    one, other = (sorted(zip(table["layer"], table["head"], strict=True)) for table in drawn)
    assert one != other


@pytest.mark.parametrize(
    ("pieces", "second"),
    [
        ("[CLS] a dog [SEP]", 0),
        ("[CLS] a dog [SEP] a cat [SEP]", 4),
        ("[CLS] a dog [SEP] [SEP]", 4),  # the second text is empty
        ("<s> a dog </s>", 0),
        ("<s> a dog </s> </s> a cat </s>", 5),
        ("<s> a dog </s> </s> </s>", 5),
    ],
)
def test_a_second_segment_begins_after_the_separators_of_either_family(pieces, second):
    tokens = pieces.split()
    assert labelled_maps.second_segment(tokens) == second
    ids = [sorted(set(tokens)).index(token) for token in tokens]
    assert labelled_maps.second_segment(ids) == second


def test_a_second_segment_begins_where_token_types_say(opened):
    data = opened.encoded(opened.tasks[0], "validation")
    for ids, segments in zip(data.ids, data.segments, strict=True):
        assert labelled_maps.second_segment(ids) == segments.index(1)


# Classifiers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 8, 31, 32, 33, 48])
def test_a_resized_map_is_that_of_the_library(length):
    rng = torch.Generator().manual_seed(length)
    weights = torch.rand(length, length, generator=rng).softmax(-1)
    padding = torch.nn.functional.pad(weights, (0, 5, 0, 5))
    is_token = torch.arange(length + 5)[None] < length
    expected = F.interpolate(
        weights.sqrt()[None, None], (SIDE, SIDE), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(images(padding[None, None], is_token), expected)
    torch.testing.assert_close(resampler(length).sum(-1), torch.ones(SIDE))


def test_rows_of_padding_queries_are_not_seen():
    weights = torch.rand(2, 3, 9, 9).softmax(-1)
    is_token = torch.tensor([[True] * 9, [True] * 6 + [False] * 3])
    other = weights.clone()
    other[1, :, 6:] = 0.5
    assert torch.equal(images(weights, is_token), images(other, is_token))


def statistics(weights, second=0, padding=0):
    """`pattern_classifiers.statistics` of one map, by name."""
    weights = torch.as_tensor(weights, dtype=torch.float32)
    is_token = torch.arange(len(weights) + padding)[None] < len(weights)
    weights = F.pad(weights, (0, padding, 0, padding), value=0.3)  # what padding holds is not read
    found = pattern_classifiers.statistics(weights[None, None], is_token, torch.tensor([second]))
    return dict(zip(pattern_classifiers.STATISTICS, found[0, 0].tolist(), strict=True))


def test_statistics_match_hand_worked_maps():
    even = statistics(torch.full((5, 5), 0.2), second=2)
    assert even == pytest.approx(dict.fromkeys(even, 0.0) | {"entropy": 1.0}, abs=1e-5)

    # Every token looks at itself alone: columns of 1/8; 4, 5, 6, 7, 7, 6, 5, 4 tokens are near.
    itself = statistics(torch.eye(8))
    expected = dict.fromkeys(itself, 0.0) | {"line": 7 / 8, "band": 1 - 5.5 / 8}
    assert itself == pytest.approx(expected, abs=1e-5)
    moved = statistics(torch.eye(8).roll(1, 1))  # the next token; the last one looks at the first
    assert moved["line"] == pytest.approx(7 / 8)

    # Every token looks at the third: each row is the mean row.
    third = statistics(F.one_hot(torch.full((8,), 2), 8), second=4)
    expected = dict.fromkeys(third, 0.0) | {"column": 7 / 8, "columns": 5 / 8, "steady": 1.0}
    assert third == pytest.approx(expected, abs=1e-5)

    # Two segments of two, each evenly over its own: 1 within, where the columns alone give 1/2.
    squares = torch.block_diag(torch.full((2, 2), 0.5), torch.full((2, 2), 0.5))
    assert statistics(squares, second=2)["block"] == pytest.approx(0.5)
    assert statistics(squares)["block"] == 0
    assert statistics(squares)["entropy"] == pytest.approx(0.5)  # log 2 ÷ log 4


@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_padding_changes_no_statistic(length):
    weights = torch.rand(length, length).softmax(-1)
    assert statistics(weights, length // 2, 7) == pytest.approx(
        statistics(weights, length // 2), abs=1e-5
    )


def test_rules_find_planted_patterns_and_say_themselves():
    rules = pattern_classifiers.Rules.fit(planted(20))
    assert accuracy(rules, planted(20, seed=1)) > 0.9
    assert "line" in str(rules)
    assert "class: Block" in str(rules)


QUICK = Training(epochs=12, learning_rate=5e-3)


def accuracy(classifier, labelled):
    found = classifier.probabilities(*pattern_classifiers.padded(labelled))[:, 0].argmax(-1)
    return float((found.numpy() == labelled.targets).mean())


def test_the_network_learns_planted_patterns_and_nothing_from_shuffled_labels():
    made, unseen = planted(40), planted(20, seed=1)
    network = pattern_classifiers.train(made, 0, QUICK)
    assert accuracy(network, unseen) > 0.9
    shuffled = np.random.default_rng(0).permutation(made.table["label"])
    null = LabelledMaps(made.table.assign(label=shuffled), made.maps)
    network = pattern_classifiers.train(null, 0, QUICK)
    assert accuracy(network, unseen) < 0.45, "chance is a fifth"


def test_a_network_is_the_same_for_the_same_seed_and_leaves_others_draws_alone():
    made = planted(4)
    short = Training(epochs=1)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = pattern_classifiers.train(made, 3, short).state_dict()
    assert torch.rand(1) == expected
    second = pattern_classifiers.train(made, 3, short).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    convolutions = [n for n in first if n.endswith("weight") and first[n].ndim == 4]
    assert len(convolutions) == 8, "as many as the paper's"


def test_the_shipped_network_was_trained_on_the_shipped_labels(shipped, tmp_path):
    network = pattern_classifiers.load_network(shipped)
    assert accuracy(network, shipped) > 0.8
    with pytest.raises(BertstudyError, match="make_network"):
        pattern_classifiers.load_network(shipped.take(range(10)))
    path = tmp_path / "network.safetensors"
    pattern_classifiers.save_network(network, shipped, 0, path)
    again = pattern_classifiers.load_network(shipped, path).state_dict()
    assert all(torch.equal(value, again[n]) for n, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["network", "rules"])
def test_an_even_map_is_heterogeneous(shipped, name):
    classifier = pattern_classifiers.fitted(name, shipped)
    for length in (10, 20, 40):
        even = torch.full((1, 1, length, length), 1 / length)
        found = classifier.probabilities(even, torch.ones(1, length).bool(), torch.tensor([5]))
        assert PATTERNS[found[0, 0].argmax()] == "Heterogeneous"


# Streaming ----------------------------------------------------------------------------------------


class ByLargest:
    """A classifier by hand: the pattern is where the largest weight lies, modulo five."""

    def probabilities(self, probs, is_token, second):
        real = probs * is_token[:, None, :, None]
        index = (real.flatten(2).argmax(-1) % real.size(-1) + second[:, None]) % len(PATTERNS)
        return F.one_hot(index, len(PATTERNS)).float()


@every_family
def test_streaming_names_what_a_plain_loop_over_stock_models_names(family):
    data, rows = examples(family), inputs(family)
    found, confidence = patterns.classify(tiny(family), data, ByLargest())
    stock = tiny(family, implementation="eager")
    for row in range(len(data)):
        one = alone(rows, row)
        with torch.no_grad():
            attentions = stock.base_model(**one, output_attentions=True).attentions
        second = labelled_maps.second_segment(data.ids[row])
        expected = [
            [(int(head.argmax()) % head.size(-1) + second) % len(PATTERNS) for head in layer[0]]
            for layer in attentions
        ]
        assert found[row].tolist() == expected
    assert (confidence == 1).all()


def test_the_network_streamed_is_the_network_on_each_map_alone(shipped):
    classifier = pattern_classifiers.fitted("network", shipped)
    data, model = examples("bert"), tiny("bert")
    found, confidence = patterns.classify(model, data, classifier)
    for row in range(len(data)):
        one, sure = patterns.classify(model, data.take(np.array([row])), classifier)
        np.testing.assert_allclose(confidence[row], sure[0], atol=1e-5)
        assert (found[row] == one[0]).mean() > 0.95, "but for ties"


@pytest.mark.parametrize("name", pattern_classifiers.FITS)
def test_a_record_counts_every_map(opened, name):
    (rte,) = opened.tasks
    record = patterns.patterns(opened, rte, 0, name)
    counts = np.array(record.values["counts"])
    assert counts.shape == (6, 6, len(PATTERNS))
    assert (counts.sum(-1) == record.values["examples"]).all()
    assert (np.array(record.values["uncertain"]) <= record.values["examples"]).all()
    assert patterns.patterns(opened, rte, 0, name).origin == "stored"


# Judging, tables and quantities, from records written by hand -------------------------------------


def test_every_map_is_judged_by_a_classifier_that_has_not_seen_it():
    made, seen = planted(10), []

    def fit(labelled, seed):
        seen.append(set(labelled.table["id"]))
        return ByLargest()

    probabilities, folds = patterns.held_out(made, fit, 0)
    assert probabilities.sum() == len(made)
    for fold, known in enumerate(seen):
        assert known == set(made.table["id"][folds != fold])
        assert made.table["label"][folds == fold].value_counts().eq(2).all(), "stratified"


def test_a_head_is_never_on_both_sides_of_a_fold(shipped):
    keys = ["edition", "layer", "head"]
    assert shipped.table.duplicated(keys, keep=False).sum() > 0.99 * len(shipped)
    _, folds = patterns.held_out(shipped, lambda *_: ByLargest(), 0)
    assert shipped.table.assign(fold=folds).groupby(keys)["fold"].nunique().eq(1).all()
    assert set(folds) == set(range(patterns.FOLDS))


def judged_record(labelled, wrong=0, rules_wrong=3):
    """A record of classifiers that err on the first so many maps."""

    def classes(errors):
        named = labelled.targets.copy()
        named[:errors] = (named[:errors] + 1) % len(PATTERNS)
        return "".join(map(str, named))

    def one(seed, errors):
        return {"seed": seed, "f1": [1 - errors / 10] * 5, "classes": classes(errors),
                "uncertain": 0.1 * seed}  # fmt: skip

    values = {"network": [one(0, wrong), one(1, wrong + 1)], "rules": [one(0, rules_wrong)]}
    return Record("pattern_classifiers", {}, values, {}, "recorded")


def model_record(counts, seed=0, task="rte"):
    values = {"examples": 10, "counts": counts, "uncertain": [[1] * len(c) for c in counts]}
    recipe = {"model": {"task": task, "seed": seed}, "classifier": "network"}
    return Record("attention_patterns", recipe, values, {}, "computed")


STEADY, MIXED = [10, 0, 0, 0, 0], [0, 2, 0, 1, 7]


@pytest.fixture
def made_records():
    """Four labelled maps a pattern; one layer of two heads, two seeds."""
    made = planted(4)
    return made, [
        judged_record(made),
        model_record([[STEADY, MIXED]]),
        model_record([[STEADY, STEADY]], seed=1),
    ]


def test_quantities_match_hand_worked_records(made_records):
    table = patterns.quantities(made_records[1])
    f1 = table[table["quantity"] == "pattern_classifier_f1"]
    assert list(f1["task"]) == [""] * 5
    assert list(f1["seed"]) == list(range(5))
    assert f1["value"].tolist() == pytest.approx([0.95] * 5)  # seeds have 1 and .9
    share = table[table["quantity"] == "heterogeneous_share"]
    assert share[["task", "seed", "value"]].values.tolist() == [["rte", 0, 35.0], ["rte", 1, 0.0]]
    assert set(patterns.QUANTITIES) < set(secrets.QUANTITIES)
    claims = [c for c in reference.claims("secrets") if c.place.startswith("§4.1")]
    assert {c.quantity for c in claims} == set(patterns.QUANTITIES)


def test_labelled_maps_stand_beside_the_papers():
    made = planted(2)
    table = patterns.beside_paper(made)
    assert table["ours"].tolist() == [10, 20]
    printed = reference.numbers("secrets")
    assert table["paper"].tolist() == printed.query("row == 'annotated maps'")["value"].tolist()


def test_the_better_classifier_is_the_one_with_the_higher_mean(made_records):
    assert patterns.better(made_records[1][0]) == "network"
    assert patterns.better(judged_record(made_records[0], wrong=5)) == "rules"


def test_judgements_match_hand_worked_records(made_records):
    made, records = made_records
    table = patterns.judgements(records, made).set_index("classifier")
    network, rules = table.loc["network"], table.loc["rules"]
    assert network["macro-F1"] == pytest.approx(0.95)
    assert network["accuracy"] == pytest.approx(1 - 0.5 / 20)
    assert network["uncertain"] == pytest.approx(5)
    assert network["seeds agree"] == pytest.approx(95)
    assert rules["accuracy"] == pytest.approx(1 - 3 / 20)
    assert np.isnan(rules["seeds agree"])
    # Three Vertical maps of four were called Diagonal: recall 1/4; precision of Diagonal 4/7.
    assert rules["Vertical"] == pytest.approx(2 * 1 * 0.25 / 1.25)
    assert rules["Diagonal"] == pytest.approx(2 * (4 / 7) / (4 / 7 + 1))
    counts = patterns.confusions(records, made)
    assert counts["rules"].loc["Vertical", "Diagonal"] == 3
    assert counts["network"].loc["Vertical", "Diagonal"] == 0.5


def test_macro_f1_counts_what_is_there_or_named():
    targets, named = np.array([0, 1, 4, 4]), np.array([0, 4, 4, 4])
    # Vertical 1, Diagonal 0, Heterogeneous 2·(2/3)·1/(5/3) = .8; nothing is said of the others.
    assert patterns.macro_f1(targets, named) == pytest.approx((1 + 0 + 0.8) / 3)
    assert patterns.macro_f1(targets, np.array([3, 4, 4, 4])) == pytest.approx(0.8 / 4)


def test_shares_are_tidy_and_sum_to_a_hundred(made_records):
    table = patterns.shares(made_records[1])
    assert len(table) == 2 * 1 * 2 * 5
    assert np.allclose(table.groupby(["seed", "layer", "head"])["share"].sum(), 100)
    assert (table["uncertain"] == 10).all()
    (row,) = patterns.by_task(table).to_dict("records")
    assert row["Vertical"] == pytest.approx(75)
    assert row["Heterogeneous"] == pytest.approx(17.5)
    assert row["sd of Heterogeneous"] == pytest.approx(np.std([35, 0], ddof=1))


def test_heads_that_keep_one_pattern_are_counted_over_seeds(made_records):
    table = patterns.steady_heads(patterns.shares(made_records[1])).set_index("pattern")
    assert table.loc["Vertical"].drop("task").tolist() == [1.5, 1.5, 1.5]
    assert table.loc["Heterogeneous"].drop("task").tolist() == [0.5, 0, 0]
    assert table.loc["Block"].drop("task").tolist() == [0, 0, 0]


def test_figures_show_what_they_are_given(made_records):
    made, records = made_records
    table = patterns.shares(records)
    bars = figures.pattern_shares(table).axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([75, 5, 0, 2.5, 17.5])
    grid = figures.pattern_of_heads(table).axes[0]
    assert "1-based" in grid.get_xlabel()
    assert [text.get_text() for text in grid.texts] == ["100", "50"]
    assert len(figures.pattern_confusions(patterns.confusions(records, made)).axes) == 2
    assert len(figures.typical_maps(made, each=4).axes) == 20


def test_a_contact_sheet_numbers_its_maps():
    made = planted(1)
    sheet = figures.contact_sheet(made.maps, made.table["second"], range(7, 12))
    titles = [axis.get_title() for axis in sheet.axes if axis.axison]
    assert titles == ["7", "8", "9", "10", "11"]


# The labelling tool and the gallery ---------------------------------------------------------------


def test_labels_are_written_at_once_and_taken_up_again(tmp_path):
    made = planted(1)
    tool = LabellingTool(made, tmp_path, seed=3)
    first = tool.order[0]
    tool.buttons["Block"].click()
    assert labelled_maps.load(tmp_path).table["label"][first] == "Block"
    tool.go_back()
    tool.label("Diagonal")
    again = LabellingTool(made, tmp_path, seed=3)
    assert again.place == 1
    assert again.labelled.table["label"][first] == "Diagonal"
    for _ in range(len(made) - 1):
        again.label("Heterogeneous")
    assert again.buttons["Block"].disabled
    with pytest.raises(BertstudyError, match="every map has a label"):
        again.label("Block")
    with pytest.raises(BertstudyError, match="holds other maps"):
        LabellingTool(planted(2), tmp_path)
    assert "Run this notebook" in again._repr_mimebundle_()["text/html"]


LAYERS, HEADS = 2, 3
TOKENS = ["[CLS]", "a", "dog", "[SEP]", "</script>", "dog", "[SEP]"]


@pytest.fixture(scope="module")
def gallery_page():
    rng = np.random.default_rng(0)
    maps = rng.dirichlet(np.ones(len(TOKENS)), size=(2, 1, LAYERS, HEADS, len(TOKENS)))
    some = [Example(" ".join(TOKENS), TOKENS, maps[n]) for n in range(2)]
    shares = rng.dirichlet(np.ones(5), size=(LAYERS, HEADS)) * 100
    more = {
        "names": list(PATTERNS),
        "uncertain": 0.5,
        "classes": [[[0, 1, 4], [4, 4, 0]], [[0, 1, 1], [4, 3, 0]]],
        "confidence": [
            [[0.9, 0.8, 0.7], [0.4, 0.6, 0.95]],
            [[0.91, 0.81, 0.71], [0.45, 0.61, 0.5]],
        ],
        "shares": shares.round(2).tolist(),
        "examples": 100,
    }
    page = AttentionMaps("rte", ("fine-tuned",), ("yes", "no"), some)
    return PageData(page, more={"patterns": {"rte": more}})


def test_the_gallery_refuses_what_does_not_exist(gallery_page):
    bare = PageData(list(gallery_page.maps.values()))
    with pytest.raises(BertstudyError, match="page data with patterns"):
        PatternGallery(bare)
    for chosen, message in (
        ({"pattern": "Round"}, "unknown pattern 'Round'; allowed: Vertical"),
        ({"layer": 2}, "layer 2 is out of range; allowed: 0 to 1"),
        ({"head": 3}, "head 3 is out of range"),
        ({"task": "mnli"}, "no patterns for task 'mnli'; allowed: rte"),
    ):
        with pytest.raises(BertstudyError, match=message):
            PatternGallery(gallery_page, **chosen)


@pytest.mark.browser
def test_the_gallery_shows_the_maps_of_a_pattern(page: Watched, gallery_page, tmp_path):
    gallery = PatternGallery(gallery_page)
    body = (
        gallery_page._repr_mimebundle_()["text/html"] + gallery._repr_mimebundle_()[0]["text/html"]
    )
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><link rel=icon href=data:,>{body}")
    page.page.goto(path.as_uri())
    shown = page.page.get_by_role("region", name="Pattern gallery")
    maps = shown.locator(".gallery button")
    maps.first.wait_for()
    assert maps.count() == 12
    shown.get_by_label("Pattern", exact=True).select_option("Vertical")
    assert "4 of 12 maps" in shown.locator("p.readout").inner_text()
    assert [text.split()[1] for text in maps.all_inner_texts()] == ["0.95", "0.91", "0.90", "0.50"]
    assert maps.last.inner_text().endswith("?"), "half is not more than half"
    shown.get_by_label("Layer", exact=True).select_option("2")
    shown.get_by_label("Head", exact=True).select_option("3")
    assert maps.count() == 2
    maps.last.click()
    assert "layer 2, head 3, example 2: Vertical, probability 0.50" in shown.inner_text()
    census = shown.locator(".census li").all_inner_texts()
    assert len(census) == 5
    canvas = shown.locator("canvas.cells")
    box = canvas.bounding_box()
    side = box["width"] / len(TOKENS)
    canvas.hover(position={"x": 2.5 * side, "y": 4.5 * side})
    weight = gallery_page.of("rte").examples[1].maps[0, 1, 2, 4, 2]
    readout = shown.locator("output.readout").inner_text()
    assert "</script>" in readout
    assert float(readout.split(":")[-1]) == pytest.approx(weight, abs=1 / 510 + 0.0005)
    shown.get_by_label("Pattern", exact=True).select_option("Block")
    assert maps.count() == 0
    assert canvas.is_hidden()
    page.assert_quiet("file://")
