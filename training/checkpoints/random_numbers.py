"""The states of all random numbers that a rank draws: torch's, numpy's, Python's, and those of its GPU."""

import random
from typing import Any

import numpy as np
import torch


def seed(number: int, rank: int) -> None:
    """Begin numpy's and Python's, each rank with its own; torch's are set when the model is made."""
    random.seed(f"{number} {rank}")
    np.random.seed((number * 1_000_003 + rank) % 2**32)


def random_state(device: torch.device) -> dict[str, Any]:
    """Where each stands."""
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Let each go on from where it stood."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
