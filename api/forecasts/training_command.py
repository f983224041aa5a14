"""The network that a job's command trains, as the flags of well-known training scripts tell it. Pure: text in.

>>> told = training_command("torchrun --nproc_per_node=4 train.py --model resnet50 -b 128 --amp")
>>> told.network, told.micro_batch, told.gpus, told.precision
('resnet50', 128, 4, 'fp16')
>>> training_command("python main.py -a resnet50 -b 1024 /data/imagenet", gpus=8).micro_batch
128
>>> training_command("python train.py --model my-own") is None
True

What the batch size of a flag is of, by the scripts' own words:

- torchvision's references (`references/classification/train.py`): "images per gpu, the total batch size is $NGPU x
  batch_size"; timm's `train.py` reads `--batch-size` in each process; transformers' `run_*.py`
  `--per_device_train_batch_size` "per GPU/TPU core"; fairseq-train's `--batch-size` is of each GPU.
- pytorch/examples' `imagenet/main.py`: "this is the total batch size of all GPUs on the current node".
"""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crowdrun.api import sbatch
from crowdrun.predictor.gpu_memory.known import is_known

#: Without one of these in a text nothing is looked for: most jobs have none.
_MAY_NAME = re.compile(r"--arch|--model|(?:^|\s)-a[\s=]")
NETWORK = ("--arch", "-a", "--model", "--model_name_or_path", "--model-name-or-path", "--model_name", "--model-name")
BATCH = (
    "--batch-size", "--batch_size", "-b", "--per_device_train_batch_size", "--per-device-train-batch-size",
    "--max-sentences",
)  # fmt: skip
SIZE = (
    "--img-size", "--img_size", "--image-size", "--image_size", "--train-crop-size", "--max_seq_length",
    "--max-seq-length", "--block_size", "--block-size", "--tokens-per-sample",
)  # fmt: skip
OPTIMIZER = ("--opt", "--optim", "--optimizer")
#: Flag without a value -> precision; and flags whose value is one.
PRECISIONS: Mapping[str, str] = {"--amp": "fp16", "--fp16": "fp16", "--bf16": "bf16"}
PRECISION = ("--mixed_precision", "--mixed-precision", "--precision", "--amp-dtype")
#: What changes the memory in ways that the table does not know; and runs that train nothing.
UNLIKE = re.compile(
    r"--(?:gradient|grad|activation)[-_]checkpointing|--checkpoint-activations|--fsdp|deepspeed|--zero|--use[-_]?lora|"
    r"--peft|--load_in_[48]bit|--evaluate\b|\s-e\s|--test-only|--freeze|--linear-prob|--torch_?compile|--compile",
    re.IGNORECASE,
)  # fmt: skip
#: Name of a script -> its batch size where none is given.
USUAL_BATCH = ((re.compile(r"^run_\w+\.py$"), 8), (re.compile(r"^main\.py$"), 256))
#: Name of a script -> what it trains a language model for.
TASKS = (
    (re.compile(r"^run_(?:clm|mlm|plm|translation|summarization)"), "language"),
    (re.compile(r"^run_"), "classification"),
)
#: Of a script, that are looked at: it is read where others wait for their predictions.
TEXT_CHARACTERS = 16_384
_SEPARATORS = re.compile(r"&&|\|\||[;|&()`\n]")


@dataclass(frozen=True, kw_only=True)
class TrainingCommand:
    """What a command trains."""

    network: str
    #: Samples that one GPU takes at once.
    micro_batch: int
    gpus: int = 1
    precision: str = "fp32"
    optimizer: str | None = None
    size: int | None = None
    #: `classification` or `language`, where the script's name tells.
    task: str | None = None


def training_command(text: str, gpus: int = 1) -> TrainingCommand | None:
    """The first command of a script or a command line that trains a network of the table; None where there is none.

    gpus: those that the job asks for, of one node, where no launcher says how many processes there are.
    """
    if not text or not _MAY_NAME.search(text):
        return None
    variables: dict[str, str] = {}
    for words in _commands(text[:TEXT_CHARACTERS]):
        _remember(words, variables)
        told = _read([_filled(word, variables) for word in words], gpus)
        if told is not None:
            return told
    return None


def _commands(text: str) -> Iterator[list[str]]:
    for line in _SEPARATORS.split(text.replace("\\\n", " ")):
        if not line.lstrip().startswith("#"):
            try:
                yield shlex.split(line, comments=True)
            except ValueError:
                yield line.split()


def _remember(words: Sequence[str], variables: dict[str, str]) -> None:
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name.isidentifier():
            variables[name] = value


def _filled(word: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: variables.get(found[1], found[0]), word)


def _read(words: Sequence[str], gpus: int) -> TrainingCommand | None:
    network = _value(words, NETWORK)
    if network is None or not is_known(network) or UNLIKE.search(" ".join(words)):
        return None
    program = next((name for word in words if (name := word.rpartition("/")[2]).endswith(".py")), "")
    batch = _whole(_value(words, BATCH)) or next((size for name, size in USUAL_BATCH if name.match(program)), None)
    if batch is None:
        return None
    processes = _processes(words) or gpus
    if program == "main.py":
        # The batch of all GPUs of the node, which the script divides.
        batch = math.ceil(batch / processes)
    return TrainingCommand(
        network=network, micro_batch=batch, gpus=processes, precision=_precision(words),
        optimizer=_value(words, OPTIMIZER), size=_whole(_value(words, SIZE)),
        task=next((task for name, task in TASKS if name.match(program)), None),
    )  # fmt: skip


def _processes(words: Sequence[str]) -> int | None:
    """Those that a launcher starts on a node; None: it does not say."""
    number, launcher = sbatch.gpus_needed(" ".join(words), {})
    return number if number and launcher not in {"srun", "mpirun", "mpiexec"} else None


def _precision(words: Sequence[str]) -> str:
    named = _value(words, PRECISION)
    given = next((kind for flag, kind in PRECISIONS.items() if flag in words), None)
    return (named or given or "fp32").lower()


def _value(words: Sequence[str], flags: Sequence[str]) -> str | None:
    """The value of the last of the flags; of one that takes several, the last."""
    found = None
    for place, word in enumerate(words):
        name, sign, value = word.partition("=")
        if name in flags:
            if not sign:
                value = words[place + 1] if place + 1 < len(words) else ""
            found = value if value and not value.startswith("-") else found
    return found


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and 0 < int(text) < 1 << 31 else None
