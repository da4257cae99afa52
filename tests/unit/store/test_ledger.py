"""The ledger as one of several processes that write at the same time; each `Ledger` here stands for a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from alpaqual.errors import StoreError
from alpaqual.store.ledger import Ledger, entry, entry_of, request_key
from alpaqual.store.rewriting import compact
from alpaqual.values import CacheTokens, Reply, Request


def key(name: str) -> str:
    return request_key(Request("m", (("user", name),), {}))


def reply(text: str) -> Reply:
    return Reply(text, "m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "replies"


def ledger(folder: Path) -> Ledger:
    return Ledger(folder, folder.parent / "asked.lock")


def claimed_elsewhere(folder: Path, *names: str) -> subprocess.Popen[str]:
    """Another process, which claims these, says so, and waits for a line before it answers the first and ends."""
    program = (
        "import sys; from pathlib import Path; from alpaqual.store.ledger import Ledger; from alpaqual.values import Reply\n"
        f"ledger = Ledger(Path({str(folder)!r}), Path({str(folder.parent / 'asked.lock')!r}))\n"
        f"keys = {[key(name) for name in names]!r}\n"
        "print(all([ledger.claim(one) for one in keys]), flush=True)\n"
        "sys.stdin.readline(); ledger.add(keys[0], Reply('theirs', 'm')); ledger.release(keys[0])\n"
        "print('answered', flush=True); sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


@pytest.mark.slow
def test_a_reply_that_another_process_asks_for_is_waited_for_and_found(folder: Path) -> None:
    ours = ledger(folder)
    other = claimed_elsewhere(folder, "a", "b")
    assert other.stdin is not None
    assert other.stdout is not None
    assert [ours.claim(key(name)) for name in "abc"] == [False, False, True]
    other.stdin.write("\n")
    other.stdin.flush()
    assert other.stdout.readline() == "answered\n"
    assert ours.get(key("a")) is None
    assert ours.claim(key("a"))
    assert ours.get(key("a")) == reply("theirs")
    assert not ours.claim(key("b"))
    other.kill()
    other.communicate()
    assert ours.claim(key("b"))
    assert ours.get(key("b")) is None


def test_what_others_add_is_taken_in_line_by_line(folder: Path) -> None:
    ours, theirs = ledger(folder), ledger(folder)
    for name in "abc":
        theirs.add(key(name), reply(name))
        assert ours.claim(key(name))
        assert ours.get(key(name)) == reply(name)
        assert [ours.is_external(key(name)) for _ in range(2)] == [True, False]
    assert len(ours) == 3
    assert not ledger(folder).is_external(key("a"))


def test_half_a_line_counts_when_it_is_whole(folder: Path) -> None:
    theirs = ledger(folder)
    theirs.add(key("a"), reply("a"))
    (file,) = folder.glob("*.jsonl")
    line = file.read_bytes().replace(key("a").encode(), key("b").encode())
    ours = ledger(folder)
    with file.open("ab") as stream:
        stream.write(line[:40])
        stream.flush()
        assert ours.claim(key("b"))
        assert ours.get(key("b")) is None
        stream.write(line[40:])
    assert ours.claim(key("b"))
    assert ours.get(key("b")) == reply("a")


def test_files_put_together_meanwhile_lose_nothing(folder: Path) -> None:
    theirs = ledger(folder)
    theirs.add(key("a"), reply("a"))
    ours = ledger(folder)
    theirs.close()
    ours.add(key("b"), reply("b"))
    compact(folder)
    assert ours.claim(key("c"))
    assert [ours.get(key(name)) for name in "ab"] == [reply("a"), reply("b")]


def test_a_file_that_was_read_and_is_gone_needs_no_disk(folder: Path) -> None:
    theirs, ours = ledger(folder), ledger(folder)
    for name in "ab":
        theirs.add(key(name), reply(name))
        assert ours.claim(key(name))
    theirs.close()
    compact(folder)
    ours.flush()
    assert ours.get(key("b")) == reply("b")


def test_a_line_of_another_s_that_is_none_is_named(folder: Path) -> None:
    theirs = ledger(folder)
    theirs.add(key("a"), reply("a"))
    ours = ledger(folder)
    (file,) = folder.glob("*.jsonl")
    with file.open("a") as stream:
        stream.write("no entry\n")
    with pytest.raises(StoreError, match=rf"{file.name}:2: not an entry"):
        ours.claim(key("b"))


def test_an_entry_keeps_why_a_reply_ended_and_its_reasoning() -> None:
    reply = Reply("4.", "m", 3, 9, 0.5, "length", 7)
    line = entry("ab" * 32, reply)
    assert json.loads(line)["finish_reason"] == "length"
    assert entry_of(json.loads(line)) == ("ab" * 32, reply)


def test_an_entry_of_an_earlier_version_is_read_and_written_as_it_was() -> None:
    line = (
        '{"key": "'
        + "ab" * 32
        + '", "model": "m", "text": "4", "input_tokens": 3, "output_tokens": 1, "cost_usd": 0.5}'
    )
    key, reply = entry_of(json.loads(line))
    assert reply == Reply("4", "m", 3, 1, 0.5)
    assert entry(key, reply) == line


def test_the_cache_s_tokens_are_kept() -> None:
    reply = Reply("5", "openai/m", 100, 1, 0.1, "stop", 0, CacheTokens(64, 32, 8))
    line = entry("ab" * 32, reply)
    assert entry_of(json.loads(line)) == ("ab" * 32, reply)
    assert '"cache"' not in entry("ab" * 32, Reply("5", "openai/m", 100, 1))
    for wrong in ([], {"read": 1}, {"read": 1, "written": True, "written_1h": 0}):
        with pytest.raises((TypeError, KeyError)):
            entry_of({**json.loads(line), "cache": wrong})
