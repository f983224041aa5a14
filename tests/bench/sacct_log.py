"""Writes a sacct log of any size for the benches: seeded, 30 columns, jobs with their steps, a few broken lines."""

import random
from datetime import datetime, timedelta
from pathlib import Path

HEADER = (
    "JobID|JobIDRaw|Cluster|User|Group|Account|Partition|QOS|JobName|State|ExitCode|ReqMem|ReqCPUS|NCPUS|NNodes|NTasks|"
    "ReqTRES|AllocTRES|MaxRSS|AveRSS|TRESUsageInTot|TRESUsageInMax|Elapsed|Timelimit|Submit|Eligible|Start|End|NodeList|"
    "WorkDir"
)
_STATES = ("COMPLETED",) * 8 + ("FAILED", "TIMEOUT", "OUT_OF_MEMORY", "CANCELLED by 1007")
_LIMITS = ("01:00:00", "08:00:00", "1-00:00:00", "7-00:00:00")


def write_sacct_log(path: Path, rows: int, *, seed: int = 0) -> None:
    """About `rows` lines: each job has a batch, an extern and mostly one more step."""
    chance = random.Random(seed)
    clock, written, job = datetime(2024, 1, 1), 0, 100_000
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER + "\n")
        while written < rows:
            job += 1
            clock += timedelta(seconds=chance.randrange(60))
            lines = _job(chance, job, clock)
            file.write("".join(lines))
            written += len(lines)


def _job(chance: random.Random, job: int, submit: datetime) -> list[str]:
    start = submit + timedelta(seconds=chance.randrange(10_000))
    elapsed = timedelta(seconds=chance.randrange(1, 80_000))
    times = "|".join(time.isoformat() for time in (submit, submit, start, start + elapsed))
    lasted = f"{elapsed.days}-" * bool(elapsed.days) + f"{datetime.min + elapsed:%H:%M:%S}"
    user, cpus = chance.randrange(300), chance.choice((1, 2, 4, 8, 16, 32))
    memory, gpus = chance.choice((4, 8, 16, 32, 64, 128)), chance.choice((0, 0, 0, 1, 2, 4))
    tres = f"billing={cpus},cpu={cpus}" + f",gres/gpu={gpus}" * bool(gpus) + f",mem={memory}G,node=1"
    name, state = f"train-{chance.randrange(50)}", chance.choice(_STATES)
    if not chance.randrange(1000):
        name = "lr=1|wd=0"
    who, where = f"user{user}|group{user % 20}|account{user % 40}|gpu|normal", f"node{chance.randrange(200):03d}"
    last = f"{where}|/home/user{user}/project{chance.randrange(9)}"
    asked = f"{memory}G|{cpus}|{cpus}|1"
    lines = [
        f"{job}|{job}|alpha|{who}|{name}|{state}|0:0|{asked}||{tres}|{tres}|||||{lasted}|{chance.choice(_LIMITS)}|{times}|{last}\n"
    ]
    for step in ("batch", "extern", "0")[: 2 + (chance.random() < 0.7)]:
        peak = chance.randrange(1000, memory << 20)
        usage = f"cpu=00:01:02,energy=0,fs/disk={peak * 3},mem={peak}K,pages=0,vmem={peak * 2}K"
        lines.append(
            f"{job}.{step}|{job}.{step}|alpha||||||{step}|{state.split()[0]}|0:0||{cpus}|{cpus}|1|1||{tres}|{peak}K|{peak}K|"
            f"{usage}|{usage}|{lasted}||{times}|{where}|\n"
        )
    return lines
