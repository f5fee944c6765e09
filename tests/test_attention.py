"""The seam: nothing changes without edits, and each edit computes what its equation says."""

import copy
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from models import FAMILIES, LENGTHS, alone, by_hand, inputs, tiny
from torch.testing import assert_close
from transformers import DistilBertConfig, DistilBertForSequenceClassification
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from bertstudy.attention import (
    IMPLEMENTATION,
    AdditiveMask,
    BlurContext,
    BlurValues,
    Capture,
    Edit,
    Site,
    SoftMask,
    UniformHeads,
    ZeroHeads,
    all_heads,
    attention_modules,
    edited,
    gaussian_kernel,
    maps,
    own,
    relative_to_row_maximum,
    tokens_of,
)
from bertstudy.errors import BertstudyError

NEAR = {"rtol": 0, "atol": 1e-5, "check_dtype": False}
SOME_HEADS = [(0, 3), (2, 0), (2, 1), (5, 2)]


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def model(family):
    return tiny(family)


@pytest.fixture
def batch(family):
    """Four sequences of 7, 2, 12 and 5 tokens."""
    return inputs(family)


@torch.no_grad()
def logits(model, batch, *edits):
    with edited(model, *edits):
        return model(**batch).logits


# Independent oracles: dense matrices built by loops ---------------------------------------------


