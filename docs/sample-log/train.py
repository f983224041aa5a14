"""A small but real training job of the sample log: one network on the digits, on the CPU.

    python train.py --arch resnet --width 16 --depth 4 --batch-size 64 --optimizer adam --steps 200

The options decide what the job needs, as they do on a cluster: the width and depth the weights, gradients and
optimiser state, the batch the activations, the dataset size and image size the data held in memory, the precision
the bytes of each. Started by `srun` or torchrun with more than one rank it trains data-parallel over gloo.
The images are scikit-learn's 1,797 handwritten digits (`digits.csv.gz`, read directly so that importing
scikit-learn adds nothing), enlarged and repeated with noise to the size asked for.
"""

import argparse
import gzip
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}
OPTIMIZERS = {
    "sgd": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9),
    "adam": lambda weights, lr: torch.optim.Adam(weights, lr=lr),
    "adamw": lambda weights, lr: torch.optim.AdamW(weights, lr=lr),
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr=lr),
}
CLASSES = 10


def load_digits(file: Path, size: int, image: int, precision: torch.dtype) -> tuple[Tensor, Tensor]:
    """Images (size, 1, image, image) from 0 to 1 with noise, and their classes (size,)."""
    with gzip.open(file, "rt") as stream:
        table = torch.from_numpy(np.loadtxt(stream, delimiter=",", dtype=np.float32))
    digits, classes = table[:, :-1].reshape(-1, 1, 8, 8) / 16, table[:, -1].long()
    digits = functional.interpolate(digits, size=(image, image)).to(precision)
    rows = torch.arange(size) % len(digits)
    images = torch.empty(size, 1, image, image, dtype=precision)
    for start in range(0, size, 1000):
        block = digits[rows[start : start + 1000]]
        images[start : start + 1000] = block + 0.1 * torch.randn_like(block)
    return images, classes[rows]


class Residual(nn.Module):
    """Two convolutions with a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


class Recurrent(nn.Module):
    """An LSTM over the rows of the image."""

    def __init__(self, image: int, width: int, depth: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(image, width, depth, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x.squeeze(1))
        return self.head(states[:, -1])


class Attention(nn.Module):
    """A transformer over the pixels of the image."""

    def __init__(self, image: int, width: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Linear(1, width)
        self.position = nn.Parameter(0.02 * torch.randn(image * image, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.flatten(1).unsqueeze(-1)) + self.position
        return self.head(self.body(tokens).mean(1))


def mlp(image: int, width: int, depth: int, outputs: int = CLASSES) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(image * image, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def convolutional(width: int, blocks: list[nn.Module]) -> nn.Module:
    stem = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def cnn_block(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())


NETWORKS = {
    "mlp": lambda image, width, depth: mlp(image, width, depth),
    "cnn": lambda _, width, depth: convolutional(width, [cnn_block(width) for _ in range(depth)]),
    "resnet": lambda _, width, depth: convolutional(width, [Residual(width) for _ in range(depth)]),
    "lstm": Recurrent,
    "transformer": Attention,
    "autoencoder": lambda image, width, depth: mlp(image, width, depth, outputs=image * image),
}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--width", type=int, default=32, help="channels, units or embedding size")
    parser.add_argument("--depth", type=int, default=2, help="layers or blocks")
    parser.add_argument("--batch-size", type=int, default=32, help="samples a step of one rank")
    parser.add_argument("--optimizer", choices=sorted(OPTIMIZERS), default="sgd")
    parser.add_argument("--precision", choices=sorted(PRECISIONS), default="fp32")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps")
    parser.add_argument("--epochs", type=float, default=0, help="or after so many passes over the data")
    parser.add_argument("--max-seconds", type=float, default=0, help="or after so long a training")
    parser.add_argument("--dataset-size", type=int, default=1797)
    parser.add_argument("--image-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path.home() / "digits.csv.gz")
    return parser.parse_args()


def join_ranks() -> tuple[int, int]:
    """(rank, ranks), after meeting the others where torchrun or srun started more than one."""
    rank = int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
    ranks = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_STEP_NUM_TASKS") or 1)
    if ranks > 1:
        import torch.distributed as dist

        port = 29600 + int(os.environ.get("SLURM_JOB_ID", "0")) % 1000
        address = os.environ.get("MASTER_ADDR", "127.0.0.1"), os.environ.get("MASTER_PORT", str(port))
        dist.init_process_group("gloo", init_method="tcp://{}:{}".format(*address), rank=rank, world_size=ranks)
    return rank, ranks


def loss_of(network: nn.Module, arch: str, images: Tensor, classes: Tensor) -> Tensor:
    if arch == "autoencoder":
        return functional.mse_loss(network(images), images.flatten(1))
    return functional.cross_entropy(network(images).float(), classes)


def all_stop(this_one: bool, ranks: int) -> bool:
    """Whether any rank wants to stop: their clocks differ, and one that goes on alone fails."""
    if ranks == 1:
        return this_one
    vote = torch.tensor(int(this_one))
    torch.distributed.all_reduce(vote)
    return bool(vote)


def main() -> int:
    options = parse_options()
    torch.set_num_threads(options.threads)
    rank, ranks = join_ranks()
    torch.manual_seed(options.seed + rank)
    precision = PRECISIONS[options.precision]
    images, classes = load_digits(options.data, options.dataset_size, options.image_size, precision)
    network: nn.Module = NETWORKS[options.arch](options.image_size, options.width, options.depth).to(precision)
    if ranks > 1:
        network = nn.parallel.DistributedDataParallel(network)
    optimizer = OPTIMIZERS[options.optimizer](network.parameters(), options.lr)
    steps = options.steps or int(options.epochs * options.dataset_size / options.batch_size / ranks) or sys.maxsize
    start, step, loss = time.monotonic(), 0, float("nan")
    while step < steps and not all_stop(0 < options.max_seconds < time.monotonic() - start, ranks):
        rows = torch.randint(options.dataset_size, (options.batch_size,))
        optimizer.zero_grad()
        value = loss_of(network, options.arch, images[rows], classes[rows])
        value.backward()
        optimizer.step()
        step, loss = step + 1, value.item()
        if loss != loss:
            print(f"step {step}: the loss is not a number, lr {options.lr} is too high", file=sys.stderr)
            return 1
    weights = sum(weight.numel() for weight in network.parameters())
    print(f"rank {rank}: {weights} weights, {step} steps in {time.monotonic() - start:.1f} s, loss {loss:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
