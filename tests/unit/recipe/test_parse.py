"""Text -> Recipe: every mistake is a problem at its place, all of them at once, and nothing else is ever raised."""

import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.errors import RecipeError
from alpaqual.patterns import pattern_problem
from alpaqual.recipe.expression import FUNCTIONS
from alpaqual.recipe.parse import parse_recipe, read_recipe, read_rules
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.yaml_nodes import read_document, resolve_scalar

BASE = """\
version: 1
name: base
sources:
  - path: a.jsonl
graders:
  accuracy:
    column: s
    scale: {min: 0, max: 5, step: 0.5}
datasets:
  quality:
    threshold: {accuracy: 4.5}
  full: {}
"""
THRESHOLD = "    threshold: {accuracy: 4.5}"
ALLOWED = f"columns, literals, operators and these functions are: {', '.join(FUNCTIONS)}"
NAMES = "a name is made of letters, digits, '_', '.' and '-', and starts with a letter or digit"
RECIPE_KEYS = (
    "version, name, title, sources, rules, categories, graders, datasets, expect, training, evaluation, engine, report"
)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()


def problems(text, *sets, file="recipe.yaml"):
    try:
        parse_recipe(text, file, sets)
    except RecipeError as error:
        assert str(error) == "\n".join(map(str, error.problems))
        return [str(problem) for problem in error.problems]
    return []


def changed(old, new):
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


def quota(text):
    return (
        changed(THRESHOLD, f"{THRESHOLD}\n    quotas:\n      coding: {text}")
        + "categories:\n  - {category: coding, keywords: [a]}\n"
    )


def rule(text):
    return BASE + "rules:\n  - " + text + "\n"


def category(text):
    return BASE + "categories:\n  - " + text + "\n"


def expect(text):
    return BASE + "expect:\n  - " + text + "\n"


def where(expression):
    return BASE + f"rules:\n  - id: r\n    where: {expression}\n"


def test_the_base_of_the_tables_is_good():
    assert problems(BASE) == []
    assert problems(quota("{min_rows: 1}")) == []


KEYS_AND_TYPES = {
    "unknown key": (changed("threshold:", "treshold:"), "11:5: unknown key 'treshold', did you mean 'threshold'?"),
    "unknown key, nothing near": (
        changed("threshold:", "zzz:"),
        "11:5: unknown key 'zzz'; known keys: threshold, quotas, from, sample, seed, strict, format, file, split, push_to_hub",
    ),
    "duplicate key": (BASE + "  full: {}\n", "13:3: duplicate key 'full' (first on line 12)"),
    "duplicate top key": (BASE + "name: other\n", "13:1: duplicate key 'name' (first on line 2)"),
    "missing key": (changed("name: base\n", ""), "1:1: the key 'name' is missing"),
    "missing key of a part": (
        changed("path: a.jsonl", "name: a"),
        "4:5: the key 'path' is missing",
    ),
    "another version": (changed("version: 1", "version: 2"), "1:10: 'version' is '2': it must be 1"),
    "version as a text": (
        changed("version: 1", 'version: "1"'),
        "1:10: 'version' is the text '1': write the number, without quotes",
    ),
    "version as true": (changed("version: 1", "version: true"), "1:10: 'version' is 'true': it must be 1"),
    "version as a fraction": (
        changed("version: 1", "version: 1.0"),
        "1:10: 'version' is '1.0': it must be 1",
    ),
    "name is a list": (changed("name: base", "name: [a]"), "2:7: 'name' must be a text, not a list"),
    "name is a number": (changed("name: base", "name: 12"), "2:7: 'name' must be a text, not '12'"),
    "name is nothing": (changed("name: base", "name:"), "2:6: 'name' must be a text, not nothing"),
    "name is a path": (changed("name: base", "name: ../../x"), f"2:7: 'name' is '../../x': {NAMES}"),
    "name with a line break": (changed("name: base", 'name: "base\\n"'), f"2:7: 'name' is 'base\n': {NAMES}"),
    "name too long": (
        changed("name: base", "name: " + "a" * 81),
        "2:7: 'name' has 81 characters: it may have 80 at most",
    ),
    "dataset's name": (changed("full: {}", "a b: {}"), f"12:3: 'a b': {NAMES}"),
    "no datasets": (
        changed("  quality:\n    threshold: {accuracy: 4.5}\n  full: {}", "  {}"),
        "10:3: 'datasets' is empty: it needs at least 1",
    ),
    "no sources": (changed("  - path: a.jsonl", "  []"), "4:3: 'sources' is empty: it needs at least 1"),
    "sources are nothing": (changed("  - path: a.jsonl\n", ""), "3:9: 'sources' must be a list, not nothing"),
    "a source is a text": (
        changed("- path: a.jsonl", "- a.jsonl"),
        "4:5: this must be a mapping (keys and values), not 'a.jsonl'",
    ),
    "a dataset is nothing": (
        changed("full: {}", "full:"),
        "12:8: 'full' must be a mapping (keys and values), not nothing",
    ),
    "layout": (
        changed("path: a.jsonl", "{path: a.jsonl, fields: alpca}"),
        "4:29: 'fields' is 'alpca': it must be one of alpaca, dolly, gpt4llm, history, messages, prompt_completion, sharegpt "
        "or a mapping (keys and values), did you mean 'alpaca'?",
    ),
    "format": (
        changed("path: a.jsonl", "{path: a.jsonl, format: jsnl}"),
        "4:29: there is no source format 'jsnl', did you mean 'jsonl'?",
    ),
    "sample is a fraction": (
        changed("full: {}", "full: {sample: 3.0}"),
        "12:18: 'sample' is '3.0': it must be a whole number or a mapping (keys and values)",
    ),
    "sample is zero": (changed("full: {}", "full: {sample: 0}"), "12:18: 'sample' is 0: it must be 1 or more"),
    "seed is a fraction": (
        changed("full: {}", "full: {seed: 1.0}"),
        "12:16: 'seed' must be a whole number, not '1.0'",
    ),
    "seed is a word": (changed("full: {}", "full: {seed: x}"), "12:16: 'seed' must be a whole number, not 'x'"),
    "a word for true": (changed("full: {}", "full: {strict: yes}"), "12:18: 'strict' must be true or false, not 'yes'"),
    "threshold is a word": (
        changed("accuracy: 4.5}", "accuracy: high}"),
        "11:27: 'accuracy' must be a number, not 'high'",
    ),
    "threshold is true": (
        changed("accuracy: 4.5}", "accuracy: true}"),
        "11:27: 'accuracy' must be a number, not 'true'",
    ),
    "threshold without an end": (
        changed("accuracy: 4.5}", "accuracy: .inf}"),
        "11:27: 'accuracy' must be a number, not '.inf'",
    ),
    "memory": (BASE + "engine: {memory: 4 TB}\n", "13:18: 'memory' is '4 TB': write a size such as 4GB"),
    "threads": (BASE + "engine: {threads: 0}\n", "13:19: 'threads' is 0: it must be 1 or more"),
    "examples": (BASE + "report: {examples: 9}\n", "13:20: 'examples' is 9: it must be 5 or less"),
    "training is a number": (
        BASE + "training: 5\n",
        "13:11: 'training' must be a mapping (keys and values), not '5'",
    ),
}

