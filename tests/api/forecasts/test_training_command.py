"""Which network a command trains, by the flags of the scripts that people use."""

import httpx
import pytest

from crowdrun.api.advice import advice_line
from crowdrun.api.batch_script import read_script
from crowdrun.api.client import Client
from crowdrun.api.forecasts.known_training import forecast_of, with_forecast
from crowdrun.api.forecasts.training_command import TrainingCommand as Told
from crowdrun.api.forecasts.training_command import training_command
from crowdrun.data.job import JobRequest, Recommendation

SCRIPT = """#!/bin/bash
#SBATCH --job-name=trainb-999 --mem=16G
#SBATCH -t 1:00:00 --gres=gpu:4
# python train.py --model vgg16 -b 8
BATCH=128
torchrun --nproc_per_node=4 \\
    train.py --model resnet50 --batch-size $BATCH --amp --opt sgd
"""


@pytest.mark.parametrize(
    ("command", "told"),
    [
        # pytorch/examples, imagenet/main.py: the batch of all GPUs of the node, 256 where none is given.
        ("python main.py -a resnet18 /data", Told(network="resnet18", micro_batch=64, gpus=4)),
        ("python main.py --arch=resnet50 -b 1024 /data", Told(network="resnet50", micro_batch=256, gpus=4)),
        # torchvision references and timm: of each GPU.
        ("torchrun --nproc_per_node=8 train.py --model vit_b_16 -b 64 --amp --opt adamw --train-crop-size 176",
         Told(network="vit_b_16", micro_batch=64, gpus=8, precision="fp16", optimizer="adamw", size=176)),
        ("./distributed_train.sh 4 /data --model swin_base_patch4_window7_224 -b 32 --amp --amp-dtype bfloat16",
         Told(network="swin_base_patch4_window7_224", micro_batch=32, gpus=4, precision="bfloat16")),
        # transformers: of each GPU, 8 where none is given.
        ("accelerate launch --num_processes 2 run_glue.py --model_name_or_path bert-base-uncased --max_seq_length 256 "
         "--bf16 --per_device_train_batch_size 16",
         Told(network="bert-base-uncased", micro_batch=16, gpus=2, precision="bf16", size=256, task="classification")),
        ("python examples/run_clm.py --model_name_or_path openai-community/gpt2 --block_size 512",
         Told(network="openai-community/gpt2", micro_batch=8, gpus=4, size=512, task="language")),
        # fairseq-train: sentences of each GPU.
        ("fairseq-train x --arch roberta_base --max-sentences 16 --fp16 --optimizer adam --tokens-per-sample 512",
         Told(network="roberta_base", micro_batch=16, gpus=4, precision="fp16", optimizer="adam", size=512)),
        ("cd x && B=32; python train.py --model resnet50 -b ${B}", Told(network="resnet50", micro_batch=32, gpus=4)),
        (SCRIPT, Told(network="resnet50", micro_batch=128, gpus=4, precision="fp16", optimizer="sgd")),
    ],
)  # fmt: skip
def test_the_flags_of_well_known_scripts_are_understood(command: str, told: Told) -> None:
    assert training_command(command, gpus=4) == told


@pytest.mark.parametrize(
    "command",
    [
        "",
        "python train.py --model my-own -b 64",
        "python train.py --model resnet50",
        "python train.py --model resnet50 --batch-size many",
        "python main.py -a resnet50 --evaluate /data",
        "python main.py -a resnet50 -e /data",
        "python run_clm.py --model_name_or_path gpt2 --gradient_checkpointing",
        "deepspeed run_clm.py --model_name_or_path gpt2",
        "python train.py --model resnet50 -b 64 --fsdp full_shard",
        "python train.py --model",
        "echo 'it said --model resnet50",
    ],
)
def test_of_what_the_table_does_not_know_nothing_is_said(command: str) -> None:
    assert training_command(command) is None


def test_the_fields_of_a_request_tell_it_too() -> None:
    told = forecast_of(JobRequest(model="resnet50", batch_size=256, req_gpus=4, precision="bf16", optimizer="adamw"))
    assert told is not None
    assert (told.network, told.micro_batch, told.gpus, told.precision, told.optimizer) == (
        "resnet50", 64, 4, "bf16", "adamw",
    )  # fmt: skip
    assert forecast_of(JobRequest(model="resnet50", batch_size=256, req_gpus=0)) is None
    assert forecast_of(JobRequest(model="mine", batch_size=256)) is None


def test_a_job_without_gpus_trains_on_the_cpu() -> None:
    script = SCRIPT.replace("--gres=gpu:4", "")
    assert forecast_of(read_script(script), script) is None


def test_a_recommendation_says_the_forecast_and_that_it_is_one() -> None:
    silent = {"gpu_mem_mb": "only 0 jobs of the log tell it", "wait_s": "too few jobs waited"}
    plain = Recommendation(request=read_script(SCRIPT), risk=0.05, predictions={}, abstained=silent)
    told = with_forecast(plain, SCRIPT)
    assert told.abstained.keys() == {"wait_s"}
    assert told.network_forecast is not None
    (reason,) = told.reasons
    assert reason.startswith(
        "GPU memory: resnet50 with 128 images of 224 pixels on each of 4 GPUs in bf16 (sgd) needs "
    )
    assert "by a forecast of its training step, which no GPU has measured; past jobs tell nothing of it." in reason
    assert "resnet50 needs" in (advice_line(told) or "")


def test_rest_says_it_with_a_prediction_and_to_csbatch(service: httpx.Client) -> None:
    with Client(str(service.base_url)) as client:
        told = client.predict(read_script(SCRIPT, user="user1"), script=SCRIPT)
    assert told.network_forecast is not None
    assert told.network_forecast.micro_batch == 128
    assert any("resnet50 with 128 images" in reason for reason in told.reasons)
    assert told.to_record().network_forecast is not None
    plain = service.post("/v1/predict", json={"user": "user1", "req_gpus": 1}).json()
    assert plain["network_forecast"] is None
    wrapped = {"wrap": "python main.py -a resnet50 -b 64", "gres": "gpu:1"}
    for body in ({"options": wrapped}, {"options": {"gres": "gpu:4"}, "text": SCRIPT}):
        advice = service.post("/v1/advice", json=body | {"user": "user1"}).json()
        assert advice["gpu_mem_mb"] > 5000
        assert "of a GPU by forecast" in advice["line"]
