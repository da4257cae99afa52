"""The ledger as files: nothing that `Ledger` reads is lost or changed by the commands that rewrite them, or disturbs other processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.errors import RecipeError, StoreError
from alpaqual.store import ledger as ledgers
from alpaqual.store import rewriting
from alpaqual.store.ledger import Ledger, Recording, entry
from alpaqual.store.locking import exclusive_lock, mark_written, shared_lock
from alpaqual.store.replies import Totals, replies_folder, summarize
from alpaqual.store.rewriting import COMPACTED, Named, compact, export_replies, find_named, prune
from alpaqual.values import Reply

Entry = tuple[str, Reply]
MODELS = ("openai/a", "anthropic/b", "local/\x1b[2J::error")


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


KEYS = [key(number) for number in range(12)]
REPLIES = st.builds(
    Reply,
    st.text(max_size=12),
    st.sampled_from(MODELS),
    st.none() | st.integers(0, 9),
    st.none() | st.integers(0, 9),
    cost_usd=st.none() | st.floats(0, 1),
)
ENTRIES = st.lists(st.tuples(st.sampled_from([*KEYS, "written by hand", "a0"]), REPLIES), max_size=6)
ENDS = st.sampled_from(["\n", "", '\n{"key": "', "\n12", '\n{"key": "é', "\n\n \r\n"])
FILES = st.lists(st.tuples(ENTRIES, ENDS, st.booleans()), max_size=6)
"""Of each file its entries, how it ends, and whether a process writes it."""


def fill(folder: Path, files: Sequence[tuple[list[Entry], str, bool]]) -> None:
    folder.mkdir(parents=True)
    for number, (lines, end, _) in enumerate(files):
        text = "\n".join(entry(*line) for line in lines) + (end if lines else "")
        (folder / f"2026{number:04}.jsonl").write_bytes(text.encode())


@contextlib.contextmanager
def written(*files: Path) -> Iterator[None]:
    """While this lasts, these files are written by a process."""
    with contextlib.ExitStack() as stack:
        for file in files:
            descriptor = os.open(file, os.O_RDWR)
            stack.callback(os.close, descriptor)
            assert mark_written(descriptor)
        yield


def read(folder: Path) -> dict[str, Reply | None]:
    ledger = Ledger(folder)
    try:
        return {name: ledger.get(name) for name in [*KEYS, "written by hand", "a0"]}
    finally:
        ledger.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def line(number: int, model: str = "openai/a", text: str = "4", **more: Any) -> bytes:
    return f"{entry(key(number), Reply(text, model, **more))}\n".encode()


# compact


@settings(max_examples=examples(150), deadline=None)
@given(FILES)
def test_compacting_keeps_exactly_what_a_ledger_reads(files: list[tuple[list[Entry], str, bool]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "replies"
        fill(folder, files)
        live = [folder / f"2026{number:04}.jsonl" for number, file in enumerate(files) if file[2]]
        before, kept = read(folder), {file.name: file.read_bytes() for file in live}
        sums = [(model.model, model.counted) for model in summarize(folder).models if model.counted.replies]
        with written(*live):
            done = compact(folder)
            assert done.written == tuple(kept)
        now = contents(folder)
        assert {name: now.pop(name) for name in kept} == kept
        assert read(folder) == before
        assert list(now) == ([COMPACTED] if done.replies else [])
        compact(folder)
        whole = contents(folder)
        assert read(folder) == before
        lines = whole.get(COMPACTED, b"").splitlines()
        assert len(lines) == sum(reply is not None for reply in before.values())
        found = [json.loads(text)["key"] for text in lines]
        hexadecimal = [name for name in found if name in KEYS]
        assert hexadecimal == sorted(hexadecimal)
        after = [(model.model, model.counted) for model in summarize(folder).models]
        assert [(name, counted.replies) for name, counted in after] == [(name, old.replies) for name, old in sums]
        compact(folder)
        assert contents(folder) == whole


@settings(max_examples=examples(60), deadline=None)
@given(FILES, st.randoms())
def test_an_export_is_the_same_from_many_files_and_from_one(files: list[Any], random: Any) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, target = Path(temporary) / "replies", Path(temporary) / "deep" / "out.jsonl"
        fill(folder, files)
        before = read(folder)
        if not any(before.values()):
            with pytest.raises(RecipeError, match="holds no replies"):
                export_replies(folder, target)
            assert not target.exists()
            return
        export_replies(folder, target)
        first = target.read_bytes()
        assert read(target) == before
        compact(folder)
        (folder / COMPACTED).write_bytes(
            b"".join(random.sample(lines := (folder / COMPACTED).read_bytes().splitlines(keepends=True), len(lines)))
        )
        export_replies(folder, target)
        assert target.read_bytes() == first


def test_a_compacted_ledger_differs_by_the_new_lines_alone(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"2026{number}.jsonl").write_bytes(line(number))
    compact(tmp_path)
    old = (tmp_path / COMPACTED).read_bytes().splitlines()
    (tmp_path / "2027.jsonl").write_bytes(line(99))
    compact(tmp_path)
    new = (tmp_path / COMPACTED).read_bytes().splitlines()
    assert [text for text in new if text in old] == old
    assert len(new) == 51


def test_more_files_than_a_process_may_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "_MAX_OPEN", 3)
    for number in range(40):
        (tmp_path / f"2026{number}.jsonl").write_bytes(line(number) + line(number + 1000))
    opened = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else None
    assert compact(tmp_path).replies == 80
    assert opened is None or len(list(Path("/proc/self/fd").iterdir())) == opened
    assert len(Ledger(tmp_path)) == 80


def test_lines_of_other_hands_are_kept_and_read(tmp_path: Path) -> None:
    texts = {
        "a": b'  {"later": {"field": 1},  "key": "%s", "model": "m", "text": "\\ud800"} \r\n' % key(1).encode(),
        "b": b"\xef\xbb\xbf" + line(2, text="with a mark"),
        "c": json.dumps({"key": key(3), "model": "m", "text": "wide"}).encode("utf-16"),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.jsonl").write_bytes(text)
    before = {number: Ledger(tmp_path).get(key(number)) for number in (1, 2, 3)}
    assert None not in before.values()
    compact(tmp_path)
    assert {number: Ledger(tmp_path).get(key(number)) for number in (1, 2, 3)} == before
    whole = (tmp_path / COMPACTED).read_bytes()
    assert texts["a"].strip() + b"\n" in whole
    assert line(2, text="with a mark") in whole
    assert b"\0" not in whole


def test_halves_that_a_killed_process_left_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "2026.jsonl").write_bytes(line(1))
    (tmp_path / f".{COMPACTED}.999999999").write_bytes(b"half")
    compact(tmp_path)
    assert list(contents(tmp_path)) == [COMPACTED]


def test_a_file_that_grew_without_a_lock_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, quiet = tmp_path / "20261.jsonl", tmp_path / "20262.jsonl"
    for number, file in enumerate((quick, quiet)):
        file.write_bytes(line(number))
    real = rewriting._write

    def meanwhile(*words: Any) -> None:
        real(*words)
        with quick.open("ab") as stream:
            stream.write(line(7))

    monkeypatch.setattr(rewriting, "_write", meanwhile)
    compact(tmp_path)
    assert sorted(contents(tmp_path)) == [COMPACTED, quick.name]
    assert Ledger(tmp_path).get(key(7)) is not None


# Mistakes and machines


@pytest.mark.parametrize(
    "deed",
    [
        compact,
        summarize,
        lambda folder: export_replies(folder, folder.parent / "out.jsonl"),
        lambda folder: find_named(folder, ["openai/a"], []),
        lambda folder: prune(folder, ["openai/a"], []),
    ],
)
@pytest.mark.parametrize(
    "bad", [b"{}\n", b"\xff\xfe\n", b'{"key": 1, "model": "m", "text": ""}\n', b"[" * 9000 + b"\n"]
)
def test_a_bad_line_is_named_and_nothing_changes(tmp_path: Path, deed: Callable[[Path], Any], bad: bytes) -> None:
    folder = tmp_path / "replies"
    folder.mkdir()
    (folder / "20261.jsonl").write_bytes(line(1))
    (folder / "20262.jsonl").write_bytes(line(1) + b"\n" + bad + line(2))
    before = contents(folder)
    with pytest.raises(StoreError, match=r"20262\.jsonl:3: not an entry of a ledger"):
        deed(folder)
    assert contents(folder) == before
    assert not (tmp_path / "out.jsonl").exists()


def test_without_locks_nothing_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "2026.jsonl").write_bytes(line(1))

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for deed in (compact, lambda folder: prune(folder, ["openai/a"], [])):
        with pytest.raises(StoreError, match="cannot be locked"):
            deed(tmp_path)
    assert contents(tmp_path) == {"2026.jsonl": line(1)}
    assert summarize(tmp_path).models[0].counted.replies == 1
    ledger = Ledger(tmp_path)
    ledger.add(key(2), Reply("5", "openai/a"))
    ledger.close()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "2026.jsonl").write_bytes(line(1))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device: .* no reply was lost"):
        compact(tmp_path)
    assert contents(tmp_path) == {"2026.jsonl": line(1)}


# Others at work


def test_a_ledger_that_is_open_reads_on_after_its_files_were_compacted(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"2026{number}.jsonl").write_bytes(line(number, text=f"t{number}"))
    reader = Ledger(tmp_path)
    assert reader.get(key(0)) == Reply("t0", "openai/a")
    compact(tmp_path)
    assert [reader.get(key(number)) for number in range(6)] == [Reply(f"t{n}", "openai/a") for n in range(6)]
    (tmp_path / "2027.jsonl").write_bytes(b"".join(line(number, text="n" * number) for number in range(10, 40)))
    late = Ledger(tmp_path)
    compact(tmp_path)
    assert [late.get(key(number)) for number in range(6)] == [Reply(f"t{n}", "openai/a") for n in range(6)]
    assert [late.get(key(number)) for number in range(10, 40)] == [Reply("n" * n, "openai/a") for n in range(10, 40)]
    assert late.get(key(99)) is None
    reader.close()
    late.close()


def test_what_a_ledger_writes_is_left_alone_until_it_is_closed(tmp_path: Path) -> None:
    (tmp_path / "2026.jsonl").write_bytes(line(1) + line(2))
    ledger = Ledger(tmp_path)
    ledger.add(key(3), Reply("5", "openai/a"))
    assert len(compact(tmp_path).written) == 1
    ledger.add(key(4), Reply("5", "openai/a"))
    assert ledger.get(key(1)) == ledger.get(key(2)) == Reply("4", "openai/a")
    assert ledger.get(key(3)) == ledger.get(key(4)) == Reply("5", "openai/a")
    ledger.flush()
    assert len(summarize(tmp_path).written) == 1
    ledger.close()
    assert compact(tmp_path).written == ()
    assert list(contents(tmp_path)) == [COMPACTED]
    assert len(Ledger(tmp_path)) == 4


def test_a_file_that_was_deleted_before_it_was_locked_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = []

    def late(descriptor: int) -> bool:
        if not deleted:
            deleted.extend(tmp_path.glob("*.jsonl"))
            deleted[0].unlink()
        return mark_written(descriptor)

    monkeypatch.setattr(ledgers, "mark_written", late)
    ledger = Ledger(tmp_path)
    ledger.add(key(1), Reply("5", "openai/a"))
    ledger.close()
    assert len(deleted) == 1
    assert len(Ledger(tmp_path)) == 1


def test_readers_hold_each_other_up_in_nothing(tmp_path: Path) -> None:
    with shared_lock(tmp_path), shared_lock(tmp_path):
        assert len(Ledger(tmp_path)) == 0
    with shared_lock(tmp_path / "not there"):
        assert summarize(tmp_path / "not there").files == ()
    assert compact(tmp_path / "not there").files == 0
    with pytest.raises(RecipeError, match="holds no replies"):
        prune(tmp_path / "not there", ["openai/a"], [])


def test_no_process_lists_or_adds_files_while_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "2026.jsonl").write_bytes(line(1))
    before = Ledger(tmp_path)
    with ThreadPoolExecutor(2) as others:
        with exclusive_lock(tmp_path):
            adding = others.submit(before.add, key(2), Reply("5", "openai/a"))
            listing = others.submit(Ledger, tmp_path)
            assert wait([adding, listing], timeout=0.2).done == set()
            (tmp_path / COMPACTED).write_bytes(line(1) + line(3))
            (tmp_path / "2026.jsonl").unlink()
        assert listing.result(timeout=60).get(key(3)) is not None
        adding.result(timeout=60)
    assert before.get(key(1)) is not None
    before.close()
    assert len(Ledger(tmp_path)) == 3


# prune


@settings(max_examples=examples(80), deadline=None)
@given(FILES, st.sets(st.sampled_from(MODELS)), st.sets(st.sampled_from(KEYS[:4])))
def test_pruning_deletes_what_is_named_alone(files: list[Any], models: set[str], keys: set[str]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "replies"
        fill(folder, files)
        lines = [line for file in files for line in file[0]]
        models &= {reply.model for _, reply in lines}
        keys &= {name for name, _ in lines}
        live = [folder / f"2026{number:04}.jsonl" for number, file in enumerate(files) if file[2]]
        before = contents(folder)
        with written(*live):
            if not models and not keys:
                with pytest.raises(RecipeError):
                    prune(folder, models, keys)
                assert contents(folder) == before
                return
            shown = find_named(folder, models, keys)
            assert contents(folder) == before
            assert prune(folder, models, keys, shown) == shown
        held = 0
        for number, (entries, end, is_live) in enumerate(files):
            name = f"2026{number:04}.jsonl"
            named = [index for index, (k, reply) in enumerate(entries) if reply.model in models or k in keys]
            if is_live:
                held += len(named)
            if is_live or not named:
                assert (folder / name).read_bytes() == before[name]
                continue
            left = b"".join(f"{entry(*e)}\n".encode() for i, e in enumerate(entries) if i not in named)
            tail = end.encode()[1:]
            if not end and len(entries) - 1 not in named:
                left = left[:-1]
            assert ((folder / name).read_bytes() if left + tail else b"") == left + tail
            assert (folder / name).exists() == bool(left + tail)
        total = sum(reply.model in models or k in keys for k, reply in lines)
        assert (shown.sums.replies, shown.held) == (total, held)


def test_pruning_says_what_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "2026.jsonl").write_bytes(line(1) + line(2, "openai/b"))
    with pytest.raises(RecipeError, match=r"name --model \(there are: openai/a, openai/b\) or --key"):
        prune(tmp_path, [], [])
    with pytest.raises(RecipeError, match="no reply of the model 'openai/c'; there are: openai/a, openai/b"):
        prune(tmp_path, ["openai/a", "openai/c"], [])
    with pytest.raises(RecipeError, match="no reply has the key 'abc'; nothing was deleted"):
        prune(tmp_path, ["openai/a"], ["abc"])
    assert contents(tmp_path) == {"2026.jsonl": line(1) + line(2, "openai/b")}


def test_pruning_deletes_no_more_than_was_shown(tmp_path: Path) -> None:
    (tmp_path / "2026.jsonl").write_bytes(line(1, cost_usd=0.5))
    shown = find_named(tmp_path, ["openai/a"], [])
    assert shown == Named(Totals(1, cost_usd=0.5), 0)
    (tmp_path / "2027.jsonl").write_bytes(line(2))
    with pytest.raises(StoreError, match="changed meanwhile; nothing was deleted"):
        prune(tmp_path, ["openai/a"], [], shown)
    assert len(contents(tmp_path)) == 2


def test_a_pruned_file_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "2026.jsonl"
    file.write_bytes(line(1) + line(2))
    file.chmod(0o640)
    prune(tmp_path, [], [key(1)])
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (line(2), 0o640)


# show and export


def test_a_survey_counts(tmp_path: Path) -> None:
    expensive = line(1, input_tokens=10, output_tokens=2, cost_usd=0.25)
    (tmp_path / "20261.jsonl").write_bytes(expensive + line(2, input_tokens=5) + b'{"key')
    (tmp_path / "20262.jsonl").write_bytes(expensive + line(3, "local/b"))
    found = summarize(tmp_path)
    a, b = found.models[1], found.models[0]
    assert (a.model, a.counted, a.duplicates) == ("openai/a", Totals(2, 15, 2, 0.25), Totals(1, 10, 2, 0.25))
    assert (a.first_file, a.last_file, a.bytes) == ("20261.jsonl", "20262.jsonl", 2 * len(expensive) + len(line(2, input_tokens=5)))  # fmt: skip
    assert (b.model, b.counted, b.duplicates) == ("local/b", Totals(1), Totals())
    assert (found.files, found.torn, found.written) == (("20261.jsonl", "20262.jsonl"), ("20261.jsonl",), ())
    assert found.bytes == sum(map(len, contents(tmp_path).values()))


def test_numbers_that_no_server_means_add_up_to_nothing(tmp_path: Path) -> None:
    texts = ["NaN", "Infinity", "1e999", "-1", "1" + "0" * 4000, "1" + "0" * 4000]
    (tmp_path / "2026.jsonl").write_text(
        "".join(f'{{"key": "k{n}", "model": "m", "text": "", "cost_usd": {text}}}\n' for n, text in enumerate(texts))
        + '{"key": "k", "model": "m", "text": "", "input_tokens": -3, "output_tokens": 1' + "0" * 4200 + "}\n"
    )  # fmt: skip
    assert summarize(tmp_path).models[0].counted == Totals(7)


def test_an_export_of_one_model_is_a_recording(tmp_path: Path) -> None:
    folder, target = tmp_path / "replies", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "2026.jsonl").write_bytes(line(2) + line(1) + line(3, "openai/b") + line(3, "openai/a"))
    assert export_replies(folder, target, ["openai/a"]).replies == 2
    assert sorted(target.read_bytes().splitlines(keepends=True)) == sorted([line(1), line(2)])
    recording = Recording(target)
    assert recording.get(key(2)) == Reply("4", "openai/a")
    recording.close()
    with pytest.raises(RecipeError, match="no reply of the model 'x'; there are: openai/a, openai/b"):
        export_replies(folder, target, ["x"])


def test_an_export_keeps_fields_that_this_version_does_not_know(tmp_path: Path) -> None:
    folder = tmp_path / "replies"
    folder.mkdir()
    (folder / "2026.jsonl").write_text(
        '{"z": 1, "model": "m",  "\\ud800": ["\\udfff"], "text": "4", "key": "k", "cost_usd": null, "asked": "n"}'
    )
    export_replies(folder, tmp_path / "out.jsonl")
    assert (
        tmp_path / "out.jsonl"
    ).read_text() == '{"key": "k", "model": "m", "text": "4", "asked": "n", "z": 1, "?": ["?"]}\n'


def test_an_export_overwrites_nothing_but_replies(tmp_path: Path) -> None:
    folder = tmp_path / "replies"
    folder.mkdir()
    (folder / "2026.jsonl").write_bytes(line(1))
    for text in ("version: 1", "version: 1\nname: a\n", "{}\n"):
        (tmp_path / "recipe.yaml").write_text(text)
        with pytest.raises(RecipeError, match="is not a file of replies; it was not changed"):
            export_replies(folder, tmp_path / "recipe.yaml")
        assert (tmp_path / "recipe.yaml").read_text() == text
    with pytest.raises(RecipeError, match="is a folder"):
        export_replies(folder, tmp_path)
    with pytest.raises(RecipeError, match="is in the ledger itself"):
        export_replies(folder, folder / "x.jsonl")
    (tmp_path / "empty").touch()
    assert export_replies(folder, tmp_path / "empty").replies == 1


def test_the_folder_of_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = tmp_path / ".alpaqual" / "replies"
    deep = tmp_path / "recipes" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (deep / "recipe.yaml").touch()
    monkeypatch.chdir(deep)
    for place in (None, deep, deep / "recipe.yaml", tmp_path, Path("recipe.yaml"), Path("..")):
        assert replies_folder(place).resolve() == ledger.resolve()
    own = deep / ".alpaqual" / "replies"
    own.mkdir(parents=True)
    assert replies_folder(deep) == own
    assert replies_folder(own) == own
    with pytest.raises(RecipeError, match="there is no such recipe or folder"):
        replies_folder(deep / "gone.yaml")
