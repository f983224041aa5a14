"""What is set in each mode, where the mode comes from, and what keeps a figure from being set."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crowdrun.api import sbatch

ANSWER = {
    "line": "asked 64G, similar jobs used 3.1-3.9G (27 runs); 4.6G keeps the out-of-memory risk under 5%",
    "mem_mb": 4705.2,
    "ladder_mb": [9410.4, 18820.8],
    "time_s": 5400.0,
    "gpus": 1,
    "asked": {"nodes": 1, "cpus": 4, "mem_mb": 65536.0, "gpus": 4},
}
#: Two partitions; nodes of 256 GB with 4 GPUs and a day, and one of 1 TB.
SINFO = """#!/bin/sh
echo "batch*|256000|1-00:00:00|gpu:a100:4(S:0-1)|fast,a100"
echo "batch*|256000|1-00:00:00|gpu:a100:4(S:0-1)|fast"
echo "big|1024000|infinite|(null)|(null)"
"""
Submit = Callable[..., tuple[list[str], str]]


@pytest.fixture
def submit(recorder: Path, answering: Any) -> Submit:
    """Submit, and return the arguments that sbatch was given and what was said."""
    answering.answers(ANSWER)
    (recorder.parent / "bin" / "sinfo").write_text(SINFO)
    (recorder.parent / "bin" / "sinfo").chmod(0o755)
    (recorder.parent / "plain.sh").write_text("#!/bin/sh\npython train.py\n")

    def run(*arguments: str, **options: Any) -> tuple[list[str], str]:
        options = {"stdin": subprocess.DEVNULL} | options
        finished = subprocess.run(["sh", sbatch.__file__, *arguments], capture_output=True, text=True, **options)
        assert (finished.returncode, finished.stdout) == (3, "Submitted batch job 7\n"), finished.stderr
        return Path(f"{recorder}.arguments").read_text().splitlines(), finished.stderr

    return run


def answer(**changes: Any) -> dict[str, Any]:
    asked = ANSWER["asked"] | changes.pop("asked", {})  # type: ignore[operator]
    return ANSWER | changes | {"asked": asked}


def test_advise_changes_nothing_and_says_the_line(submit: Submit) -> None:
    given, said = submit("--mem=64G", "plain.sh", "--crowd=apply")
    assert given == ["--mem=64G", "plain.sh", "--crowd=apply"]
    assert said == f"crowdrun: {ANSWER['line']}\n"


def test_apply_sets_memory_time_and_gpus_and_says_what_it_did(submit: Submit) -> None:
    given, said = submit("--crowd=apply", "--mem=64G", "-t", "1-0", "--gres=gpu:a100:4", "plain.sh", "x")
    assert given[:4] == ["--mem=64G", "-t", "1-0", "--gres=gpu:a100:4"]
    assert given[4:] == ["--mem=4706M", "--time=90", "--gres=gpu:a100:1", "plain.sh", "x"]
    was = "set --mem=4706M (was 64G) --time=90 (was 1-0) --gres=gpu:a100:1 (was gpu:a100:4)"
    assert said == f"crowdrun: {ANSWER['line']}; {was}\n"


def test_fill_sets_only_what_was_left_out(submit: Submit) -> None:
    assert submit("--crowd=fill", "--mem=64G", "plain.sh")[0] == ["--mem=64G", "--time=90", "--gpus=1", "plain.sh"]
    assert submit("--crowd=fill", "-t9", "-G2", "plain.sh")[0] == ["-t9", "-G2", "--mem=4706M", "plain.sh"]
    # job.sh has a #SBATCH line with --mem.
    assert submit("--crowd=fill", "-t9", "-G2", "job.sh")[0] == ["-t9", "-G2", "job.sh"]


def test_off_asks_nobody(submit: Submit, answering: Any) -> None:
    assert submit("--crowd=off", "--mem=64G", "plain.sh") == (["--mem=64G", "plain.sh"], "")
    assert not answering.heard


def test_each_layer_goes_before_the_one_before_it(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*arguments: str) -> bool:
        return "--mem=4706M" in submit(*arguments, "--mem=64G", "plain.sh")[0]

    assert not changed()
    (tmp_path / "site.conf").write_text("mode = apply  # for all\n")
    assert changed()
    (tmp_path / "config" / "crowdrun").mkdir(parents=True)
    (tmp_path / "config" / "crowdrun" / "csbatch.conf").write_text("mode = advise\n")
    assert not changed()
    monkeypatch.setenv("CROWDRUN_MODE", "apply")
    assert changed()
    assert not changed("--crowd", "advise")
    assert changed("--crowd=advise", "--crowd=apply")


def test_memory_is_set_in_the_form_that_the_user_chose(submit: Submit, answering: Any) -> None:
    answering.answers(answer(time_s=None, gpus=None))
    assert submit("--crowd=apply", "--mem-per-cpu=16G", "-c4", "plain.sh")[0][2] == "--mem-per-cpu=1177M"
    assert submit("--crowd=apply", "--mem-per-gpu=16G", "-G4", "plain.sh")[0][2] == "--mem-per-gpu=1177M"
    answering.answers(answer(time_s=None, gpus=None, asked={"nodes": 2}))
    assert submit("--crowd=apply", "--mem=64G", "-N2", "plain.sh")[0][2] == "--mem=2353M"
    assert submit("--crowd=fill", "-n4", "plain.sh")[0][1] == "--mem-per-cpu=1177M"


@pytest.mark.parametrize(
    "arguments", [("--mem=0",), ("--exclusive", "--mem=64G"), ("--exclusive=user",), ("--mem-per-gpu=64G",)]
)
def test_memory_that_is_not_an_amount_is_left_alone(arguments: tuple[str, ...], submit: Submit, answering: Any) -> None:
    answering.answers(answer(time_s=None, gpus=None, asked={"mem_mb": None, "gpus": 0}))
    assert submit("--crowd=apply", *arguments, "plain.sh")[0] == [*arguments, "plain.sh"]


@pytest.mark.parametrize("option", ["--signal=USR1@60", "--time-min=10", "--deadline=now+1day"])
def test_a_time_limit_that_means_something_else_is_left_alone(option: str, submit: Submit, answering: Any) -> None:
    answering.answers(answer(mem_mb=None, gpus=None))
    assert submit("--crowd=apply", "-t1-0", option, "plain.sh")[0] == ["-t1-0", option, "plain.sh"]


def test_no_time_limit_is_set_below_five_minutes_nor_raised_to_them(submit: Submit, answering: Any) -> None:
    answering.answers(answer(mem_mb=None, gpus=None, time_s=20.0))
    assert submit("--crowd=apply", "-t10", "plain.sh")[0] == ["-t10", "--time=5", "plain.sh"]
    assert submit("--crowd=apply", "-t2", "plain.sh")[0] == ["-t2", "plain.sh"]
    assert submit("--crowd=fill", "plain.sh")[0] == ["--time=5", "plain.sh"]


def test_nothing_is_set_outside_the_bounds_of_the_site(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "site.conf").write_text(
        "min_mem = 8G\nmax_time = 1:00:00\nmax_gpus = 0\n[partition big]\nmax_mem = 4G\nmin_mem = 1G\n"
    )
    # The bound on GPUs is for filling in: what a user asked for is lowered only.
    assert submit("--crowd=apply", "--mem=64G", "-t1-0", "plain.sh")[0][2:-1] == ["--mem=8192M", "--time=60"]
    assert submit("--crowd=apply", "--mem=64G", "-p", "big", "-t1-0", "plain.sh")[0][4:-1] == [
        "--mem=4096M",
        "--time=60",
    ]


def test_the_bounds_are_the_sites_alone(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "config" / "crowdrun").mkdir(parents=True)
    (tmp_path / "config" / "crowdrun" / "csbatch.conf").write_text("max_mem = 1T\n")
    assert "'max_mem = 1T'; allowed are limit_ms, mode" in submit("plain.sh")[1]


def test_nothing_is_raised_beyond_what_a_node_has(submit: Submit, answering: Any) -> None:
    answering.answers(answer(mem_mb=300_000.0, time_s=90_000.0, gpus=8, line=None, asked={"mem_mb": None}))
    given, said = submit("--crowd=fill", "plain.sh")
    assert given == ["plain.sh"]
    assert said == "crowdrun: no node has 300000M; no partition allows 1500 minutes; no node has 8 GPUs\n"
    assert submit("--crowd=fill", "-p", "big", "plain.sh")[0][2:] == ["--mem=300000M", "--time=1500", "plain.sh"]
    assert submit("--crowd=fill", "-p", "no-such", "plain.sh")[0] == ["-p", "no-such", "plain.sh"]


def test_without_sinfo_nothing_is_raised_but_lowered(submit: Submit, recorder: Path, answering: Any) -> None:
    (recorder.parent / "bin" / "sinfo").write_text("#!/bin/sh\nexit 1\n")
    assert submit("--crowd=fill", "plain.sh")[0] == ["plain.sh"]
    assert submit("--crowd=apply", "--mem=64G", "-t1-0", "-G4", "plain.sh")[0][3:] == [
        "--mem=4706M", "--time=90", "--gpus=1", "plain.sh",
    ]  # fmt: skip


LAUNCHED = {
    "torchrun --nproc_per_node=4 train.py": 4,
    "torchrun --standalone --nproc-per-node 2 train.py": 2,
    "torchrun --nproc-per-node=gpu train.py": 4,
    "torchrun train.py": 4,
    "python -m torch.distributed.run --nproc_per_node=3 train.py": 3,
    "accelerate launch --num_processes 2 train.py": 2,
    "accelerate launch train.py": 4,
    "accelerate env": 1,
    "deepspeed --num_gpus=2 train.py": 2,
    "deepspeed train.py": 4,
    "mpirun -np 2 python train.py": 2,
    "/opt/openmpi/bin/mpirun -np 3 python train.py": 3,
    "horovodrun -np 4 python train.py": 4,
    "srun -n 2 python train.py": 2,
    "srun -n3 python train.py": 3,
    "srun --ntasks=2 python train.py": 2,
    "srun python train.py": 1,
    "GPUS=2\ntorchrun --nproc_per_node=$GPUS train.py": 2,
    "GPUS=2\ntorchrun --nproc_per_node=${GPUS} train.py": 2,
    "torchrun --nproc_per_node=$SLURM_GPUS train.py": 4,
    "export CUDA_VISIBLE_DEVICES=0,1,2\npython train.py": 3,
    "time torchrun \\\n  --nproc_per_node=2 \\\n  train.py > log 2>&1": 2,
    "cd work && torchrun --nproc_per_node=2 a.py; torchrun --nproc_per_node=3 b.py": 3,
    "torchrun --nproc_per_node=8 train.py": 4,
    "python train.py  # torchrun --nproc_per_node=4": 1,
    "echo not-torchrun --nproc_per_node=4": 1,
}


@pytest.mark.parametrize("script", LAUNCHED)
@pytest.mark.parametrize("option", ["--gpus={}", "--gres=gpu:{}", "--gpus-per-node=a100:{}"])
def test_gpus_are_never_lowered_below_what_a_launcher_needs(
    script: str, option: str, submit: Submit, answering: Any, tmp_path: Path
) -> None:
    answering.answers(answer(mem_mb=None, time_s=None))
    (tmp_path / "plain.sh").write_text(f"#!/bin/bash\n{script}\n")
    given, said = submit("--crowd=apply", option.format(4), "plain.sh")
    gpus = LAUNCHED[script]
    assert given == [option.format(4), *([option.format(gpus)] if gpus < 4 else []), "plain.sh"]
    assert ("GPUs kept for" in said) == (gpus > 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--gpus=4", "--cpus-per-gpu=2"),
        ("--gpus=4", "--ntasks-per-gpu=1"),
        ("--gpus-per-task=4",),
        ("--gpus=4", "--gres=gpu:4"),
        ("--gres=gpu:a100:2,gpu:v100:2",),
    ],
)
def test_gpus_that_other_options_count_on_are_left_alone(
    arguments: tuple[str, ...], submit: Submit, answering: Any
) -> None:
    answering.answers(answer(mem_mb=None, time_s=None))
    assert submit("--crowd=apply", *arguments, "plain.sh")[0] == [*arguments, "plain.sh"]


def test_gpus_of_a_script_that_cannot_be_seen_are_left_alone(submit: Submit, answering: Any) -> None:
    answering.answers(answer(mem_mb=None, time_s=None))
    assert submit("--crowd=apply", "--gpus=4")[0] == ["--gpus=4"]


def test_a_script_through_a_pipe_is_read_and_given_on_whole(submit: Submit, recorder: Path, answering: Any) -> None:
    script = "#!/bin/sh\n#SBATCH --mem=64G -t 1-0\ntorchrun --nproc_per_node=2 x\n" + "# filler\n" * 100_000
    given, _ = submit("--crowd=apply", "-G4", stdin=None, input=script)
    assert given == ["-G4", "--mem=4706M", "--time=90", "--gpus=2"]
    assert answering.asked()["options"] == {"mem": "64G", "time": "1-0", "gpus": "4"}
    assert Path(f"{recorder}.stdin").read_text() == script


def test_the_components_of_a_heterogeneous_job_are_told_apart_and_left_alone(submit: Submit, answering: Any) -> None:
    answering.answers([ANSWER | {"line": "one"}, ANSWER | {"line": None}, ANSWER | {"line": "three"}])
    arguments = ["-n1", "--mem=1G", ":", "-n2", ":", "-N2", "plain.sh"]
    given, said = submit("--crowd=apply", *arguments)
    assert given == arguments
    assert said == "crowdrun: component 0: one; component 2: three; a heterogeneous job is left as it is\n"
    assert [asked["options"] for asked in answering.asked()] == [
        {"ntasks": "1", "mem": "1G"}, {"ntasks": "2", "mem": "1G"}, {"ntasks": "2", "mem": "1G", "nodes": "2"},
    ]  # fmt: skip


def test_the_token_is_sent(submit: Submit, answering: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit("plain.sh")
    assert b"Authorization" not in answering.heard[-1]
    (tmp_path / "token").write_text("from-the-file\n")
    (tmp_path / "site.conf").write_text(f"token_file = {tmp_path}/token\n")
    submit("plain.sh")
    assert b"\r\nAuthorization: Bearer from-the-file\r\n" in answering.heard[-1]
    monkeypatch.setenv("CROWDRUN_TOKEN", "from-the-environment")
    submit("plain.sh")
    assert b"\r\nAuthorization: Bearer from-the-environment\r\n" in answering.heard[-1]


def test_the_service_may_listen_on_a_unix_socket(recorder: Path, answering_on_a_path: Any) -> None:
    answering_on_a_path.answers({"line": "heard"})
    assert (
        subprocess.run(["sh", sbatch.__file__, "job.sh"], stdin=-3, capture_output=True).stderr == b"crowdrun: heard\n"
    )
    assert answering_on_a_path.asked()["options"] == {"mem": "16G"}


def test_it_writes_json_as_the_library_does() -> None:
    import json

    value = {"a": ['"\\\n\x7f\x00é😀', 1.5, 7, None], "": {}}
    assert json.loads(sbatch._json_text(value)) == value
