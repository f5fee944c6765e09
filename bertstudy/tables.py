"""Tables as a page shows them: numbers with their spread, and nothing typed by hand."""

import html
from collections.abc import Iterable

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from bertstudy.store import Record

ABSENT = "–"


def _interval(row: pd.Series) -> str:
    if not np.isfinite(row["low"]):
        return ABSENT
    return f"{row['low']:+.2f} to {row['high']:+.2f}"


def show(table: pd.DataFrame, places: int = 2) -> Styler:
    """A plain table: no index, absent values as a dash, text escaped."""
    style = table.style.hide(axis="index").set_table_attributes('class="bertstudy-table"')
    return style.format(precision=places, na_rep=ABSENT, escape="html")


def signals(table: pd.DataFrame) -> Styler:
    """`Study.signals` for readers: which tasks can bear claims at this scale."""
    words = {True: "yes", False: "no", None: "not known (too few seeds)"}
    names = {
        "majority": "majority class",
        "scratch": "from scratch",
        "pretrained": "pre-trained",
        "errors": "margin (standard errors)",
        "signal": "bears claims",
    }
    shown = table.assign(signal=[words[s] for s in table["signal"]]).rename(columns=names)
    return show(shown, 1)


def side_by_side(table: pd.DataFrame) -> Styler:
    """`reference.side_by_side`: the paper's number, ours, its interval over seeds, the gap."""
    shown = table.assign(interval=table.apply(_interval, axis=1))
    order = ["where", "task", "theirs", "ours", "interval", "difference", "unit", "note"]
    return show(shown[order].rename(columns={"theirs": "paper", "interval": "95 % interval"}))


def verdicts(table: pd.DataFrame) -> Styler:
    """`reference.verdicts`: each claim with mean, interval over seeds, and verdict."""
    claim = table["claim"] + " (" + table["place"] + ")"
    shown = table.assign(claim=claim, interval=table.apply(_interval, axis=1))
    order = ["claim", "task", "verdict", "mean", "interval", "seeds", "note"]
    return show(shown[order].rename(columns={"interval": "95 % interval"}))


class Provenance:
    """Where the numbers of a page come from, and how to make them again."""

    def __init__(self, records: Iterable[Record], command: str) -> None:
        self.records, self.command = list(records), command

    def lines(self) -> list[str]:
        """One sentence each: how many recorded and computed, versions, device, command."""
        recorded = [r for r in self.records if r.origin == "recorded"]
        live = len(self.records) - len(recorded)
        said = [f"{live} results computed on this machine, {len(recorded)} recorded earlier"]
        for origin, some in (("recorded", recorded), ("computed", self._live())):
            if some:
                made = some[0].provenance
                libraries = ", ".join(f"{n} {v}" for n, v in made["libraries"].items())
                seconds = sum(r.provenance["seconds"] for r in some)
                said.append(
                    f"{origin}: {made['device']}, Python {made['python']}, {libraries}, "
                    f"commit {(made['commit'] or 'unknown')[:12]}, {seconds:.0f} s in all"
                )
        return [*said, f"made again by: {self.command}"]

    def _live(self) -> list[Record]:
        return [r for r in self.records if r.origin != "recorded"]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        *facts, command = map(html.escape, self.lines())
        items = "".join(f"<li>{fact}</li>" for fact in facts)
        before, _, last = command.partition(": ")
        return f"<ul>{items}<li>{before}: <code>{last}</code></li></ul>"
