"""The table of what remains of Dark Secrets beside a null, from records written by hand."""

import numpy as np
import pytest
from test_secrets_features import FLAT, kind, record
from test_secrets_relations import frame_record, sweep

from bertstudy.papers.secrets import linguistic_attention, relation_heads, what_remains
from bertstudy.papers.secrets.features import WORDS

SEEDS = range(3)
LINKS = [[0.9, 0.8], [0.7, 0.6], [0.5, 0.1], [0.1, 0.1]]
DIAGONAL = [[0.9, 0.9], [0.9, 0.9], [0.4, 0.1], [0.1, 0.1]]


def swept(effects, halves, seed):
    made = sweep((np.array(effects) + 50).tolist(), seed)
    made.values["halves"] = [
        {"baseline": 50.0, "heads": (np.array(half) + 50).tolist(), "layers": [50.0, 50.0]}
        for half in halves
    ]
    made.values["layers"] = [50.0, 50.0]
    return made


@pytest.fixture
def by_line():
    """Nouns .2 above their null in seed 0, .1 more in each next; heads of distance alone."""
    frames = frame_record([[[0.1, 0.4], [0.3, 0.2]]] * 10, [[[0.1, 0.2], [0.3, 0.1]]] * 10)
    models = []
    for seed in SEEDS:
        rising = [(np.array(FLAT) + 0.1 * (1 + seed)).tolist()] * 2
        models.append(record(seed, rising, LINKS, DIAGONAL))
        values = models[-1].values
        values["features"]["noun"]["null"] = FLAT
        values["features"]["pronoun"] = {"examples": 0, "tokens": 0}
        values["relations"]["verb-subject"]["null"] = LINKS
    sweeps = [swept([[1.0, 3.0], [-2.0, 0.0]], [[[0, 6], [0, 0]], [[8, -2], [0, 0]]], s)
              for s in SEEDS]  # fmt: skip
    table = what_remains.table([frames, record(), *models, *sweeps])
    assert len(table) == len(what_remains.LINES)
    return table


def test_each_line_matches_what_is_planted(by_line):
    frames = by_line[by_line["place"] == "§4.2"].iloc[0]
    assert (frames["ours"], frames["theirs"]) == pytest.approx((0.35, 0.25))
    assert (frames["n"], frames["tasks"]) == (10, "")
    attention = by_line[by_line["quantity"].str.contains("s, mean over heads")]
    by_kind = dict(zip(WORDS, attention.to_dict("records"), strict=True))
    assert by_kind["noun"]["ours"] - 0.1 == pytest.approx(0.2)
    assert by_kind["noun"]["difference"] == pytest.approx(0.2)
    half = 4.302653 * 0.1 / np.sqrt(3)  # Student's t of two degrees of freedom
    assert by_kind["noun"]["high"] == pytest.approx(0.2 + half, rel=1e-5)
    assert (by_kind["noun"]["n"], by_kind["noun"]["tasks"]) == (3, "rte")
    assert by_kind["pronoun"]["n"] == 0
    rises = by_line[by_line["quantity"].str.startswith("largest rise")]
    assert rises["difference"].tolist() == pytest.approx([0.0] * 3), "random words rise as far"
    assert rises["ours"].iloc[0] == pytest.approx(0.2)
    links = by_line[by_line["place"] == "§4.5"]
    assert links["n"].tolist() == [3, 3, 0, 0], "no noun and pronoun are linked there"
    assert links["difference"].iloc[0] == pytest.approx(0.0), "distance alone chooses the same"
    chosen, held_out = by_line[by_line["place"] == "§4.6"].to_dict("records")
    assert (chosen["ours"], chosen["theirs"]) == pytest.approx((3.0, -1.0))  # (-2 + 0) / 2
    assert held_out["difference"] == pytest.approx(-1.0 - 0.5)


def test_readers_see_dashes_where_nothing_is_known_and_each_finding_once(by_line):
    shown = what_remains.summary(by_line)
    assert (shown.loc[by_line["n"] == 0, "mean"] == "–").all()
    assert (shown.loc[by_line["n"] == 0, "difference (95 % interval)"] == "–").all()
    said = [text for text in shown["the paper finds"] if text]
    assert len(said) == len(set(said)) == by_line["finding"].nunique()
    nouns = shown[shown["ours"].str.startswith("attention to nouns")].iloc[0]
    assert nouns["difference (95 % interval)"].startswith("+0.2000 (-0.0")


def test_one_seed_has_no_interval():
    models = [record(), record(0, links=LINKS, diagonal=DIAGONAL, verb=kind(FLAT))]
    table = what_remains.table(
        [frame_record([[[0.1, 0.4]]] * 10), *models, swept([[1.0, 0.0]], [[[1, 0]], [[1, 0]]], 0)]
    )
    nouns = table[table["quantity"].str.startswith("attention to nouns")].iloc[0]
    assert nouns["n"] == 1
    assert np.isinf(nouns["low"])
    assert "(" not in what_remains.summary(table)["difference (95 % interval)"].iloc[-1]


def test_its_records_are_those_of_the_sections(monkeypatch):
    """Nothing is measured that another page does not measure."""
    asked = []
    for module, name in ((relation_heads, "frame_attention"), (linguistic_attention, "records"),
                         (relation_heads, "disabling_records")):  # fmt: skip
        monkeypatch.setattr(module, name, lambda study, n=name: asked.append(n) or [n])
    assert what_remains.records(None) == [["frame_attention"], "records", "disabling_records"]
