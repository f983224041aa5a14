"""Made-up measured steps: what a card adds is known, so what is learned of it can be judged."""

import numpy as np

from crowdrun.predictor.gpu_memory.learned.features import NAMES
from crowdrun.predictor.gpu_memory.learned.learning import MeasuredStep


def made_up(families: int = 12, each: int = 20, noise: float = 0.01, seed: int = 0) -> list[MeasuredStep]:
    """1,700 MB, 2% of what is reserved, and three times the largest window's input and output; each family is off by
    itself, besides."""
    draw = np.random.default_rng(seed)
    steps = []
    for family in range(families):
        own = draw.normal(scale=noise)
        for _ in range(each):
            features = dict.fromkeys(NAMES, 0.0)
            reserved = float(np.exp(draw.uniform(6, 10)))
            window = reserved * draw.uniform(0, 0.1) * (family % 2)
            features |= {
                "reserved": reserved, "allocated": 0.9 * reserved, "activations": 0.8 * reserved,
                "parameters": 0.1 * reserved, "window_io": window, "storages": 500.0,
            }  # fmt: skip
            measured = (1700 + 1.02 * reserved + 3 * window) * np.exp(own + draw.normal(scale=noise))
            steps.append(MeasuredStep(features=features, measured_mb=float(measured), family=f"family {family}"))
    return steps