def blur_matrix(places, sigma, size):
    """``[places, places]``: a Gaussian along each row, folded back at both ends."""
    weights = [math.exp(-((x - size // 2) ** 2) / (2 * sigma**2)) for x in range(size)]
    out = torch.zeros(places, places, dtype=torch.float64)
    for row in range(places):
        for x, weight in enumerate(weights):
            column = row + x - size // 2
            while not 0 <= column < places:
                column = -1 - column if column < 0 else 2 * places - 1 - column
            out[row, column] += weight / sum(weights)
    return out


def even_distances(heads=None, seed=0):
    """A random mask that forbids odd distances; with a head axis if ``heads`` is given."""
    shape = (14, 14) if heads is None else (heads, 14, 14)
    mask = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    odd = torch.arange(14)[:, None].add(torch.arange(14)) % 2 == 1
    return mask.masked_fill(odd, -torch.inf)


def soft(c=3.0, heads=4):
    """A soft mask whose alpha is far from zero and not symmetric as stored."""
    torch.manual_seed(1)
    return SoftMask(heads, places=14, c=c, spread=1.0)


def soft_scores(layer, head, scores):
    alpha = soft().alpha.detach().double()[head]
    out = scores.clone()
    for i in range(len(scores)):
        for j in range(len(scores)):
            p = 1 / (1 + math.exp(-alpha[min(i, j), max(i, j)]))
            out[i, j] += -3.0 * (1 - p)
    return out


def where(chosen, change):
    """Apply ``change`` at the chosen (layer, head) pairs only."""
    return lambda layer, head, x: change(x) if (layer, head) in chosen else x


EDITS = {
    "uniform": (
        lambda: UniformHeads(SOME_HEADS),
        {"probs": where(SOME_HEADS, lambda p: torch.full_like(p, 1 / p.size(1)))},
    ),
    "zero": (lambda: ZeroHeads(SOME_HEADS), {"context": where(SOME_HEADS, torch.zeros_like)}),
    "blur context": (
        lambda: BlurContext(0.9, 5, mask_aware=True),
        {"context": lambda layer, head, x: blur_matrix(len(x), 0.9, 5) @ x},
    ),
    "blur values": (
        lambda: BlurValues(0.5, 3, mask_aware=True),
        {"values": lambda layer, head, x: blur_matrix(len(x), 0.5, 3) @ x},
    ),
    "wide blur": (  # wider than three of the sequences: folded more than once
        lambda: BlurContext(4.0, 15, mask_aware=True),
        {"context": lambda layer, head, x: blur_matrix(len(x), 4.0, 15) @ x},
    ),
    "additive": (
        lambda: AdditiveMask(even_distances()),
        {"scores": lambda layer, head, x: x + even_distances()[: len(x), : len(x)]},
    ),
    "additive by head, two layers": (
        lambda: AdditiveMask(even_distances(4), layers=[1, 4]),
        {
            "scores": lambda layer, head, x: (
                x + even_distances(4)[head, : len(x), : len(x)] if layer in (1, 4) else x
            )
        },
    ),
    "soft": (soft, {"scores": soft_scores}),
}
every_edit = pytest.mark.parametrize("name", EDITS)


# No edit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [6, 12, 24])
@pytest.mark.parametrize("lengths", [LENGTHS, (9, 9), (1,)], ids=["padded", "full", "one"])
def test_without_edits_the_seam_is_the_stock_model(family, layers, lengths):
    batch = inputs(family, lengths)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-10)):
        ours, sdpa, eager = (
            logits_of(tiny(family, layers, implementation=name, dtype=dtype), batch)
            for name in (IMPLEMENTATION, "sdpa", "eager")
        )
        assert torch.equal(ours, sdpa)
        assert_close(ours, eager, rtol=0, atol=tolerance)


@torch.no_grad()
def logits_of(model, batch):
    return model(**batch).logits


def test_without_edits_training_is_the_stock_model(family, batch):
    losses = []
    for implementation in (IMPLEMENTATION, "sdpa"):
        model = tiny(family, implementation=implementation, dropout=0.3).train()
        torch.manual_seed(5)
        loss = model(**batch, labels=torch.tensor([0, 1, 0, 1])).loss
        loss.backward()
        losses.append((loss, attention_modules(model)[0].query.weight.grad))
    assert torch.equal(losses[0][0], losses[1][0])
    assert torch.equal(losses[0][1], losses[1][1])


def test_in_bf16_on_a_cpu_the_seam_is_about_as_near_to_fp32_as_stock(family, batch, monkeypatch):
    """There the products are written out; padding is among the batch.

    Which way the roundings of one model fall differs with the processor, hence fifteen models.
    """

    def logits_and_gradient(seed, implementation, mixed):
        model = tiny(family, implementation=implementation, dtype=torch.float32, seed=seed)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits = model(**batch).logits.float()
        logits.square().sum().backward()
        gradient = torch.cat([m.key.weight.grad.flatten() for m in attention_modules(model)])
        return logits.detach(), gradient

    def distances(implementation):
        """Of the logits and of the gradient to those in fp32: ``[models, 2]``."""
        return torch.tensor(
            [
                [
                    (near - exact).norm() / exact.norm()
                    for near, exact in zip(
                        logits_and_gradient(seed, implementation, mixed=True),
                        logits_and_gradient(seed, "sdpa", mixed=False),
                        strict=True,
                    )
                ]
                for seed in range(15)
            ]
        )

    fused = []
    monkeypatch.setattr(
        "bertstudy.attention.sdpa_attention_forward",
        lambda *call, **more: fused.append(1) or sdpa_attention_forward(*call, **more),
    )
    logits_and_gradient(0, IMPLEMENTATION, mixed=True)
    assert not fused
    logits_and_gradient(0, IMPLEMENTATION, mixed=False)
    assert fused

    ours, library = (distances(name).median(0).values for name in (IMPLEMENTATION, "sdpa"))
    assert (ours > 0).all()
    assert (ours < 2.5 * library).all()
    assert (ours < torch.tensor([0.05, 0.25])).all()


@pytest.mark.parametrize("edit", [Edit, lambda: UniformHeads([]), lambda: ZeroHeads([]), Capture])
def test_an_edit_of_nothing_changes_nothing(model, batch, edit):
    assert_close(logits(model, batch, edit()), logits_of(model, batch), **NEAR)


def test_hand_written_model_is_the_stock_model(model, batch):
    """Otherwise the oracle of the tests below would prove nothing."""
    assert_close(logits_of(model, batch), by_hand(model, batch), **NEAR)


# Each edit against its oracle -----------------------------------------------------------------


@every_edit
def test_edit_equals_dense_computation_moves_logits_and_is_undone(model, batch, name):
    make, changes = EDITS[name]
    before = logits_of(model, batch)
    weights = copy.deepcopy(model.state_dict())
    out = logits(model, batch, make())
    assert_close(out, by_hand(model, batch, **changes), **NEAR)
    assert ((out - before).abs().amax(-1) > 1e-3).all(), "every sequence must feel it"
    assert torch.equal(logits_of(model, batch), before)
    assert all(torch.equal(t, weights[n]) for n, t in model.state_dict().items())


@every_edit
def test_padding_changes_nothing(model, family, batch, name):
    edit = EDITS[name][0]()
    together = logits(model, batch, edit)
    longer = logits(model, inputs(family, length=14), edit)
    apart = torch.cat([logits(model, alone(batch, row), edit) for row in range(len(LENGTHS))])
    assert_close(together, apart, **NEAR)
    assert_close(longer, apart, **NEAR)


@every_edit
@pytest.mark.parametrize("layers", [12, 24])
def test_deep_models_take_every_edit(family, layers, name):
    model, batch = tiny(family, layers), inputs(family)
    make, changes = EDITS[name]
    out = logits(model, batch, make())
    assert_close(out, by_hand(model, batch, **changes), **NEAR)
    assert (out - logits_of(model, batch)).abs().max() > 1e-2


def test_zero_heads_is_zeroing_columns_of_the_output_projection(family, model, batch):
    out = logits(model, batch, ZeroHeads(SOME_HEADS))
    stock = tiny(family, implementation="eager")
    for layer, head in SOME_HEADS:
        dense = stock.base_model.encoder.layer[layer].attention.output.dense
        dense.weight.data[:, 4 * head : 4 * head + 4] = 0
    assert_close(out, logits_of(stock, batch), **NEAR)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("heads", [None, 4])
def test_additive_mask_is_a_float_mask_of_the_stock_model(
    family, model, batch, implementation, heads
):
    size = batch["input_ids"].size(1)
    mask = even_distances(heads)[..., :size, :size]
    is_token = batch["attention_mask"].bool()
    stock = tiny(family, implementation=implementation)
    # In the model's own precision: with a narrower mask torch 2.13's fused product of doubles is
    # wrong on a CPU once a row fills its vector units (4 numbers of AVX2, 8 of AVX-512).
    both = mask.to(stock.dtype).expand(len(LENGTHS), 4, size, size)
    both = both.masked_fill(~is_token[:, None, None, :], torch.finfo(torch.float32).min)
    expected = logits_of(stock, {**batch, "attention_mask": both})
    assert_close(logits(model, batch, AdditiveMask(even_distances(heads))), expected, **NEAR)
    # The caller's own float mask passes through the seam, with and without an edit.
    passed = {**batch, "attention_mask": both}
    assert_close(logits_of(model, passed), expected, **NEAR)
    assert_close(logits(model, passed, Edit()), expected, **NEAR)


# Uniform heads --------------------------------------------------------------------------------


def probs_and_site(layer=0):
    """Two sequences of four places, three heads; the second has one place of padding."""
    torch.manual_seed(0)
    is_token = torch.tensor([[True] * 4, [True, True, True, False]])
    scores = torch.randn(2, 3, 4, 4).masked_fill(~is_token[:, None, None], -torch.inf)
    return scores.softmax(-1), Site(layer, is_token)


def test_uniform_rows_match_hand_worked_case():
    probs, site = probs_and_site()
    out = UniformHeads([(0, 1)]).probs(probs, site)
    assert_close(out[0, 1], torch.full((4, 4), 1 / 4))
    assert_close(out[1, 1], torch.tensor([[1.0, 1, 1, 0]] * 4) / 3)


@pytest.mark.parametrize("heads", [[], [0], [2, 0], [0, 1, 2]])
def test_uniform_keeps_the_invariants(heads):
    probs, site = probs_and_site(layer=3)
    before = probs.clone()
    out = UniformHeads([(3, h) for h in heads] + [(1, 0)]).probs(probs, site)
    kept = [h for h in range(3) if h not in heads]
    assert_close(out.sum(-1), torch.ones(2, 3, 4))
    assert (out[1, ..., 3] == 0).all()
    assert torch.equal(out[:, kept], before[:, kept])
    assert torch.equal(probs, before), "the input must not change"


@pytest.mark.parametrize("edit", [UniformHeads, ZeroHeads])
def test_disabling_twice_is_disabling_once(model, batch, edit):
    once = logits(model, batch, edit(SOME_HEADS))
    assert torch.equal(logits(model, batch, edit(SOME_HEADS), edit(SOME_HEADS)), once)


def test_uniform_changes_nothing_where_queries_and_keys_are_zero(model, batch):
    for module in attention_modules(model):
        for linear in (module.query, module.key):
            torch.nn.init.zeros_(linear.weight)
            torch.nn.init.zeros_(linear.bias)
    everything = [pair for layer in range(6) for pair in all_heads(layer, 4)]
    assert_close(logits(model, batch, UniformHeads(everything)), logits_of(model, batch), **NEAR)


@pytest.mark.parametrize("lengths", [(1,), (1, 6)], ids=["alone", "padded"])
def test_uniform_is_no_change_for_a_single_token(family, model, lengths):
    batch = inputs(family, lengths)
    out = logits(model, batch, UniformHeads(all_heads(2, 4)))
    assert_close(out[0], logits_of(model, batch)[0], **NEAR)


# Blur ---------------------------------------------------------------------------------------

BLURS = [BlurContext, BlurValues]


def blurred(edit, x, is_token=None):
    """The edit's own method on ``[batch, head, token, width]``."""
    site = Site(0, torch.ones(x.size(0), x.size(2)).bool() if is_token is None else is_token)
    return edit.context(x, site) if isinstance(edit, BlurContext) else edit.values(x, site)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.3, 0.5, 2.0])
