"""Statistics of maps over a data set: the same as a dense loop, in the data's order."""

import numpy as np
import pytest
import torch
from models import FAMILIES, LENGTHS, examples, tiny
from torch.testing import assert_close

from bertstudy import streaming
from bertstudy.attention import Site, UniformHeads, edited, edits_of, maps
from bertstudy.attention import attention_modules as modules
from bertstudy.encoder import model_inputs
from bertstudy.errors import BertstudyError
from bertstudy.streaming import neighbours, received, sample, stream

LAYERS, HEADS = 3, 4
LONG = (7, 2, 12, 5, 9, 9, 3, 12, 4, 6, 2)  # two of each of some lengths, in no order


def dense(model, data, statistic):
    """``statistic`` of each example's own maps ``[layer, head, query, key]``, one by one."""
    found = []
    for row in range(len(data)):
        (alone,) = maps(model, **model_inputs(model, data.batch([row])))
        found.append(statistic(alone))
    return torch.stack(found).numpy()


def entropy(probs, site, gold):
    """Mean over the real queries, nats."""
    each = -(probs * probs.clamp(min=1e-30).log()).sum(-1)
    queries = site.is_token[:, None]
    return {"entropy": (each * queries).sum(-1) / queries.sum(-1)}


@pytest.fixture(params=[1, 4 * 12 * 12, 3 * 4 * 12 * 12, 10**9], ids=["1", "1 of 12", "3", "all"])
def budget(request, monkeypatch):
    """Batches of one example, of a few of similar length, and of all of them."""
    monkeypatch.setitem(streaming.WEIGHTS, "cpu", request.param)


@pytest.mark.usefixtures("budget")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_stream_is_the_dense_loop_in_the_datas_order(family):
    model, data = tiny(family, LAYERS), examples(family, LONG)
    found = stream(model, data, entropy)["entropy"]
    assert found.shape == (len(LONG), LAYERS, HEADS)
    expected = dense(model, data, lambda m: -(m * m.log()).sum(-1).mean(-1))
    assert_close(found, expected)


@pytest.mark.usefixtures("budget")
@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_no_statistic_of_ours(family):
    model, data = tiny(family, LAYERS), examples(family, LONG)

    def reduce(probs, site, gold):
        first_two = received(probs, site)[..., :2]
        return {"received": first_two, "neighbours": neighbours(probs, site)}

    found = stream(model, data, reduce)
    assert_close(found["received"], dense(model, data, lambda m: m.mean(2)[..., :2]))

    def beside(m):
        pairs = m.diagonal(1, 2, 3).sum(-1) + m.diagonal(-1, 2, 3).sum(-1)
        return pairs / m.size(-1)

    assert_close(found["neighbours"], dense(model, data, beside))


