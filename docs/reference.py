"""Writes the reference pages and the schemas from the code: `python docs/reference.py`, or `--check` that they are fresh."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from alpaqual import errors
from alpaqual.cli.main import cli
from alpaqual.recipe.expression import FUNCTIONS
from alpaqual.recipe.schema import KINDS, json_schema
from alpaqual.report.schema import results_schema

DOCS = Path(__file__).parent
MADE = "<!-- Made by docs/reference.py from the code: do not edit. -->"


def main() -> int:
    """Write every page, or say which is not fresh."""
    check = "--check" in sys.argv[1:]
    stale = []
    for path, text in pages().items():
        target = DOCS / path
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"not fresh: {', '.join(stale)}; run: python docs/reference.py")  # noqa: T201 - a script
        return 1
    return 0


def pages() -> dict[str, str]:
    """Path -> text of every page that is made from the code."""
    made = {f"schema/{kind}.json": _json(json_schema(kind)) for kind in KINDS}
    made["schema/results.json"] = _json(results_schema())
    made["recipe.md"] = recipe_page()
    made["cli.md"] = cli_page()
    made["errors.md"] = f"# Errors and exit codes\n\n{MADE}\n\n```\n{(errors.__doc__ or '').strip()}\n```\n"
    return made


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def recipe_page() -> str:
    """Every word of a recipe, a rule and a category."""
    definitions = json_schema("recipe")["definitions"]
    order = [
        "RecipeText",
        "Source",
        "Fields",
        "Rule",
        "Check",
        "Length",
        "Range",
        "Duplicates",
        "Category",
        "Grader",
        "Scale",
        "Price",
        "Example",
        "Cascade",
        "Health",
        "ShareLimits",
        "HighLimits",
        "Repeats",
        "Golden",
        "Agreement",
        "LowLimits",
    ]
    order += ["Dataset", "Quota", "Like", "Expectation", "Bounds"]
    order += ["Training", "RandomModel", "Lora", "Checkpoints", "Launch", "Slurm", "Kubernetes"]
    order += ["Engine", "ReportSettings"]
    missing = set(definitions) - set(order)
    if missing:
        raise SystemExit(f"docs/reference.py does not know where these stand on the page: {', '.join(sorted(missing))}")
    parts = [f"# The recipe\n\n{MADE}\n"]
    for name in order:
        parts.append(
            f"## {_title(name)}\n\n{definitions[name]['description']}\n\n" + "\n".join(_rows(definitions[name])) + "\n"
        )
    parts.append(
        "## Expressions\n\nA `where:` holds columns, literals, operators and these functions: "
        + ", ".join(f"`{f}`" for f in FUNCTIONS)
        + ".\n"
    )
    return "\n".join(parts)


def _title(name: str) -> str:
    return {"RecipeText": "Recipe", "ReportSettings": "Report"}.get(name, name)


def _rows(definition: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | value | what it means |"
    yield "|---|---|---|"
    for key, schema in definition["properties"].items():
        required = " (required)" if key in definition.get("required", ()) else ""
        default = schema.get("default")
        shown = f" Default: `{json.dumps(default, ensure_ascii=False)}`." if default not in (None, "", [], {}) else ""
        yield f"| `{key}`{required} | {_kind(schema)} | {schema.get('description', '')}{shown} |"


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = _title(schema["$ref"].rpartition("/")[2])
        return f"[{name}](#{name.lower()})"
    for union in ("anyOf", "allOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_kind(option) for option in schema[union] if option != {"type": "null"}))
    if "enum" in schema:
        return " or ".join(f"`{option}`" for option in schema["enum"])
    return _plain_kind(schema)


def _plain_kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"mapping to {_kind(inner)}" if isinstance(inner, Mapping) and inner else "mapping"
    if kind == "string":
        return "percentage" if "%" in schema.get("pattern", "") else "text"
    return {"integer": "whole number", "number": "number", "boolean": "true or false"}.get(str(kind), "anything")


def cli_page() -> str:
    """The help of every command."""
    parts = [f"# The command line\n\n{MADE}\n", _help(cli, "alpaqual")]
    for name, command in sorted(cli.commands.items()):
        parts.append(f"## {name}\n\n{_help(command, f'alpaqual {name}')}")
        inner = command.commands if isinstance(command, click.Group) else {}
        parts += [_help(one, f"alpaqual {name} {word}") for word, one in sorted(inner.items())]
    return "\n".join(parts)


def _help(command: click.Command, name: str) -> str:
    # As under the group: click keeps the help option that a command was first asked with, whoever asked.
    context = click.Context(command, info_name=name, terminal_width=100, **cli.context_settings)
    return f"```\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
