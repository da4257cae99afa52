"""A pandera schema in YAML, as pandera itself writes it, becomes the rules that say the same."""

import pandera.polars as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.io import polars_io
from tiers import examples

from alpaqual.checks.in_range import Range
from alpaqual.checks.str_length import Length
from alpaqual.errors import RecipeError
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.model import Check
from alpaqual.recipe.parse import parse_recipe, read_rules
from alpaqual.recipe.yaml_nodes import read_document


def rules_of(tmp_path, text):
    path = tmp_path / "schema.yaml"
    path.write_text(text, encoding="utf-8")
    return read_rules(path)


def problems_of(tmp_path, text):
    with pytest.raises(RecipeError) as caught:
        rules_of(tmp_path, text)
    prefix = f"{tmp_path / 'schema.yaml'}:"
    return [str(problem).removeprefix(prefix) for problem in caught.value.problems]


def said(rules):
    """What rules say: column and check, by id."""
    return {rule.id: (rule.column, *checks_of(rule)[0]) for rule in rules}


def test_a_schema_that_pandera_wrote(tmp_path):
    schema = pa.DataFrameSchema(
        {
            "response": pa.Column(
                str,
                [
                    pa.Check.str_length(1, 20),
                    pa.Check.str_matches("^a"),
                    pa.Check.str_contains("b"),
                    pa.Check.str_startswith("x"),
                    pa.Check.str_endswith("y"),
                    pa.Check.isin(["a", "b"]),
                    pa.Check.notin(["c"]),
                ],
                nullable=True,
                unique=True,
            ),
            "score": pa.Column(
                float,
                [
                    pa.Check.in_range(0, 5),
                    pa.Check.ge(1, raise_warning=True),
                    pa.Check.lt(6),
                    pa.Check.ne(3),
                    pa.Check.eq(2),
                ],
                title="Score",
                description="How good.",
            ),
        },
        unique=["instruction", "response"],
        strict=True,
        name="x",
    )
    rules = rules_of(tmp_path, polars_io.to_yaml(schema))
    assert said(rules) == {
        "response.unique": ("response", "unique", True),
        "response.str_length": ("response", "str_length", Length(min=1, max=20)),
        "response.str_matches": ("response", "str_matches", "^a"),
        "response.str_contains": ("response", "str_contains", "b"),
        "response.str_startswith": ("response", "str_startswith", "x"),
        "response.str_endswith": ("response", "str_endswith", "y"),
        "response.isin": ("response", "isin", ["a", "b"]),
        "response.notin": ("response", "notin", ["c"]),
        "score.not_nullable": ("score", "not_nullable", True),
        "score.in_range": ("score", "in_range", Range(min=0, max=5)),
        "score.greater_than_or_equal_to": ("score", "greater_than_or_equal_to", 1),
        "score.less_than": ("score", "less_than", 6),
        "score.not_equal_to": ("score", "not_equal_to", 3),
        "score.equal_to": ("score", "equal_to", 2),
        "unique_rows": (None, "no_duplicates", rules[-1].check.no_duplicates),
    }
    assert rules[-1].check.no_duplicates.columns == ["instruction", "response"]
    assert {rule.id: rule.warn for rule in rules if rule.warn is not None} == {"score.greater_than_or_equal_to": 0}
    assert all(rule.fail is None and not rule.drop for rule in rules)


def test_a_column_with_the_same_check_twice(tmp_path):
    # pandera then writes the checks as a list, each with its name among its options.
    checks = [pa.Check.gt(1), pa.Check.gt(2, raise_warning=True), pa.Check.in_range(0, 9, include_min=False)]
    text = polars_io.to_yaml(pa.DataFrameSchema({"n": pa.Column(int, checks, nullable=True)}))
    assert isinstance(yaml.safe_load(text)["columns"]["n"]["checks"], list)
    rules = rules_of(tmp_path, text)
    assert said(rules) == {
        "n.greater_than": ("n", "greater_than", 1),
        "n.greater_than.2": ("n", "greater_than", 2),
        "n.in_range.min": ("n", "greater_than", 0),
        "n.in_range.max": ("n", "less_than_or_equal_to", 9),
    }
    assert [rule.warn for rule in rules] == [None, 0, None, None]


OLDER = """\
schema_type: polars_dataframe
version: 0.22.0
columns:
  response:
    dtype: String
    nullable: true
    checks:
      str_length:
        min_value: 5
        max_value: null
      str_matches:
        value: ^a
        options: {raise_warning: true}
      notin: [x, y]
    unique: false
    coerce: false
    required: true
    regex: false
  score:
    dtype: Float64
    nullable: false
    checks:
      in_range: {min_value: 0, max_value: 5, include_min: true, include_max: false}
checks: null
index: null
coerce: false
"""


