"""`alpaqual replies` in processes of its own: killed at any moment, beside live writers, and with names that mean harm."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Project
from tiers import moments

from alpaqual.store.ledger import Ledger, entry
from alpaqual.values import Reply

pytestmark = pytest.mark.slow

COMPACTED = "00-compacted.jsonl"
HOSTILE = "::error::x\n::error::forged [bold]\x1b[2J\u202e"
_WRITER = """\
import sys, hashlib, pathlib, time
from alpaqual.store.ledger import Ledger
from alpaqual.values import Reply
name, folder, most = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
ledger = Ledger(folder)
known = sum(ledger.get(hashlib.sha256(f"old {n}".encode()).hexdigest()) is not None for n in range(most))
for number in range(most):
    key = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
    ledger.add(key, Reply(f"{name} {number}", "openai/a"))
    assert ledger.get(key) == Reply(f"{name} {number}", "openai/a")
    assert ledger.get(hashlib.sha256(f"old {number}".encode()).hexdigest()) is not None
    if number == 0:
        print("writing", flush=True)
    time.sleep(0.002)
sys.stdin.read()
"""
_REWRITE = """\
import sys, pathlib
from alpaqual.store.rewriting import compact, prune
print("go", flush=True)
folder, model = pathlib.Path(sys.argv[1]), sys.argv[2]
prune(folder, [model], []) if model else compact(folder)
"""


def key(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def line(text: object, model: str = "openai/a", **more: float) -> str:
    return f"{entry(key(text), Reply(str(text), model, cost_usd=more.get('cost')))}\n"


def said(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What it printed, where it exited so and nothing looks like a bug."""
    assert done.returncode == code, (done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def folder_of(project: Project) -> Path:
    return project.folder / ".alpaqual" / "replies"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def paid(project: Project) -> Project:
    """A project with two files of replies of three models, a duplicate and a torn last line."""
    (project.folder / ".git").mkdir()
    project.write("recipe.yaml", "version: 1\n")
    project.write(
        ".alpaqual/replies/20261.jsonl", line(1, cost=0.25) + line(2, cost=0.5) + line(3, HOSTILE) + '{"key": "'
    )
    project.write(".alpaqual/replies/20262.jsonl", line(2, cost=0.5) + line(4, "local/b"))
    return project


# show


def test_show_as_a_table(paid: Project) -> None:
    for words in ([], ["recipe.yaml"], ["."]):
        text = said(paid.command("replies", "show", *words), 0)
        assert re.search(r"replies: 2 files, [0-9,]+ bytes$", text.splitlines()[0])
        assert re.search(r"^openai/a +2 +– +– +\$0\.7500 +1 +\d+ +20261\.jsonl +20262\.jsonl *$", text, re.MULTILINE)
        assert re.search(r"^local/b +1 +– +– +– +0 +\d+ +20262\.jsonl +20262\.jsonl *$", text, re.MULTILINE)
        assert text.splitlines()[-1] == "ends in half a line, which is ignored: 20261.jsonl"
        assert not [part for part in re.split(r"[\r\n]", text) if part.lstrip().startswith("::")]
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[bold]" in text


def test_show_for_programs(paid: Project) -> None:
    text = said(paid.command("replies", "show", "--json"), 0)
    assert text.isascii()
    found = json.loads(text)
    assert (found["files"], found["torn"], found["written"]) == (["20261.jsonl", "20262.jsonl"], ["20261.jsonl"], [])
    models = {model["model"]: model for model in found["models"]}
    assert set(models) == {"openai/a", "local/b", HOSTILE}
    assert models["openai/a"]["counted"] == {
        "replies": 2,
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": 0.75,
    }
    assert models["openai/a"]["duplicates"]["cost_usd"] == 0.5


def test_commands_in_a_project_without_replies(project: Project) -> None:
    project.write("recipe.yaml", "version: 1\n")
    for word in ("show", "compact"):
        assert said(project.command("replies", word, "recipe.yaml"), 0).startswith("no replies in ")
    assert json.loads(said(project.command("replies", "show", "--json"), 0))["files"] == []
    for words in (["export", ".", "out.jsonl"], ["prune", "--model", "openai/a", "--yes"], ["prune"]):
        done = project.command("replies", *words)
        assert said(done, 2) == ""
        assert "holds no replies" in done.stderr
    done = project.command("replies", "show", "gone.yaml")
    assert said(done, 2) == ""
    assert done.stderr == "gone.yaml: there is no such recipe or folder\n"
    assert {path.name for path in project.folder.iterdir()} == {"recipe.yaml"}


def test_a_bad_line_is_an_error_with_its_place(paid: Project) -> None:
    paid.write(".alpaqual/replies/20263.jsonl", line(9) + "\x1b[2J no entry\n" + line(10))
    before = contents(folder_of(paid))
    for words in (["show"], ["compact"], ["export", ".", "out.jsonl"], ["prune", "--model", "openai/a", "--yes"]):
        done = paid.command("replies", *words)
        assert said(done, 4) == ""
        assert "20263.jsonl:2: not an entry of a ledger" in done.stderr
    assert contents(folder_of(paid)) == before


# compact


def test_compact(paid: Project) -> None:
    text = said(paid.command("replies", "compact", "recipe.yaml"), 0)
    assert text == f"2 files -> {COMPACTED}: 4 replies; left out: 1 duplicate, 1 torn last line\n"
    lines = [line(1, cost=0.25), line(2, cost=0.5), line(3, HOSTILE), line(4, "local/b")]
    assert contents(folder_of(paid)) == {COMPACTED: "".join(sorted(lines)).encode()}


def test_compact_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "replies"
    folder.mkdir()
    choose = random.Random(7)
    numbers = range(3000)

    def fill(round_: int) -> None:
        for file in range(40):
            some = choose.sample(numbers, 60)
            text = "".join(line(number) for number in some) + '{"key": "torn'
            (folder / f"2026{round_:03}{file:03}.jsonl").write_text(text)

    def read() -> set[int]:
        ledger = Ledger(folder)
        try:
            return {number for number in numbers if ledger.get(key(number)) == Reply(str(number), "openai/a")}
        finally:
            ledger.close()

    fill(0)
    process, began = _compacting(folder)
    assert process.wait(timeout=60) == 0
    takes = time.monotonic() - began
    seen = set()
    for round_ in moments(6, 25):
        if len(list(folder.glob("*.jsonl"))) < 3:
            fill(round_ + 1)
        before = read()
        process, began = _compacting(folder)
        time.sleep(choose.uniform(0, takes))
        process.send_signal(signal.SIGKILL)
        seen.add(process.wait(timeout=60))
        assert read() == before
    assert -signal.SIGKILL in seen
    before = read()
    process, _ = _compacting(folder)
    assert process.wait(timeout=60) == 0
    assert read() == before
    assert list(contents(folder)) == [COMPACTED]


def _compacting(folder: Path, model: str = "") -> tuple[subprocess.Popen[bytes], float]:
    """A process that has begun to compact, or to prune a model, and when it began."""
    process = subprocess.Popen([sys.executable, "-c", _REWRITE, str(folder), model], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"go\n"
    process.stdout.close()
    return process, time.monotonic()


def test_compact_beside_processes_that_write(project: Project) -> None:
    folder, most = folder_of(project), 400
    for number in range(most):
        project.write(f".alpaqual/replies/2026{number % 20:03}.jsonl", "")
    for number in range(most):
        with (folder / f"2026{number % 20:03}.jsonl").open("a") as stream:
            stream.write(line(f"old {number}"))
    words = [sys.executable, "-c", _WRITER]
    writers = [
        subprocess.Popen([*words, name, folder, str(most)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("first", "second")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.stdout.close()
    text = said(project.command("replies", "compact"), 0)
    assert text.startswith(f"20 files -> {COMPACTED}: {most} replies; left out: 0 duplicates, 0 torn last lines\n")
    assert text.count("not changed, since a run is writing it: ") == 2
    assert said(project.command("replies", "show"), 0).count("a run is writing it: ") == 2
    for _ in range(5):
        both = [_compacting(folder)[0] for _ in range(2)]
        assert [process.wait(timeout=60) for process in both] == [0, 0]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    said(project.command("replies", "compact"), 0)
    assert list(contents(folder)) == [COMPACTED]
    ledger = Ledger(folder)
    assert len(ledger) == 3 * most
    for name in ("old", "first", "second"):
        for number in range(most):
            reply = ledger.get(key(f"{name} {number}"))
            assert reply is not None
            assert reply.text == f"{name} {number}"
    ledger.close()


# export


def test_export(paid: Project) -> None:
    assert said(paid.command("replies", "export", "recipe.yaml", "all.jsonl"), 0) == "all.jsonl: 4 replies ($0.7500)\n"
    first = (paid.folder / "all.jsonl").read_bytes()
    said(paid.command("replies", "compact"), 0)
    said(paid.command("replies", "export", ".", "all.jsonl"), 0)
    assert (paid.folder / "all.jsonl").read_bytes() == first
    said(paid.command("replies", "export", ".", "b.jsonl", "--model", "local/b"), 0)
    assert (paid.folder / "b.jsonl").read_text() == line(4, "local/b")
    refused = paid.command("replies", "export", "all.jsonl", "recipe.yaml")
    assert said(refused, 2) == ""
    assert "recipe.yaml: exists and is not a file of replies" in refused.stderr
    unknown = paid.command("replies", "export", ".", "c.jsonl", "--model", "x")
    assert said(unknown, 2) == ""
    assert "no reply of the model 'x'; there are: " in unknown.stderr
    assert "\x1b" not in unknown.stderr
    assert not (paid.folder / "c.jsonl").exists()


# prune


def test_prune_by_model_and_key(paid: Project) -> None:
    words = ("replies", "prune", "--model", "local/b", "--key", key(2), "--yes")
    text = said(paid.command(*words), 0)
    assert text.endswith(": 3 replies named ($1.0000)\ndeleted: 3 replies\n")
    assert contents(folder_of(paid)) == {"20261.jsonl": (line(1, cost=0.25) + line(3, HOSTILE) + '{"key": "').encode()}


def test_prune_without_a_name_or_a_confirmation_deletes_nothing(paid: Project) -> None:
    before = contents(folder_of(paid))
    nothing = paid.command("replies", "prune")
    assert said(nothing, 2) == ""
    assert "nothing was named, so nothing is deleted; name --model (there are: " in nothing.stderr
    assert "local/b, openai/a" in nothing.stderr
    unasked = paid.command("replies", "prune", "--model", "openai/a", stdin=subprocess.DEVNULL)
    assert "3 replies named ($1.2500)" in said(unasked, 2)
    assert "add --yes" in unasked.stderr
    unknown = paid.command("replies", "prune", "--key", "abc", "--yes")
    assert said(unknown, 2) == ""
    assert "no reply has the key 'abc'" in unknown.stderr
    assert _answering(paid, "n\n").endswith("nothing was deleted\n")
    assert contents(folder_of(paid)) == before
    assert _answering(paid, "y\n").endswith("deleted: 3 replies\n")
    assert contents(folder_of(paid)) != before


def _answering(project: Project, answer: str) -> str:
    """What `prune --model openai/a` prints after this answer at a terminal."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        return said(project.command("replies", "prune", "--model", "openai/a", stdin=theirs), 0)
    finally:
        os.close(ours)
        os.close(theirs)


def test_prune_killed_at_any_moment_deletes_nothing_else(tmp_path: Path) -> None:
    choose = random.Random(11)
    kept = {f"2026{file:03}.jsonl": [line(f"{file} {number}", "local/b") for number in range(60)] for file in range(40)}
    went = {f"2026{file:03}.jsonl": [line(f"x {file} {number}") for number in range(60)] for file in range(40)}
    killed = set()
    for _ in moments(4, 8):
        for name, lines in kept.items():
            text = "".join(text for pair in zip(lines, went[name], strict=True) for text in pair)
            (tmp_path / name).write_text(text)
        process, _ = _compacting(tmp_path, "openai/a")
        time.sleep(choose.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        killed.add(process.wait(timeout=60))
        for name, lines in kept.items():
            found = (tmp_path / name).read_text().splitlines(keepends=True)
            assert [text for text in found if text in set(lines)] == lines
            assert len(found) in (60, 120)
    assert -signal.SIGKILL in killed
    _compacting(tmp_path, "local/b")[0].wait(timeout=60)
    assert not list(tmp_path.glob(".*"))


def test_prune_keeps_files_that_a_run_writes_and_reports_them(paid: Project) -> None:
    ledger = Ledger(folder_of(paid))
    ledger.add(key(50), Reply("5", "openai/a"))
    done = paid.command("replies", "prune", "--model", "openai/a", "--yes")
    assert "deleted: 3 replies\n" in said(done, 4)
    assert done.stderr == "not deleted: 1 reply in a file that a run is writing; prune again\n"
    ledger.close()
    assert "deleted: 1 reply\n" in said(paid.command("replies", "prune", "--model", "openai/a", "--yes"), 0)
