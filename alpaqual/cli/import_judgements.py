"""`alpaqual import-judgements`: published logs of judges as recorded replies."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alpaqual.cli.options import json_option

if TYPE_CHECKING:
    from alpaqual.execution.importing_judgements import ImportedJudgements

_MOST = 20


@click.command("import-judgements")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write; by default the lines go to standard output."
)
@click.option("--models", nargs=2, metavar="A B", help="The two models, where the log does not say; a win is one of A.")
@click.option(
    "--first",
    multiple=True,
    metavar="MODEL",
    help="Who is first in the prompts of a file; once for each file, in their order.",
)
@click.option("--test-set", default="", help="Name of the test set, where the log does not say.")
@click.option("--judge", default="", help="Name of the judge, in place of the log's.")
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    help="The test set, a file or a name such as vicuna: items get its categories and skills.",
)
@json_option
def import_judgements(  # noqa: PLR0913 - one argument per option
    files: tuple[Path, ...],
    out: Path | None,
    models: tuple[str, str] | None,
    first: tuple[str, ...],
    test_set: str,
    judge: str,
    questions: Path | None,
    as_json: bool,
) -> int:
    """Write the judge replies of published logs as JSON Lines, for `evaluation: {replies: FILE}`.

    Known are: two files, one an order (AlpaGasus2-QLoRA); one record with both orders (Cherry_LLM); FastChat's reviews, pairs and
    single ratings; votes of people; alpaca_eval's annotations. Says what was found and what was left out, and why.
    """
    from alpaqual.disk import replace_file
    from alpaqual.evaluation.published_logs import ImportOptions
    from alpaqual.execution.importing_judgements import import_files

    found = import_files(files, ImportOptions(models or (), first, test_set, judge), questions)
    if out is None and not as_json:
        click.echo(found.text, nl=False)
    if out is not None:
        replace_file(out, found.text)
    if as_json:
        click.echo(json.dumps(_json(found), indent=1))
        return 0
    for line in _report(found, out):
        click.echo(line, err=out is None)
    return 0


def _report(found: ImportedJudgements, out: Path | None) -> list[str]:
    facts = _json(found)
    lines = [
        f"{_shown(name)}: {facts['files'][name]:,} records; {_shown(form)}" for name, form in facts["forms"].items()
    ]
    for pair in facts["pairs"][:_MOST]:
        orders = "rated one by one" if pair["single"] else f"{pair['both_orders']:,} in both orders"
        what = f"{_shown(pair['a'])} against {_shown(pair['b'])}, {_shown(pair['test_set'])}, judge {_shown(pair['judge'])}"
        lines.append(f"{what}: {pair['items']:,} items, {orders}")
    if (more := len(facts["pairs"]) - _MOST) > 0:
        lines.append(f"and {more:,} more pairs")
    lines.append(f"replies: {facts['replies']:,}; read as {', '.join(sorted(set(facts['kinds'].values())))}")
    if logged := facts["against_log"]:
        same, otherwise, unread = (logged.get(key, 0) for key in ("same", "otherwise", "unread"))
        lines.append(f"the log's own results: {same:,} read the same, {otherwise:,} otherwise, {unread:,} not readable")
    lines += [f"not readable: {count:,} ({_shown(reason)})" for reason, count in facts["unread"].items()]
    lines += [f"left out: {count:,} ({_shown(reason)})" for reason, count in facts["left_out"].items()]
    if found.questions is not None:
        lines.append(f"questions: {facts['joined']:,} items found, {facts['not_joined']:,} not")
    lines += [_shown(note) for note in facts["notes"]]
    if out is not None:
        orders = ", orders: one" if found.one_order else ""
        lines.append(
            f"{_shown(out)}: {len(found.found.lines):,} lines, for `evaluation: {{replies: {_shown(out)}{orders}}}`"
        )
    return lines


def _json(found: ImportedJudgements) -> dict[str, Any]:
    pairs: dict[tuple[str, ...], Counter[str]] = {}
    single: dict[tuple[str, ...], bool] = {}
    for each in found.recorded.judgements:
        key = (each.a, each.b, each.test_set, each.judge)
        single[key] = each.single
        both = "no reply" not in (each.a_first.reason, each.b_first.reason)
        pairs.setdefault(key, Counter()).update({"items": 1, "both_orders": int(both)})
    names = ("a", "b", "test_set", "judge")
    return {
        "files": found.found.records,
        "forms": found.found.forms,
        "pairs": [
            dict(zip(names, key, strict=True)) | counts | {"single": single[key]} for key, counts in pairs.items()
        ],
        "replies": found.recorded.replies,
        "kinds": dict(found.recorded.kinds),
        "against_log": dict(found.against_log()),
        "unread": dict(found.unread()),
        "left_out": dict(found.found.left_out),
        "joined": 0 if found.questions is None else len(found.questions.joined),
        "not_joined": 0 if found.questions is None else len(found.questions.missing),
        "notes": found.found.notes,
        "one_order": found.one_order,
    }


def _shown(text: object) -> str:
    from alpaqual.report.escape import shorten, visible

    return visible(shorten(str(text), 200))
