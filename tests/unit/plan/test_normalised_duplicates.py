"""`no_duplicates` with `normalised: true`, against a few lines of plain Python, over all of Unicode."""

import unicodedata
from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from test_checks_oracle import HEALTH, database, folder  # noqa: F401 - fixtures
from tiers import examples

from alpaqual.checks.no_duplicates import Duplicates
from alpaqual.plan.checking import failures
from alpaqual.plan.checks import Columns
from alpaqual.quote import name
from alpaqual.recipe.model import Check, Rule

OLD = unicodedata.ucd_3_2_0
# Python, DuckDB and RE2 know other versions of Unicode: characters whose category is old enough to be the same in all.
KNOWN = [
    chr(code)
    for code in range(0x20, 0x1FFFF)
    if not 0xD800 <= code <= 0xDFFF
    and OLD.category(chr(code)) == unicodedata.category(chr(code)) != "Cn"
    and not unicodedata.category(chr(code)).startswith("C")
]
BY_KIND = {kind: [char for char in KNOWN if unicodedata.category(char)[0] == kind] for kind in "LMNSPZ"}
EMOJI = ["👍", "👍🏽", "👩\u200d👩\u200d👧", "🇩🇪", "🇩🇰", "❤", "❤\ufe0f", "1\ufe0f\u20e3", "☺", "😀"]
ALIKE = ["a", "A", "é", "e\u0301", "É", "क", "कि", "की", "ﷲ", "ǆ", "ǅ", "Σ", "σ", "-", " ", "\u00a0", "\n", "+", "#", "%", "_"]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(ALIKE), st.sampled_from(EMOJI), *(st.sampled_from(found) for found in BY_KIND.values())
)
CHANGES = {
    "upper": lambda text: "".join(char.upper() if len(char.upper()) == 1 else char for char in text),
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "spaced": lambda text: f"\t{text} ..",
    "without marks": lambda text: "".join(char for char in text if not unicodedata.combining(char)),
    "without symbols": lambda text: "".join(char for char in text if unicodedata.category(char)[0] != "S"),
    "the same": lambda text: text,
}


def key(text: str | None) -> str:
    """Letters, marks, numbers and symbols count, in lower case and composed; what is between them is one space."""
    composed = unicodedata.normalize("NFC", text or "")
    lower = [char.lower() if len(char.lower()) == 1 else char.lower()[0] for char in composed]
    counts = [unicodedata.category(char)[0] in "LMNS" or char in "#@%&*\u200c\u200d" for char in lower]
    return " ".join("".join(char if own else " " for char, own in zip(lower, counts, strict=True)).split())


@st.composite
def texts(draw: st.DrawFn) -> list[str | None]:
    """Texts, and for each of some a variant that is the same or another."""
    found: list[str | None] = []
    for text in draw(st.lists(st.lists(PIECES, max_size=5).map("".join), min_size=1, max_size=8)):
        found += [text, CHANGES[draw(st.sampled_from(list(CHANGES)))](text)]
    return [*found, None] if draw(st.booleans()) else found


@given(instructions=texts())
@settings(max_examples=examples(100), deadline=None, suppress_health_check=HEALTH)
def test_marks_symbols_and_emoji_tell_texts_apart(database, folder, instructions):  # noqa: F811
    rows = {"id": [f"{n:016x}" for n in range(len(instructions))], "n": range(len(instructions))}
    texts = {"instruction": pl.Series(instructions, dtype=pl.String), "input": "", "response": "r"}
    pl.DataFrame({**rows, **texts}).write_parquet(folder / "texts.parquet")
    rule = Rule(id="r", check=Check(no_duplicates=Duplicates(columns=("instruction",), normalised=True)))
    database.view("rows", [folder / "texts.parquet"])
    database.create("failures", failures([rule], Columns(name)), "failures")
    keys = [key(text) for text in instructions]
    failed = Counter(keys[n] for (n,) in database.all_rows("SELECT n FROM failures"))
    assert failed == Counter(keys) - Counter(set(keys))
