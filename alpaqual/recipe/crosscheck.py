"""Checks of a recipe beyond its schema: names that nothing defines, thresholds off their scale, expressions, patterns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from alpaqual.errors import Problem
from alpaqual.fields import ROW_FIELDS, TURN_VALUES
from alpaqual.patterns import pattern_problem
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.crosscheck_graders import check_graders
from alpaqual.recipe.crosscheck_training import check_training
from alpaqual.recipe.dataset_files import check_dataset_files
from alpaqual.recipe.expectations import Bounds, Expectation
from alpaqual.recipe.expression import ExpressionError, parse_where
from alpaqual.recipe.measures import LIMITS, MEASURES, SUBJECT_KINDS, SUBJECTS, is_about_evaluation, subject
from alpaqual.recipe.model import Category, Dataset, Like, Quota, RecipeText, Rule, Source
from alpaqual.recipe.recipe import dataset_order, source_names
from alpaqual.recipe.scales import on_scale
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.score_names import named_graders, several, was_removed
from alpaqual.recipe.unknown import unknown_plugin
from alpaqual.recipe.yaml_nodes import Document, Path
from alpaqual.registry import names
from alpaqual.sources import format_of, options_of


def checks_of(rule: Rule) -> list[tuple[str, object]]:
    """The checks that a rule names, as (name, argument)."""
    if isinstance(rule.check, str):
        return [(rule.check, True)]
    if rule.check is None:
        return []
    return [
        (name, value)
        for name, plugin in check_plugins().items()
        if (value := getattr(rule.check, name)) is not None and not (value is False and plugin.SWITCH)
    ]


def check_rule(rule: Rule, document: Document, place: Path) -> Iterator[Problem]:
    """Yield the problems of one rule."""
    checks = checks_of(rule)
    if (rule.where is None) == (not checks):
        if document.was_removed(place):
            return
        yield document.problem(place, f"rule '{rule.id}' needs one of 'check' and 'where'")
        return
    if rule.where is not None:
        if rule.turns is not None and rule.column is not None:
            yield document.problem((*place, "turns"), _ONE_OF_BOTH)
        yield from _where(rule.where, document, (*place, "where"), turns=rule.turns is not None)
        return
    if len(checks) > 1:
        yield document.problem((*place, "check"), f"rule '{rule.id}' has {len(checks)} checks: write one rule for each")
    name, argument = checks[0]
    plugin = check_plugins()[name]
    if plugin.WHOLE_ROWS and rule.column is not None:
        yield document.problem((*place, "column"), f"'{name}' compares whole rows: leave 'column' out")
    if rule.turns is not None:
        yield from _turns(rule, name, argument, document, place)
    elif not plugin.WHOLE_ROWS and rule.column is None and not document.was_removed(place):
        yield document.problem(place, f"rule '{rule.id}' checks '{name}': name its 'column', or 'turns'")
    spot: Path = (*place, "check", name)
    if (problem := plugin.problem(argument)) and not document.was_removed(spot):
        yield document.problem(spot, problem)


_ONE_OF_BOTH = "'turns' are checked in place of a column: leave one of both out"


def _turns(rule: Rule, name: str, argument: object, document: Document, place: Path) -> Iterator[Problem]:
    """Yield what is wrong with a rule on turns: their texts are checked one by one."""
    plugin = check_plugins()[name]
    if rule.column is not None:
        yield document.problem((*place, "turns"), _ONE_OF_BOTH)
    if plugin.NUMBERS:
        yield document.problem((*place, "turns"), f"'{name}' compares numbers, and turns are texts")
    elif plugin.WHOLE_ROWS or (not plugin.problem(argument) and plugin.failing(argument, "content").query):
        yield document.problem((*place, "turns"), f"'{name}' compares rows: it cannot be asked of single turns")


def _pattern(pattern: str, document: Document, place: Path) -> Iterator[Problem]:
    if problem := pattern_problem(pattern):
        yield document.problem(place, problem)


def _where(text: str, document: Document, place: Path, *, turns: bool = False) -> Iterator[Problem]:
    """Yield the problem of an expression; `turns`: of a rule on turns, which reads the values of a turn alone."""
    try:
        columns = parse_where(text)
    except ExpressionError as error:
        yield document.problem(place, str(error))
        return
    own = [f"turn.{value}" for value in TURN_VALUES]
    if turns and (other := next((column for column in columns if column not in own), None)) is not None:
        message = f"'{other}' is a column, and a rule on turns reads {', '.join(own)}"
        yield document.problem(place, message)
    if not turns and (named := next((column for column in columns if column in own), None)) is not None:
        yield document.problem(place, f"'{named}' is for rules that name their 'turns'")


def check_category(category: Category, document: Document, place: Path) -> Iterator[Problem]:
    """Yield the problems of one category."""
    ways = [way for way in ("keywords", "pattern", "column", "where") if getattr(category, way) is not None]
    if len(ways) != 1 and not document.was_removed(place):
        yield document.problem(
            place,
            f"a category needs one of keywords, pattern, column and where, not {' and '.join(ways) or 'none'}",
        )
    each_value = category.column is not None and category.values is None
    if category.category is None and not each_value and not document.was_removed(place):
        yield document.problem(place, "the key 'category' is missing: the category's name")
    if category.category is not None and each_value:
        yield document.problem(
            (*place, "category"),
            "each value of the column becomes a category of its own: leave 'category' out, or name 'values'",
        )
    if category.values is not None and category.column is None:
        yield document.problem((*place, "values"), "'values' needs a 'column'")
    if category.over is not None and category.keywords is None and category.pattern is None:
        yield document.problem((*place, "over"), "'over' goes with keywords or pattern")
    if category.pattern is not None:
        yield from _pattern(category.pattern, document, (*place, "pattern"))
    if category.where is not None:
        yield from _where(category.where, document, (*place, "where"))


def check_recipe(
    recipe: RecipeText,
    document: Document,
    rules: Sequence[Rule],
    categories: Sequence[Category],
    unread: Collection[str] = (),
    prompts: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Problem]:
    """Yield the problems between the parts of a recipe.

    `unread` has the kinds of which some files could not be read; `prompts` has the text of each prompt file.
    """
    yield from _sources(recipe, document)
    if recipe.engine.kind not in names("engines"):
        yield document.problem(("engine", "kind"), unknown_plugin("engines", "engine", recipe.engine.kind))
    yield from check_graders(recipe.graders, prompts, document)
    context = _Names(recipe, document, rules, categories, unread)
    for name, dataset in recipe.datasets.items():
        yield from _dataset(name, dataset, document, context)
    yield from check_dataset_files(recipe.datasets, document)
    try:
        dataset_order(recipe.datasets)
    except ValueError as error:
        yield document.problem(("datasets", str(error)), f"dataset '{error}' starts from itself", at_key=True)
    for index, expectation in enumerate(recipe.expect):
        place: Path = ("expect", index)
        if is_about_evaluation(expectation):
            from alpaqual.recipe.crosscheck_evaluation import check_evaluation_expectation

            yield from check_evaluation_expectation(expectation, recipe.evaluation, document, place)
        else:
            yield from _expectation(expectation, document, place, context)
    if not recipe.datasets and (recipe.evaluation is None or recipe.evaluation.replies is None):
        written = document.values.get(("datasets",)) is not None
        message = "'datasets' is empty: it needs at least 1" if written else "the key 'datasets' is missing"
        message += " (`datasets: {all: {}}` selects all rows)" if recipe.evaluation is not None else ""
        yield document.problem(("datasets",) if written else (), message)
    yield from _later_stages(recipe, document, context, prompts)


class _Names:
    """The names that the recipe defines. A file that could not be read may define any name of its kind."""

    def __init__(
        self,
        recipe: RecipeText,
        document: Document,
        rules: Sequence[Rule],
        categories: Sequence[Category],
        unread: Collection[str],
    ) -> None:
        self.graders = named_graders(recipe.graders)
        self.document = document
        self.listed: dict[str, list[str]] = {
            "grader": list(self.graders),
            "dataset": list(recipe.datasets),
            "rule": [rule.id for rule in rules],
            "category": [category.category for category in categories if category.category],
        }
        self.any = {kind for kind, key in _LISTS.items() if kind in unread or document.was_removed((key,))}
        if any(category.category is None for category in categories):
            self.any.add("category")

    def unknown(self, kind: str, name: str) -> str:
        """The message for a name that nothing defines, else nothing."""
        known = self.listed[kind]
        if name in known or kind in self.any or (kind not in _LISTS and was_removed(f"{kind}s", name, self.document)):
            return ""
        return _unknown(kind, name, known)


_LISTS = {"rule": "rules", "category": "categories"}


_WRITE = {
    "grader": " (for scores that the data has: 'graders: {NAME: {column: COLUMN}}')",
    "category": " (for the values of a column: 'categories: [{column: COLUMN}]')",
}
"""What a recipe without any may lack, by kind."""


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    known = list(known)
    none = "categories" if kind == "category" else f"{kind}s"
    listed = f"; there are: {', '.join(known)}" if known else f"; the recipe has no {none}{_WRITE.get(kind, '')}"
    return f"nothing defines the {kind} '{name}'{suggest(name, known) or listed}"


def _sources(recipe: RecipeText, document: Document) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, (source, called) in enumerate(zip(recipe.sources, source_names(recipe.sources), strict=True)):
        place: Path = ("sources", index)
        if called in seen:
            yield document.problem((*place, "name"), f"there is a source '{called}' already")
        seen.add(called)
        if source.format is not None and source.format not in names("sources"):
            yield document.problem((*place, "format"), unknown_plugin("sources", "source format", source.format))
        yield from _options(source, document, place)
        fields = source.fields
        if fields is None or isinstance(fields, str):
            continue
        if fields.id and fields == type(fields)(id=fields.id):
            continue
        parts = [name for name in (*ROW_FIELDS, "history") if getattr(fields, name)]
        if fields.messages and parts:
            yield document.problem(
                (*place, "fields"), f"'messages' holds the whole row: leave {' and '.join(parts)} out"
            )
        elif not fields.messages and not (fields.instruction and fields.response) and not document.was_removed(place):
            yield document.problem(
                (*place, "fields"),
                "name the columns of 'instruction' and 'response' (and 'input'), or of 'messages'",
            )


def _options(source: Source, document: Document, place: Path) -> Iterator[Problem]:
    """Options that the format does not take, and an encoding that Python does not have."""
    kind = source.format or format_of(source.path)
    taken = options_of(kind) if kind in names("sources") else None
    for option in ("delimiter", "quote", "encoding", "header", "null", "max_row_bytes", "split"):
        if getattr(source, option) is not None and taken is not None and option not in taken:
            yield document.problem((*place, option), f"'{option}' is no option of {kind}", at_key=True)
    if source.encoding is not None:
        try:
            "".encode(source.encoding)
        except LookupError:
            yield document.problem((*place, "encoding"), f"Python has no text encoding '{source.encoding}'")
    delimiter = source.delimiter or ("\t" if kind == "tsv" else ",")
    if (source.quote or ("" if source.quote is not None else '"')) == delimiter:
        yield document.problem((*place, "delimiter"), "the delimiter and the quote are the same character")


def _dataset(name: str, dataset: Dataset, document: Document, names: _Names) -> Iterator[Problem]:
    place: Path = ("datasets", name)
    for grader, score in dataset.threshold.items():
        spot = (*place, "threshold", grader)
        if unknown := names.unknown("grader", grader) or several(grader, names.graders):
            yield document.problem(spot, unknown, at_key=True)
        elif grader in names.graders and (off := on_scale(score, names.graders[grader].scale_of_thresholds)):
            yield document.problem(spot, f"the threshold {score:g} {off} of the grader '{grader}'")
    for category, quota in dataset.quotas.items():
        spot = (*place, "quotas", category)
        if unknown := names.unknown("category", category):
            yield document.problem(spot, unknown, at_key=True)
        yield from _quota(quota, dataset, document, spot, names)
    like = dataset.sample.like if isinstance(dataset.sample, Like) else None
    for other, spot in ((dataset.from_, (*place, "from")), (like, (*place, "sample", "like"))):
        if other is not None and (unknown := names.unknown("dataset", other)):
            yield document.problem(spot, unknown)


def _quota(quota: Quota, dataset: Dataset, document: Document, place: Path, names: _Names) -> Iterator[Problem]:
    if not any(getattr(quota, limit) is not None for limit in LIMITS) and not document.was_removed(place):
        yield document.problem(place, f"the quota asks for nothing: name {', '.join(LIMITS[:-1])} or {LIMITS[-1]}")
    for unit in ("rows", "share"):
        low, high = getattr(quota, f"min_{unit}"), getattr(quota, f"max_{unit}")
        if low is not None and high is not None and low > high:
            yield document.problem((*place, f"min_{unit}"), f"min_{unit} is above max_{unit}")
    if quota.floor is not None and not document.was_removed((*place[:2], "threshold")):
        yield from _floor(quota.floor, dataset, document, place, names)


def _floor(
    floor: float | dict[str, float], dataset: Dataset, document: Document, place: Path, names: _Names
) -> Iterator[Problem]:
    if not dataset.threshold:
        yield document.problem((*place, "floor"), "a floor needs a threshold: without one no row has a score here")
        return
    floors = floor if isinstance(floor, dict) else dict.fromkeys(dataset.threshold, floor)
    spot: Path = (*place, "floor")
    for grader, lowest in floors.items():
        spot = (*place, "floor", grader) if isinstance(floor, dict) else spot
        if grader not in dataset.threshold:
            yield document.problem(spot, _unknown("threshold", grader, dataset.threshold))
        elif grader in names.graders and (off := on_scale(lowest, names.graders[grader].scale_of_thresholds)):
            yield document.problem(spot, f"the floor {lowest:g} {off} of the grader '{grader}'")
        elif lowest > dataset.threshold[grader]:
            yield document.problem(spot, f"the floor {lowest:g} is above the threshold {dataset.threshold[grader]:g}")


def _expectation(expectation: Expectation, document: Document, place: Path, names: _Names) -> Iterator[Problem]:
    for kind in SUBJECT_KINDS:
        name = getattr(expectation, kind)
        if name is not None and (unknown := names.unknown(kind, name)):
            yield document.problem((*place, kind), unknown)
    named = subject(expectation)
    measures = [measure for measure in MEASURES if getattr(expectation, measure) is not None]
    if named not in SUBJECTS:
        yield document.problem(
            place, "an expectation is about a dataset, a category (of a dataset), a grader, a rule, or the sources"
        )
        return
    fitting = SUBJECTS[named]
    if not measures and not document.was_removed(place):
        yield document.problem(place, f"the expectation names no number to meet: {', '.join(fitting)}")
    for measure in measures:
        bounds = getattr(expectation, measure)
        if measure not in fitting:
            about = " and ".join(named) or "the sources"
            yield document.problem(
                (*place, measure), f"'{measure}' is no number of {about}; there: {', '.join(fitting)}"
            )
        elif bounds.min is None and bounds.max is None:
            if not document.was_removed((*place, measure)):
                yield document.problem((*place, measure), f"'{measure}' needs 'min', 'max' or both")
        elif _crossed(bounds):
            yield document.problem((*place, measure), f"'{measure}' has a 'min' above its 'max'")


def _crossed(bounds: Bounds) -> bool:
    """Whether the lower bound is above the upper one; a count and a percentage cannot be compared."""
    low, high = bounds.min, bounds.max
    if isinstance(low, str) and isinstance(high, str):
        return float(low.rstrip("%")) > float(high.rstrip("%"))
    return isinstance(low, float | int) and isinstance(high, float | int) and low > high


def _later_stages(
    recipe: RecipeText, document: Document, names: _Names, prompts: Mapping[str, str]
) -> Iterator[Problem]:
    yield from check_training(recipe.training, recipe.datasets, document, names.unknown)
    if recipe.evaluation is not None:
        # Few recipes have one: the others import less.
        from alpaqual.recipe.crosscheck_evaluation import check_evaluation

        yield from check_evaluation(recipe, document, prompts)
