"""The sweep: equal to separate full forwards through the seam, with far less work."""

import numpy as np
import pytest
import torch
from models import FAMILIES, by_hand, examples, inputs, tiny
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from bertstudy import ablation
from bertstudy.ablation import disable_each
from bertstudy.attention import (
    IMPLEMENTATION,
    AdditiveMask,
    BlurContext,
    BlurValues,
    UniformHeads,
    ZeroHeads,
    all_heads,
    edited,
)
from bertstudy.encoder import predict
from bertstudy.errors import BertstudyError

EDITS = {"uniform": UniformHeads, "zero": ZeroHeads}
NEAR = {"rtol": 0, "atol": 1e-5}
AWKWARD = (7, 2, 12, 5, 1, 12, 3, 9, 30, 7)

every_case = pytest.mark.parametrize(
    ("family", "kind"), [(family, kind) for family in FAMILIES for kind in EDITS]
)


def plain_loop(model, data, kind):
    """Baseline, heads and layers by one full forward each."""

    def run(*heads):
        with edited(model, EDITS[kind](heads)):
            return predict(model, data)

    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    return (
        predict(model, data),
        np.stack([[run((layer, head)) for head in range(heads)] for layer in range(layers)]),
        np.stack([run(*all_heads(layer, heads)) for layer in range(layers)]),
    )


def assert_same(sweep, expected):
    for found, wanted in zip((sweep.baseline, sweep.heads, sweep.layers), expected, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, **NEAR)


@every_case
@pytest.mark.parametrize("layers", [1, 6, 12])
def test_sweep_equals_separate_forwards(family, kind, layers):
    model, data = tiny(family, layers), examples(family, AWKWARD)
    expected = plain_loop(model, data, kind)
    assert_same(disable_each(model, data, kind), expected)
    assert np.abs(expected[1] - expected[0]).max(axis=(2, 3)).min() > 1e-3, "every head matters"


