"""The words of training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from alpaqual.recipe.types import Name, Positive, Rate, StrictStruct, Text

Above = Annotated[float, Meta(gt=0)]

PRESETS: dict[str, dict[str, Any]] = {
    "alpagasus-7b": {"epochs": 3, "learning_rate": 2e-5, "batch_size": 128},
    "alpagasus-13b": {"epochs": 5, "learning_rate": 1e-5, "batch_size": 128},
}
"""The paper's hyperparameters: Table 5 (Alpaca) and Table 6 (Dolly) give the same ones for each size."""


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
    """Low-rank adapters in place of the weights themselves."""

    rank: Annotated[Positive, Meta(description="Rank of each adapter.")] = 16
    alpha: Annotated[Above, Meta(description="Scale of each adapter: alpha / rank.")] = 32
    dropout: Annotated[Rate, Meta(description="Share of inputs that an adapter does not see while it learns.")] = 0.0
    targets: Annotated[
        list[Text] | None, Meta(description="Names of the layers that get one; every linear layer but the head.")
    ] = None
    output: Annotated[
        Literal["merged", "adapter"],
        Meta(description="A whole model with the adapters added to its weights, or the adapters alone."),
    ] = "merged"


class Checkpoints(StrictStruct, frozen=True, kw_only=True):
    """When the state of training is written, so that a job that ends early goes on from there."""

    every_steps: Annotated[Positive | None, Meta(description="After so many steps.")] = None
    every_minutes: Annotated[Above | None, Meta(description="After so many minutes.")] = 10
    keep: Annotated[Positive, Meta(description="So many are kept until the model is written.")] = 2


class Slurm(StrictStruct, frozen=True, kw_only=True):
    """What a Slurm script asks for."""

    partition: Annotated[Text | None, Meta(description="--partition")] = None
    account: Annotated[Text | None, Meta(description="--account")] = None
    time: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9]+([:-][0-9]+)*(?!\n)$")], Meta(description="--time", examples=["02:00:00"])
    ] = "04:00:00"
    cpus_per_node: Annotated[Positive | None, Meta(description="--cpus-per-task of the one task of a node.")] = None
    memory: Annotated[Text | None, Meta(description="--mem of a node; all of it where left out.")] = None
    options: Annotated[list[Text], Meta(description="More #SBATCH options, as written.")] = field(default_factory=list)
    setup: Annotated[list[Text], Meta(description="Shell lines before the job: module load, an environment.")] = field(
        default_factory=list
    )


class Kubernetes(StrictStruct, frozen=True, kw_only=True):
    """What a Kubernetes manifest asks for."""

    image: Annotated[Text, Meta(description="Container image with alpaqual[train].")]
    claim: Annotated[Text, Meta(description="PersistentVolumeClaim that holds the run folder.")]
    path: Annotated[Text, Meta(description="The run folder within that volume.")] = "."
    namespace: Annotated[Text | None, Meta(description="Namespace of the job.")] = None
    memory: Annotated[Text | None, Meta(description="Memory of a node.", examples=["512Gi"])] = None
    cpus: Annotated[Positive | None, Meta(description="CPUs of a node.")] = None


class Launch(StrictStruct, frozen=True, kw_only=True):
    """Where the jobs run. What is trained does not depend on it."""

    start: Annotated[
        Literal["here", "elsewhere"],
        Meta(description="`run` starts the jobs on this machine, or writes them and says what to run."),
    ] = "here"
    nodes: Annotated[Positive, Meta(description="Machines of a job; more than one are never started from here.")] = 1
    processes: Annotated[
        Positive | None,
        Meta(description="Processes of a node, one a GPU; where left out, one for each GPU of the machine, or one."),
    ] = None
    replicas: Annotated[
        Positive,
        Meta(description="Groups of processes that each hold the whole model (HSDP); 1 shards it over all."),
    ] = 1
    rendezvous: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+:[0-9]{1,5}(?!\n)$")] | None,
        Meta(description="host:port that the nodes meet at.", examples=["node0:29500"]),
    ] = None
    environment: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(?!\n)$")], str],
        Meta(description="Environment variables of the jobs; no secrets."),
    ] = field(default_factory=dict)
    slurm: Annotated[Slurm | None, Meta(description="Write a Slurm script.")] = None
    kubernetes: Annotated[Kubernetes | None, Meta(description="Write a Kubernetes manifest.")] = None


