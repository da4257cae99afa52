"""The `training` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from alpaqual.types import Name, Positive, Rate, StrictStruct, Text

Above = Annotated[float, Meta(gt=0)]

PRESETS: dict[str, dict[str, Any]] = {
    "alpagasus-7b": {"epochs": 3, "learning_rate": 2e-5, "batch_size": 128},
    "alpagasus-13b": {"epochs": 5, "learning_rate": 1e-5, "batch_size": 128},
}
"""The paper's hyperparameters; Tables 5 (Alpaca) and 6 (Dolly) give the same ones for each model size."""


class RandomModel(StrictStruct, frozen=True, kw_only=True):
    """A model with random weights, for tests and measurements of speed."""

    config: Annotated[
        dict[str, Any],
        Meta(
            description="A transformers configuration: model_type and its settings.",
            examples=[{"model_type": "llama", "hidden_size": 256}],
        ),
    ]


class Lora(StrictStruct, frozen=True, kw_only=True):
    """Low-rank adapters, trained instead of the weights."""

    rank: Annotated[Positive, Meta(description="Rank of each adapter.")] = 16
    alpha: Annotated[Above, Meta(description="Scale of each adapter: alpha / rank.")] = 32
    dropout: Annotated[Rate, Meta(description="Dropout rate on the inputs of each adapter.")] = 0.0
    targets: Annotated[
        list[Text] | None,
        Meta(description="Names of the layers that get an adapter; by default every linear layer except the head."),
    ] = None
    output: Annotated[
        Literal["merged", "adapter"],
        Meta(
            description="merged: the whole model with the adapters merged into its weights; adapter: the adapters only."
        ),
    ] = "merged"


class Checkpoints(StrictStruct, frozen=True, kw_only=True):
    """When checkpoints are written; an interrupted job resumes from the latest one."""

    every_steps: Annotated[Positive | None, Meta(description="Write a checkpoint after this many steps.")] = None
    every_minutes: Annotated[Above | None, Meta(description="Write a checkpoint after this many minutes.")] = 10
    keep: Annotated[
        Positive, Meta(description="Number of checkpoints kept; all are deleted once the model is written.")
    ] = 2


class Slurm(StrictStruct, frozen=True, kw_only=True):
    """Settings of the Slurm script."""

    partition: Annotated[Text | None, Meta(description="Value of --partition.")] = None
    account: Annotated[Text | None, Meta(description="Value of --account.")] = None
    time: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9]+([:-][0-9]+)*(?!\n)$")],
        Meta(description="Value of --time.", examples=["02:00:00"]),
    ] = "04:00:00"
    cpus_per_node: Annotated[
        Positive | None, Meta(description="Value of --cpus-per-task; there is one task per node.")
    ] = None
    memory: Annotated[Text | None, Meta(description="Value of --mem, per node; by default all of it.")] = None
    options: Annotated[list[Text], Meta(description="More #SBATCH options, copied as written.")] = field(
        default_factory=list
    )
    setup: Annotated[list[Text], Meta(description="Shell lines to run before the job, such as module load.")] = field(
        default_factory=list
    )


class Kubernetes(StrictStruct, frozen=True, kw_only=True):
    """Settings of the Kubernetes manifest."""

    image: Annotated[Text, Meta(description="Container image that has alpaqual[train] installed.")]
    claim: Annotated[Text, Meta(description="PersistentVolumeClaim that holds the run folder.")]
    path: Annotated[Text, Meta(description="Path of the run folder in that volume.")] = "."
    namespace: Annotated[Text | None, Meta(description="Namespace of the job.")] = None
    memory: Annotated[Text | None, Meta(description="Memory per node.", examples=["512Gi"])] = None
    cpus: Annotated[Positive | None, Meta(description="CPUs per node.")] = None


class Launch(StrictStruct, frozen=True, kw_only=True):
    """Where and how the jobs run. These settings do not change what is trained."""

    start: Annotated[
        Literal["here", "elsewhere"],
        Meta(
            description="here: `run` starts the jobs on this machine; elsewhere: it writes them and prints the commands."
        ),
    ] = "here"
    nodes: Annotated[
        Positive, Meta(description="Number of machines per job; `run` starts jobs of one machine only.")
    ] = 1
    processes: Annotated[
        Positive | None,
        Meta(description="Processes per node; by default one per GPU of this machine, or one."),
    ] = None
    replicas: Annotated[
        Positive,
        Meta(
            description="Number of process groups that each hold the whole model (HSDP); 1 shards it over all processes."
        ),
    ] = 1
    rendezvous: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+:[0-9]{1,5}(?!\n)$")] | None,
        Meta(description="host:port of the torchrun rendezvous.", examples=["node0:29500"]),
    ] = None
    environment: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(?!\n)$")], str],
        Meta(description="Environment variables of the jobs. They are written to files: use no secrets."),
    ] = field(default_factory=dict)
    slurm: Annotated[Slurm | None, Meta(description="Write a Slurm script.")] = None
    kubernetes: Annotated[Kubernetes | None, Meta(description="Write a Kubernetes manifest.")] = None