NUMBERS_AND_NAMES = {
    "threshold off the scale": (
        changed("accuracy: 4.5}", "accuracy: 6}"),
        "11:27: the threshold 6 is off the scale 0 to 5 of the grader 'accuracy'",
    ),
    "threshold off the step": (
        changed("accuracy: 4.5}", "accuracy: 4.3}"),
        "11:27: the threshold 4.3 is no step of the scale 0 to 5 by 0.5 of the grader 'accuracy'",
    ),
    "scale upside down": (
        changed("scale: {min: 0, max: 5, step: 0.5}", "scale: {min: 5, max: 5}").replace("4.5}", "5}"),
        "8:12: the scale's 'min' must be below its 'max'",
    ),
    "scale's steps": (
        changed("step: 0.5", "step: 0.3").replace("4.5}", "4.5}"),
        "8:35: steps of 0.3 from 0 do not reach 5",
    ),
    "step of nothing": (changed("step: 0.5", "step: 0"), "8:35: 'step' is 0: it must be more than 0"),
    "grader without scores": (
        changed("column: s", "dimension: accuracy"),
        "7:5: a grader needs one of model, column, table and of, not none",
    ),
    "grader with two": (
        changed("column: s", "column: s\n    table: t.csv"),
        "7:5: a grader needs one of model, column, table and of, not column and table",
    ),
    "provider": (changed("column: s", "model: opnai/gpt-4"), "7:12: no provider 'opnai', did you mean 'openai'?"),
    "model without provider": (
        changed("column: s", "model: gpt-4"),
        "7:12: 'model' is 'gpt-4': write provider/name, such as openai/gpt-4o-mini or recorded/replies.jsonl",
    ),
    "prompt": (
        changed("column: s", "model: openai/gpt-4\n    prompt: nope.txt"),
        "8:13: prompt file nope.txt cannot be read: No such file or directory",
    ),
    "prompt that no file can be": (
        changed("column: s", 'model: openai/gpt-4\n    prompt: "a\\0b"'),
        "8:13: prompt file a\x00b cannot be read: not a valid file name",
    ),
    "grader of a threshold": (
        changed("threshold: {accuracy", "threshold: {acuracy"),
        "11:17: nothing defines the grader 'acuracy', did you mean 'accuracy'?",
    ),
    "dataset to start from": (
        changed("full: {}", "full: {from: qualty}"),
        "12:16: nothing defines the dataset 'qualty', did you mean 'quality'?",
    ),
    "dataset of the same size": (
        changed("full: {}", "full: {sample: {like: zzz}}"),
        "12:25: nothing defines the dataset 'zzz'; there are: quality, full",
    ),
    "cycle of one": (changed("full: {}", "full: {from: full}"), "12:3: dataset 'full' starts from itself"),
    "cycle of from and like": (
        changed("full: {}", "a: {from: b}\n  b: {sample: {like: a}}"),
        "12:3: dataset 'a' starts from itself",
    ),
    "cycle of three": (
        changed("full: {}", "z: {from: a}\n  a: {from: b}\n  b: {from: c}\n  c: {from: a}"),
        "13:3: dataset 'a' starts from itself",
    ),
    "category of a quota": (
        quota("{min_rows: 1}").replace("category: coding", "category: codng"),
        "13:7: nothing defines the category 'coding', did you mean 'codng'?",
    ),
    "category where there are none": (
        changed(THRESHOLD, f"{THRESHOLD}\n    quotas:\n      coding: {{min_rows: 1}}"),
        "13:7: nothing defines the category 'coding'; the recipe has no categories (for the values of a column: 'categories: [{column: COLUMN}]')",
    ),
    "quota of nothing": (
        quota("{floor: 4}"),
        "13:15: the quota asks for nothing: name min_keep_rate, min_rows, min_share, max_rows or max_share",
    ),
    "quota as a percentage": (
        quota("{min_keep_rate: 50%}"),
        "13:31: 'min_keep_rate' is '50%': it must be a number or overall",
    ),
    "quota's word": (
        quota("{min_keep_rate: overal}"),
        "13:31: 'min_keep_rate' is 'overal': it must be a number or overall, did you mean 'overall'?",
    ),
    "quota above all": (quota("{min_keep_rate: 1.5}"), "13:31: 'min_keep_rate' is 1.5: it must be 1 or less"),
    "share of all": (quota("{min_share: 1}"), "13:27: 'min_share' is 1: it must be less than 1"),
    "quotas that cross": (quota("{min_rows: 3, max_rows: 2}"), "13:26: min_rows is above max_rows"),
    "floor above the threshold": (
        quota("{min_rows: 1, floor: 5}"),
        "13:36: the floor 5 is above the threshold 4.5",
    ),
    "floor off the step": (
        quota("{min_rows: 1, floor: 4.2}"),
        "13:36: the floor 4.2 is no step of the scale 0 to 5 by 0.5 of the grader 'accuracy'",
    ),
    "floor of another grader": (
        quota("{min_rows: 1, floor: {helpful: 1}}"),
        "13:46: nothing defines the threshold 'helpful'; there are: accuracy",
    ),
    "floor without a threshold": (
        quota("{min_rows: 1, floor: 1}").replace(THRESHOLD, "    seed: 1"),
        "13:36: a floor needs a threshold: without one no row has a score here",
    ),
    "same source twice": (
        changed("- path: a.jsonl", "- {path: a, name: x}\n  - {path: b, name: x}"),
        "5:21: there is a source 'x' already",
    ),
    "source called as another by position": (
        changed("- path: a.jsonl", "- {path: a, name: source2}\n  - {path: b}"),
        "5:5: there is a source 'source2' already",
    ),
    "fields of half a row": (
        changed("path: a.jsonl", "{path: a, fields: {instruction: q}}"),
        "4:23: name the columns of 'instruction' and 'response' (and 'input'), or of 'messages'",
    ),
    "fields of two kinds": (
        changed("path: a.jsonl", "{path: a, fields: {messages: m, input: q}}"),
        "4:23: 'messages' holds the whole row: leave input out",
    ),
    "dataset to train": (
        BASE + "training: {base_model: a/b, datasets: [quality, ful]}\n",
        "13:49: nothing defines the dataset 'ful', did you mean 'full'?",
    ),
    "dataset to train twice": (
        BASE + "training: {base_model: a/b, datasets: [quality, quality]}\n",
        "13:49: the dataset 'quality' is named twice",
    ),
    "dataset held out and trained on": (
        BASE + "training: {base_model: a/b, datasets: [quality], held_out: quality}\n",
        "13:60: the dataset 'quality' is trained on: hold another one out",
    ),
    "dataset held out that nothing defines": (
        BASE + "training: {base_model: a/b, datasets: [quality], held_out: ful}\n",
        "13:60: nothing defines the dataset 'ful', did you mean 'full'?",
    ),
    "unknown trainer": (
        BASE + "training: {base_model: a/b, datasets: [quality], trainer: fsdp_jobs}\n",
        "13:59: there is no trainer 'fsdp_jobs', did you mean 'fsdp_job'?",
    ),
    "trainer that a run cannot start": (
        BASE + "training: {base_model: a/b, datasets: [quality], trainer: trl}\n",
        "13:59: run cannot start trl: name it in 'exports', and leave 'trainer' out",
    ),
    "unknown export": (
        BASE + "training: {base_model: a/b, datasets: [quality], exports: [trl, axolot]}\n",
        "13:65: there is no trainer 'axolot', did you mean 'axolotl'?",
    ),
    "replicas of different sizes": (
        BASE + "training: {base_model: a/b, datasets: [quality], launch: {processes: 4, replicas: 3}}\n",
        "13:83: 4 processes cannot be split into 3 replicas of the same size",
    ),
    "adapters that are not trained": (
        BASE + "training: {base_model: a/b, datasets: [quality], lora: {rank: 8}}\n",
        "13:56: adapters are trained with method: lora or qlora; with method: full they have no effect",
    ),
    "training without a model": (
        BASE + "training: {datasets: [quality]}\n",
        "13:11: the key 'base_model' is missing",
    ),
    "misspelt word of training": (
        BASE + "training: {base_model: a/b, datasets: [quality], epoch: 3}\n",
        "13:50: unknown key 'epoch', did you mean 'epochs'?",
    ),
    "dataset to compare": (
        BASE
        + "evaluation: {test_sets: [vicuna], judge: {model: openai/m}, models: {good: {model: openai/m}}, pairs: [[good, god]]}\n",
        "13:111: nothing defines the model 'god', a dataset of training.datasets or one of evaluation.models, did you mean 'good'?",
    ),
    "pair of recorded replies in both orders": (
        BASE + "evaluation: {replies: log.jsonl, pairs: [[a, b], [b, a]]}\n",
        "13:50: the pair b, a is named twice",
    ),
}

