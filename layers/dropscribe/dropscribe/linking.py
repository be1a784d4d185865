"""Which voices are one person's: the most alike become one until none are alike enough.

In plain Python: where the chunks of a recording come together there is no numpy.
"""

from __future__ import annotations

import heapq
import itertools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import Final

TOGETHER: Final = 256
"""Voices up to which each is compared with each other: the time for it grows with the square."""
_NEIGHBOURS: Final = 64
"""Of more, how many are compared with each other first."""

if sys.version_info >= (3, 12):
    from math import sumprod as _dot
else:

    def _dot(one: Iterable[float], other: Iterable[float], /) -> float:
        product: float = sum(map(mul, one, other))
        return product


@dataclass(frozen=True)
class Group:
    """Labels that are one person."""

    heard: list[tuple[int, str]]
    """Each: the chunk's number and the label in it."""
    chunks: frozenset[int]
    """Those in which every other label is certainly another person."""
    vector: list[float]
    """Sum of the labels' vectors, each as long as it weighs; empty where there is
    none."""
    weight: int
    """How many vectors that are."""
    name: str | None
    """Which the user gave."""

    def may_be(self, other: Group) -> bool:
        one_name = self.name is None or other.name is None
        return one_name and self.chunks.isdisjoint(other.chunks)

    def united(self, other: Group) -> Group:
        return Group(
            heard=self.heard + other.heard,
            chunks=self.chunks | other.chunks,
            vector=total([self.vector, other.vector]),
            weight=self.weight + other.weight,
            name=other.name if self.name is None else self.name,
        )


def total(vectors: Iterable[list[float]]) -> list[float]:
    return list(map(sum, zip(*vectors, strict=True)))


def unit(vector: Sequence[float]) -> list[float]:
    """The same direction with length 1; `vector` has one."""
    length = math.hypot(*vector)
    return [value / length for value in vector]


def with_names(
    groups: Sequence[Group], known: Mapping[str, Sequence[float]], threshold: float
) -> list[Group]:
    """With the names of known voices: the best match first, one person a name.

    Vectors without a direction, or of another length than the groups', match nobody.
    """
    taken = {group.name for group in groups if group.name is not None}
    matches = sorted(
        (-_dot(unit(group.vector), unit(vector)), at, name)
        for name, vector in known.items()
        if name not in taken and 0 < math.hypot(*vector) < math.inf
        for at, group in enumerate(groups)
        if group.name is None and group.weight and len(group.vector) == len(vector)
        if math.hypot(*group.vector) > 0
    )
    found: dict[int, str] = {}
    for distance, at, name in matches:
        if -distance >= threshold and at not in found and name not in found.values():
            found[at] = name
    return [replace(g, name=found.get(at, g.name)) for at, g in enumerate(groups)]


class Comparison:
    """Groups, of which the two most alike become one until none are alike enough.

    How alike two groups are is the average over all pairs of one vector from each: the product of
    the groups' sums, divided by the number of pairs. Products of groups made one just add up.
    """

    def __init__(self, groups: Iterable[Group], threshold: float) -> None:
        self._groups = dict(enumerate(groups))
        self._threshold = threshold
        self._too_many = False
        """Whether groups are united that are not alike enough."""
        self._products: list[dict[int, float]] = [{} for _ in self._groups]
        """Without those that may not be one person, or were not compared yet."""
        self._queue: list[tuple[float, int, int, int]] = []
        """The least first: what uniting costs, both groups, how many vectors they had."""

    def linked(self, fewest: int = 1, most: int | None = None) -> list[Group]:
        """Of many voices those of neighbouring chunks come first: few are left to compare then.

        No fewer than `fewest` are left where there were more. More than `most` are made fewer
        whatever they sound like, as far as they may be one person: the little ones join others.
        """
        everyone = list(self._groups)
        width = TOGETHER if len(everyone) <= TOGETHER else _NEIGHBOURS
        blocks = [
            self._settled(everyone[at : at + width], fewest)
            for at in range(0, len(everyone), width)
        ]
        while len(blocks) > 1:
            pairs = itertools.zip_longest(blocks[::2], blocks[1::2], fillvalue=())
            blocks = [self._settled([*block, *next_], fewest) for block, next_ in pairs]
        if most is not None and len(self._groups) > most:
            self._too_many = True
            self._settled(list(self._groups), max(most, fewest))
        return list(self._groups.values())

    def _settled(self, block: Sequence[int], fewest: int) -> Sequence[int]:
        """What is left of a block when those alike are one."""
        self._compare(block)
        left = set(block)
        while self._queue and len(self._groups) > fewest:
            _, one, other, weight = heapq.heappop(self._queue)
            if {one, other} <= left and weight == self._weight(one, other):
                left.remove(other)
                self._unite(one, other, left - {one})
        self._queue.clear()
        return sorted(left)

    def _compare(self, block: Sequence[int]) -> None:
        for one, other in itertools.combinations(block, 2):
            known = self._products[one].get(other)
            if known is not None:
                if self._too_many:
                    self._note(one, other, known)
            elif self._groups[one].may_be(self._groups[other]):
                product = _dot(self._groups[one].vector, self._groups[other].vector)
                self._note(one, other, product)

    def _note(self, one: int, other: int, product: float) -> None:
        self._products[one][other] = self._products[other][one] = product
        weights = self._groups[one].weight, self._groups[other].weight
        similarity = product / mul(*weights)
        # By how much the vectors' spread within groups grows, as Ward has it.
        loss = (1 - similarity) * mul(*weights) / sum(weights)
        if self._too_many or similarity >= self._threshold:
            rank = loss if self._too_many else -similarity
            heapq.heappush(self._queue, (rank, one, other, sum(weights)))

    def _weight(self, one: int, other: int) -> int:
        """Grows with each group that joins: what was noted before is known by it."""
        return self._groups[one].weight + self._groups[other].weight

    def _unite(self, one: int, other: int, thirds: Iterable[int]) -> None:
        self._groups[one] = self._groups[one].united(self._groups.pop(other))
        for third in thirds:
            products = [self._products[own].pop(third, None) for own in (one, other)]
            for own in (one, other):
                self._products[third].pop(own, None)
            if products[0] is not None and products[1] is not None:
                self._note(one, third, products[0] + products[1])
