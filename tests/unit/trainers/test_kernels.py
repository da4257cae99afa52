"""Kernel selection before the first step, on models that are correct and on models that were broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
from training import TINY  # noqa: E402
from training.sharded import build, job, ranks, with_machine  # noqa: E402, F401

from alpaqual.errors import MachineError  # noqa: E402
from alpaqual.job import Model  # noqa: E402

pytestmark = pytest.mark.slow


def test_a_missing_base_model_is_named_by_its_path(job):  # noqa: F811
    from alpaqual.llm._local_files import Place
    from alpaqual.trainers.fsdp_job.model import BaseModel

    folder, made = job
    with pytest.raises(MachineError, match=rf"no model at {folder}/models/gone"):
        BaseModel(replace(made, model=Model(path="models/gone")), folder).config()
    with pytest.raises(MachineError, match=r"tokenizer has no config.json, so it is not a model"):
        BaseModel(replace(made, model=Model(path="tokenizer")), folder).config()
    assert BaseModel(replace(made, model=Model(name="owner/name")), folder).place == Place("owner/name")


def test_packed_rows_do_not_attend_to_each_other(job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.batches import pack
    from alpaqual.trainers.fsdp_job.loss import to_device

    sharded, _, _, data = build(job, ranks)
    found = data.examples.all[:6]
    packed = sharded(to_device(pack(found), ranks.device), return_logits=True).detach()
    alone = torch.cat([sharded(to_device(pack([each]), ranks.device), return_logits=True).detach() for each in found])
    assert float((packed - alone).abs().max()) < 1e-5


@pytest.mark.parametrize("cross_entropy", ["auto", "chunked", "model"])
def test_the_loss_is_the_models_own(cross_entropy, job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.batches import pack
    from alpaqual.trainers.fsdp_job.kernels import select_kernels
    from alpaqual.trainers.fsdp_job.loss import to_device

    sharded, reference, sample, data = build(job, ranks)
    words = select_kernels(sharded, reference, sample, with_machine(job, cross_entropy=cross_entropy), ranks)
    assert words == f"attention by_row, cross entropy {'model' if cross_entropy == 'model' else 'chunked'}"
    found = data.examples.all[:4]
    loss = sharded(to_device(pack(found), ranks.device)).detach()
    sharded.model.set_attn_implementation("eager")
    wanted = 0.0
    for each in found:
        logits = sharded.model(input_ids=torch.tensor([each.tokens])).logits[0, each.loss[0][0] - 1 : -1]
        wanted += float(
            torch.nn.functional.cross_entropy(
                logits, torch.tensor(each.tokens[each.loss[0][0] :]), reduction="sum"
            ).detach()
        )
    assert float(loss) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("attention", ["by_row", "sdpa", "eager"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2", "mistral"])
def test_every_selected_kernel_keeps_packed_rows_apart(attention, kind, job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.batches import pack
    from alpaqual.trainers.fsdp_job.kernels import select_kernels
    from alpaqual.trainers.fsdp_job.loss import to_device

    model = Model(config={**TINY, "model_type": kind, "head_dim": 16}, tokenizer=job[1].model.tokenizer)
    sharded, reference, sample, data = build(job, ranks, model=model)
    found = data.examples.all[:5]
    requested = with_machine(job, attention=attention)
    if kind == "gemma2" and attention != "eager":
        # It caps attention logits, which other kernels do not.
        with pytest.raises(MachineError, match=r"training\.attention: no kernel"):
            select_kernels(sharded, reference, sample, requested, ranks)
        return
    assert select_kernels(sharded, reference, sample, requested, ranks).startswith(f"attention {attention}")
    packed = sharded(to_device(pack(found), ranks.device), return_logits=True).detach()
    sharded.model.set_attn_implementation("eager")
    alone = torch.cat([sharded.model(input_ids=torch.tensor([each.tokens])).logits[0].detach() for each in found])
    assert float((packed - alone).abs().max()) < 1e-5


@pytest.mark.parametrize("cross_entropy", ["chunked", "model"])
def test_the_gradient_is_the_models_own(cross_entropy, job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.batches import pack
    from alpaqual.trainers.fsdp_job.loss import to_device

    sharded, _, _, data = build(job, ranks)
    sharded.cross_entropy = cross_entropy
    found = data.examples.all[:4]
    sharded(to_device(pack(found), ranks.device)).backward()
    ours = sharded.model.model.layers[0].mlp.down_proj.weight.grad.full_tensor().clone()
    sharded.zero_grad()
    other, _, _, _ = build(job, ranks)
    other.cross_entropy = "model"
    for each in found:
        other(to_device(pack([each]), ranks.device)).backward()
    wanted = other.model.model.layers[0].mlp.down_proj.weight.grad.full_tensor()
    assert float((ours - wanted).norm() / wanted.norm()) < 1e-5


def test_a_head_that_scales_its_logits_keeps_its_own_loss(job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.kernels import select_kernels

    granite = {**TINY, "model_type": "granite", "logits_scaling": 4.0}
    model = Model(config=granite, tokenizer=job[1].model.tokenizer)
    sharded, reference, sample, _ = build(job, ranks, model=model)
    assert select_kernels(sharded, reference, sample, job[1], ranks).endswith("cross entropy model")
    with pytest.raises(MachineError, match="chunked is not correct for this model"):
        select_kernels(sharded, reference, sample, with_machine(job, cross_entropy="chunked"), ranks)


def test_a_model_that_sharding_changed_is_not_trained(job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.kernels import select_kernels

    sharded, reference, sample, _ = build(job, ranks)
    sharded.reshard()
    for name, buffer in sharded.named_buffers():
        if "inv_freq" in name:
            # As `to_empty` may leave them.
            buffer.zero_()
    with pytest.raises(MachineError, match="sharded logits differ from unsharded ones"):
        select_kernels(sharded, reference, sample, job[1], ranks)


def test_an_attention_that_mixes_rows_is_refused(job, ranks, monkeypatch):  # noqa: F811
    from transformers import AttentionInterface

    from alpaqual.trainers.fsdp_job.kernels import select_kernels

    def mixing(module, query, key, value, attention_mask, scaling=None, **words):
        found = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=True
        )
        return found.transpose(1, 2).contiguous(), None

    AttentionInterface.register("mixing", mixing)
    sharded, reference, sample, _ = build(job, ranks)
    with pytest.raises(MachineError, match="attend to each other"):
        select_kernels(sharded, reference, sample, with_machine(job, attention="mixing"), ranks)


def test_a_weight_that_is_not_sharded_is_found(job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.model import check_sharded

    sharded, _, _, _ = build(job, ranks)
    check_sharded(sharded, ranks)
    sharded.extra = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(AssertionError, match=r"not sharded: .'extra'"):
        check_sharded(sharded, ranks)


def test_after_a_forward_pass_the_weights_are_gathered(job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.kernels import select_kernels
    from alpaqual.trainers.fsdp_job.model import check_sharded

    sharded, reference, sample, _ = build(job, ranks)
    select_kernels(sharded, reference, sample, job[1], ranks)
    with pytest.raises(AssertionError, match="not sharded"):
        check_sharded(sharded, ranks)


def test_tied_weights_stay_tied(job, ranks):  # noqa: F811
    model = Model(config={**TINY, "tie_word_embeddings": True}, tokenizer=job[1].model.tokenizer)
    sharded, _, _, _ = build(job, ranks, model=model)
    assert sharded.model.lm_head.weight is sharded.model.model.embed_tokens.weight


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's own
def test_the_estimate_of_memory(job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.memory import estimate
    from alpaqual.trainers.fsdp_job.model import BaseModel

    folder, made = job
    llama = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "vocab_size": 32000,
    }  # fmt: skip
    made = replace(made, model=Model(config=llama, tokenizer=made.model.tokenizer), precision="bf16")
    base = BaseModel(replace(made, machine=replace(made.machine, micro_batch_tokens=4096)), folder)
    whole = estimate(base.job, base.on_meta_with_adapters(base.config(), torch.float32), 1, True)
    # 6.74 billion weights, each with gradient and two moments in fp32: 107.8 GB (Rajbhandari et al. 2020, section 3.1).
    assert whole.state == pytest.approx(6_738_415_616 * 16)
    assert (
        estimate(base.job, base.on_meta_with_adapters(base.config(), torch.float32), 8, True).state == whole.state // 8
    )
    assert whole.checkpointed < whole.activations / 5
    adapters = BaseModel(replace(base.job, method="lora"), folder)
    assert (
        estimate(adapters.job, adapters.on_meta_with_adapters(base.config(), torch.float32), 1, True).state
        < whole.state / 6
    )


def test_checkpoints_that_may_fill_the_disk_are_reported(job, monkeypatch):  # noqa: F811
    import shutil
    from collections import namedtuple

    from alpaqual.trainers.fsdp_job.memory import warn_about_disk
    from alpaqual.trainers.fsdp_job.model import BaseModel

    folder, made = job
    outline = BaseModel(made, folder).on_meta_with_adapters(BaseModel(made, folder).config(), torch.float32)
    one = 12 * sum(weight.numel() for weight in outline.parameters())
    often = replace(made, machine=replace(made.machine, checkpoint_steps=5, checkpoints_kept=2))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3 * one))
    assert warn_about_disk(often, outline, folder) == warn_about_disk(made, outline, folder) == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3 * one - 1))
    assert "there are up to 3 at once" in warn_about_disk(often, outline, folder)
    assert warn_about_disk(made, outline, folder) == ""


def test_flops_per_token(job):  # noqa: F811
    from alpaqual.trainers.fsdp_job.metrics import flops_per_token
    from alpaqual.trainers.fsdp_job.model import BaseModel

    outline = BaseModel(job[1], job[0]).on_meta_with_adapters(BaseModel(job[1], job[0]).config(), torch.float32)
    layers, head = flops_per_token(outline, 100.0)
    # A layer: q 64x64, k and v 64x32, o 64x64, three of 64x128.
    assert layers == 6 * 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128) + 6 * 2 * 64 * 100
    assert head == 6 * 64 * 512


@pytest.mark.filterwarnings("ignore")  # dynamo's own
@pytest.mark.parametrize("checkpointing", [False, True])
def test_layers_are_really_compiled(checkpointing, job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.batches import pack
    from alpaqual.trainers.fsdp_job.loss import to_device
    from alpaqual.trainers.fsdp_job.model import layers_of

    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    sharded, _, _, data = build(job, ranks, checkpointing)
    sharded.train()
    plain = sharded(to_device(pack(data.examples.all[:3]), ranks.device))
    plain.backward()
    sharded.zero_grad()
    for layer in layers_of(sharded.model):
        layer.compile(backend=counting)
    loss = sharded(to_device(pack(data.examples.all[:3]), ranks.device))
    loss.backward()
    assert graphs
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