RULES_AND_CATEGORIES = {
    "file of rules": (
        rule("hygeine"),
        "14:5: no rules file 'hygeine' in rules/ next to or above the recipe, or shipped with alpaqual, did you mean 'hygiene'?",
    ),
    "rule without a column": (
        rule("{id: r, check: {str_length: {min: 1}}}"),
        "14:5: rule 'r' checks 'str_length': name its 'column', or 'turns'",
    ),
    "rule with a column too many": (
        rule("{id: r, column: response, check: no_duplicates}"),
        "14:21: 'no_duplicates' compares whole rows: leave 'column' out",
    ),
    "two checks": (
        rule("{id: r, column: response, check: {unique: true, not_nullable: true}}"),
        "14:38: rule 'r' has 2 checks: write one rule for each",
    ),
    "no check": (rule("{id: r}"), "14:5: rule 'r' needs one of 'check' and 'where'"),
    "empty check": (
        rule("{id: r, column: response, check: {}}"),
        "14:5: rule 'r' needs one of 'check' and 'where'",
    ),
    "a check that is off": (
        rule("{id: r, column: response, check: {unique: false}}"),
        "14:5: rule 'r' needs one of 'check' and 'where'",
    ),
    "check and where": (
        rule("{id: r, column: response, check: unique, where: a > 1}"),
        "14:5: rule 'r' needs one of 'check' and 'where'",
    ),
    "misspelled check": (
        rule("{id: r, column: response, check: {str_lenght: {min: 1}}}"),
        "14:39: unknown key 'str_lenght', did you mean 'str_length'?",
    ),
    "misspelled check as a word": (
        rule("{id: r, column: response, check: not_nulable}"),
        "14:38: 'check' is 'not_nulable': it must be one of no_conflicts, no_duplicates, not_nullable, unique "
        "or a mapping (keys and values), did you mean 'not_nullable'?",
    ),
    "length upside down": (
        rule("{id: r, column: response, check: {str_length: {min: 5, max: 3}}}"),
        "14:51: 'str_length' has a 'min' above its 'max'",
    ),
    "length of nothing": (
        rule("{id: r, column: response, check: {str_length: {}}}"),
        "14:51: 'str_length' needs 'min', 'max' or both",
    ),
    "no values": (
        rule("{id: r, column: response, check: {isin: []}}"),
        "14:45: 'isin' is empty: it needs at least 1",
    ),
    "limit with a space": (
        rule("{id: r, column: response, check: unique, warn: 5 %}"),
        "14:52: 'warn' is '5 %': write a number or a percentage such as 5%, 100% at most",
    ),
    "limit as a fraction": (
        rule("{id: r, column: response, check: unique, fail: 0.05}"),
        "14:52: 'fail' is '0.05': it must be a whole number or a percentage such as 5%",
    ),
    "limit below nothing": (
        rule("{id: r, column: response, check: unique, warn: -1}"),
        "14:52: 'warn' is -1: it must be 0 or more",
    ),
    "limit above all": (
        rule("{id: r, column: response, check: unique, warn: 101%}"),
        "14:52: 'warn' is '101%': write a number or a percentage such as 5%, 100% at most",
    ),
    "same rule twice": (
        rule("{id: r, column: response, check: unique}\n  - {id: r, column: input, check: unique}"),
        "15:10: duplicate rule 'r', first defined at recipe.yaml:14",
    ),
    "broken pattern": (
        rule("{id: r, column: response, check: {str_matches: '(a'}}"),
        "14:52: not a regular expression: missing ), unterminated subpattern",
    ),
    "look-ahead": (
        rule("{id: r, column: response, check: {not_matches: 'a(?!b)'}}"),
        "14:52: '(?!': RE2 has no look-around, no conditions and no back-references",
    ),
    "look-behind": (
        category("{category: c, pattern: '(?<=a)b'}"),
        "14:28: '(?<=': RE2 has no look-around, no conditions and no back-references",
    ),
    "back-reference": (
        rule("{id: r, column: response, check: {str_contains: '(a)\\1'}}"),
        "14:53: '\\1': RE2 has no back-references",
    ),
    "possessive": (
        rule("{id: r, column: response, check: {str_contains: 'a++'}}"),
        "14:53: '++': RE2 has no possessive or repeated repetition",
    ),
    "too many repeats": (
        rule("{id: r, column: response, check: {str_contains: 'a{1001}'}}"),
        "14:53: '{1001}': RE2 repeats at most 1,000 times",
    ),
    "category of no kind": (
        category("{category: c}"),
        "14:5: a category needs one of keywords, pattern, column and where, not none",
    ),
    "category of two kinds": (
        category("{category: c, keywords: [a], pattern: b}"),
        "14:5: a category needs one of keywords, pattern, column and where, not keywords and pattern",
    ),
    "category without a name": (
        category("{keywords: [a]}"),
        "14:5: the key 'category' is missing: the category's name",
    ),
    "category with a name too many": (
        category("{category: c, column: topic}"),
        "14:16: each value of the column becomes a category of its own: leave 'category' out, or name 'values'",
    ),
    "values of nothing": (
        category("{category: c, keywords: [a], values: [x]}"),
        "14:42: 'values' needs a 'column'",
    ),
    "over of nothing": (
        category("{category: c, where: a > 1, over: [response]}"),
        "14:39: 'over' goes with keywords or pattern",
    ),
    "over of another column": (
        category("{category: c, keywords: [a], over: [respons]}"),
        "14:41: this is 'respons': it must be one of input, instruction, response, did you mean 'response'?",
    ),
    "same category twice": (
        category("{category: c, keywords: [a]}\n  - {category: c, keywords: [b]}"),
        "15:16: duplicate category 'c', first defined at recipe.yaml:14",
    ),
    "keyword of nothing": (category("{category: c, keywords: [a, ~]}"), "14:33: this must be a text, not nothing"),
    "keyword that is a number": (category("{category: c, keywords: [1]}"), "14:30: this must be a text, not '1'"),
    "too many keywords": (
        category("{category: c, keywords: [" + ", ".join(f"k{i}" for i in range(63)) + "]}"),
        "14:29: 'keywords' has 63 entries: it may have 62 at most",
    ),
    "file of categories": (
        category("codng"),
        "14:5: no categories file 'codng' in rules/categories/ next to or above the recipe, or shipped with alpaqual, "
        "did you mean 'coding'?",
    ),
}

