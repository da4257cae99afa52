"""The forms of published logs of judges: how each is recognized, and what a record becomes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from alpaqual.evaluation.log_questions import text_of
from alpaqual.evaluation.log_records import (
    LETTERS,
    PROMPTS,
    Converter,
    Form,
    LeftOut,
    Line,
    Record,
    better_of,
    item_of,
    judge_of,
    question_of,
)


class TwoOrders(Converter):
    """A record with the reviews of both orders: `scores_reverse` and `review_reverse` have Answer2 first (Cherry_LLM)."""

    def begin(self, models: tuple[str, ...], first: str) -> None:
        named = re.split(r"-VS-", PurePath(self.file.name).parent.name, flags=re.IGNORECASE)
        self.models = models or (tuple(named) if len(named) == 2 and all(named) else ("Answer1", "Answer2"))
        if first:
            raise self.wrong("each record has both orders: leave --first out")
        if self.models == ("Answer1", "Answer2"):
            self.notes.append(f"{self.file.name}: the log names no models: give --models A B (A gave Answer1)")
        name = self.file.meta.get("dataset_name")
        self.test_set = {"sinstruct": "self_instruct"}.get(name, name) if isinstance(name, str) else ""

    def lines(self, record: Record, number: int) -> Iterator[Line]:
        a, b = self.models
        item, question = item_of(record, number), question_of(record)
        answers = {a: text_of(record.get("Answer1")), b: text_of(record.get("Answer2"))}
        if not {"review", "scores", "review_reverse", "scores_reverse"} & record.keys():
            raise LeftOut("no review")
        for suffix, (first, second) in (("", (a, b)), ("_reverse", (b, a))):
            if f"review{suffix}" not in record and f"scores{suffix}" not in record:
                continue
            yield {
                "pair": [a, b],
                "id": item,
                "first": first,
                "second": second,
                "reply": self.reply(record.get(f"review{suffix}"), record.get(f"scores{suffix}")),
                "logged": better_of(record.get(f"scores{suffix}")),
                "question": question,
                "first_answer": answers[first],
                "second_answer": answers[second],
            }


class OneOrder(Converter):
    """A file an order: each record has the question, both answers under the names of the models, and one review (gauss5930)."""

    _KNOWN = (
        *(*PROMPTS, "question_id", "id", "idx", "review", "score", "scores", "category", "Category", "Skill", "skill"),
        *("Difficulty", "motivation_app", "name", "instances", "is_classification", "input", "output", "reference"),
        *("judge", "source", "dataset"),
    )

    def begin(self, models: tuple[str, ...], first: str) -> None:
        self.models = models or self._answered()
        if first and first not in self.models:
            raise self.wrong(f"--first '{first}' is none of the models {', '.join(self.models)}")
        self.first = first or self._named_first()
        self.second = next(model for model in self.models if model != self.first)

    def _answered(self) -> tuple[str, ...]:
        """The two keys with texts in most records that are no known ones: the answers."""
        records = [record for record in self.file.records if isinstance(record, Mapping)]
        texts = Counter(key for record in records for key, value in record.items() if isinstance(value, str))
        found = tuple(key for key, count in texts.items() if key not in self._KNOWN and 2 * count > len(records))
        if len(found) != 2:
            raise self.wrong(
                f"which keys have the answers of the two models? Records have {', '.join(found) or 'none'}: give --models A B"
            )
        return found

    def _named_first(self) -> str:
        """The model that the file's name puts first: `…_MODEL_first`, or `A-B-test_set`."""
        stem = PurePath(self.file.name).name
        named = [
            model for model in self.models if re.search(rf"(?<![^\W_]){re.escape(model)}[-_. ]first(?![^\W_])", stem)
        ]
        both = [model for model in self.models if re.match(rf"{re.escape(model)}-", stem)]
        found = named if len(named) == 1 else both
        if len(found) != 1:
            raise self.wrong(
                f"who is first in the prompts, {' or '.join(self.models)}? The file's name does not say: give --first"
            )
        return found[0]

    def lines(self, record: Record, number: int) -> Iterator[Line]:
        if any(not isinstance(record.get(model), str) for model in self.models):
            raise LeftOut("no answer of one of the models")
        question = question_of(record)
        instances = record.get("instances")
        asked = (
            instances[0].get("input")
            if isinstance(instances, list) and instances and isinstance(instances[0], Mapping)
            else ""
        )
        yield {
            "pair": list(self.models),
            "id": item_of(record, number),
            "first": self.first,
            "second": self.second,
            "reply": self.reply(record.get("review"), record.get("score", record.get("scores"))),
            "logged": better_of(record.get("score", record.get("scores"))),
            "question": "\n\n".join(part for part in (question, text_of(asked)) if part),
            "instruction": question,
            "first_answer": record[self.first],
            "second_answer": record[self.second],
            "category": text_of(record.get("category")),
            "skill": text_of(record.get("Skill") or record.get("skill")),
            "judge": judge_of(record.get("judge")),
        }