@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_kernel_is_normalised_symmetric_and_gaussian(sigma, size):
    kernel = gaussian_kernel(sigma, size)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(kernel, kernel.flip(0))
    if size >= 3:
        ratio = math.exp(-1 / (2 * sigma**2))
        assert kernel[size // 2 + 1] / kernel[size // 2] == pytest.approx(ratio, rel=1e-5)


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [(0.3, [0.0038, 0.9923, 0.0038]), (0.5, [0.1065, 0.7870, 0.1065])],
)
def test_kernel_of_the_papers_grid(sigma, expected):
    """Worked by hand from equation 7 at size 3, normalised."""
    assert_close(gaussian_kernel(sigma, 3), torch.tensor(expected), rtol=0, atol=5e-5)


def test_kernel_of_vanishing_sigma_is_a_delta():
    assert gaussian_kernel(1e-200, 5).tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(("sigma", "size"), [(0, 3), (-1, 3), (math.nan, 3), (1, 2), (1, 0)])
def test_kernel_refuses_what_is_no_kernel(sigma, size):
    with pytest.raises(BertstudyError, match="must be"):
        gaussian_kernel(sigma, size)


@pytest.mark.parametrize("places", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [3, 7])
def test_blur_is_its_dense_matrix_which_is_doubly_stochastic(places, size):
    matrix = blur_matrix(places, 1.3, size)
    assert_close(matrix, matrix.T)
    assert_close(matrix.sum(0), torch.ones(places).double())
    x = torch.randn(2, 3, places, 4, dtype=torch.float64)
    for edit in BLURS:
        assert_close(blurred(edit(1.3, size), x), matrix @ x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("edit", BLURS)
@pytest.mark.parametrize("mask_aware", [False, True])
class TestBlur:
    def test_constant_sequence_stays(self, edit, mask_aware):
        x = torch.randn(2, 3, 1, 4).expand(-1, -1, 6, -1)
        assert_close(blurred(edit(0.7, 5, mask_aware), x), x.contiguous())

    def test_one_hot_gives_the_kernel(self, edit, mask_aware):
        x = torch.zeros(1, 1, 9, 2)
        x[0, 0, 4, 1] = 1
        out = blurred(edit(0.7, 5, mask_aware), x)
        assert_close(out[0, 0, 2:7, 1], gaussian_kernel(0.7, 5))
        assert out[0, 0, :, 0].abs().sum() == 0, "features do not mix"

    @pytest.mark.parametrize(("sigma", "size"), [(0.01, 3), (2.0, 1)])
    def test_delta_kernel_and_size_one_are_identity_bit_for_bit(
        self, edit, mask_aware, sigma, size
    ):
        x = torch.randn(2, 3, 7, 4)
        is_token = torch.arange(7) < torch.tensor([[7], [4]])
        assert torch.equal(blurred(edit(sigma, size, mask_aware), x, is_token), x)

    def test_delta_kernel_leaves_the_model(self, edit, mask_aware):
        model, batch = tiny("bert"), inputs("bert")
        blur = edit(1e-2, 3, mask_aware)
        assert torch.equal(logits(model, batch, blur), logits(model, batch, Edit()))


@pytest.mark.parametrize("mask_aware", [False, True])
def test_under_uniform_attention_blurring_values_is_blurring_context(family, model, mask_aware):
    batch = inputs(family, (6, 6))
    everything = [pair for layer in range(6) for pair in all_heads(layer, 4)]
    uniform = UniformHeads(everything)
    first, second = (
        logits(model, batch, uniform, edit(0.8, 3, mask_aware))
        for edit in (BlurContext, BlurValues)
    )
    assert_close(first, second, **NEAR)


def test_mask_aware_blur_mirrors_at_the_last_token_and_leaves_padding():
    x = torch.randn(2, 1, 6, 3)
    is_token = torch.arange(6) < torch.tensor([[4], [2]])
    out = blurred(BlurContext(1.0, 5, mask_aware=True), x, is_token)
    for row, count in enumerate((4, 2)):
        expected = blur_matrix(count, 1.0, 5).float() @ x[row, 0, :count]
        assert_close(out[row, 0, :count], expected)
        assert torch.equal(out[row, 0, count:], x[row, 0, count:])


def test_literal_blur_lets_padding_in_as_the_released_code_does(model, family, batch):
    """The paper's code pads first and blurs then; `mask_aware` exists because of this."""
    edit = BlurContext(0.9)
    assert not torch.allclose(
        logits(model, batch, edit), logits(model, inputs(family, length=14), edit), atol=1e-3
    )
    full = inputs(family, (9, 9))
    assert_close(logits(model, full, edit), logits(model, full, BlurContext(0.9, 3, True)), **NEAR)


# Additive masks -------------------------------------------------------------------------------


def test_masked_entries_get_no_attention(model, batch):
    with edited(model, AdditiveMask(even_distances())):
        found = maps(model, **batch)
    odd = torch.arange(12)[:, None].add(torch.arange(12)) % 2 == 1
    for row, count in enumerate(LENGTHS):
        assert (found[row, :, :, :count][..., odd[:count]] == 0).all()
        assert_close(found[row, :, :, :count].sum(-1), torch.ones(6, 4, count), **NEAR)


def only_key(key):
    """Every query may attend one key; the first two places also themselves."""
    mask = torch.full((8, 8), -torch.inf)
    mask[:, key] = 0
    mask[0, 0] = mask[1, 1] = 0
    return AdditiveMask(mask)


@pytest.mark.parametrize("lengths", [(5, 3), (3,)], ids=["key is padding", "key is cropped"])
def test_a_mask_that_leaves_a_query_no_real_key_is_refused(family, model, lengths):
    batch = inputs(family, lengths)
    logits(model, inputs(family, (5, 2)), only_key(4))  # these queries have keys
    with pytest.raises(BertstudyError, match="every key of some query in a sequence of"):
        logits(model, batch, only_key(4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.zeros(3, 4), "places, places"),
        (lambda: torch.zeros(3), "places, places"),
        (lambda: torch.zeros(3, 3).index_fill(0, torch.tensor(1), -torch.inf), "every key"),
        (lambda: torch.full((2, 3, 3), torch.finfo(torch.float32).min), "every key"),
    ],
)
def test_additive_mask_refuses_bad_shapes_and_empty_rows(make, message):
    with pytest.raises(BertstudyError, match=message):
        AdditiveMask(make())


