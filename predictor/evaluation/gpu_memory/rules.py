"""What else is said of a step's GPU memory before it runs: rules of thumb and other people's formulas, for fp32.

All but the last two know the parameters alone; they were made for large language models, and are here because they are
what people are told.
"""

from collections.abc import Callable, Mapping

from crowdrun.predictor.gpu_memory.device import UNMEASURED
from crowdrun.predictor.gpu_memory.learned.features import Array

#: Name -> MB from the columns of `learned/features.py`; `parameters` are the weights' MB, 4 bytes each.
RULES: Mapping[str, Callable[[Mapping[str, Array]], Array]] = {
    # Weights, gradients and Adam's two moments, 4 bytes each.
    "parameters_x16": lambda columns: 4 * columns["parameters"],
    # `accelerate estimate-memory`, "training using Adam": four times the model, which in fp32 is the same.
    "huggingface": lambda columns: 4 * columns["parameters"],
    # deepspeed.runtime.zero.stage_1_and_2.estimate_zero2_model_states_mem_needs, one GPU, no offload: (4 + 16) bytes.
    "deepspeed": lambda columns: 5 * columns["parameters"],
    # Yeung et al., "Horus", TPDS 33, 2022: weights, gradients, and what the forward pass makes, layer by layer.
    "horus": lambda columns: 2 * columns["parameters"] + columns["forward"],
    # What torch's allocator reserves, as it is traced.
    "forecast_reserved": lambda columns: columns["reserved"],
    # What `crowdrun estimate` says where nothing was measured.
    "forecast": lambda columns: UNMEASURED.slope * columns["reserved"] + UNMEASURED.offset_mb,
}
