"""GPT-2 small: 12 layers, 768 wide, 12 heads, 1,024 places.

    crowdrun run gpt2

Radford et al., "Language models are unsupervised multitask learners", 2019, and the code beside it. The samples are
bytes, which are tokens 0 to 255 of its vocabulary of 50,257: the size of the work is real, without a tokeniser.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.text_windows import text_windows
from crowdrun.training.models.next_token import loss, score
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

#: Weights whose outputs are added to what flows through the layers.
LAST = ("attention.1.out.weight", "perceptron.3.weight")
VOCABULARY, PLACES, WIDTH, LAYERS, HEADS = 50_257, 1024, 768, 12, 12


class Attention(nn.Module):
    """Each place looks at those before it, with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        split = self.into(states).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(split[0], split[1], split[2], is_causal=True)
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out


class TransformerBlock(nn.Module):
    """Attention and a perceptron, each normalised before and added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.attention(states)
        out: Tensor = states + self.perceptron(states)
        return out


class Gpt2(nn.Module):
    """Tokens (samples, places) to logits (samples, places, 50257)."""

    def __init__(self, *, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(PLACES, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.apply(_initialise)
        for name, parameter in self.named_parameters():
            if name.endswith(LAST):
                # As many are added up as there are layers, twice.
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        states = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            states = block(states)
        # The output layer is the embedding once more.
        return functional.linear(self.norm(states), self.tokens.weight)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def model(options: TrainingOptions) -> nn.Module:
    """Options: `layers` (12), `width` (768), `heads` (12)."""
    width, heads = whole(options, "width", WIDTH), whole(options, "heads", HEADS)
    if width % heads:
        raise ConfigError(f"the option width is {width}; it must be a multiple of the {heads} heads")
    return Gpt2(width=width, layers=whole(options, "layers", LAYERS), heads=heads)


def data(split: Split, options: TrainingOptions) -> Samples:
    """Options: `length` (1,024), `data`, `samples`."""
    length = whole(options, "length", PLACES)
    if length > PLACES:
        raise ConfigError(f"the option length is {length}; it must be {PLACES} at most")
    return text_windows(split, options, length=length)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    small = {"layers": 2, "width": 64, "heads": 2, "length": 64, "samples": 256}
    alone(__file__, TrainingOptions(batch_size=16, learning_rate=1e-3, extra=small))
