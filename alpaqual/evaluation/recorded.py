"""Recorded replies of judges, as JSON Lines: what each line says, and both orders of an item as one judgement.

A line is `{pair: [a, b], test_set, id, first, second, reply}`; `category`, `skill`, `judge`, `question`, `first_answer`,
`second_answer` and `finish_reason` may be there, and any other key. A rating of one answer is `{model, test_set, id, reply}`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alpaqual.errors import Problem, RecipeError
from alpaqual.evaluation.values import NOT_ASKED, Judgement
from alpaqual.evaluation.verdicts import votes_of_ratings
from alpaqual.values import Reply, Vote, replace_surrogates

ReadReply = Callable[[Reply], Vote]
"""Reads a reply as a kind of judge does."""
PAIRS, RATINGS = ("vicuna", "mt_bench"), ("single",)
"""Kinds of judges whose replies differ in form: of those that compare two answers, and of those that rate one."""
MOST_PROBLEMS = 20
_RATES = ", single answers"
"""Behind the name of a judge that rates answers one by one, beside its comparisons."""
_TRIED = 1000
"""Replies that are read in several ways, to find how all are to be read."""
_TEXTS = ("category", "skill", "judge", "question", "first_answer", "second_answer", "answer", "finish_reason")
_GROUPS = ("category", "skill")
"""Texts that may be numbers: some logs number their categories."""


@dataclass(frozen=True)
class RecordedReply:
    """A reply to one request: who was first and second, or the one model that was rated, which is `first`."""

    line: int
    first: str
    second: str
    test_set: str
    id: str
    reply: Reply | None
    texts: Mapping[str, str]

    @property
    def judge(self) -> str:
        """The judge that the line names; empty where it names none."""
        return self.texts.get("judge", "")

    @property
    def is_rating(self) -> bool:
        """Whether one answer was rated."""
        return not self.second

    @property
    def pair(self) -> tuple[str, str]:
        """Both models in the order of their names."""
        return (self.first, self.second) if self.first <= self.second else (self.second, self.first)


@dataclass(frozen=True)
class Recorded:
    """What a file of recorded replies says.

    `kinds` has how the replies of each judge were read. `repeated` are lines that say the same as an earlier one, and count once.
    """

    judgements: list[Judgement]
    kinds: Mapping[str, str]
    replies: int
    repeated: tuple[int, ...] = ()


@dataclass
class _Problems:
    file: str
    found: list[Problem] = field(default_factory=list)

    def add(self, line: int, message: str, column: int = 1) -> None:
        self.found.append(Problem(self.file, line, column, message))

    def check(self) -> None:
        """Raises RecipeError with every problem so far, the first ones where there are many."""
        if not self.found:
            return
        shown = self.found[:MOST_PROBLEMS]
        if len(self.found) > len(shown):
            rest = len(self.found) - len(shown)
            shown.append(Problem(self.file, self.found[len(shown)].line, 1, f"and {rest:,} more problems from here on"))
        raise RecipeError(shown)


def read_recorded(  # noqa: PLR0913 - one argument for each key of a recipe
    lines: Iterable[str],
    readers: Mapping[str, ReadReply],
    *,
    file: str = "replies",
    prompt: str | None = None,
    pairs: Sequence[Sequence[str]] = (),
    one_order: bool = False,
    judge: str = "replies",
) -> Recorded:
    """The judgements of recorded replies.

    Args:
        lines: The lines of the file; empty ones are passed over.
        readers: By kind of judge, what reads a reply.
        file: Name of the file in messages.
        prompt: How replies are read; by default as the kind that reads most of a judge's replies.
        pairs: Pairs to keep, a win being one of the first; by default all, each as its first line has it.
        one_order: Whether an item with one order alone counts; otherwise its other order is missing, and it is unjudged.
        judge: Name of a judge that the lines leave out.

    Raises RecipeError, with the line of each problem: a line that is no such record, `first` and `second` that are not the pair,
    one order of an item with two replies that differ, no reply at all.
    """
    problems = _Problems(file)
    given = list(_parsed(lines, problems))
    if not given and not problems.found:
        problems.add(0, "the file has no replies", 0)
    kept, orders, repeated = _without_repeats(given, problems)
    wanted = _wanted(pairs, kept, orders, problems)
    problems.check()
    kept = list(_with_judges(kept, judge))
    kinds = {name: prompt or _kind_of(replies, readers) for name, replies in _by_judge(kept).items()}
    judgements = list(_judgements(kept, wanted, readers, kinds, one_order=one_order))
    judgements += _of_ratings(kept, wanted if pairs else {}, {name: readers[kinds[name]] for name in kinds})
    return Recorded(judgements, kinds, len(kept), repeated)


def _parsed(lines: Iterable[str], problems: _Problems) -> Iterator[tuple[RecordedReply, tuple[str, str] | None]]:
    """The reply of each line, with the pair that the line names; a line that is wrong adds its problems."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            column = getattr(error, "colno", 1)
            problems.add(number, f"not JSON: {getattr(error, 'msg', 'nested too deep')}", column)
            continue
        wrong = list(_wrong(record))
        for message in wrong:
            problems.add(number, message)
        if not wrong:
            yield _reply_of(record, number)