@pytest.mark.parametrize("edit", [AdditiveMask(torch.zeros(4, 4)), SoftMask(4, 4)])
def test_masks_shorter_than_the_sequence_are_refused(model, batch, edit):
    with pytest.raises(BertstudyError, match=r"12 tokens is longer than the mask \(4\)"):
        logits(model, batch, edit)


# Soft mask ------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [1.0, 1e4])
def test_constant_importance_is_vanilla(model, batch, c):
    """Softmax ignores what is constant along a row, however large."""
    assert_close(
        logits(model, batch, SoftMask(4, 14, c=c, spread=0.0)), logits_of(model, batch), **NEAR
    )


def test_importance_is_symmetric_between_zero_and_one_and_starts_near_a_half():
    torch.manual_seed(0)
    importance = SoftMask(4, 14).importance
    assert torch.equal(importance, importance.transpose(1, 2))
    assert (importance - 0.5).abs().max() < 2e-3
    assert 1e-4 < importance.std() < 1e-3


def test_soft_mask_keeps_the_scores_digits_in_low_precision():
    scores = torch.randn(1, 4, 6, 6).bfloat16()
    out = SoftMask(4, 14, spread=0.0).scores(scores, Site(0, torch.ones(1, 6).bool()))
    assert torch.equal(out, scores.float())
    shifted = relative_to_row_maximum(torch.randn(3, 3) - 5000)
    assert (shifted.amax(-1) == 0).all()