EXPECTATIONS = {
    "of a dataset": (
        expect("{dataset: qualty, rows: {min: 1}}"),
        "14:15: nothing defines the dataset 'qualty', did you mean 'quality'?",
    ),
    "of a grader": (
        expect("{grader: acc, unscored: {max: 1%}}"),
        "14:14: nothing defines the grader 'acc'; there are: accuracy",
    ),
    "of a rule": (
        expect("{rule: r, failing_rows: {max: 1}}"),
        "14:12: nothing defines the rule 'r'; the recipe has no rules",
    ),
    "of a category": (
        expect("{category: c, rows: {max: 1}}"),
        "14:16: nothing defines the category 'c'; the recipe has no categories (for the values of a column: 'categories: [{column: COLUMN}]')",
    ),
    "of another number": (
        expect("{dataset: quality, unscored: {min: 1}}"),
        "14:34: 'unscored' is no number of dataset; there: rows, keep_rate",
    ),
    "of no number": (
        expect("{dataset: quality}"),
        "14:5: the expectation names no number to meet: rows, keep_rate",
    ),
    "of two subjects": (
        expect("{dataset: quality, grader: accuracy, rows: {min: 1}}"),
        "14:5: an expectation is about a dataset, a category (of a dataset), a grader, a rule, or the sources",
    ),
    "without bounds": (expect("{dataset: quality, rows: {}}"), "14:30: 'rows' needs 'min', 'max' or both"),
    "with a number as bounds": (
        expect("{dataset: quality, rows: 5}"),
        "14:30: 'rows' must be a mapping (keys and values), not '5'",
    ),
    "with bounds that cross": (
        expect("{dataset: quality, rows: {min: 5, max: 3}}"),
        "14:30: 'rows' has a 'min' above its 'max'",
    ),
    "with percentages that cross": (
        expect("{dataset: quality, rows: {min: 50%, max: 9%}}"),
        "14:30: 'rows' has a 'min' above its 'max'",
    ),
    "with a space in the percentage": (
        expect("{dataset: quality, rows: {max: 5 %}}"),
        "14:36: 'max' is '5 %': write a number or a percentage such as 5%, 100% at most",
    ),
}

TEXTS = {
    "empty": ("", "1:1: the file is empty"),
    "comments alone": ("# nothing\n", "1:1: the file is empty"),
    "a list": ("- a\n", "1:1: this must be a mapping (keys and values), not a list"),
    "a word": ("hello", "1:1: this must be a mapping (keys and values), not 'hello'"),
    "tabs": (
        changed("  quality:", "\tquality:"),
        "10:1: not YAML: found character that cannot start any token: a tab; indent with spaces",
    ),
    "an expression that begins with a quote": (
        BASE + "rules:\n  - {id: r, where: 'a' = lang}\n",
        "14:24: not YAML: did not find expected ',' or '}': put the whole expression in double quotes, as in "
        "where: \"lang = 'en'\"",
    ),
    "an expression with a colon": (
        BASE + "rules:\n  - id: r\n    where: response like 'a: b'\n",
        "15:28: not YAML: mapping values are not allowed in this context: put the whole expression in double quotes, as in "
        "where: \"lang = 'en'\"",
    ),
    "a bar as it is": (
        changed("path: a.jsonl", "{path: a.csv, delimiter: |}"),
        "4:30: not YAML: found character that cannot start any token: put '|' in quotes",
    ),
    "a delimiter in words": (
        changed("path: a.jsonl", "{path: a.csv, delimiter: pipe}"),
        "4:30: 'delimiter' is 'pipe': write one character, in quotes: '|', ';', or \"\\t\" for a tab",
    ),
    "an id beside the path": (
        changed("path: a.jsonl", "{path: a.csv, id: key}"),
        "4:19: unknown key 'id': write it under 'fields': fields: {id: key}",
    ),
    "open bracket": (
        changed("{accuracy: 4.5}", "{accuracy: 4.5"),
        "12:7: not YAML: did not find expected ',' or '}'",
    ),
    "two documents": (BASE + "---\nname: x\n", "13:1: not YAML: but found another document"),
    "merge conflict": (
        changed(THRESHOLD, f"<<<<<<< HEAD\n{THRESHOLD}\n=======\n    threshold: {{accuracy: 4}}\n>>>>>>> branch"),
        "11:1: not YAML: an unresolved merge conflict",
    ),
    "merge conflict in the first line": (
        "<<<<<<< HEAD\nversion: 1\n=======\nversion: 2\n>>>>>>> branch\n",
        "1:1: not YAML: an unresolved merge conflict",
    ),
    "object": (
        changed("name: base", "name: !!python/object:os.system x"),
        "2:7: tags such as !!python/object:os.system are not supported: write a plain value",
    ),
    "object of a mapping": (
        changed("full: {}", "full: !!python/dict {}"),
        "12:9: tags such as !!python/dict are not supported: write a plain value",
    ),
    "own tag": (
        changed("name: base", "name: !env HOME"),
        "2:7: tags such as !env are not supported: write a plain value",
    ),
    "own tag of a list": (
        changed("sources:\n", "sources: !env\n"),
        "3:10: tags such as !env are not supported: write a plain value",
    ),
    "own tag of a key": (
        changed("full: {}", "!x full: {}"),
        "12:3: tags such as !x are not supported: write a plain value",
    ),
    "binary": (
        changed("name: base", "name: !!binary aGk="),
        "2:7: tags such as !!binary are not supported: write a plain value",
    ),
    "merge key": (
        changed("full: {}", "full: {<<: {seed: 1}}"),
        "12:10: merge keys (<<) are not supported: write the keys out",
    ),
    "key of a list": (BASE + "? [a, b]\n: c\n", "13:3: a key must be a string"),
    "undefined alias": (changed("full: {}", "full: *t"), "12:9: not YAML: found undefined alias"),
    "alias that contains itself": (
        changed("full: {}", "full: &t {threshold: *t}"),
        "12:9: an alias that contains itself",
    ),
    "control character": (
        BASE + "title: a\x07b\n",
        "13:9: not YAML: the character U+0007 is not allowed in a text file",
    ),
    "null character": (BASE + "title: a\x00b\n", "13:9: not YAML: the character U+0000 is not allowed in a text file"),
    "half a character": (
        BASE + "title: a\ud800b\n",
        "13:9: not YAML: the character U+D800 is not allowed in a text file",
    ),
    "half a character, escaped": (
        BASE + 'title: "\\ud800"\n',
        "13:11: not YAML: found invalid Unicode character escape code",
    ),
    "nested": (
        BASE + "training: {a: " + "[" * 200 + "]" * 200 + "}\n",
        "13:113: nested too deeply: the limit is 100 levels",
    ),
}

