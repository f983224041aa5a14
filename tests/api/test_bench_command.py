"""`crowdrun bench sizing` without traces: a usage error that says what to give, before anything is read."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from crowdrun.api.commands.bench import command


def test_without_a_folder_of_traces_it_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROWDRUN_TRACES", raising=False)
    result = CliRunner().invoke(command, ["sizing"])
    assert result.exit_code == 2
    assert "the traces are missing: no folder is set; give --traces DIR or set CROWDRUN_TRACES" in result.stderr


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["sizing", "--traces", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "none is not a folder" in result.stderr.replace("\n", " ")


def test_a_trace_that_the_folder_lacks_is_a_usage_error_that_names_the_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["sizing", "--traces", str(tmp_path), "--log", "xdmod-phillips"])
    assert result.exit_code == 2
    assert "xdmod-phillips.sacct.xz" in result.stderr


def test_a_log_that_is_not_known_lists_those_that_are(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["sizing", "--traces", str(tmp_path), "--log", "mars"])
    assert result.exit_code == 2
    assert "iu-mason" in result.stderr