def test_alpha_receives_the_gradient_of_finite_differences(family, batch):
    model, edit = tiny(family), soft().double()
    own(model, edit)
    labels = torch.tensor([0, 1, 0, 1])
    model(**batch, labels=labels).loss.backward()
    gradient = edit.alpha.grad
    for place in [(0, 0, 0), (1, 0, 4), (3, 2, 6), (2, 5, 5), (0, 3, 1), (1, 0, 13)]:
        found = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                edit.alpha[place] += step
                found.append(model(**batch, labels=labels).loss.item())
                edit.alpha[place] -= step
        assert gradient[place].item() == pytest.approx((found[0] - found[1]) / 2e-5, abs=1e-7)
    upper = torch.ones(7, 7).triu().bool()
    assert gradient[:, :7, :7][:, upper].abs().min() > 0, "the upper triangle is learnt"
    assert gradient.tril(-1).abs().max() == 0, "the lower one is its mirror"
    assert gradient[:, 12:].abs().max() == 0, "no sequence is that long"


def test_own_makes_the_edit_part_of_the_model(family, batch):
    model, edit = tiny(family), soft()
    with edited(model, edit):
        momentary = {name for name, _ in model.named_parameters()}
        expected = logits_of(model, batch)
    assert not any("alpha" in name for name in momentary), "a momentary edit is not the model's"
    own(model, edit)
    assert dict(model.named_parameters())["softmask.alpha"] is edit.alpha
    assert "softmask.alpha" in model.state_dict()
    assert torch.equal(logits_of(model, batch), expected)


