"""The JSON Schema and the types say the same: one source of truth, shipped files included."""

import copy
from pathlib import Path

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from tiers import examples

from alpaqual.recipe.library import shipped
from alpaqual.recipe.model import Category, Check, RecipeText, Rule
from alpaqual.recipe.pandera_rules import is_pandera_schema
from alpaqual.recipe.parse import read_recipe, read_rules
from alpaqual.recipe.schema import KINDS, json_schema
from alpaqual.recipe.schema_errors import validator
from alpaqual.recipe.yaml_nodes import read_document
from alpaqual.types import NAME, PERCENT

TYPES = {"recipe": RecipeText, "rules": list[Rule], "category": Category | list[Category]}
REPOSITORY = Path(__file__).parents[3]


def files(kind):
    folder = {"recipe": "recipes", "rules": "rules", "category": "rules/categories"}[kind]
    return sorted((REPOSITORY / folder).glob("*.y*ml"))


def types_accept(value, kind):
    try:
        msgspec.convert(copy.deepcopy(value), TYPES[kind])
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_one_of_draft_7(kind):
    schema = json_schema(kind)
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    for name, definition in schema["definitions"].items():
        if definition.get("type") == "object":
            assert definition["additionalProperties"] is False, name


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_the_schema_says_what_it_is_for(kind):
    for name, definition in json_schema(kind)["definitions"].items():
        for key, schema in definition.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_file_is_good(kind):
    found = files(kind)
    assert shipped("rules") == REPOSITORY / "rules"
    assert len(found) >= {"recipe": 0, "rules": 1, "category": 10}[kind]
    for path in found:
        document = read_document(path.read_text(encoding="utf-8"), path.name)
        assert document.problems == []
        assert list(Draft7Validator(json_schema(kind)).iter_errors(document.value)) == [], path
        assert types_accept(document.value, kind), path
        if kind == "recipe":
            assert read_recipe(path).text.version == 1
        elif kind == "rules":
            assert read_rules(path)
            assert not is_pandera_schema(document.value)


GOOD = {
    "version": 1,
    "name": "good",
    "title": "A title",
    "sources": [
        {"path": "a.jsonl", "name": "a", "fields": {"instruction": "q", "input": "c", "response": "r"}},
        {"path": "b.csv", "format": "csv", "fields": "alpaca", "max_quarantined": "1.5%"},
    ],
    "rules": [
        "hygiene",
        {"id": "length", "column": "response", "check": {"str_length": {"min": 1, "max": 9}}, "warn": 0, "fail": "5%"},
        {"id": "among", "column": "topic", "check": {"isin": ["a", 1, 0.5, True]}, "drop": True},
        {"id": "score", "column": "s", "check": {"in_range": {"min": -0.5, "max": 2}}, "description": "Why."},
        {"id": "same", "check": {"no_duplicates": {"columns": ["response"], "normalised": True}}},
        {"id": "again", "check": "no_duplicates"},
        {"id": "words", "where": "length(response) > 9"},
    ],
    "categories": [
        "coding",
        {"category": "math", "keywords": ["sum", "x"], "over": ["response"]},
        {"category": "long", "pattern": "a+", "description": "Long."},
        {"category": "one", "column": "topic", "values": ["a", 1]},
        {"column": "topic"},
    ],
    "graders": {
        "accuracy": {
            "model": "openai/x",
            "scale": {"min": 0, "max": 5, "step": 0.5},
            "temperature": 1,
            "mode": "batch",
        },
        "help": {"column": "h", "scale": {"min": 0, "max": 1}, "budget_usd": 2.5, "concurrency": 4},
        "table": {"table": "t.csv", "key": "k", "score": "s", "keep_rationale": False},
    },
    "datasets": {
        "quality": {
            "threshold": {"accuracy": 4.5, "help": 0},
            "quotas": {
                "math": {"min_keep_rate": "overall", "floor": 3.5},
                "long": {"min_rows": 0, "max_share": 0.5, "floor": {"accuracy": 2}, "strict": False},
                "one": {"min_keep_rate": 0.25},
            },
        },
        "small": {"from": "quality", "sample": 3, "seed": -4, "strict": False},
        "random": {"sample": {"like": "quality"}},
    },
    "expect": [
        {"dataset": "quality", "rows": {"min": 1, "max": 9.5}, "level": "warn"},
        {"rule": "length", "failing_rows": {"max": "0.1%"}},
    ],
    "training": {"base_model": {"config": {"at": [1, {"all": None}]}}, "datasets": ["d"], "lora": {"rank": 4}},
    "engine": {"memory": "4 GB", "threads": 2},
    "report": {"examples": 5, "samples": 0},
}


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from places(child, (*path, key))


