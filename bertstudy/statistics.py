"""Spread over seeds, paired differences, and whether pre-training shows at all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from bertstudy.errors import BertstudyError

CONFIDENCE = 0.95
SIGNAL_ERRORS = 3.0  # standard errors by which pre-training must beat each rival
SIGNAL_SEEDS = 5  # with fewer, nothing is said: neither of a signal nor of a claim


def interval(
    samples: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Mean and t-interval over seeds, of 95 % by default; infinite for a single one.

    Raises:
        BertstudyError: there are no samples.
    """
    values = np.asarray(samples, dtype=float)
    if values.size == 0:
        raise BertstudyError("there is nothing to average")
    mean = float(values.mean())
    if values.size == 1:
        return mean, -np.inf, np.inf
    half = stats.t.ppf(0.5 + confidence / 2, values.size - 1) * stats.sem(values)
    return mean, mean - float(half), mean + float(half)


def paired(first: pd.Series, second: pd.Series) -> pd.Series:
    """Differences, seed by seed; a seed that only one of them has is left out.

    What two runs of one seed share (the order of the examples, the head's first weights, the
    checkpoint) cancels, so that the spread is that of the difference alone.

    Args:
        first, second: values by seed, each seed once.
    """
    shared = first.index.intersection(second.index)
    return first[shared] - second[shared]


def signal(
    pretrained: Sequence[float], scratch: Sequence[float], majority: float
) -> tuple[bool | None, float]:
    """Whether pre-training beats both the majority class and training from scratch.

    Args:
        pretrained, scratch: one score a seed.

    Returns:
        The answer, and the smaller of the two margins in standard errors (of the difference,
        where the rival is itself a mean over seeds). None and NaN with fewer than
        `SIGNAL_SEEDS` seeds of either.
    """
    if min(len(pretrained), len(scratch)) < SIGNAL_SEEDS:
        return None, float("nan")
    mean, own = float(np.mean(pretrained)), float(stats.sem(pretrained))
    both = float(np.hypot(own, stats.sem(scratch)))
    margin = min(in_errors(mean - majority, own), in_errors(mean - float(np.mean(scratch)), both))
    return margin > SIGNAL_ERRORS, margin


def in_errors(gain: float, error: float) -> float:
    """``gain`` in standard errors; a gain of nothing is none, whatever its error.

    Infinite, with the gain's sign, where the error is zero; NaN where it is not known.
    """
    if gain == 0:
        return 0.0
    if np.isnan(error):
        return float("nan")
    return gain / error if error > 0 else float(np.sign(gain) * np.inf)
