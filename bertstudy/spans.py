"""SQuAD: which span of the context answers best, and how well an answer agrees with people's.

The measures are those of the official evaluation scripts of SQuAD 1.1 (Rajpurkar et al. 2016)
and 2.0 (Rajpurkar et al. 2018), written anew from their definition; the choice of a span and
of no answer is that of Devlin et al. (2019, section 4.3).
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bertstudy.errors import BertstudyError

LONGEST_ANSWER = 30  # word pieces

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


# One answer against people's ----------------------------------------------------------------


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, then without articles and spare white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(predicted: str, golds: Sequence[str], unanswerable: bool) -> float:
    """1 where the normalised answer equals one of the golds, else 0.

    Args:
        golds: people's answers, at least one unless ``unanswerable``; see `_references`.
        unanswerable: score as SQuAD 2.0 does.
    """
    ours = normalise(predicted)
    return float(any(ours == normalise(gold) for gold in _references(golds, unanswerable)))


def token_f1(predicted: str, golds: Sequence[str], unanswerable: bool) -> float:
    """F1 of the normalised answer's words against the gold's, the best over the golds.

    2PR / (P + R) with P = shared / ours and R = shared / theirs is 2 shared / (ours + theirs).
    Where an answer or a gold has no words left, SQuAD 2.0 says 1 if both are empty; SQuAD 1.1
    says 0, since no word is shared.
    """
    ours = normalise(predicted).split()
    return max(_overlap(ours, g, unanswerable) for g in _references(golds, unanswerable))


def _references(golds: Sequence[str], unanswerable: bool) -> Sequence[str]:
    """SQuAD 2.0 leaves out golds that are empty once normalised; none left means no answer."""
    if not unanswerable:
        return golds
    return [gold for gold in golds if normalise(gold)] or [""]


def _overlap(ours: list[str], gold: str, unanswerable: bool) -> float:
    theirs = normalise(gold).split()
    if not ours or not theirs:
        return float(unanswerable and ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


# A split's score ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """The model's best answer to each question, and how much more it believes in none.

    Attributes:
        texts: each question's best span of its context.
        null_odds: ``[question]``, score of no answer minus the score of that span.
    """

    texts: tuple[str, ...]
    null_odds: np.ndarray


def score(answers: Answers, golds: Sequence[Sequence[str]], unanswerable: bool) -> dict[str, float]:
    """Exact match and F1, times 100, by SQuAD 2.0's rules if ``unanswerable``, else by 1.1's.

    Returns:
        ``token_f1`` and ``exact``; for SQuAD 2.0 they are at threshold 0 of the null odds,
        and ``best_f1`` and ``best_exact`` are the highest that a threshold chosen on these
        very questions reaches, ``best_f1_thresh`` and ``best_exact_thresh`` (in logits) the
        thresholds.

    Raises:
        BertstudyError: counts differ, there is nothing to score, or a SQuAD 1.1 question has
            no gold.
    """
    if len(answers.texts) != len(golds) or not golds:
        raise BertstudyError(f"{len(answers.texts)} answers for {len(golds)} questions")
    if not unanswerable and not all(golds):
        raise BertstudyError("a question has no answer to be scored by; squad_v2 allows that")
    pairs = list(zip(answers.texts, golds, strict=True))
    measured = {
        name: np.array([measure(text, gold, unanswerable) for text, gold in pairs])
        for name, measure in (("token_f1", token_f1), ("exact", exact))
    }
    if not unanswerable:
        return {name: 100 * float(values.mean()) for name, values in measured.items()}
    found, reached = {}, {}
    answerable = np.array([bool(gold) for gold in golds])
    for metric, values in measured.items():
        found[metric] = 100 * float(np.where(answers.null_odds > 0, ~answerable, values).mean())
        # Where a question has no answer, giving one loses the point that giving none earns.
        given = np.array([bool(text) for text in answers.texts])
        gains = np.where(answerable, values, -given.astype(float))
        best, threshold = _best_threshold(gains, answers.null_odds, float((~answerable).sum()))
        name = metric.removeprefix("token_")
        reached[f"best_{name}"] = 100 * best / len(golds)
        reached[f"best_{name}_thresh"] = threshold
    return found | reached


def _best_threshold(gains: np.ndarray, null_odds: np.ndarray, none: float) -> tuple[float, float]:
    """The largest total of answering the questions of the lowest odds, and the last one's odds.

    As in SQuAD 2.0's script the first of equal totals wins, and questions of equal odds come
    one by one. Where no answer at all is best (a total of ``none``), the script prints 0, for
    its odds are probabilities; here it is a value just below all odds.
    """
    order = np.argsort(null_odds, kind="stable")
    totals = np.cumsum(np.concatenate([[none], gains[order]]))
    best = int(totals.argmax())
    odds = null_odds[order[max(best - 1, 0)]]
    return float(totals[best]), float(odds if best else np.nextafter(odds, -np.inf))


# Spans of word pieces -------------------------------------------------------------------------


def target(offsets: np.ndarray, begin: int, stop: int) -> tuple[int, int]:
    """First and last piece of the answer, or (0, 0), [CLS], where the window lacks part of it.

    Args:
        offsets: ``[piece, 2]``, characters of the context from and to; -1 at other pieces.
        begin, stop: characters of the context that answer, from and to.
    """
    inside = np.flatnonzero(offsets[:, 0] >= 0)
    if not len(inside) or offsets[inside[0], 0] > begin or offsets[inside[-1], 1] < stop:
        return 0, 0
    touched = inside[(offsets[inside, 1] > begin) & (offsets[inside, 0] < stop)]
    return (int(touched[0]), int(touched[-1])) if len(touched) else (0, 0)


def best_span(
    start: np.ndarray, end: np.ndarray, longest: int = LONGEST_ANSWER
) -> tuple[float, int, int]:
    """Score, first and last of the best span: the largest start[i] + end[j], i <= j < i + longest.

    All of them are tried, not those of the twenty best starts and ends alone. The first wins
    among equals.
    """
    ends = np.concatenate([end, np.full(longest - 1, -np.inf)])
    sums = start[:, None] + sliding_window_view(ends, longest)  # [first, length - 1]
    first, more = divmod(int(sums.argmax()), longest)
    return float(sums[first, more]), first, first + more


def decode(
    logits: np.ndarray,
    offsets: Sequence[np.ndarray],
    question_of: np.ndarray,
    contexts: Sequence[str],
    longest: int = LONGEST_ANSWER,
) -> Answers:
    """The best answer to each question over its windows.

    Args:
        logits: ``[window, start and end, piece]``; [CLS] is piece 0.
        offsets: of each window, as for `target`.
        question_of: ``[window]``, the number of the question that the window belongs to.
        contexts: of each question.
        longest: word pieces of an answer.

    Returns:
        The span of the highest start plus end; ``null_odds`` takes [CLS]'s start plus end in
        the window that believes least in no answer, as BERT's own script does. Its rule that
        a piece counts only in the window that shows most around it is left out. A context
        without any word piece has the answer "" and infinite odds.

    Raises:
        BertstudyError: a logit is not a finite number.
    """
    best = np.full(len(contexts), -np.inf)
    null = np.full(len(contexts), np.inf)
    texts = [""] * len(contexts)
    for scores, places, question in zip(logits, offsets, question_of, strict=True):
        start, end = scores[:, : len(places)].astype(np.float64)
        if not np.isfinite(start + end).all():
            raise BertstudyError("a start or end logit is not a finite number")
        null[question] = min(null[question], start[0] + end[0])
        inside = np.flatnonzero(places[:, 0] >= 0)
        if not len(inside):
            continue
        value, first, last = best_span(start[inside], end[inside], longest)
        if value > best[question]:
            begin, stop = places[inside[first], 0], places[inside[last], 1]
            best[question], texts[question] = value, contexts[question][begin:stop]
    return Answers(tuple(texts), null - best)
