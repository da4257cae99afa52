"""Which rows make a step, and how they are packed into micro-batches."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra 'train'")
from alpaqual.trainers.fsdp_job.batches import Order, pack, plan_micro_batches
from alpaqual.trainers.fsdp_job.tokenization import Example

pytestmark = pytest.mark.slow

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60)
IDS = st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), min_size=1, max_size=40, unique=True)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 1000))
def test_each_row_is_in_one_micro_batch_and_each_rank_has_as_many(lengths, processes, tokens):
    planned = plan_micro_batches(lengths, processes, tokens)
    assert all(len(batches) == processes for batches in planned)
    assert sorted(chain.from_iterable(chain.from_iterable(planned))) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 9), st.integers(1, 1000))
def test_only_a_single_long_row_exceeds_the_limit(lengths, processes, tokens):
    for batches in plan_micro_batches(lengths, processes, tokens):
        for batch in batches:
            assert len(batch) <= 1 or sum(lengths[row] for row in batch) <= tokens


def test_rows_of_a_real_spread_are_balanced():
    lengths = [30 + (n * n * 37) % 170 for n in range(128)]
    (batches,) = plan_micro_batches(lengths, 4, 5000)
    weights = [sum(lengths[row] for row in batch) for batch in batches]
    assert max(weights) / (sum(weights) / 4) < 1.01


@given(IDS, st.integers(1, 7), st.integers(1, 3), st.integers(0, 5), st.randoms())
def test_each_epoch_has_each_row_once_whatever_the_order_of_the_file(ids, size, epochs, seed, chance):
    order = Order(tuple(ids), size, epochs, seed)
    steps = [[ids[position] for position in rows] for _, rows in order.steps_from(0)]
    assert len(steps) == order.steps
    for epoch in range(epochs):
        part = steps[epoch * order.steps_per_epoch : (epoch + 1) * order.steps_per_epoch]
        assert sorted(chain.from_iterable(part)) == sorted(ids)
    shuffled = chance.sample(ids, len(ids))
    other = [
        [shuffled[position] for position in rows]
        for _, rows in Order(tuple(shuffled), size, epochs, seed).steps_from(0)
    ]
    assert other == steps


@given(IDS, st.integers(1, 7), st.integers(1, 3), st.data())
def test_steps_resume_from_any_step(ids, size, epochs, data):
    order = Order(tuple(ids), size, epochs, 42)
    whole = list(order.steps_from(0))
    first = data.draw(st.integers(0, order.steps))
    assert list(order.steps_from(first)) == whole[first:]


@given(IDS, st.integers(0, 5), st.data())
def test_rows_that_two_datasets_share_come_in_the_same_order(ids, seed, data):
    part = data.draw(st.lists(st.sampled_from(ids), min_size=1, unique=True))

    def seen(chosen):
        return [chosen[row] for _, rows in Order(tuple(chosen), len(chosen), 1, seed).steps_from(0) for row in rows]

    assert [each for each in seen(ids) if each in part] == seen(part)


def test_another_epoch_and_another_seed_have_another_order():
    ids = tuple(f"r{n}" for n in range(50))
    (_, first), (_, second) = Order(ids, 50, 2, 42).steps_from(0)
    ((_, other),) = Order(ids, 50, 1, 43).steps_from(0)
    assert len({tuple(first), tuple(second), tuple(other)}) == 3


@st.composite
def spans(draw):
    """A number of tokens, and spans of them with loss: none, one or several."""
    length = draw(st.integers(2, 12))
    ends = sorted(draw(st.sets(st.integers(1, length), max_size=6)))
    return length, tuple(zip(ends[::2], ends[1::2], strict=False))


@given(st.lists(spans(), min_size=1, max_size=6))
def test_a_micro_batch_has_the_targets_of_each_row(shapes):
    rows = [Example(str(n), tuple(range(n * 100, n * 100 + length)), loss) for n, (length, loss) in enumerate(shapes)]
    made = pack(rows)
    assert made.input_ids == [token for row in rows for token in row.tokens]
    assert made.targets == [row.tokens[at] for row in rows for start, end in row.loss for at in range(start, end)]
    # Tokens count up by one in a row: what follows the token at each place is the target.
    assert [made.input_ids[at] + 1 for at in made.loss_positions] == made.targets
    assert made.cu_seqlens == [0, *(sum(len(row.tokens) for row in rows[: n + 1]) for n in range(len(rows)))]
    assert made.position_ids == [place for row in rows for place in range(len(row.tokens))]


def test_a_rank_without_rows_gets_tokens_without_loss():
    made = pack([])
    assert len(made.input_ids) == made.cu_seqlens[-1] == 2 and not made.loss_positions and not made.targets
