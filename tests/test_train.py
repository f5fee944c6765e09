"""Fine-tuning: repeatable, on the stated schedule, and it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from models import FAMILIES, SENTENCES, examples, hub_checkpoint, lay_out, tiny
from torch.optim.optimizer import register_optimizer_step_pre_hook

from bertstudy.attention import SoftMask, own
from bertstudy.devices import mixed_precision
from bertstudy.editions import EDITIONS, FineTuning
from bertstudy.encoder import load_classifier, load_finetuned, load_tokenizer, predict
from bertstudy.encoding import encode
from bertstudy.errors import BertstudyError
from bertstudy.store import Store
from bertstudy.study import Study
from bertstudy.tasks import task
from bertstudy.train import TrainingDiverged, fine_tune, loss_of, parameter_groups, save_epochs

QUICK = FineTuning(epochs=2, batch_size=4, learning_rate=1e-3)
LENGTHS = (7, 3, 12, 5, 9, 4, 6, 8, 5, 10)


def small(family="bert", **options):
    return tiny(family, 2, dtype=torch.float32, **options)


def run(model=None, settings=QUICK, seed=0, name="sst2", labels=None, lengths=LENGTHS, **options):
    """Fine-tune on random examples; returns the numbers and the model."""
    model = model or small(dropout=0.1)
    data = examples("bert", lengths)
    if labels is not None:
        data = replace(data, labels=np.asarray(labels))
    return fine_tune(model, task(name), data, data, settings, seed, **options), model


def test_the_same_seed_gives_the_same_numbers():
    (first, a), (second, b) = run(), run()
    assert first == second
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_another_seed_gives_other_numbers():
    assert run(seed=0)[0]["epochs"][0]["loss"] != run(seed=1)[0]["epochs"][0]["loss"]


def test_what_came_before_does_not_matter():
    """The generator's state on entry is not part of the recipe."""
    first, _ = run()
    torch.rand(17)
    np.random.default_rng().random(3)
    assert run()[0] == first


def test_numbers_are_reported_for_each_epoch():
    found, model = run(settings=replace(QUICK, epochs=3))
    assert found["steps"] == 3 * 3, "ten examples in batches of four"
    assert len(found["epochs"]) == 3
    assert all(set(epoch["validation"]) == {"accuracy"} for epoch in found["epochs"])
    assert not model.training
    data = examples("bert", LENGTHS)
    hits = (predict(model, data).argmax(-1) == data.labels).mean()
    assert found["epochs"][-1]["validation"]["accuracy"] == pytest.approx(100 * hits)


def test_the_reported_loss_is_the_mean_over_examples():
    """The last batch is smaller and weighs less. At a learning rate of 0 the model stays."""
    model = small()
    data = examples("bert", LENGTHS)
    found, _ = run(model, replace(QUICK, learning_rate=0.0))
    logits = torch.from_numpy(predict(model, data)).double()
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.labels))
    for epoch in found["epochs"]:
        assert epoch["loss"] == pytest.approx(expected.item(), rel=1e-5)


# The optimiser ----------------------------------------------------------------------------------


@pytest.fixture
def steps():
    """What each optimiser step is about to use: learning rate and norm of the gradient."""
    seen = []

    def look(optimizer, args, kwargs):
        gradients = [p.grad for g in optimizer.param_groups for p in g["params"]]
        norm = torch.stack([g.norm() for g in gradients if g is not None]).norm().item()
        seen.append((optimizer.param_groups[0]["lr"], norm))

    handle = register_optimizer_step_pre_hook(look)
    yield seen
    handle.remove()


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_warm_up_and_decay_are_linear(steps, warmup):
    settings = replace(QUICK, epochs=4, batch_size=1, warmup=warmup)
    found, _ = run(settings=settings)
    total, rise = 40, round(40 * warmup)
    expected = [
        1e-3 * (step / rise if step < rise else (total - step) / (total - rise))
        for step in range(total)
    ]
    assert found["steps"] == total
    assert [rate for rate, _ in steps] == pytest.approx(expected)


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_the_gradient_is_clipped(steps, clip):
    run(settings=replace(QUICK, clip=clip))
    norms = [norm for _, norm in steps]
    assert max(norms) <= clip * 1.01
    assert clip > 1 or min(norms) > clip * 0.9
    assert clip < 1 or max(norms) > 1e-2


def test_weight_decay_touches_matrices_only():
    model = small()
    own(model, SoftMask(4, 14))
    decayed, plain = parameter_groups(model, 0.3)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all(
        names[id(p)].endswith("bias") or "LayerNorm" in names[id(p)] for p in plain["params"]
    )
    assert not any(
        names[id(p)].endswith("bias") or "LayerNorm" in names[id(p)] for p in decayed["params"]
    )
    both = [*decayed["params"], *plain["params"]]
    assert sorted(map(id, both)) == sorted(map(id, model.parameters())), "each once"