EVERY = {
    **KEYS_AND_TYPES,
    **NUMBERS_AND_NAMES,
    **RULES_AND_CATEGORIES,
    **{f"expectation {label}": case for label, case in EXPECTATIONS.items()},
    **{f"text: {label}": case for label, case in TEXTS.items()},
}


@pytest.mark.parametrize("label", EVERY)
def test_a_mistake_is_one_problem_at_its_place(label):
    text, wanted = EVERY[label]
    assert problems(text) == [f"recipe.yaml:{wanted}"]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("(select 1) > 0", f"'subquery' is not allowed here; {ALLOWED}"),
        ("response in (select response from rows)", f"'subquery' is not allowed here; {ALLOWED}"),
        ("exists (select 1)", f"'exists' is not allowed here; {ALLOWED}"),
        ("getenv('HOME') = 'x'", f"'getenv' is not allowed here; {ALLOWED}"),
        ("read_text('/etc/passwd') = 'x'", f"'read_text' is not allowed here; {ALLOWED}"),
        ("current_user = 'x'", f"'currentuser' is not allowed here; {ALLOWED}"),
        ("count(*) > 1", f"'count' is not allowed here; {ALLOWED}"),
        ("row_number() over () > 1", f"'window' is not allowed here; {ALLOWED}"),
        ("$1 > 2", f"'placeholder' is not allowed here; {ALLOWED}"),
        ("length(response)", "the expression must be true or false: compare something, as in length(response) > 9"),
        ("'x'", "the expression must be true or false: compare something, as in length(response) > 9"),
        ("response = 'a'; drop table rows", "write one SQL expression, without ';'"),
        ("length(response) >", "not a SQL expression: something is missing after an operator or in a function"),
        ("length(response", "not a SQL expression: Expecting )"),
        ("a.b > 1", "'a.b': write a column's name, or source.<name>"),
        ("x.y.z > 1", "'x.y.z': write a column's name, or source.<name>"),
        ("(" * 400 + "a > 1" + ")" * 400, "not a SQL expression: nested too deeply"),
        (
            "regexp_matches(response, 'a(?=b)')",
            "'(?=': RE2 has no look-around, no conditions and no back-references",
        ),
    ],
)
def test_a_where_is_columns_literals_operators_and_plain_functions(expression, problem):
    text = BASE + f"rules:\n  - id: r\n    where: {yaml.safe_dump(expression, width=10_000).splitlines()[0]}\n"
    assert problems(text) == [f"recipe.yaml:15:12: {problem}"]


@pytest.mark.parametrize(
    "expression",
    [
        "length(response) > 9",
        "NOT (lower(response) LIKE 'i am sorry%')",
        "coalesce(input, '') = '' OR input <> response",
        "regexp_matches(response, '^[A-Z]') and score between 1 and 5",
        "source.id is not null",
        "response like 'a!_b' escape '!'",
        "case when input is null then true else length(input) > 2 end",
    ],
)
def test_a_plain_where_is_good(expression):
    assert problems(BASE + f"rules:\n  - id: r\n    where: {yaml.safe_dump(expression).splitlines()[0]}\n") == []


