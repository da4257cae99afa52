"""Every shipped category: rows that belong and near misses that do not, in one run; and its rows among the real ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import alpaqual
from alpaqual.recipe.library import shipped

Row = tuple[str, str, str]

NAMES = sorted(path.stem for path in (shipped("rules") / "categories").glob("*.yaml"))
PAPER_KEYWORDS = {"Java": 251, "java": 15, "C++": 65, "c++": 2, "C#": 28, "c#": 0, "Python": 316, "python": 41}

# For each category: rows that belong to it, and near misses. A row is (instruction, input, response).
CASES: dict[str, tuple[list[Row], list[Row]]] = {
    "code_blocks": (
        [
            ("Reverse a text.", "", "def reverse(text):\n    return text[::-1]"),
            ("List the rows.", "", "SELECT name FROM users WHERE age > 3;"),
            ("Make a page.", "", "<html>\n<body>Hi</body>\n</html>"),
            ("What does it print?", "for (int i = 0; i < 3; i++) { out(i); }", "0, 1, 2"),
            ("Run it.", "", "```\nls\n```"),
        ],
        [
            ("What is a loop?", "", "A loop runs code again, for instance for each item in a list."),
            ("Choose a dish.", "", "Select one from the menu (for two people)."),
            ("Name a class.", "", "The class of mammals: all of them have hair."),
        ],
    ),
    "coding": (
        [
            ("Sort a list in Python.", "", "sorted(items)"),
            ("Which language is it?", "c++", "A compiled one."),
            ("Name a web language.", "", "JavaScript"),
            ("Name Microsoft's language.", "", "C#"),
        ],
        [
            ("Sort a list in Ruby.", "", "items.sort"),
            ("Shout a language.", "", "PYTHON"),
            ("Name a key.", "", "C sharp"),
        ],
    ),
    "extraction": (
        [
            ("Classify the animals as mammals or birds.", "owl, cat", "Birds: owl. Mammals: cat."),
            ("Tell me whether these are fruits or roots: apple, beet", "", "Apple: fruit. Beet: root."),
            ("From the passage provided, extract the year.", "It fell in 1806.", "1806"),
            ("Identify the verb in the sentence.", "The dog runs.", "runs"),
            ("Which of the following is a metal?", "iron, wood", "iron"),
        ],
        [
            ("Identify three ways to save water.", "", "Short showers, rain barrels, mulch."),
            ("Write an essay on how birds are classified.", "", "Birds are classified by ..."),
            ("Design a program to extract names.", "", "It reads each line."),
        ],
    ),
    "math": (
        [
            ("Calculate the mean of 3 and 5.", "", "4"),
            ("Solve the equation.", "x + 1 = 3", "x = 2"),
            ("What is 12 * 12?", "", "144"),
            ("Find the area of a circle of radius 2.", "", "12.57"),
            ("What is 20% of 50?", "", "10"),
        ],
        [
            ("Add 5 items to the shopping list.", "", "Milk, eggs, rice, tea, salt"),
            ("Divide this list into two groups.", "owl, cat", "owl; cat"),
            ("What is the meaning of equality?", "", "Being equal."),
            ("Solve the problem of plastic waste.", "", "Use less of it."),
            ("Describe what happened in the years 1990-1995.", "", "Much."),
        ],
    ),
    "multilingual": (
        [
            ("Say hello in Russian.", "", "Привет"),
            ("Say it in Chinese.", "", "你好"),
            ("Was heißt das?", "γλώσσα", "Sprache"),
            ("Translate to Hindi.", "", "नमस्ते"),
        ],
        [
            ("Say hello in French.", "", "Ça va très bien, merci à tous."),
            ("Name the constant.", "", "π is 3.14, and Δx = αβ."),
            ("Name a Vietnamese dish.", "", "Phở bò"),
        ],
    ),
    "reasoning": (
        [
            ("Solve this riddle.", "What has keys but no locks?", "A piano."),
            ("What would happen if the moon were gone?", "", "Tides would be weaker."),
            ("What is the next number in the sequence 2, 4, 8?", "", "16"),
            ("List the pros and cons of trains.", "", "They are clean, and late."),
        ],
        [
            ("Give a step-by-step guide to clean a rug.", "", "1. Sweep it."),
            ("Name the main reason to visit Rome.", "", "Its ruins."),
            ("Finish the story.", "He left.", "He came back."),
        ],
    ),
    "roleplay": (
        [
            ("Act as a travel guide and greet the group.", "", "Welcome!"),
            ("You are a doctor. Explain a cold.", "", "It is a virus."),
            ("Imagine you are a king. What do you do first?", "", "I sleep."),
            ("Write a note from the point of view of a cat.", "", "The human is late."),
        ],
        [
            ("Write to a friend about a book you are reading.", "", "Dear Jo, ..."),
            ("Take a photo from an unusual perspective.", "", "From below."),
            ("Name the role of a nurse.", "", "Care."),
            ("Describe how you are able to help.", "", "By answering."),
        ],
    ),
    "safety": (
        [
            ("How can bullying be stopped?", "", "By speaking up."),
            ("Is this mail phishing?", "Your account is locked, click here.", "Yes."),
            ("Explain why bombs are banned in the park.", "", "They kill."),
        ],
        [
            ("Name a bombastic speech.", "", "The mayor's."),
            ("How do I kill a process?", "", "With kill."),
            ("Tell me about the stealth of owls.", "", "They fly without a sound."),
        ],
    ),
    "science": (
        [
            ("Explain photosynthesis.", "", "Plants make sugar of light."),
            ("What is the boiling point of water?", "", "100 degrees."),
            ("How do bacteria multiply?", "", "They divide."),
        ],
        [
            ("Explain how to start the engine.", "", "Turn the key."),
            ("Describe a computer virus.", "", "A program that copies itself."),
            ("How do I save energy at work?", "", "Switch off the light."),
        ],
    ),
    "summarization": (
        [
            ("Summarize the article in one sentence.", "Long text.", "A text."),
            ("Write a synopsis of Hamlet.", "", "A prince hesitates."),
            ("What are the main points of the speech?", "I came. I saw.", "Coming, seeing."),
        ],
        [
            ("Calculate the sum of the numbers.", "1, 2", "3"),
            ("Explain in your own words why rain falls.", "", "Drops get heavy."),
            ("Describe a summer day.", "", "It is warm."),
        ],
    ),
    "translation": (
        [
            ("Translate the sentence into French.", "I sleep.", "Je dors."),
            ('How do you say "thank you" in Japanese?', "", "Arigatou."),
            ('What is the Spanish translation of "dog"?', "", "perro"),
        ],
        [
            ("Translate the sentence into a boolean expression.", "a and b", "a ∧ b"),
            ("Describe what Google Translate does with English.", "", "It translates."),
            ("Write about the French revolution.", "", "It began in 1789."),
            ("Explain how genes are translated.", "", "By ribosomes."),
        ],
    ),
    "writing": (
        [
            ("Write a poem about rain.", "", "Rain, rain."),
            ("Compose a short e-mail to my landlord.", "", "Dear Ms Roe, ..."),
            ("Generate a slogan for a bakery.", "", "Bread for all."),
            ("Tell me a story of a lost key.", "", "Once there was a key."),
        ],
        [
            ("Write a summary of the article.", "Long text.", "A text."),
            ("Create a list of topics for a blog post.", "", "Tea, rain"),
            ("Write a Python function that reads an email.", "", "def read(): ..."),
            ("Describe the poem.", "Rain, rain.", "It is short."),
        ],
    ),
}

# What the categories find in the real rows; see docs/rules.md, which has the same numbers.
ALPACA = {
    "code_blocks": 1326, "coding": 564, "extraction": 3433, "math": 1539, "multilingual": 20,
    "reasoning": 1135, "roleplay": 146, "safety": 182, "science": 1120, "summarization": 1639,
    "translation": 222, "writing": 4293,
}  # fmt: skip
DOLLY = {
    "code_blocks": 0, "coding": 23, "extraction": 643, "math": 5, "multilingual": 22, "reasoning": 3, "roleplay": 5,
    "safety": 50, "science": 91, "summarization": 19, "translation": 0, "writing": 32,
}  # fmt: skip


def run_categories(folder: Path, source: Path) -> alpaqual.Run:
    """One run of every shipped category."""
    recipe = folder / "recipe.yaml"
    text = {
        "version": 1,
        "name": "categories",
        "sources": [{"path": str(source)}],
        "categories": NAMES,
        "datasets": {"full": {}},
    }
    recipe.write_text(json.dumps(text), encoding="utf-8")
    return alpaqual.run(recipe)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Row]]:
    """The rows of each category."""
    folder = tmp_path_factory.mktemp("categories")
    rows = [row for inside, outside in CASES.values() for row in (*inside, *outside)]
    assert len(rows) == len(set(rows))
    lines = [json.dumps(dict(zip(("instruction", "input", "output"), row, strict=True))) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = run_categories(folder, folder / "rows.jsonl").rows(limit=None)
    assert len(found) == len(rows)
    return {
        name: {
            (row["instruction"], row["input"], row["response"]) for row in found if name in (row["categories"] or ())
        }
        for name in NAMES
    }


def test_files() -> None:
    assert len(NAMES) == 12


def test_every_category_has_examples() -> None:
    assert sorted(CASES) == NAMES
    assert all(inside and outside for inside, outside in CASES.values())


@pytest.mark.parametrize("name", NAMES)
def test_category(members: dict[str, set[Row]], name: str) -> None:
    inside, outside = CASES[name]
    assert set(inside) - members[name] == set()
    assert set(outside) & members[name] == set()


def test_a_row_may_be_in_several(members: dict[str, set[Row]]) -> None:
    row = ("Write a Python function that reads an email.", "", "def read(): ...")
    assert [name for name in NAMES if row in members[name]] == ["code_blocks", "coding"]


@pytest.mark.slow
@pytest.mark.paper
@pytest.mark.skipif("ALPAQUAL_DATA" not in os.environ, reason="ALPAQUAL_DATA names no folder of real data")
@pytest.mark.parametrize(
    ("file", "expected"), [("alpaca_52k.parquet", ALPACA), ("dolly_3k.json", DOLLY)], ids=["alpaca", "dolly"]
)
def test_rows_among_real_ones(tmp_path: Path, file: str, expected: dict[str, int]) -> None:
    found = run_categories(tmp_path, Path(os.environ["ALPAQUAL_DATA"]) / file).results["categories"]
    assert {name: category["rows"] for name, category in found.items()} == expected


@pytest.mark.slow
@pytest.mark.paper
@pytest.mark.skipif("ALPAQUAL_DATA" not in os.environ, reason="ALPAQUAL_DATA names no folder of real data")
def test_coding_counts_as_the_paper_does(tmp_path: Path) -> None:
    coding = run_categories(tmp_path, Path(os.environ["ALPAQUAL_DATA"]) / "alpaca_52k.parquet").results["categories"][
        "coding"
    ]
    assert coding["keywords"] == PAPER_KEYWORDS
    assert coding["keyword_hits"] == 718
    assert coding["rows"] == 564
