"""Every shipped rule: rows it must find and near misses it must not, in one run; and its count on the real rows."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import alpaqual
from alpaqual.recipe.library import shipped
from alpaqual.recipe.model import Rule
from alpaqual.recipe.parse import read_rules

Row = tuple[str | None, str | None, str | None]

# The rules of conversations need turns: tests/integration/test_conversations.py has their rows.
FILES = {
    path.stem: read_rules(path) for path in sorted(shipped("rules").glob("*.yaml")) if path.stem != "conversations"
}
RULES: dict[str, Rule] = {rule.id: rule for rules in FILES.values() for rule in rules}

PROSE = "The river rises in the hills and runs through three towns before it meets the sea. " * 6
NUMBERED = "Do both:\n1. Write a title for the text.\n2. Explain what the text is about."

# For each rule: rows that fail it, and near misses that pass it. A row is (instruction, input, response).
CASES: dict[str, tuple[list[Row], list[Row]]] = {
    "chat_template_tokens": (
        [
            ("Name a bird.", "", "A wren.<|im_end|>\n<|im_start|>user\nName another."),
            ("Name a fish.", "<|eot_id|>", "A carp."),
            ("[INST] Name a frog. [/INST]", "", "A tree frog."),
            ("Name a toad.", "", "<start_of_turn>model\nA natterjack."),
            ("Name a newt.", "", "<<SYS>>Be brief.<</SYS>>"),
            ("Name a slug.", "", "<｜Assistant｜>A leopard slug."),
            ("Name a snail.", None, "<|endoftext|>"),
            ("Name a whale.", "", "<|reserved_special_token_0|>A minke."),
            ("Name a seal.", "", "A grey seal.</s><s>[INST]"),
            ("Name a bat.", "<eos>", "A pipistrelle."),
        ],
        [
            ("Write a list.", "", "List[INT] and [INSTALL]"),
            ("Compare a and b.", "a <| b", "a < b || b |> a"),
            ("Mark this up.", "", "<start> <b>x</b> <|> <span> <S>"),
        ],
    ),
    "empty_response": (
        [
            ("Name a tree.", "", ""),
            ("Name a bush.", "", " \n\t "),
            ("Name a herb.", "", None),
            ("Name a moss.", "", "\u200b\u00a0"),
        ],
        [("Name a letter.", "", "e"), ("Name a sign.", "", " . ")],
    ),
    "empty_instruction": (
        [("", "", "An oak."), ("  \n", "", "A beech."), (None, "some text", "An elm.")],
        [("?", "", "What do you mean?")],
    ),
    "placeholder_response": (
        [
            ("Draw a bar chart.", "1, 2", "<nooutput>"),
            ("Run this code now.", "x = 1", "No output required"),
            ("Find the file.", "", "N/A"),
            ("Finish this later.", "", "TODO"),
            ("Show the plan.", "", "[Insert plan here]"),
            ("Show a dog.", "", "[Picture of a brown dog]"),
            ("Play a tune.", "", "<No output. The task requires sound, not text.>"),
            ("Answer me.", "", "Your answer here"),
        ],
        [
            ("Is 4 prime?", "", "No"),
            ("Which of these is a fish?", "cat, dog", "None"),
            ("What does print() return in Python 3?", "", "No output is returned; the value is None."),
            ("Give the HTML of an image.", "", '<img src="dog.png" alt="a picture">'),
            ("List the words.", "a, b", "[image, horse, tree]"),
            ("Tag the heading.", "Chart", "<h1>Chart</h1>"),
            ("Title this.", "A boat", '<noinput>\n"A Leap of Faith"'),
            ("What is on my list?", "", "Todo: buy milk."),
        ],
    ),
    "input_says_none": (
        [
            ("Name a colour.", "No input", "Red"),
            ("Name a shade.", "<noinput>", "Teal"),
            ("Name a hue.", "N/A", "Blue"),
            ("Name a tint.", "None", "Pink"),
            ("Name a dye.", "No input required.", "Indigo"),
            ("Name a paint.", "\\<noinput\\>", "Ochre"),
            ("Name a stain.", "<noinput>\n11", "Walnut"),
        ],
        [
            ("Explain the saying.", "No pain, no gain", "Effort is needed."),
            ("Say it in other words.", "None of the students came.", "No student came."),
            ("Explain the element.", "Na", "Sodium."),
            ("Explain this error.", "No input file given to the command ls -l /tmp", "A file name is missing."),
            ("Name a metal.", "", "Iron"),
            ("Name a gas.", None, "Argon"),
        ],
    ),
    "url_as_input": (
        [
            ("Summarise the page.", "https://example.com/a/b?c=d", "It is about b."),
            ("Describe the picture.", "![alt text](https://example.com/x.png)", "A cat."),
            ("Review the site.", "Website: www.example.com", "It is clear."),
        ],
        [
            ("Shorten this text.", "Our shop moved. See https://example.com for the new address.", "We moved."),
            ("Explain the acronym.", "www", "World Wide Web"),
        ],
    ),
    "url_in_input": (
        [
            ("Cut this text.", "Our shop has moved. See https://example.com for more.", "We moved."),
            ("Shorten that text.", "Visit www.example.com today", "Visit us."),
        ],
        [("Name the protocol.", "https and http", "HTTP"), ("Read the ratio.", "4:3 // 16:9", "Two ratios.")],
    ),
    "merged_instructions": (
        [
            (NUMBERED, "A text.", "A title."),
            ("Sum the list.\n\nInput: 1, 2, 3", "1, 2, 3", "6"),
            ("### Instruction:\nName a fox.", "", "Red fox"),
            ("Do the task.", "7. Instruction: Name a city.\n7. Output:", "Rome"),
        ],
        [
            ("Sort the text into:\n1) social issues\n2) health", "A flu is about.", "2"),
            ("Judge each:\n\n1. French is spoken in France.\n2. The euro is used in Spain.", "", "Both are true."),
            ("Write an input for this instruction: Name a city.", "", "Italy"),
            ("Shorten the recipe.", "Instructions:\n1. Chop onions.\n2. Fry them.", "Chop and fry onions."),
        ],
    ),
    "asks_for_image": (
        [
            ("Draw a horse in a field.", "", "A horse stands in a field."),
            ("Design a logo for a bakery.", "", "A loaf in a circle."),
            ("Create a bar chart of the sales.", "3, 4", "A bar chart."),
            ("Make a short animated video about rain.", "", "Rain falls."),
            ("Generate an image that shows a lake", "", "A lake."),
        ],
        [
            ("Write a caption for a picture of a lake.", "", "Still water."),
            ("Create a Python script to draw a bar chart.", "", "import turtle"),
            ("Draw a conclusion from the facts.", "It rains.", "The street is wet."),
            ("Create a character sketch of a captain.", "", "He is stern."),
            ("Describe the painting Guernica.", "", "It shows a bombed town."),
        ],
    ),
    "control_characters": (
        [("Name a ship.", "", "Beagle\x0b"), ("Name a\x07 boat.", "", "Fram"), ("Name it.", "\x1b[31mred", "Red")],
        [("Name ships.", "", "Beagle\tFram\r\nGjøa")],
    ),
    "broken_encoding": (
        [
            ("Say no.", "", "I donâ€™t."),
            ("Order a coffee.", "", "One cafÃ©, please."),
            ("Fix the text.", "caf\ufffd", "café"),
        ],
        [("Name a city in capitals.", "", "SÃO PAULO"), ("Order a tea.", "", "I’d like a thé.")],
    ),
    "refusal": (
        [
            ("Write a poem on rain.", "", "As an AI language model, I do not feel rain."),
            ("Set an alarm.", "", "I'm sorry, but I cannot set alarms."),
            ("Paint a house.", "", "I cannot create pictures of houses."),
            ("Record a song.", "", "Sorry, the task involves audio output. We cannot complete this task."),
            ("Build a web shop.", "", "This is not possible, since a language model cannot build shops."),
        ],
        [
            ("Write an apology.", "", "I'm sorry for what I said. I hope you can forgive me."),
            ("Express surprise.", "", "I can't believe it!"),
            ("Name a limit of GPT.", "", "A GPT model cannot see."),
            ("Reply to the customer.", "It broke.", "I'm sorry to hear that. We will replace it."),
            ("Rewrite it.", "The store closes.", "Unfortunately, the store will be closed today."),
            ("Can it be done?", "", "This task is a great challenge."),
        ],
    ),
    "truncated_response": (
        [
            ("Describe the river.", "", PROSE + "Its lower course is slow and wide, and barges carry"),
            ("Describe the delta.", "", PROSE[:250] + " The delta is one of the"),
            ("Show the code.", "", "Here it is:\n```python\nprint(1)\n"),
        ],
        [
            ("Describe the spring.", "", PROSE + "It is cold."),
            (
                "Name the towns.",
                "",
                PROSE + "\n\n- Upper town\n- Middle town, with the old bridge over the weir\n- Harbour",
            ),
            (
                "Write a verse.",
                "",
                "\n".join(["The river runs to meet the sea", "and carries all my songs with me"] * 10),
            ),
            ("Write the letter.", "", PROSE + "\n\nYours sincerely,\nJane Doe"),
            ("Show code again.", "", "```python\nprint(1)\n```"),
            ("Name an ending.", "", "To be or not to be is not the"),
            (
                "Write the loop.",
                "",
                PROSE + "\n\nfor (int i = 0; i < 10; i++) {\n    total = total + values[i];\n}\nreturn total",
            ),
        ],
    ),
    "echo": (
        [("Sort the words.", "pear, apple", "pear, apple"), ("Make a looping GIF.", "", "Make a looping GIF.")],
        [("Sort these words.", "pear, apple", "apple, pear"), ("Say nothing.", "", "")],
    ),
    "prompt_leakage": (
        [
            ("Why is the sky blue?", "", "Light scatters.\n14. Instruction: Name a verb.\n14. Output: go"),
            ("Why is grass green?", "", "### Response:\nChlorophyll."),
            ("Why is snow white?", "", "It reflects light.<|im_end|>"),
        ],
        [
            ("Write a task for a model.", "", "Instruction: Sort the list.\nInput: 3, 1"),
            ("Write a page.", "", "### History\n\nThe town is old."),
            ("Describe the program.", "", "Input: a number\nOutput: its square"),
        ],
    ),
    "duplicate": (
        [("Name a bird.", "", "Owl")],
        [("Name a bird.", "", "Wren"), ("Name a finch.", "", "Siskin")],
    ),
    "normalised_duplicate": (
        [("Name   a RIVER!", "", "Rhine")],
        [("Name a river in Asia.", "", "Indus")],
    ),
    "conflicting_responses": (
        [("What is 2 + 2?", "", "4"), ("What is 2 + 2?", "", "5")],
        [("What is 2 + 3?", "", "5"), ("What is 2 + 3?", "in base 4", "11")],
    ),
    "very_long_response": (
        [("Count to ten thousand.", "", "1 " * 4001 + ".")],
        [("Count to one thousand.", "", "1 " * 4000)],
    ),
    "short_instruction": ([("Hello?", "", "Hello!")], [("Greet me!!", "", "Good day!")]),
    "long_instruction": ([("Read. " * 334, "", "Done so.")], [("Go on. " * 285, "", "Done it.")]),
    "long_input": ([("Count the words.", "word " * 1601, "1,601")], [("Count all words.", "word " * 1600, "1,600")]),
    "short_response": (
        [("Add two and three.", "", "5")],
        [("Add two and four.", "", "It is six."), ("Add it.", "", None)],
    ),
    "long_response": ([("Repeat it often.", "", "no " * 1334)], [("Repeat it more.", "", "no " * 1333)]),
}

# Rows that give another row something to be a copy of.
COMPANIONS: list[Row] = [("Name a bird.", "", "Owl"), ("Name a river.", "", "Rhone"), ("Name a river.", "", "Rhone.")]

# What the rules find in the real rows, where they find any; see docs/rules.md, which has the same numbers.
ALPACA = {
    "empty_response": 28, "placeholder_response": 95, "input_says_none": 673, "url_as_input": 251,
    "url_in_input": 288, "merged_instructions": 12, "asks_for_image": 321, "control_characters": 2,
    "refusal": 41, "truncated_response": 3, "echo": 56, "prompt_leakage": 37, "short_instruction": 1,
    "short_response": 2388, "long_response": 2,
}  # fmt: skip
DOLLY = {
    "url_in_input": 5, "truncated_response": 10, "echo": 3, "duplicate": 2, "normalised_duplicate": 15,
    "conflicting_responses": 22, "very_long_response": 1, "long_instruction": 3, "long_input": 2,
    "short_response": 45, "long_response": 16,
}  # fmt: skip


def run_rules(folder: Path, source: Path) -> alpaqual.Run:
    """One run of every shipped rule."""
    recipe = folder / "recipe.yaml"
    text = {
        "version": 1,
        "name": "rules",
        "sources": [{"path": str(source)}],
        "rules": list(FILES),
        "datasets": {"full": {}},
    }
    recipe.write_text(json.dumps(text), encoding="utf-8")
    return alpaqual.run(recipe)


def counts(run: alpaqual.Run) -> dict[str, int]:
    return {rule["id"]: rule["failing_rows"] for rule in run.results["rules"]}


def listed(run: alpaqual.Run, **wanted: Any) -> set[Row]:
    return {(row["instruction"], row["input"], row["response"]) for row in run.rows(limit=None, **wanted)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> alpaqual.Run:
    folder = tmp_path_factory.mktemp("rules")
    rows = [row for bad, good in CASES.values() for row in (*bad, *good)] + COMPANIONS
    lines = [json.dumps(dict(zip(("instruction", "input", "output"), row, strict=True))) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run_rules(folder, folder / "rows.jsonl")


def test_files() -> None:
    assert {file: len(rules) for file, rules in FILES.items()} == {"chat_templates": 1, "hygiene": 18, "lengths": 5}


def test_every_rule_has_examples() -> None:
    assert set(CASES) == set(RULES)
    assert all(bad and good for bad, good in CASES.values())


@pytest.mark.parametrize("rule", RULES)
def test_rule(finished: alpaqual.Run, rule: str) -> None:
    bad, good = CASES[rule]
    found = listed(finished, rule=rule)
    assert set(bad) - found == set()
    assert set(good) & found == set()


def test_nothing_was_put_aside(finished: alpaqual.Run) -> None:
    assert finished.results["source"]["rows"] == sum(len(bad) + len(good) for bad, good in CASES.values()) + len(
        COMPANIONS
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_says_why_and_how_many(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]+", rule.id)
    assert rule.description.endswith(".")
    assert rule.warn is not None, "a rule that names no limit fails at the first row"


def test_limits() -> None:
    assert all(rule.warn == 0 and str(rule.fail).endswith("%") for rule in FILES["hygiene"])
    assert all(rule.fail is None and not rule.drop for rule in FILES["lengths"])


def test_only_useless_rows_are_dropped(finished: alpaqual.Run) -> None:
    dropping = {rule.id for rule in RULES.values() if rule.drop}
    assert dropping == {"empty_response", "placeholder_response"}
    useless = listed(finished, rule="empty_response") | listed(finished, rule="placeholder_response")
    kept = listed(finished, fate="kept")
    assert kept & useless == set()
    assert {row for _, good in CASES.values() for row in good if None not in row} <= kept | useless


@pytest.mark.slow
@pytest.mark.paper
@pytest.mark.skipif("ALPAQUAL_DATA" not in os.environ, reason="ALPAQUAL_DATA names no folder of real data")
@pytest.mark.parametrize(
    ("file", "expected"), [("alpaca_52k.parquet", ALPACA), ("dolly_3k.json", DOLLY)], ids=["alpaca", "dolly"]
)
def test_counts_on_real_rows(tmp_path: Path, file: str, expected: dict[str, int]) -> None:
    run = run_rules(tmp_path, Path(os.environ["ALPAQUAL_DATA"]) / file)
    found = counts(run)
    assert set(found) == set(RULES)
    assert {rule: rows for rule, rows in found.items() if rows} == expected


def test_the_report_warns_of_the_rows_that_the_rule_finds() -> None:
    from alpaqual.plan.assessing import TEMPLATE_TOKENS

    assert f"'{TEMPLATE_TOKENS}'" in str(RULES["chat_template_tokens"].where)
