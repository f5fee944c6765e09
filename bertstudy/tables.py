"""Tables as a page shows them: numbers with their spread, and nothing typed by hand."""

import html
from collections.abc import Iterable

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from bertstudy.store import Record

ABSENT = "–"


def show(table: pd.DataFrame, places: int = 2) -> Styler:
    """A plain table: no index, absent values as a dash, text escaped."""
    style = table.style.hide(axis="index").set_table_attributes('class="bertstudy-table"')
    return style.format(precision=places, na_rep=ABSENT, escape="html")


def _spread(scores: list[float]) -> str:
    if len(scores) < 2:
        return f"{scores[0]:.1f}" if scores else ABSENT
    return f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}"


RUNGS = {
    "task": "task",
    "metric": "metric",
    "majority": "majority class",
    "words": "bag of words",
    "overlap": "shared words counted",
    "scratch": "from scratch (± sd over seeds)",
    "pretrained": "pre-trained (± sd)",
}


def _rungs(table: pd.DataFrame, more: dict[str, str], verdict: str = "") -> Styler:
    """The scores a task has, and the columns ``more`` under their names.

    A ``verdict`` stands right after the task: a narrow page cuts what is on the right.
    """
    shown = table.assign(
        **{start: table[start].map(_spread) for start in ("scratch", "pretrained")}
    )
    first = {"task": "task", verdict: verdict} if verdict else {}
    names = first | {name: title for name, title in RUNGS.items() if name in table} | more
    return show(shown[list(names)].rename(columns=names), 1)


def _bears(signal: bool | None) -> str:
    return "not known (fewer than five seeds)" if signal is None else "yes" if signal else "no"


def signals(table: pd.DataFrame) -> Styler:
    """`calibration.signals` for readers: which tasks can bear claims at this scale."""
    said = table.assign(seeds=table["pretrained"].map(len), signal=table["signal"].map(_bears))
    more = {"errors": "margin (standard errors)", "signal": "bears claims", "seeds": "seeds"}
    return _rungs(said, more)


def can_say(table: pd.DataFrame, said: pd.Series) -> Styler:
    """`calibration.can_say` for readers, beside the scores it follows from."""
    shown = table.assign(said=said, seeds=table["pretrained"].map(len))
    return _rungs(shown, {"seeds": "seeds", "said": "what it can say"})


def ladder(table: pd.DataFrame) -> Styler:
    """`calibration.judged` for readers: the steps, and what a task lacks to be calibrated."""
    said = table.assign(
        calibrated=np.where(table["calibrated"], "yes", "no: " + table["reason"]),
        signal=table["signal"].map(_bears),
    )
    more = {
        "gained": "gain of pre-training",
        "gained_errors": "in standard errors",
        "signal": "bears claims",
    }
    # The figure names the metric.
    return _rungs(said.drop(columns="metric"), more, verdict="calibrated")


def compare(table: pd.DataFrame) -> Styler:
    """`reference.compare` for readers: a claim or a printed number, theirs, ours, the verdict.

    What is said of a whole claim stands in its first row.
    """
    numbers = table["quantity"].str.replace("_", " ") + ": " + table["place"]
    claims = table["claim"] + " (" + table["place"] + ")"
    titles = claims.where(table["claim"] != "", numbers)
    first = titles != titles.shift()
    remarks = zip(table["why"], table["note"].where(first, ""), strict=True)
    shown = {
        "claim, or number": titles.where(first, ""),
        "task": table["task"],
        "verdict": table["verdict"],
        "paper": table.apply(_places, axis=1, column="theirs"),
        "ours": table.apply(_places, axis=1, column="ours"),
        "95 % interval": table.apply(_interval, axis=1),
        "difference": table.apply(_places, axis=1, column="difference", sign="+"),
        "unit": table["unit"],
        "n": table["seeds"].map(lambda count: count or ABSENT),
        "remark": [". ".join(filter(None, remark)) for remark in remarks],
    }
    return show(pd.DataFrame(shown))


def _places(row: pd.Series, column: str, sign: str = "") -> str:
    """A number with as many decimals as its unit asks for."""
    places = 3 if row["unit"] == "1" else 2
    return f"{row[column]:{sign}.{places}f}" if np.isfinite(row[column]) else ABSENT


def _interval(row: pd.Series) -> str:
    if not np.isfinite(row["low"]):
        return ABSENT
    return f"{_places(row, 'low')} to {_places(row, 'high')}"


class Provenance:
    """Where the numbers of a page come from, and how to make them again."""

    def __init__(self, records: Iterable[Record], command: str) -> None:
        self.records, self.command = list(records), command

    def lines(self) -> list[str]:
        """One sentence each: how many recorded and made here, versions, device, command."""
        said = [
            f"{len(self._live())} results computed on this machine, {len(self._recorded())} "
            "recorded earlier"
        ]
        for origin, some in (("recorded", self._recorded()), ("computed", self._live())):
            said += [f"{origin}: {line}" for line in dict.fromkeys(map(_made, some))]
        again = " --record" if self._recorded() else ""
        return [*said, f"made again by: {self.command}{again}"]

    def _recorded(self) -> list[Record]:
        return [r for r in self.records if r.origin == "recorded"]

    def _live(self) -> list[Record]:
        return [r for r in self.records if r.origin != "recorded"]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        *facts, command = map(html.escape, self.lines())
        items = "".join(f"<li>{fact}</li>" for fact in facts)
        before, _, last = command.partition(": ")
        return f"<ul>{items}<li>{before}: <code>{last}</code></li></ul>"


def _made(record: Record) -> str:
    """What a record owes to its machine, in one line."""
    made = record.provenance
    libraries = ", ".join(
        f"{name} {version}" for name, version in sorted(made["libraries"].items())
    )
    commit = made["commit"] or "unknown"
    short = commit[:12] + "+dirty" * commit.endswith("+dirty")
    return f"{made['device']}, Python {made['python']}, {libraries}, commit {short}"
