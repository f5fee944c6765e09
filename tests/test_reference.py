"""Numbers and claims as data, the rule that turns seeds into verdicts, and the one table."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from bertstudy import reference, tables
from bertstudy.errors import BertstudyError
from bertstudy.papers import secrets
from bertstudy.reference import Claim, compare, judge, overall
from bertstudy.reference.data import NEEDS, Quantity
from bertstudy.store import Record
from bertstudy.tasks import TASKS

PAPERS = ("sesame", "secrets", "sparse", "ssa", "landscape")
ABOVE = Claim("c", "§0", "It rises.", "q", "above", 0.0, None)
BELOW = Claim("c", "§0", "It falls.", "q", "below", 0.0, None)
ALIKE = Claim("c", "§0", "It stays.", "q", "within", 0.0, None, margin=1.0)


def seeds(mean, sd=1.0, count=8):
    """Samples with exactly this mean and standard deviation."""
    raw = np.random.default_rng(0).normal(size=count)
    return mean + sd * (raw - raw.mean()) / raw.std(ddof=1)


# The rule ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "mean", "sd", "expected"),
    [
        (ABOVE, 2.0, 1.0, "holds"),
        (ABOVE, -2.0, 1.0, "fails"),
        (ABOVE, 0.3, 1.0, "undecided"),
        (BELOW, -2.0, 1.0, "holds"),
        (BELOW, 2.0, 1.0, "fails"),
        (BELOW, -0.3, 1.0, "undecided"),
        (ALIKE, 0.0, 1.0, "holds"),  # half-width .84
        (ALIKE, 0.0, 2.0, "undecided"),  # no difference, but too few seeds to say so
        (ALIKE, 3.0, 1.0, "fails"),
        (ALIKE, -3.0, 1.0, "fails"),
        (ALIKE, 1.0, 1.0, "undecided"),
    ],
)
def test_the_interval_lies_inside_outside_or_across(claim, mean, sd, expected):
    assert judge(claim, seeds(mean, sd), True).status == expected


@pytest.mark.parametrize(("than", "sign"), [("above", 1), ("below", -1)])
def test_a_margin_widens_what_counts_as_true(than, sign):
    claim = Claim("c", "§0", "It does no harm.", "q", than, 0.0, None, margin=1.0)
    for mean, expected in ((0.0, "holds"), (-1.0, "undecided"), (-2.0, "fails")):
        assert judge(claim, sign * seeds(mean), True).status == expected


def drawn(claim, mean, draws, count=8, sd=1.0):
    """Share of each verdict over many simulated sets of seeds."""
    rng = np.random.default_rng(1)
    found = [judge(claim, rng.normal(mean, sd, count), True).status for _ in range(draws)]
    return {status: found.count(status) / draws for status in ("holds", "fails", "undecided")}


def test_a_planted_effect_holds():
    """Two standard deviations, eight seeds: the power of the t-test is above .99."""
    assert drawn(ABOVE, 2.0, 400)["holds"] > 0.97
    assert drawn(BELOW, -2.0, 400)["holds"] > 0.97


def test_a_planted_null_is_as_rarely_a_gain_as_a_loss():
    """Each side of a 95 % interval errs one time in forty (standard error .35 %)."""
    found = drawn(ABOVE, 0.0, 2000)
    assert 0.01 < found["holds"] < 0.04
    assert 0.01 < found["fails"] < 0.04


def test_a_planted_null_fails_a_claim_of_two_points():
    claim = Claim("c", "§0", "It rises by two points.", "q", "above", 2.0, None)
    assert drawn(claim, 0.0, 400)["fails"] > 0.97


def test_a_planted_zero_is_within_its_margin_and_the_margin_itself_is_not():
    assert drawn(ALIKE, 0.0, 400, sd=0.5)["holds"] > 0.97
    at_the_edge = drawn(ALIKE, 1.0, 2000, sd=0.5)
    assert 0.01 < at_the_edge["holds"] < 0.04
    assert drawn(ALIKE, 3.0, 400, sd=0.5)["fails"] > 0.97


def test_too_little_is_known_to_decide():
    assert judge(ABOVE, seeds(2.0), False).status == "no signal"
    assert judge(ABOVE, seeds(2.0), None).status == "undecided"
    assert judge(ABOVE, [], True).status == "not comparable"
    for few in ([5.0], [5.0, 5.0], seeds(50.0, 0.1, count=4)):
        found = judge(ABOVE, few, True)
        assert (found.status, found.why) == ("undecided", "fewer than 5")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_seed_without_a_meaning_is_not_left_out_in_silence(bad):
    found = judge(ABOVE, [*seeds(2.0), bad], True)
    assert (found.status, found.why) == ("not comparable", "undefined for 1 of 9")


@pytest.mark.parametrize(
    ("claim", "value", "expected"),
    [
        (ABOVE, 0.0, "fails"),
        (ABOVE, 0.1, "holds"),
        (BELOW, 0.0, "fails"),
        (ALIKE, 0.0, "holds"),
        (ALIKE, 1.0, "fails"),
    ],
)
def test_without_variance_the_value_itself_decides(claim, value, expected):
    assert judge(claim, [value] * 5, True).status == expected


def test_what_has_no_spread_is_decided_by_one_number():
    claim = Claim("c", "§0", "None is broken.", "q", "below", 0.5, (), exact=True)
    assert judge(claim, [0.0], True).status == "holds"
    assert judge(claim, [1.0], True).status == "fails"
    assert judge(claim, [0.0, 0.0, 1.0], True).status == "undecided"


def test_whether_pre_training_shows_can_itself_be_the_claim():
    claim = Claim("c", "§0", "Pre-training helps.", "q", "above", 0.0, None, needs_signal=False)
    assert judge(claim, seeds(-2.0), False).status == "fails"
    assert judge(claim, seeds(2.0), None).status == "holds"


# Several tasks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("means", "signals", "expected"),
    [
        ((2, 2, 2), (True, True, True), "holds"),
        ((2, 2, 0), (True, True, True), "undecided"),
        ((2, 2, -4), (True, True, True), "fails"),
        ((-4, 2, 2), (False, True, True), "undecided"),
        ((2, 2, 2), (False, False, False), "no signal"),
        ((2, 2, 2), (None, True, True), "undecided"),
        ((-4, 2, 2), (None, True, True), "undecided"),
        ((-1, -1, -1), (True, True, True), "fails"),  # each at 95 %, none at the corrected level
    ],
)
def test_every_task_must_hold_and_one_can_fail(means, signals, expected):
    samples = {task: seeds(mean) for task, mean in zip("abc", means, strict=True)}
    found = overall(ABOVE, samples, dict(zip("abc", signals, strict=True)))
    assert found.status == expected


def test_a_task_that_was_not_run_leaves_the_claim_open():
    both = {"a": True, "b": True}
    found = overall(ABOVE, {"a": seeds(2.0), "b": []}, both)
    assert (found.status, found.why) == ("undecided", "1 holds, 1 not comparable")
    found = overall(ABOVE, {"a": seeds(2.0), "b": seeds(-0.9)}, both)
    assert judge(ABOVE, seeds(-0.9), True).status == "fails"
    assert (found.status, found.why) == ("undecided", "1 holds, 1 fails; none fails at 97.5 %")
    assert overall(ABOVE, {"a": seeds(-4.0), "b": []}, both).status == "fails"
    assert overall(ABOVE, {"a": [], "b": []}, both).status == "not comparable"


def test_many_tasks_do_not_make_a_true_claim_fail():
    """Seven tasks at the very edge: one alone fails at 95 % in one draw of six."""
    rng = np.random.default_rng(2)
    names = [str(task) for task in range(7)]
    some, corrected = 0, 0
    for _ in range(400):
        samples = {name: rng.normal(size=8) for name in names}
        some += any(judge(ABOVE, s, True).status == "fails" for s in samples.values())
        corrected += overall(ABOVE, samples, dict.fromkeys(names, True)).status == "fails"
    assert some / 400 > 0.10
    assert corrected / 400 < 0.06


# The data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", PAPERS)
def test_every_claim_is_complete(paper):
    claims, defined = reference.claims(paper), reference.quantities(paper)
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        assert claim.id.startswith(f"{paper}-")
        assert claim.place.startswith("§")
        assert claim.statement.endswith((".", ")"))
        assert claim.quantity in defined
        assert not claim.minus or claim.second("")[0] in defined
        assert {*(claim.tasks or ()), *claim.but} <= set(TASKS)
        assert claim.second("mrpc")[1] in TASKS
        assert claim.needs in NEEDS
        assert claim.than in ("above", "below", "within")
        assert claim.over in ("every task", "average")
        assert claim.margin > 0 or (claim.than != "within" and claim.margin == 0)
        # A margin or another threshold than none is a choice: the reader is told why.
        assert claim.note or claim.margin == 0


@pytest.mark.parametrize("paper", PAPERS)
def test_every_quantity_is_defined_and_finds_its_printed_numbers(paper):
    none = pd.DataFrame(columns=["quantity", "task", "seed", "value"])
    evidence = reference.comparing._Evidence(paper, none, {}, ())
    units = get_args(Quantity.__annotations__["per"])
    for quantity in reference.quantities(paper).values():
        assert quantity.definition.endswith(".")
        assert quantity.per in units
        assert quantity.unit
        if quantity.printed is not None:
            printed = evidence.of(quantity.name)
            assert len(printed)
            for task in set(printed["task"]):  # one of each, or told apart by place
                here = evidence.on(quantity.name, task)
                assert len(here) == 1 or not here.duplicated(["table", "row", "column"]).any()


def test_claims_and_quantities_of_a_difference_are_of_one_kind():
    for paper in PAPERS:
        defined = reference.quantities(paper)
        for claim in filter(lambda claim: claim.minus, reference.claims(paper)):
            first, second = defined[claim.quantity], defined[claim.second("")[0]]
            assert (first.unit, first.per) == (second.unit, second.per), claim.id


def test_quantities_that_the_package_measures_are_defined():
    assert set(secrets.QUANTITIES) <= set(reference.quantities("secrets"))


def test_tasks_are_listed_or_all_or_all_but_some_or_none():
    by_id = {claim.id: claim for claim in reference.claims("secrets")}
    said = {name: (by_id[name].tasks, by_id[name].but) for name in by_id}
    assert said["secrets-4-6-random-head-gains"] == (("mrpc", "rte"), ())
    assert said["secrets-4-6-some-head-gains"] == (None, ())
    assert said["secrets-4-5-sep"] == (None, ("stsb", "rte", "qnli"))
    assert said["secrets-4-2-identity"] == ((), ())


def test_an_unknown_paper_is_named_with_those_there_are():
    with pytest.raises(BertstudyError, match="secrets"):
        reference.numbers("nobody")


# The one table ------------------------------------------------------------------------------------


def rows(**values):
    """Measured rows from ``quantity__task=values``, seeds counted from 0."""
    made = [
        (*name.split("__"), seed, float(value))
        for name, samples in values.items()
        for seed, value in enumerate(samples)
    ]
    return pd.DataFrame(made, columns=["quantity", "task", "seed", "value"])


def of(table, statement, task):
    """The one row of a claim, by a part of its statement, on a task."""
    chosen = table[table["claim"].str.contains(statement) & (table["task"] == task)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_claim_stands_beside_the_papers_number():
    measured = rows(first_layer_effect__rte=[3, 4, 5, 3, 4])
    row = of(compare("secrets", "§4.6", measured, {"rte": True}), "layer 1", "rte")
    printed = reference.numbers("secrets").set_index(["measure", "task"])["value"]
    assert row["theirs"] == printed["first_layer_effect", "rte"]
    assert row["ours"] == pytest.approx(3.8)
    assert row["difference"] == pytest.approx(3.8 - row["theirs"])
    assert row["low"] < 3.8 < row["high"]
    assert (row["seeds"], row["verdict"], row["unit"]) == (5, "holds", "points")


def test_a_difference_is_paired_and_stands_beside_the_papers_difference():
    """Seeds differ by 10 points, the two models by 1 everywhere: only pairs can see it."""
    base = 10 * np.random.default_rng(0).normal(size=8)
    gain = 1 + 0.2 * np.random.default_rng(1).normal(size=8)
    measured = rows(accuracy_rollback_low__rte=base + gain, accuracy_tuned__rte=base)
    row = of(compare("landscape", "§7", measured, {"rte": True}), "costs little", "rte")
    assert row["verdict"] == "holds"
    assert row["ours"] == pytest.approx(gain.mean())
    table = reference.numbers("landscape").query("task == 'rte' and measure == 'accuracy'")
    printed = table.set_index("column")["value"]
    assert row["theirs"] == pytest.approx(printed["Layer Rollback 0-7"] - printed["BERT"])
    # Without the pairs the spread is that of the seeds.
    shuffled = measured.copy()
    other = shuffled["quantity"] == "accuracy_tuned"
    shuffled.loc[other, "seed"] = (shuffled.loc[other, "seed"] + 3) % 8
    again = of(compare("landscape", "§7", shuffled, {"rte": True}), "costs little", "rte")
    assert again["verdict"] == "undecided"


def test_only_seeds_that_both_have_make_pairs():
    measured = rows(score_no_diagonal__rte=range(9), score_dense__rte=range(6))
    row = of(compare("sparse", "§3.3", measured, {"rte": True}), "as good or better", "rte")
    assert (row["seeds"], row["ours"], row["verdict"]) == (6, 0.0, "holds")
    later = measured.assign(seed=measured["seed"] + 5 * (measured["quantity"] == "score_dense"))
    row = of(compare("sparse", "§3.3", later, {"rte": True}), "as good or better", "rte")
    assert (row["seeds"], row["verdict"], row["why"]) == (4, "undecided", "fewer than 5")
    later = measured.assign(seed=measured["seed"] + 9 * (measured["quantity"] == "score_dense"))
    row = of(compare("sparse", "§3.3", later, {"rte": True}), "as good or better", "rte")
    assert (row["verdict"], row["why"]) == ("not comparable", "no seed was run for both")


def test_a_multiple_is_judged_as_a_difference():
    almost = "almost three times"
    for ours, expected in ((30, "holds"), (20, "fails")):
        measured = rows(
            hans_lexical_sesame__hans=ours + seeds(0, 0.1), hans_lexical_bert__hans=[10] * 8
        )
        found = compare("sesame", "§4.3.2", measured, {"mnli": True})
        assert of(found, almost, "hans")["verdict"] == expected


def test_hans_has_the_signal_of_the_task_its_model_was_trained_on():
    measured = rows(hans_entailed_bert__hans=seeds(99.0))
    for signals, expected in (({"mnli": False}, "no signal"), ({}, "undecided")):
        row = of(compare("sesame", "§4.3.2", measured, signals), "^BERT is almost", "hans")
        assert row["verdict"] == expected


def test_a_task_is_compared_with_another_and_both_must_bear_it():
    measured = rows(sep_attention__sst2=seeds(0.6, 0.01), sep_attention__rte=seeds(0.4, 0.02))
    table = compare("secrets", "§4.4", measured, {"sst2": True, "rte": True})
    claim = "larger on SST-2"
    assert list(table[table["claim"].str.contains(claim)]["task"]) == ["rte"]
    assert of(table, claim, "rte")["verdict"] == "holds"
    for signals in ({"sst2": False, "rte": True}, {"sst2": True, "rte": False}, {"sst2": False}):
        table = compare("secrets", "§4.4", measured, signals)
        assert of(table, claim, "rte")["verdict"] == "no signal"
    table = compare("secrets", "§4.4", measured, {"rte": True})
    assert of(table, claim, "rte")["verdict"] == "undecided"


def test_an_average_is_over_the_tasks_that_bear_it_seed_by_seed():
    measured = rows(
        score_random_drop__rte=[0, 1, 2, 3, 4],
        score_random_drop__mrpc=[-6, -7, -8, -9, -10],
        score_random_drop__cola=[900] * 5,
        score_dense__rte=[1, 2, 3, 4, 5],
        score_dense__mrpc=[0] * 5,
        score_dense__cola=[0] * 5,
    )
    bears = {"rte": True, "mrpc": True, "cola": False}
    row = of(compare("sparse", "§3.3", measured, bears), "random", "average of rte, mrpc")
    # -1 on RTE; -6, -7, ... on MRPC.
    assert row["ours"] == pytest.approx((-1 + -8) / 2)
    assert row["verdict"] == "holds"
    printed = reference.numbers("sparse").query("table == 'Table 1' and split == 'validation'")
    value = printed.set_index(["row", "task"])["value"]
    theirs = [
        value["BERT-base (randomly dropped)", task] - value["BERT-base (ours)", task]
        for task in ("rte", "mrpc")
    ]
    assert row["theirs"] == pytest.approx(np.mean(theirs))
    fewer = measured[(measured["task"] != "mrpc") | (measured["seed"] > 0)]
    row = of(compare("sparse", "§3.3", fewer, bears), "random", "average of rte, mrpc")
    assert (row["seeds"], row["ours"]) == (4, pytest.approx((-1 + -8.5) / 2))
    holed = measured.assign(value=measured["value"].where(measured["value"] != -10))
    row = of(compare("sparse", "§3.3", holed, bears), "random", "average of rte, mrpc")
    assert (row["verdict"], row["why"]) == ("not comparable", "undefined for 1 of 5")
    none = compare("sparse", "§3.3", measured, dict.fromkeys(bears, False))
    assert of(none, "random positions BERT", "average")["verdict"] == "no signal"


def test_a_test_server_s_number_is_never_compared():
    measured = rows(score_ssa_hybrid__mnli=seeds(85.0), score_bert__mnli=seeds(84.0))
    table = compare("ssa", "§4.4", measured, {"mnli": True})
    row = of(table, "SSA-Hybrid beats BERT on every", "mnli")
    assert np.isfinite(row["theirs"])
    assert np.isfinite(row["ours"])
    assert np.isnan(row["difference"])
    assert "test" in row["why"]
    assert row["verdict"] == "holds"
    numbers = table[(table["claim"] == "") & np.isfinite(table["ours"])]
    assert len(numbers) == 2
    assert numbers["difference"].isna().all()
    # AX has no other split than the server's.
    ax = compare("sesame", "§4.3.1", rows(score_sesame__ax=[1] * 5, score_bert__ax=[0] * 5))
    assert np.isnan(of(ax, "diagnostic", "ax")["difference"])


def test_printed_numbers_without_a_claim_follow_and_unrun_tasks_stay_empty():
    table = compare("secrets", "§4.6", rows(pretrained_score__rte=[64] * 5), {})
    numbers = table[table["claim"] == ""].set_index("task")
    assert (numbers["verdict"] == "").all()
    printed = reference.numbers("secrets").query(
        "column == 'Fine-tuned, pre-trained' and measure != 'f1'"
    )
    assert numbers["theirs"].to_dict() == printed.set_index("task")["value"].to_dict()
    assert numbers.loc["rte", "difference"] == pytest.approx(64 - numbers.loc["rte", "theirs"])
    assert numbers["ours"].notna().sum() == 1


def test_a_table_of_many_settings_is_matched_by_place():
    measured = rows(pooled_accuracy__rte=[60, 61, 62, 63, 64]).assign(
        row="Last Hidden", column="SE-BERT"
    )
    table = compare("sesame", "§4.3.1", measured, {"rte": True})
    ours = table[(table["claim"] == "") & np.isfinite(table["ours"])]
    assert list(ours["place"]) == ["Table 3, Last Hidden, SE-BERT"]
    assert len(table[table["claim"] == ""]) == len(
        reference.numbers("sesame").query("table == 'Table 3'")
    )


def test_a_model_that_is_not_fine_tuned_asks_for_no_signal():
    measured = rows(
        second_frame_attention_held_out__=seeds(0.3, 0.01, 10),
        third_frame_attention_held_out__=seeds(0.2, 0.02, 10),
        first_frame_attention__=seeds(0.21, 0.01, 10),
    )
    table = compare("secrets", "§4.2", measured, met=("the paper's checkpoint",))
    assert of(table, "stand out", "")["verdict"] == "holds"
    row = of(table, "looks most", "")
    assert (row["verdict"], row["difference"]) == ("holds", pytest.approx(0.001))


def test_claims_about_tasks_that_were_not_run_are_kept():
    table = compare("secrets", "§4.6", rows(mean_head_effect__rte=seeds(1.0, 0.1)), {"rte": True})
    claim = "random head"
    assert of(table, claim, "rte")["verdict"] == "holds"
    assert of(table, claim, "mrpc")["why"] == "this task was not run here"
    assert of(table, claim, "every task")["verdict"] == "undecided"
    assert of(table, "whole layer raises", "any")["why"] == "not measured here"


def test_a_claim_about_named_heads_needs_the_papers_checkpoint():
    measured = rows(effect_of_named_heads__rte=[-1.0, -1.1, -1.2, -1.3, -1.4])
    for met, verdict, why in (
        ((), "not comparable", "needs the paper's checkpoint"),
        (("real data", "the paper's checkpoint"), "holds", ""),
    ):
        row = of(compare("secrets", "§4.6", measured, {"rte": True}, met), "head 12", "rte")
        assert (row["verdict"], row["why"]) == (verdict, why)


def test_two_values_of_one_seed_are_refused():
    once = rows(mean_head_effect__rte=[1.0, 2.0])
    with pytest.raises(
        BertstudyError, match="mean_head_effect on 'rte' has several values of seed 0, 1"
    ):
        compare("secrets", "§4.6", pd.concat([once, once]))


def test_nothing_measured_still_gives_every_claim():
    none = pd.DataFrame(columns=["quantity", "task", "seed", "value"])
    for paper in PAPERS:
        table = compare(paper, "§", none)
        assert set(table["claim"]) == {claim.statement for claim in reference.claims(paper)}
        assert set(table["verdict"]) == {"not comparable"}
        assert table["ours"].isna().all()


def test_the_page_shows_each_claim_once_with_spread_difference_and_verdict():
    measured = rows(first_layer_effect__rte=[3, 4, 5, 3, 4], mean_head_effect__rte=seeds(1.0, 0.1))
    found = compare("secrets", "§4.6", measured, {"rte": True})
    shown = tables.compare(found).data
    assert len(shown) == len(found)
    title = shown["claim, or number"]
    assert title.str.contains("Disabling a random head").sum() == 1
    row = shown[title.str.contains("layer 1 raises")].iloc[0]
    theirs, ours, gap = (float(row[name]) for name in ("paper", "ours", "difference"))
    assert ours == 3.8
    assert gap == pytest.approx(ours - theirs)
    assert " to " in row["95 % interval"]
    assert (row["verdict"], int(row["n"])) == ("holds", 5)


AGAINST_ANOTHER_ROW = {"ssa-4-4-mask-gains", "ssa-4-4-mask-decays"}  # their notes say of which


def test_the_papers_own_numbers_bear_out_their_claims():
    none = pd.DataFrame(columns=["quantity", "task", "seed", "value"])
    broken, checked = set(), 0
    for paper in PAPERS:
        evidence = reference.comparing._Evidence(paper, none, {}, ())
        for claim in reference.claims(paper):
            tasks = TASKS if claim.tasks is None else claim.tasks or ("",)
            tasks = [
                t for t in tasks if t not in claim.but and claim.second(t) != (claim.quantity, t)
            ]
            found = [evidence.difference(claim, task)[0] for task in tasks]
            found = [value for value in found if np.isfinite(value)]
            if found and claim.over == "average":
                found = [np.mean(found)]
            least, most = claim.region
            checked += len(found)
            if not all(least < value < most for value in found):
                broken.add(claim.id)
    assert broken == AGAINST_ANOTHER_ROW
    assert checked > 80


def test_an_average_of_named_tasks_needs_all_of_them():
    measured = rows(pretrained_score__rte=[64, 65, 66, 64, 65], untrained_score__rte=[52] * 5)
    met = ("real data", "the paper's checkpoint")
    row = of(compare("secrets", "§4.3", measured, {"rte": True}, met), "35.9", "average")
    assert row["verdict"] == "not comparable"
    assert row["why"].endswith("this task was not run here")


def test_a_number_whose_claim_needs_more_still_stands_beside_the_papers():
    table = compare("secrets", "§4.1", rows(heterogeneous_share__mrpc=[40, 41, 42, 43, 44]))
    (row,) = table[(table["claim"] == "") & (table["task"] == "mrpc")].to_dict("records")
    assert (row["ours"], row["difference"]) == (42.0, 42.0 - row["theirs"])


# The tidy table -------------------------------------------------------------------------------


def test_tidy_has_a_row_for_each_quantity_task_and_seed():
    functions = {
        "double": lambda values: [2 * v for v in values],
        "negative": lambda values: [-v for v in values],
    }
    groups = [("rte", [3, 5], [1.0, 2.0]), ("", None, [4.0])]
    table = reference.tidy(functions, groups)
    assert [tuple(row) for row in table.itertuples(index=False)] == [
        ("double", "rte", 3, 2.0), ("double", "rte", 5, 4.0),
        ("negative", "rte", 3, -1.0), ("negative", "rte", 5, -2.0),
        ("double", "", 0, 8.0), ("negative", "", 0, -4.0),
    ]  # fmt: skip


def test_tidy_of_nothing_has_its_columns():
    assert list(reference.tidy({}, [])) == ["quantity", "task", "seed", "value"]


def test_tidy_refuses_a_number_without_a_seed():
    with pytest.raises(ValueError, match="zip"):
        reference.tidy({"same": list}, [("rte", [0], [1.0, 2.0])])


def test_records_of_models_are_grouped_by_task_in_their_order():
    def record(task, seed):
        return Record("m", {"model": {"task": task, "seed": seed}}, {}, {}, "computed")

    a, b, c = record("rte", 3), record("mrpc", 0), record("rte", 1)
    assert reference.of_models([a, b, c]) == [("rte", [3, 1], [a, c]), ("mrpc", [0], [b])]
