"""`crowdrun bench gpu-memory`: options that do not go together are refused before anything is read."""

import lzma
from pathlib import Path

import pytest
from click.testing import CliRunner

from crowdrun.api.commands.bench import command
from crowdrun.data.errors import LogError


@pytest.mark.parametrize(
    "options", [("--cache", "x"), ("--models", "100"), ("--save", "x"), ("--cached-alone",)], ids=lambda one: one[0]
)
def test_options_of_the_table_need_the_table(options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(command, ["gpu-memory", *options])
    assert result.exit_code == 2
    assert f"{options[0]} goes with --timm" in result.stderr


def test_two_tables_at_once_are_refused() -> None:
    result = CliRunner().invoke(command, ["gpu-memory", "--timm", "a", "--gpumemnet", "b"])
    assert result.exit_code == 2
    assert "give one of --timm, --gpumemnet and --runs" in result.stderr


@pytest.mark.parametrize("option", ["--timm", "--gpumemnet"])
def test_a_table_that_is_none_is_refused_by_name(tmp_path: Path, option: str) -> None:
    file = tmp_path / "other.csv.xz"
    file.write_bytes(lzma.compress(b"a,b\n1,2\n"))
    result = CliRunner().invoke(command, ["gpu-memory", option, str(file)])
    assert isinstance(result.exception, LogError)
    assert "other.csv.xz" in str(result.exception)
