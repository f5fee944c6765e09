"""§4.6 of Dark Secrets: effects and the quantities its claims are about."""

import numpy as np
import pytest

from bertstudy.papers.secrets import disabling_heads
from bertstudy.store import Record


def record(heads, layers, baseline=50.0, halves=None, seed=0, kind="uniform", task="rte"):
    whole = {"baseline": baseline, "heads": heads, "layers": layers}
    values = {"metric": "accuracy", "examples": 10, **whole, "halves": halves or [whole, whole]}
    recipe = {"model": {"task": task, "seed": seed}, "kind": kind}
    return Record("disabling", recipe, values, {}, "computed")


@pytest.fixture
def one():
    """Two layers of two heads; effects +1, -2, 0, +3 of heads and +2, -4 of layers."""
    return record([[51.0, 48.0], [50.0, 53.0]], [52.0, 46.0])


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("best_head_gain", 3.0),
        ("mean_head_effect", 0.5),
        ("share_of_heads_that_gain", 50.0),
        ("best_layer_gain", 2.0),
        ("first_layer_effect", 2.0),
        ("worst_layer_effect", -4.0),
    ],
)
def test_quantities_match_hand_worked_effects(one, quantity, expected):
    assert disabling_heads.QUANTITIES[quantity]([one]) == pytest.approx([expected])


def test_held_out_gain_is_judged_where_it_was_not_chosen():
    first = {"baseline": 50.0, "heads": [[55.0, 49.0]], "layers": [50.0]}
    second = {"baseline": 40.0, "heads": [[38.0, 41.0]], "layers": [40.0]}
    both = record([[52.0, 50.0]], [50.0], halves=[first, second])
    # Best on the first half is head 0, worth -2 on the second; best there is head 1, worth -1.
    assert disabling_heads.best_head_gain_held_out([both]) == pytest.approx([-1.5])


def test_held_out_gain_of_noise_is_zero_and_the_naive_gain_is_not():
    rng = np.random.default_rng(0)

    def noise():
        halves = [
            {
                "baseline": 0.0,
                "heads": rng.normal(size=(6, 6)).tolist(),
                "layers": rng.normal(size=6).tolist(),
            }
            for _ in range(2)
        ]
        mean = (np.array(halves[0]["heads"]) + np.array(halves[1]["heads"])) / 2
        return record(mean.tolist(), [0.0] * 6, baseline=0.0, halves=halves)

    records = [noise() for _ in range(400)]
    assert abs(disabling_heads.best_head_gain_held_out(records).mean()) < 0.15
    assert abs(disabling_heads.best_layer_gain_held_out(records).mean()) < 0.15
    assert disabling_heads.best_head_gain(records).mean() > 1.0


def test_effects_are_tidy(one):
    table = disabling_heads.effects(
        [one, record([[1.0, 1.0], [1.0, 1.0]], [1.0, 1.0], 1.0, seed=1)]
    )
    assert len(table) == 2 * (4 + 2)
    head = table.query("seed == 0 and part == 'head' and layer == 1 and head == 1")
    assert head["effect"].item() == pytest.approx(3.0)
    assert (table.query("part == 'layer'")["head"] == -1).all()
    assert (table.query("seed == 1")["effect"] == 0).all()


def test_quantities_keep_kinds_and_tasks_apart(one):
    zero = record([[49.0, 49.0], [49.0, 49.0]], [49.0, 49.0], kind="zero")
    other = record([[50.0, 50.0], [50.0, 50.0]], [50.0, 50.0], task="mrpc")
    table = disabling_heads.quantities([one, zero, other]).set_index(["quantity", "task"])["value"]
    assert table["mean_head_effect", "rte"] == pytest.approx(0.5)
    assert table["mean_head_effect", "mrpc"] == pytest.approx(0.0)
    zeroed = disabling_heads.quantities([one, zero], kind="zero").set_index("quantity")["value"]
    assert zeroed["mean_head_effect"] == pytest.approx(-1.0)


def test_heads_that_tie_share_the_held_out_gain():
    first = {"baseline": 0.0, "heads": [[1.0, 1.0, 0.0]], "layers": [0.0]}
    second = {"baseline": 0.0, "heads": [[4.0, 2.0, 9.0]], "layers": [0.0]}
    both = record([[0.0, 0.0, 0.0]], [0.0], baseline=0.0, halves=[first, second])
    assert disabling_heads.best_head_gain_held_out([both]) == pytest.approx(
        [((4 + 2) / 2 + 0.0) / 2]
    )


def test_named_heads_are_layer_4_head_1_and_layer_2_head_12():
    grid = np.zeros((12, 12))
    grid[3, 0], grid[1, 11] = -2.0, -4.0
    big = record(grid.tolist(), [0.0] * 12, baseline=0.0)
    assert disabling_heads.effect_of_named_heads([big]) == pytest.approx([-3.0])
