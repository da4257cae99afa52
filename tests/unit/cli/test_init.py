"""`alpaqual init` in a git repository, and what git ignores of a project."""

from __future__ import annotations

import yaml
from conftest import Project


def test_in_a_git_repository_the_files_of_the_project_are_at_its_top(project: Project) -> None:
    (project.folder / ".git").mkdir()
    done = project.command("init", "a/my demo")
    assert done.returncode == 0, done.stderr
    inner, top = project.folder / "a/my demo", project.folder
    assert {path.name for path in inner.iterdir()} == {"recipe.yaml", "rules"}
    assert {path.name for path in top.iterdir()} == {".git", ".github", ".alpaqual", "a"}
    assert f"the project is {top.resolve()}, which has a .git: runs/ and .alpaqual/ are there" in done.stdout
    for file in ("recipe.yaml", "rules/project.yaml"):
        schema = (inner / file).read_text().splitlines()[0].partition("$schema=")[2]
        assert ((inner / file).parent / schema).resolve().is_file()
    workflow = yaml.safe_load((top / ".github/workflows/alpaqual.yml").read_text())
    assert any("alpaqual run 'a/my demo/recipe.yaml'" in step.get("run", "") for step in workflow["jobs"]["alpaqual"]["steps"])  # fmt: skip
    assert "git+https://github.com/alpaqual/alpaqual" in (top / ".github/workflows/alpaqual.yml").read_text()
    Project(inner).jsonl("data/train.jsonl", [{"instruction": f"q {n}", "output": f"a {n}"} for n in range(5)])
    assert project.command("run", "recipe.yaml", cwd=inner).returncode == 0
    assert not (inner / ".alpaqual").exists() and (top / "runs/my-demo/report.md").exists()


def test_the_store_of_a_recipe_without_init_is_ignored(project: Project) -> None:
    project.jsonl("data.jsonl", [{"instruction": "q", "output": "a"}])
    project.ask()
    project.run()
    ignore = project.folder / ".alpaqual/.gitignore"
    lines = ignore.read_text().splitlines()
    assert "store/" in lines and not any(line.strip("/") == "replies" for line in lines)
    ignore.unlink()
    project.jsonl("data.jsonl", [{"instruction": "q", "output": "b"}])
    project.run()
    assert not ignore.exists(), "a file that a person deleted comes back"
