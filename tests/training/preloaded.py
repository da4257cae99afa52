# ruff: noqa: F401
"""What every process of a job imports, imported once by the server that forks them."""

import gc
import importlib
import pkgutil

import peft
import safetensors.torch
import torch
import torch.distributed.checkpoint.state_dict
import torch.distributed.fsdp
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, get_scheduler

from alpaqual.trainers import fsdp_job

for module in pkgutil.iter_modules(fsdp_job.__path__, f"{fsdp_job.__name__}."):
    # The program itself is run by each process.
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

torch.set_num_threads(1)
# The garbage collector of a process skips everything that was imported here.
gc.freeze()
