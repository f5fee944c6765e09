"""Pre-training: what the examples look like, and that a killed run resumes to the bit."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy.stats import binomtest
from transformers import AutoModel, AutoTokenizer

from bertstudy import editions
from bertstudy.editions import Architecture, Edition, FineTuning, PreTraining
from bertstudy.encoder import checkpoint_hash
from bertstudy.errors import BertstudyError
from bertstudy.pretrain import checkpoint, pretrain
from bertstudy.pretrain.checkpoint import began_from, card
from bertstudy.pretrain.examples import IGNORED, Examples, held_out_examples
from bertstudy.pretrain.model import (
    evaluate,
    grow,
    losses,
    new_model,
    start_from_counts,
    unigram_loss,
)
from bertstudy.pretrain.prepared import prepare, text_key
from bertstudy.pretrain.run import Run, drop_state, onward, optimizer_of
from bertstudy.pretrain.text import (
    CLS,
    MASK,
    PAD,
    SEP,
    SPECIAL,
    TOKENIZER,
    UNK,
    Corpus,
    documents,
    split_sentences,
    tokenize,
    train_tokenizer,
)

PREPARED = "bertstudy.pretrain.prepared"
PLAN = PreTraining(tokens=16 * 8 * 12, batch_size=8, length=16, warmup=0.25, seed=3)
SHAPE = Architecture(layers=2, heads=2, hidden=8, vocabulary=700, positions=16)
GROWING = replace(PLAN, growth=((0.0, 1), (0.3, 2)))
MIXED = replace(PLAN, shorter=(8, 12), near=0.5)
COUNTED = replace(PLAN, window=2)
MOST = 2000  # above every piece


def corpus(documents=12, seed=0, longest=9):
    """Random documents in which no piece occurs twice: piece 5 + i is at place i."""
    rng = np.random.default_rng(seed)
    lengths = [rng.integers(1, longest, rng.integers(2, 7)) for _ in range(documents)]
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return Corpus(
        pieces=np.arange(5, 5 + starts[-1], dtype=np.uint16),
        sentences=starts,
        documents=np.concatenate([[0], np.cumsum([len(sizes) for sizes in lengths])]),
    )


def edition(plan=PLAN):
    return Edition(
        name="tiny",
        checkpoint="unused",
        source="synthetic",
        tasks=(),
        seeds=(0,),
        fine_tuning=FineTuning(),
        architecture=SHAPE,
        pretraining=plan,
    )


def drawn(text, plan=PLAN, steps=40):
    """Places of the two parts, label and length of many examples, before masking."""
    examples = Examples(text, replace(plan, masked=0.0), MOST)
    for step in range(steps):
        batch = examples.batch(step, plan.batch_size)
        length = batch["input_ids"].size(1)
        for row in range(len(batch["input_ids"])):
            ids = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
            kind = batch["token_type_ids"][row].tolist()
            cut = ids.index(SEP)
            assert kind[: len(ids)] == [0] * (cut + 1) + [1] * (len(ids) - cut - 1)
            assert not any(kind[len(ids) :])
            assert (ids[0], ids[-1]) == (CLS, SEP)
            first, second = np.array(ids[1:cut]) - 5, np.array(ids[cut + 1 : -1]) - 5
            yield first, second, int(batch["is_random"][row]), length


# Text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("One. Two! Three? Four; Five.", ["One.", "Two!", "Three?", "Four;", "Five."]),
        ("He left at 3.15 in the morning. so it was.", None),
        ('"Go," he said. "Now!" She went.', ['"Go," he said.', '"Now!"', "She went."]),
        ("It rained. (Much.) It stopped.", ["It rained.", "(Much.)", "It stopped."]),
        ('(He said "no.") She laughed.', ['(He said "no.")', "She laughed."]),
        ("“Yes.” ‘No.’ Then silence.", ["“Yes.”", "‘No.’", "Then silence."]),
        ("  Padded. With spaces.  ", ["Padded.", "With spaces."]),
        ("", []),
    ],
)
def test_sentences_hand_worked(paragraph, expected):
    assert split_sentences(paragraph) == ([paragraph] if expected is None else expected)


def test_splitting_keeps_the_text():
    text = 'A cat (grey). "Was it?" asked Mr. Fox; "No!" No. [Sic.] ‘So.’ End'
    assert " ".join(split_sentences(text)) == text


def test_a_local_corpus_is_read(tmp_path):
    rows = {"text": ["One is here. Two is there.\n\nThree.", "Four. Five."]}
    Dataset.from_dict(rows).to_parquet(tmp_path / "train-00000-of-00001.parquet")
    found = list(documents(tmp_path, "train", seed=0))
    assert found == [["One is here.", "Two is there.", "Three."], ["Four.", "Five."]]
    with pytest.raises(BertstudyError, match="no data for pre-training/validation"):
        list(documents(tmp_path, "validation", seed=0))


def test_a_corpus_that_is_none_is_refused(tmp_path):
    with pytest.raises(BertstudyError, match="is not there"):
        list(documents(tmp_path / "nowhere", "train", seed=0))
    Dataset.from_dict({"words": ["a"]}).to_parquet(tmp_path / "train-00000-of-00001.parquet")
    with pytest.raises(BertstudyError, match="no 'text' column; it has words"):
        list(documents(tmp_path, "train", seed=0))


TEXTS = [
    ["The cat sat on the mat.", "The dog barked.", "A bird sang."],
    ["Alone it stands."],
    ["Seven ships sailed.", "The harbour was empty."],
]


@pytest.mark.parametrize("texts", [[], [["Alone it stands."]]])
def test_a_text_without_two_sentences_in_a_row_is_refused(tmp_path, texts):
    train_tokenizer((s for d in TEXTS for s in d), SHAPE, tmp_path)
    with pytest.raises(BertstudyError, match="no document of two sentences"):
        tokenize(iter(texts), tmp_path / "tokenizer.json")


@pytest.mark.parametrize("chunk", [512, 0])
def test_tokenised_documents_are_the_texts(tmp_path, chunk):
    train_tokenizer((s for d in TEXTS for s in d), SHAPE, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(SPECIAL) == [PAD, UNK, CLS, SEP, MASK]
    text = tokenize(iter(TEXTS), tmp_path / "tokenizer.json", chunk)
    assert text.documents.tolist() == [0, 3, 5], "a document of one sentence has no next one"
    kept = [sentence for document in (TEXTS[0], TEXTS[2]) for sentence in document]
    for index, sentence in enumerate(kept):
        pieces = text.pieces[text.sentences[index] : text.sentences[index + 1]]
        assert pieces.tolist() == tokenizer(sentence, add_special_tokens=False)["input_ids"]
    assert text.document_of(np.arange(5)).tolist() == [0, 0, 0, 1, 1]


def test_sentences_without_a_word_piece_are_none(tmp_path):
    train_tokenizer([s for d in TEXTS for s in d], SHAPE, tmp_path)
    blank = ["\ufeff", "\u200b\u200d"]
    texts = [[blank[0], *TEXTS[0], blank[1]], [TEXTS[0][0], blank[0]], blank]
    text = tokenize(iter(texts), tmp_path / "tokenizer.json")
    alone = tokenize(iter(TEXTS[:1]), tmp_path / "tokenizer.json")
    for name in ("pieces", "sentences", "documents"):
        assert np.array_equal(getattr(text, name), getattr(alone, name))


def test_a_tokenizer_learnt_in_another_process_has_the_same_bytes(tmp_path):
    """Many ties: words of random letters, each twice; and two hash seeds."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(3, 9))) for _ in range(400)]
    (tmp_path / "texts").write_text("\n".join(words + words[::-1]))
    code = (
        "import sys\nfrom pathlib import Path\nfrom bertstudy.editions import Architecture\n"
        "from bertstudy.pretrain.text import train_tokenizer\n"
        "train_tokenizer(Path('texts').read_text().split(), Architecture(1, 1, 8, 150), "
        "Path(sys.argv[1]))"
    )
    for name in ("a", "b"):
        found = {**os.environ, "PYTHONHASHSEED": str(ord(name))}
        subprocess.run([sys.executable, "-c", code, name], cwd=tmp_path, env=found, check=True)
    for name in TOKENIZER:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    vocabulary = AutoTokenizer.from_pretrained(tmp_path / "a").get_vocab()
    assert sorted(vocabulary.values()) == list(range(150)), "no number twice, none left out"