def _wrong(record: Any) -> Iterator[str]:
    """What is wrong with a record."""
    if not isinstance(record, dict):
        yield "a line is an object: {pair, test_set, id, first, second, reply}"
        return
    yield from _wrong_models(record)
    test_set, item, reply = (record.get(key) for key in ("test_set", "id", "reply"))
    if not isinstance(test_set, str) or not test_set:
        yield _needs("test_set", "a text", record)
    if isinstance(item, bool) or not isinstance(item, str | int) or item == "":
        yield _needs("id", "a text or a whole number", record)
    if "reply" not in record or not isinstance(reply, str | None):
        yield _needs("reply", "a text, or null where no reply came", record)
    for key in _TEXTS:
        value = record.get(key)
        if not isinstance(value, str | None) and (key not in _GROUPS or not _is_number(value)):
            yield _needs(key, "a text", record)


def _wrong_models(record: Mapping[str, Any]) -> Iterator[str]:
    if "model" in record and "pair" not in record:
        if not isinstance(record["model"], str) or not record["model"]:
            yield _needs("model", "a text", record)
        return
    pair, sides = record.get("pair"), [record.get("first"), record.get("second")]
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) and each for each in pair)):
        yield _needs("pair", "a list of two names", record)
    elif pair[0] == pair[1]:
        yield f"'pair' names '{pair[0]}' twice"
    elif not all(isinstance(side, str) for side in sides):
        yield "'first' and 'second' must be the two names of the pair, in the order of the prompt"
    elif sorted(map(str, sides)) != sorted(pair):
        yield f"'first' and 'second' are '{sides[0]}' and '{sides[1]}', the pair is '{pair[0]}' and '{pair[1]}'"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _needs(key: str, what: str, record: Mapping[str, Any]) -> str:
    return f"'{key}' must be {what}" if key in record else f"'{key}' is missing: {what}"


def _reply_of(record: Mapping[str, Any], line: int) -> tuple[RecordedReply, tuple[str, str] | None]:
    numbers = {key: str(record[key]) for key in _GROUPS if _is_number(record.get(key))}
    clean = {key: replace_surrogates(value) for key, value in {**record, **numbers}.items() if isinstance(value, str)}
    texts = {key: clean[key] for key in _TEXTS if clean.get(key)}
    text = clean.get("reply")
    reply = None if text is None else Reply(text, "", finish_reason=texts.get("finish_reason"))
    pair = record.get("pair")
    first, second = (clean["first"], clean["second"]) if pair else (clean["model"], "")
    item = replace_surrogates(str(record["id"]))
    named_pair = None if pair is None else (replace_surrogates(pair[0]), replace_surrogates(pair[1]))
    return RecordedReply(line, first, second, clean["test_set"], item, reply, texts), named_pair


def _without_repeats(
    given: Sequence[tuple[RecordedReply, tuple[str, str] | None]], problems: _Problems
) -> tuple[list[RecordedReply], dict[tuple[str, str], tuple[str, str]], tuple[int, ...]]:
    """Each order of each item once; every pair as its first line has it; the lines that were left out."""
    seen: dict[tuple[str, ...], RecordedReply] = {}
    orders: dict[tuple[str, str], tuple[str, str]] = {}
    repeated = []
    for reply, named in given:
        if named is not None:
            orders.setdefault(reply.pair, named)
        before = seen.setdefault((reply.judge, reply.test_set, reply.id, reply.first, reply.second), reply)
        if before is reply:
            continue
        if before.reply == reply.reply:
            repeated.append(reply.line)
        else:
            what = f"the rating of '{reply.first}'" if reply.is_rating else f"'{reply.first}' before '{reply.second}'"
            problems.add(
                reply.line,
                f"{what} for item '{reply.id}' of '{reply.test_set}' has another reply in line {before.line}: keep one of the two",
            )
    return list(seen.values()), orders, tuple(repeated)


def _wanted(
    pairs: Sequence[Sequence[str]],
    replies: Sequence[RecordedReply],
    orders: Mapping[tuple[str, str], tuple[str, str]],
    problems: _Problems,
) -> dict[tuple[str, str], tuple[str, str]]:
    """The pairs to keep, by both names in their order; of answers that were rated one by one, none means all."""
    if not pairs:
        return dict(orders)
    rated = {reply.first for reply in replies if reply.is_rating}
    wanted = {}
    for first, second in pairs:
        key = (first, second) if first <= second else (second, first)
        wanted[key] = (first, second)
        if key not in orders and not rated.issuperset(key):
            known = [", ".join(each) for each in orders.values()] or sorted(rated)
            shown = "; ".join(known[:MOST_PROBLEMS])
            problems.add(0, f"no reply about the pair {first}, {second}; there are: {shown}", 0)
    return wanted


