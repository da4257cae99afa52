"""Parse a recipe, or report every problem with `file:line:column`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from alpaqual.errors import Problem, RecipeError
from alpaqual.recipe.crosscheck import check_category, check_recipe, check_rule
from alpaqual.recipe.evaluation import prompt_key
from alpaqual.recipe.library import Library, find_recipe
from alpaqual.recipe.model import Category, RecipeText, Rule
from alpaqual.recipe.pandera_rules import is_pandera_schema, rules_of_pandera
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.schema import Kind
from alpaqual.recipe.schema_errors import remove_paths, schema_problems, suggest
from alpaqual.recipe.yaml_nodes import Document, apply_set, read_document
from alpaqual.recipe.yaml_nodes import Path as Place


def read_text(path: Path, shown: str) -> str:
    """Return the content of a UTF-8 text file.

    `shown` names the file in messages. Raises RecipeError if it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RecipeError([Problem(shown, 0, 0, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([Problem(shown, 0, 0, f"is not UTF-8 text (byte {error.start})")]) from None
    except ValueError:
        raise RecipeError([Problem(shown, 0, 0, "cannot be read: not a valid file name")]) from None


def parse_recipe(text: str, file: str = "recipe.yaml", sets: Sequence[str] = ()) -> Recipe:
    """Parse a recipe and the files it names: rules, categories, prompts.

    No data is read. Each of `sets` is KEY=VALUE and changes one value of the recipe. Raises RecipeError with every problem.
    """
    return _Parser(text, file, sets).parse()


def read_recipe(path: str | Path, sets: Sequence[str] = ()) -> Recipe:
    """Parse the recipe in a file, or the shipped recipe of that name. See `parse_recipe`."""
    found = find_recipe(Path(path))
    return parse_recipe(read_text(found, str(found)), str(found), sets)


def read_rules(path: str | Path) -> tuple[Rule, ...]:
    """Read a file of rules, in alpaqual's format or as a pandera schema.

    Raises RecipeError.
    """
    parser = _Parser("", str(path), ())
    rules = parser.rules_file(Path(path), str(path))
    if parser.problems:
        raise RecipeError(parser.problems)
    return tuple(rules)


_MAX_PASSES = 8
_PLACEHOLDERS: dict[str, Any] = {"version": 1, "name": "recipe", "sources": [{"path": "x"}], "datasets": {"x": {}}}
"""Values for invalid or missing required keys, so that the rest can be checked; never used in a run."""


class _Parser:
    def __init__(self, text: str, file: str, sets: Sequence[str]) -> None:
        self.text = text
        self.file = file
        self.sets = sets
        self.library = Library(Path(file).parent)
        self.problems: list[Problem] = []
        self.rule_places: dict[str, str] = {}
        self.category_places: dict[str, str] = {}
        self.places_of_categories: list[str] = []

    def parse(self) -> Recipe:
        document = read_document(self.text, self.file)
        self.problems.extend(document.problems)
        if document.problems:
            raise RecipeError(self.problems)
        for assignment in self.sets:
            apply_set(document, assignment)
        self.problems.extend(document.problems)
        recipe = self.convert(document, "recipe", RecipeText)
        if recipe is None:
            raise RecipeError(self.problems)
        before = len(self.problems)
        rules = self.rules(recipe, document)
        unread = ["rule"] if len(self.problems) > before else []
        before = len(self.problems)
        categories = self.categories(recipe, document)
        unread += ["category"] if len(self.problems) > before else []
        prompts = self.prompts(recipe, document)
        self.problems.extend(check_recipe(recipe, document, rules, categories, unread, prompts))
        if self.problems:
            raise RecipeError(self.problems)
        return Recipe(
            recipe,
            self.file,
            Path(self.file).parent,
            tuple(rules),
            tuple(categories),
            prompts,
            self.rule_places,
            tuple(self.places_of_categories),
            document,
        )

    def convert(self, document: Document, kind: Kind, wanted: Any) -> Any:
        """Convert the document to structs; record problems and return the valid rest, or None."""
        try:
            return msgspec.convert(document.value, wanted)
        except msgspec.ValidationError as error:
            found = schema_problems(document, kind)
            if not found:
                self.problems.append(document.problem((), str(error)))
                return None
        self.problems.extend(problem for _, problem in found)
        # Removing an invalid value can make its parent invalid, so remove and convert repeatedly.
        for _ in range(_MAX_PASSES):
            remove_paths(document, [path for path, _ in found])
            if kind == "recipe" and isinstance(document.value, dict):
                document.value = {**_PLACEHOLDERS, **document.value}
                document.removed += [(key,) for key in _PLACEHOLDERS if (key,) not in document.values]
            try:
                return msgspec.convert(document.value, wanted)
            except msgspec.ValidationError:
                found = schema_problems(document, kind)
        return None

    def rules(self, recipe: RecipeText, document: Document) -> list[Rule]:
        rules: list[Rule] = []
        for index, entry in enumerate(recipe.rules):
            place: Place = ("rules", index)
            if isinstance(entry, Rule):
                self.problems.extend(check_rule(entry, document, place))
                self.add_rule(rules, entry, document, place)
                continue
            path = self.library.find(entry)
            if path is None:
                self.problems.append(document.problem(place, self.missing(entry, "rules", "")))
            else:
                self.rules_file(path, self.library.display_path(path), rules)
        return rules

    def rules_file(self, path: Path, shown: str, rules: list[Rule] | None = None) -> list[Rule]:
        rules = [] if rules is None else rules
        document = self.read(path, shown)
        if document is None:
            return rules
        if is_pandera_schema(document.value):
            found, problems = rules_of_pandera(document)
            self.problems.extend(problems)
            for rule, place in found:
                self.problems.extend(check_rule(rule, document, place))
                self.add_rule(rules, rule, document, place)
            return rules
        if not isinstance(document.value, list):
            self.problems.append(document.problem((), "a rule file must be a list of rules or a pandera schema"))
            return rules
        for index, rule in enumerate(self.convert(document, "rules", list[Rule]) or ()):
            self.problems.extend(check_rule(rule, document, (index,)))
            self.add_rule(rules, rule, document, (index,))
        return rules

    def add_rule(self, rules: list[Rule], rule: Rule, document: Document, place: Place) -> None:
        if rule.id in self.rule_places:
            message = f"duplicate rule '{rule.id}', first defined at {self.rule_places[rule.id]}"
            self.problems.append(document.problem((*place, "id"), message))
            return
        self.rule_places[rule.id] = document.place(place)
        rules.append(rule)

    def categories(self, recipe: RecipeText, document: Document) -> list[Category]:
        categories: list[Category] = []
        for index, entry in enumerate(recipe.categories):
            place: Place = ("categories", index)
            if isinstance(entry, Category):
                self.add_category(categories, entry, document, place)
                continue
            path = self.library.find(entry, "categories")
            if path is None:
                self.problems.append(document.problem(place, self.missing(entry, "categories", "categories")))
                continue
            read = self.read(path, self.library.display_path(path))
            found = self.convert(read, "category", Category | list[Category]) if read else None
            if read and isinstance(found, Category):
                self.add_category(categories, found, read, ())
            elif read:
                for position, category in enumerate(found or ()):
                    self.add_category(categories, category, read, (position,))
        return categories

    def add_category(self, categories: list[Category], category: Category, document: Document, place: Place) -> None:
        self.problems.extend(check_category(category, document, place))
        name = category.category
        if name is not None and name in self.category_places:
            message = f"duplicate category '{name}', first defined at {self.category_places[name]}"
            self.problems.append(document.problem((*place, "category"), message))
            return
        if name is not None:
            self.category_places[name] = document.place(place)
        self.places_of_categories.append(document.place(place))
        categories.append(category)

    def prompts(self, recipe: RecipeText, document: Document) -> dict[str, str]:
        prompts: dict[str, str] = {}
        for name, grader in recipe.graders.items():
            if grader.prompt is None:
                continue
            self.prompt(prompts, name, grader.prompt, document, ("graders", name, "prompt"))
        for place, file in (recipe.evaluation.prompt_files if recipe.evaluation is not None else {}).items():
            self.prompt(prompts, prompt_key(file), file, document, place)
        return prompts

    def prompt(self, prompts: dict[str, str], name: str, file: str, document: Document, place: Place) -> None:
        try:
            prompts[name] = read_text(self.library.folder / file, file)
        except RecipeError as error:
            self.problems.append(document.problem(place, f"prompt file {file} {error.problems[0].message}"))

    def read(self, path: Path, shown: str) -> Document | None:
        try:
            document = read_document(read_text(path, shown), shown)
        except RecipeError as error:
            self.problems.extend(error.problems)
            return None
        self.problems.extend(document.problems)
        return None if document.problems else document

    def missing(self, name: str, what: str, kind: str) -> str:
        known = self.library.names(kind)
        listed = f"; there are: {', '.join(known)}" if known else ""
        folder = "rules/categories/" if kind else "rules/"
        return f"no {what} file '{name}' in {folder} next to or above the recipe, or shipped with alpaqual{suggest(name, known) or listed}"
