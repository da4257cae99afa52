"""The order of named parts: dependencies first, else as written; a cycle is reported by its first name."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaqual.recipe.dependencies import dependency_order


@pytest.mark.parametrize(
    ("dependencies", "order"),
    [
        ({}, []),
        ({"a": [], "b": [], "c": []}, ["a", "b", "c"]),
        ({"quality": [], "random": ["quality"], "full": []}, ["quality", "random", "full"]),
        ({"random": ["quality"], "quality": []}, ["quality", "random"]),
        ({"a": ["b", "b"], "b": ["elsewhere"]}, ["b", "a"]),
        ({"c": ["a", "b"], "b": ["a"], "a": []}, ["a", "b", "c"]),
    ],
)
def test_dependencies_come_first_and_ties_keep_the_written_order(
    dependencies: dict[str, list[str]], order: list[str]
) -> None:
    assert dependency_order(dependencies) == order


@pytest.mark.parametrize(
    ("dependencies", "first"),
    [
        ({"a": ["a"]}, "a"),
        ({"outside": ["b"], "b": ["c"], "c": ["b"]}, "b"),
        ({"c": ["b"], "b": ["a"], "a": ["c"]}, "c"),
    ],
)
def test_a_cycle_is_reported_by_the_name_written_first(dependencies: dict[str, list[str]], first: str) -> None:
    with pytest.raises(ValueError, match=f"^{first}$"):
        dependency_order(dependencies)


@given(st.permutations("abcde"), st.sets(st.sampled_from(list(itertools.combinations("abcde", 2)))))
def test_the_order_is_the_first_of_all_valid_ones(written: list[str], edges: set[tuple[str, str]]) -> None:
    """Edges point from an earlier letter to a later one, so there is no cycle."""
    dependencies = {name: [needed for needed, by in sorted(edges) if by == name] for name in written}
    valid = (
        order
        for order in itertools.permutations(written)
        if all(order.index(needed) < order.index(by) for needed, by in edges)
    )
    # Permutations come in the written order, so the first valid one is the answer.
    assert dependency_order(dependencies) == list(next(valid))
