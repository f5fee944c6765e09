"""The rule that turns one number a seed into a verdict.

One interval does everything. A claim says that a mean lies in a region: above a threshold,
below it, or within a margin of it. It *holds* where the whole 95 % t-interval of the mean lies
inside the region, *fails* where all of it lies outside, and is *undecided* between. Each of the
two is then wrong at most once in forty, at the region's edge; for "within" this is the pair of
one-sided tests of equivalence, each at 2.5 % (Schuirmann 1987).

Several tasks. A claim about every task holds only if it holds on each: that needs no
correction, since it errs no more often than its weakest part. It fails if one task fails, and
with k tasks one fails by chance k times as often; so the overall verdict asks that task's
interval at the confidence 1 - 0.05/k (Bonferroni, which is the first step of Holm). Verdicts of
single tasks, and of claims beside each other, are each one question and are not corrected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bertstudy.reference.data import Claim
from bertstudy.statistics import CONFIDENCE, SIGNAL_SEEDS, interval

Status = Literal["holds", "fails", "undecided", "no signal", "not comparable"]
JUDGED = ("holds", "fails", "undecided")


@dataclass(frozen=True)
class Verdict:
    """What our runs say about one claim, on one task or overall.

    Attributes:
        mean, low, high: mean over seeds and its t-interval; NaN without seeds, and overall.
        seeds: how many.
        why: what kept it from being decided, or what an overall verdict rests on.
    """

    status: Status
    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan
    seeds: int = 0
    why: str = ""


def judge(
    claim: Claim,
    samples: Sequence[float],
    has_signal: bool | None,
    confidence: float = CONFIDENCE,
) -> Verdict:
    """The verdict on one task.

    Args:
        samples: the claim's quantity or difference, one number a seed. One that is not finite
            says that the quantity has no meaning there, and then nothing is compared.
        has_signal: whether the task bears claims at this scale, None if that is not known; then
            nothing is decided, as with fewer than `SIGNAL_SEEDS` seeds. See
            `bertstudy.statistics.signal`.
    """
    values = np.asarray(samples, dtype=float)
    if values.size == 0:
        return Verdict("not comparable")
    if undefined := int((~np.isfinite(values)).sum()):
        why = f"undefined for {undefined} of {values.size}"
        return Verdict("not comparable", seeds=values.size, why=why)
    bounds = (float(values.mean()), float(values.min()), float(values.max()))
    found = (*(bounds if claim.exact else interval(values, confidence)), values.size)
    if claim.needs_signal and not has_signal:
        if has_signal is None:
            return Verdict("undecided", *found, "whether the task bears claims is not known")
        return Verdict("no signal", *found, "pre-training does not show on this task")
    if values.size < SIGNAL_SEEDS and not claim.exact:
        return Verdict("undecided", *found, f"fewer than {SIGNAL_SEEDS}")
    (_, low, high, _), (least, most) = found, claim.region
    if least < low and high < most:
        return Verdict("holds", *found)
    return Verdict("fails" if high <= least or most <= low else "undecided", *found)


def overall(
    claim: Claim, samples: Mapping[str, Sequence[float]], signals: Mapping[str, bool | None]
) -> Verdict:
    """The verdict on a claim about every task.

    It fails if it fails on one task at the corrected confidence; else it is what all tasks
    say, if they agree; else undecided, as where one of its tasks was not run.

    Args:
        samples, signals: by task, as for `judge`.
    """
    found = {task: judge(claim, samples[task], signals[task]).status for task in samples}
    said = list(found.values())
    judged = [task for task in found if found[task] in JUDGED]
    strict = 1 - (1 - CONFIDENCE) / max(1, len(judged))
    again = {task: judge(claim, samples[task], signals[task], strict).status for task in judged}
    if failed := [task for task in judged if again[task] == "fails"]:
        return Verdict("fails", why=f"on {', '.join(failed)}")
    counts = ", ".join(f"{said.count(status)} {status}" for status in dict.fromkeys(said))
    if len(set(said)) == 1:
        return Verdict(said[0], why=counts)
    if "fails" in said:
        counts += f"; none fails at {100 * strict:.1f} %"
    return Verdict("undecided", why=counts)
