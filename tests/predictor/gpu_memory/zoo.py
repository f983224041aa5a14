"""Small models of every kind, with all that a training step of theirs needs; the forecast is held against real runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, a batch, a loss and an optimiser; `settings` are those of the forecast."""

    model: Callable[[], nn.Module]
    batch: Callable[[], Any]
    loss: Callable[[nn.Module, Any], Tensor]
    optimizer: Callable[[nn.Module], optim.Optimizer]
    settings: Mapping[str, Any] = field(default_factory=dict)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, *, math: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.math, self.dropout = heads, math, dropout
        self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        samples, length, width = x.shape
        q, k, v = (
            one.view(samples, length, self.heads, -1).transpose(1, 2) for one in self.inward(x).split(width, dim=2)
        )
        if self.math:
            with sdpa_kernel(SDPBackend.MATH):
                out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            out = functional.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout, is_causal=True)
        return self.outward(out.transpose(1, 2).reshape(samples, length, width))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, *, math: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, math=math, dropout=dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Language(nn.Module):
    def __init__(
        self, *, layers: int = 3, width: int = 64, math: bool = False, dropout: float = 0.0, again: bool = False
    ):
        super().__init__()
        self.again = again
        self.tokens, self.places = nn.Embedding(256, width), nn.Embedding(64, width)
        self.layers = nn.ModuleList(Layer(width, 4, math=math, dropout=dropout) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.again else layer(x)
        return self.head(self.norm(x))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], *, two_ways: bool = False) -> None:
        super().__init__()
        self.tokens = nn.Embedding(100, 32)
        self.body = kind(32, 64, num_layers=2, batch_first=True, bidirectional=two_ways)
        self.head = nn.Linear(128 if two_ways else 64, 100)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.tokens(tokens))[0])


class DropPath(nn.Module):
    """Reads values in its constructor, and draws one in each step, as many vision models do."""

    def __init__(self, depth: int = 4, channels: int = 16) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.2, depth)]
        self.first = nn.Conv2d(3, channels, 4, stride=4)
        self.blocks = nn.ModuleList(Residual(channels) for _ in range(depth))
        self.head = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for rate, block in zip(self.rates, self.blocks, strict=True):
            keep = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(1 - rate)
            x = x + block(x) * keep / (1 - rate)
        return self.head(x.mean((2, 3)))


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(1, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ConvTranspose2d(32, 1, 4, 2, 1)])
        self.norm = nn.InstanceNorm2d(16, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        a = functional.leaky_relu(self.norm(self.down[0](x)))
        b = functional.silu(self.down[1](a))
        return self.up[1](torch.cat([functional.silu(self.up[0](b)), a], 1))


def images(samples: int = 16, *, channels: int = 3, size: int = 32) -> tuple[Tensor, Tensor]:
    return torch.randn(samples, channels, size, size), torch.randint(0, 10, (samples,))


def tokens(samples: int = 8, *, length: int = 64, words: int = 100) -> tuple[Tensor, Tensor]:
    return torch.randint(0, words, (samples, length)), torch.randint(0, words, (samples, length))


def classify(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def predict(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


def reconstruct(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.mse_loss(model(batch[0]), batch[0])


def adamw(model: nn.Module, **options: Any) -> optim.Optimizer:
    return optim.AdamW(model.parameters(), **options)


def sgd(model: nn.Module, **options: Any) -> optim.Optimizer:
    return optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **options)


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(3072, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, 512),
        nn.Tanh(),
        nn.Linear(512, 10),
    )


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(4096, 128), nn.ELU(), nn.Linear(128, 10),
    )  # fmt: skip


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), *(Residual(32) for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip


def groupnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.SiLU(), nn.Conv2d(32, 32, 3, padding=1, groups=32),
        nn.Conv2d(32, 64, 1), nn.GroupNorm(8, 64), nn.Hardswish(), nn.Dropout2d(0.1), nn.AdaptiveMaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Embedding(100, 64), nn.TransformerEncoder(layer, 2), nn.Linear(64, 100))


def conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 32, 5), nn.ReLU(), nn.Conv1d(32, 32, 5, dilation=2), nn.ReLU(), nn.AdaptiveAvgPool1d(8),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def conv3d() -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 8, 3), nn.ReLU(), nn.Conv3d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 12**3, 10))


def _case(model: Callable[[], nn.Module], kind: str, optimizer: Any = adamw, **settings: Any) -> Case:
    batches: dict[str, tuple[Any, Any]] = {
        "images": (images, classify), "tokens": (tokens, predict),
        "pictures": (partial(images, channels=1), reconstruct),
        "series": (lambda: (torch.randn(32, 3, 128), torch.randint(0, 10, (32,))), classify),
        "volumes": (lambda: (torch.randn(4, 1, 16, 16, 16), torch.randint(0, 10, (4,))), classify),
    }  # fmt: skip
    batch, loss = batches[kind]
    return Case(model=model, batch=batch, loss=loss, optimizer=optimizer, settings=settings)


CASES: Mapping[str, Case] = {
    "mlp": _case(mlp, "images"),
    "mlp, foreach": _case(mlp, "images", partial(adamw, foreach=True)),
    "mlp, fused": _case(mlp, "images", partial(adamw, fused=True)),
    "mlp, bf16": _case(mlp, "images", precision="bf16"),
    "mlp, inference": _case(mlp, "images", training=False),
    "convnet": _case(convnet, "images", sgd),
    "convnet, accumulation": _case(convnet, "images", sgd, accumulation=4),
    "convnet, bf16": _case(convnet, "images", precision="bf16"),
    "resnet": _case(resnet, "images"),
    "resnet, foreach": _case(resnet, "images", partial(sgd, foreach=True)),
    "resnet, checkpointing": _case(resnet, "images", checkpointing=True),
    "resnet, inference": _case(resnet, "images", training=False),
    "group norm": _case(groupnet, "images"),
    "drop path": _case(DropPath, "images"),
    "autoencoder": _case(Autoencoder, "pictures"),
    "1d": _case(conv1d, "series"),
    "3d": _case(conv3d, "volumes"),
    "attention": _case(Language, "tokens"),
    "attention, math": _case(partial(Language, math=True), "tokens"),
    "attention, dropout": _case(partial(Language, dropout=0.1), "tokens"),
    "attention, bf16": _case(Language, "tokens", precision="bf16"),
    "attention, checkpoint": _case(partial(Language, again=True), "tokens"),
    "attention, rmsprop": _case(Language, "tokens", lambda model: optim.RMSprop(model.parameters())),
    "encoder": _case(encoder, "tokens"),
    "lstm": _case(partial(Recurrent, nn.LSTM), "tokens"),
    "lstm, both ways": _case(partial(Recurrent, nn.LSTM, two_ways=True), "tokens"),
    "gru": _case(partial(Recurrent, nn.GRU), "tokens"),
    "rnn": _case(partial(Recurrent, nn.RNN), "tokens"),
}

#: Large layers on little work, so that how the state is kept shows.
WIDE = Case(model=partial(Language, layers=3, width=256), batch=partial(tokens, 2), loss=predict, optimizer=adamw)