def _with_judges(replies: Sequence[RecordedReply], judge: str) -> Iterator[RecordedReply]:
    """The replies with the name of their judge; where one also compares answers, its ratings are of a judge by another name."""
    compares = {reply.judge or judge for reply in replies if not reply.is_rating}
    for reply in replies:
        name = reply.judge or judge
        name += _RATES if reply.is_rating and name in compares else ""
        yield replace(reply, texts={**reply.texts, "judge": name})


def _by_judge(replies: Iterable[RecordedReply]) -> dict[str, list[RecordedReply]]:
    found: dict[str, list[RecordedReply]] = {}
    for reply in replies:
        found.setdefault(reply.judge, []).append(reply)
    return found


def _kind_of(replies: Sequence[RecordedReply], readers: Mapping[str, ReadReply]) -> str:
    """The kind of judge that reads most of the replies; of many, of some that are spread over all."""
    kinds = RATINGS if all(reply.is_rating for reply in replies) else PAIRS
    tried = replies[:: -(-len(replies) // _TRIED)]

    def read(kind: str) -> int:
        votes = (readers[kind](each.reply) for each in tried if each.reply is not None)
        return sum(vote.winner is not None or bool(vote.scores) for vote in votes)

    return kinds[0] if len(kinds) == 1 else max(kinds, key=read)


def _judgements(
    replies: Sequence[RecordedReply],
    wanted: Mapping[tuple[str, str], tuple[str, str]],
    readers: Mapping[str, ReadReply],
    kinds: Mapping[str, str],
    *,
    one_order: bool,
) -> Iterator[Judgement]:
    """A judgement for each judge, pair and item that was compared, in the order of the first line about it."""
    items: dict[tuple[str, ...], dict[str, RecordedReply]] = {}
    for reply in replies:
        if not reply.is_rating and reply.pair in wanted:
            items.setdefault((reply.judge, reply.test_set, reply.id, *reply.pair), {})[reply.first] = reply
    for (name, test_set, item, *both), found in items.items():
        a, b = wanted[both[0], both[1]]
        a_first, b_first = (_vote(found.get(side), readers[kinds[name]]) for side in (a, b))
        judgement = Judgement(a, b, test_set, item, name, a_first, b_first, **_texts(found, a, b))
        yield replace(judgement, one_order=one_order and len(found) == 1)


def _of_ratings(
    replies: Sequence[RecordedReply],
    wanted: Mapping[tuple[str, str], tuple[str, str]],
    read: Mapping[str, ReadReply],
) -> Iterator[Judgement]:
    """Judgements of answers that were rated one by one: every pair of models, or the pairs that are wanted."""
    ratings: dict[tuple[str, str, str], dict[str, RecordedReply]] = {}
    for reply in replies:
        if reply.is_rating:
            ratings.setdefault((reply.judge, reply.test_set, reply.id), {})[reply.first] = reply
    models: dict[tuple[str, str], dict[str, None]] = {}
    for (name, test_set, _), found in ratings.items():
        models.setdefault((name, test_set), {}).update(dict.fromkeys(found))
    for (name, test_set, item), found in ratings.items():
        there = models[name, test_set]
        all_pairs = itertools.combinations(there, 2)
        for a, b in [each for each in wanted.values() if set(each) <= set(there)] if wanted else all_pairs:
            if a not in found and b not in found:
                continue
            a_first, b_first = votes_of_ratings(*(_vote(found.get(model), read[name]) for model in (a, b)))
            about = {model: reply for model, reply in found.items() if model in (a, b)}
            yield Judgement(a, b, test_set, item, name, a_first, b_first, single=True, **_texts(about, a, b))


def _vote(reply: RecordedReply | None, read: ReadReply) -> Vote:
    return NOT_ASKED if reply is None or reply.reply is None else read(reply.reply)


def _texts(found: Mapping[str, RecordedReply], a: str, b: str) -> dict[str, Any]:
    """The groups, the question and both answers of an item, from the first line that has them."""
    texts: dict[str, str] = {}
    for reply in found.values():
        answers = {reply.first: reply.texts.get("first_answer") or reply.texts.get("answer", "")}
        answers[reply.second] = reply.texts.get("second_answer", "")
        own = {"text_a": answers.get(a, ""), "text_b": answers.get(b, "")}
        for key, text in {**reply.texts, **own}.items():
            if text:
                texts.setdefault(key, text)
    groups = tuple((kind, texts[kind]) for kind in _GROUPS if kind in texts)
    return {"groups": groups, **{key: texts.get(key, "") for key in ("question", "text_a", "text_b")}}
