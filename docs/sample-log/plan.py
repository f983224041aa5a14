"""What four users of a small cluster submit in an afternoon: 450 jobs in nine families, the same for the same seed.

    python plan.py | head

Each family is a habit: a way to name jobs, to ask for memory, to change one option from job to job. Most ask for far
too much, one asks for the same 6000M whatever it runs, one guesses too low at times and asks again. Half-way through,
three families double the width of their network, so that the second half of the log is not like the first.
"""

import random
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

#: Submission scripts that lie in every user's home folder; "$@" are the options of train.py.
SCRIPTS = {
    "train.sh": '#!/bin/bash\nexec python ~/train.py "$@"\n',
    "ddp.sh": '#!/bin/bash\n#SBATCH --ntasks=2\nsrun python ~/train.py "$@"\n',
    "elastic.sh": '#!/bin/bash\nexec torchrun --standalone --nproc-per-node=2 ~/train.py "$@"\n',
    "scan.sh": '#!/bin/bash\nexec python ~/train.py --width $((256 + 256 * SLURM_ARRAY_TASK_ID)) "$@"\n',
    # The script goes on after its step has died: the job ends COMPLETED and only the step tells.
    "careless.sh": '#!/bin/bash\nsrun python ~/train.py "$@"\necho finished\n',
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One `sbatch` call."""

    family: str
    user: str
    folder: str
    name: str
    #: Options of sbatch, without the name.
    request: str
    script: str = "train.sh"
    #: Options of train.py.
    command: str
    #: True: `--wrap` instead of a script.
    wrap: bool = False
    #: What happens to it besides: nothing, cancel-pending, cancel-running or requeue.
    fate: str = ""

    def sbatch(self) -> list[str]:
        """The command line, to be run in `folder` of the user's home."""
        line = ["sbatch", "--parsable", f"--job-name={self.name}", *shlex.split(self.request)]
        if self.wrap:
            return [*line, f"--wrap=python ~/train.py {self.command}"]
        return [*line, f"../{self.script}", *self.command.split()]


def resnet_sweep(rng: random.Random) -> Iterator[Job]:
    """user1 sweeps the batch size, round after round, on a GPU node, and always asks for 8G."""
    for i in range(60):
        batch = (32, 64, 128, 256, 512)[i % 5]
        width, epochs = ((16, 3.5), (24, 2), (32, 1.2))[i // 20]
        optimizer = ("sgd", "adam")[i // 5 % 2]
        request = f"--partition=gpu --gres=gpu:{1 + (i % 7 == 0)} --mem=8G --time=30"
        command = (
            f"--arch resnet --width {width} --depth 4 --batch-size {batch} --optimizer {optimizer} "
            f"--image-size 16 --dataset-size 6000 --epochs {epochs} --lr {rng.choice((0.1, 0.01, 0.001))}"
        )
        yield Job(family="resnet-sweep", user="user1", folder="resnet", name=f"resnet-sweep-{i}", request=request,
                  command=command)  # fmt: skip


def mlp_baseline(_rng: random.Random) -> Iterator[Job]:
    """user1's baseline: the same network again and again, only the seed changes."""
    for i in range(30):
        command = f"--arch mlp --width 1024 --depth 3 --batch-size 64 --optimizer adam --max-seconds 9 --seed {i}"
        yield Job(family="mlp-baseline", user="user1", folder="baseline", name=f"mlp-baseline-{i:03d}",
                  request="--mem=4G --time=20", command=command)  # fmt: skip


def language_model(rng: random.Random) -> Iterator[Job]:
    """user2 asks for 6000M and two GPUs (and uses one) whatever the batch size."""
    for i in range(76):
        batch = (16, 32, 64, 128)[i // 3 % 4]
        precision = "bf16" if i % 12 >= 9 else "fp32"
        width = 64 if i < 38 else 128
        request = "--partition=gpu --gres=gpu:2 --mem=6000M --time=60"
        command = (
            f"--arch transformer --width {width} --depth 3 --batch-size {batch} --optimizer adamw "
            f"--precision {precision} --image-size 16 --max-seconds {rng.choice((9, 10, 10, 11))}"
        )
        yield Job(family="lm", user="user2", folder="lm", name=f"lm_b{batch}_r{i % 3}", request=request, wrap=True,
                  command=command)  # fmt: skip


def lstm(_rng: random.Random) -> Iterator[Job]:
    """user2 sweeps the hidden size of an LSTM, with the same 6000M."""
    for i in range(40):
        width = (128, 256, 512, 768, 1024)[i % 5]
        command = (
            f"--arch lstm --width {width} --depth 2 --batch-size 128 --optimizer {('adam', 'rmsprop')[i % 2]} "
            f"--image-size 16 --max-seconds 10 --seed {i}"
        )
        yield Job(family="lstm", user="user2", folder="lstm", name=f"lstm_h{width}_s{i}",
                  request="--mem=6000M --time=60", wrap=True, command=command)  # fmt: skip


def segmentation(rng: random.Random) -> Iterator[Job]:
    """user3 names jobs by date, guesses the memory, and asks again for more when the guess was too low."""
    for i in range(76):
        width = 16 if i < 38 else 32
        batch = rng.choice((16, 32, 64, 128, 192, 256))
        epochs = 1.0 if width == 16 else 0.6
        too_low = i % 5 == 3 and batch * width >= 32 * 32
        memory = rng.choice(("300M", "320M")) if too_low else rng.choice(("2G", "2500M", "3G", "4G"))
        name = f"seg-2026-{4 + i // 28:02d}-{1 + i % 28:02d}"
        command = (
            f"--arch cnn --width {width} --depth 4 --batch-size {batch} --optimizer sgd --image-size 32 "
            f"--dataset-size 4000 --epochs {epochs}"
        )
        job = Job(family="seg", user="user3", folder="seg", name=name, command=command,
                  request=f"--partition=short --mem={memory} --time=5 --comment='arch=cnn batch={batch}'")  # fmt: skip
        yield job
        if too_low:
            yield replace(job, name=f"{name}-again", request=job.request.replace(memory, "3G"))


def cell_autoencoder(rng: random.Random) -> Iterator[Job]:
    """user3's autoencoder holds its whole data set in memory, and the data set grows; one guess in four is too low."""
    for i in range(36):
        size = 20_000 + 5_000 * i
        memory = "320M" if i % 4 == 3 else rng.choice(("4G", "6G", "8G"))
        command = (
            f"--arch autoencoder --width 512 --depth 3 --batch-size 256 --optimizer rmsprop --image-size 32 "
            f"--dataset-size {size} --max-seconds 8"
        )
        job = Job(family="cellae", user="user3", folder="cells", name=f"cellae_n{size}", command=command,
                  request=f"--mem={memory} --time=15 --comment='arch=autoencoder cells={size}'")  # fmt: skip
        yield job
        if i % 8 == 3:
            yield replace(job, request=job.request.replace(memory, "8G"))


def energy_surface(rng: random.Random) -> Iterator[Job]:
    """user4 fits in double precision, asks per CPU, and doubles the width half-way."""
    for i in range(56):
        width = 1536 if i < 28 else 3072
        cpus = 2 if i % 8 == 0 else 1
        command = (
            f"--arch mlp --width {width} --depth {3 + i % 3} --batch-size 128 --optimizer adam --precision fp64 "
            f"--threads {cpus} --max-seconds {rng.choice((9, 10, 12))} --seed {i}"
        )
        yield Job(family="pes-fit", user="user4", folder="pes", name=f"pes-fit-{i}", command=command,
                  request=f"--cpus-per-task={cpus} --mem-per-cpu=6000M --time=40")  # fmt: skip


def data_parallel(_rng: random.Random) -> Iterator[Job]:
    """user4 trains with two ranks: tasks of srun, or processes of torchrun in one task."""
    for i in range(24):
        script, cpus = (("ddp.sh", ""), ("elastic.sh", "--cpus-per-task=2 "))[i % 2]
        command = (
            f"--arch cnn --width {(16, 24)[i // 12]} --depth 3 --batch-size {(32, 64, 128)[i % 3]} --optimizer sgd "
            f"--image-size 16 --max-seconds 9"
        )
        yield Job(family="ddp-cnn", user="user4", folder="ddp", name=f"ddp-cnn-{i}", script=script, command=command,
                  request=f"--nodes=1 {cpus}--mem=10G --time=20")  # fmt: skip


def scan(_rng: random.Random) -> Iterator[Job]:
    """user4's arrays of five: the task number sets the width, the command line does not show it."""
    for i in range(6):
        command = f"--arch mlp --depth 4 --batch-size {(32, 64)[i % 2]} --optimizer adam --max-seconds 9 --seed {i}"
        yield Job(family="scan", user="user4", folder="scan", name=f"scan-{i}", script="scan.sh", command=command,
                  request="--array=0-4%2 --mem=5G --time=10")  # fmt: skip


def mishaps(_rng: random.Random) -> Iterator[Job]:
    """What goes wrong: limits too short, bad options, a diverging loss, jobs taken back, a job requeued."""
    seg = "--arch cnn --depth 4 --optimizer sgd --image-size 32 --dataset-size 4000"
    resnet = "--arch resnet --width 16 --depth 4 --batch-size 128 --image-size 16 --dataset-size 6000"
    user1 = Job(family="", user="user1", folder="resnet", name="", request="--partition=gpu --gres=gpu:1 --mem=8G",
                command="")  # fmt: skip
    user2 = replace(user1, user="user2", folder="lm", request="--mem=6000M --time=60", wrap=True)
    user3 = replace(user1, user="user3", folder="seg", request="--partition=short --mem=2G")
    user4 = replace(user1, user="user4", folder="pes", request="--mem=6G --time=40")
    for i in range(5):
        yield replace(user1, name=f"resnet-long-{i}", request=user1.request + " --time=1",
                      command=f"{resnet} --epochs 60 --seed {i}")  # fmt: skip
        yield replace(user3, name=f"seg-full-{i}", command=f"{seg} --width 16 --batch-size 64 --epochs 40 --seed {i}")
        yield replace(user1, name=f"resnet-sweep-x{i}", request=user1.request + " --time=30",
                      command=f"{resnet} --epochs 2 --optimiser adam")  # fmt: skip
        size = 150_000 + 10_000 * i
        yield replace(user4, name=f"pes-fit-hot-{i}",
                      command="--arch autoencoder --width 512 --depth 3 --batch-size 128 --optimizer sgd --lr 1e3 "
                      f"--dataset-size {size} --image-size 16 --precision fp64 --epochs 50")  # fmt: skip
        yield replace(user2, name=f"lm_b64_try{i}", fate="cancel-pending",
                      request=f"{user2.request} --begin=now+900",
                      command="--arch transformer --width 64 --batch-size 64 --steps 100")  # fmt: skip
        yield replace(user2, name=f"lm_b32_r{i}", fate="cancel-running",
                      command="--arch transformer --width 64 --depth 3 --batch-size 32 --image-size 16 "
                      "--steps 5000")  # fmt: skip
    for i in range(2):
        yield replace(user4, name=f"pes-fit-q{i}", fate="requeue", request=f"{user4.request} --requeue",
                      command="--arch mlp --width 1024 --depth 3 --optimizer adam --precision fp64 "
                      "--max-seconds 11")  # fmt: skip
        yield replace(user3, name=f"seg-steps-{i}", script="careless.sh",
                      request="--partition=short --mem=320M --time=5",
                      command=f"{seg} --width 32 --batch-size 192 --epochs 1")  # fmt: skip


FAMILIES: tuple[Callable[[random.Random], Iterator[Job]], ...] = (
    resnet_sweep,
    mlp_baseline,
    language_model,
    lstm,
    segmentation,
    cell_autoencoder,
    energy_surface,
    data_parallel,
    scan,
    mishaps,
)


def make_plan(seed: int = 2026) -> list[Job]:
    """All jobs in the order of submission: each family over the whole time, in bursts of two to five."""
    rng = random.Random(seed)
    placed: list[tuple[float, int, Job]] = []
    for family in FAMILIES:
        jobs = list(family(rng))
        position, left = 0.0, 0
        for i, job in enumerate(jobs):
            if not left:
                position, left = (i + 0.5) / len(jobs) + rng.gauss(0, 0.02), rng.randint(2, 5)
            left -= 1
            placed.append((i / len(jobs) if family is mishaps else position, len(placed), job))
    return [job for _, _, job in sorted(placed, key=lambda entry: entry[:2])]


if __name__ == "__main__":
    for planned in make_plan():
        sys.stdout.write(f"{planned.user} {planned.folder} {shlex.join(planned.sbatch())} {planned.fate}\n")