class Training(StrictStruct, frozen=True, kw_only=True):
    """Train the same model on each dataset: same settings, same order rule, so that only the data differs."""

    base_model: Annotated[
        Text | RandomModel,
        Meta(description="A folder or GGUF file beside the recipe, or a name on the Hugging Face hub."),
    ]
    tokenizer: Annotated[
        Text | None, Meta(description="Folder, GGUF file or hub name of another tokenizer than the model's.")
    ] = None
    datasets: Annotated[list[Name], Meta(min_length=1, description="One model is trained on each.")]
    trainer: Annotated[Name, Meta(description="The plug-in that trains.")] = "fsdp_job"
    preset: Annotated[
        Literal["alpagasus-7b", "alpagasus-13b"],
        Meta(description="The paper's epochs, learning_rate and batch_size (Tables 5 and 6), where none are named."),
    ] = "alpagasus-7b"
    method: Annotated[
        Literal["full", "lora", "qlora"],
        Meta(description="All weights, low-rank adapters, or adapters over weights of 4 bits."),
    ] = "full"
    lora: Annotated[Lora, Meta(description="Adapters of lora and qlora.")] = field(default_factory=Lora)
    epochs: Annotated[Positive | None, Meta(description="Times that each row is seen.")] = None
    batch_size: Annotated[
        Positive | None, Meta(description="Rows of a step, over all processes, whatever their number.")
    ] = None
    learning_rate: Annotated[Above | None, Meta(description="Highest learning rate.")] = None
    schedule: Annotated[
        Literal["cosine", "linear", "constant"], Meta(description="How the learning rate falls after the warm-up.")
    ] = "cosine"
    warmup_ratio: Annotated[Rate, Meta(description="Share of the steps in which the learning rate rises.")] = 0.03
    weight_decay: Annotated[
        Annotated[float, Meta(ge=0)], Meta(description="AdamW's weight decay, not of norms and biases.")
    ] = 0.0
    clip: Annotated[Above | None, Meta(description="Largest norm of the gradient; null does not clip.")] = 1.0
    seed: Annotated[int, Meta(description="Decides the order of rows, random weights and dropout.")] = 42
    prompt: Annotated[
        Literal["alpaca", "chat"],
        Meta(description="The prompt of the Alpaca training script, or the model's chat template."),
    ] = "alpaca"
    loss_on: Annotated[
        Literal["response", "all"], Meta(description="Tokens that are learned: of the response, or of the prompt too.")
    ] = "response"
    max_length: Annotated[Positive, Meta(description="Longest row in tokens, prompt and response.")] = 512
    too_long: Annotated[
        Literal["truncate", "drop"], Meta(description="A longer row loses its end, or is not trained on; both counted.")
    ] = "truncate"
    precision: Annotated[
        Literal["bf16", "fp32"], Meta(description="Numbers that the model computes with; weights are kept in fp32.")
    ] = "bf16"
    held_out: Annotated[
        Name | None,
        Meta(description="A dataset whose loss is measured before and after; its rows are not trained on."),
    ] = None
    micro_batch_tokens: Annotated[
        Positive, Meta(description="Tokens that a process computes at once: more is quicker and takes more memory.")
    ] = 4096
    activation_checkpointing: Annotated[
        bool | None, Meta(description="Compute activations twice to hold fewer; decided by memory where left out.")
    ] = None
    compile: Annotated[
        bool | None, Meta(description="torch.compile each layer; left out, on CUDA alone and not with qlora.")
    ] = None
    attention: Annotated[
        Literal["auto", "varlen", "by_row", "flash_attention_2", "sdpa", "eager"],
        Meta(description="Kernel of attention; auto takes the quickest that keeps rows of a micro-batch apart."),
    ] = "auto"
    cross_entropy: Annotated[
        Literal["auto", "model", "chunked", "liger"],
        Meta(description="How the loss is computed; auto takes `chunked` where it gives what the model itself gives."),
    ] = "auto"
    checkpoints: Annotated[Checkpoints, Meta(description="When the state of training is written.")] = field(
        default_factory=Checkpoints
    )
    launch: Annotated[Launch, Meta(description="Where the jobs run.")] = field(default_factory=Launch)
    price_per_gpu_hour: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="US dollars of a GPU (or process) for an hour.")
    ] = None
    tensorboard: Annotated[bool, Meta(description="Also write metrics for TensorBoard.")] = False
    exports: Annotated[
        list[Name], Meta(description="Trainers to write configurations for: axolotl, llama_factory, trl.")
    ] = field(default_factory=list)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """epochs, learning_rate and batch_size: as named, else the preset's."""
        preset = PRESETS[self.preset]
        named = {key: getattr(self, key) for key in preset}
        return preset | {key: value for key, value in named.items() if value is not None}