def test_all_problems_are_reported_at_once_in_the_order_of_places(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text(
        "- {id: short, column: response, check: {str_length: {mn: 3}}}\n"
        "- {id: other, check: {str_matches: '(?=a)'}}\n"
        "- {id: short, column: response, check: unique}\n",
        encoding="utf-8",
    )
    (tmp_path / "rules" / "categories").mkdir()
    (tmp_path / "rules" / "categories" / "own.yaml").write_text("category: own\nkeyword: [a]\n", encoding="utf-8")
    text = """\
version: 1
name: a b
sources:
  - 5
  - {path: b.jsonl, name: twin}
  - {path: c.jsonl, name: twin, max_quarantined: half}
rules: [own, {id: late, where: "getenv('x') > 1"}]
categories: [own]
graders:
  accuracy: {column: s, scale: {min: 0, max: 5, step: 0.3}}
  other: {model: gpt}
datasets:
  quality:
    treshold: {accuracy: 4}
    from: nowhere
    seed: x
  last: {from: last}
  lost: 7
  after: {from: lost, quotas: {own: {min_rows: -1}, missing: {min_rows: 1}}}
expect:
  - 5
  - {dataset: qualty, rows: {min: 1}}
  - {rule: nothing, failing_rows: {max: 5 %}}
"""
    assert problems(text) == [
        "recipe.yaml:2:7: 'name' is 'a b': " + NAMES,
        "recipe.yaml:4:5: this must be a mapping (keys and values), not '5'",
        "recipe.yaml:6:27: there is a source 'twin' already",
        "recipe.yaml:6:50: 'max_quarantined' is 'half': write a number or a percentage such as 5%, 100% at most",
        f"recipe.yaml:7:32: 'getenv' is not allowed here; {ALLOWED}",
        "recipe.yaml:10:55: steps of 0.3 from 0 do not reach 5",
        "recipe.yaml:11:18: 'model' is 'gpt': write provider/name, such as openai/gpt-4o-mini or recorded/replies.jsonl",
        "recipe.yaml:14:5: unknown key 'treshold', did you mean 'threshold'?",
        "recipe.yaml:15:11: nothing defines the dataset 'nowhere'; there are: quality, last, after",
        "recipe.yaml:16:11: 'seed' must be a whole number, not 'x'",
        "recipe.yaml:17:3: dataset 'last' starts from itself",
        "recipe.yaml:18:9: 'lost' must be a mapping (keys and values), not '7'",
        "recipe.yaml:19:48: 'min_rows' is -1: it must be 0 or more",
        "recipe.yaml:21:5: this must be a mapping (keys and values), not '5'",
        "recipe.yaml:22:15: nothing defines the dataset 'qualty', did you mean 'quality'?",
        "recipe.yaml:23:41: 'max' is '5 %': write a number or a percentage such as 5%, 100% at most",
        "rules/categories/own.yaml:2:1: unknown key 'keyword', did you mean 'keywords'?",
        "rules/own.yaml:1:54: unknown key 'mn', did you mean 'min'?",
        "rules/own.yaml:2:3: rule 'other' checks 'str_matches': name its 'column', or 'turns'",
        "rules/own.yaml:2:36: '(?=': RE2 has no look-around, no conditions and no back-references",
        "rules/own.yaml:3:8: duplicate rule 'short', first defined at rules/own.yaml:1",
    ]


def test_a_recipe_that_lacks_a_part_is_checked_all_the_same():
    text = changed("name: base\n", "").replace("accuracy: 4.5", "accuracy: 9")
    assert problems(text) == [
        "recipe.yaml:1:1: the key 'name' is missing",
        "recipe.yaml:10:27: the threshold 9 is off the scale 0 to 5 of the grader 'accuracy'",
    ]


def test_a_misspelled_key_is_not_missing_as_well():
    assert problems(changed("sources:", "source:")) == [
        "recipe.yaml:3:1: unknown key 'source', did you mean 'sources'?"
    ]


def test_what_could_not_be_read_may_define_a_name(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text("- id: [\n", encoding="utf-8")
    text = rule("own") + "expect:\n  - {rule: in_there, failing_rows: {max: 1}}\n"
    assert problems(text) == ["rules/own.yaml:2:1: not YAML: did not find expected node content"]


def test_of_a_list_what_stays_keeps_its_place():
    text = expect("7\n  - 8\n  - {dataset: qualty, rows: {min: 1}}\n  - {dataset: ful, rows: {min: 1}}")
    assert problems(text) == [
        "recipe.yaml:14:5: this must be a mapping (keys and values), not '7'",
        "recipe.yaml:15:5: this must be a mapping (keys and values), not '8'",
        "recipe.yaml:16:15: nothing defines the dataset 'qualty', did you mean 'quality'?",
        "recipe.yaml:17:15: nothing defines the dataset 'ful', did you mean 'full'?",
    ]


DESIGN = """\
version: 1
name: alpagasus-alpaca
sources:
  - path: data/alpaca_52k.parquet          # json, jsonl, csv, parquet (globs, .gz, .zst), hf://datasets/…
    fields: {instruction: instruction, input: input, response: output}
rules: [hygiene]                           # files of rules/, or rules written here
categories: [coding]                       # files of rules/categories/, or written here
graders:
  accuracy:
    model: openai/gpt-4o-mini              # anthropic/…, local/…, recorded/…; base_url for any compatible server
    dimension: accuracy
    scale: {min: 0, max: 5, step: 0.5}
    budget_usd: 20
  helpfulness: {column: chatgpt_helpfulness_t45, scale: {min: 0, max: 1}}   # a score the source already has
                                           # or {table: scores.parquet, key: id, score: score, scale: …}
datasets:
  quality:
    threshold: {accuracy: 4.5}             # score >= 4.5; several graders: all must hold
    quotas:
      coding: {min_keep_rate: overall, floor: 3.5}
  quality-3k: {from: quality, sample: 3000, seed: 42}
  random: {sample: {like: quality}, seed: 42}
  full: {}
expect:
  - {dataset: quality, rows: {min: 9000, max: 9500}}
  - {dataset: quality, category: coding, keep_rate: {min: 0.15}}
  - {grader: accuracy, unscored: {max: 0.1%}}
training:
  base_model: huggyllama/llama-7b
  datasets: [quality, random, full]
  epochs: 3
evaluation:
  test_sets: [vicuna, koala, wizardlm, self_instruct]
  judge: {model: openai/gpt-4.1, prompt: vicuna}
  pairs: [[quality, full], [quality, random]]
"""


def test_the_recipe_of_the_design_is_good():
    recipe = parse_recipe(DESIGN)
    assert recipe.name == "alpagasus-alpaca"
    assert [rule.id for rule in recipe.rules]
    assert recipe.rule_places.keys() == {rule.id for rule in recipe.rules}
    assert [category.category for category in recipe.categories] == ["coding"]
    assert recipe.datasets["quality"].quotas["coding"].floor == 3.5
    assert recipe.datasets["quality-3k"].from_ == "quality"
    assert recipe.datasets["random"].sample.like == "quality"


# --set


@pytest.mark.parametrize(
    ("words", "get", "value"),
    [
        ("datasets.quality.threshold.accuracy=4", lambda r: r.datasets["quality"].threshold, {"accuracy": 4.0}),
        ("datasets.quality.threshold={accuracy: 3.5}", lambda r: r.datasets["quality"].threshold, {"accuracy": 3.5}),
        ("sources.0.path=b=c.jsonl", lambda r: r.text.sources[0].path, "b=c.jsonl"),
        ("sources=[{path: x}, {path: y}]", lambda r: [s.path for s in r.text.sources], ["x", "y"]),
        ("datasets.new.sample=3", lambda r: r.datasets["new"].sample, 3),
        ("report.examples=2", lambda r: r.text.report.examples, 2),
        ("title='12'", lambda r: r.text.title, "12"),
        ("title=no", lambda r: r.text.title, "no"),
        ("graders.accuracy.scale.step=", lambda r: r.graders["accuracy"].scale.step, None),
        ("datasets.full=&a {seed: 2}", lambda r: r.datasets["full"].seed, 2),
    ],
)
def test_set_changes_a_value(words, get, value):
    assert get(parse_recipe(BASE, "recipe.yaml", [words])) == value


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("novalue", "write KEY=VALUE, as in datasets.quality.threshold.accuracy=4"),
        ("=1", "write KEY=VALUE, as in datasets.quality.threshold.accuracy=4"),
        ("sources.1.path=b", "the recipe has no value at 'sources.1.path' to set"),
        ("sources.-1.path=b", "the recipe has no value at 'sources.-1.path' to set"),
        ("sources.²=1", "the recipe has no value at 'sources.²' to set"),
        (f"sources.{'9' * 5000}=1", f"the recipe has no value at 'sources.{'9' * 5000}' to set"),
        ("name.x=1", "the recipe has no value at 'name.x' to set"),
        ("name=a b", f"'name' is 'a b': {NAMES}"),
        ("name=", "'name' must be a text, not nothing"),
        ("name=[", "not YAML: did not find expected node content"),
        ("name=!x y", "tags such as !x are not supported: write a plain value"),
        ("nope=1", f"unknown key 'nope'; known keys: {RECIPE_KEYS}"),
        ("nope.deep.er=1", f"unknown key 'nope'; known keys: {RECIPE_KEYS}"),
        ("datasets.quality.tresh=3", "unknown key 'tresh', did you mean 'threshold'?"),
        ("datasets.quality.seed=x", "'seed' must be a whole number, not 'x'"),
        (
            "datasets.quality.threshold.accuracy=4.3",
            "the threshold 4.3 is no step of the scale 0 to 5 by 0.5 of the grader 'accuracy'",
        ),
        ("datasets.quality.threshold={acc: 3}", "nothing defines the grader 'acc'; there are: accuracy"),
        ("datasets.new.sample=0", "'sample' is 0: it must be 1 or more"),
        (
            "datasets.qualty.threshold.accuracy=4",
            "there is no dataset 'qualty', did you mean 'quality'? To add it, set it as a whole: datasets.qualty={…}",
        ),
    ],
)
def test_a_problem_of_a_set_is_said_there(words, problem):
    assert problems(BASE, words) == [f"--set {words}: {problem}"]


