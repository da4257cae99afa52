"""Order named parts of a recipe by their dependencies."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter


def dependency_order(dependencies: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names, dependencies first; otherwise in the order of the mapping.

    `dependencies` maps each name to the names it depends on; unknown names are ignored. Raises ValueError with the first
    name of a cycle.
    """
    position = {name: index for index, name in enumerate(dependencies)}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, needed in dependencies.items():
        sorter.add(name, *(other for other in needed if other in position))
    try:
        sorter.prepare()
    except CycleError as error:
        raise ValueError(min(error.args[1], key=position.__getitem__)) from None
    order: list[str] = []
    ready: list[tuple[int, str]] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, (position[name], name))
        _, name = heapq.heappop(ready)
        order.append(name)
        sorter.done(name)
    return order
