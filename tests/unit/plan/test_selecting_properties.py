"""Which rows a dataset keeps, to the row: the SQL against the rules of the design worked out in plain Python."""

import hashlib
import json
import math
import random
from fractions import Fraction
from itertools import pairwise

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tiers import examples

import alpaqual
from alpaqual.engines.duckdb import Plugin as DuckDB
from alpaqual.plan.selecting import selecting_statements
from alpaqual.plan.stage import Export, KeptTable, TemporaryTable
from alpaqual.quote import literal, name
from alpaqual.recipe.graders import Grader, Scale
from alpaqual.recipe.measures import QuotaLimit
from alpaqual.recipe.model import Dataset, Like, Quota
from alpaqual.recipe.recipe import dataset_order

LIMITS = ("min_keep_rate", "min_rows", "min_share", "max_rows", "max_share")
CATEGORIES = ("a", "b", "c")
GRADERS = ("accuracy", "help")
FATES = ("kept", "below_threshold", "unscored", "removed_by_rule", "removed_by_quota", "not_sampled")


# The design's "Selection, exactly", row by row.


def exact(number):
    return Fraction(str(number))


def tie(seed, row):
    return hashlib.md5(f"{seed}{row['id']}".encode()).hexdigest(), row["id"]


class Selection:
    """One dataset: `fate` and `reasons` of every row by id, and how each limit of its quotas ended.

    `undrawn` has the rows before the sample is drawn; `order` is that in which the limits of quotas are written.
    """

    def __init__(self, dataset, rows, earlier, order):
        self.dataset, self.rows = dataset, {row["id"]: row for row in rows}
        parent = earlier[dataset.from_] if dataset.from_ else None
        self.fate, self.reasons = {}, {}
        for row in rows:
            self.start(row, parent)
        self.v = {key for key, fate in self.fate.items() if fate != "removed_by_rule"}
        self.b = {key for key, fate in self.fate.items() if fate == "kept"}
        self.below = {key for key, fate in self.fate.items() if fate == "below_threshold"}
        if parent is not None:
            self.below -= {key for key, fate in parent.fate.items() if fate != "kept"}
        self.inside, self.taken_out, self.added = set(self.b), set(), set()
        for category, quota in dataset.quotas.items():
            for limit in written(order, category):
                if getattr(quota, limit) is not None:
                    self.meet(category, quota, limit, getattr(quota, limit))
        self.undrawn = set(self.inside)
        if dataset.sample is not None:
            self.draw(earlier)

    def start(self, row, parent):
        key, reasons = row["id"], list(parent.reasons[row["id"]]) if parent else sorted(row["dropped"])
        scores = {grader: row["scores"][grader] for grader in self.dataset.threshold}
        for grader, score in scores.items():
            if score is None:
                reasons.append(f"{grader} unscored: {row['why'][grader]}")
            elif score < self.dataset.threshold[grader]:
                reasons.append(f"{grader} below {self.dataset.threshold[grader]:g}")
        if parent and parent.fate[key] != "kept":
            self.fate[key] = parent.fate[key]
        elif row["dropped"] and not parent:
            self.fate[key] = "removed_by_rule"
        elif None in scores.values():
            self.fate[key] = "unscored"
        elif any(score < self.dataset.threshold[grader] for grader, score in scores.items()):
            self.fate[key] = "below_threshold"
        else:
            self.fate[key] = "kept"
        self.reasons[key] = reasons

    def members(self, category):
        return {key for key, row in self.rows.items() if category in row["categories"]}

    def rank(self, key):
        """Best first: by score, then by the hash."""
        row = self.rows[key]
        return [-row["scores"][grader] for grader in self.dataset.threshold], tie(self.dataset.seed, row)

    def holds(self, limit, asked, c):
        """Whether a limit is met by the rows that are in so far; a sample changes nothing of it."""
        rows = getattr(self, "undrawn", self.inside)
        a, t, v = len(rows & c), len(rows), len(self.v & c)
        if limit == "min_keep_rate" and asked == "overall":
            return a * len(self.v) >= len(self.b) * v
        if limit == "min_keep_rate":
            return a >= exact(asked) * v
        if limit.endswith("rows"):
            return a >= asked if limit == "min_rows" else a <= asked
        return a >= exact(asked) * t if limit == "min_share" else a <= exact(asked) * t

    def meet(self, category, quota, limit, asked):
        c = self.members(category)
        reason = f"by quota: {category} {limit} {asked if isinstance(asked, str) else format(asked, 'g')}"
        if limit.startswith("min"):
            floors = (
                quota.floor if isinstance(quota.floor, dict) else dict.fromkeys(self.dataset.threshold, quota.floor)
            )
            candidates = [
                key
                for key in (self.below & c) - self.inside - self.taken_out
                if all(floor is None or self.rows[key]["scores"][grader] >= floor for grader, floor in floors.items())
            ]
            for key in sorted(candidates, key=self.rank):
                if self.holds(limit, asked, c):
                    break
                self.inside.add(key)
                self.added.add(key)
                self.fate[key] = "kept"
                self.reasons[key].append(f"added {reason}")
        else:
            for key in sorted(self.inside & c, key=self.rank, reverse=True):
                if self.holds(limit, asked, c):
                    break
                self.inside.remove(key)
                self.taken_out.add(key)
                self.fate[key] = "removed_by_quota"
                self.reasons[key].append(f"removed {reason}")

    def draw(self, earlier):
        sample = self.dataset.sample
        size = len(earlier[sample.like].inside) if isinstance(sample, Like) else sample
        for key in sorted(self.inside, key=lambda key: tie(self.dataset.seed, self.rows[key]))[size:]:
            self.inside.remove(key)
            self.fate[key] = "not_sampled"
            self.reasons[key].append("not sampled")


