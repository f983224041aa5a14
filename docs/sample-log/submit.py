"""Runs the plan on a Slurm cluster: submits as each user, a few jobs at once, and does to them what the plan says.

    sudo python3 submit.py --home /home --python /opt/torch/bin/python

Root submits for the users by taking their identity. A new job goes in as soon as fewer than `--at-once` wait or
run, so that the submissions spread over the whole time and early jobs have ended when later ones are submitted.
"""

import argparse
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

from plan import SCRIPTS, Job, make_plan

HERE = Path(__file__).parent
POLL_S = 0.5
#: A running job is cancelled or requeued after so long.
MISHAP_AFTER_S = 6


class Cluster:
    """Slurm's commands, run as a user of the cluster."""

    def __init__(self, home: Path, python: Path) -> None:
        self.home = home
        self.path = f"{python.parent}:/usr/local/bin:/usr/bin:/bin"

    def run(self, user: str, folder: str, command: list[str]) -> str:
        """Standard output of `command`; stops everything when it fails."""
        account = pwd.getpwnam(user)
        environment = {"PATH": self.path, "HOME": str(self.home / user), "USER": user, "LANG": "C.UTF-8"}
        if "SLURM_CONF" in os.environ:
            environment["SLURM_CONF"] = os.environ["SLURM_CONF"]
        done = subprocess.run(
            command, cwd=self.home / user / folder, env=environment, capture_output=True, text=True, check=False,
            user=account.pw_uid, group=account.pw_gid, extra_groups=[],
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{user}: {command}: {done.stderr.strip()}")
        return done.stdout.strip()

    def queue(self) -> dict[str, tuple[str, float]]:
        """Job or array task -> its state and the seconds it has run; jobs that only wait for their time left out."""
        lines = subprocess.run(
            ["squeue", "--noheader", "--array", "--format=%i|%T|%M|%r"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        rows = (line.split("|") for line in lines)
        return {job: (state, _seconds(ran)) for job, state, ran, reason in rows if reason != "BeginTime"}


def _seconds(clock: str) -> float:
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return total


def prepare(cluster: Cluster, digits: Path, jobs: list[Job]) -> None:
    """Scripts, train.py and the data into every home; one folder for each kind of work."""
    for user in sorted({job.user for job in jobs}):
        home, account = cluster.home / user, pwd.getpwnam(user)
        for name, text in SCRIPTS.items():
            (home / name).write_text(text)
        shutil.copyfile(HERE / "train.py", home / "train.py")
        shutil.copyfile(digits, home / "digits.csv.gz")
        for folder in sorted({job.folder for job in jobs if job.user == user}):
            (home / folder).mkdir(exist_ok=True)
            os.chown(home / folder, account.pw_uid, account.pw_gid)


class Mishaps:
    """Cancels and requeues what the plan says."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.waiting: dict[str, Job] = {}

    def add(self, job_id: str, job: Job) -> None:
        if job.fate == "cancel-pending":
            self.cluster.run(job.user, job.folder, ["scancel", job_id])
        elif job.fate:
            self.waiting[job_id] = job

    def look(self, queue: dict[str, tuple[str, float]]) -> None:
        for job_id, job in list(self.waiting.items()):
            state, ran = queue.get(job_id, ("", 0.0))
            if state == "RUNNING" and ran >= MISHAP_AFTER_S:
                command = ["scontrol", "requeue"] if job.fate == "requeue" else ["scancel"]
                self.cluster.run(job.user, job.folder, [*command, job_id])
                del self.waiting[job_id]


def submit_all(cluster: Cluster, jobs: list[Job], at_once: int) -> None:
    mishaps, queue = Mishaps(cluster), cluster.queue()
    for number, job in enumerate(jobs, 1):
        while len(queue) >= at_once:
            time.sleep(POLL_S)
            queue = cluster.queue()
            mishaps.look(queue)
        job_id = cluster.run(job.user, job.folder, job.sbatch())
        mishaps.add(job_id, job)
        sys.stdout.write(f"{number}/{len(jobs)} {job_id} {job.user} {job.name}\n")
        sys.stdout.flush()
        time.sleep(POLL_S)
        queue = cluster.queue()
    while queue:
        time.sleep(POLL_S)
        queue = cluster.queue()
        mishaps.look(queue)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="folder of the users' homes")
    parser.add_argument("--python", type=Path, required=True, help="a Python with torch and numpy that users can run")
    parser.add_argument("--digits", type=Path, required=True, help="scikit-learn's datasets/data/digits.csv.gz")
    parser.add_argument("--at-once", type=int, default=4, help="jobs that wait or run at a time")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--only", default="", help="jobs of this name alone, to try the plan")
    options = parser.parse_args()
    jobs = [job for job in make_plan(options.seed) if options.only in job.name]
    cluster = Cluster(options.home, options.python)
    prepare(cluster, options.digits, jobs)
    submit_all(cluster, jobs, options.at_once)


if __name__ == "__main__":
    main()