def test_own_trains_with_the_weights(family, batch):
    model, edit = tiny(family, dropout=0.1).train(), soft()
    own(model, edit)
    before = edit.alpha.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(**batch, labels=torch.tensor([0, 1, 0, 1])).loss.backward()
    optimizer.step()
    assert not torch.equal(edit.alpha, before)


def test_a_second_edit_of_that_name_is_refused_and_leaves_the_first(family, batch):
    model = tiny(family)
    own(model, soft())
    before = logits_of(model, batch)
    with pytest.raises(BertstudyError, match="already has an edit called 'softmask'"):
        own(model, soft(c=50.0))
    assert torch.equal(logits_of(model, batch), before)


def test_a_copied_model_has_its_own_edit(family, batch):
    model = tiny(family)
    own(model, soft())
    before = logits_of(model, batch)
    twin = copy.deepcopy(model)
    torch.nn.init.normal_(twin.softmask.alpha, std=5.0)
    assert torch.equal(logits_of(model, batch), before)
    assert not torch.equal(logits_of(twin, batch), before)


# Capture --------------------------------------------------------------------------------------


def test_maps_are_the_stock_models_attentions(family, model, batch):
    found = maps(model, **batch)
    stock = tiny(family, implementation="eager").base_model
    expected = torch.stack(stock(**batch, output_attentions=True).attentions, dim=1)
    is_token = batch["attention_mask"].bool()
    assert found.shape == (4, 6, 4, 12, 12)
    assert_close(found, expected, **NEAR)
    assert_close(found.sum(-1), torch.ones(4, 6, 4, 12), **NEAR)
    assert (found.permute(0, 4, 1, 2, 3)[~is_token] == 0).all(), "padding receives nothing"


def test_capture_reduces_each_layer_as_it_is_made(model, batch):
    sites = []

    def column_mean(probs, site):
        sites.append(site)
        weight = site.is_token[:, None, :, None] / site.is_token.sum(-1)[:, None, None, None]
        return (probs * weight).sum(2)

    capture = Capture(column_mean)
    logits(model, batch, capture)
    logits(model, batch, capture)
    assert [site.layer for site in sites] == [*range(6), *range(6)]
    assert all(torch.equal(s.is_token, batch["attention_mask"].bool()) for s in sites)
    assert {layer: len(kept) for layer, kept in capture.found.items()} == dict.fromkeys(range(6), 2)
    # Each real query gives out 1 in all, so the columns' mean attention adds up to 1.
    assert_close(capture.found[3][0].sum(-1), torch.ones(4, 4), **NEAR)