class OldReviews(Converter):
    """FastChat's reviews of the Vicuna evaluation: answers by id, models in the file's name (`review_A_B.jsonl`)."""

    def begin(self, models: tuple[str, ...], first: str) -> None:
        stem = re.sub(r"(\.jsonl?|\.gz|\.zst)+$", "", PurePath(self.file.name).name)
        named = re.split(r"review_", stem)[-1].split("_")
        found = models or (tuple(named) if len(named) == 2 and all(named) and "review_" in stem else ())
        if not found:
            raise self.wrong(
                "the log has ids of answers, and its name does not say whose: give --models A B (A is Assistant 1)"
            )
        self.first = first or (named[0] if sorted(named) == sorted(found) else found[0])
        if self.first not in found:
            raise self.wrong(f"--first '{first}' is none of the models {', '.join(found)}")
        self.models = found
        self.second = next(model for model in found if model != self.first)

    def lines(self, record: Record, number: int) -> Iterator[Line]:
        yield {
            "pair": list(self.models),
            "id": item_of(record, number),
            "first": self.first,
            "second": self.second,
            "reply": self.reply(record.get("text"), record.get("score")),
            "logged": better_of(record.get("score")),
            # One judge has a name for each kind of prompt.
            "judge": re.sub(r"-(generic|general|coding|math)$", "", judge_of(record.get("reviewer_id"))),
        }


class FastChatPairs(Converter):
    """FastChat's `…_pair.jsonl`: `g1` has model_1 first, `g2` has model_2 first; or ratings of both answers one by one."""

    def lines(self, record: Record, number: int) -> Iterator[Line]:
        a, b = (_named(record, key) for key in ("model_1", "model_2"))
        both = {"id": _item_of_turn(record, number), "judge": judge_of(record.get("judge")), "turn": record.get("turn")}
        if "m1_score" in record:
            for model, game in ((a, "1"), (b, "2")):
                yield both | {
                    "model": model,
                    "reply": self.rating(record.get(f"g{game}_judgment"), record.get(f"m{game}_score")),
                }
            return
        if "winner" in record and "g1_winner" not in record:
            # Old files have one verdict for both orders.
            reply = self.letter(None, _SIDES.get(str(record["winner"])))
            yield both | {"pair": [a, b], "first": a, "second": b, "reply": reply}
            return
        for game, (first, second), sides in (("g1", (a, b), _SIDES), ("g2", (b, a), _TURNED)):
            winner = sides.get(str(record.get(f"{game}_winner")))
            reply = self.letter(record.get(f"{game}_judgment"), winner)
            yield both | {"pair": [a, b], "first": first, "second": second, "reply": reply, "logged": winner}

    def letter(self, text: Any, winner: str | None) -> str | None:
        """The judge's text, or the letter of the winner; None where the log has neither."""
        if isinstance(text, str) and text.strip() and text.strip() != _NO_REPLY:
            return text
        if winner is None:
            return None
        self.written["verdict"] += 1
        return LETTERS[winner]

    def rating(self, text: Any, score: Any) -> str | None:
        """The judge's text, or the score; None where the log has neither."""
        if isinstance(text, str) and text.strip() and text.strip() != _NO_REPLY:
            return text
        if not isinstance(score, int | float) or isinstance(score, bool) or score == -1:
            return None
        self.written["score"] += 1
        return f"[[{score:g}]]"


_SIDES = {"model_1": "first", "model_2": "second", "tie": "tie"}
_TURNED = {"model_1": "second", "model_2": "first", "tie": "tie"}
_NO_REPLY = "$ERROR$"
"""What FastChat writes where no reply came."""


class FastChatSingle(FastChatPairs):
    """FastChat's `…_single.jsonl`: ratings of answers one by one."""

    def lines(self, record: Record, number: int) -> Iterator[Line]:
        yield {
            "model": _named(record, "model"),
            "id": _item_of_turn(record, number),
            "judge": judge_of(record.get("judge")),
            "reply": self.rating(record.get("judgment"), record.get("score")),
            "turn": record.get("turn"),
        }


_ARENA = "arena_user"
"""What judges of Chatbot Arena are named with, a number behind it."""


