"""The expectation from `top_logprobs`, held to models whose every probability is known."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.llm._expectations import Token, expectation_of, tokens_of

INTEGERS = [str(score) for score in range(6)]
HALVES = [f"{score / 2:g}" for score in range(11)]
TENS = [str(score) for score in range(11)]


def token(name: str) -> Token:
    return name, {name: 0.0}


def shown(written: str, shares: dict[str, float]) -> Token:
    return written, {name: math.log(share) for name, share in shares.items()}


def found(choices: list[str], *tokens: Token, cut: bool = False) -> dict[str, Any]:
    return dict(json.loads(expectation_of(choices, tokens, "".join(name for name, _ in tokens), cut=cut)))


READ: list[tuple[str, list[str], list[Token], float]] = [
    ("one token a score", INTEGERS, [shown("4", {"4": 0.7, "5": 0.2, "3": 0.1})], 4.1),
    ("what is no score is left out", INTEGERS, [shown("4", {"4": 0.6, "The": 0.4})], 4.0),
    ("a score off the scale is left out", INTEGERS, [shown("4", {"4": 0.5, "5": 0.25, "9": 0.25})], 4 + 1 / 3),
    ("a token with a space", INTEGERS, [shown(" 4", {" 4": 0.5, "4": 0.25, " 5": 0.25})], 4.25),
    ("behind a label", INTEGERS, [token("Score"), token(":"), token(" "), shown("2", {"2": 0.5, "3": 0.5})], 2.5),
    ("in bold, of five", INTEGERS, [token("**"), shown("2", {"2": 0.5, "3": 0.5}), token("/"), token("5"), token("**")], 2.5),
    ("an explanation below", INTEGERS, [shown("2", {"2": 0.5, "3": 0.5}), token("\n"), token("Because"), token(" 9")], 2.5),
    (
        "three tokens a score",
        HALVES,
        [shown("4", {"4": 0.75, "5": 0.25}), shown(".", {".": 0.8, "\n": 0.2}), shown("5", {"5": 1.0}), token("\n")],
        0.6 * 4.5 + 0.15 * 4 + 0.25 * 5,
    ),
    ("4.0 is 4", HALVES, [shown("4", {"4": 1.0}), token("."), shown("0", {"0": 0.5, "5": 0.5})], 4.25),
    ("ten is a token", TENS, [shown("9", {"9": 0.5, "10": 0.3, "1": 0.2})], 0.5 * 9 + 0.3 * 10 + 0.2),
    ("ten is two tokens", TENS, [shown("1", {"1": 1.0}), shown("0", {"0": 0.5, "\n": 0.5})], 5.5),
]  # fmt: skip
NOT_READ: list[tuple[str, list[str], list[Token]]] = [
    ("nothing", INTEGERS, []),
    ("a sentence", INTEGERS, [token("The"), token(" answer"), token(" is"), token(" right")]),
    ("the number of a list", INTEGERS, [token("1"), token("."), token(" The"), token(" answer")]),
    ("a sentence with a number", INTEGERS, [token("4"), token(" of"), token(" them"), token(" are")]),
    ("most of it is no score", INTEGERS, [shown("4", {"4": 0.4, "I": 0.6})]),
    ("a number between two scores", HALVES, [token("4"), token("."), token("7")]),
    ("a number without a label", INTEGERS, [token("Well"), token(","), token(" "), token("4")]),
    ("a number below the first line", INTEGERS, [token("Well"), token("\n"), token("4")]),
    ("one or ten, of a tokenizer of single digits", TENS, [shown("9", {"9": 0.5, "1": 0.5})]),
]  # fmt: skip


@pytest.mark.parametrize(("choices", "tokens", "score"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_an_expectation(choices: list[str], tokens: list[Token], score: float) -> None:
    reply = found(choices, *tokens)
    assert reply["score"] == pytest.approx(score, abs=1e-6)
    assert sum(reply["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("choices", "tokens"), [case[1:] for case in NOT_READ], ids=[case[0] for case in NOT_READ])
def test_a_reply_without_a_score_has_none(choices: list[str], tokens: list[Token]) -> None:
    assert found(choices, *tokens) == {"score": None, "reply": "".join(name for name, _ in tokens)}


def test_a_number_that_the_length_cut_is_no_score() -> None:
    tokens = [token("4"), token(".")]
    assert found(HALVES, *tokens, cut=True)["score"] is None
    assert found(HALVES, token("4"), token("\n"), cut=True)["score"] == 4


def test_the_uncertainty_is_said() -> None:
    reply = found(HALVES, shown("4", {"4": 0.6, "3": 0.4}))
    assert reply["probabilities"] | {"3": 0.2, "3.5": 0.2} == reply["probabilities"]
    assert reply["uncertain"] == pytest.approx(0.1)


@settings(max_examples=examples(300), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([INTEGERS, HALVES, TENS]), st.booleans())
def test_an_expectation_is_as_near_the_true_one_as_it_says(seed: int, choices: list[str], single: bool) -> None:
    """A model with a probability for each score, its tokens of one digit or of whole numbers, of which one reply is drawn."""
    source = random.Random(seed)
    weights = [source.random() ** 4 for _ in choices]
    shares = {choice: weight / sum(weights) for choice, weight in zip(choices, weights, strict=True)}

    def pieces(choice: str) -> list[str]:
        whole, dot, rest = choice.partition(".")
        return [*(list(whole) if single else [whole]), *([dot, rest] if dot else []), "\n"]

    written = pieces(source.choices(choices, weights)[0])
    tokens: list[Token] = []
    for position, name in enumerate(written):
        left = {c: p for c, p in shares.items() if pieces(c)[:position] == written[:position]}
        tops: dict[str, float] = {}
        for choice, share in left.items():
            tops[pieces(choice)[position]] = tops.get(pieces(choice)[position], 0.0) + share / sum(left.values())
        tokens.append(shown(name, {piece: share for piece, share in tops.items() if share > 0}))
    reply = found(choices, *tokens)
    true = sum(float(choice) * share for choice, share in shares.items())
    if reply["score"] is not None:
        assert abs(reply["score"] - true) <= reply.get("uncertain", 0.0) + 2e-5
        assert reply.get("uncertain", 0.0) <= 0.5


def test_log_probabilities_in_the_forms_of_servers() -> None:
    chat = {
        "content": [{"token": "4", "logprob": -0.1, "bytes": [52], "top_logprobs": [{"token": "5", "logprob": -2.5}]}]
    }
    assert tokens_of(chat) == [("4", {"5": -2.5, "4": -0.1})]
    older = {"tokens": ["4"], "token_logprobs": [-0.1], "top_logprobs": [{"5": -2.5}]}
    assert tokens_of(older) == [("4", {"5": -2.5, "4": -0.1})]


@pytest.mark.parametrize(
    "given", [None, [], {}, {"content": None}, {"content": [7]}, {"content": []}, {"tokens": ["4"]}, "logprobs"]
)
def test_a_server_without_log_probabilities(given: object) -> None:
    assert tokens_of(given) == []


def test_broken_log_probabilities_are_left_out() -> None:
    (each,) = tokens_of(
        {"content": [{"token": "4", "logprob": None, "top_logprobs": [{"token": "5", "logprob": "x"}, 3]}]}
    )
    assert each == ("4", {})
    assert json.loads(expectation_of(INTEGERS, [each], "4"))["score"] is None
