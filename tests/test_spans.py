"""SQuAD's measures worked by hand, thresholds by trying them all, spans by a plain loop."""

import numpy as np
import pytest

from bertstudy.errors import BertstudyError
from bertstudy.spans import (
    Answers,
    best_span,
    decode,
    exact,
    normalise,
    score,
    target,
    token_f1,
)

BOTH = pytest.mark.parametrize("unanswerable", [False, True], ids=["1.1", "2.0"])


# One answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat's\tmat!", "cats mat"),
        ("an apple, a day", "apple day"),
        ("Theatre and banana", "theatre and banana"),
        ("A-the", "athe"),  # the hyphen goes first, so no article is left
        ("the-cat", "thecat"),
        ("U.S.A", "usa"),
        ("$12.50", "1250"),
        ("“The” cafÉ", "“ ” café"),  # only ASCII punctuation goes
        ("the", ""),
        ("A, an; THE.", ""),
        ("...", ""),
        ("", ""),
    ],
)
def test_normalising_hand_worked(text, expected):
    assert normalise(text) == expected


@BOTH
@pytest.mark.parametrize(
    ("predicted", "golds", "em", "f1"),
    [
        ("The cat.", ["cat"], 1, 1),
        ("black cat", ["cat"], 0, 2 / 3),  # P = 1/2, R = 1
        ("cat", ["black cat on mat"], 0, 2 / 5),  # P = 1, R = 1/4
        ("cat cat cat", ["cat cat dog"], 0, 2 / 3),  # two shared of three and three
        ("dog", ["cat"], 0, 0),
        ("on mat", ["mat on"], 0, 1),  # order counts for the exact match only
        ("in 1973", ["October 1973", "1973", "October"], 0, 2 / 3),  # the best of several
        ("October", ["October 1973", "october"], 1, 1),
        ("", ["cat"], 0, 0),
        ("the", ["cat"], 0, 0),
    ],
)
def test_agreement_hand_worked(predicted, golds, em, f1, unanswerable):
    assert exact(predicted, golds, unanswerable) == em
    assert token_f1(predicted, golds, unanswerable) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("predicted", "golds", "em", "f1"),
    [
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("the", [], 1, 1),  # nothing left of it
        ("", ["the"], 1, 1),  # a gold with nothing left is no gold
        ("", ["the", "cat"], 0, 0),
        ("the", ["the", "cat"], 0, 0),
    ],
)
def test_no_answer_by_the_rules_of_2_0(predicted, golds, em, f1):
    assert exact(predicted, golds, True) == em
    assert token_f1(predicted, golds, True) == f1


def test_empty_answers_by_the_rules_of_1_1():
    """The two scripts differ: 1.1 has no golds to leave out, and shares no word with nothing."""
    for predicted, golds in (("", ["the"]), ("a", ["the", "cat"]), ("!", ["..."])):
        assert exact(predicted, golds, False) == 1
        assert token_f1(predicted, golds, False) == 0


# A split ------------------------------------------------------------------------------------------


def answers(*pairs):
    return Answers(tuple(text for text, _ in pairs), np.array([odds for _, odds in pairs]))


def test_answerable_splits_hand_worked():
    """EM 1, 0, 0 and F1 1, 2/3, 0; the null odds do not count."""
    found = score(
        answers(("the cat", 9.0), ("black dog", -9.0), ("x", 0.0)),
        [["Cat"], ["dog", "hound"], ["y"]],
        unanswerable=False,
    )
    assert found == pytest.approx({"exact": 100 / 3, "token_f1": 100 * (5 / 3) / 3})


def test_unanswerable_splits_hand_worked():
    """Gold: cat, none, dog, none. At threshold 0 the third says none, which is wrong.

    By rising odds -4 (cat, right: +1), -1 (should be none: -1), 2 (half right: +2/3),
    5 (should be none: -1) from two questions without an answer: 2, 3, 2, 2 2/3, 1 2/3. So the
    best is 3 of 4, with the odds of the first.
    """
    given = answers(("cat", -4.0), ("mouse", -1.0), ("big dog", 2.0), ("mat", 5.0))
    found = score(given, [["cat"], [], ["dog"], []], unanswerable=True)
    assert found["exact"] == found["token_f1"] == 50
    assert (found["best_f1"], found["best_f1_thresh"]) == (75, -4)
    assert (found["best_exact"], found["best_exact_thresh"]) == (75, -4)


def test_f1_and_exact_match_may_choose_different_thresholds():
    """By rising odds: exact 1 and 0 from none, F1 1 and 2/3."""
    given = answers(("cat", 1.0), ("big dog", 3.0))
    found = score(given, [["cat"], ["dog"]], unanswerable=True)
    assert (found["exact"], found["token_f1"]) == (0, 0), "both odds are above 0"
    assert (found["best_exact"], found["best_exact_thresh"]) == (50, 1)
    assert found["best_f1"] == pytest.approx(100 * (5 / 3) / 2)
    assert found["best_f1_thresh"] == 3


