"""What pyproject.toml says of the tree is true: packages, data files, version, commands, dependencies."""

import re
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("api", "data", "predictor", "training")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def canonical(requirement: str) -> str:
    """The name in a requirement or a pin, as PEP 503 normalises it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def folders_with_code() -> set[Path]:
    return {file.parent for layer in LAYERS for file in (ROOT / layer).rglob("*.py")}


def requirements() -> set[str]:
    """Names of all direct dependencies, with those of the extras, without crowdrun itself."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    every = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return {canonical(line) for line in every} - {"crowdrun"}


def test_the_list_of_packages_equals_the_folders_with_code() -> None:
    tree = {"crowdrun." + ".".join(folder.relative_to(ROOT).parts) for folder in folders_with_code()}
    assert set(SETUPTOOLS["packages"]) == tree


def test_every_folder_with_code_is_a_package() -> None:
    assert not [str(folder) for folder in folders_with_code() if not (folder / "__init__.py").exists()]


def test_every_file_that_is_not_code_goes_into_the_wheel() -> None:
    """A template or sample that no pattern of package-data covers would be missing once installed."""
    left_out = []
    for layer in LAYERS:
        for file in (ROOT / layer).rglob("*"):
            if file.suffix in {".py", ".pyc"} or not file.is_file():
                continue
            patterns = {
                folder / pattern
                for package, entries in SETUPTOOLS.get("package-data", {}).items()
                for pattern in entries
                if (folder := ROOT.joinpath(*package.split(".")[1:])) in file.parents
            }
            if not any(file.match(str(pattern)) for pattern in patterns):
                left_out.append(str(file.relative_to(ROOT)))
    assert not left_out, "add a pattern to [tool.setuptools.package-data]"


def test_the_installed_version_is_the_one_in_pyproject() -> None:
    assert version("crowdrun") == PROJECT["project"]["version"]


@pytest.mark.parametrize("target", PROJECT["project"]["scripts"].values())
def test_a_console_command_points_at_a_function(target: str) -> None:
    module, _, name = target.partition(":")
    assert callable(getattr(import_module(module), name))


def test_every_dependency_is_pinned_in_the_constraints() -> None:
    pinned = {canonical(line) for line in (ROOT / "constraints.txt").read_text("utf-8").split()}
    # The server's driver and the build's own tool are pinned as well: `make setup` installs the dev extra.
    assert requirements() <= pinned


def test_every_dependency_has_a_line_in_the_docs_and_no_line_is_stale() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    told = {canonical(name) for name in re.findall(r"^\| `([^`]+)`", text, flags=re.MULTILINE)}
    assert told == requirements()
