"""Vectors from co-occurrence counts, against loops, hand-worked numbers and known likeness."""

import numpy as np
import pytest
import torch

from bertstudy import cooccurrence
from bertstudy.cooccurrence import counts, positive_information, vectors

TEXT = np.random.default_rng(0).integers(0, 7, 500).astype(np.uint16)


def test_counts_equal_a_plain_loop(monkeypatch):
    expected = np.zeros((7, 7))
    for here, piece in enumerate(TEXT):
        for there, other in enumerate(TEXT):
            if 0 < abs(here - there) <= 3:
                expected[piece, other] += 1 / abs(here - there)
    monkeypatch.setattr(cooccurrence, "_SLICE", 64)  # several slices
    np.testing.assert_allclose(counts(TEXT, 7, window=3), expected, rtol=1e-5)


def test_information_hand_worked():
    """Two pieces that only ever meet each other, beside two that meet nobody but themselves."""
    counted = np.array([[0, 4, 0], [4, 0, 0], [0, 0, 8]], np.float32)
    context = np.array([4, 4, 8]) ** 0.75
    context = context / context.sum()
    met = np.log(4 / (4 * context[1]))
    alone = np.log(8 / (8 * context[2]))
    expected = [[0, met, 0], [met, 0, 0], [0, 0, alone]]
    np.testing.assert_allclose(positive_information(counted), expected, rtol=1e-6)


def test_less_than_chance_is_nothing():
    counted = np.array([[9, 1], [1, 9]], np.float32)
    found = positive_information(counted)
    assert found[0, 1] == found[1, 0] == 0
    assert found[0, 0] == pytest.approx(np.log(1.8))


def test_pieces_of_the_same_contexts_are_alike():
    """1 and 2 follow 3 at random; 4 and 5 follow 6."""
    rng = np.random.default_rng(1)
    pairs = [(3, rng.integers(1, 3)) if rng.random() < 0.5 else (6, rng.integers(4, 6))
             for _ in range(4000)]  # fmt: skip
    found = vectors(np.array(pairs, np.uint16).ravel(), 8, width=4, window=1, seed=0)
    like = torch.nn.functional.cosine_similarity(found[:, None], found[None], dim=-1)
    assert like[1, 2] > 0.99
    assert like[4, 5] > 0.99
    assert like[1, 4] < 0.5


def test_vectors_are_centred_and_the_unseen_are_zero():
    found = vectors(TEXT, 9, width=5, window=2, seed=0)
    assert found.shape == (9, 5)
    assert (found[7:] == 0).all()
    assert found[:7].mean(0).abs().max() < 1e-5


def test_the_same_seed_gives_the_same_vectors():
    assert torch.equal(vectors(TEXT, 7, 3, 2, seed=4), vectors(TEXT, 7, 3, 2, seed=4))


def test_all_dimensions_keep_all_information():
    """At full width E Eᵀ has the eigenvalues of M's singular values."""
    information = positive_information(counts(TEXT, 7, 3))
    left, strength, _ = np.linalg.svd(information)
    found = vectors(TEXT, 7, width=7, window=3, seed=0).numpy()
    expected = left * np.sqrt(strength)
    expected = expected - expected.mean(0)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)
