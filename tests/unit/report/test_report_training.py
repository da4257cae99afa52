"""What reports say of training: settings once, losses that compare, states as words, and a chart in which datasets compare."""

from __future__ import annotations

import itertools
import json
from typing import Any
from xml.etree import ElementTree

import pytest
from found import report as results_of
from hostile_report import EVIL, made, parsed
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from test_markdown import HOSTILE, assert_ours, report
from tiers import examples
from training_results import curve, done, not_done, trainings

from alpaqual.report import html as page
from alpaqual.report.charts_training import MOST_LINES, Line, apart, loss_chart, loss_lines, means
from alpaqual.report.html import to_html
from alpaqual.report.html_charts import Charts
from alpaqual.report.html_training import training_section as html_section
from alpaqual.report.junit import to_junit
from alpaqual.report.markdown import MOST_BYTES, to_markdown
from alpaqual.report.markdown_training import training_section as markdown_section
from alpaqual.report.training import duration, loss, memory, tokens
from alpaqual.results.results import results_schema

WHOLE = """### Training

One model for each dataset, from `meta-llama/Llama-2-7b-hf`: all weights, 3 epochs, batches of 128 rows, learning rate 2e-5, the alpaca prompt, loss on the response alone, at most 512 tokens a row, bf16, on 4 × NVIDIA H200.

Held-out loss, over the 1,000 rows of test, is lowest after training on **quality**: 1.074. Compare models by the held-out loss: each training loss is over that dataset's own rows.

| dataset | rows | training loss | held-out loss | truncated | steps | tokens | time | tokens a second | MFU | cost |
| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
| quality | 9,229 | 1.785 → 0.985 | 1.623 → **1.074** | 23 | 219 | 5.18M | 2 min 15 s | 38,412 | 39.3% | $0.52 |
| random | 9,229 | 1.835 → 1.035 | 1.623 → 1.109 | 23 | 219 | 5.18M | 2 min 20 s | 38,412 | 39.3% | $0.52 |
| full | 52,002 | 1.670 → 0.950 | 1.623 → 1.091 | 130 | 1,221 | 29.2M | 13 min | 38,412 | 39.3% | $2.95 |

All 3 together took 17 min and $4.00.
"""


def training_section(trainings: dict[str, Any]) -> str:
    return markdown_section(results_of({"training": trainings}).results.training)


def on_page(found: dict[str, Any], charts: Charts) -> str:
    return html_section(results_of(found).results, charts)


def lines_of(trainings: dict[str, Any]) -> list[Line]:
    return loss_lines(results_of({"training": trainings}).results.training)


SMALL: dict[str, Any] = {
    "epochs": 1,
    "steps": 1,
    "device": "cpu",
    "processes": 1,
    "rows_truncated": 0,
    "curve": curve(1, 2.0),
    **dict.fromkeys(("mfu", "cost_usd", "held_out", "memory_bytes")),
}
"""What one small training on a CPU lacks."""


def hostile(text: str) -> dict[str, dict[str, Any]]:
    """Trainings of every state in which all texts that are not ours are `text`."""
    held = {"dataset": text, "rows": 10, "before": 1.5, "after": 1.2}
    texts = {"base_model": text, "device": text, "model": text, "held_out": held}
    return {
        f"a{text}a": done(900, 1.0, 1.2, **texts),
        f"b{text}b": done(900, 1.0, 1.3, **texts, learning_rate=1e-4),
        f"c{text}c": not_done("written", text, base_model=text),
        f"d{text}d": not_done("waiting", text, base_model=text),
    }


# Markdown


def test_the_section_as_a_reviewer_reads_it() -> None:
    assert training_section(trainings()) == WHOLE
    text = to_markdown(report(training=trainings()))
    assert WHOLE in text
    assert text.index("### Datasets") < text.index("### Training") < text.index("### Category balance")


@pytest.mark.parametrize("none", [{}, {"training": {}}])
def test_a_recipe_that_trains_nothing_has_no_section(none: dict[str, Any]) -> None:
    assert "Training" not in to_markdown(report(**none))
    assert 'id="training"' not in on_page(none, Charts())
    assert "training" not in to_junit(report(**none))