def test_uniform_heads_give_every_token_one_over_its_length(model, batch):
    with edited(model, UniformHeads(all_heads(1, 4))):
        found = maps(model, **batch)
    for row, count in enumerate(LENGTHS):
        assert_close(found[row, 1, :, :, :count], torch.full((4, 12, count), 1 / count), **NEAR)


def test_maps_are_taken_before_dropout(family, batch):
    model = tiny(family, dropout=0.5).train()
    assert_close(maps(model, **batch).sum(-1), torch.ones(4, 6, 4, 12), **NEAR)


def test_maps_are_those_of_evaluation_and_leave_the_mode(family, batch):
    model = tiny(family, dropout=0.5).train()
    model.base_model.embeddings.eval()
    assert_close(maps(model, **batch), maps(model, **batch))
    assert model.training
    assert not model.base_model.embeddings.training
    assert_close(maps(model, **batch), maps(tiny(family), **batch), **NEAR)


# Composition ------------------------------------------------------------------------------------


class Scale(Edit):
    def context(self, context, site):
        return 2 * context


class Shift(Edit):
    def context(self, context, site):
        return context + 1


@pytest.mark.parametrize(
    ("edits", "change"),
    [((Scale, Shift), lambda x: 2 * x + 1), ((Shift, Scale), lambda x: 2 * (x + 1))],
)
def test_edits_apply_in_the_order_given(model, batch, edits, change):
    out = logits(model, batch, *(edit() for edit in edits))
    expected = by_hand(model, batch, context=lambda layer, head, x: change(x))
    assert_close(out, expected, **NEAR)


def test_a_capture_sees_what_came_before_it(model, batch):
    early, late = Capture(), Capture()
    logits(model, batch, early, UniformHeads(all_heads(0, 4)), late)
    assert torch.equal(early.found[0][0], maps(model, **batch)[:, 0])
    assert_close(late.found[0][0][2], torch.full((4, 12, 12), 1 / 12), **NEAR)


def test_blocks_nest_and_end_one_by_one(model, batch):
    uniform, shift = UniformHeads(SOME_HEADS), Shift()
    stock = logits_of(model, batch)
    with edited(model, uniform):
        outer = logits_of(model, batch)
        with edited(model, shift):
            inner = logits_of(model, batch)
        assert torch.equal(logits_of(model, batch), outer)
    assert torch.equal(inner, logits(model, batch, uniform, shift))
    assert torch.equal(logits_of(model, batch), stock)


class Failing(Edit):
    def probs(self, probs, site):
        if site.layer == 3:
            raise RuntimeError("in the middle of forward")
        return probs


@pytest.mark.parametrize("inside", ["block", "forward"])
def test_an_exception_leaves_the_model_as_it_was(model, batch, inside):
    before = logits_of(model, batch)

    def work():
        with edited(model, UniformHeads(SOME_HEADS), Failing()):
            if inside == "forward":
                model(**batch)
            raise RuntimeError("in the block")

    with pytest.raises(RuntimeError, match=inside):
        work()
    assert torch.equal(logits_of(model, batch), before)


def test_an_exception_in_an_inner_block_leaves_the_outer_edit(model, batch):
    with edited(model, Shift()):
        before = logits_of(model, batch)
        with pytest.raises(RuntimeError), edited(model, Failing()):
            model(**batch)
        assert torch.equal(logits_of(model, batch), before)


def test_edits_work_in_training_with_dropout(family, batch):
    model = tiny(family, dropout=0.3).train()
    labels = torch.tensor([0, 1, 0, 1])

    def loss(seed, *edits):
        torch.manual_seed(seed)
        with edited(model, *edits):
            return model(**batch, labels=labels).loss

    uniform = UniformHeads(SOME_HEADS)
    assert torch.equal(loss(0, uniform), loss(0, uniform))
    assert not torch.equal(loss(0, uniform), loss(1, uniform))
    assert not torch.equal(loss(0, uniform), loss(0, Edit()))
    loss(0, UniformHeads(all_heads(0, 4))).backward()
    first, second = attention_modules(model)[:2]
    assert first.query.weight.grad.abs().max() < 1e-9, "uniform maps do not depend on queries"
    assert second.query.weight.grad.abs().max() > 1e-4


