# ruff: noqa: F401
"""What every process of a job imports, imported once by the server that forks them."""

import gc

import alpaqual.trainers.fsdp_job.checking
import alpaqual.trainers.fsdp_job.measuring
import alpaqual.trainers.fsdp_job.saving
import alpaqual.trainers.fsdp_job.stopping
import alpaqual.trainers.fsdp_job.texts
import numpy
import peft
import safetensors.torch
import torch
import torch.distributed.checkpoint.state_dict
import torch.distributed.fsdp
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, get_scheduler

import alpaqual.trainers.fsdp_job.batches
import alpaqual.trainers.fsdp_job.checkpoints
import alpaqual.trainers.fsdp_job.data
import alpaqual.trainers.fsdp_job.loss
import alpaqual.trainers.fsdp_job.memory
import alpaqual.trainers.fsdp_job.model

torch.set_num_threads(1)
# What is here for good is looked through for garbage in none of the processes.
gc.freeze()
