"""The numbers of the paper, and of the selections published with it, on the real rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Project

from alpaqual.api import Run

pytestmark = [pytest.mark.paper, pytest.mark.slow]

KEYWORDS = {"Java": 251, "java": 15, "C++": 65, "c++": 2, "C#": 28, "c#": 0, "Python": 316, "python": 41}
RECIPE = """\
version: 1
name: alpagasus
sources:
  - path: {path}
categories: [coding]
graders:
  accuracy: {{column: claude_accuracy_t45, scale: {{min: 0, max: 1}}}}
  helpfulness: {{column: chatgpt_helpfulness_t45, scale: {{min: 0, max: 1}}}}
  control: {{column: random_9k, scale: {{min: 0, max: 1}}}}
datasets:
  accurate: {{threshold: {{accuracy: 1}}}}
  helpful: {{threshold: {{helpfulness: 1}}}}
  helpful-with-code: {{threshold: {{helpfulness: 1}}, quotas: {{coding: {{min_keep_rate: overall}}}}}}
  published-control: {{threshold: {{control: 1}}}}
  random: {{sample: {{like: accurate}}, seed: 42}}
  random-again: {{sample: {{like: accurate}}, seed: 42}}
  random-other: {{sample: {{like: accurate}}, seed: 43}}
  full: {{}}
expect:
  - {{rows: {{min: 52002, max: 52002}}}}
  - {{category: coding, rows: {{min: 564, max: 564}}}}