def written(order, category):
    """The limits of a category's quota in the order written: that of `order`, and backwards for every other category."""
    return order[::-1] if category in ("b", "long") else order


def select(datasets, rows, order=LIMITS):
    selections = {}
    for called in dataset_order(datasets):
        selections[called] = Selection(datasets[called], rows, selections, order)
    return selections


# The engine, straight from its queries.


def grader_words():
    return {grader: Grader(column=grader, scale=Scale(min=0, max=5, step=0.5)) for grader in GRADERS}


def table(database, called, columns, rows):
    kinds = ", ".join(f"{name(column)} {kind}" for column, kind in columns.items())
    database.execute(f"CREATE OR REPLACE TABLE {name(called)} ({kinds})", called)
    if rows:
        values = ", ".join("(" + ", ".join(literal(value) for value in row) + ")" for row in rows)
        database.execute(f"INSERT INTO {name(called)} VALUES {values}", called)


def fill(database, rows):
    texts = {"instruction": "VARCHAR", "input": "VARCHAR", "response": "VARCHAR"}
    table(
        database,
        "rows",
        {"n": "BIGINT", "id": "VARCHAR", "source": "VARCHAR", **texts},
        [(n, row["id"], "s", row["id"], "", "r") for n, row in enumerate(rows)],
    )
    for grader in GRADERS:
        graded = [(grader, n, row["id"], row["scores"][grader], row["why"][grader], None) for n, row in enumerate(rows)]
        kinds = dict(grader="VARCHAR", n="BIGINT", id="VARCHAR", score="DOUBLE", reason="VARCHAR", reply="VARCHAR")
        table(database, f"grades.{grader}", kinds, graded)
    failed = [
        (reason.removeprefix("rule "), n, row["id"], "", "")
        for n, row in enumerate(rows)
        for reason in row["dropped"]
        if reason.startswith("rule ")
    ]
    # A rule that drops nothing fails rows too.
    failed += [("harmless", n, row["id"], "", "") for n, row in enumerate(rows)]
    table(
        database, "failures", dict(rule="VARCHAR", n="BIGINT", id="VARCHAR", column="VARCHAR", value="VARCHAR"), failed
    )
    unfit = [(n, reason) for n, row in enumerate(rows) for reason in row["dropped"] if not reason.startswith("rule ")]
    table(database, "incomplete", dict(n="BIGINT", reason="VARCHAR"), unfit)
    members = [(category, n, row["id"], 0) for n, row in enumerate(rows) for category in row["categories"]]
    table(database, "row_categories", dict(category="VARCHAR", n="BIGINT", id="VARCHAR", hits="BIGINT"), members)