def test_the_older_layout(tmp_path):
    rules = rules_of(tmp_path, OLDER)
    assert said(rules) == {
        "response.str_length": ("response", "str_length", Length(min=5)),
        "response.str_matches": ("response", "str_matches", "^a"),
        "response.notin": ("response", "notin", ["x", "y"]),
        "score.not_nullable": ("score", "not_nullable", True),
        "score.in_range.min": ("score", "greater_than_or_equal_to", 0),
        "score.in_range.max": ("score", "less_than", 5),
    }
    assert {rule.id: rule.warn for rule in rules if rule.warn is not None} == {"response.str_matches": 0}


def test_a_recipe_takes_it_as_any_file_of_rules(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "frames.yaml").write_text(OLDER, encoding="utf-8")
    text = "version: 1\nname: x\nsources: [{path: a.jsonl}]\nrules: [frames]\ndatasets: {full: {}}\n"
    recipe = parse_recipe(text, str(tmp_path / "recipe.yaml"))
    assert len(recipe.rules) == 6
    assert recipe.rule_places["score.not_nullable"].endswith("rules/frames.yaml:19")
    # pandera skips a check that it does not know; here it is a mistake with its place.
    (tmp_path / "rules" / "frames.yaml").write_text(OLDER.replace("str_matches", "str_match"), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, str(tmp_path / "recipe.yaml"))
    assert str(caught.value).endswith("rules/frames.yaml:11:7: unknown check 'str_match', did you mean 'str_matches'?")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("str_length:", "str_lenght:", "8:7: unknown check 'str_lenght', did you mean 'str_length'?"),
        ("version: 0.22.0", "verison: 0.22.0", "2:1: unknown key 'verison' of a pandera schema, did you mean 'version'?"),
        ("index: null", "index: [{}]", "25:1: 'index' of a pandera schema cannot be read as rules: write a rule in its place"),
        ("checks: null", "checks: {f: 1}", "24:1: 'checks' of a pandera schema cannot be read as rules: write a rule in its place"),
        ("nullable: false", "nullable: no", "21:5: 'nullable' must be true or false, not 'no'"),
        ("unique: false", "unique: 1", "15:5: 'unique' must be true or false, not '1'"),
        ("regex: false", "regex: true", "18:5: column names by regular expression are not read: name each column"),
        ("min_value: 5", "min_value: x", "8:7: 'str_length' of column 'response' cannot be read: Expected `int | null`, got `str` - at `$.str_length.min`"),
        ("raise_warning: true", "raise_warning: yes", "12:9: 'raise_warning' must be true or false, not 'yes'"),
        (
            "raise_warning: true",
            "ignore_na: false",
            "11:7: 'ignore_na: false' is not read: a check passes over nulls, 'nullable: false' is the check for them",
        ),
        ("max_value: 5, ", "", "23:7: 'in_range' of column 'score' has no 'max_value'"),
        ("value: ^a", "value: (?=a)", "12:9: '(?=': RE2 has no look-around, no conditions and no back-references"),
        ("coerce: false\n", "coerce: false\nunique: [a, b]\n", None),
    ],
)  # fmt: skip
def test_what_cannot_be_a_rule_is_a_problem_with_its_place(tmp_path, old, new, problem):
    found = problems_of(tmp_path, new.join(OLDER.rsplit(old, 1)))
    wanted = problem or "27:1: rows can be unique over instruction, input and response, or over one column"
    assert found == [wanted]


def test_columns_whose_names_no_rule_can_hold(tmp_path):
    text = "columns:\n  é: {}\n  ü: {}\n  '': {}\n  " + "x" * 200 + ": {}\n"
    rules = rules_of(tmp_path, text)
    assert [rule.column for rule in rules] == ["é", "ü", "", "x" * 200]
    assert len({rule.id for rule in rules}) == 4
    assert all(len(rule.id) <= 80 for rule in rules)


SOUP = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.floats()
    | st.sampled_from(["a", "(", "(?=a)", "gt", "in_range"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *Check.__struct_fields__,
                    "checks",
                    "nullable",
                    "unique",
                    "options",
                    "check_name",
                    "raise_warning",
                    "min_value",
                    "max_value",
                    "exact_value",
                    "value",
                    "pattern",
                    "include_min",
                    "regex",
                    "ignore_na",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(SOUP, SOUP, SOUP)
@settings(max_examples=examples(250), deadline=None)
def test_any_schema_is_rules_or_problems(tmp_path_factory, column, columns, unique):
    value = {"columns": {"a": column, "b": columns}, "unique": unique, "checks": columns}
    path = tmp_path_factory.getbasetemp() / "soup.yaml"
    for each in (value, {"columns": columns}, {"schema_type": 1, "columns": unique}):
        path.write_text(yaml.safe_dump(each), encoding="utf-8")
        assert read_document(path.read_text(encoding="utf-8"), "f").problems == []
        try:
            rules = read_rules(path)
        except RecipeError as error:
            assert error.problems
        else:
            assert all(len(checks_of(rule)) == 1 for rule in rules)