class Votes(FastChatPairs):
    """Votes of people on two models (MT-bench's human judgments, Chatbot Arena): one order, no text."""

    def begin(self, models: tuple[str, ...], first: str) -> None:
        self.notes.append(f"{self.file.name}: each pair was shown in one order: the recipe needs `orders: one`")
        record = next((each for each in self.file.records if isinstance(each, Mapping)), {})
        self.test_set = "chatbot_arena" if judge_of(record.get("judge")).startswith(_ARENA) else ""

    def lines(self, record: Record, number: int) -> Iterator[Line]:
        a, b = (_named(record, key) for key in ("model_a", "model_b"))
        winner = str(record.get("winner")).casefold()
        side = {"model_a": "first", "model_b": "second"}.get(
            winner, "tie" if winner.startswith(("tie", "both")) else None
        )
        if side is None:
            raise LeftOut(f"no winner that is known: {winner[:40]}")
        judge = judge_of(record.get("judge"))
        yield {
            "pair": [a, b],
            "id": _item_of_turn(record, number),
            "first": a,
            "second": b,
            "reply": self.letter(None, side),
            # Each vote of Chatbot Arena has a voter of its own.
            "judge": "people" if judge.startswith(_ARENA) else judge,
            "question": text_of(record.get("conversation_a")),
            "first_answer": _answer_in(record.get("conversation_a")),
            "second_answer": _answer_in(record.get("conversation_b")),
            "turn": record.get("turn"),
        }


class AlpacaEval(FastChatPairs):
    """alpaca_eval's `annotations.json`: a preference from 1 (output_1) to 2 (output_2), without the order that the judge saw."""

    def begin(self, models: tuple[str, ...], first: str) -> None:
        self.ids: dict[str, str] = {}
        self.weighted = 0
        self.notes.append(f"{self.file.name}: the judge was asked once an item: the recipe needs `orders: one`")
        self.notes.append(
            f"{self.file.name}: which answer was shown first is not in the log, so rates of positions mean nothing"
        )

    def lines(self, record: Record, number: int) -> Iterator[Line]:
        a, b = (_named(record, key) for key in ("generator_1", "generator_2"))
        if a == b:
            raise LeftOut("both answers are of one model")
        question = "\n\n".join(part for key in ("instruction", "input") if (part := text_of(record.get(key))))
        preference = record.get("preference")
        self.weighted += isinstance(preference, float) and 1 < preference < 2 and preference != _MIDWAY
        yield {
            # alpaca_eval's win rate is that of output_2.
            "pair": [b, a],
            "id": self.ids.setdefault(question, str(len(self.ids) + 1)) if question else item_of(record, number),
            "first": a,
            "second": b,
            "reply": self.letter(None, _preferred(preference)),
            "judge": judge_of(record.get("annotator")),
            "category": text_of(record.get("dataset")),
            "question": question,
            "first_answer": text_of(record.get("output_1")),
            "second_answer": text_of(record.get("output_2")),
        }

    def later_notes(self) -> Iterator[str]:
        """Also that preferences between 1 and 2 are votes here."""
        yield from super().later_notes()
        if self.weighted:
            yield f"{self.file.name}: {self.weighted:,} preferences are between 1 and 2: each is a vote for the closer side, without its weight"


_MIDWAY = 1.5


def _preferred(value: Any) -> str | None:
    """The side that a preference names: 1.5, and 0 in old files, is a tie; None where the judge's reply could not be read."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if value in (0, _MIDWAY):
        return "tie"
    return None if not 1 <= value <= 2 else "first" if value < _MIDWAY else "second"


def _named(record: Record, key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise LeftOut(f"no {key}")
    return value


def _item_of_turn(record: Record, number: int) -> str:
    """The id of a question; of the second turn of a conversation, with its number."""
    item, turn = item_of(record, number), record.get("turn")
    return item if turn in (None, 1) else f"{item} turn {turn}"


def _answer_in(conversation: Any) -> str:
    """The last answer of a conversation."""
    if not isinstance(conversation, list):
        return ""
    answers = [
        text_of([each]) for each in conversation if isinstance(each, Mapping) and each.get("role") == "assistant"
    ]
    return answers[-1] if answers else ""


FORMS = (
    Form("both orders in one record (Cherry_LLM)", frozenset({"Answer1", "Answer2"}), TwoOrders),
    Form("FastChat's pairs (MT-bench)", frozenset({"model_1", "model_2", "question_id"}), FastChatPairs, "mt_bench"),
    Form(
        "FastChat's single ratings (MT-bench)",
        frozenset({"model", "judgment", "question_id"}),
        FastChatSingle,
        "mt_bench",
    ),
    Form("votes of people", frozenset({"model_a", "model_b", "winner"}), Votes, "mt_bench"),
    Form(
        "alpaca_eval's annotations", frozenset({"generator_1", "generator_2", "preference"}), AlpacaEval, "alpaca_eval"
    ),
    Form("FastChat's reviews (Vicuna)", frozenset({"answer1_id", "answer2_id", "text"}), OldReviews, "vicuna"),
    Form("one file an order (AlpaGasus2-QLoRA)", frozenset({"review"}), OneOrder),
)
"""Every form; the first that fits a file's first record is taken."""