def run_statements(database, datasets, rows, threads=1, order=LIMITS):
    """fate and reasons of every row by dataset and id, and the exported rows of each dataset."""
    database.execute(f"SET threads = {threads}", "threads")
    fill(database, rows)
    found, exported = {}, {}
    for called in dataset_order(datasets):
        statements = selecting_statements(
            called,
            datasets[called],
            dropping=["r1", "r2"],
            graders=grader_words(),
            has_categories=True,
            limits={
                category: [QuotaLimit(limit) for limit in written(order, category) if getattr(quota, limit) is not None]
                for category, quota in datasets[called].quotas.items()
            },
        )
        for statement in statements:
            if isinstance(statement, TemporaryTable | KeptTable):
                database.create(statement.table.name, statement.sql, statement.table.name)
            elif isinstance(statement, Export):
                exported[called] = database.all_rows(statement.sql)
            else:
                database.facts(statement.sql, statement.name)
        fates = database.all_rows(f"SELECT id, fate, reasons FROM {name(f'fates.{called}')}")
        assert len(fates) == len(rows)
        found[called] = {key: (fate, sorted(reasons)) for key, fate, reasons in fates}
        assert len(found[called]) == len(rows)
    return found, exported


@pytest.fixture(scope="module")
def database():
    opened = DuckDB(threads=4)
    yield opened
    opened.close()


SCORES = st.none() | st.integers(0, 10).map(lambda number: number / 2)


@st.composite
def some_rows(draw, least=0, most=14):
    rows = []
    for index in range(draw(st.integers(least, most))):
        scores = {grader: draw(SCORES) for grader in GRADERS}
        dropped = draw(st.sampled_from([[], [], [], [], ["rule r1"], ["rule r2", "rule r1"], ["response is null"]]))
        rows.append(
            {
                # Copies have an ordinal behind the hash they share.
                "id": f"{index // 3:04x}" + ("" if index % 3 == 0 else f"-{index % 3 + 1}"),
                "scores": scores,
                "why": {grader: None if score is not None else "out of scale" for grader, score in scores.items()},
                "dropped": sorted(dropped),
                "categories": draw(st.sets(st.sampled_from(CATEGORIES))),
            }
        )
    return rows


RATES = st.sampled_from([0, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 0.9, 1])
SHARES = st.sampled_from([0, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 0.9])


@st.composite
def a_quota(draw, threshold):
    low, high = sorted((draw(st.integers(0, 9)), draw(st.integers(0, 9))))
    least, most = sorted((draw(SHARES), draw(SHARES)))
    every = {
        "min_keep_rate": draw(RATES | st.just("overall")),
        "min_rows": low,
        "max_rows": high,
        "min_share": least,
        "max_share": most,
    }
    chosen = draw(st.sets(st.sampled_from(LIMITS), min_size=1, max_size=3))
    floor = None
    if threshold and draw(st.booleans()):
        floor = draw(st.integers(0, 6)) / 2
        if draw(st.booleans()):
            floor = {draw(st.sampled_from(sorted(threshold))): floor}
    return Quota(**{limit: every[limit] for limit in chosen}, floor=floor)


@st.composite
def a_dataset(draw, earlier):
    chosen = draw(st.sampled_from([{"accuracy"}, {"accuracy"}, {"help"}, set(GRADERS), set()]))
    threshold = {grader: draw(st.integers(2, 10)) / 2 for grader in sorted(chosen)}
    threshold = dict(sorted(threshold.items(), reverse=draw(st.booleans())))
    quotas = {
        category: draw(a_quota(threshold))
        for category in draw(st.lists(st.sampled_from(CATEGORIES), unique=True, max_size=3))
    }
    sample = draw(st.none() | st.none() | st.integers(1, 9))
    if earlier and draw(st.booleans()):
        sample = Like(like=draw(st.sampled_from(earlier)))
    parent = draw(st.none() | st.sampled_from(earlier)) if earlier else None
    return Dataset(threshold=threshold, quotas=quotas, from_=parent, sample=sample, seed=draw(st.integers(-2, 50)))