def test_a_dataset_that_is_not_trained_is_reported() -> None:
    found = {
        "quality": not_done("written", "sbatch training/quality/job.slurm"),
        "random": not_done("waiting", "a check of the data failed"),
        "full": not_done("waiting", ""),
    }
    text = training_section(found)
    assert (
        "- **quality** is written here, to be trained on another machine: sbatch training/quality/job.slurm\n" in text
    )
    assert "- **random** is not trained: a check of the data failed\n" in text
    assert "- **full** is not trained.\n" in text
    assert "|" not in text
    assert "on 4" not in text
    charts = Charts()
    shown = on_page({"training": found}, charts)
    assert "a check of the data failed" in shown
    assert "<table" not in shown
    assert charts.specs == {}


def test_a_small_training_has_only_the_columns_that_it_has_numbers_for() -> None:
    text = training_section({"quality": done(159, 1.9, 2.2, **SMALL)})
    assert text.startswith("### Training\n\nOne model, from `meta-llama/Llama-2-7b-hf`: all weights, 1 epoch, ")
    assert "bf16, on cpu.\n" in text
    assert "| dataset | rows | training loss | steps | tokens | time | tokens a second |\n" in text
    assert "together" not in text
    assert "eld-out" not in text


def test_one_without_a_number_that_others_have_shows_a_dash() -> None:
    text = training_section(trainings(random={"mfu": None, "cost_usd": None, "held_out": None}))
    (line,) = [line for line in text.splitlines() if line.startswith("| random")]
    assert line.endswith("| 38,412 | – | – |")
    assert "| – | 23 |" in line
    assert "All 3 together took 17 min.\n" in text


def test_the_lowest_loss_is_named_only_where_there_is_one() -> None:
    other = {"held_out": {"dataset": "other", "rows": 5, "before": 2.0, "after": 1.0}}
    assert "lowest" not in training_section(trainings(full=other))
    equal = {"held_out": {"dataset": "test", "rows": 1000, "before": 1.6231, "after": 1.0742}}
    assert "lowest" not in training_section(trainings(full=equal))
    lost = {"held_out": {"dataset": "test", "rows": 1000, "before": 1.6231, "after": None}}
    assert "lowest after training on **full**: 1.091." in training_section(trainings(quality=lost))
    assert "1.623 → not a number" in training_section(trainings(quality=lost))


def test_settings_that_differ_are_listed_by_dataset() -> None:
    text = training_section(trainings(full={"learning_rate": 1e-5, "base_model": "b"}))
    assert text.startswith("### Training\n\nOne model for each dataset: all weights, 3 epochs, ")
    assert "- **quality**: base model meta-llama/Llama-2-7b-hf, learning rate 2e-5\n" in text
    assert "- **full**: base model b, learning rate 1e-5\n" in text


def test_rows_that_were_left_out_are_shown() -> None:
    text = training_section(trainings(full={"rows_dropped": 17}))
    assert "| truncated | too long, left out |" in text
    assert "| 130 | 17 |" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_change_no_structure(text: str) -> None:
    assert_ours(
        to_markdown(report(text, training=hostile(text))), to_markdown(report("plain", training=hostile("plain")))
    )


@settings(max_examples=examples(40), deadline=None)
@given(
    text=st.text(st.one_of(st.characters(), st.sampled_from("|\\`<>&@#*_[]()!-+=~$/\n 1a")), min_size=1, max_size=30)
)
def test_no_name_changes_the_structure(text: str) -> None:
    assert_ours(
        to_markdown(report(text, training=hostile(text))), to_markdown(report("plain", training=hostile("plain")))
    )


@pytest.mark.parametrize("name", ["t", "<|é🎉" * 60])
def test_very_many_trainings_fit_a_comment(name: str) -> None:
    states = itertools.cycle(["done", "written", "waiting"])
    each = done(9229, 0.9, 1.0)
    settings_of = not_done("waiting", name)
    many = {}
    for index in range(300):
        state = next(states)
        many[f"{name}{index}"] = {**(each if state == "done" else settings_of), "state": state, "why": name}
    text = to_markdown(report(training=many))
    assert len(text.encode()) <= MOST_BYTES
    if name == "t":
        assert "… and 50 more models." in text
        assert "- … and 150 more" in text


