r"""§4.1, two classifiers of maps: the paper's small convolutional network, and a small tree.

The tree is over hand-made statistics of a map; its thresholds are fitted to the same labels. Where
a name is needed, in records and tables, it is "rules".

Both take a batch of maps of different lengths and return a probability for each of `PATTERNS`. The
network sees what the annotator saw: the square root of the weights, cut to the real tokens and
resized bilinearly to `SIDE` × `SIDE`. Resizing is linear and separable, so for a map A of L tokens
it is $R_L \sqrt{A} R_L^\top$ with one small matrix R_L a length: maps of any lengths share a batch.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.tree import DecisionTreeClassifier, export_text
from torch import Tensor, nn
from torch.nn import functional as F

from bertstudy import paths
from bertstudy.errors import BertstudyError
from bertstudy.papers.secrets.labelled_maps import FOLDER, PATTERNS, LabelledMaps, load

SIDE = 32  # pixels: no more than the tokens of most inputs, and a quarter of the work of 64
CHUNK = 256  # maps that pass through the network together: their features stay in the cache
UNCERTAIN = 0.5  # a map is uncertain where no pattern is more probable than this
NETWORK = FOLDER / "network.safetensors"  # trained on all labelled maps


class Classifier(Protocol):
    """What sorts maps into patterns."""

    def probabilities(self, probs: Tensor, is_token: Tensor, second: Tensor) -> Tensor:
        """``[batch, head, pattern]``, float32, sums to 1 over patterns.

        Args:
            probs: attention after softmax, ``[batch, head, query, key]``, padding on the right.
            is_token: ``[batch, key]``, False at padding.
            second: ``[batch]``, first token of the second segment, 0 if there is none.
        """
        ...


# The network ----------------------------------------------------------------------------------


@cache
def resampler(length: int) -> Tensor:
    """``[SIDE, length]``: bilinear resizing of a column of weights, smoothed where it shrinks."""
    if length < 1:
        raise BertstudyError(f"a map of {length} tokens cannot be resized")
    unit = torch.eye(length)[None, None]
    size = (SIDE, length)
    return F.interpolate(unit, size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def images(probs: Tensor, is_token: Tensor) -> Tensor:
    """Maps as the network sees them, ``[batch × head, 1, SIDE, SIDE]``."""
    batch, heads, tokens, _ = probs.shape
    resize = probs.new_zeros(batch, 1, SIDE, tokens, dtype=torch.float32)
    for row, length in enumerate(is_token.sum(-1).tolist()):
        resize[row, 0, :, :length] = resampler(length)
    return (resize @ probs.float().sqrt() @ resize.mT).view(batch * heads, 1, SIDE, SIDE)


@dataclass(frozen=True)
class Training:
    """How the network is made; part of a record's key."""

    widths: tuple[int, ...] = (8, 8, 16, 16, 32, 32, 32, 32)  # channels of the convolutions
    epochs: int = 40  # only counts the steps: see `train`
    batch_size: int = 32
    learning_rate: float = 2e-3  # of Adam; falls to 0 along a cosine
    side: int = SIDE