def test_the_vocabulary_is_special_tokens_then_letters_then_pieces(tmp_path, monkeypatch):
    """Of four letters z is the rarest. In "tab", there three times, t-a and a-b tie, and t comes
    before ##a."""
    monkeypatch.setattr("bertstudy.pretrain.text.ALPHABET", 3)
    train_tokenizer(["Tab tab bat", "abz tab"], replace(SHAPE, vocabulary=12), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    assert pieces[:5] == SPECIAL
    assert pieces[5:11] == ["a", "b", "t", "##a", "##b", "##t"]
    assert pieces[11:] == ["ta"]
    assert set(tokenizer.all_special_tokens) == set(SPECIAL)


# Examples -----------------------------------------------------------------------------------------


def test_a_step_gives_the_same_batch_whenever_asked():
    text = corpus()
    examples = Examples(text, PLAN, MOST)
    late = [examples.batch(step, 8) for step in (5, 6)]
    examples = Examples(text, PLAN, MOST)
    for step in (6, 5):
        again = examples.batch(step, 8)
        assert all(torch.equal(again[name], late[step - 5][name]) for name in again)
    assert not torch.equal(late[0]["input_ids"], late[1]["input_ids"])
    other = Examples(text, replace(PLAN, seed=4), MOST).batch(5, 8)
    assert not torch.equal(other["input_ids"], late[0]["input_ids"])


@pytest.mark.parametrize("longest", [3, 9, 40])
@pytest.mark.parametrize("near", [0.0, 0.5, 1.0])
def test_pairs_are_two_parts_that_follow_or_come_from_elsewhere(longest, near):
    text = corpus(longest=longest)
    document = text.document_of(np.searchsorted(text.sentences, np.arange(2000), "right") - 1)
    labels, same = [], []
    for first, second, is_random, length in drawn(text, replace(PLAN, near=near)):
        assert len(first), "the first part must not be empty"
        assert len(second), "an empty second part would give its label away"
        assert len(first) + len(second) <= length - 3
        for part in (first, second):
            assert (np.diff(part) == 1).all(), "a part is text as it stands"
            assert document[part[0]] == document[part[-1]], "and crosses no border"
        assert first[0] in text.sentences
        if is_random:
            assert second[0] in text.sentences
            assert second[0] != first[-1] + 1, "what follows is no negative"
            assert not set(first) & set(second)
            same.append(document[first[0]] == document[second[0]])
        else:
            assert second[0] == first[-1] + 1
            assert document[first[0]] == document[second[0]]
            assert longest > 9 or second[0] in text.sentences
        labels.append(is_random)
    assert binomtest(sum(labels), len(labels), 0.5).pvalue > 1e-4
    assert near == np.mean(same) if near == 0 else np.mean(same) > near * 0.6


def test_parts_are_filled_to_the_length_where_the_text_lasts():
    lengths = [len(a) + len(b) for a, b, _, _ in drawn(corpus(longest=40))]
    assert np.mean(np.array(lengths) == PLAN.length - 3) > 0.8


def test_shorter_sequences_take_turns_and_come_in_larger_batches():
    examples = Examples(corpus(), replace(PLAN, shorter=(8, 12)), MOST)
    shapes = [tuple(examples.batch(step, 8)["input_ids"].shape) for step in range(60)]
    assert set(shapes) == {(8, 16), (16, 8), (10, 12)}
    for shape in set(shapes):
        assert binomtest(shapes.count(shape), 60, 1 / 3).pvalue > 1e-4


def test_masking_is_15_percent_of_pieces_of_which_80_10_10():
    plan = replace(PLAN, batch_size=64)
    masked, plain = (Examples(corpus(), p, MOST) for p in (plan, replace(plan, masked=0.0)))
    before, after, targets = [], [], []
    for step in range(40):
        batch = masked.batch(step, 64)
        before.append(plain.batch(step, 64)["input_ids"])
        after.append(batch["input_ids"])
        targets.append(batch["targets"])
    before, after, targets = (torch.cat(column) for column in (before, after, targets))
    chosen, pieces = targets != IGNORED, before > MASK
    assert not (chosen & ~pieces).any(), "[CLS], [SEP] and padding are never predicted"
    assert torch.equal(targets[chosen], before[chosen])
    assert torch.equal(after[~chosen], before[~chosen])

    def share(part, whole):
        return binomtest(int(part.sum()), int(whole.sum()), 0.5).proportion_ci(0.9999)

    hidden = chosen & (after == MASK)
    replaced = chosen & ~hidden & (after != before)
    kept = chosen & (after == before)
    for part, whole, expected in (
        (chosen, pieces, 0.15),
        (hidden, chosen, 0.8),
        (replaced, chosen, 0.1),
        (kept, chosen, 0.1),
    ):
        low, high = share(part, whole)
        assert low < expected < high
    assert after[replaced].min() > MASK, "no special piece is put in"
    assert after.max() < MOST


def test_padding_is_masked_out():
    batch = Examples(corpus(longest=3), PLAN, MOST).batch(0, 64)
    assert torch.equal(batch["attention_mask"].bool(), batch["input_ids"] != PAD)
    assert not batch["attention_mask"].bool().all()


def test_one_document_is_no_corpus():
    with pytest.raises(BertstudyError, match="at least two documents"):
        Examples(corpus(documents=1), PLAN, MOST)


# Model --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (2, 3), (3, 6)])
def test_growth_repeats_the_layers_and_keeps_the_rest(before, after):
    model = new_model(SHAPE, before, seed=0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    deeper = grow(model, SHAPE, after, seed=1)
    assert deeper.config.num_hidden_layers == len(deeper.bert.encoder.layer) == after
    assert [m.attention.self.layer_idx for m in deeper.bert.encoder.layer] == list(range(after))
    for index, layer in enumerate(deeper.bert.encoder.layer):
        source = model.bert.encoder.layer[index % before].state_dict()
        assert all(torch.equal(t, source[n]) for n, t in layer.state_dict().items())
    rest = {n: t for n, t in model.state_dict().items() if ".encoder." not in n}
    found = deeper.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in rest.items())
    first, second = deeper.bert.encoder.layer[0], deeper.bert.encoder.layer[before]
    assert first.output.dense.weight is not second.output.dense.weight, "copies, not the same"


def test_a_start_from_counts_knows_the_frequencies_and_leaves_special_tokens():
    text = corpus(30)
    fresh, counted = new_model(SHAPE, 1, 0), new_model(SHAPE, 1, 0)
    start_from_counts(counted, text, COUNTED)
    before, after = (m.bert.embeddings.word_embeddings.weight for m in (fresh, counted))
    assert torch.equal(before[:5], after[:5])
    assert after[5:].std().item() == pytest.approx(0.04, rel=1e-4)
    assert counted.cls.predictions.decoder.weight is after  # still tied
    bias = counted.cls.predictions.bias
    assert bias.exp().sum().item() == pytest.approx(1.0, rel=1e-5)
    assert bias[5].item() == pytest.approx(np.log(2 / (len(text.pieces) + 700)), rel=1e-5)
    assert bias[699].item() == pytest.approx(np.log(1 / (len(text.pieces) + 700)), rel=1e-5)


def test_held_out_examples_have_the_full_length_only():
    found = held_out_examples(corpus(), MIXED, SHAPE)
    assert {found.batch(step, 2)["input_ids"].shape[1] for step in range(9)} == {16}


def test_losses_equal_the_stock_models():
    model, batch = new_model(SHAPE, 2, seed=0), Examples(corpus(), PLAN, 700).batch(0, 32)
    mlm, nsp, hits = losses(model, batch)
    stock = model(
        batch["input_ids"],
        attention_mask=batch["attention_mask"],
        token_type_ids=batch["token_type_ids"],
        labels=batch["targets"],
        next_sentence_label=batch["is_random"],
    )
    assert (mlm + nsp).item() == pytest.approx(stock.loss.item(), rel=1e-5)
    expected = (stock.seq_relationship_logits.argmax(-1) == batch["is_random"]).float().mean()
    assert hits == expected


def test_unigram_loss_hand_worked():
    """Pieces that are all equally frequent cost the logarithm of their smoothed share."""
    text = Corpus(np.array([5, 5, 6, 6], np.uint16), np.arange(5), np.array([0, 2, 4]))
    found = unigram_loss(text, Examples(text, PLAN, vocabulary=8), batches=2)
    assert found == pytest.approx(-np.log(3 / 12))


# Runs ---------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def run(folder, plan=PLAN, stop=None, **options):
    """Train; killed before step ``stop``, as by a signal, if one is given."""
    folder.mkdir(exist_ok=True)
    found = Run(edition(plan), folder, minutes=None, device="cpu", **options)
    step = found._one_step

    def killable(batch):
        if stop is not None and found.step == stop:
            raise Killed
        return step(batch)

    found._one_step = killable
    try:
        found.train(corpus(), corpus(seed=1))
    except Killed:
        assert found.step == stop
    return found


def weights(found):
    return {name: tensor.clone() for name, tensor in found.model.state_dict().items()}


@pytest.fixture
def saves_every_step(monkeypatch):
    monkeypatch.setattr("bertstudy.pretrain.run.SAVE_EVERY", -1)


def test_the_same_plan_gives_the_same_weights(tmp_path):
    first, second = run(tmp_path / "a"), run(tmp_path / "b")
    assert all(torch.equal(t, weights(second)[n]) for n, t in weights(first).items())
    assert (first.step, first.tokens) == (12, PLAN.tokens)


@pytest.mark.usefixtures("saves_every_step")
@pytest.mark.parametrize(
    ("plan", "stop"),
    [(PLAN, 1), (PLAN, 8), (GROWING, 3), (GROWING, 4), (GROWING, 8), (MIXED, 5), (COUNTED, 5)],
)
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, plan, stop):
    """Growth comes before the fifth of twelve steps."""
    whole = run(tmp_path / "whole", plan)
    run(tmp_path / "killed", plan, stop=stop)
    torch.rand(3)  # the generator is not part of the state
    resumed = run(tmp_path / "killed", plan)
    assert resumed.step == whole.step
    assert resumed.step > stop
    assert resumed.model.config.num_hidden_layers == 2
    assert all(torch.equal(t, weights(resumed)[n]) for n, t in weights(whole).items())
    drop = {"seconds"}
    curves = [
        [{k: v for k, v in r.items() if k not in drop} for r in x.curve] for x in (whole, resumed)
    ]
    assert curves[0] == curves[1]