# HTML


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the charting library, so that these tests need no built package."""
    monkeypatch.setattr(page, "_charting", lambda: "window.vegaEmbed = null;")


@pytest.mark.usefixtures("without_charts")
def test_the_page_reads_without_scripts() -> None:
    charts = Charts()
    shown = on_page({"training": trainings()}, charts)
    assert len(charts.specs) == 1
    for words in ("9,229", "1.623 → <strong>1.074</strong>", "38,412", "39.3%", "91.7 GiB", "$2.95", "45.0%", "1,221"):
        assert words in shown
    assert shown.count("<table>") == 3
    assert shown.count('class="before needs-script" hidden') == 3
    written = to_html(made(training=trainings()))
    assert '<a href="#training">Training</a>' in written
    parsed(written)


@pytest.mark.usefixtures("without_charts")
def test_hostile_names_make_no_element() -> None:
    written = to_html(made(training=hostile(EVIL)))
    elements = parsed(written)
    names = [name for name, _ in elements.seen]
    assert names.count("script") == 3
    assert "img" not in names
    assert not {key for _, attributes in elements.seen for key in attributes if key.startswith("on") or key == "style"}
    assert not [character for character in "\u2028\u202e\x00" if character in written]


@pytest.mark.usefixtures("without_charts")
def test_three_trainings_of_200_points_add_little_to_the_page() -> None:
    without, with_them = (len(to_html(made(training=found))) for found in ({}, trainings()))
    assert with_them - without < 120_000


def test_a_training_of_one_point_has_numbers_and_no_chart() -> None:
    charts = Charts()
    shown = on_page({"training": {"quality": done(159, 1.9, 2.2, **SMALL)}}, charts)
    assert charts.specs == {}
    assert "<figure" not in shown
    assert "MFU" not in shown
    assert "cost" not in shown
    assert "peak memory" not in shown
    parsed(shown)


@pytest.mark.parametrize("drawn", [None, [], [{"step": 1, "loss": None}, {"step": 2, "loss": None}]])
def test_a_training_without_a_curve_is_shown(drawn: Any) -> None:
    charts = Charts()
    assert "9,229" in on_page({"training": trainings(full={"curve": drawn})}, charts)
    (spec,) = charts.specs.values()
    assert len(spec["layer"][2]["data"]["values"]) == 2


# The chart


def test_datasets_of_all_sizes_end_together() -> None:
    lines = lines_of(trainings())
    assert [line.epochs[-1] for line in lines] == [pytest.approx(3)] * 3
    spec = loss_chart(lines, {line.name: line.name for line in lines})
    assert spec is not None
    points, drawn, labels = spec["layer"]
    assert len(points["data"]["values"]) == len(drawn["data"]["values"]) == 600
    assert points["data"]["values"][-1]["step"] == 1221
    assert drawn["encoding"]["x"]["scale"]["domain"] == [0, pytest.approx(3)]
    assert drawn["encoding"]["x"]["axis"]["values"] == [0, 1, 2, 3]
    assert [each["name"] for each in labels["data"]["values"]] == ["quality", "random", "full"]
    low, high = drawn["encoding"]["y"]["scale"]["domain"]
    assert all(low < value["loss"] < high for value in points["data"]["values"])
    json.dumps(spec, allow_nan=False)


def test_means_follow_the_steps_between_epochs_and_the_fall_at_the_start() -> None:
    losses = [5.0, *[3.0] * 99, *[2.0] * 100]
    found = means(losses, [2 * (index + 1) / 200 for index in range(200)])
    assert (found[0], found[99], found[100]) == (5.0, 3.0, 2.0)
    assert means([4.0, 2.0], [0.5, 1.0]) == [4.0, 2.0]
    noisy = [1.0, 2.0] * 100
    assert all(1.3 < mean < 1.7 for mean in means(noisy, [index / 10 for index in range(1, 201)])[10:-10])


def test_few_points_are_drawn_as_they_are() -> None:
    few = {"quality": done(1900, 0.9, 1.1, curve=curve(45, 0.9, 9))}
    (line,) = lines_of(few)
    assert line.means == line.losses
    charts = Charts()
    assert "moving means" not in on_page({"training": few}, charts)
    assert charts.specs["chart-0"]["layer"][0]["mark"]["opacity"] == 1


def test_the_same_loss_twice_is_a_line_within_the_chart() -> None:
    flat = [{"step": 1, "loss": 0.0}, {"step": 2, "loss": 0.0}]
    spec = loss_chart(lines_of({"a": done(10, 1.0, 1.0, curve=flat, steps=2)}), {"a": "a"})
    assert spec is not None
    low, high = spec["layer"][1]["encoding"]["y"]["scale"]["domain"]
    assert low <= 0 < high


def test_of_very_many_lines_the_first_are_drawn_and_the_rest_counted() -> None:
    many = {f"t{index}": done(9000, 0.9, 1.0) for index in range(MOST_LINES + 5)}
    charts = Charts()
    shown = on_page({"training": many}, charts)
    assert f"(the first {MOST_LINES} datasets)" in shown
    assert len(charts.specs["chart-0"]["layer"][2]["data"]["values"]) == MOST_LINES
    looks = charts.specs["chart-0"]["layer"][1]["encoding"]
    pairs = zip(looks["stroke"]["scale"]["range"], looks["strokeDash"]["scale"]["range"], strict=True)
    assert len({(colour, tuple(dash)) for colour, dash in pairs}) == MOST_LINES


@settings(max_examples=examples(100), deadline=None)
@given(places=st.lists(st.floats(0, 280), min_size=1, max_size=MOST_LINES))
def test_labels_keep_apart_and_in_order(places: list[float]) -> None:
    moved = apart(places)
    order = sorted(range(len(places)), key=lambda index: places[index])
    assert all(moved[after] - moved[before] >= 13.999 for before, after in itertools.pairwise(order))
    assert max(moved) <= 280
    assert min(moved) >= 0


# JUnit and the schema


def test_what_is_not_trained_yet_is_skipped() -> None:
    found = {**trainings(), "full": not_done("waiting", f"the data failed {EVIL}")}
    suites = ElementTree.fromstring(to_junit(report(training=found)).encode())
    cases = [case for case in suites.iter("testcase") if case.attrib["classname"] == "trial.training"]
    assert [(case.attrib["name"], [child.tag for child in case]) for case in cases] == [
        ("quality", []),
        ("random", []),
        ("full", ["skipped"]),
    ]
    assert cases[2][0].attrib["message"].startswith("full is not trained: the data failed ")
    assert suites.attrib["skipped"] == suites[0].attrib["skipped"] == "1"


def test_the_schema_knows_training() -> None:
    of_results = results_schema()
    trained = of_results["definitions"]["Results"]["properties"]["training"]["additionalProperties"]
    validator = Draft7Validator({**trained, "definitions": of_results["definitions"]})
    for each in (*trainings().values(), not_done("written", "x"), done(159, 1.9, 2.2, **SMALL)):
        validator.validate(each)
    without = {key: value for key, value in done(9, 1.0, 1.0).items() if key != "tokens"}
    for wrong in (without, not_done("else", "x"), {**done(9, 1.0, 1.0), "rows": None}):
        assert not validator.is_valid(wrong)


# Numbers


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (loss(1.62349), "1.623"),
        (loss(0.01234), "0.0123"),
        (loss(None), "not a number"),
        (loss(float("nan")), "not a number"),
        (tokens(None), "–"),
        (tokens(812), "812"),
        (tokens(24_000), "24.0k"),
        (tokens(999_700), "1.00M"),
        (tokens(5_180_000), "5.18M"),
        (tokens(312_400_000), "312M"),
        (tokens(1_234_000_000), "1.23B"),
        (duration(None), "–"),
        (duration(4.26), "4.3 s"),
        (duration(89.7), "1 min 30 s"),
        (duration(89.4), "89 s"),
        (duration(125), "2 min 05 s"),
        (duration(599.6), "10 min"),
        (duration(3 * 3600 + 240), "3 h 04 min"),
        (memory(2**30), "1.0 GiB"),
    ],
)
def test_numbers_as_a_person_writes_them(words: str, wanted: str) -> None:
    assert words == wanted