class Network(nn.Module):
    """Eight 3×3 convolutions with ReLU, halved after every second, then averaged over places.

    Kovaleva et al. name the number of convolutions and the ReLU; widths, pooling and training are
    ours. Averaging over places at the end lets a shape be anywhere in the map.
    """

    def __init__(self, widths: Sequence[int] = Training.widths) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (inner, outer) in enumerate(zip((1, *widths), widths, strict=False)):
            convolution = nn.Conv2d(inner, outer, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU()]
            if index % 2 and index < len(widths) - 1:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classes = nn.Linear(widths[-1], len(PATTERNS))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[n, pattern]`` of ``images [n, 1, SIDE, SIDE]``."""
        return self.classes(self.features(images).mean((2, 3)))

    @torch.inference_mode()
    def probabilities(self, probs: Tensor, is_token: Tensor, second: Tensor) -> Tensor:
        """See `Classifier`; where a second segment begins is not shown to the network."""
        seen = images(probs, is_token).to(self.classes.weight.device)
        logits = torch.cat([self(some) for some in seen.split(CHUNK)])
        return logits.softmax(-1).view(*probs.shape[:2], len(PATTERNS))


def padded(labelled: LabelledMaps) -> tuple[Tensor, Tensor, Tensor]:
    """Labelled maps as a `Classifier` takes them, each the only head of its input."""
    lengths = torch.tensor(labelled.table["length"].tolist())
    probs = torch.zeros(len(labelled), 1, int(lengths.max()), int(lengths.max()))
    for row, weights in enumerate(labelled.maps):
        probs[row, 0, : lengths[row], : lengths[row]] = torch.from_numpy(weights)
    is_token = torch.arange(int(lengths.max()))[None] < lengths[:, None]
    return probs, is_token, torch.tensor(labelled.table["second"].tolist())


def train(labelled: LabelledMaps, seed: int, how: Training | None = None) -> Network:
    """A network trained on all of these maps, in evaluation mode.

    Every map is also shown with its tokens in reverse order: queries and keys together, which
    leaves columns columns, diagonals diagonals and blocks blocks.

    Every step draws its batch with replacement from this doubled set; there are as many steps as
    `Training.epochs` times through the maps themselves would take, and no epoch in which each map
    comes up once.

    Args:
        seed: of the first weights and of what each batch draws.
    """
    how = how or Training()
    pictures = images(*padded(labelled)[:2])
    targets = torch.from_numpy(labelled.targets)
    pictures, targets = torch.cat([pictures, pictures.flip(2, 3)]), targets.repeat(2)
    steps = how.epochs * (len(labelled) // how.batch_size + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(how.widths)
        optimiser = torch.optim.Adam(network.parameters(), how.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            rows = torch.randint(len(targets), (how.batch_size,))
            loss = F.cross_entropy(network(pictures[rows]), targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def save_network(network: Network, labelled: LabelledMaps, seed: int, path: Path = NETWORK) -> None:
    """Write the weights with what they were made from."""
    made = {"labels": labelled.hash, "seed": str(seed), "training": json.dumps(asdict(Training()))}
    with paths.replacing(path) as temporary:
        save_file(network.state_dict(), temporary, made)


def load_network(labelled: LabelledMaps, path: Path = NETWORK) -> Network:
    """The network that comes with the project, trained on these labels.

    Raises:
        BertstudyError: it was trained on other labels or in another way.
    """
    with safe_open(path, "pt") as file:
        made = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if made["labels"] != labelled.hash or made["training"] != json.dumps(asdict(Training())):
        raise BertstudyError(
            f"{path.name} was trained on labels {made['labels']} as {made['training']}, not on "
            f"{labelled.hash} as it is now: run pattern_classifiers.make_network()"
        )
    network = Network()
    network.load_state_dict(weights)
    return network.eval()


# The tree -------------------------------------------------------------------------------------

DEPTH = 4  # questions asked of a map at most
LEAF = 4  # labelled maps that each answer must rest on
REACH = 3  # places before or after a token that count as near
STATISTICS = (
    "column",
    "columns",
    "steady",
    "line",
    "band",
    "block",
    "entropy",
)


def statistics(probs: Tensor, is_token: Tensor, second: Tensor) -> Tensor:
    r"""`STATISTICS` of maps, ``[batch, head, statistic]``, float32.

    With c_j the mean of column j over the L real queries, what a row would be if it did not depend
    on its query,

    - *column*: $\max_j c_j - 1/L$, how far the strongest column stands out;
    - *columns*: the sum of the three strongest c_j, minus 3/L;
    - *steady*: $\sum_{ij} (c_j - 1/L)^2 / \sum_{ij} (A_{ij} - 1/L)^2$, the part of the map's
      variance that lies in its columns; 0 for an even map;
    - *line*: the largest mean of $A_{i,i+o} - c_{i+o}$ along one diagonal, $|o| \le$ `REACH`;
    - *band*: the mean over queries of $\sum_j (A_{ij} - c_j)$ over $|i - j| \le$ `REACH`;
    - *block*: the mean over queries of $\sum_j (A_{ij} - c_j)$ over j in the segment of i; 0 where
      there is one segment;
    - *entropy*: the mean entropy of a row, divided by log L; 1 for an even map.

    Arguments as of `Classifier.probabilities`.
    """
    real = is_token.to(torch.float32)
    both = real[:, None, :, None] * real[:, None, None, :]
    length = real.sum(-1)[:, None]  # [batch, 1]
    maps = probs.float() * both
    columns = maps.sum(2) / length[..., None]
    excess = (maps - columns[:, :, None]) * both
    even = both / length[..., None, None]
    varied = ((maps - even) ** 2).sum((2, 3))
    in_columns = (((columns[:, :, None] - even) * both) ** 2).sum((2, 3))
    place = torch.arange(probs.size(-1), device=probs.device)
    offset = place[None] - place[:, None]
    side = (place[None] >= second[:, None]) & (second[:, None] > 0)  # [batch, token]
    same = (side[:, :, None] == side[:, None, :]) & (second > 0)[:, None, None]
    strongest = columns.topk(min(3, probs.size(-1)), dim=-1).values
    lines = torch.stack([_line(excess, real, o) for o in range(-REACH, REACH + 1)])
    entropy = -(maps * maps.clamp(min=1e-12).log()).sum(-1).sum(-1) / length
    found = {
        "column": columns.amax(-1) - 1 / length,
        "columns": strongest.sum(-1) - length.clamp(max=3) / length,
        "steady": in_columns / varied.clamp(min=1e-9),
        "line": lines.amax(0),
        "band": (excess * (offset.abs() <= REACH)).sum((2, 3)) / length,
        "block": (excess * same[:, None]).sum((2, 3)) / length,
        "entropy": entropy / length.log().clamp(min=1e-6),
    }
    return torch.stack([found[name].expand(probs.shape[:2]) for name in STATISTICS], dim=-1)


def _line(excess: Tensor, real: Tensor, offset: int) -> Tensor:
    """Mean of the diagonal at this offset over its real cells, ``[batch, head]``."""
    if abs(offset) >= excess.size(-1):
        return excess.new_full(excess.shape[:2], -torch.inf)  # a map without such a diagonal
    later = real[:, abs(offset) :]  # a cell is real where the later of its two tokens is
    cells = excess.diagonal(offset, dim1=2, dim2=3) * later[:, None]
    count = later.sum(-1)[:, None]
    return torch.where(count > 0, cells.sum(-1) / count, -torch.inf)


class Rules:
    """A small tree over hand-made statistics: at most `DEPTH` questions about `STATISTICS`."""

    def __init__(self, tree: DecisionTreeClassifier) -> None:
        self.tree = tree

    @classmethod
    def fit(cls, labelled: LabelledMaps) -> "Rules":
        """The tree whose thresholds divide these maps best."""
        found = statistics(*padded(labelled))[:, 0].numpy()
        tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)
        return cls(tree.fit(found, labelled.targets))

    def probabilities(self, probs: Tensor, is_token: Tensor, second: Tensor) -> Tensor:
        """See `Classifier`: the shares of the labels among the maps that answered alike."""
        found = statistics(probs, is_token, second).flatten(0, 1).numpy(force=True)
        known = torch.from_numpy(self.tree.predict_proba(found)).float()
        every = torch.zeros(len(known), len(PATTERNS))
        every[:, self.tree.classes_.tolist()] = known
        return every.view(*probs.shape[:2], len(PATTERNS))

    def __str__(self) -> str:
        names = [PATTERNS[index] for index in self.tree.classes_]
        return export_text(self.tree, feature_names=STATISTICS, class_names=names).rstrip()


# Both ---------------------------------------------------------------------------------------------

FITS: dict[str, Callable[[LabelledMaps, int], Classifier]] = {
    "network": train,
    "rules": lambda labelled, _: Rules.fit(labelled),
}
SHIPPED_SEED = 0  # of the network that comes with the project


def settings() -> dict[str, Any]:
    """What both are made with; part of a record's key."""
    rules = {"depth": DEPTH, "leaf": LEAF, "reach": REACH, "statistics": list(STATISTICS)}
    return {"network": asdict(Training()), "rules": rules}


def fitted(name: str, labelled: LabelledMaps) -> Classifier:
    """The classifier of that name, from all labelled maps.

    Raises:
        BertstudyError: there is none of that name, or the shipped network is of other labels.
    """
    if name not in FITS:
        raise BertstudyError(f"unknown classifier '{name}'; allowed: {', '.join(FITS)}")
    return load_network(labelled) if name == "network" else Rules.fit(labelled)


def made(name: str, labelled: LabelledMaps) -> dict[str, Any]:
    """What the classifier of that name depends on; part of a record's key."""
    own = {"labels": labelled.hash, "how": settings()[name]}
    if name == "network":
        own["weights"] = hashlib.sha256(NETWORK.read_bytes()).hexdigest()[:16]
    return own


def make_network() -> None:
    """Train the network that comes with the project anew, after labels or training changed."""
    labelled = load()
    save_network(train(labelled, SHIPPED_SEED), labelled, SHIPPED_SEED)
