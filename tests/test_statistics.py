"""Intervals, paired differences and the signal rule against hand-worked cases."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bertstudy.errors import BertstudyError
from bertstudy.statistics import interval, paired, signal


def seeds(mean, sd=1.0, count=8):
    """Samples with exactly this mean and standard deviation."""
    raw = np.random.default_rng(0).normal(size=count)
    return mean + sd * (raw - raw.mean()) / raw.std(ddof=1)


def test_interval_matches_a_hand_worked_case():
    mean, low, high = interval([1.0, 2.0, 3.0])
    half = 4.302653 * 1.0 / np.sqrt(3)  # t of 2 degrees of freedom, sd 1
    assert (mean, low, high) == pytest.approx((2.0, 2.0 - half, 2.0 + half), abs=1e-5)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 2.0])
def test_interval_leaves_out_what_the_t_test_rejects(threshold):
    """A second route: scipy's test of one mean, at the level the interval has."""
    samples = seeds(1.0)
    _, low, high = interval(samples, confidence=0.9)
    rejected = stats.ttest_1samp(samples, threshold).pvalue < 0.1
    assert rejected == (not low <= threshold <= high)


def test_interval_of_one_seed_is_infinite_and_of_none_is_refused():
    assert interval([3.0]) == (3.0, -np.inf, np.inf)
    with pytest.raises(BertstudyError, match="nothing to average"):
        interval([])


def test_paired_goes_by_seed_and_not_by_place():
    first = pd.Series([10.0, 20.0, 30.0], index=[0, 1, 2])
    second = pd.Series([29.0, 18.0, 7.0], index=[2, 1, 5])
    assert paired(first, second).to_dict() == {1: 2.0, 2: 1.0}
    assert paired(first, second[[5]]).empty


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