def test_a_name_with_dots_is_found_before_a_path():
    text = changed("full: {}", "full.v1: {}\n  full: {}")
    recipe = parse_recipe(text, "recipe.yaml", ["datasets.full.v1.seed=5", "datasets.full.seed=6"])
    assert (recipe.datasets["full.v1"].seed, recipe.datasets["full"].seed) == (5, 6)
    assert problems(text, "datasets.full.v1.seed=x") == [
        "--set datasets.full.v1.seed=x: 'seed' must be a whole number, not 'x'"
    ]


def test_the_last_set_counts_and_is_blamed():
    assert parse_recipe(BASE, "r", ["datasets.full.seed=1", "datasets.full.seed=2"]).datasets["full"].seed == 2
    assert problems(BASE, "datasets={quality: {}}", "datasets.quality.seed=x") == [
        "--set datasets.quality.seed=x: 'seed' must be a whole number, not 'x'"
    ]
    assert problems(BASE, "datasets.quality.seed=x", "datasets={quality: {seed: y}}") == [
        "--set datasets={quality: {seed: y}}: 'seed' must be a whole number, not 'y'"
    ]


def test_problems_of_sets_and_of_the_text_are_reported_together():
    assert problems(changed("step: 0.5", "step: 0.3"), "nope.a=1", "sources.7=x") == [
        "--set nope.a=1: unknown key 'nope'; known keys: " + RECIPE_KEYS,
        "--set sources.7=x: the recipe has no value at 'sources.7' to set",
        "recipe.yaml:8:35: steps of 0.3 from 0 do not reach 5",
    ]


# YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("TRUE", "TRUE"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("0x1F", "0x1F"),
        ("0o7", "0o7"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e400", "1e400"),
        ("٣", "٣"),
        ("5%", "5%"),
        ("010", 10),
        ("+3", 3),
        ("-3", -3),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("NULL", "NULL"),
        ("9" * 39, int("9" * 39)),
        ("9" * 40, "9" * 40),
    ],
)
def test_a_plain_value_has_no_surprises(text, value):
    found = read_document(f"a: {text}\nb: '{text}'\nc: [{text or '~'}]\n", "f").value
    assert (type(found["a"]), found["a"]) == (type(value), value)
    assert found["b"] == text
    assert found["c"] == [value]
    assert resolve_scalar(text) == value


def test_keys_are_texts():
    document = read_document("no: 1\n1: 2\n~: 3\n2024-01-01: 4\n", "f")
    assert document.value == {"no": 1, "1": 2, "~": 3, "2024-01-01": 4}
    assert document.problems == []


def test_an_alias_gives_its_value_again():
    text = changed("{accuracy: 4.5}", "&t {accuracy: 4.5}").replace("full: {}", "full: {threshold: *t}")
    assert parse_recipe(text).datasets["full"].threshold == {"accuracy": 4.5}


@pytest.mark.parametrize("prefix", ["", "training:\n  "])
def test_a_billion_laughs_are_refused_at_once(prefix):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    text = BASE + prefix + ("\n  " if prefix else "\n").join(lines) + "\n"
    started = time.monotonic()
    (problem,) = problems(text)
    assert problem.endswith(": too many values: the limit is 200,000")
    assert time.monotonic() - started < 10


def test_a_chain_of_aliases_is_no_way_down():
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 500)]
    found = problems("\n".join(lines))
    assert any("nested too deeply: the limit is 100 levels" in problem for problem in found)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["'[' * 300_000", "'{a: ' * 300_000", "'- ' * 300_000", "'? ' * 300_000"])
def test_no_depth_brings_the_process_down(text):
    code = f"from alpaqual.recipe.yaml_nodes import read_document as r; print(r({text}, 'f').problems[0].message)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "nested too deeply: the limit is 100 levels\n")


def test_a_tag_runs_nothing(tmp_path):
    text = changed("name: base", f"name: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']")
    assert problems(text)[0] == (
        "recipe.yaml:2:7: tags such as !!python/object/apply:os.mkdir are not supported: write a plain value"
    )
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("prefix", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_marks_and_line_ends_do_not_move_places(tmp_path, prefix, end):
    path = tmp_path / "recipe.yaml"
    path.write_bytes((prefix + BASE.replace("\n", end)).encode())
    assert read_recipe(path).name == "base"
    for old, new, place in (("threshold", "treshold", "11:5"), ("version", "versin", "1:1")):
        path.write_bytes((prefix + BASE.replace(old, new).replace("\n", end)).encode())
        with pytest.raises(RecipeError) as caught:
            read_recipe(path)
        assert [str(problem) for problem in caught.value.problems] == [
            f"{path}:{place}: unknown key '{new}', did you mean '{old}'?"
        ]


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / "recipe.yaml"
    for content, message in ((b"name: \xff\n", "is not UTF-8 text (byte 6)"), ("name: x".encode("utf-16"), None)):
        path.write_bytes(content)
        with pytest.raises(RecipeError) as caught:
            read_recipe(path)
        assert message is None or str(caught.value) == f"{path}: {message}"
    with pytest.raises(RecipeError, match=r"absent\.yaml: cannot be read: No such file or directory"):
        read_recipe("absent.yaml")
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        read_recipe(tmp_path)


def test_rule_files_are_found_beside_and_above_and_never_outside(tmp_path, monkeypatch):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text("- {id: own, column: response, check: unique}\n", encoding="utf-8")
    (tmp_path / "secret.yaml").write_text("- {id: secret, column: response, check: unique}\n", encoding="utf-8")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    recipe = parse_recipe(rule("own"))
    assert [rule.id for rule in recipe.rules] == ["own"]
    assert recipe.rule_places["own"].endswith("rules/own.yaml:1")
    for name in ("../secret", "'..'", "/etc/passwd", '"a\\0b"', "x" * 5000):
        (problem,) = problems(rule(name))
        assert "no rules file" in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty"),
        ("id: x\ncolumn: y\n", "1:1: a rule file must be a list of rules or a pandera schema"),
        ("- {id: x, colunm: y, check: unique}\n", "1:11: unknown key 'colunm', did you mean 'column'?"),
        ("- 5\n", "1:3: this must be a mapping (keys and values), not '5'"),
    ],
)
def test_a_file_of_rules_is_checked_as_a_recipe_is(tmp_path, text, problem):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read_rules(path)
    assert str(caught.value.problems[0]) == f"{path}:{problem}"


# Nothing but a Recipe or a RecipeError


def recipe_or_problems(text, *sets):
    try:
        assert isinstance(parse_recipe(text, "recipe.yaml", sets), Recipe)
    except RecipeError as error:
        assert error.problems
        assert all(problem.message and problem.line >= 0 for problem in error.problems)
        assert list(error.problems) == sorted(error.problems)