def test_a_run_killed_between_saves_resumes_from_the_last(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    monkeypatch.setattr("bertstudy.pretrain.run.SAVE_EVERY", -1)
    run(tmp_path / "killed", stop=4)
    monkeypatch.setattr("bertstudy.pretrain.run.SAVE_EVERY", 1e9)
    run(tmp_path / "killed", stop=9)  # nothing saved here
    assert json.loads((tmp_path / "killed" / "state.json").read_text())["step"] == 4
    resumed = run(tmp_path / "killed")
    assert all(torch.equal(t, weights(resumed)[n]) for n, t in weights(whole).items())


@pytest.mark.usefixtures("saves_every_step")
class TestSavedState:
    @pytest.fixture
    def folder(self, tmp_path):
        run(tmp_path, stop=3)
        return tmp_path

    def open(self, folder, plan=PLAN, text=""):
        return Run(edition(plan), folder, None, "cpu", text)

    def test_one_state_is_kept(self, folder):
        assert self.open(folder).step == 3
        assert len(list(folder.glob("state-*.safetensors"))) == 1
        assert not list(folder.glob("*.part"))

    @pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
    def test_a_changed_byte_is_noticed(self, folder, place):
        (file,) = folder.glob("state-*.safetensors")
        content = bytearray(file.read_bytes())
        content[int(place * len(content))] ^= 1
        file.write_bytes(content)
        with pytest.raises(BertstudyError, match="damaged"):
            self.open(folder)

    def test_a_truncated_state_is_noticed(self, folder):
        (file,) = folder.glob("state-*.safetensors")
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(BertstudyError, match="damaged"):
            self.open(folder)

    def test_missing_weights_are_noticed(self, folder):
        next(folder.glob("state-*.safetensors")).unlink()
        with pytest.raises(BertstudyError, match="damaged"):
            self.open(folder)

    def test_truncated_counters_are_noticed(self, folder):
        file = folder / "state.json"
        file.write_text(file.read_text()[:50])
        with pytest.raises(BertstudyError, match="damaged"):
            self.open(folder)

    def test_changed_counters_are_noticed(self, folder):
        """Any bit of them, but for what JSON does not tell apart, such as 1e-05 and 1E-05."""
        file, draw = folder / "state.json", random.Random(0)
        whole = file.read_bytes()
        for _ in range(100):
            changed, bit = bytearray(whole), draw.randrange(8 * len(whole))
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            try:
                assert self.open(folder).step == 3
                assert json.loads(changed) == json.loads(whole)
            except BertstudyError as error:
                assert "damaged" in str(error)  # noqa: PT017 - each flip is the one or the other

    @pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"plan": []}', '{"checksum": "0"}'])
    def test_what_is_no_state_is_noticed(self, folder, text):
        (folder / "state.json").write_text(text)
        with pytest.raises(BertstudyError, match="damaged"):
            self.open(folder)

    def test_a_half_written_state_is_ignored(self, folder):
        """Killed while saving: the new weights are there, the counters still the old ones."""
        (folder / "state.safetensors.part").write_bytes(b"half")
        (folder / "state-0123456789abcdef.safetensors").write_bytes(b"not yet named")
        assert self.open(folder).step == 3

    def test_another_plan_is_refused(self, folder):
        with pytest.raises(BertstudyError, match="another plan"):
            self.open(folder, replace(PLAN, learning_rate=2e-3))

    def test_other_minutes_are_refused(self, folder):
        """They decide the depth: a state of many would end at once, too shallow, with few."""
        with pytest.raises(BertstudyError, match="other --minutes"):
            Run(edition(), folder, 5.0, "cpu")

    def test_a_state_that_was_half_removed_is_none(self, folder, monkeypatch):
        unlink, glob, removed = Path.unlink, Path.glob, []

        def killable(path, **options):
            if removed:
                raise Killed
            removed.append(path)
            unlink(path, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killable)
            # A directory has no order of its own: here the weights come first.
            patch.setattr(Path, "glob", lambda path, pattern: sorted(glob(path, pattern)))
            with pytest.raises(Killed):
                drop_state(folder)
        assert self.open(folder).step == 0

    def test_another_text_is_refused(self, folder):
        """Its word pieces have other numbers."""
        with pytest.raises(BertstudyError, match="another text or from another checkpoint"):
            self.open(folder, text="other")