@pytest.mark.usefixtures("budget")
def test_statistics_keep_their_names_shapes_and_types():
    model, data = tiny("bert", LAYERS), examples("bert", LONG)

    def reduce(probs, site, gold):
        return {
            "count": site.is_token.sum(-1, keepdim=True).expand(-1, HEADS),
            "single": probs[..., 0, 0].float(),
            "corner": probs[..., :2, :2].flatten(2),
        }

    found = stream(model, data, reduce)
    assert list(found) == ["count", "single", "corner"]
    assert [f.dtype for f in found.values()] == [np.int64, np.float32, np.float64]
    assert found["corner"].shape == (len(LONG), LAYERS, HEADS, 4)
    assert (found["count"] == np.array(LONG)[:, None, None]).all()
    assert_close(found["corner"][..., 0], found["single"].astype(float), rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("budget")
def test_what_is_prepared_meets_its_own_examples():
    """The place of the last token, which each example has elsewhere."""
    model, data = tiny("bert", LAYERS), examples("bert", LONG)
    asked = []

    def prepare(rows, length):
        asked.append((rows.tolist(), length))
        return {"last": torch.from_numpy(data.lengths[rows] - 1)}

    def reduce(probs, site, gold):
        row = torch.arange(len(probs))
        return {"to last": probs[row, :, 0, gold["last"]]}

    found = stream(model, data, reduce, prepare)["to last"]
    assert_close(found, dense(model, data, lambda m: m[:, :, 0, -1]))
    assert sorted(row for rows, _ in asked for row in rows) == list(range(len(LONG)))
    for rows, length in asked:
        assert length == data.lengths[rows].max()


def test_no_more_maps_at_once_than_the_budget_allows(monkeypatch):
    monkeypatch.setitem(streaming.WEIGHTS, "cpu", 1200)
    seen = []

    def reduce(probs, site, gold):
        seen.append(probs.numel())
        return {"mean": probs.mean((2, 3))}

    stream(tiny("bert", LAYERS), examples("bert", LONG), reduce)
    assert max(seen) == 2 * HEADS * 12**2  # three would be over it
    assert sum(seen) < LAYERS * HEADS * 12**2 * len(LONG), "short texts with short ones"


def test_edits_of_the_model_show_in_what_is_streamed():
    model, data = tiny("bert", LAYERS), examples("bert")
    with edited(model, UniformHeads([(1, 2)])):
        found = stream(model, data, entropy)["entropy"]
    assert_close(found[:, 1, 2], np.log(LENGTHS))
    assert np.abs(found[:, 1, 1] - np.log(LENGTHS)).min() > 1e-3


def test_a_statistic_that_is_a_view_does_not_hold_the_maps():
    """What is done to maps after their reduction is not seen in it."""
    model, data, kept = tiny("bert", LAYERS), examples("bert"), []

    def reduce(probs, site, gold):
        for earlier in kept:
            earlier.zero_()
        kept.append(probs)
        return {"first": probs[..., 0, 0]}

    found = stream(model, data, reduce)["first"]
    assert (found[:, :-1] > 0).all()


# What it leaves behind ----------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_a_reduction_that_fails_leaves_the_model_as_it_was(layer):
    model, data = tiny("bert", LAYERS), examples("bert")
    batch = data.batch(range(4))
    before = model(**batch).logits

    def fails(probs, site, gold):
        if site.layer == layer:
            raise ZeroDivisionError
        return {}

    with pytest.raises(ZeroDivisionError):
        stream(model, data, fails)
    assert all(edits_of(module) == () for module in modules(model))
    assert torch.equal(model(**batch).logits, before)


def test_a_stream_leaves_the_model_as_it_was_and_gives_no_gradient():
    model, data = tiny("bert", LAYERS), examples("bert")
    batch = data.batch(range(4))
    before = model(**batch).logits

    def reduce(probs, site, gold):
        assert not probs.requires_grad
        return {"zero": probs.new_zeros(probs.shape[:2])}

    stream(model, data, reduce)
    assert torch.equal(model(**batch).logits, before)


def test_dropout_is_off():
    model, data = tiny("bert", LAYERS, dropout=0.5), examples("bert")
    model.train()
    found = [stream(model, data, entropy)["entropy"] for _ in range(2)]
    assert np.array_equal(*found)


def test_no_examples_are_refused():
    with pytest.raises(BertstudyError, match=r"^there are no examples to read maps of$"):
        stream(tiny("bert", 1), examples("bert", ()), entropy)


def test_a_model_off_the_seam_is_refused():
    model = tiny("bert", 1, implementation="eager")
    with pytest.raises(BertstudyError, match="does not use the seam"):
        stream(model, examples("bert"), entropy)


# Sample -------------------------------------------------------------------------------------------


def test_a_sample_is_the_same_each_time_in_order_and_without_repeats():
    rows = sample(5000, 1000)
    assert np.array_equal(rows, sample(5000, 1000))
    assert (np.diff(rows) > 0).all()
    assert len(rows) == 1000
    assert 0 <= rows[0] < 50, "from all over"
    assert 4950 <= rows[-1] < 5000


@pytest.mark.parametrize("total", [0, 1, 999, 1000])
def test_few_examples_are_all_taken(total):
    assert sample(total).tolist() == list(range(total))


# Statistics, by hand ------------------------------------------------------------------------------

# Three tokens and one place of padding; padding is never attended, but has a row of its own.
MAP = torch.tensor(
    [[0.5, 0.25, 0.25, 0], [1, 0, 0, 0], [0.2, 0.8, 0, 0], [0.1, 0.2, 0.7, 0]], dtype=torch.float64
)
SITE = Site(layer=0, is_token=torch.tensor([[True, True, True, False]]))


def test_received_hand_worked():
    expected = torch.tensor([1.7, 1.05, 0.25, 0], dtype=torch.float64) / 3
    assert_close(received(MAP[None, None], SITE), expected[None, None])


def test_neighbours_hand_worked():
    """Query 1 gives .25 to its only neighbour, query 2 gives 1 + 0, query 3 gives .8."""
    expected = torch.tensor([[(0.25 + 1 + 0.8) / 3]], dtype=torch.float64)
    assert_close(neighbours(MAP[None, None], SITE), expected)


@pytest.fixture(params=[torch.float32, torch.float64])
def batch(request):
    """Random maps of two heads; the second example has padding."""
    draw = torch.Generator().manual_seed(0)
    is_token = torch.arange(6) < torch.tensor([[6], [4]])
    scores = torch.randn(2, 2, 6, 6, generator=draw, dtype=request.param)
    return scores.masked_fill(~is_token[:, None, None], -torch.inf).softmax(-1), Site(0, is_token)


def test_received_is_the_column_sum_over_the_length_and_sums_to_one(batch):
    probs, site = batch
    found = received(probs, site)
    assert found.dtype == probs.dtype
    assert_close(found.sum(-1), torch.ones_like(found[..., 0]))
    assert_close(found[0], probs[0].sum(-2) / 6)
    assert_close(found[1], probs[1, :, :4].sum(-2) / 4)
    assert (found[1, :, 4:] == 0).all()


def test_neighbours_is_all_of_it_where_every_query_looks_beside_itself():
    """Planted: half to each side, all at the ends. And none where all look at themselves."""
    beside = torch.zeros(5, 5)
    for query in range(5):
        near = [key for key in (query - 1, query + 1) if 0 <= key < 5]
        beside[query, near] = 1 / len(near)
    site = Site(0, torch.ones(1, 5, dtype=torch.bool))
    assert_close(neighbours(beside[None, None], site), torch.ones(1, 1))
    assert_close(neighbours(torch.eye(5)[None, None], site), torch.zeros(1, 1))


def test_what_padding_queries_attend_to_counts_nowhere(batch):
    probs, site = batch
    changed = probs.clone()
    changed[1, :, 4:] = torch.eye(6, dtype=probs.dtype)[0]
    for statistic in (received, neighbours):
        assert torch.equal(statistic(changed, site), statistic(probs, site))