def test_frozen_parameters_stay():
    model = small()
    frozen = model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    before = frozen.clone()
    run(model)
    assert torch.equal(frozen, before)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_weight_decay_shrinks_what_has_no_gradient(decay):
    """Positions beyond the longest sequence: AdamW multiplies them by 1 - rate · decay a step."""
    model = small()
    before = model.bert.embeddings.position_embeddings.weight[30:].clone()
    run(model, replace(QUICK, weight_decay=decay, learning_rate=0.1, warmup=0.0, epochs=1))
    factor = np.prod([1 - 0.1 * share * decay for share in (1, 2 / 3, 1 / 3)])
    after = model.bert.embeddings.position_embeddings.weight[30:]
    torch.testing.assert_close(after, before * factor)


# Losses, learning ---------------------------------------------------------------------------------


def test_losses_match_hand_worked_cases():
    even = loss_of(torch.zeros(2, 4), torch.tensor([0, 3]))
    assert even.item() == pytest.approx(np.log(4))
    squared = loss_of(torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 5.0], dtype=torch.float64))
    assert squared.item() == pytest.approx((1 + 4) / 2)
    halves = loss_of(torch.tensor([[1.0, 0.0]]).bfloat16(), torch.tensor([0]))
    assert halves.dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_eight_examples_are_learnt_by_heart(family):
    model = small(family, dropout=0.1)
    data = examples(family, LENGTHS[:8])
    settings = FineTuning(epochs=25, batch_size=4, learning_rate=1e-2)
    found = fine_tune(model, task("sst2"), data, data, settings, seed=0)
    first, last = found["epochs"][0], found["epochs"][-1]
    assert last["validation"]["accuracy"] == 100
    assert last["loss"] < 0.3 * first["loss"]


def test_regression_learns():
    labels = np.linspace(0, 5, len(LENGTHS))
    settings = FineTuning(epochs=30, batch_size=5, learning_rate=1e-2)
    found, model = run(small(outputs=1), settings, name="stsb", labels=labels)
    first, last = found["epochs"][0], found["epochs"][-1]
    assert last["loss"] < 0.2 * first["loss"]
    assert last["validation"]["spearman"] > 90
    assert predict(model, examples("bert", LENGTHS)).shape == (10, 1)


# Choices and spans ------------------------------------------------------------------------------


def test_the_loss_of_spans_is_the_mean_of_starts_and_ends():
    """Two windows; the second has three pieces and one of padding, which takes no part."""
    logits = torch.zeros(2, 2, 4)
    logits[1, :, 3] = -torch.inf
    labels = torch.tensor([[0, 3], [2, 2]])
    expected = (2 * np.log(4) + 2 * np.log(3)) / 4
    assert loss_of(logits, labels).item() == pytest.approx(expected)
    logits[0, 1, 3] = 1.0  # the right end
    expected += (np.log(3 + np.e) - 1 - np.log(4)) / 4
    assert loss_of(logits, labels).item() == pytest.approx(expected)


def test_the_loss_of_choices_is_that_of_classes():
    logits = torch.tensor([[0.0, 0.0, np.log(2), 0.0]])
    assert loss_of(logits, torch.tensor([2])).item() == pytest.approx(np.log(5 / 2))


def swag_rows(count=16):
    """The right ending, each time in another place, is the one that names the cat."""
    animals = ["cat", "dog", "bird", "worm"]
    chosen = [n % 4 for n in range(count)]
    endings = {f"ending{n}": [f"is {animals[(n - right) % 4]}." for right in chosen]
               for n in range(4)}  # fmt: skip
    return {"sent1": ["A cat sat."] * count, "sent2": ["It"] * count, **endings, "label": chosen}


def squad_rows(count=12, none=False):
    """Questions on five contexts of several windows each, one in five perhaps unanswerable."""
    asked = ["cat", "dog", "lowly", "movie", "old"]
    given = ["sat", "chase", "worm", "works", "harbour"]
    contexts, questions, answers = [], [], []
    for n in range(count):
        contexts.append(" ".join(SENTENCES[n % 5 :] + SENTENCES[: n % 5]))
        questions.append(f"the {asked[n % 5]}?")
        after = given[n % 5]
        found = {"text": [after], "answer_start": [contexts[-1].index(after)]}
        answers.append({"text": [], "answer_start": []} if none and n % 5 == 1 else found)
    return {"question": questions, "context": contexts, "answers": answers}