def test_the_rate_rises_falls_and_ramps_after_growth(tmp_path):
    plan = replace(PLAN, tokens=1000, warmup=0.2, learning_rate=1.0, growth=((0.0, 1), (0.5, 2)))
    found = Run(edition(plan), tmp_path, minutes=None, device="cpu")
    rates = {}
    for tokens in (0, 100, 200, 600, 1000):
        found.tokens, found.since_growth = tokens, 1000
        rates[tokens] = found._rate()
    assert rates == pytest.approx({0: 0, 100: 0.5 * 0.9, 200: 0.8, 600: 0.4, 1000: 0})
    found.tokens, found.since_growth = 600, 9
    assert found._rate() == pytest.approx(0.1 * 0.4)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    found = Run(edition(), tmp_path, minutes=None, device="cpu")
    torch.nn.init.constant_(found.model.cls.seq_relationship.bias, float("nan"))
    with pytest.raises(BertstudyError, match="loss is nan at step 0"):
        found.train(corpus(), corpus(seed=1))


def test_decay_spares_biases_and_layer_norm():
    model = new_model(SHAPE, 1, seed=0)
    decayed, plain = optimizer_of(model, PLAN).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (PLAN.weight_decay, 0)
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))
    assert {p.ndim for p in plain["params"]} == {1}


