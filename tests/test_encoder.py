"""Loading, batches and the head, for both families and their tokenizers."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from models import (
    FAMILIES,
    PAD,
    SENTENCES,
    by_hand,
    bytelevel_tokenizer,
    examples,
    hub_checkpoint,
    inputs,
    tiny,
    wordpiece_tokenizer,
)
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from bertstudy.attention import SoftMask, UniformHeads, edited, own
from bertstudy.encoder import (
    checkpoint_hash,
    classify,
    encoder_layers,
    load_classifier,
    load_encoder,
    load_finetuned,
    load_tokenizer,
    model_inputs,
    predict,
)
from bertstudy.encoding import Choices, Windows, by_length, encode, shuffled
from bertstudy.errors import BertstudyError
from bertstudy.tasks import task

TOKENIZERS = {"bert": wordpiece_tokenizer, "roberta": bytelevel_tokenizer}
PIECES = 400  # as many as either tokenizer has


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def checkpoint(tmp_path, family):
    """A folder as `bertstudy pretrain` or the hub gives it: encoder and tokenizer, no head."""
    model = tiny(family, 2, vocabulary=PIECES, dtype=torch.float32)
    model.base_model.save_pretrained(tmp_path)
    TOKENIZERS[family]().save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.fixture
def pairs():
    return Dataset.from_dict(
        {
            "sentence1": ["The cat sat on the mat.", "A bird!", "Seven ships sailed at dawn."],
            "sentence2": ["The dog barked.", "Nobody laughed; the movie works.", "A zebra?"],
            "label": [0, 1, 1],
        }
    )


# Tokenising -----------------------------------------------------------------------------------


def test_pairs_are_encoded_as_the_tokenizer_does(checkpoint, family, pairs):
    tokenizer = load_tokenizer(checkpoint)
    data = encode(tokenizer, pairs, task("mrpc"), max_length=40)
    assert len(data) == 3
    assert data.labels.tolist() == [0, 1, 1]
    assert data.pad == PAD[family]
    for row, example in enumerate(pairs):
        expected = tokenizer(example["sentence1"], example["sentence2"])
        assert data.ids[row] == expected["input_ids"]
        assert data.lengths[row] == len(expected["input_ids"])
        if family == "bert":
            assert data.segments[row] == expected["token_type_ids"]
            assert sum(data.segments[row]) > 0
        else:
            assert set(data.segments[row]) == {0}


def test_regression_labels_stay_numbers(checkpoint):
    rows = Dataset.from_dict({"sentence1": ["A cat."], "sentence2": ["A dog."], "label": [3.25]})
    labels = encode(load_tokenizer(checkpoint), rows, task("stsb"), 40).labels
    assert labels.tolist() == [3.25]


@pytest.mark.parametrize("limit", [8, 12])
def test_long_pairs_lose_tokens_of_the_longer_part(checkpoint, family, limit):
    tokenizer = load_tokenizer(checkpoint)
    rows = Dataset.from_dict(
        {"sentence1": ["cat"], "sentence2": ["the dog chase the cat " * 9], "label": [0]}
    )
    data = encode(tokenizer, rows, task("mrpc"), limit)
    assert data.lengths.tolist() == [limit]
    kept = tokenizer("cat", add_special_tokens=False)["input_ids"]
    assert data.ids[0][1 : 1 + len(kept)] == kept, "the short part is whole"
    assert data.ids[0][-1] == tokenizer.sep_token_id


# Choices ----------------------------------------------------------------------------------------


@pytest.fixture
def swag():
    """Two beginnings with four endings each, of unlike lengths."""
    endings = {
        f"ending{n}": [f"barked{' at the cat' * n}.", f"sailed{' at dawn' * (3 - n)}."]
        for n in range(4)
    }
    return Dataset.from_dict(
        {
            "startphrase": ["The dog laughed. Nobody", "Seven ships. The bird"],
            "sent1": ["The dog laughed.", "Seven ships."],
            "sent2": ["Nobody", "The bird"],
            **endings,
            "label": [2, 0],
        }
    )


def test_choices_are_pairs_of_the_beginning_and_each_completion(checkpoint, family, swag):
    tokenizer = load_tokenizer(checkpoint)
    data = encode(tokenizer, swag, task("swag"), 40)
    assert isinstance(data, Choices)
    assert (len(data), data.count) == (2, 4)
    assert data.labels.tolist() == [2, 0]
    for row, example in enumerate(swag):
        pairs = [
            tokenizer(example["sent1"], f"{example['sent2']} {example[f'ending{n}']}")
            for n in range(4)
        ]
        assert data.ids[4 * row : 4 * row + 4] == [pair["input_ids"] for pair in pairs]
        assert data.lengths[row] == max(len(pair["input_ids"]) for pair in pairs)
        batch = model_inputs(tiny(family, 1), data.batch([row]))
        expected = tokenizer.pad(pairs, return_tensors="pt")
        for name, tensor in batch.items():
            assert torch.equal(tensor, expected[name][None])


def choices(family, lengths=((7, 2, 12, 5), (3, 9, 4, 8), (6, 6, 6, 6))):
    flat = examples(family, tuple(n for example in lengths for n in example))
    return Choices(flat.ids, flat.segments, np.array([2, 0, 3]), flat.pad), flat


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_each_choice_has_the_logit_it_would_have_alone(family, batch_size):
    model, (data, flat) = tiny(family, 3, kind="choice"), choices(family)
    found = predict(model, data, batch_size)
    batch = model_inputs(model, flat.batch(range(12)))
    expected = by_hand(model, batch).view(3, 4)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    hits = (expected.argmax(-1).numpy() == data.labels).mean()
    assert data.score(found, task("swag")) == {"accuracy": pytest.approx(100 * hits)}
    assert data.majority(task("swag"))["accuracy"] == pytest.approx(100 / 3)


def test_an_example_is_taken_with_all_its_choices(family):
    data, flat = choices(family)
    taken = data.take([2, 0])
    assert (len(taken), taken.count, taken.labels.tolist()) == (2, 4, [3, 2])
    assert taken.ids == [*flat.ids[8:], *flat.ids[:4]]
    model = tiny(family, 2, kind="choice")
    np.testing.assert_allclose(predict(model, taken), predict(model, data)[[2, 0]], atol=1e-5)


def evenly(layer, head):
    """A change for `by_hand`: the named head attends evenly."""

    def change(at, which, probs):
        return torch.full_like(probs, 1 / len(probs)) if (at, which) == (layer, head) else probs

    return change


def test_edits_act_on_models_for_choices(family):
    model, (data, flat) = tiny(family, 3, kind="choice"), choices(family)
    before = predict(model, data)
    with edited(model, UniformHeads([(1, 2)])):
        within = predict(model, data)
    batch = model_inputs(model, flat.batch(range(12)))
    expected = by_hand(model, batch, probs=evenly(1, 2)).view(3, 4)
    np.testing.assert_allclose(within, expected, rtol=0, atol=1e-5)
    assert np.abs(within - before).max() > 1e-3
    assert np.array_equal(predict(model, data), before)


# Windows ------------------------------------------------------------------------------------------

LONG = " ".join(SENTENCES)


def asked(*answers, question="Does the dog chase the cat?", context=LONG):
    """One question a given answer, which is a text of the context, or None."""
    found = [
        {"text": [], "answer_start": []}
        if answer is None
        else {"text": [answer, "x"], "answer_start": [context.index(answer), 0]}
        for answer in answers
    ]
    columns = {"question": [question] * len(found), "context": [context] * len(found)}
    return Dataset.from_dict(columns | {"answers": found})


def test_a_short_context_is_one_window(checkpoint, family):
    tokenizer = load_tokenizer(checkpoint)
    context = "The dog chase the cat."
    data = encode(tokenizer, asked("the cat", context=context), task("squad"), 128)
    expected = tokenizer("Does the dog chase the cat?", context)
    assert isinstance(data, Windows)
    assert data.ids == [expected["input_ids"]]
    if family == "bert":
        assert data.segments == [expected["token_type_ids"]]
    first, last = data.labels[0]
    kept = tokenizer.decode(data.ids[0][first : last + 1]).strip().lower()
    assert kept == "the cat"


@pytest.mark.parametrize("max_length", [40, 64])
def test_windows_cover_the_context_and_overlap(checkpoint, family, max_length):
    tokenizer = load_tokenizer(checkpoint)
    whole = tokenizer(LONG, add_special_tokens=False, return_offsets_mapping=True)
    data = encode(tokenizer, asked("half"), task("squad"), max_length)
    question = tokenizer("Does the dog chase the cat?", add_special_tokens=False)["input_ids"]
    kept = []
    for ids, offsets in zip(data.ids, data.offsets, strict=True):
        assert len(ids) == len(offsets) <= max_length
        context = np.flatnonzero(offsets[:, 0] >= 0)
        kept.append([tuple(pair) for pair in offsets[context].tolist()])
        assert [ids[at] for at in context] == [
            whole["input_ids"][whole["offset_mapping"].index(pair)] for pair in kept[-1]
        ]
        shown = question[: max_length // 3]
        assert ids[1 : 1 + len(shown)] == shown
    assert len(data) > 1
    assert sorted({pair for window in kept for pair in window}) == whole["offset_mapping"]
    for first, second in pairwise(kept):
        assert first[-(max_length // 3) :] == second[: max_length // 3]


def test_each_windows_target_is_its_answer_or_cls(checkpoint):
    wanted = ["lowly worm", "Seven ships", "old harbour", "chase the dog", None]
    data = encode(load_tokenizer(checkpoint), asked(*wanted), task("squad_v2"), 48)
    for number, answer in enumerate(wanted):
        windows = np.flatnonzero(data.question_of == number)
        texts = set()
        for window in windows:
            first, last = data.labels[window]
            inside = data.offsets[window][[first, last]]
            texts.add(LONG[inside[0, 0] : inside[1, 1]] if first else None)
            held = {tuple(pair) for pair in data.offsets[window].tolist()}
            begin = LONG.index(answer) if answer else -2
            ends = {stop for _, stop in held}
            whole = any(b == begin for b, _ in held) and begin + len(answer or "") in ends
            assert bool(first) == whole
        assert texts <= {answer, None}
        assert answer in texts
    assert data.golds == [[a, "x"] if a else [] for a in wanted]
    assert data.contexts == [LONG] * 5


def test_windows_are_not_taken_by_row(checkpoint):
    with pytest.raises(BertstudyError, match="taken by question: select rows before"):
        encode(load_tokenizer(checkpoint), asked("half"), task("squad"), 40).take([0])


def test_right_logits_give_the_right_answers_back(checkpoint):
    """Peaks at the targets, as a model that has learnt everything would put them."""
    wanted = ["lowly worm", "The cat sat", "dawn", "Nobody laughed"]
    data = encode(load_tokenizer(checkpoint), asked(*wanted), task("squad"), 48)
    logits = np.zeros((len(data), 2, 48), np.float32)
    for window, (first, last) in enumerate(data.labels):
        logits[window, 0, first] = logits[window, 1, last] = 1
    assert data.answers(logits).texts == tuple(wanted)
    assert data.score(logits, task("squad")) == {"exact": 100, "token_f1": 100}
    assert data.majority(task("squad")) == {"exact": 0, "token_f1": 0}


def test_never_answering_is_right_where_there_is_no_answer(checkpoint):
    data = encode(load_tokenizer(checkpoint), asked("dawn", None, None, None), task("squad_v2"), 64)
    assert data.majority(task("squad_v2")) == {"exact": 75, "token_f1": 75}
    logits = np.zeros((len(data), 2, 64), np.float32)
    logits[:, :, 0] = 1
    found = data.score(logits, task("squad_v2"))
    assert (found["exact"], found["token_f1"]) == (75, 75)


def test_a_long_question_leaves_the_context_room(checkpoint):
    tokenizer = load_tokenizer(checkpoint)
    rows = asked("dawn", question="the dog " * 50)
    data = encode(tokenizer, rows, task("squad"), 30)
    pieces = tokenizer("the dog " * 50, add_special_tokens=False)["input_ids"]
    assert all(ids[1:11] == pieces[:10] for ids in data.ids)
    assert min(int((offsets[:, 0] >= 0).sum()) for offsets in data.offsets[:-1]) >= 15
    assert (data.labels > 0).all(1).any()


def test_windows_without_room_are_refused(checkpoint):
    with pytest.raises(BertstudyError, match="windows of 15 word pieces: at least 16"):
        encode(load_tokenizer(checkpoint), asked("dawn"), task("squad"), 15)
    data = encode(load_tokenizer(checkpoint), asked("dawn"), task("squad"), 16)
    assert (data.labels > 0).all(1).any()


def test_many_questions_are_tokenised_in_parts(checkpoint, monkeypatch):
    tokenizer = load_tokenizer(checkpoint)
    rows = asked("dawn", "half", None, "ragged", "mat")
    whole = encode(tokenizer, rows, task("squad_v2"), 40)
    monkeypatch.setattr("bertstudy.encoding.QUESTIONS", 2)
    parts = encode(tokenizer, rows, task("squad_v2"), 40)
    assert parts.ids == whole.ids
    assert np.array_equal(parts.labels, whole.labels)
    assert np.array_equal(parts.question_of, whole.question_of)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_starts_and_ends_are_those_of_each_window_alone(family, batch_size):
    model, data = tiny(family, 3, kind="spans"), examples(family, (7, 4, 12, 5))
    found = predict(model, data, batch_size)
    assert found.shape == (4, 2, 12)
    for row, length in enumerate(data.lengths):
        expected = by_hand(model, model_inputs(model, data.batch([row])))[0]
        np.testing.assert_allclose(found[row, :, :length], expected, rtol=0, atol=1e-5)
        assert (found[row, :, length:] == -np.inf).all()


def test_edits_act_on_models_for_spans(family):
    model, data = tiny(family, 3, kind="spans"), examples(family, (9, 9, 9))
    before = predict(model, data)
    with edited(model, UniformHeads([(1, 2)])):
        within = predict(model, data)
    batch = model_inputs(model, data.batch(range(3)))
    expected = by_hand(model, batch, probs=evenly(1, 2))
    np.testing.assert_allclose(within, expected, rtol=0, atol=1e-5)
    assert np.abs(within - before).max() > 1e-3
    assert np.array_equal(predict(model, data), before)


# Batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [None, 15])
def test_padding_hand_worked(family, length):
    data = examples(family, (3, 5))
    batch = data.batch([1, 0], length)
    width = length or 5
    assert batch["input_ids"].tolist() == [
        data.ids[1] + [PAD[family]] * (width - 5),
        data.ids[0] + [PAD[family]] * (width - 3),
    ]
    assert batch["attention_mask"].tolist() == [
        [1] * 5 + [0] * (width - 5),
        [1] * 3 + [0] * (width - 3),
    ]
    assert batch["token_type_ids"][1].tolist() == [0, 0, 1] + [0] * (width - 3)


@pytest.mark.parametrize("count", [1, 5, 16, 203])
@pytest.mark.parametrize("size", [1, 4, 32])
def test_batches_cover_each_row_once(count, size):
    lengths = np.random.default_rng(0).integers(2, 60, count)
    rng = np.random.default_rng(1)
    for batches in (list(by_length(lengths, size)), shuffled(lengths, size, rng, pool=3)):
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        assert len(batches) == -(-count // size)
        assert max(map(len, batches)) <= size


def test_batches_hold_similar_lengths_in_random_order():
    lengths = np.random.default_rng(0).integers(2, 100, 1024)

    def padding(batches):
        return sum(len(b) * lengths[b].max() for b in batches) / lengths.sum() - 1

    rng = np.random.default_rng(0)
    first, second = shuffled(lengths, 32, rng), shuffled(lengths, 32, rng)
    assert padding(by_length(lengths, 32)) < 0.05
    assert padding(first) < 0.15
    assert padding(np.array_split(rng.permutation(1024), 32)) > 0.5, "what it is worth"
    assert {frozenset(b.tolist()) for b in first}.isdisjoint(frozenset(b.tolist()) for b in second)
    one_pool = [lengths[:512][b].max() for b in shuffled(lengths[:512], 32, rng)]
    assert one_pool != sorted(one_pool), "not from the shortest to the longest"
    again = shuffled(lengths, 32, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_predictions_come_in_the_datas_order(family, batch_size):
    model, data = tiny(family), examples(family, (7, 2, 12, 5, 7, 30))
    found = predict(model.train(), data, batch_size)
    assert not model.training
    for row in range(len(data)):
        alone = model_inputs(model, data.batch([row]))
        with torch.no_grad():
            np.testing.assert_allclose(found[row], model(**alone).logits[0], rtol=0, atol=1e-6)


def test_no_examples_are_refused(family):
    with pytest.raises(BertstudyError, match="no examples to predict"):
        predict(tiny(family, 1), examples(family, ()))


def test_roberta_gets_no_token_types(family):
    batch = examples(family).batch([0, 1])
    names = set(model_inputs(tiny(family, 1), batch))
    expected = {"input_ids", "attention_mask"} | ({"token_type_ids"} if family == "bert" else set())
    assert names == expected


# The model in parts -------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 3])
def test_classify_gives_the_models_own_logits(family, outputs):
    model, batch = tiny(family, outputs=outputs), inputs(family)
    with torch.no_grad():
        hidden = model.base_model(**batch).last_hidden_state
        expected = model(**batch).logits
        assert torch.equal(classify(model, hidden), expected)
        assert torch.equal(classify(model, hidden[:, :1]), expected), "only the first is read"


def test_layers_are_found_or_refused(family):
    assert len(encoder_layers(tiny(family, 3))) == 3
    config = DistilBertConfig(vocab_size=30, dim=8, n_heads=2, hidden_dim=8, n_layers=1)
    with pytest.raises(BertstudyError, match="DistilBertForSequenceClassification is not laid"):
        encoder_layers(DistilBertForSequenceClassification(config))


# Loading ----------------------------------------------------------------------------------------


def state(model):
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def changed(first, second):
    """Names of the weights that differ."""
    assert first.keys() == second.keys()
    return {name for name in first if not torch.equal(first[name], second[name])}


def test_the_same_seed_gives_the_same_weights(checkpoint):
    first = state(load_classifier(checkpoint, task("sst2"), seed=3))
    torch.rand(5)
    assert not changed(first, state(load_classifier(checkpoint, task("sst2"), seed=3)))
    assert "classifier" in str(changed(first, state(load_classifier(checkpoint, task("sst2"), 4))))


def test_the_encoder_is_the_checkpoints_and_only_the_head_is_fresh(checkpoint, family):
    stored = state(tiny(family, 2, vocabulary=PIECES, dtype=torch.float32))
    loaded = load_classifier(checkpoint, task("sst2"), seed=3)
    assert all(name.startswith("classifier.") for name in changed(stored, state(loaded)))
    assert not loaded.training
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    encoder = load_encoder(checkpoint)
    for name, tensor in encoder.state_dict().items():
        if "pooler" not in name:  # RoBERTa's classifier has none, its bare encoder a fresh one
            assert torch.equal(tensor.cpu(), stored[f"{family}.{name}"])


def test_a_missing_pooler_is_drawn_from_the_seed(tmp_path):
    encoder = tiny("bert", 2, dtype=torch.float32).base_model
    encoder.pooler = None
    encoder.save_pretrained(tmp_path)
    first, again, other = (
        state(load_classifier(str(tmp_path), task("sst2"), seed=seed)) for seed in (3, 3, 4)
    )
    assert not changed(first, again)
    assert {name for name in changed(first, other) if name.startswith("bert.")} == {
        "bert.pooler.dense.weight"
    }


def test_from_scratch_shares_nothing_with_the_checkpoint(checkpoint, family):
    trained = state(load_classifier(checkpoint, task("sst2"), seed=3))
    scratch = state(load_classifier(checkpoint, task("sst2"), seed=3, pretrained=False))
    matrices = {name for name in scratch if scratch[name].ndim > 1}
    same = matrices - changed(trained, scratch)
    assert all(name.startswith("classifier.") for name in same), "the head has the same seed"
    everything = torch.cat(
        [t.flatten() for n, t in scratch.items() if t.ndim > 1 and "embeddings" not in n]
    )
    assert everything.std().item() == pytest.approx(0.02, rel=0.05)
    assert not changed(
        scratch, state(load_classifier(checkpoint, task("sst2"), seed=3, pretrained=False))
    )


def test_a_checkpoint_in_the_hubs_form_keeps_every_weight(tmp_path):
    """Its LayerNorm has the names of 2018, and its pre-training heads are left out."""
    stored = hub_checkpoint(tmp_path)
    for name in ("sst2", "swag", "squad"):
        loaded = state(load_classifier(str(tmp_path), task(name), seed=0))
        encoder = {n for n in loaded if n.startswith("bert.")}
        assert all(torch.equal(loaded[n], stored[n]) for n in encoder)
        assert len(encoder) > 30
    assert load_tokenizer(str(tmp_path)).tokenize("The cat!") == ["the", "cat", "!"]


@pytest.mark.parametrize(
    ("name", "shape", "saved"),
    [("swag", (3, 4), "ForMultipleChoice"), ("squad", (12, 2, 12), "ForQuestionAnswering")],
)
def test_heads_for_choices_and_spans(checkpoint, family, tmp_path, name, shape, saved):
    model = load_classifier(checkpoint, task(name), seed=0)
    stored = state(tiny(family, 2, vocabulary=PIECES, dtype=torch.float32))
    own = state(model)
    shared = own.keys() & stored.keys()
    assert all(torch.equal(own[n], stored[n]) for n in shared if "classifier" not in n)
    assert len(shared) > 30
    data, flat = choices(family)
    data = data if name == "swag" else flat
    assert predict(model, data).shape == shape
    model.save_pretrained(tmp_path / "tuned")
    again = load_finetuned(tmp_path / "tuned")
    assert type(again).__name__.endswith(saved)
    assert np.array_equal(predict(again, data), predict(model, data))
    assert not changed(own, state(load_classifier(checkpoint, task(name), seed=0)))


@pytest.mark.parametrize(
    ("name", "outputs", "kind"),
    [
        ("sst2", 2, "single_label_classification"),
        ("mnli", 3, "single_label_classification"),
        ("stsb", 1, "regression"),
    ],
)
def test_the_head_fits_the_task(checkpoint, family, name, outputs, kind):
    model = load_classifier(checkpoint, task(name), seed=0).cpu()
    assert model.config.num_labels == outputs
    assert model.config.problem_type == kind
    assert tuple(model.config.id2label.values()) == (task(name).labels or ("score",))
    assert predict(model, examples(family)).shape == (4, outputs)
    with edited(model, UniformHeads([(1, 2)])):  # on the seam
        predict(model, examples(family))


def test_what_is_saved_is_what_is_loaded(checkpoint, family, tmp_path):
    model = load_classifier(checkpoint, task("mnli"), seed=0)
    model.save_pretrained(tmp_path / "tuned")
    again = load_finetuned(tmp_path / "tuned")
    assert not changed(state(model), state(again))
    assert again.config.id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}
    with edited(again, UniformHeads([(1, 2)])):
        predict(again, examples(family))


def test_a_model_saved_with_an_edit_of_its_own_is_refused(checkpoint, tmp_path):
    model = load_classifier(checkpoint, task("mnli"), seed=0)
    own(model, SoftMask(heads=4, places=40, c=3.0))
    model.save_pretrained(tmp_path / "tuned")
    with pytest.raises(BertstudyError, match=r"unexpected weights softmask.alpha, 1 in all"):
        load_finetuned(tmp_path / "tuned")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("load", [load_encoder, lambda at: load_finetuned(Path(at))])
def test_a_damaged_checkpoint_is_one_line(checkpoint, tmp_path, name, load):
    load_classifier(checkpoint, task("mnli"), seed=0).save_pretrained(tmp_path / "tuned")
    content = (tmp_path / "tuned" / name).read_bytes()
    (tmp_path / "tuned" / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BertstudyError, match=f"'{tmp_path}/tuned' cannot be read") as refused:
        load(f"{tmp_path}/tuned")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("load", [load_encoder, load_tokenizer])
def test_an_absent_folder_is_named(tmp_path, load):
    with pytest.raises(BertstudyError, match=f"no checkpoint in '{tmp_path}/nowhere'"):
        load(f"{tmp_path}/nowhere")


# What a recipe calls a checkpoint ---------------------------------------------------------------


def test_hash_changes_with_a_weight_and_with_nothing_else(tmp_path):
    model = tiny("bert", 1, dtype=torch.float32)

    def saved(name):
        model.save_pretrained(tmp_path / name)
        return checkpoint_hash(str(tmp_path / name))

    first = saved("a")
    (tmp_path / "a" / "README.md").write_text("a card")
    assert checkpoint_hash(str(tmp_path / "a")) == first
    assert saved("elsewhere") == first
    with torch.no_grad():
        model.bert.pooler.dense.bias[3] += 1e-6
    assert saved("b") != first
    assert saved("a") != first, "the same folder, written anew, within one process"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocab.txt", "merges.txt"])
def test_hash_changes_with_what_decides_the_output(tmp_path, name):
    tiny("bert", 1).save_pretrained(tmp_path)
    before = checkpoint_hash(str(tmp_path))
    (tmp_path / name).write_text("something else")
    assert checkpoint_hash(str(tmp_path)) != before


def test_hash_sees_weights_of_the_old_format(tmp_path):
    torch.save({"a": 1}, tmp_path / "pytorch_model.bin")
    before = checkpoint_hash(str(tmp_path))
    torch.save({"a": 2}, tmp_path / "pytorch_model.bin")
    assert checkpoint_hash(str(tmp_path)) != before