@st.composite
def some_datasets(draw, most=3):
    datasets = {}
    for index in range(draw(st.integers(1, most))):
        datasets[f"d{index}"] = draw(a_dataset(list(datasets)))
    # The order in which they are written decides nothing.
    return dict(draw(st.permutations(list(datasets.items()))))


ORDERS = st.permutations(LIMITS)
"""In which order the limits of a quota are written."""


@given(some_rows(), some_datasets(), ORDERS)
@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_has_the_fate_that_the_design_gives_it(database, rows, datasets, order):
    found, exported = run_statements(database, datasets, rows, order=order)
    for called, selection in select(datasets, rows, order).items():
        wanted = {key: (selection.fate[key], sorted(selection.reasons[key])) for key in selection.fate}
        assert found[called] == wanted, called
        kept = sorted(key for key, (fate, _) in wanted.items() if fate == "kept")
        assert [row[0] for row in exported[called]] == kept
        assert {fate for fate, _ in wanted.values()} <= set(FATES)
        for key in selection.added & selection.inside:
            row = selection.rows[key]
            assert not row["dropped"]
            assert None not in [row["scores"][grader] for grader in datasets[called].threshold]


@given(some_rows(least=1), a_dataset([]), st.randoms(use_true_random=False))
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_order_nor_threads_change_a_row(database, rows, dataset, chance):
    datasets = {"d": dataset}
    first = run_statements(database, datasets, rows, threads=1)
    for threads in (2, 4):
        shuffled = list(rows)
        chance.shuffle(shuffled)
        found, exported = run_statements(database, datasets, shuffled, threads=threads)
        assert (found, exported) == first