ROWS = {"swag": swag_rows(), "squad": squad_rows(), "squad_v2": squad_rows(none=True)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub-form")
    hub_checkpoint(folder)
    return str(folder)


def tuned(checkpoint, name, settings, seed=0):
    """Fine-tune on the rows and score on them; returns the numbers and the model."""
    rows, found = Dataset.from_dict(ROWS[name]), task(name)
    data = encode(load_tokenizer(checkpoint), rows, found, 64)
    model = load_classifier(checkpoint, found, seed, dropout=settings.dropout)
    return fine_tune(model, found, data, data, settings, seed), model


@pytest.mark.parametrize(("name", "metric"), [("swag", "accuracy"), ("squad_v2", "token_f1")])
def test_choices_and_spans_are_learnt_by_heart(checkpoint, name, metric):
    # Slow and long: at three times this rate the outcome depends on the machine's rounding.
    settings = FineTuning(epochs=70, batch_size=4, learning_rate=1e-3, dropout=0.0)
    found, _ = tuned(checkpoint, name, settings)
    first, last = found["epochs"][0], found["epochs"][-1]
    assert last["loss"] < 0.2 * first["loss"]
    assert last["validation"][metric] > 90


@pytest.mark.parametrize("name", ROWS)
def test_choices_and_spans_repeat_with_the_seed(checkpoint, name):
    settings = replace(QUICK, dropout=0.1)
    (first, a), (second, b) = (tuned(checkpoint, name, settings) for _ in range(2))
    assert first == second
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert tuned(checkpoint, name, settings, seed=1)[0] != first


@pytest.mark.parametrize("name", ["swag", "squad"])
def test_choices_and_spans_that_diverge_say_where(checkpoint, name):
    found = task(name)
    data = encode(load_tokenizer(checkpoint), Dataset.from_dict(ROWS[name]), found, 64)
    model = load_classifier(checkpoint, found, 0)
    (model.classifier if name == "swag" else model.qa_outputs).register_forward_pre_hook(
        BreaksAt(2, float("nan"))
    )
    with pytest.raises(TrainingDiverged, match=rf"at epoch 1, step 2 of .* \({name}, seed 3"):
        fine_tune(model, found, data, data, QUICK, 3)


def test_padding_does_not_reach_the_loss_of_spans(checkpoint):
    """At a learning rate of 0 the loss is the same in batches of any size."""
    settings = replace(QUICK, learning_rate=0.0, dropout=0.0, epochs=1)
    losses = [
        tuned(checkpoint, "squad", replace(settings, batch_size=size))[0]["epochs"][0]["loss"]
        for size in (1, 5, 64)
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.parametrize("name", ["mrpc", "stsb", *ROWS])
def test_base_runs_offline_from_files_in_the_hubs_form(checkpoint, tmp_path, monkeypatch, name):
    """Edition base's own recipe through a study: load, tokenise, fine-tune, keep, score."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    pair = {"sentence1": SENTENCES * 2, "sentence2": SENTENCES[::-1] * 2}
    rows = ROWS.get(name) or pair | {"label": [0.5, 2.5] * 5 if name == "stsb" else [0, 1] * 5}
    source = lay_out(tmp_path / "data", name, train=rows, validation=rows)
    base = replace(EDITIONS["base"], checkpoint=checkpoint, source=source)
    opened = Study(base, (name,), (0,))
    opened.store = Store(tmp_path / "store")
    (found,) = opened.tasks
    record = opened.scores(found, 0)
    assert record.values["examples"] == len(opened.encoded(found, "validation"))
    assert set(found.metrics) <= set(record.values["scores"])
    assert set(found.metrics) == set(record.values["majority"])
    assert all(np.isfinite(value) for value in record.values["scores"].values())
    again = predict(opened.fine_tuned(found, 0), opened.encoded(found, "validation"))
    scores = opened.encoded(found, "validation").score(again, found)
    assert scores == pytest.approx(record.values["scores"]), "kept, and found again"


def test_a_learnt_edit_is_trained():
    model = small()
    mask = SoftMask(4, 14, c=1.0)
    before = mask.alpha.detach().clone()
    own(model, mask)
    run(model)
    moved = (mask.alpha - before).abs().amax(0) > 0
    assert moved[:3, :3].triu().sum() == 6
    assert (mask.alpha[:, 12:, 12:] - before[:, 12:, 12:]).abs().max() < 1e-4, "only decay"


# When it goes wrong -------------------------------------------------------------------------------


class BreaksAt:
    """Turns a weight into NaN before forward pass ``number`` of training."""

    def __init__(self, number, value):
        self.left, self.value = number, value

    def __call__(self, module, args):
        if module.training:
            self.left -= 1
            if self.left == 0:
                torch.nn.init.constant_(module.weight, self.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(("number", "epoch"), [(1, 1), (3, 1), (5, 2)])
def test_a_loss_that_is_no_number_says_where(value, number, epoch):
    model = small()
    model.classifier.register_forward_pre_hook(BreaksAt(number, value))
    message = rf"at epoch {epoch}, step {number} of 6 \(sst2, seed 4, learning rate 0.001\)"
    with pytest.raises(TrainingDiverged, match=message):
        run(model, seed=4)


def test_an_absurd_learning_rate_is_reported_not_hidden():
    with pytest.raises(BertstudyError, match=r"smaller learning rate|not a finite number"):
        run(settings=replace(QUICK, learning_rate=1e20, epochs=4, warmup=0.0))


def test_no_examples_are_refused():
    with pytest.raises(BertstudyError, match="sst2 has no training examples"):
        run(lengths=())


# Checkpoints --------------------------------------------------------------------------------------


def test_each_epoch_is_saved_when_asked(tmp_path):
    _, model = run(after_epoch=save_epochs(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-1", "epoch-2"]
    data = examples("bert", LENGTHS)
    first, last = (load_finetuned(tmp_path / f"epoch-{n}").cpu() for n in (1, 2))
    assert np.array_equal(predict(last, data), predict(model, data))
    assert not np.array_equal(predict(first, data), predict(model, data))


def test_nothing_is_saved_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run()
    assert not list(tmp_path.iterdir())


def test_saving_epochs_does_not_change_the_run(tmp_path):
    assert run(after_epoch=save_epochs(tmp_path))[0] == run()[0]


# GPU --------------------------------------------------------------------------------------------


def _learn(device):
    model, data = small(dropout=0.0).to(device), examples("bert", LENGTHS)
    settings = replace(QUICK, epochs=8)
    found = fine_tune(model, task("sst2"), data, data, settings, seed=0, mixed=True)
    assert {p.device.type for p in model.parameters()} == {device}
    assert {p.dtype for p in model.parameters()} == {torch.float32}, "bf16 is for products only"
    assert found["epochs"][-1]["loss"] < found["epochs"][0]["loss"]
    return found


def test_training_on_a_cpu_lowers_the_loss():
    _learn("cpu")


UNITS = {"avx2": True, "l2_cache_size": 1048576}


def _products_in(monkeypatch, **options):
    """The type of the products of one training, on a CPU with bf16 units."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: UNITS | {"avx512_bf16": True})
    model, seen = small(), set()

    def see(module, inputs, output):
        if module.training:  # predictions stay in fp32
            seen.add(output.dtype)

    model.base_model.encoder.layer[0].attention.self.query.register_forward_hook(see)
    run(model, **options)
    (found,) = seen
    return found


def test_products_are_in_bf16_where_the_cpu_has_units_and_it_is_wanted(monkeypatch):
    assert _products_in(monkeypatch, mixed=True) is torch.bfloat16
    assert _products_in(monkeypatch) is torch.float32


@pytest.mark.parametrize(
    ("units", "enabled"),
    [({}, False), ({"avx512_bf16": False}, False), ({"avx512_bf16": True}, True),
     ({"amx_bf16": True}, True)],
)  # fmt: skip
def test_bf16_is_used_where_there_are_units_for_it(monkeypatch, units, enabled):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: UNITS | units)
    with mixed_precision(torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu") is enabled
    with mixed_precision(torch.device("cpu"), wanted=False):
        assert not torch.is_autocast_enabled("cpu")


def test_an_edition_says_whether_products_may_be_in_bf16(tmp_path, monkeypatch):
    seen = []

    def train(*arguments, mixed, **options):
        seen.append(mixed)
        return {"epochs": [{"validation": {"accuracy": 0.0}}], "steps": 0}

    monkeypatch.setattr("bertstudy.study.fine_tune", train)
    for mixed in (False, True):
        chosen = replace(EDITIONS["mini"], mixed_precision=mixed)
        study = Study(chosen, ("sst2",), (0,))
        study.store = Store(tmp_path / str(mixed), tmp_path / "shipped")
        study.fine_tuned(task("sst2"), 0)
    assert seen == [False, True]
    assert not EDITIONS["mini"].mixed_precision, "its records are compared across machines"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_on_a_gpu_in_bf16_lowers_the_loss_alike():
    """Sibling of `test_training_on_a_cpu_lowers_the_loss`."""
    assert _learn("cuda")["epochs"][0]["loss"] == pytest.approx(
        _learn("cpu")["epochs"][0]["loss"], rel=0.05
    )
