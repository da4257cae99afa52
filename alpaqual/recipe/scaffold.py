"""The files that `init` writes: recipe, rules, editor schemas and a pull-request workflow."""

from __future__ import annotations

import json
import shlex
from pathlib import PurePosixPath

from alpaqual.recipe.schema import json_schema

_RECIPE = """\
# yaml-language-server: $schema={up}.alpaqual/schema/recipe.json
version: 1
name: {name}
sources:
  - path: {source}        # texts or conversations: json, jsonl, csv, parquet or arrow; also .gz and .zst
    # fields: {{instruction: prompt, input: context, response: answer}}   # if the columns have other names
    # keep: [topic, licence]        # columns of the data that the datasets carry along
rules: [hygiene, project]
categories: [coding, math]
# graders:
#   accuracy:
#     column: accuracy_score                  # a score that the source already has
#     scale: {{min: 0, max: 5, step: 0.5}}
datasets:
  # quality:
  #   threshold: {{accuracy: 4.5}}              # keep score >= 4.5
  #   quotas:
  #     coding: {{min_keep_rate: overall}}      # keep as large a share of the code as of all rows
  # random: {{sample: {{like: quality}}, seed: 42}} # the size-matched control
  full: {{}}
expect:
  - {{dataset: full, rows: {{min: 1}}}}
"""

_RULES = """\
# yaml-language-server: $schema={up}../.alpaqual/schema/rules.json
# Rules of this project. Failing rows are counted and listed; `drop: true` also removes them.
- id: response_length
  description: Very short and very long responses are rarely useful for training.
  column: response
  check: {{str_length: {{min: 2, max: 20000}}}}
  warn: 0
  fail: 5%
"""

_WORKFLOW = """\
name: data
on:
  pull_request:
permissions:
  contents: read
  pull-requests: write
jobs:
  alpaqual:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "3.12"}}
      # Until alpaqual is on PyPI: pip install "git+https://github.com/alpaqual/alpaqual"
      - run: pip install alpaqual
      - name: Validate the data
        id: validate
        run: |
          code=0
          alpaqual run {recipe} --offline || code=$?
          if [ -f runs/{name}/report.md ]; then
            cat runs/{name}/report.md >> "$GITHUB_STEP_SUMMARY"
            alpaqual report runs/{name} --format github || true
          fi
          exit "$code"
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: alpaqual-report
          path: |
            runs/{name}/report.html
            runs/{name}/results.json
            runs/{name}/junit.xml
      # A pull request from a fork may not comment; its report is in the step summary.
      - name: Comment
        if: always() && github.event.pull_request.head.repo.full_name == github.repository
        env:
          GH_TOKEN: ${{{{ github.token }}}}
          PR: ${{{{ github.event.pull_request.number }}}}
        run: |
          report=runs/{name}/report.md
          [ -f "$report" ] || exit 0
          id=$(gh api "repos/$GITHUB_REPOSITORY/issues/$PR/comments" --paginate --jq '.[]
            | select(.user.login == "github-actions[bot]" and (.body | startswith("<!-- alpaqual:report {name} -->"))) | .id' | head -n 1)
          if [ -n "$id" ]; then
            gh api -X PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F body=@"$report" --silent
          else
            gh api "repos/$GITHUB_REPOSITORY/issues/$PR/comments" -F body=@"$report" --silent
          fi
"""


def scaffold(name: str, source: str, inside: PurePosixPath) -> dict[str, str]:
    """Return path -> text of every file of a new project, except the store's `.gitignore`.

    `source` is the path of the data, relative to the recipe; `inside` is the recipe's folder, relative to the project.
    """
    recipe, up = str(inside / "recipe.yaml"), "../" * len(inside.parts)
    return {
        recipe: _RECIPE.format(name=name, source=json.dumps(source, ensure_ascii=False), up=up),
        str(inside / "rules/project.yaml"): _RULES.format(up=up),
        ".github/workflows/alpaqual.yml": _WORKFLOW.format(name=name, recipe=shlex.quote(recipe)),
        # merge=union: branches that both add replies merge without a conflict; `replies compact` sorts them.
        ".alpaqual/.gitattributes": "replies/*.jsonl text eol=lf merge=union\n",
        ".alpaqual/schema/recipe.json": json.dumps(json_schema("recipe"), indent=1, ensure_ascii=False) + "\n",
        ".alpaqual/schema/rules.json": json.dumps(json_schema("rules"), indent=1, ensure_ascii=False) + "\n",
        ".alpaqual/schema/category.json": json.dumps(json_schema("category"), indent=1, ensure_ascii=False) + "\n",
    }