@given(some_rows(least=4), a_dataset([]), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_larger_sample_holds_the_smaller(database, rows, dataset, one, other):
    words = {field: getattr(dataset, field) for field in ("threshold", "quotas", "seed")}
    datasets = {str(size): Dataset(**words, sample=size) for size in sorted({one, other, one + other})}
    found, _ = run_statements(database, datasets, rows)
    kept = [{key for key, (fate, _) in fates.items() if fate == "kept"} for fates in found.values()]
    for smaller, larger in pairwise(kept):
        assert smaller <= larger
    assert all(len(rows) <= int(size) for size, rows in zip(datasets, kept, strict=True))


def plain_row(key, score, *categories):
    scores = {"accuracy": score, "help": 5.0}
    return {"id": key, "scores": scores, "why": dict.fromkeys(GRADERS), "dropped": [], "categories": set(categories)}


def kept_by(database, rows, order=LIMITS, **datasets):
    found, _ = run_statements(database, datasets, rows, order=order)
    for called, selection in select(datasets, rows, order).items():
        assert {key: fate for key, (fate, _) in found[called].items()} == selection.fate
    return {called: {key for key, (fate, _) in fates.items() if fate == "kept"} for called, fates in found.items()}


def test_a_row_that_a_quota_took_out_stays_out(database):
    rows = [plain_row("one", 4.0, "a", "b", "c"), plain_row("two", 5.0)]
    back_and_forth = {"a": Quota(min_rows=1), "b": Quota(max_rows=0), "c": Quota(min_rows=1)}
    kept = kept_by(database, rows, d=Dataset(threshold={"accuracy": 4.5}, quotas=back_and_forth))
    assert kept == {"d": {"two"}}


def test_a_quota_adds_no_row_that_the_dataset_it_starts_from_lacks(database):
    rows = [plain_row("low", 3.0, "a"), plain_row("middle", 4.0, "a"), plain_row("high", 5.0, "a")]
    child = Dataset(from_="parent", threshold={"accuracy": 4.5}, quotas={"a": Quota(min_rows=3)})
    kept = kept_by(database, rows, parent=Dataset(threshold={"accuracy": 4.0}), child=child)
    assert kept == {"parent": {"middle", "high"}, "child": {"middle", "high"}}


def test_each_quota_sees_what_those_before_it_added(database):
    rows = [plain_row(f"r{index}", 4.0, "a", "b") for index in range(3)] + [plain_row("top", 5.0)]
    quotas = {"a": Quota(min_rows=2), "b": Quota(min_rows=2)}
    kept = kept_by(database, rows, d=Dataset(threshold={"accuracy": 4.5}, quotas=quotas))
    assert len(kept["d"]) == 3


@pytest.mark.parametrize(
    ("order", "kept"),
    # Half of the dataset, then at most one of it: or at most one, and then half of the dataset again, from rows not taken out.
    [
        (("min_share", "max_rows"), {"high", "top"}),
        (("max_rows", "min_share"), {"high", "low", "middle", "top"}),
    ],
)
def test_the_limits_of_a_quota_are_met_in_the_order_written(database, order, kept):
    rows = [
        plain_row("high", 5.0, "a"),
        plain_row("middle", 4.0, "a"),
        plain_row("low", 3.0, "a"),
        plain_row("top", 5.0),
    ]
    quotas = {"a": Quota(min_share=0.7, max_rows=1)}
    datasets = {"d": Dataset(threshold={"accuracy": 4.5}, quotas=quotas)}
    assert kept_by(database, rows, order, **datasets) == {"d": kept}


def test_nothing_unscored_and_nothing_below_the_floor_is_added(database):
    rows = [
        plain_row("at", 3.5, "a"),
        plain_row("below", 3.0, "a"),
        plain_row("none", None, "a"),
        plain_row("top", 5.0),
    ]
    quotas = {"a": Quota(min_rows=3, floor=3.5)}
    kept = kept_by(database, rows, d=Dataset(threshold={"accuracy": 4.5}, quotas=quotas))
    assert kept == {"d": {"at", "top"}}


def test_a_share_of_nothing_is_met_by_nothing(database):
    rows = [plain_row("one", 1.0, "a"), plain_row("two", 2.0)]
    quotas = {"a": Quota(min_share=0.5)}
    assert kept_by(database, rows, d=Dataset(threshold={"accuracy": 4.5}, quotas=quotas)) == {"d": set()}


@pytest.mark.slow
def test_many_rows_of_one_score_are_ordered_by_their_hash(database):
    chance = random.Random(7)
    rows = [
        {
            "id": hashlib.md5(str(index).encode()).hexdigest()[:16],
            "scores": {"accuracy": chance.choice([None, 3.0, 3.5, 4.0, 4.5, 4.5]), "help": 1.0},
            "why": {"accuracy": "not a number", "help": None},
            "dropped": ["rule r1"] if index % 11 == 0 else [],
            "categories": {category for category in CATEGORIES if chance.random() < 0.3},
        }
        for index in range(3000)
    ]
    datasets = {
        "quality": Dataset(
            threshold={"accuracy": 4.5},
            quotas={
                "a": Quota(min_keep_rate=0.7, floor=3.5),
                "b": Quota(min_share=0.4, max_rows=500),
                "c": Quota(max_share=0.1),
            },
            seed=42,
        ),
        "random": Dataset(sample=Like(like="quality"), seed=42),
        "small": Dataset(from_="quality", sample=100),
    }
    found, _ = run_statements(database, datasets, rows, threads=4)
    selections = select(datasets, rows)
    for called, selection in selections.items():
        assert {key: fate for key, (fate, _) in found[called].items()} == selection.fate
    quality = selections["quality"]
    assert quality.added
    assert quality.taken_out
    assert len(selections["random"].inside) == len(quality.inside)


# The whole way: files in, files out.


@st.composite
def some_records(draw, most=16):
    """Rows as a file has them, some of them more than once, some scores off the scale or no numbers."""
    given_scores = st.sampled_from([None, 0, 0.5, 2, 3, 3.5, 4, 4.5, 4.5, 5, 7, -1])
    unique = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "instruction": st.sampled_from([f"question {number}" for number in range(9)]),
                    "output": st.sampled_from(["", "short", "a longer answer", None]),
                    "accuracy": given_scores,
                    "help": given_scores,
                    "topic": st.sampled_from(["a", "b", "c", "", None]),
                }
            ),
            min_size=2,
            max_size=most,
        )
    )
    copies = draw(st.lists(st.sampled_from(unique), max_size=3))
    # One record has every kind of value, so that each file has every column with its type.
    whole = {"instruction": "question 0", "output": "short", "accuracy": 4.5, "help": 0.5, "topic": "a"}
    return [whole, *unique, *(dict(row) for row in copies)]


