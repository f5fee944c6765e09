"""Numbers and claims as data, and the rule that turns seeds into verdicts."""

import numpy as np
import pandas as pd
import pytest

from bertstudy import reference
from bertstudy.errors import BertstudyError
from bertstudy.papers import secrets
from bertstudy.reference import Claim, judge
from bertstudy.statistics import interval, signal

CLAIM = Claim("c", "§0", "It rises.", "q", "above", 0.0, None)


def seeds(mean, sd=1.0, count=8):
    """Samples with exactly this mean and standard deviation."""
    raw = np.random.default_rng(0).normal(size=count)
    return mean + sd * (raw - raw.mean()) / raw.std(ddof=1)


def test_interval_matches_a_hand_worked_case():
    mean, low, high = interval([1.0, 2.0, 3.0])
    half = 4.302653 * 1.0 / np.sqrt(3)  # t of 2 degrees of freedom, sd 1
    assert (mean, low, high) == pytest.approx((2.0, 2.0 - half, 2.0 + half), abs=1e-5)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (seeds(2.0), "holds"),
        (seeds(-2.0), "fails"),
        (seeds(0.3), "undecided"),
        ([5.0], "undecided"),
    ],
)
def test_a_planted_effect_holds_and_a_planted_harm_fails(samples, expected):
    assert judge(CLAIM, samples, True).status == expected


def test_a_planted_null_is_not_called_a_gain():
    """95 % intervals of a true zero exclude it one time in twenty: never often."""
    rng = np.random.default_rng(1)
    found = [judge(CLAIM, rng.normal(size=8), True).status for _ in range(400)]
    assert 0.005 < found.count("holds") / 400 < 0.05


def test_a_planted_null_fails_against_a_margin():
    claim = Claim("c", "§0", "It rises by a point.", "q", "above", 1.0, None)
    assert judge(claim, seeds(0.0), True).status == "fails"


def test_below_is_the_mirror_of_above():
    claim = Claim("c", "§0", "It falls.", "q", "below", 0.0, None)
    for mean, expected in ((-2.0, "holds"), (2.0, "fails"), (0.3, "undecided")):
        assert judge(claim, seeds(mean), True).status == expected


def test_no_signal_and_no_runs_decide_nothing():
    assert judge(CLAIM, seeds(2.0), False).status == "no signal"
    assert judge(CLAIM, seeds(2.0), None).status == "undecided"
    assert judge(CLAIM, [], True).status == "not comparable"


@pytest.mark.parametrize(
    ("pretrained", "scratch", "majority", "expected"),
    [
        (seeds(80), seeds(60), 50, True),
        (seeds(60.5), seeds(60), 50, False),
        (seeds(80), seeds(60), 85, False),
        (seeds(80, count=4), seeds(60, count=4), 50, None),
        # Beating the majority clearly is not enough where training from scratch is so noisy.
        (seeds(70, 0.5, 5), seeds(68, 20.0, 5), 60, False),
        (seeds(70, 0.0, 5), seeds(60, 0.0, 5), 70, False),
        (seeds(70, 0.0, 5), seeds(60, 0.0, 5), 50, True),
    ],
)
def test_signal_needs_to_beat_the_better_rival(pretrained, scratch, majority, expected):
    assert signal(pretrained, scratch, majority)[0] is expected


def test_every_claim_names_a_quantity_that_exists():
    claims = reference.claims("secrets")
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        assert claim.quantity in secrets.QUANTITIES
        assert claim.than in ("above", "below")


def test_every_printed_number_is_of_a_measured_quantity():
    printed = reference.numbers("secrets")
    assert set(printed["measure"]) <= set(secrets.QUANTITIES)
    assert printed["value"].notna().all()


def measured():
    rows = [("first_layer_effect", "rte", s, v) for s, v in enumerate((3.0, 4.0, 5.0))]
    rows += [("best_head_gain", "rte", s, 1.0 + s) for s in range(3)]
    return pd.DataFrame(rows, columns=["quantity", "task", "seed", "value"])


def test_side_by_side_gives_the_gap_and_leaves_absent_tasks_empty():
    table = reference.side_by_side("secrets", measured()).set_index(["where", "task"])
    assert table.loc[("Figure 9, layer 1", "rte"), "difference"] == pytest.approx(0.8)
    assert np.isnan(table.loc[("Figure 8, best single head", "mrpc"), "ours"])


def test_verdicts_have_a_row_for_claims_about_tasks_that_were_not_run():
    table = reference.verdicts("secrets", "§4.6", measured(), {"rte": True})
    absent = table[table["task"].isin(["qnli", "mnli", "mrpc"])]
    assert set(absent["verdict"]) == {"not comparable"}
    assert set(absent["note"]) == {"this task was not run here"}
    layer_one = table[table["claim"].str.contains("layer 1")]
    assert list(layer_one["verdict"]) == ["holds"]


def test_an_unknown_paper_is_named_with_those_there_are():
    with pytest.raises(BertstudyError, match="secrets"):
        reference.numbers("nobody")


def test_a_claim_about_named_heads_needs_the_papers_checkpoint():
    def of_named(met):
        rows = pd.DataFrame(
            [("effect_of_named_heads", "rte", s, -1.0 - s / 10) for s in range(5)],
            columns=["quantity", "task", "seed", "value"],
        )
        table = reference.verdicts("secrets", "§4.6", rows, {"rte": True}, met)
        named = table[table["claim"].str.contains("head 12") & (table["task"] == "rte")]
        return named["verdict"].item(), named["note"].item()

    assert of_named(()) == ("not comparable", "needs the paper's checkpoint")
    assert of_named(("real data", "the paper's checkpoint"))[0] == "holds"
