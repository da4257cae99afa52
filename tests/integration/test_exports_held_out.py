"""Exports and alpaqual's own job train on the same rows: none of them is in `held_out`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import Project

from alpaqual.errors import StageError
from alpaqual.job import from_json

pytestmark = pytest.mark.slow

TOOLS = ("axolotl", "llama_factory", "trl")
ROWS = [{"instruction": f"Say \u2028{n}", "input": "", "output": "yes " * (n + 1)} for n in range(12)]


def write(
    project: Project, held_out: str = ", held_out: test", prompt: str = "alpaca", test: str = "sample: 4"
) -> None:
    (project.folder / "model").mkdir(exist_ok=True)
    (project.folder / "model" / "config.json").write_text("{}")
    project.jsonl("d.jsonl", ROWS)
    project.ask(
        "d.jsonl",
        f"training: {{base_model: model, datasets: [full], batch_size: 2, prompt: {prompt}, exports: [{', '.join(TOOLS)}], "
        f"launch: {{start: elsewhere}}{held_out}}}",
        datasets=f"{{full: {{}}, test: {{{test}}}}}",
    )


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").split("\n") if line]


def trained_on(folder: Path) -> Path:
    """The file that an export's configuration names as training data."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    if "train_file" in config:
        return folder / config["train_file"]
    if config.get("dataset") == "train":
        # LLaMA-Factory reads what prepare.py made of it.
        source = (folder / "prepare.py").read_text(encoding="utf-8")
        return folder / next(iter(eval(source.split("FILES = ")[1].split("\n")[0])))
    return folder / config["datasets"][0]["path"]


def own_rows(folder: Path) -> list[str]:
    """The ids that alpaqual's own job trains on."""

    class Letters:
        eos_token_id = 0
        chat_template = ""

        def __call__(self, texts: list[str], **options: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [[ord(letter) % 100 + 1 for letter in text] for text in texts]}

    from alpaqual.trainers.fsdp_job.data import read_data

    job = from_json((folder / "job.json").read_text(encoding="utf-8"))
    return sorted(read_data(job, folder, Letters()).order.ids)


def test_every_export_trains_on_the_rows_of_alpaquals_own_job(project: Project) -> None:
    write(project)
    run = project.run()
    held_out = ids(run.folder / "datasets" / "test.jsonl")
    assert len(held_out) == 4
    for tool in TOOLS:
        folder = run.folder / "exports" / tool / "full"
        file = trained_on(folder)
        assert file.parent == folder
        assert not set(ids(file)) & set(held_out)
        assert sorted(ids(file)) == own_rows(run.folder / "training" / "full")
        # Each row as it is in the dataset; the configuration names the digest of the file that it trains on.
        assert set(file.read_bytes().splitlines()) < set(
            (run.folder / "datasets" / "full.jsonl").read_bytes().splitlines()
        )
        assert hashlib.sha256(file.read_bytes()).hexdigest() in (folder / "config.yaml").read_text(encoding="utf-8")


def test_exports_have_no_columns_of_the_data(project: Project) -> None:
    """Readers of whole columns refuse one of several types, and a trainer takes one such as `system` for its own."""
    write(project)
    own = [
        {**row, "id": [n, f"r{n}", None][n % 3], "system": "be brief", "tag": [n] if n % 2 else n}
        for n, row in enumerate(ROWS)
    ]
    project.jsonl("d.jsonl", own)
    text = project.recipe.read_text(encoding="utf-8")
    project.recipe.write_text(text.replace("path: d.jsonl", "path: d.jsonl\n    keep: [system, tag]"), encoding="utf-8")
    text = project.recipe.read_text(encoding="utf-8").replace(
        "    keep", "    fields: {instruction: instruction, input: input, response: output}\n    keep"
    )
    project.recipe.write_text(text, encoding="utf-8")
    run = project.run()
    held_out = {
        json.loads(line)["row_id"]
        for line in (run.folder / "datasets" / "test.jsonl").read_text(encoding="utf-8").split("\n")
        if line
    }
    for tool in TOOLS:
        file = trained_on(run.folder / "exports" / tool / "full")
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        assert all(row.keys() == {"id", "instruction", "input", "output"} for row in rows)
        assert sorted(ids(file)) == own_rows(run.folder / "training" / "full")
        assert len(rows) == 8 and not set(ids(file)) & held_out


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["axolotl", "llama_factory"])
def test_prepared_rows_have_no_held_out_row_and_the_evaluation_rows_are_all_there(tool: str, project: Project) -> None:
    from datasets import load_from_disk
    from training import write_tokenizer

    write_tokenizer(project.folder / "model")
    write(project, prompt="chat")
    run = project.run()
    folder = run.folder / "exports" / tool / "full"
    subprocess.run([sys.executable, "prepare.py"], cwd=folder, check=True)
    if tool == "axolotl":
        lines = [(folder / name).read_text(encoding="utf-8").splitlines() for name in ("train.jsonl", "held_out.jsonl")]
        found = [[json.loads(line) for line in part] for part in lines]
    else:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        saved = load_from_disk(folder / config["tokenized_path"])
        found = [list(saved["train"]), list(saved["validation"])]
    train, held_out = ({tuple(row["input_ids"]) for row in part} for part in found)
    assert (len(train), len(held_out)) == (8, 4) and not train & held_out


def test_without_held_out_rows_exports_read_the_dataset(project: Project) -> None:
    write(project)
    folder = project.run().folder
    write(project, held_out="")
    assert project.run().folder == folder
    for tool in TOOLS:
        export = folder / "exports" / tool / "full"
        assert trained_on(export).resolve() == (folder / "datasets" / "full.jsonl").resolve()
        assert not (export / "training_rows.jsonl").exists()


def test_a_dataset_that_is_held_out_as_a_whole_is_refused(project: Project) -> None:
    write(project, test="")
    with pytest.raises(StageError, match=r"no row of full is left to train on: all are in training\.held_out"):
        project.run()
