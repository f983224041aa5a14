"""First weights for deep networks of rectified units."""

from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def he_initialised(network: Network) -> Network:
    """Normal weights of variance 2 / inputs, biases 0: signals neither die out nor blow up (He et al., 2015)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