# What may not change ----------------------------------------------------------------------------


def test_other_models_are_not_touched(family, model, batch):
    others = [tiny(family, implementation=name) for name in (IMPLEMENTATION, "sdpa", "eager")]
    before = [logits_of(other, batch) for other in others]
    with edited(model, ZeroHeads(SOME_HEADS)):
        during = [logits_of(other, batch) for other in others]
    assert all(torch.equal(a, b) for a, b in zip(before, during, strict=True))


def test_two_models_are_edited_in_two_threads(family, batch):
    models = [tiny(family), tiny(family)]
    edits = [UniformHeads(SOME_HEADS), ZeroHeads(SOME_HEADS)]
    expected = [logits(*pair) for pair in zip(models, [batch] * 2, edits, strict=True)]

    def often(index):
        return [logits(models[index], batch, edits[index]) for _ in range(8)]

    with ThreadPoolExecutor(2) as pool:
        for found, wanted in zip(pool.map(often, range(2)), expected, strict=True):
            assert all(torch.equal(out, wanted) for out in found)


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (UniformHeads([(6, 0)]), "no layer 6 head 0 .*layers are 0 to 5, heads 0 to 3"),
        (ZeroHeads([(0, 0), (0, 4)]), "no layer 0 head 4"),
        (UniformHeads([(0, -1)]), "head -1"),
        (ZeroHeads([(-1, 0)]), "layer -1"),
        (AdditiveMask(torch.zeros(3, 14, 14)), "3 heads, the model 4"),
        (AdditiveMask(torch.zeros(14, 14), layers=[2, 6]), "no layer 6"),
        (SoftMask(3, 14), "3 heads, the model 4"),
    ],
)
def test_edits_that_do_not_fit_are_refused_before_any_work(model, batch, edit, message):
    before = logits_of(model, batch)
    with pytest.raises(BertstudyError, match=message), edited(model, Shift(), edit):
        pytest.fail("the block must not be entered")
    with pytest.raises(BertstudyError, match=message):
        own(model, edit)
    assert torch.equal(logits_of(model, batch), before), "the fitting edit must not stay either"
    assert not any("alpha" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_model_off_the_seam_is_refused(family, implementation):
    model = tiny(family, implementation=implementation)
    message = f"attn_implementation='bertstudy'.*'{implementation}'"
    with pytest.raises(BertstudyError, match=message), edited(model, Edit()):
        pytest.fail("the block must not be entered")


def test_a_model_of_another_layout_is_refused():
    """Its attention modules are not found, so an edit would silently do nothing."""
    config = DistilBertConfig(vocab_size=30, dim=8, n_heads=2, hidden_dim=8, n_layers=1)
    model = DistilBertForSequenceClassification._from_config(
        config, attn_implementation=IMPLEMENTATION
    )
    with pytest.raises(BertstudyError, match="not laid out like BERT"), edited(model, Edit()):
        pytest.fail("the block must not be entered")


def test_real_tokens_are_read_from_every_kind_of_mask():
    key = torch.zeros(2, 1, 3, 4)
    allowed = torch.tensor([[[[True, True, False]]], [[[True, True, True]]]]).expand(2, 1, 3, 3)
    floats = torch.zeros(2, 1, 3, 3).masked_fill(~allowed, -torch.inf)
    assert tokens_of(None, key).tolist() == [[True] * 3] * 2
    for mask in (allowed, floats, floats.clamp(min=torch.finfo(torch.float32).min)):
        assert tokens_of(mask, key).tolist() == [[True, True, False], [True] * 3]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_edit
def test_edits_on_a_gpu_equal_the_dense_computation(model, batch, name):
    """Sibling of `test_edit_equals_dense_computation_moves_logits_and_is_undone`."""
    make, changes = EDITS[name]
    expected = by_hand(model, batch, **changes)
    edit = make().cuda() if name == "soft" else make()
    out = logits(model.cuda(), {n: t.cuda() for n, t in batch.items()}, edit)
    assert_close(out.cpu().double(), expected, rtol=0, atol=1e-4)
