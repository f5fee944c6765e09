"""The papers' numbers and claims as data, and what our runs say about them.

`data` reads both, `judging` has the rule that turns seeds into a verdict, and `compare` puts
everything a page says of a section into one table: the paper's number, ours, its spread, the
difference, the verdict.
"""

from bertstudy.reference.comparing import compare, of_models, tidy
from bertstudy.reference.data import Claim, Quantity, claims, numbers, quantities
from bertstudy.reference.judging import Verdict, judge, overall

__all__ = [
    "Claim",
    "Quantity",
    "Verdict",
    "claims",
    "compare",
    "judge",
    "numbers",
    "of_models",
    "overall",
    "quantities",
    "tidy",
]
