"""A log of any size for the benches: a seeded synthetic cluster, resampled.

Some hundred users each have a few families of jobs, which they submit in bursts; a family's need is its own, with its
own spread, and drifts; requests are a habit of the user. Users come and go, so that a longer log has more of them.
"""

import numpy as np
import pandas as pd

#: Families of a cluster, and one more for so many jobs.
FAMILIES, JOBS_A_FAMILY = 400, 150
#: A burst is about so many jobs of one family.
BURST = 6


def make_jobs(rows: int, *, seed: int = 0) -> pd.DataFrame:
    """`rows` jobs in canonical columns, in the order of their submission."""
    rng = np.random.default_rng(seed)
    families = FAMILIES + rows // JOBS_A_FAMILY
    family = _families_of_jobs(rng, rows, families)
    user = rng.integers(0, families // 3 + 1, families)[family]
    drift = np.cumsum(rng.normal(0, 0.02, rows)) * rng.normal(0, 0.1, families)[family]
    noise = rng.normal(0, 1, rows) * rng.choice([0.0, 0.1, 0.3, 0.8], families)[family]
    need = np.exp2(rng.uniform(7, 16, families)[family] + drift + noise)
    run_time = np.exp2(rng.uniform(4, 14, families)[family] + rng.normal(0, 0.6, rows))
    asked = np.exp2(np.ceil(np.log2(need) + rng.uniform(0.2, 5, families)[family]))
    limit = 3600.0 * np.ceil(run_time / 3600 * rng.uniform(1, 6, families)[family])
    gpus = rng.choice([0, 0, 0, 1, 1, 2, 4], families)[family]
    submit = 1.6e9 + np.cumsum(rng.exponential(60, rows))
    start = submit + rng.exponential(900, rows)
    batch = 2 ** (3 + np.arange(rows) % 6)
    return pd.DataFrame({
        "job_id": np.arange(rows).astype(str), "user": _named("user", user), "group": _named("group", user % 40),
        "account": _named("account", user % 90), "partition": np.where(gpus > 0, "gpu", "batch").astype(object),
        "job_name": _named(_letters(family), batch), "command": _named("python train.py --batch-size ", batch),
        "submit_time": submit, "start_time": start, "end_time": start + run_time, "req_nodes": 1, "req_cpus": 4,
        "req_mem_mb": asked, "req_gpus": gpus, "timelimit_s": limit, "state": "COMPLETED", "exit_code": "0:0",
        "peak_mem_mb": need, "alloc_gpus": np.where(rng.random(rows) < 0.05, np.minimum(gpus, 1), gpus),
    })  # fmt: skip


def _families_of_jobs(rng: np.random.Generator, rows: int, families: int) -> np.ndarray:
    """Bursts, drawn by popularity among the families that are there at that time of the log."""
    bursts = 1 + rows // BURST
    middle = np.linspace(0, families, bursts)
    # A family lives for about a fifth of a small log, and for as long in a large one.
    drawn = middle + rng.laplace(0, FAMILIES / 5, bursts)
    of_burst = np.clip(np.round(drawn), 0, families - 1).astype(np.int64)
    # Bursts overlap: each job changes places with one that is near it.
    place = np.argsort(np.arange(bursts * BURST) + rng.uniform(0, 4 * BURST, bursts * BURST))
    return np.repeat(of_burst, BURST)[place][:rows]


def _named(prefix: str | np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.char.add(prefix, numbers.astype(str)).astype(object)


def _letters(numbers: np.ndarray) -> np.ndarray:
    """A word for each number: the digits of a name do not tell families apart."""
    letters = str.maketrans("0123456789", "qrstuvwxyz")
    words = [f"{np.base_repr(number, 26).translate(letters)}-" for number in range(int(numbers.max()) + 1)]
    return np.array(words)[numbers]
