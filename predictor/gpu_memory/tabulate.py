"""Makes `architectures.json`: what well-known networks hold, by our own forecast, as a line over the batch size.

    python -m crowdrun.predictor.gpu_memory.tabulate --out predictor/gpu_memory/architectures.json

It needs torchvision, timm and transformers, which crowdrun itself does not: networks are built from their code, without
weights. For each network, precision and optimiser the forecast is made at two batch sizes, where the peak is not the
optimiser's, and at one sample, where it may be; at a third batch and at another image size or length it is made again,
and the row says how far off the line is there.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from crowdrun.data.forecast import Forecast, ForecastSettings
from crowdrun.predictor.gpu_memory.forecast import forecast

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": partial(optim.SGD, momentum=0.9, lr=0.1),
    "adamw": partial(optim.AdamW, lr=1e-3),
}
PRECISIONS = ("fp32", "bf16")
CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network and what it is trained on."""

    name: str
    #: Whose code it is.
    library: str
    #: `images`, `classification` (of texts) or `language`.
    task: str
    #: Side of an image in pixels, or length in tokens; and another for the check.
    size: int
    other_size: int
    #: Size -> the network.
    build: Callable[[int], nn.Module]
    #: (batch, size) -> a batch.
    batch: Callable[[int, int], Any]
    loss: Callable[[nn.Module, Any], Tensor]
    optimizers: tuple[str, ...] = ("sgd", "adamw")
    #: Batch sizes of the line, and of the check.
    batches: tuple[int, int, int] = (32, 96, 256)
    #: Samples that it can be trained with at all: a norm over one number fails.
    fewest: int = 1


def networks() -> Iterator[Network]:
    """All of them."""
    yield from _of_torchvision()
    yield from _of_timm()
    yield from _of_transformers()


def _of_torchvision() -> Iterator[Network]:
    _make_torchvision_importable()
    from torchvision import models  # type: ignore[import-not-found, unused-ignore]

    side = {"inception_v3": 299}
    for name in (
        "alexnet", "convnext_base", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s",
        "googlenet", "inception_v3", "mobilenet_v2", "mobilenet_v3_large", "regnet_y_8gf", "resnet18", "resnet34",
        "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "swin_t", "vgg16", "vit_b_16", "vit_l_16",
        "wide_resnet50_2",
    ):  # fmt: skip
        extra = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
        yield _images(name, "torchvision", partial(_torchvision, models, name, extra), side.get(name, 224))


def _torchvision(models: Any, name: str, extra: dict[str, Any], size: int) -> nn.Module:
    sized = {"image_size": size} if name.startswith("vit_") else {}
    made: nn.Module = models.get_model(name, weights=None, **extra, **sized)
    return made


def _make_torchvision_importable() -> None:
    """torchvision's wheels for CUDA fail beside a torch for CPUs: operators are missing that nothing here calls."""
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms", "roi_align"):
        try:
            library.define(f"{name}(Tensor boxes) -> Tensor")  # type: ignore[no-untyped-call]
        except RuntimeError:
            # Its own operators are there.
            return
    _LIBRARIES.append(library)


#: They live as long as their library object does.
_LIBRARIES: list[torch.library.Library] = []


def _of_timm() -> Iterator[Network]:
    import timm  # type: ignore[import-not-found, unused-ignore]

    for name in (
        "vit_tiny_patch16_224",
        "vit_small_patch16_224",
        "vit_base_patch16_224",
        "swin_base_patch4_window7_224",
    ):
        yield _images(name, "timm", lambda size, name=name: timm.create_model(name, img_size=size), 224)  # type: ignore[misc]


def _images(name: str, library: str, build: Callable[[int], nn.Module], side: int) -> Network:
    return Network(
        name=name, library=library, task="images", size=side, other_size=_OTHER_SIDES.get(name.partition("_")[0], 288),
        build=build, batch=_image_batch, loss=_image_loss, fewest=2 if name == "inception_v3" else 1,
    )  # fmt: skip


#: Those whose windows fit to some sizes alone.
_OTHER_SIDES = {"swin": 448, "inception": 395}


def _image_batch(batch: int, side: int) -> list[Tensor]:
    return [torch.empty(batch, 3, side, side), torch.empty(batch, dtype=torch.int64)]


def _image_loss(model: nn.Module, batch: Any) -> Tensor:
    made = model(batch[0])
    # Networks with classifiers beside the last one give them in a named tuple while training; torchvision's references
    # train the last one and 0.4 of the others (inception) alike.
    if isinstance(made, tuple):
        return sum(
            (functional.cross_entropy(one, batch[1]) for one in made[1:]), functional.cross_entropy(made[0], batch[1])
        )
    return functional.cross_entropy(made, batch[1])