@every_case
def test_sweep_in_single_precision_differs_by_rounding_only(family, kind):
    model, data = tiny(family, dtype=torch.float32), examples(family, AWKWARD)
    sweep, expected = disable_each(model, data, kind), plain_loop(model, data, kind)
    np.testing.assert_allclose(sweep.heads, expected[1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(sweep.layers, expected[2], rtol=0, atol=1e-4)


@every_case
def test_one_head_and_one_layer_by_hand(family, kind):
    """A route that shares nothing with the seam."""
    model, data, batch = tiny(family), examples(family), inputs(family)
    sweep = disable_each(model, data, kind)

    def disabled(chosen):
        def probs(layer, head, x):
            return torch.full_like(x, 1 / x.size(1)) if (layer, head) in chosen else x

        def context(layer, head, x):
            return torch.zeros_like(x) if (layer, head) in chosen else x

        change = {"probs": probs} if kind == "uniform" else {"context": context}
        return by_hand(model, batch, **change).numpy()

    for layer, head in [(0, 0), (3, 2), (5, 3)]:
        np.testing.assert_allclose(sweep.heads[layer, head], disabled([(layer, head)]), **NEAR)
    for layer in (0, 5):
        np.testing.assert_allclose(sweep.layers[layer], disabled(all_heads(layer, 4)), **NEAR)


@every_case
@pytest.mark.parametrize("tokens", [1, 60, 100_000])
def test_the_size_of_the_chunks_does_not_matter(monkeypatch, family, kind, tokens):
    model, data = tiny(family), examples(family, AWKWARD)
    expected = plain_loop(model, data, kind)
    monkeypatch.setitem(ablation.CHUNK_TOKENS, "cpu", tokens)
    assert_same(disable_each(model, data, kind), expected)


@pytest.mark.parametrize("lengths", [(6,), (1,), (4, 4, 4)])
@every_case
def test_one_example_and_no_padding(family, kind, lengths):
    model, data = tiny(family), examples(family, lengths)
    assert_same(disable_each(model, data, kind), plain_loop(model, data, kind))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_regression_and_three_classes(family, outputs):
    model, data = tiny(family, outputs=outputs), examples(family)
    sweep = disable_each(model, data)
    assert sweep.baseline.shape == (4, outputs)
    assert sweep.heads.shape == (6, 4, 4, outputs)
    assert sweep.layers.shape == (6, 4, outputs)
    assert_same(sweep, plain_loop(model, data, "uniform"))


@every_case
@pytest.mark.parametrize(
    "edit",
    [
        BlurContext(0.9, 5, mask_aware=True),
        BlurValues(0.9, 5, mask_aware=True),
        AdditiveMask(torch.linspace(-3, 3, 30 * 30).sin().view(30, 30)),
    ],
    ids=lambda edit: type(edit).__name__,
)
def test_a_model_that_is_already_edited_can_be_swept(family, kind, edit):
    """Its own edit comes first, the disabling after it."""
    model, data = tiny(family), examples(family, AWKWARD)
    with edited(model, edit):
        assert_same(disable_each(model, data, kind), plain_loop(model, data, kind))


def test_order_of_the_data_is_kept():
    model = tiny("bert")
    data, turned = examples("bert", AWKWARD), examples("bert", AWKWARD)
    turned.ids.reverse()
    turned.segments.reverse()
    forth, back = disable_each(model, data), disable_each(model, turned)
    np.testing.assert_allclose(forth.heads, back.heads[:, :, ::-1], **NEAR)
    assert not np.allclose(forth.baseline, back.baseline, atol=1e-2)


def layer_rows(model, work):
    """How many sequences each layer's feed-forward part saw during ``work``."""
    seen = [0] * model.config.num_hidden_layers
    handles = []
    for index, layer in enumerate(model.base_model.encoder.layer):

        def count(module, args, index=index):
            seen[index] += args[0].size(0)

        handles.append(layer.intermediate.register_forward_pre_hook(count))
    work()
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("layers", [6, 12])
def test_only_later_layers_are_computed_again(layers):
    model, data = tiny("bert", layers), examples("bert")
    seen = layer_rows(model, lambda: disable_each(model, data))
    # Layer l sees each example once as it is, and 4 heads + 1 whole layer for each layer up to l.
    assert seen == [len(data) * (1 + 5 * (index + 1)) for index in range(layers)]
    plain = layer_rows(model, lambda: plain_loop(model, data, "uniform"))
    assert sum(seen) < 0.65 * sum(plain)


def test_the_last_layer_computes_the_first_token_only():
    model, data = tiny("bert"), examples("bert")
    lengths = []
    last = model.base_model.encoder.layer[-1].intermediate
    with last.register_forward_pre_hook(lambda module, args: lengths.append(args[0].size(1))):
        disable_each(model, data)
    assert set(lengths) == {1}


def test_the_model_is_left_as_it_was():
    model, data = tiny("bert", dropout=0.5).train(), examples("bert")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first, second = disable_each(model, data), disable_each(model, data)
    assert np.array_equal(first.heads, second.heads), "dropout must be off"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert np.array_equal(predict(model, data), predict(tiny("bert"), data))


def test_bad_input_is_refused():
    model = tiny("bert")
    with pytest.raises(BertstudyError, match="unknown disabling 'none'; allowed: uniform, zero"):
        disable_each(model, examples("bert"), "none")
    with pytest.raises(BertstudyError, match="no examples"):
        disable_each(model, examples("bert", ()))
    config = DistilBertConfig(vocab_size=30, dim=8, n_heads=2, hidden_dim=8, n_layers=1)
    other = DistilBertForSequenceClassification._from_config(
        config, attn_implementation=IMPLEMENTATION
    )
    with pytest.raises(BertstudyError, match="not laid out like BERT or RoBERTa"):
        disable_each(other, examples("bert"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_case
def test_sweep_on_a_gpu_equals_separate_forwards(family, kind):
    """Sibling of `test_sweep_equals_separate_forwards`."""
    model, data = tiny(family), examples(family, AWKWARD)
    expected = plain_loop(model, data, kind)
    sweep = disable_each(model.cuda(), data, kind)
    np.testing.assert_allclose(sweep.heads, expected[1], rtol=0, atol=1e-3)


def test_models_of_other_tasks_are_refused():
    with pytest.raises(BertstudyError, match="not BertForMultipleChoice"):
        disable_each(tiny("bert", layers=2, kind="choice"), examples("bert"))
