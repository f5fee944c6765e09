r"""What chance alone makes of the attention between linked words: the null of §4.2 and §4.5.

A text has links, pairs of places of word pieces that an annotation names. They are held against
random pairs: as many, of pieces of different words of the same text, each sharing with a link what
a head could go by without the annotation, such as the distance. Drawn so, a pair may be a link
again: the links and their draws are then exchangeable if being annotated means nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from bertstudy.linguistics import Aligned

DRAWS = 10  # of random pairs, for each text
RELABELLINGS = 999  # of the corrected test: no p below 1/1000
LEVEL = 0.05  # at which a head passes it
SEED = 0  # of draws and relabellings

Link = tuple[int, int]  # places of the query and of the key in the model's input

# Random pairs ---------------------------------------------------------------------------------


def redraw(
    links: Sequence[Link],
    pairs: Sequence[Link],
    shared: Callable[[Link], int],
    rng: np.random.Generator,
) -> list[Link]:
    """As many pairs of the text as there are links, that share with each what they should.

    Of k links that share one value, k different pairs are drawn from all that share it, the links
    themselves among them: if being annotated meant nothing, links and draws could be exchanged.

    Args:
        pairs: to draw from, the links among them.
        shared: the value of a pair, such as its distance.
    """
    among: dict[int, list[Link]] = defaultdict(list)
    for pair in pairs:
        among[shared(pair)].append(pair)
    drawn = []
    for value, count in Counter(map(shared, links)).items():
        chosen = rng.choice(len(among[value]), count, replace=False)
        drawn += [among[value][index] for index in chosen]
    return drawn


def of_different_words(example: Aligned, pair: Link) -> bool:
    """Whether the word pieces at two places share no word."""
    first, second = (set(example.owners[place]) for place in pair)
    return first.isdisjoint(second)


def distance(link: Link) -> int:
    """Signed: positive where the key comes after the query."""
    return link[1] - link[0]


def predicate(link: Link) -> int:
    """The key's place, which is the predicate's in a link."""
    return link[1]


# The corrected test ---------------------------------------------------------------------------


def corrected_p(
    values: np.ndarray, relabellings: int = RELABELLINGS, seed: int = SEED
) -> np.ndarray:
    r"""For each head, how easily chance alone makes *some* head stand out so far from its draws.

    If being annotated meant nothing, the links of a sentence and its D draws could be exchanged.
    So let $\tilde x_{sdh}$ be the values minus their mean over links and draws; then

    $$z_h = \sum_s \tilde x_{s0h} \Big/ \sqrt{\sum_s \tfrac1{D+1}\sum_d \tilde x_{sdh}^2}$$

    is compared with the largest such sum of any head, where in each sentence a draw at random, the
    same for all heads, stands in for the links (Westfall & Young 1993, "max T", one-sided).
    Heads need be neither independent nor normal, and the chance of one false head or more is at
    most the level, however many heads there are.

    Args:
        values: ``[sentence, layer, head, 1 + draw]``, the links first.

    Returns:
        ``[layer, head]``, corrected for all heads; 1 where a head's values never differ.
    """
    sentences, *grid, options = values.shape
    flat = np.moveaxis(values, -1, 1).reshape(sentences, options, -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    spread = np.sqrt((flat**2).mean(1).sum(0))
    flat /= np.where(spread > 0, spread, np.inf)
    rng, rows = np.random.default_rng(seed), np.arange(sentences)
    largest = np.array(
        [
            flat[rows, rng.integers(options, size=sentences)].sum(0).max()
            for _ in range(relabellings)
        ]
    )
    observed = flat[:, 0].sum(0)
    # A head that says nothing has 0, as has one that stands out not at all.
    as_far = (largest[:, None] >= observed).sum(0)
    found = np.where(spread > 0, (1 + as_far) / (1 + relabellings), 1.0)
    return found.reshape(grid)
