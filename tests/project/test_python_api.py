"""What `import alpaqual` offers: the documented names, and help that shows signatures."""

import inspect
import pydoc
import subprocess
import sys
from collections.abc import Callable

import pytest

import alpaqual
from alpaqual import api


@pytest.mark.parametrize("name", [name for name in alpaqual.__all__ if name != "__version__"])
def test_a_public_name_is_the_one_of_the_api_and_has_a_docstring(name: str) -> None:
    assert getattr(alpaqual, name) is getattr(api, name)
    assert inspect.getdoc(getattr(alpaqual, name))


PUBLIC = [
    *[getattr(alpaqual, name) for name in alpaqual.__all__ if inspect.isfunction(getattr(alpaqual, name))],
    *[each for _, each in inspect.getmembers(alpaqual.Run, inspect.isfunction) if not each.__name__.startswith("_")],
]


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__qualname__)
def test_a_public_function_has_a_signature_of_named_and_typed_parameters(function: Callable[..., object]) -> None:
    signature = inspect.signature(function)
    passed_on = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in signature.parameters.values():
        assert parameter.kind not in passed_on
        assert parameter.name == "self" or parameter.annotation is not inspect.Parameter.empty
    assert signature.return_annotation is not inspect.Signature.empty


def test_help_of_run_shows_its_signature_and_parameters() -> None:
    text = pydoc.plain(pydoc.render_doc(alpaqual.run))

    assert text.startswith("Python Library Documentation: function run in module alpaqual.api")
    assert "run(recipe: 'Recipe | str | Path', *, out: 'str | Path | None' = None" in text
    assert [name for name in inspect.signature(alpaqual.run).parameters if f"\n        {name}: " not in text] == []


@pytest.mark.slow
def test_run_is_the_function_after_every_module_was_imported() -> None:
    """A package called `alpaqual.run` would replace the function as soon as it is imported."""
    program = """
import importlib, pkgutil, alpaqual
from alpaqual import api
for module in pkgutil.walk_packages(alpaqual.__path__, "alpaqual."):
    if "trainers" not in module.name and "__main__" not in module.name:
        importlib.import_module(module.name)
assert alpaqual.run is api.run, alpaqual.run
"""
    subprocess.run([sys.executable, "-c", program], check=True)