RULES = [
    {"id": "some_output", "where": "response <> ''", "drop": True, "fail": "100%"},
    {"id": "unique", "check": "no_duplicates", "fail": "100%"},
]
OWN = [
    {"category": "long", "where": "length(response) > 6"},
    {"category": "odd", "pattern": "question [13579]"},
    {"category": "a", "column": "topic", "values": ["a"]},
]


def recipe_text(datasets, paths, threads, order):
    def words(value, category=None):
        if isinstance(value, Quota):
            names = [*written(order, category), "floor", "strict"]
            return {field: item for field in names if (item := getattr(value, field)) is not None}
        if isinstance(value, Dataset):
            fields = {field: getattr(value, field) for field in value.__struct_fields__}
            fields = {field: words(item) for field, item in fields.items() if item is not None and item != {}}
            return {field.rstrip("_"): item for field, item in fields.items()}
        if isinstance(value, Like):
            return {"like": value.like}
        return {key: words(item, key) for key, item in value.items()} if isinstance(value, dict) else value

    return yaml.safe_dump(
        {
            "version": 1,
            "name": "trial",
            "sources": [{"path": path} for path in paths],
            "rules": RULES,
            "categories": OWN,
            "graders": {grader: {"column": grader, "scale": {"min": 0, "max": 5}} for grader in GRADERS},
            "datasets": {called: words(dataset) for called, dataset in datasets.items()},
            "engine": {"threads": threads},
        },
        sort_keys=False,
    )


def run_files(folder, datasets, files, threads=1, order=LIMITS):
    folder.mkdir()
    for called, records in files.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / called).write_text(lines, encoding="utf-8")
    (folder / "recipe.yaml").write_text(recipe_text(datasets, list(files), threads, order), encoding="utf-8")
    return alpaqual.run(folder / "recipe.yaml")


def rows_of(run):
    """The rows as the run identified them, each as the reference wants it."""
    rows = []
    for row in pl.read_parquet(run.folder / "tables" / "rows.parquet").iter_rows(named=True):
        scores = {grader: row[f"source.{grader}"] for grader in GRADERS}
        dropped = ["rule some_output"] if row["response"] == "" else []
        dropped += ["response is null"] if row["response"] is None else []
        categories = {"long"} if len(row["response"] or "") > 6 else set()
        categories |= {"odd"} if int(row["instruction"][-1]) % 2 else set()
        categories |= {"a"} if row["source.topic"] == "a" else set()
        rows.append(
            {
                "id": row["id"],
                "scores": {g: s if s is not None and 0 <= s <= 5 else None for g, s in scores.items()},
                "why": {g: "no score in the column" if s is None else "out of scale" for g, s in scores.items()},
                "dropped": sorted(dropped),
                "categories": categories,
            }
        )
    return rows


@st.composite
def renamed(draw):
    """Datasets whose quotas are about the categories of `OWN`."""
    datasets = draw(some_datasets(most=2))
    names = dict(zip(CATEGORIES, ("a", "long", "odd"), strict=True))
    return {
        called: Dataset(
            threshold=dataset.threshold,
            quotas={names[category]: quota for category, quota in dataset.quotas.items()},
            from_=dataset.from_,
            sample=dataset.sample,
            seed=dataset.seed,
        )
        for called, dataset in datasets.items()
    }