class Training(StrictStruct, frozen=True, kw_only=True):
    """Train the same model on each dataset with the same settings; only the data differs."""

    base_model: Annotated[
        Text | RandomModel,
        Meta(description="A folder or GGUF file, relative to the recipe, or a name on the Hugging Face Hub."),
    ]
    tokenizer: Annotated[
        Text | None, Meta(description="Folder, GGUF file or Hub name of the tokenizer; by default the model's.")
    ] = None
    datasets: Annotated[list[Name], Meta(min_length=1, description="Datasets to train on; each gives one model.")]
    trainer: Annotated[Name, Meta(description="Name of the trainer plug-in.")] = "fsdp_job"
    preset: Annotated[
        Literal["alpagasus-7b", "alpagasus-13b"],
        Meta(description="Defaults for epochs, learning_rate and batch_size, from the paper's Tables 5 and 6."),
    ] = "alpagasus-7b"
    method: Annotated[
        Literal["full", "lora", "qlora"],
        Meta(description="full: all weights; lora: low-rank adapters; qlora: adapters on 4-bit weights."),
    ] = "full"
    lora: Annotated[Lora, Meta(description="Settings of the adapters, for lora and qlora.")] = field(
        default_factory=Lora
    )
    epochs: Annotated[Positive | None, Meta(description="Number of passes over the rows; by default the preset's.")] = (
        None
    )
    batch_size: Annotated[
        Positive | None, Meta(description="Rows per optimizer step, over all processes; by default the preset's.")
    ] = None
    learning_rate: Annotated[Above | None, Meta(description="Peak learning rate; by default the preset's.")] = None
    schedule: Annotated[
        Literal["cosine", "linear", "constant"], Meta(description="Learning rate schedule after the warm-up.")
    ] = "cosine"
    warmup_ratio: Annotated[Rate, Meta(description="Share of the steps used for linear warm-up.")] = 0.03
    weight_decay: Annotated[
        Annotated[float, Meta(ge=0)], Meta(description="AdamW weight decay; norms and biases are excluded.")
    ] = 0.0
    clip: Annotated[Above | None, Meta(description="Maximum gradient norm; null disables clipping.")] = 1.0
    seed: Annotated[int, Meta(description="Seed of the row order, random weights and dropout.")] = 42
    prompt: Annotated[
        Literal["alpaca", "chat"],
        Meta(description="alpaca: the prompt of the Alpaca training script; chat: the model's chat template."),
    ] = "alpaca"
    loss_on: Annotated[
        Literal["response", "last", "all"],
        Meta(
            description="response: loss on the response, in a conversation on every assistant turn whose weight is not 0; "
            "last: on the last assistant turn only; all: on prompt tokens too."
        ),
    ] = "response"
    max_length: Annotated[Positive, Meta(description="Maximum tokens per row, prompt and response together.")] = 512
    too_long: Annotated[
        Literal["truncate", "drop"],
        Meta(description="truncate: cut the end of longer rows; drop: skip them. Both are counted in the report."),
    ] = "truncate"
    precision: Annotated[
        Literal["bf16", "fp32"], Meta(description="Number format of the computation; master weights are fp32.")
    ] = "bf16"
    held_out: Annotated[
        Name | None,
        Meta(
            description="Dataset whose loss is measured before and after training; its rows are excluded from training."
        ),
    ] = None
    micro_batch_tokens: Annotated[
        Positive, Meta(description="Tokens per micro-batch and process; more is faster and takes more memory.")
    ] = 4096
    activation_checkpointing: Annotated[
        bool | None, Meta(description="Recompute activations to save memory; by default only if memory requires it.")
    ] = None
    compile: Annotated[
        bool | None, Meta(description="Use torch.compile on each layer; by default on CUDA, except with qlora.")
    ] = None
    attention: Annotated[
        Literal["auto", "varlen", "by_row", "flash_attention_2", "sdpa", "eager"],
        Meta(description="Attention kernel; auto takes the fastest one that keeps the rows of a micro-batch separate."),
    ] = "auto"
    cross_entropy: Annotated[
        Literal["auto", "model", "chunked", "liger"],
        Meta(description="How the loss is computed; auto uses `chunked` if it matches the loss of the model."),
    ] = "auto"
    checkpoints: Annotated[Checkpoints, Meta(description="When checkpoints are written.")] = field(
        default_factory=Checkpoints
    )
    launch: Annotated[Launch, Meta(description="Where the jobs run.")] = field(default_factory=Launch)
    price_per_gpu_hour: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="Price of a GPU (or process) per hour, in US dollars.")
    ] = None
    tensorboard: Annotated[bool, Meta(description="Also write metrics for TensorBoard.")] = False
    exports: Annotated[
        list[Name], Meta(description="Trainers to write configurations for: axolotl, llama_factory, trl.")
    ] = field(default_factory=list)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """epochs, learning_rate and batch_size; the preset fills in what the recipe omits."""
        preset = PRESETS[self.preset]
        named = {key: getattr(self, key) for key in preset}
        return preset | {key: value for key, value in named.items() if value is not None}
