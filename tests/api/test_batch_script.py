"""sbatch's options as a job request: the table of options, and the real sbatch as the oracle."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.api import sbatch
from crowdrun.api.batch_script import read_script, request_from_options
from crowdrun.data.errors import RequestError
from crowdrun.data.units import duration_s, memory_mb


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, {"req_nodes": 1, "req_cpus": 1, "req_gpus": 0, "req_mem_mb": None, "timelimit_s": None}),
        ({"mem": "0"}, {"req_mem_mb": None}),
        ({"nodes": "2-4", "mem": "1500"}, {"req_nodes": 2, "req_mem_mb": 3000.0, "req_cpus": 2}),
        ({"ntasks": "4", "cpus-per-task": "2", "mem-per-cpu": "1G"}, {"req_cpus": 8, "req_mem_mb": 8192.0}),
        ({"nodes": "2", "ntasks-per-node": "3"}, {"req_cpus": 6}),
        ({"gpus": "a100:4", "mem-per-gpu": "10G"}, {"req_gpus": 4, "gpu_type": "a100", "req_mem_mb": 40960.0}),
        ({"gres": "gpu:2,license:1", "nodes": "3"}, {"req_gpus": 6, "gpu_type": None}),
        ({"gres": "gpu"}, {"req_gpus": 1}),
        ({"gres": "gpu:v100:2(S:0-1)"}, {"req_gpus": 2, "gpu_type": "v100"}),
        ({"gres": "gpu:tesla"}, {"req_gpus": 1, "gpu_type": "tesla"}),
        ({"gpus-per-node": "2", "nodes": "2"}, {"req_gpus": 4}),
        ({"gpus-per-task": "1", "ntasks": "3"}, {"req_gpus": 3}),
        ({"time": "UNLIMITED"}, {"timelimit_s": None}),
        ({"time": "1-12"}, {"timelimit_s": 129600.0}),
        ({"wrap": "hostname"}, {"job_name": "wrap"}),
        ({"job-name": "x", "partition": "p", "qos": "q"}, {"job_name": "x", "partition": "p", "qos": "q"}),
    ],
)
def test_options_make_these_totals(options: dict[str, str], fields: dict[str, Any]) -> None:
    request = request_from_options(options)
    assert {name: getattr(request, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("#SBATCH --mem=lots", "--mem is 'lots'"),
        ("#SBATCH -N two", "--nodes is 'two'"),
        ("#SBATCH --memory=4G", "an option that it does not know: --memory"),
        ("#SBATCH -n", "no value for -n"),
        ("#SBATCH --gres=gpu:a:b", "--gres holds 'a:b'"),
        ("#SBATCH -n 1\n#SBATCH hetjob\n#SBATCH -n 2", "a heterogeneous job"),
    ],
)
def test_what_sbatch_would_refuse_is_named(script: str, named: str) -> None:
    with pytest.raises(RequestError, match=re.escape(named)):
        read_script(script)


def test_the_command_line_goes_before_the_script() -> None:
    script = "#!/bin/sh\n#SBATCH --mem=4G -t 10 -J script\nhostname\n"
    request = read_script(script, given=[("mem-per-cpu", "1G"), ("job-name", "line")])
    assert (request.req_mem_mb, request.timelimit_s, request.job_name) == (1024.0, 600.0, "line")


@given(st.text())
def test_no_script_makes_it_crash(script: str) -> None:
    for text in (script, f"#SBATCH {script}"):
        with suppress(RequestError):
            assert read_script(text).req_nodes


@given(st.lists(st.text(min_size=1)))
def test_no_arguments_make_it_crash(arguments: list[str]) -> None:
    with suppress(sbatch.NoAdviceError):
        options, rest = sbatch.split(arguments)
        assert {name for name, _ in options} <= sbatch.LONG
        assert arguments[len(arguments) - len(rest) :] == rest


@given(st.lists(st.text(alphabet="ab -'\"\\#\t", min_size=1)))
def test_words_that_are_quoted_come_back(words: list[str]) -> None:
    line = " ".join("".join("\\" + character for character in word) for word in words)
    assert sbatch.words(line) == words


SCRIPTS = (
    "#!/bin/sh\n#SBATCH -J 'a b' -t5 # later\n\n# so\n#SBATCH --mem 100M\nhostname\n#SBATCH -N 9\n",
    "#!/bin/sh\n#SBATCH --job-name=a#b --mem-per-cpu=50 -n4\nhostname\n",
    "#!/bin/sh\n #SBATCH --mem=100\n##SBATCH -J no\n#SBATCH--time=7\nhostname\n",
    "#!/bin/sh\n#SBATCH -N2 -c 2 --mem=1G --gres=gpu:2\nhostname\n",
    "#!/bin/sh\n#SBATCH -J it\\'s\\\\x -t 00:30 -G 3 --mem-per-gpu=10M\nhostname\n",
    "#!/bin/sh\n#SBATCH --ntasks-per-node=2 --nodes 2-3 --mem=30M --part batch\nhostname\n",
    "#!/bin/sh\n#SBATCH --gpus-per-node=1 -N 2 --mem=64M --time=1-00:00:00\nhostname\n",
    "#!/bin/sh\n#SBATCH --gpus-per-task=1 -n 2 --mem=64M --exclusive -Hk\nhostname\n",
)


@pytest.mark.slurm
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_request_is_what_the_real_sbatch_makes_of_the_script(slurm: str, script: str, tmp_path: Path) -> None:
    file = tmp_path / "job.sh"
    file.write_text(script)
    submitted = subprocess.run(
        ["sbatch", "--parsable", "--hold", "--output=/dev/null", str(file)], capture_output=True, text=True
    )
    assert submitted.returncode == 0, submitted.stderr
    job_id = submitted.stdout.strip().split(";")[0]
    try:
        shown = subprocess.run(["scontrol", "show", "job", "-o", job_id], capture_output=True, text=True).stdout
    finally:
        subprocess.run(["scancel", job_id], check=True)
    found = re.search(r"JobName=(.*) UserId=.* TimeLimit=(\S+) .* TRES=(\S+) ", shown)
    assert found
    tres = dict(entry.split("=") for entry in found[3].split(","))
    request = read_script(script, name="job.sh")
    assert request.job_name == found[1]
    assert request.req_nodes == int(tres["node"])
    assert request.req_gpus == int(tres.get("gres/gpu", 0))
    if request.req_mem_mb is not None:
        assert request.req_mem_mb == memory_mb(tres["mem"])
    if request.timelimit_s is not None:
        # Slurm counts in minutes, rounded up.
        assert -(-request.timelimit_s // 60) * 60 == duration_s(found[2])
    if "--exclusive" not in script:
        assert request.req_cpus == int(tres["cpu"])