def _of_transformers() -> Iterator[Network]:
    import transformers as hf  # type: ignore[import-not-found, unused-ignore]

    def text(name: str, task: str, config: Any, length: int, other: int, batches: tuple[int, int, int]) -> Network:
        kind = hf.AutoModelForCausalLM if task == "language" else hf.AutoModelForSequenceClassification
        if task == "masked":
            kind = hf.AutoModelForMaskedLM
        return Network(
            name=name, library="transformers", task="language" if task == "masked" else task,
            size=length, other_size=other, build=lambda _: kind.from_config(config),
            batch=_class_batch if task == "classification" else _word_batch, loss=_text_loss,
            optimizers=("adamw",), batches=batches,
        )  # fmt: skip

    # Only those whose attention is fused: what others hold grows with the square of the length (T5: 27% off at half).
    some, few = (8, 24, 64), (2, 6, 16)
    # The figures are those of each model's published config.json.
    bert_large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    encoders = {
        "bert-base-uncased": hf.BertConfig(),
        "bert-large-uncased": hf.BertConfig(**bert_large),
        "distilbert-base-uncased": hf.DistilBertConfig(),
        "roberta-base": hf.RobertaConfig(vocab_size=50265, max_position_embeddings=514, pad_token_id=1),
        "roberta-large": hf.RobertaConfig(vocab_size=50265, max_position_embeddings=514, pad_token_id=1, **bert_large),
    }
    for name, config in encoders.items():
        yield text(name, "classification", config, 128, 384, some)
        yield text(name, "masked", config, 512, 256, some)
    gpt2 = {
        "gpt2": (768, 12, 12),
        "gpt2-medium": (1024, 24, 16),
        "gpt2-large": (1280, 36, 20),
        "gpt2-xl": (1600, 48, 25),
    }
    for name, (width, layers, heads) in gpt2.items():
        yield text(name, "language", hf.GPT2Config(n_embd=width, n_layer=layers, n_head=heads), 1024, 512, few)
    opt = hf.OPTConfig(vocab_size=50272, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, ffn_dim=3072)
    yield text("opt-125m", "language", opt, 1024, 512, few)
    llama = hf.LlamaConfig(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32
    )
    yield text("Llama-2-7b-hf", "language", llama, 1024, 2048, few)
    tiny = hf.LlamaConfig(
        vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32,
        num_key_value_heads=4,
    )  # fmt: skip
    yield text("TinyLlama_v1.1", "language", tiny, 1024, 2048, few)


def _class_batch(batch: int, length: int) -> list[Tensor]:
    return [torch.empty(batch, length, dtype=torch.int64), torch.empty(batch, dtype=torch.int64)]


def _word_batch(batch: int, length: int) -> list[Tensor]:
    return [torch.empty(batch, length, dtype=torch.int64), torch.empty(batch, length, dtype=torch.int64)]


def _text_loss(model: nn.Module, batch: Any) -> Tensor:
    loss: Tensor = model(input_ids=batch[0], labels=batch[1]).loss
    return loss


def row(network: Network, precision: str, optimizer: str) -> dict[str, Any]:
    """One row: (floor, base, per sample) of allocated and reserved, MB, and how far off they are at the checks."""

    def at(batch: int, size: int = network.size) -> Forecast:
        return forecast(
            lambda: network.build(size), lambda: network.batch(batch, size), loss_fn=network.loss,
            optimizer_fn=lambda model: OPTIMIZERS[optimizer](model.parameters()),
            settings=ForecastSettings(precision=precision),
        )  # fmt: skip

    one, (small, large, third) = at(network.fewest), network.batches
    low, high = at(small), at(large)
    while low.peak_phase == "optimizer":
        small, large, third = 2 * small, 2 * large, 2 * third
        low, high = at(small), at(large)
    found: dict[str, Any] = {"parameters_m": round(one.parameters / 1e6, 2)}
    checks, other = at(third), at(small, network.other_size)
    scale = scale_of(network.task, network.other_size / network.size)
    worst = other_worst = 0.0
    for name in ("allocated_mb", "reserved_mb"):
        first, second = getattr(low, name), getattr(high, name)
        slope = (second - first) / (large - small)
        line = [round(getattr(one, name), 1), round(first - slope * small, 1), round(slope, 3)]
        found[name] = line
        worst = max(worst, _off(getattr(checks, name), line, third))
        other_worst = max(other_worst, _off(getattr(other, name), line, small * scale))
    return found | {"off": round(worst, 4), "off_at_other_size": round(other_worst, 4)}


def scale_of(task: str, ratio: float) -> float:
    """How many samples of the usual size one of another size is worth: by area, or by length."""
    return ratio**2 if task == "images" else ratio


def _off(real: float, line: list[float], batch: float) -> float:
    return abs(max(line[0], line[1] + line[2] * batch) / real - 1)


def main() -> None:
    """Make the table, or the part of it whose names were given; rows that are there already and not asked for stay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"networks": {}}
    table["made_with"] = {name: version(name) for name in ("torch", "torchvision", "timm", "transformers")}
    for network in networks():
        if arguments.names and network.name not in arguments.names:
            continue
        key = f"{network.name}:{network.task}"
        entry = {"library": network.library, "task": network.task, "size": network.size, "rows": {}}
        try:
            for precision in PRECISIONS:
                for optimizer in network.optimizers:
                    made = entry["rows"][f"{precision}:{optimizer}"] = row(network, precision, optimizer)  # type: ignore[index]
                    print(key, precision, optimizer, made, file=sys.stderr, flush=True)
        except Exception as error:  # a network that cannot be traced is left out, and said
            print(f"{key}: left out, {error}", file=sys.stderr, flush=True)
            continue
        table["networks"][key] = entry
        arguments.out.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
