"""The command line: quick, one line for an error, no traceback."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from crowdrun.api.cli import COMMANDS
from crowdrun.data.settings import Settings
from crowdrun.predictor.persistence import registry

CROWDRUN = str(Path(sys.executable).parent / "crowdrun")
HEAVY = ("pandas", "numpy", "torch", "sklearn", "xgboost", "fastapi", "sqlalchemy", "rich", "duckdb", "pyarrow")


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CROWDRUN, *arguments], capture_output=True, text=True, env=os.environ | more)


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    program = (
        "import sys; from crowdrun.api.cli import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: print([name for name in {HEAVY} if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.stdout.splitlines()[-1] == "[]"
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} .*{re.escape(line[:30])}", finished.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_row_of_the_table_names_a_module_with_a_command(name: str) -> None:
    module, line = COMMANDS[name]
    assert line.endswith(".")
    assert find_spec(module), f"{module} does not exist"
    assert isinstance(import_module(module).command, click.Command)


def test_an_error_of_ours_is_one_line_and_status_1() -> None:
    finished = run("predict", "--mem", "64G")
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("crowdrun: no model is current in ")
    assert "crowdrun retrain" in line


def test_a_usage_error_is_status_2() -> None:
    finished = run("models", "activate")
    assert finished.returncode == 2
    assert "MODEL_ID" in finished.stderr
    assert run("dance").returncode == 2


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    process = subprocess.Popen([CROWDRUN, "config", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() in (1, 141)


def test_config_shows_each_value_and_where_it_came_from(crowdrun_home: Path) -> None:
    crowdrun_home.mkdir()
    (crowdrun_home / "crowdrun.toml").write_text('url = "http://127.0.0.1:9000"\n')
    finished = run("config", "--json", "--risk", "0.2", CROWDRUN_STORE="postgresql://me:secret@db/jobs")
    table = json.loads(finished.stdout)
    assert table["risk"] == {"value": 0.2, "from": "option --risk", "what": table["risk"]["what"]}
    assert table["url"]["from"] == f"file {crowdrun_home / 'crowdrun.toml'}"
    assert table["store"]["value"] == "postgresql://me:***@db/jobs"
    assert table["home"]["from"] == "environment CROWDRUN_HOME"
    lines = run("config").stdout.splitlines()
    assert len(lines) == len(table)


def test_a_setting_that_is_not_allowed_is_named_with_its_origin() -> None:
    finished = run("config", CROWDRUN_RISK="2")
    assert finished.returncode == 1
    assert "risk is '2' (from environment CROWDRUN_RISK)" in finished.stderr


def test_models_are_listed_shown_rolled_back_activated_and_pruned(settings: Settings) -> None:
    first = registry.current_id(settings.models_dir)
    published = run("retrain", "--force", "--json")
    assert published.returncode == 0, published.stderr
    second = json.loads(published.stdout)["id"]
    listed = run("models", "list").stdout.splitlines()
    assert [line[: len(first) + 2] for line in listed] == [f"  {first}", f"* {second}"]
    assert " UTC, 400 jobs, " in listed[0]
    assert ", mem_mb 0." in listed[0]
    assert listed[0].endswith("beat none")
    assert json.loads(run("models", "show").stdout)["id"] == second
    assert run("models", "rollback").stdout == f"current is {first}\n"
    assert run("models", "activate", second).stdout == f"current is {second}\n"
    assert run("models", "prune", "--keep", "1").stdout == f"removed {first}\n"
    assert registry.list_models(settings.models_dir) == [second]


def test_retrain_on_too_few_jobs_says_so_and_keeps_the_model() -> None:
    finished = run("retrain")
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line.startswith("crowdrun: ")


def test_predict_reads_a_script_and_prints_json_or_a_table(settings: Settings, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n#SBATCH -J trainb-7 --mem=16G\n#SBATCH -t 1:00:00\npython train.py\n#SBATCH -N 8\n")
    answer = json.loads(run("predict", "--script", str(script), "--user", "user1", "--json", "-c", "4").stdout)
    assert answer["request"] | {"req_mem_mb": 16384, "req_nodes": 1, "req_cpus": 4} == answer["request"]
    assert answer["request"]["job_name"] == "trainb-7"
    assert answer["predictions"]["mem_mb"]["safe"] <= 16384
    table = run("predict", "--script", str(script), "--user", "user1", COLUMNS="120")
    assert table.returncode == 0, table.stderr
    assert "host memory" in table.stdout
    assert "16G" in table.stdout


def test_predict_explains_in_words_and_in_json(settings: Settings) -> None:
    asked = ("predict", "--user", "user1", "--job-name", "trainb-7", "--mem", "16G", "--explain")
    text = run(*asked, COLUMNS="120")
    assert text.returncode == 0, text.stderr
    assert "- host memory: your 16 GB: risk under 0.1%" in text.stdout
    _, why, told = text.stdout.partition("\nwhy:\n")
    assert why
    said = json.loads(run(*asked, "--json").stdout)["predictions"]["mem_mb"]["explanation"]
    assert said["levels"]
    assert "host memory: the boosted trees" in told
    assert len(said["sentences"]) <= len(told.splitlines())


def test_predict_goes_on_with_the_model_when_the_store_cannot_be_reached(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(b"this is no database" * 100)
    store = f"sqlite:///{tmp_path / 'rubbish'}"
    finished = run("predict", "--user", "user1", "--mem", "16G", "--store", store, "--json")
    assert finished.returncode == 0
    assert "going on with what was known when the model was made" in finished.stderr
    assert json.loads(finished.stdout)["predictions"]
