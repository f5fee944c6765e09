"""Which function makes which records, so that a record can be made again from what it says.

One line beside a measurement declares it::

    @makes("disabling", within=5.0)
    def disabling(study, task, seed, kind="uniform") -> Record: ...
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from bertstudy import tasks
from bertstudy.errors import BertstudyError
from bertstudy.store import JSON, Record

if TYPE_CHECKING:
    from bertstudy.study import Study

SCORE = 5.0  # points: a score on all validation examples
ATTENTION = 0.05  # mean attention of one head
PART = 10.0  # points: a score on part of them, or of a model that was damaged on purpose
Function = TypeVar("Function", bound=Callable[..., Record])


@dataclass(frozen=True)
class Maker:
    """A function that makes one kind of record.

    Attributes:
        function: called with the study and, by name, what the recipe says.
        within: how far one number may be from the recorded one, in the values' own unit; or
            from the recorded values to that.
        counts_agree: whole numbers, such as how many examples there were, must be the same.
        left_out: keys below which nothing is compared, such as p values, which jump.
        other: parameters that are in no recipe by their name: from the recipe's facts.
    """

    function: Callable[..., Record]
    within: float | Callable[[JSON], float]
    counts_agree: bool
    left_out: frozenset[str]
    other: Mapping[str, Callable[[JSON], Any]]

    def allowed(self, values: JSON) -> float:
        """How far a number may be from the recorded ``values``."""
        return self.within(values) if callable(self.within) else self.within

    def again(self, study: "Study", record: Record) -> Record:
        """The record that today's code makes of the same task, seed and parameters."""
        facts = record.recipe | record.recipe.get("model", {})
        names = list(inspect.signature(self.function).parameters)[1:]
        given = {name: facts[name] for name in names if name in facts}
        given |= {name: of(facts) for name, of in self.other.items()}
        return self.function(study, **given | {"task": tasks.task(given["task"])})


_MAKERS: dict[str, Maker] = {}


def makes(
    measurement: str,
    *,
    within: float | Callable[[JSON], float],
    counts_agree: bool = True,
    left_out: tuple[str, ...] = (),
    **other: Callable[[JSON], Any],
) -> Callable[[Function], Function]:
    """Declare that a function ``(study, task, ...)`` makes the records of a measurement."""

    def declare(function: Function) -> Function:
        _MAKERS[measurement] = Maker(function, within, counts_agree, frozenset(left_out), other)
        return function

    return declare


def maker(measurement: str) -> Maker:
    """Who makes the records of a measurement; its module must have been imported.

    Raises:
        BertstudyError: nobody.
    """
    if measurement not in _MAKERS:
        raise BertstudyError(
            f"no function makes records of '{measurement}': mark it with bertstudy.makers.makes"
        )
    return _MAKERS[measurement]