"""


@pytest.fixture(scope="module")
def alpaca(paper_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    project = Project(tmp_path_factory.mktemp("alpaca"))
    project.write("recipe.yaml", RECIPE.format(path=paper_data / "alpaca_52k.parquet"))
    return project.run()


def counts(run: Run, dataset: str) -> tuple[int, int]:
    """Rows, and coding rows among them, of a dataset: as the results say and as its file has them."""
    results = run.results["datasets"][dataset]
    frame = run.datasets[dataset].polars()
    text = pl.concat_str("instruction", "input", "output", separator="\n")
    code = frame.filter(pl.any_horizontal(text.str.contains(word, literal=True) for word in KEYWORDS)).height
    assert (frame.height, code) == (results["rows"], results["categories"]["coding"]["rows"])
    return frame.height, code


def test_the_rows_and_the_coding_category_are_the_paper_s(alpaca: Run) -> None:
    assert alpaca.results["source"]["rows"] == 52_002
    assert alpaca.results["source"]["quarantined"] == 0
    coding = alpaca.results["categories"]["coding"]
    assert (coding["rows"], coding["keyword_hits"]) == (564, 718)
    assert coding["keywords"] == KEYWORDS
    assert (alpaca.verdict, alpaca.results["reasons"]) == ("pass", [])


@pytest.mark.parametrize(
    ("dataset", "rows", "code"),
    [("accurate", 5_305, 64), ("helpful", 2_022, 7), ("published-control", 9_229, 92)],
)
def test_published_selections_keep_what_was_published(alpaca: Run, dataset: str, rows: int, code: int) -> None:
    kept_without_a_response = alpaca.results["datasets"][dataset]["fates"]["removed_by_rule"]
    assert counts(alpaca, dataset) == (rows, code)
    assert kept_without_a_response == 52_002 - alpaca.results["datasets"][dataset]["eligible"]


def test_the_overall_quota_gives_helpfulness_fifteen_code_rows_and_nothing_else(alpaca: Run) -> None:
    assert counts(alpaca, "helpful-with-code") == (2_037, 22)
    plain, more = (set(alpaca.datasets[name].polars()["row_id"]) for name in ("helpful", "helpful-with-code"))
    assert plain < more
    assert len(more - plain) == 15
    added = [row for row in alpaca.rows(dataset="helpful-with-code", fate="kept", category="coding", limit=None) if row["id"] in more - plain]  # fmt: skip
    assert len(added) == 15
    for row in added:
        assert "added by quota: coding min_keep_rate overall" in row["reasons"]
        assert any(word in f"{row['instruction']}\n{row['input']}\n{row['response']}" for word in KEYWORDS)
    (quota,) = alpaca.results["datasets"]["helpful-with-code"]["quotas"]
    assert (quota["wanted"], quota["rows"], quota["state"]) == (22, 22, "pass")


def test_the_random_control_is_as_large_and_its_seed_decides(alpaca: Run) -> None:
    ids = {name: list(alpaca.datasets[name].polars()["id"]) for name in ("accurate", "random", "random-again", "random-other")}  # fmt: skip
    assert {len(found) for found in ids.values()} == {5_305}
    assert ids["random"] == ids["random-again"]
    assert set(ids["random"]) != set(ids["random-other"])
    # By chance, a tenth of the one is in the other.
    assert 350 < len(set(ids["random"]) & set(ids["accurate"])) < 750


def test_every_row_has_one_id_and_one_fate(alpaca: Run) -> None:
    fates = alpaca.fates.polars()
    assert fates.height == 52_002 * 8
    assert fates.select("dataset", "id").n_unique() == fates.height
    rows = pl.read_parquet(alpaca.folder / "tables/rows.parquet")
    assert rows["id"].n_unique() == 52_002


FORMATS: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "jsonl": lambda frame, path: frame.write_ndjson(path),
    "json": lambda frame, path: frame.write_json(path),
    "csv": lambda frame, path: frame.write_csv(path, quote_style="non_numeric"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_format_makes_no_difference(paper_data: Path, alpaca: Run, project: Project, kind: str) -> None:
    frame = pl.read_parquet(paper_data / "alpaca_52k.parquet")
    FORMATS[kind](frame, project.folder / f"d.{kind}")
    project.write("recipe.yaml", RECIPE.format(path=f"d.{kind}"))
    run = project.run()
    before, after = alpaca.results["categories"], run.results["categories"]
    assert run.results["source"]["rows"] == 52_002
    if kind == "csv":
        # CSV has no empty text beside null: a row whose response is empty has none there, and is in no dataset.
        empty = frame.filter(pl.any_horizontal(pl.col("instruction", "output") == "")).height
        assert run.results["datasets"]["full"]["rows"] == 52_002 - empty < 52_002
    else:
        assert before == after
        for dataset in alpaca.results["datasets"]:
            file = f"datasets/{dataset}.jsonl"
            assert (run.folder / file).read_bytes() == (alpaca.folder / file).read_bytes()
    assert after["coding"]["keywords"] == KEYWORDS


def test_the_order_of_the_rows_makes_no_difference(paper_data: Path, alpaca: Run, project: Project) -> None:
    frame = pl.read_parquet(paper_data / "alpaca_52k.parquet").sample(fraction=1, shuffle=True, seed=5)
    frame.write_parquet(project.folder / "d.parquet")
    project.write("recipe.yaml", RECIPE.format(path="d.parquet"))
    run = project.run()
    for dataset in alpaca.results["datasets"]:
        file = f"datasets/{dataset}.jsonl"
        assert (run.folder / file).read_bytes() == (alpaca.folder / file).read_bytes()


def test_conversations_of_the_rows_are_selected_as_the_rows_are(
    paper_data: Path, alpaca: Run, project: Project
) -> None:
    """One user turn, one assistant turn: the same rows by each threshold; without an input, the same ids."""
    frame = pl.read_parquet(paper_data / "alpaca_52k.parquet")
    asked = pl.when(pl.col("input") == "").then("instruction").otherwise(pl.format("{}\n\n{}", "instruction", "input"))
    turns = [
        pl.struct(pl.lit(role).alias("role"), text.alias("content"))
        for role, text in (("user", asked), ("assistant", pl.col("output")))
    ]
    messages = pl.concat_list(*turns).alias("messages")
    frame.with_columns(messages).drop("instruction", "input", "output").write_parquet(project.folder / "d.parquet")
    project.write("recipe.yaml", RECIPE.format(path="d.parquet"))
    run = project.run()
    rows, triples = (pl.read_parquet(each.folder / "tables/rows.parquet").sort("n") for each in (run, alpaca))
    assert rows["messages"].null_count() == 0 and rows.height == triples.height == 52_002
    alone = frame["input"] == ""
    assert rows.filter(alone)["id"].to_list() == triples.filter(alone)["id"].to_list()
    for dataset, kept in (("accurate", 5_305), ("helpful", 2_022), ("published-control", 9_229)):
        found = [
            set(each.datasets[dataset].polars().join(table, left_on="row_id", right_on="id")["n"])
            for each, table in ((run, rows), (alpaca, triples))
        ]
        assert found[0] == found[1] and len(found[0]) == run.results["datasets"][dataset]["rows"] == kept


def test_dolly_loads_with_its_categories(paper_data: Path, project: Project) -> None:
    shutil.copy(paper_data / "dolly_3k.json", project.folder / "dolly.json")
    project.ask("dolly.json", "categories: [coding, {column: category}]")
    run = project.run()
    assert run.results["source"]["rows"] == 2_996
    assert run.results["source"]["quarantined"] == 0
    own = {name: entry["rows"] for name, entry in run.results["categories"].items() if name != "coding"}
    assert sum(own.values()) == 2_996
    assert set(own) == {
        "brainstorming",
        "classification",
        "closed_qa",
        "creative_writing",
        "general_qa",
        "information_extraction",
        "open_qa",
        "summarization",
    }