def test_where_no_answer_is_best_the_threshold_gives_none():
    given = answers(("cat", -3.0), ("dog", -2.0))
    found = score(given, [[], []], unanswerable=True)
    assert (found["exact"], found["best_f1"]) == (0, 100)
    assert found["best_f1_thresh"] < -3
    assert (given.null_odds > found["best_f1_thresh"]).all(), "none is answered"


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_reach_what_trying_them_all_reaches(seed):
    rng = np.random.default_rng(seed)
    words = ["cat", "dog", "mat", "big cat", "black dog on mat"]
    given = answers(*zip(rng.choice(words, 30), rng.normal(size=30), strict=True))
    golds = [list(rng.choice([*words, "the"], rng.integers(0, 3))) for _ in range(30)]
    found = score(given, golds, unanswerable=True)
    for name, measure in (("f1", token_f1), ("exact", exact)):

        def at(threshold, measure=measure):
            """As 2.0's script: refusing is right where a question has no gold, whatever it says."""
            pairs = zip(given.texts, given.null_odds, golds, strict=True)
            return 100 * np.mean([not gold if odds > threshold else measure(text, gold, True)
                                  for text, odds, gold in pairs])  # fmt: skip

        every = [at(threshold) for threshold in (-np.inf, *given.null_odds)]
        assert found[f"best_{name}"] == pytest.approx(max(every))
        assert at(found[f"best_{name}_thresh"]) == pytest.approx(max(every))
        assert at(0) == pytest.approx(found["exact" if name == "exact" else "token_f1"])


@BOTH
def test_what_cannot_be_scored_is_refused(unanswerable):
    with pytest.raises(BertstudyError, match="1 answers for 2 questions"):
        score(answers(("cat", 0.0)), [["cat"], ["dog"]], unanswerable)
    with pytest.raises(BertstudyError, match="0 answers for 0 questions"):
        score(answers(), [], unanswerable)


def test_1_1_refuses_questions_without_an_answer():
    with pytest.raises(BertstudyError, match="has no answer to be scored by"):
        score(answers(("cat", 0.0)), [[]], unanswerable=False)


# Spans --------------------------------------------------------------------------------------------

NONE = (-1, -1)
# [CLS] where [SEP] the cat sat [SEP]
OFFSETS = np.array([NONE, NONE, NONE, (0, 3), (4, 7), (8, 11), NONE])
CONTEXT = "the cat sat"


@pytest.mark.parametrize(
    ("begin", "stop", "expected"),
    [
        (0, 3, (3, 3)),
        (4, 11, (4, 5)),
        (0, 11, (3, 5)),
        (5, 6, (4, 4)),  # within a piece
        (5, 9, (4, 5)),
        (3, 7, (4, 4)),  # from the space before it
        (8, 12, (0, 0)),  # goes on in the next window
        (7, 8, (0, 0)),  # touches no piece
    ],
)
def test_targets_hand_worked(begin, stop, expected):
    assert target(OFFSETS, begin, stop) == expected


def test_targets_in_a_window_that_starts_later():
    later = np.array([NONE, NONE, NONE, (4, 7), (8, 11), NONE])
    assert target(later, 4, 7) == (3, 3)
    assert target(later, 0, 7) == (0, 0), "the first part is in the window before"
    assert target(np.array([NONE, NONE]), 0, 3) == (0, 0), "no context"


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("longest", [1, 3, 30])
def test_the_best_span_is_that_of_a_plain_loop(seed, longest):
    start, end = np.random.default_rng(seed).normal(size=(2, 12))
    spans = [(i, j) for i in range(12) for j in range(i, min(i + longest, 12))]
    first, last = max(spans, key=lambda span: start[span[0]] + end[span[1]])
    assert best_span(start, end, longest) == pytest.approx((start[first] + end[last], first, last))


def test_spans_do_not_run_backwards_nor_beyond_the_limit():
    start, end = np.zeros(40), np.zeros(40)
    start[20], end[19] = 5, 5
    assert best_span(start, end) in [(5, 20, 20), (5, 0, 19)]
    start[:], end[:] = 0, 0
    start[0], end[29], end[30] = 9, 1, 7
    assert best_span(start, end) == (10, 0, 29), "thirty pieces and no more"


def window(start, end):
    return np.array([start, end], float)


def test_decoding_hand_worked():
    """The question's own pieces and [SEP] score highest and cannot answer."""
    logits = window([1, 9, 9, 0, 3, 0, 9], [2, 9, 9, 0, 1, 4, 9])[None]
    found = decode(logits, [OFFSETS], np.array([0]), [CONTEXT])
    assert found.texts == ("cat sat",)
    assert found.null_odds.tolist() == [(1 + 2) - (3 + 4)]
    assert decode(logits, [OFFSETS], np.array([0]), [CONTEXT], 1).texts == ("cat",)


def test_the_best_window_answers_and_the_least_sure_of_none_counts():
    """Question 0 has windows 0 and 2; the third piece of window 2 is padding."""
    early = np.array([NONE, (0, 3), (4, 7)])
    late = np.array([NONE, (8, 11)])
    logits = np.stack(
        [
            window([4, 1, 0], [4, 1, 0]),
            window([0, 0, 2], [0, 0, 2]),
            window([3, 2, -np.inf], [3, 2, -np.inf]),
        ]
    )
    found = decode(logits, [early, early, late], np.array([0, 1, 0]), [CONTEXT, "one two"])
    assert found.texts == ("sat", "two")
    assert found.null_odds.tolist() == [(3 + 3) - (2 + 2), 0 - 4]
    back = decode(logits[::-1], [late, early, early], np.array([0, 1, 0]), [CONTEXT, "one two"])
    assert back.texts == found.texts, "whatever the order of the windows"
    assert back.null_odds.tolist() == found.null_odds.tolist()


def test_an_empty_context_has_no_answer():
    logits = window([1, 0], [1, 0])[None]
    found = decode(logits, [np.array([NONE, NONE])], np.array([0]), [""])
    assert found.texts == ("",)
    assert found.null_odds.tolist() == [np.inf]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_refused(value):
    logits = window([1, 0, 0, 0, 0, value, 0], [0] * 7)[None]
    with pytest.raises(BertstudyError, match="not a finite number"):
        decode(logits, [OFFSETS], np.array([0]), [CONTEXT])