# The whole way ------------------------------------------------------------------------------------

DOCUMENTS = [
    [f"The {noun} {verb} the {other}.", f"It was a {noun}.", f"Then the {other} left at dawn."]
    for noun in ("cat", "dog", "ship", "bird")
    for verb in ("saw", "met", "heard")
    for other in ("mouse", "crew", "worm")
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project of its own, with four dozen documents as its synthetic world."""
    (tmp_path / "home" / "notebooks").mkdir(parents=True)
    (tmp_path / "home" / "_config.yml").touch()
    monkeypatch.setenv("BERTSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(f"{PREPARED}.documents", lambda corpus, split, seed: iter(DOCUMENTS))
    monkeypatch.setattr("bertstudy.pretrain.checkpoint.EVALUATION_BATCHES", 2)
    return tmp_path


def test_a_checkpoint_is_made_that_transformers_loads(home):
    out = pretrain(edition(GROWING), out=home / "made", device="cpu")
    model, report = AutoModel.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"]
    assert model.config.num_hidden_layers == 2
    assert model.config.hidden_dropout_prob == 0.1
    assert model.config.attention_probs_dropout_prob == 0.1
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.is_fast
    assert tokenizer.model_max_length == SHAPE.positions
    encoded = tokenizer("The CAT saw", "the mouse.", return_tensors="pt")
    assert tokenizer.decode(encoded["input_ids"][0]) == "[CLS] the cat saw [SEP] the mouse. [SEP]"
    assert encoded["token_type_ids"][0].tolist() == [0] * 5 + [1] * 4
    assert model(**encoded).last_hidden_state.isfinite().all()


def test_a_budget_that_ends_before_the_last_layer_makes_no_checkpoint(home):
    brief = replace(GROWING, tokens=16 * 8)  # one step, at the depth of the first stage
    with pytest.raises(BertstudyError, match="ended at 1 of 2 layers"):
        pretrain(edition(brief), out=home / "made", device="cpu")
    assert not (home / "made").exists()


def test_the_card_and_the_numbers_say_what_was_done(home):
    out = pretrain(edition(GROWING), out=home / "made", device="cpu")
    numbers = json.loads((out / "training.json").read_text())
    assert numbers["tokens"] == GROWING.tokens
    assert numbers["steps"] == 12
    assert numbers["curve"][-1]["layers"] == 2
    assert set(numbers["held_out"]) == {"mlm_loss", "nsp_loss", "nsp_accuracy", "unigram_loss"}
    assert numbers["corpus"]["documents"] == len(DOCUMENTS)
    assert f"{numbers['held_out']['mlm_loss']:.3f}" in (out / "README.md").read_text()
    work = home / "home" / "build" / "pretrain" / "tiny"
    assert not list(work.glob("state*")), "a finished run leaves no state behind"
    assert not list(home.glob("*.part"))


# Carrying a checkpoint on ------------------------------------------------------------------------


@pytest.fixture
def first(home):
    """A finished checkpoint."""
    return pretrain(edition(GROWING), out=home / "first", device="cpu")


def continued(first, out, plan=GROWING):
    return pretrain(edition(plan), out=out, device="cpu", start=first)


def test_going_on_starts_from_the_checkpoints_own_weights_and_scores(home, first):
    going = Run(edition(GROWING), home, None, "cpu", start=first)
    shipped = load_file(first / "model.safetensors")
    assert shipped
    assert all(torch.equal(weights(going)[n], t.float()) for n, t in shipped.items())
    assert going.model.bert.embeddings.word_embeddings.weight is (
        going.model.cls.predictions.decoder.weight
    )
    _, validation = prepare(edition(GROWING), None, home / "text", first)
    found = evaluate(
        going.model, held_out_examples(validation, GROWING, SHAPE), checkpoint.EVALUATION_BATCHES
    )
    before = json.loads((first / "training.json").read_text())["held_out"]
    assert found == pytest.approx({name: before[name] for name in found}, abs=6e-5)


def test_going_on_trains_without_dropout_growth_or_counts(home, first):
    going = Run(edition(replace(GROWING, window=2, onward_rate=3e-4)), home, None, "cpu", "", first)
    assert going.model.training
    assert {m.p for m in going.model.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}
    assert {m.dropout.p for m in going.model.modules() if hasattr(m, "layer_idx")} == {0.0}
    assert (going.plan.growth, going.plan.window, going.plan.learning_rate) == ((), 0, 3e-4)
    assert going.model.config.num_hidden_layers == 2


def test_the_tokenizer_is_the_checkpoints_byte_for_byte(home, first, monkeypatch):
    monkeypatch.setattr(f"{PREPARED}.train_tokenizer", lambda *_: pytest.fail("learnt again"))
    out = continued(first, home / "second")
    for name in TOKENIZER:
        assert (out / name).read_bytes() == (first / name).read_bytes()


def test_what_went_before_is_in_the_numbers_and_on_the_card(home, first):
    second = continued(first, home / "second")
    third = continued(second, third_in := home / "third")
    read = [json.loads((f / "training.json").read_text()) for f in (first, second, third)]
    assert third == third_in
    assert read[0]["began"] == {}
    for leg, (before, numbers) in enumerate(pairwise(read), start=1):
        assert (numbers["tokens"], numbers["steps"]) == (GROWING.tokens, 12), "this run's own"
        began = numbers["began"]
        assert (began["tokens"], began["steps"]) == (leg * GROWING.tokens, leg * 12)
        assert began["held_out"] == before["held_out"]
    assert read[2]["began"]["checkpoint"] == checkpoint_hash(str(second))
    assert read[2]["began"]["seconds"] == pytest.approx(sum(r["seconds"] for r in read[:2]))
    card = (third / "README.md").read_text()
    assert "from 100%" not in card
    assert (
        f"| seen in training | 1,536 word pieces in 12 steps, on from checkpoint "
        f"{checkpoint_hash(str(second))}: 4,608 word pieces in all (held-out MLM loss "
        f"{read[1]['held_out']['mlm_loss']:.3f} before) |\n" in card
    )
    assert "| word embeddings start from | the checkpoint's own |" in card
    assert "1,536 word pieces in 12 steps |\n" in (first / "README.md").read_text()


def test_a_checkpoint_made_before_runs_could_go_on_can_be_carried_on(home, first):
    file = first / "training.json"
    numbers = json.loads(file.read_text())
    del numbers["began"]
    file.write_text(json.dumps(numbers))
    assert card(numbers) == (first / "README.md").read_text()
    assert began_from(first, SHAPE)["tokens"] == GROWING.tokens


def test_the_shipped_checkpoints_can_be_carried_on():
    for name in ("mini", "small"):
        chosen = editions.edition(name)
        began = began_from(Path(chosen.checkpoint), chosen.architecture)
        assert began["tokens"] > 1e6


def test_no_leg_sees_the_batches_of_another(home, first):
    starts, seen = [None, first, continued(first, home / "second")], []
    for number, start in enumerate(starts):
        (home / str(number)).mkdir()
        leg = Run(edition(), home / str(number), None, "cpu", start=start)
        leg._one_step = lambda batch, leg=leg: kept(leg, batch)

        def kept(leg, batch):
            seen.append(batch["input_ids"])
            leg.step, leg.tokens = leg.step + 1, leg.tokens + seen[-1].numel()
            return torch.zeros(())

        leg.train(corpus(), corpus(seed=1))
    assert len(seen) == 3 * 12
    assert not any(torch.equal(a, b) for a, b in combinations(seen, 2))


@pytest.mark.usefixtures("saves_every_step")
@pytest.mark.parametrize("stop", [1, 8])
def test_a_killed_run_that_goes_on_resumes_to_the_same_bits(home, first, stop):
    whole = run(home / "whole", start=first)
    run(home / "killed", stop=stop, start=first)
    resumed = run(home / "killed", start=first)
    assert resumed.step == whole.step == 12
    assert all(torch.equal(t, weights(resumed)[n]) for n, t in weights(whole).items())
    assert not all(torch.equal(t, weights(run(home / "a"))[n]) for n, t in weights(whole).items())


@pytest.mark.usefixtures("saves_every_step")
def test_states_of_a_fresh_run_and_of_one_that_goes_on_are_not_confused(home, first):
    """`PLAN` is the same onward, so nothing but the start tells them apart."""
    assert onward(PLAN) == PLAN
    second = continued(first, home / "second")
    run(home / "fresh", stop=3)
    run(home / "on", stop=3, start=first)
    for folder, start in (("fresh", first), ("on", None), ("on", second)):
        with pytest.raises(BertstudyError, match="from another checkpoint, unfinished; --fresh"):
            Run(edition(), home / folder, None, "cpu", start=start)
    assert Run(edition(), home / "fresh", None, "cpu").step == 3
    assert Run(edition(), home / "on", None, "cpu", start=first).step == 3


OTHER = {"architecture": vars(replace(SHAPE, hidden=16, heads=4)), "held_out": {}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        *(
            ("training.json", text, "is not a checkpoint of ours: it has no whole training.json")
            for text in (None, "{", "[]", "{}")
        ),
        ("model.safetensors", None, "is not a whole checkpoint: no model.safetensors in it"),
        ("tokenizer.json", None, "is not a whole checkpoint: no tokenizer.json in it"),
        (
            "training.json",
            json.dumps(OTHER | {"tokens": 1, "steps": 1, "seconds": 1}),
            "has not the edition's shape: heads 4, not 2, hidden 16, not 8",
        ),
    ],
)
def test_a_start_that_cannot_be_carried_on_is_refused_before_work(
    home, first, monkeypatch, name, content, message
):
    (first / name).unlink()
    if content is not None:
        (first / name).write_text(content)
    monkeypatch.setattr("bertstudy.pretrain.prepare", lambda *_: pytest.fail("work started"))
    with pytest.raises(BertstudyError) as refused:
        continued(first, home / "second")
    assert str(refused.value) == f"--start {first} {message}"
    assert not (home / "second").exists()


def test_a_checkpoint_may_be_replaced_by_what_it_became(home, first):
    before = checkpoint_hash(str(first))
    assert continued(first, first) == first
    numbers = json.loads((first / "training.json").read_text())
    assert numbers["began"]["checkpoint"] == before != checkpoint_hash(str(first))


def test_a_kill_between_the_two_halves_of_a_swap_costs_no_checkpoint(home, first, monkeypatch):
    """Nor the run, where it goes on from the very checkpoint that it replaces."""
    before = checkpoint_hash(str(first))
    rename = Path.rename

    def killed(source, target):
        if source == first.with_name("first.part"):
            raise Killed
        return rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(Killed):
            continued(first, first)
    assert not first.exists()
    with monkeypatch.context() as patch:
        patch.setattr("bertstudy.pretrain.prepare", lambda *_: pytest.fail("work started"))
        with pytest.raises(pytest.fail.Exception):
            continued(first, first)
    assert checkpoint_hash(str(first)) == before
    continued(first, first)
    assert json.loads((first / "training.json").read_text())["began"]["checkpoint"] == before


def test_a_folder_beside_the_checkpoint_is_left_alone(home, first):
    shutil.copytree(first, home / "first.old")
    continued(first, first)
    pretrain(edition(GROWING), out=home / "other", device="cpu")
    assert (home / "first.old" / "training.json").is_file()


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["thesis.txt", "folder/thesis.txt"])
def test_out_that_holds_something_else_is_refused_first(home, monkeypatch, name):
    file = home / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("years of work")
    monkeypatch.setattr("bertstudy.pretrain.prepare", lambda *_: pytest.fail("work started"))
    for out in (home / "mine", file):
        with pytest.raises(BertstudyError, match=rf"^--out {out} is not a checkpoint of ours"):
            pretrain(edition(), out=out, device="cpu")
    assert file.read_text() == "years of work"


def test_out_may_be_empty_or_an_older_checkpoint(home):
    (home / "made").mkdir()
    for _ in range(2):
        out = pretrain(edition(), out=home / "made", device="cpu")
        assert (out / "model.safetensors").is_file()


@pytest.mark.usefixtures("saves_every_step")
def test_a_fresh_run_drops_the_state_only_once_its_text_is_there(home, monkeypatch):
    work = home / "home" / "build" / "pretrain" / "tiny"
    work.mkdir(parents=True)
    run(work, stop=3)
    options = {"out": home / "made", "device": "cpu", "resume": False}
    with monkeypatch.context() as patch:

        def unreadable(*_):
            raise BertstudyError("no readable split")

        patch.setattr("bertstudy.pretrain.prepare", unreadable)
        with pytest.raises(BertstudyError, match="no readable split"):
            pretrain(edition(), **options)
    assert json.loads((work / "state.json").read_text())["step"] == 3

    monkeypatch.setattr(Run, "_load", lambda _: pytest.fail("resumed"))
    pretrain(edition(), **options)


def test_the_key_of_a_text_sees_names_and_bytes(tmp_path):
    """A file of the same size, or the same file in another folder, is another text."""

    def key(*files):
        shutil.rmtree(tmp_path / "corpus", ignore_errors=True)
        for name, content in files:
            (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "corpus" / name).write_text(content)
        return text_key(edition(), tmp_path / "corpus")

    plain = key(("a.txt", "one"), ("b.txt", "two"))
    assert plain == key(("b.txt", "two"), ("a.txt", "one"))
    assert len({plain, key(("a.txt", "two"), ("b.txt", "one")),
                key(("x/a.txt", "one"), ("b.txt", "two"))}) == 3  # fmt: skip


def test_the_key_of_the_synthetic_text_sees_its_source_alone(tmp_path, monkeypatch):
    source = tmp_path / "synthetic"
    source.mkdir()
    (source / "__init__.py").write_text("a = 1")
    monkeypatch.setattr("bertstudy.synthetic.__file__", str(source / "__init__.py"))
    before = text_key(edition(), None)
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"compiled")
    assert text_key(edition(), None) == before
    (source / "__init__.py").write_text("a = 2")
    assert text_key(edition(), None) != before


def test_text_is_prepared_once(home, monkeypatch):
    folder = home / "work"
    folder.mkdir()
    first = prepare(edition(), None, folder)
    monkeypatch.setattr(f"{PREPARED}.documents", lambda *_: pytest.fail("read again"))
    second = prepare(edition(), None, folder)
    for a, b in zip(first, second, strict=True):
        assert a.pieces.dtype == b.pieces.dtype == np.uint16
        for name in ("pieces", "sentences", "documents"):
            assert np.array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize(
    "name",
    ["train.safetensors", "validation.safetensors", "tokenizer/tokenizer.json", "files.json"],
)
@pytest.mark.parametrize("damage", ["halved", "emptied", "flipped", "gone"])
def test_damaged_text_is_prepared_again(home, monkeypatch, name, damage):
    folder = home / "work"
    first = prepare(edition(), None, folder)
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    content = bytearray(whole[folder / name])
    content[len(content) // 2] ^= 1
    damaged = {"halved": content[: len(content) // 2], "emptied": b"", "flipped": content}
    (folder / name).unlink()  # and not written over: the corpus that was read is mapped
    if damage != "gone":
        (folder / name).write_bytes(damaged[damage])
    second = prepare(edition(), None, folder)
    assert {path for path in folder.rglob("*") if path.is_file()} == whole.keys()
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.documents, b.documents)
    monkeypatch.setattr(f"{PREPARED}.documents", lambda *_: pytest.fail("read again"))
    prepare(edition(), None, folder)


def test_a_full_disk_is_an_error_that_keeps_the_state(home, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr("bertstudy.pretrain.run.SAVE_EVERY", -1)
    monkeypatch.setattr(Run, "_save", full)
    with pytest.raises(OSError, match="No space left"):
        pretrain(edition(), out=home / "made", device="cpu")
    assert not (home / "made").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": None, "pretraining": None}, "uses a published checkpoint"),
        ({"source": "hub"}, "needs --corpus FOLDER"),
    ],
)
def test_what_cannot_be_pretrained_is_refused(home, changes, message):
    with pytest.raises(BertstudyError, match=message):
        pretrain(replace(edition(), **changes), out=home / "made")
    assert not (home / "made").exists()


def test_a_second_run_of_an_edition_is_refused_and_spoils_nothing(home):
    work = home / "home/build/pretrain/tiny"
    work.mkdir(parents=True)
    with (
        FileLock(work / "lock"),
        pytest.raises(BertstudyError, match="another process is pre-training tiny"),
    ):
        pretrain(edition(), out=home / "out")
    assert not (home / "out").exists()
