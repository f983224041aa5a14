import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from crowdrun.data.errors import ConfigError
from crowdrun.training.job import Job, command_job, load_job, to_request, with_flags

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "digits.toml"


def job_file(folder: Path, text: str) -> Path:
    file = folder / "job.toml"
    file.write_text(text)
    return file


def test_the_shipped_example_is_read_into_a_task_with_its_options() -> None:
    job = load_job(EXAMPLE, work_dir=Path("/w"))
    assert job.task
    assert (job.name, job.ranks, job.task.target) == ("digits", 2, "crowdrun.training.models.digits")
    written = tomllib.loads(EXAMPLE.read_text())
    for name in ("epochs", "batch_size", "optimizer", "learning_rate", "precision", "seed"):
        assert getattr(job.task.options, name) == written[name]
    assert job.task.options.extra == written["options"]


def test_the_request_tells_the_crowd_what_the_job_file_tells() -> None:
    job = load_job(EXAMPLE, work_dir=Path("/w"))
    request = to_request(job, submit_time=7.0)
    assert job.task
    assert (request.job_name, request.model) == ("digits", "digits-resnet")
    assert request.batch_size == job.task.options.batch_size
    assert (request.optimizer, request.precision, request.work_dir) == ("adamw", "fp32", "/w")
    assert (request.req_mem_mb, request.req_cpus, request.submit_time) == (job.resources.mem_mb, 2, 7.0)
    assert request.user
    assert request.command == f"crowdrun run {EXAMPLE}"


def test_a_task_file_is_found_beside_the_job_file_and_must_be_there(tmp_path: Path) -> None:
    file = job_file(tmp_path, 'task = "net.py"')
    with pytest.raises(ConfigError, match=r"there is no file .*net\.py"):
        load_job(file, work_dir=Path("/w"))
    (tmp_path / "net.py").touch()
    job = load_job(file, work_dir=Path("/w"))
    assert job.task
    assert (job.task.target, job.task.name, job.name) == (str(tmp_path / "net.py"), "net", "job")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'x'", "there is no task"),
        (
            "task = 'm'\n[options]\nepochs = 3",
            r"epochs stands in \[options\], which is for the task's own; write it at",
        ),
        ("task = 'm'\nepoch = 3", "epoch is no key of a job file; allowed are activation_checkpointing, batch_size"),
        (
            "task = 'm'\n[resources]\nmemory = 3",
            r"memory is no key of \[resources\]; allowed are account, card_mb, cpus",
        ),
        ("task = 'm'\nepochs = 0", "epochs is 0; it must be a whole number of 1 or more"),
        ("task = 'm'\nbatch_size = 1.5", "batch_size is 1.5"),
        ("task = 'm'\nlearning_rate = 'high'", "learning_rate is 'high'"),
        ("task = 'm'\nprecision = 'fp8'", "precision is 'fp8'; it must be one of bf16, fp32, fp64"),
        ("task = 'm'\nranks = true", "ranks is True"),
        ("task = 'm'\nranks = 3\n[resources]\nnodes = 2", "3 ranks cannot be spread evenly over 2 nodes"),
        ("task = 'm'\n[resources]\nmem_mb = '16G'", "mem_mb is '16G'; it must be a number of 1 or more"),
        ("task = 'm'\n[resources]\ngpus = 0.5", "gpus is 0.5; it must be a whole number"),
        ("task = 'm'\n[resources]\ntimelimit_s = -1", "timelimit_s is -1"),
        ("task = 'm'\nstrategy = 'magic'", "strategy is 'magic'; it must be one of auto, compressed"),
        ("task = 'm'\n[strategy]\nname = 'server'\nbond = 3", "bond is no setting of the strategy server"),
        ("task = 7", "task is 7; it must be a text"),
        ("options = 7\ntask = 'm'", "options is 7; it must be a table"),
        ("task = ", "cannot read the job file"),
    ],
)
def test_a_job_file_with_a_mistake_says_which_file_what_came_and_what_is_allowed(
    tmp_path: Path, text: str, said: str
) -> None:
    file = job_file(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as error:
        load_job(file, work_dir=Path("/w"))
    assert str(file) in str(error.value)


def test_what_the_command_line_says_goes_before_the_file() -> None:
    job = load_job(EXAMPLE, work_dir=Path("/w"))
    changed = with_flags(job, name="mine", ranks=4, mem_mb=900.0)
    assert (changed.name, changed.ranks, changed.resources) == ("mine", 4, replace(job.resources, mem_mb=900.0))
    assert with_flags(job) == job


def test_a_strategy_is_a_name_or_a_table_and_the_command_line_goes_before_it(tmp_path: Path) -> None:
    text = "task = 'lenet'\n[strategy]\nname = 'server'\nmode = 'stale-synchronous'\nbound = 5"
    job = load_job(job_file(tmp_path, text), work_dir=Path("/w"))
    assert job.task
    assert job.task.strategy.to_table() == {"name": "server", "mode": "stale-synchronous", "bound": 5}
    same, other = (with_flags(job, strategy=name).task for name in ("server", "fsdp"))
    assert same == job.task
    assert other
    assert other.strategy.to_table() == {"name": "fsdp"}
    with pytest.raises(ConfigError, match="a strategy is for a task"):
        with_flags(command_job(["true"], work_dir=Path("/w")), strategy="ddp")


def test_a_built_in_task_comes_with_options_that_the_file_can_change(tmp_path: Path) -> None:
    file = job_file(tmp_path, "task = 'resnet-18'\nbatch_size = 4\n[options]\nside = 64")
    task = load_job(file, work_dir=Path("/w")).task
    assert task
    assert (task.target, task.model, task.options.batch_size) == ("crowdrun.training.models.resnet", "resnet-18", 4)
    assert task.options.extra == {"depth": 18, "side": 64}


def test_a_command_is_named_after_its_script() -> None:
    names = [
        command_job(words, work_dir=Path("/w")).name
        for words in (["python", "-u", "a/train.py", "x.py"], ["/bin/sleep", "3"])
    ]
    assert names == ["train.py", "sleep"]


def test_a_job_of_no_rank_is_refused() -> None:
    with pytest.raises(ConfigError, match="ranks is 0"):
        Job(name="x", command=("x",), work_dir=Path("/w"), ranks=0)