WORDS = st.sampled_from(
    [
        "version",
        "name",
        "sources",
        "path",
        "rules",
        "categories",
        "graders",
        "accuracy",
        "column",
        "scale",
        "min",
        "max",
        "step",
        "datasets",
        "quality",
        "threshold",
        "quotas",
        "coding",
        "min_rows",
        "min_share",
        "max_rows",
        "floor",
        "from",
        "sample",
        "like",
        "seed",
        "expect",
        "dataset",
        "rows",
        "keep_rate",
        "id",
        "check",
        "where",
        "warn",
        "fail",
        "drop",
        "str_length",
        "str_matches",
        "isin",
        "no_duplicates",
        "columns",
        "keywords",
        "pattern",
        "values",
        "over",
        "category",
        "training",
        "pairs",
        "overall",
        "5%",
        "1e3",
        "hygiene",
        "response",
        "unique",
        "openai/x",
        "(?=a)",
        "a>1",
        "fields",
        "messages",
        "prompt",
        "model",
        "table",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 6)
    | st.integers()
    | st.floats(allow_nan=True)
    | WORDS
    | st.text(max_size=6)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=4) | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.text(max_size=200) | st.text("abc:-[]{}&*!|>'\"#%@`?, \n\t01<=~", max_size=80))
@settings(max_examples=examples(300), deadline=None)
def test_any_text_is_a_recipe_or_problems(text):
    recipe_or_problems(text)
    recipe_or_problems(BASE + text)


@given(VALUES)
@settings(max_examples=examples(250), deadline=None)
def test_any_value_is_a_recipe_or_problems(value):
    recipe_or_problems(yaml.safe_dump(value, allow_unicode=True))


PARTS = st.sampled_from(
    [
        "sources",
        "rules",
        "categories",
        "graders",
        "datasets",
        "expect",
        "training",
        "evaluation",
        "engine",
        "report",
        "title",
        "name",
    ]
)


@given(PARTS, VALUES, st.text(max_size=12))
@settings(max_examples=examples(250), deadline=None)
def test_any_part_of_a_recipe_is_good_or_problems(part, value, text):
    whole = yaml.safe_load(DESIGN) | {part: value}
    recipe_or_problems(yaml.safe_dump(whole, allow_unicode=True))
    recipe_or_problems(BASE, f"{part}.{text}={value}", text)


PLACES = [
    ("sources", 0),
    ("sources", 0, "fields"),
    ("graders", "accuracy"),
    ("graders", "accuracy", "scale"),
    ("datasets", "quality"),
    ("datasets", "quality", "quotas", "coding"),
    ("datasets", "random"),
    ("expect", 0),
    ("expect", 1),
]


@given(st.sampled_from(PLACES), WORDS, VALUES)
@settings(max_examples=examples(250), deadline=None)
def test_any_value_anywhere_is_good_or_problems(place, key, value):
    whole = yaml.safe_load(DESIGN)
    holder = whole
    for part in place:
        holder = holder[part]
    holder[key] = value
    recipe_or_problems(yaml.safe_dump(whole, allow_unicode=True))


@given(st.text("abc()'\"<>=!,;.*+-/%&|~^[]{}$@?: \n0159selctfromwhrni", max_size=40) | st.text(max_size=20))
@settings(max_examples=examples(300), deadline=None)
def test_any_expression_and_pattern_is_good_or_a_problem(text):
    good = "".join(character for character in text if character.isprintable())
    rules = [{"id": "w", "where": good or "a"}, {"id": "p", "column": "c", "check": {"str_matches": good}}]
    recipe_or_problems(BASE + yaml.safe_dump({"rules": rules}, allow_unicode=True))


def test_a_shipped_rule_is_shown_without_this_machines_folders():
    recipe = parse_recipe(rule("hygiene"))
    assert all(place.startswith("alpaqual:rules/hygiene.yaml:") for place in recipe.rule_places.values())
    assert Path("rules").exists() is False


# Patterns


GOOD_PATTERNS = [
    "a", "", r"\p{L}+", r"[\p{L}\d]", r"[^\p{L}\p{N}]+", r"\pL", r"\pLl", r"\p{Greek}", r"\p{^Greek}", r"\PN", "a{1000}", r"a\z",
    "(?i)a", "a(?i)b", "(?i:a)", "(?U)a", "(?s).", "(?-i)a", "(?i-s:a)", "(?ii)a", "^(?:(?i)x)", "(?P<n>a)", r"\\1", r"\12", r"\0",
    r"\07", r"\x{10ffff}", r"\x41", r"[\x{41}-\x{5a}]", "[[:alpha:]]+", "[[:^digit:]_]", "[[a]", "[]a]", "[^]a]", "a+?", "x*?",
    r"\_", r"\-", r"\Qa*b\E+", r"\Q(((", r"\C", r"a\\", r"\d\D\w\W\s\S\b\B\A", r"[a\-z]", "|a", "a||b", "()", "(?:)",
    "$", "a{,3}", "{", "a{x}", "a{", "(?:a*)*", "[a-z&&b]", r"\b+", "a|", "a\nb", "[\n]", "\\\n", "é+",
]  # fmt: skip
BAD_PATTERNS = [
    "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?>a)", "(?(1)a)", "(?#c)", "(?R)", "(?P=n)", "(?P>n)", "(?<n>a)", "(?x)a",
    r"(a)\1", r"\8", "a++", "a*+", "a?+", "a{2}+", "a**", "a{2}{3}", "a+?+", "*a", "(*)", "a{1001}", "a{1,1001}", "a{3,1}", r"a\Z",
    r"\u1234", r"\q", r"\é", r"\G", r"\h", r"\N{DASH}", r"\xZ", r"\x{}", r"\p", r"\p{L", r"[\p]", r"[\b]", "[b-a]", r"[a-\d]",
    r"[z-\x41]", r"[\Q]\E]", "[[:foo:]]", "[a", "[]", "[^]", "(a", "a)", "(?", "(?P", "(?P<", "(?P<>a)", "(?i", "\\",
]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "good"), [(each, True) for each in GOOD_PATTERNS] + [(each, False) for each in BAD_PATTERNS]
)
def test_a_pattern_is_judged_as_the_engine_judges_it(pattern, good):
    try:
        duckdb.execute("SELECT regexp_matches('abc', ?)", [pattern]).fetchall()
    except duckdb.Error:
        assert not good
    else:
        assert good
    assert (pattern_problem(pattern) == "") == good


PATTERN_TOKENS = st.sampled_from(
    [
        "a",
        "é",
        ".",
        "*",
        "+",
        "?",
        "{2}",
        "{1,3}",
        "(",
        ")",
        "(?:",
        "(?i)",
        "|",
        "[",
        "]",
        "[^",
        "-",
        "^",
        "$",
        r"\d",
        r"\b",
        r"\p{L}",
        r"\.",
        r"\\",
        r"\z",
        r"\x41",
        "[[:alpha:]]",
        r"\Q",
        r"\E",
        r"\1",
        "(?=",
        "z",
        "0",
        ":",
    ]
)


@given(st.lists(PATTERN_TOKENS, max_size=7).map("".join))
@settings(max_examples=examples(400), deadline=None)
def test_no_pattern_gets_through_that_the_engine_refuses(pattern):
    if not pattern_problem(pattern):
        duckdb.execute("SELECT regexp_matches('abc', ?)", [pattern]).fetchall()