PLACES = [place for place in places(GOOD) if place]
KEYS = sorted({part for place in PLACES for part in place if isinstance(part, str)})
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 101),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1, 6).map(lambda number: round(number * 2) / 2),
    st.sampled_from(
        ["", "a", "a b", "5%", "100%", "101%", "5 %", "1.%", "overall", "fail", "csv", "4GB", "a\n", "5%\n"]
    ),
    st.sampled_from(
        ["unique", "no_duplicates", "openai/x", "/x", "x/", "response", "é", "x" * 80, "x" * 81, "a\u2028"]
    ),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from(["a", 1, None, "response", ""]), max_size=2),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from([1, "a", None, {}, 0.5]), max_size=2),
    st.sampled_from(PLACES).map(lambda place: value_at(GOOD, place)),
)


def value_at(whole, place):
    for part in place:
        whole = whole[part]
    return whole


@st.composite
def mutated(draw):
    """The good recipe after up to three changes: a key dropped, added or renamed, a value changed."""
    whole = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(PLACES))
        try:
            holder = value_at(whole, place[:-1])
            value = holder[place[-1]]
        except (KeyError, IndexError, TypeError):
            continue
        if isinstance(holder, str):
            # An earlier change put a text where a list or mapping was.
            continue
        match draw(st.sampled_from(["drop", "change", "change", "add", "rename", "bound"])):
            case "drop":
                del holder[place[-1]]
            case "change":
                holder[place[-1]] = draw(VALUES)
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(KEYS) | st.text(max_size=3))] = draw(VALUES)
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(["zzz", "a b", "", "é", "a\n", "A.b-c_1"]))] = holder.pop(place[-1])
            case "bound" if isinstance(value, int | float) and not isinstance(value, bool):
                holder[place[-1]] = draw(
                    st.sampled_from([-value, value + 1, value - 1, value / 3, float(value), value * 1000])
                )
    return whole


@given(mutated())
@settings(max_examples=examples(500), deadline=None)
def test_schema_and_types_agree(value):
    by_schema = validator("recipe").is_valid(value)
    event("good" if by_schema else "refused")
    assert by_schema == types_accept(value, "recipe")


@given(mutated(), st.sampled_from(["rules", "categories"]))
@settings(max_examples=examples(250), deadline=None)
def test_schema_and_types_agree_on_files(value, part):
    kind = {"rules": "rules", "categories": "category"}[part]
    entries = value.get(part)
    if isinstance(entries, list):
        entries = [entry for entry in entries if not isinstance(entry, str)]
        for entry in [entries, *entries]:
            assert validator(kind).is_valid(entry) == types_accept(entry, kind)


@pytest.mark.parametrize("value", [1.0, 0.0, 3.0])
def test_plain_draft_7_alone_takes_a_whole_number_with_a_fraction(value):
    # JSON has one kind of number, a recipe two. It is the only thing that an editor lets through and `check` does not.
    recipe = GOOD | {"datasets": {"d": {"seed": value}}}
    assert Draft7Validator(json_schema("recipe")).is_valid(recipe)
    assert not validator("recipe").is_valid(recipe)
    assert not types_accept(recipe, "recipe")


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_percentages_end_where_they_end(kind):
    patterns = {
        schema["pattern"]
        for definition in json_schema(kind)["definitions"].values()
        for schema in walk(definition)
        if "pattern" in schema and isinstance(schema["pattern"], str)
    }
    launching = {
        r"^[A-Za-z0-9_.-]+:[0-9]{1,5}(?!\n)$",
        r"^[0-9]+([:-][0-9]+)*(?!\n)$",
        r"^[A-Za-z_][A-Za-z0-9_]*(?!\n)$",
    }
    others = {r"^[a-z_][a-z0-9_-]*/.+", r"^[0-9]+(\.[0-9]+)? ?(MB|GB|MiB|GiB)(?!\n)$"}
    others |= {r"^[^\r\n](?!\n)$", r"^[^\r\n]?(?!\n)$"}
    others |= {r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*(?!\n)$"}
    assert patterns <= {NAME, PERCENT, *others, *launching}


def walk(value):
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from walk(child)
    elif isinstance(value, list):
        for child in value:
            yield from walk(child)


def test_the_words_of_a_check_are_in_the_schema():
    assert set(json_schema("rules")["definitions"]["Check"]["properties"]) == set(Check.__struct_fields__)