def floors_fit(datasets):
    """A recipe refuses a floor above its threshold."""
    for dataset in datasets.values():
        for quota in dataset.quotas.values():
            floors = quota.floor if isinstance(quota.floor, dict) else dict.fromkeys(dataset.threshold, quota.floor)
            if any(floor is not None and floor > dataset.threshold[grader] for grader, floor in floors.items()):
                return False
    return True


@pytest.mark.slow
@given(some_records(), renamed(), st.randoms(use_true_random=False), ORDERS)
@settings(max_examples=examples(6), deadline=None)
def test_a_run_keeps_what_the_design_keeps_however_it_gets_its_rows(tmp_path_factory, records, datasets, chance, order):
    assume(floors_fit(datasets))
    base = tmp_path_factory.mktemp("selecting")
    run = run_files(base / "one", datasets, {"rows.jsonl": records}, order=order)
    rows = rows_of(run)
    assert len(rows) == len(records) == len({row["id"] for row in rows})
    selections = select(datasets, rows, order)
    fates = pl.read_parquet(run.folder / "tables" / "fates.parquet")
    for called, selection in selections.items():
        own = fates.filter(pl.col("dataset") == called)
        assert dict(zip(own["id"], own["fate"], strict=True)) == selection.fate
        assert {key: sorted(why) for key, why in zip(own["id"], own["reasons"], strict=True)} == {
            key: sorted(why) for key, why in selection.reasons.items()
        }
        check_results(run.results["datasets"][called], datasets[called], selection)
    for threads, parts in ((2, 2), (4, 3)):
        shuffled = list(records)
        chance.shuffle(shuffled)
        pieces = {f"part{part}.jsonl": [records[0]] * (part == 0) for part in range(parts)}
        shuffled.remove(records[0])
        for part, record in enumerate(shuffled):
            # A file must have every column: what it lacks in values it says with a null.
            pieces[f"part{part % parts}.jsonl"].append(record)
        pieces = {called: rows for called, rows in pieces.items() if rows}
        other = run_files(base / f"many{threads}", datasets, pieces, threads, order)
        for called in datasets:
            path = f"datasets/{called}.jsonl"
            assert (other.folder / path).read_bytes() == (run.folder / path).read_bytes()
            assert other.results["datasets"][called]["fates"] == run.results["datasets"][called]["fates"]


def check_results(results, dataset, selection):
    """The counts of the report, and of each quota whether it holds or what it lacks."""
    kept = [key for key, fate in selection.fate.items() if fate == "kept"]
    assert results["rows"] == len(kept)
    assert dict(results["fates"]) == {fate: list(selection.fate.values()).count(fate) for fate in FATES}
    assert sum(results["fates"].values()) == len(selection.fate)
    assert results["eligible"] == len(selection.v)
    assert results["at_threshold"] == len(selection.b)
    assert results["below_threshold"] == len(selection.added & selection.inside)
    for category, counts in results["categories"].items():
        c = selection.members(category)
        assert counts["rows"] == len(selection.inside & c)
        assert counts["eligible"] == len(selection.v & c)
        assert counts["at_threshold"] == len(selection.b & c)
    reported = {(quota["category"], quota["limit"]): quota for quota in results["quotas"]}
    for category, quota in dataset.quotas.items():
        for limit in LIMITS:
            asked = getattr(quota, limit)
            if asked is None:
                assert (category, limit) not in reported
                continue
            c = selection.members(category)
            has, said = len(selection.undrawn & c), reported[category, limit]
            assert said["rows"] == has
            assert (said["shortfall"] == 0) == selection.holds(limit, asked, c)
            assert said["state"] == ("pass" if said["shortfall"] == 0 else "fail")
            v, t = len(selection.v & c), len(selection.undrawn)
            wanted = {
                "min_keep_rate": Fraction(len(selection.b), len(selection.v) or 1) * v
                if asked == "overall"
                else exact(asked if isinstance(asked, int | float) else 0) * v,
                "min_share": exact(asked if limit == "min_share" else 0) * t,
                "max_share": exact(asked if limit == "max_share" else 0) * t,
            }.get(limit, asked)
            missing = math.ceil(wanted) - has if limit.startswith("min") else has - math.floor(wanted)
            assert said["shortfall"] == max(0, missing)
