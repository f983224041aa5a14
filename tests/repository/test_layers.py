"""Reads all imports of the four layers: they run upward only, and what must stay light imports nothing heavy."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Layer -> the layers whose modules it may import.
MAY_IMPORT = {
    "data": {"data"},
    "predictor": {"data", "predictor"},
    "training": {"data", "training"},
    "api": {"api", "data", "predictor", "training"},
}
#: What a rank of a training job must never load.
HEAVY = {"xgboost", "sklearn", "fastapi"}
MODULES = {
    "crowdrun." + ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for layer in MAY_IMPORT
    for file in sorted((ROOT / layer).rglob("*.py"))
}


def modules_of(layer: str) -> list[str]:
    return [name for name in MODULES if name.split(".")[1] == layer]


def imports_in(tree: ast.AST) -> Iterator[str]:
    """Full names of what is imported, at any depth: `from a import b` gives a.b, a relative import a leading dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + f"{node.module or ''}.{alias.name}" for alias in node.names)


def imports_of(module: str) -> list[str]:
    return list(imports_in(ast.parse(MODULES[module].read_text("utf-8"))))


def loaded_by(statements: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after `statements`, without those that it always loads."""
    script = (
        f"import sys, json; before = set(sys.modules); {statements}; print(json.dumps([*(set(sys.modules) - before)]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def wrong_layers(layer: str, imported: list[str]) -> list[str]:
    """Those of `imported` that `layer` may not import."""
    ours = [name.split(".") for name in imported if name.split(".")[0] == "crowdrun"]
    return [".".join(parts) for parts in ours if len(parts) < 2 or parts[1] not in MAY_IMPORT[layer]]


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    wrong = {module: found for module in modules_of(layer) if (found := wrong_layers(layer, imports_of(module)))}
    assert not wrong, f"{layer} may import {sorted(MAY_IMPORT[layer])} only"


def test_the_check_sees_every_way_of_importing() -> None:
    code = "import crowdrun.api.cli\ndef f():\n    from crowdrun import training\nfrom crowdrun.predictor import crowd"
    found = wrong_layers("data", list(imports_in(ast.parse(code))))
    assert sorted(found) == ["crowdrun.api.cli", "crowdrun.predictor.crowd", "crowdrun.training"]


def test_our_modules_are_imported_by_their_full_names() -> None:
    """A relative import, or a plain `import data`, would find the user's own module of that name."""
    wrong = {
        module: [name for name in imports_of(module) if name.startswith(".") or name.split(".")[0] in MAY_IMPORT]
        for module in MODULES
    }
    assert not {module: names for module, names in wrong.items() if names}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module: {name if name in MODULES else name.rpartition(".")[0] for name in imports_of(module)} & MODULES.keys()
        for module in MODULES
    }
    try:
        TopologicalSorter({module: imported - {module} for module, imported in graph.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("layer", ["data", "training"])
def test_what_a_rank_may_load_never_imports_the_heavy_packages(layer: str) -> None:
    wrong = {module: {name.split(".")[0] for name in imports_of(module)} & HEAVY for module in modules_of(layer)}
    assert not {module: names for module, names in wrong.items() if names}


def test_importing_the_whole_training_layer_loads_none_of_the_heavy_packages() -> None:
    """The real thing: what libraries load in turn counts as well."""
    modules = [name for name in modules_of("training") if not name.endswith("__main__")]
    assert not loaded_by(f"import {', '.join(modules)}") & HEAVY


def test_the_sbatch_wrapper_imports_the_standard_library_alone() -> None:
    imported = {name.split(".")[0] for name in imports_of("crowdrun.api.sbatch")}
    assert imported <= sys.stdlib_module_names


def test_the_sbatch_wrapper_loads_the_standard_library_alone() -> None:
    loaded = loaded_by("import crowdrun.api.sbatch") - {"crowdrun"}
    assert not {name for name in loaded if not name.startswith("__editable__")} - sys.stdlib_module_names
