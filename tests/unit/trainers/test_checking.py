"""What is shown before the first step, tried on models that are right and on ones that were spoilt."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
from training import TINY, rows, tiny_job, write_rows, write_tokenizer  # noqa: E402

from alpaqual.errors import MachineError  # noqa: E402
from alpaqual.job import Model  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks():
    from alpaqual.trainers.fsdp_job.ranks import join

    joined = join(1)
    yield joined
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    write_rows(folder / "data.jsonl", rows(12))
    return folder, tiny_job(write_tokenizer(folder / "tokenizer"), held_out=None)


def built(job, ranks, checkpointing=False, **more):
    """(learner, what the whole model said, examples) of a job."""
    from alpaqual.trainers.fsdp_job.checking import sample
    from alpaqual.trainers.fsdp_job.data import read_data
    from alpaqual.trainers.fsdp_job.model import Base, build, set_eval_mode

    folder, made = job
    base = Base(replace(made, **more), folder)
    data = read_data(base.job, folder, base.tokenizer())
    chosen = sample(data.examples.all)
    learner, said = build(base, base.config(), ranks, [each.tokens for each in chosen], checkpointing)
    set_eval_mode(learner)
    return learner, said, chosen, data


def asking(job, **machine):
    """The job with other settings of its machine."""
    return replace(job[1], machine=replace(job[1].machine, **machine))


def test_a_base_model_that_is_not_there_is_told_by_its_path(job):
    from alpaqual.llm._local_files import Place
    from alpaqual.trainers.fsdp_job.model import Base

    folder, made = job
    with pytest.raises(MachineError, match=rf"no model at {folder}/models/gone"):
        Base(replace(made, model=Model(path="models/gone")), folder).config()
    with pytest.raises(MachineError, match=r"tokenizer has no config.json, so it is no model"):
        Base(replace(made, model=Model(path="tokenizer")), folder).config()
    assert Base(replace(made, model=Model(name="owner/name")), folder).place == Place("owner/name")


def test_packed_rows_do_not_see_each_other(job, ranks):
    from alpaqual.trainers.fsdp_job.batches import micro_batch
    from alpaqual.trainers.fsdp_job.loss import tensors

    learner, _, _, data = built(job, ranks)
    found = data.examples.all[:6]
    packed = learner(tensors(micro_batch(found), ranks.device), logits=True).detach()
    alone = torch.cat([learner(tensors(micro_batch([each]), ranks.device), logits=True).detach() for each in found])
    assert float((packed - alone).abs().max()) < 1e-5


@pytest.mark.parametrize("cross_entropy", ["auto", "chunked", "model"])
def test_the_loss_is_the_models_own(cross_entropy, job, ranks):
    from alpaqual.trainers.fsdp_job.batches import micro_batch
    from alpaqual.trainers.fsdp_job.checking import prove
    from alpaqual.trainers.fsdp_job.loss import tensors

    learner, said, chosen, data = built(job, ranks)
    words = prove(learner, said, chosen, asking(job, cross_entropy=cross_entropy), ranks)
    assert words == f"attention by_row, cross entropy {'model' if cross_entropy == 'model' else 'chunked'}"
    found = data.examples.all[:4]
    loss = learner(tensors(micro_batch(found), ranks.device)).detach()
    learner.model.set_attn_implementation("eager")
    wanted = 0.0
    for each in found:
        logits = learner.model(input_ids=torch.tensor([each.tokens])).logits[0, each.learned - 1 : -1]
        wanted += float(
            torch.nn.functional.cross_entropy(
                logits, torch.tensor(each.tokens[each.learned :]), reduction="sum"
            ).detach()
        )
    assert float(loss) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("attention", ["by_row", "sdpa", "eager"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2", "mistral"])
def test_every_kernel_that_is_taken_keeps_rows_apart(attention, kind, job, ranks):
    from alpaqual.trainers.fsdp_job.batches import micro_batch
    from alpaqual.trainers.fsdp_job.checking import prove
    from alpaqual.trainers.fsdp_job.loss import tensors

    model = Model(config={**TINY, "model_type": kind, "head_dim": 16}, tokenizer=job[1].model.tokenizer)
    learner, said, chosen, data = built(job, ranks, model=model)
    found = data.examples.all[:5]
    asked = asking(job, attention=attention)
    if kind == "gemma2" and attention != "eager":
        # It caps what attention is made of, which other kernels leave out.
        with pytest.raises(MachineError, match=r"training\.attention: no kernel"):
            prove(learner, said, chosen, asked, ranks)
        return
    assert prove(learner, said, chosen, asked, ranks).startswith(f"attention {attention}")
    packed = learner(tensors(micro_batch(found), ranks.device), logits=True).detach()
    learner.model.set_attn_implementation("eager")
    alone = torch.cat([learner.model(input_ids=torch.tensor([each.tokens])).logits[0].detach() for each in found])
    assert float((packed - alone).abs().max()) < 1e-5


@pytest.mark.parametrize("cross_entropy", ["chunked", "model"])
def test_the_gradient_is_the_models_own(cross_entropy, job, ranks):
    from alpaqual.trainers.fsdp_job.batches import micro_batch
    from alpaqual.trainers.fsdp_job.loss import tensors

    learner, _, _, data = built(job, ranks)
    learner.cross_entropy = cross_entropy
    found = data.examples.all[:4]
    learner(tensors(micro_batch(found), ranks.device)).backward()
    ours = learner.model.model.layers[0].mlp.down_proj.weight.grad.full_tensor().clone()
    learner.zero_grad()
    other, _, _, _ = built(job, ranks)
    other.cross_entropy = "model"
    for each in found:
        other(tensors(micro_batch([each]), ranks.device)).backward()
    wanted = other.model.model.layers[0].mlp.down_proj.weight.grad.full_tensor()
    assert float((ours - wanted).norm() / wanted.norm()) < 1e-5


def test_a_head_that_scales_its_logits_keeps_its_own_loss(job, ranks):
    from alpaqual.trainers.fsdp_job.checking import prove

    granite = {**TINY, "model_type": "granite", "logits_scaling": 4.0}
    model = Model(config=granite, tokenizer=job[1].model.tokenizer)
    learner, said, chosen, _ = built(job, ranks, model=model)
    assert prove(learner, said, chosen, job[1], ranks).endswith("cross entropy model")
    with pytest.raises(MachineError, match="chunked is not right for this model"):
        prove(learner, said, chosen, asking(job, cross_entropy="chunked"), ranks)


def test_a_model_that_changed_when_it_was_sharded_is_not_trained(job, ranks):
    from alpaqual.trainers.fsdp_job.checking import prove

    learner, said, chosen, _ = built(job, ranks)
    learner.reshard()
    for name, buffer in learner.named_buffers():
        if "inv_freq" in name:
            # What a model that was made without memory has where nobody fills its tables.
            buffer.zero_()
    with pytest.raises(MachineError, match="says something else once it is sharded"):
        prove(learner, said, chosen, job[1], ranks)


def test_an_attention_that_mixes_rows_is_refused(job, ranks, monkeypatch):
    from transformers import AttentionInterface

    from alpaqual.trainers.fsdp_job.checking import prove

    def mixing(module, query, key, value, attention_mask, scaling=None, **words):
        found = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=True
        )
        return found.transpose(1, 2).contiguous(), None

    AttentionInterface.register("mixing", mixing)
    learner, said, chosen, _ = built(job, ranks)
    with pytest.raises(MachineError, match="see each other"):
        prove(learner, said, chosen, asking(job, attention="mixing"), ranks)


def test_a_weight_that_is_not_sharded_is_seen(job, ranks):
    from alpaqual.trainers.fsdp_job.model import check_sharded

    learner, _, _, _ = built(job, ranks)
    check_sharded(learner, ranks)
    learner.extra = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(AssertionError, match=r"not sharded: .'extra'"):
        check_sharded(learner, ranks)


def test_a_forward_pass_leaves_whole_weights_that_no_optimiser_may_hold(job, ranks):
    from alpaqual.trainers.fsdp_job.checking import prove
    from alpaqual.trainers.fsdp_job.model import check_sharded

    learner, said, chosen, _ = built(job, ranks)
    prove(learner, said, chosen, job[1], ranks)
    with pytest.raises(AssertionError, match="not sharded"):
        check_sharded(learner, ranks)


def test_tied_weights_stay_tied(job, ranks):
    model = Model(config={**TINY, "tie_word_embeddings": True}, tokenizer=job[1].model.tokenizer)
    learner, _, _, _ = built(job, ranks, model=model)
    assert learner.model.lm_head.weight is learner.model.model.embed_tokens.weight


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's own
def test_the_estimate_of_memory_is_near_what_a_model_takes(job, ranks):
    from alpaqual.trainers.fsdp_job.memory import estimate
    from alpaqual.trainers.fsdp_job.model import Base

    folder, made = job
    llama = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "vocab_size": 32000,
    }  # fmt: skip
    made = replace(made, model=Model(config=llama, tokenizer=made.model.tokenizer), precision="bf16")
    base = Base(replace(made, machine=replace(made.machine, micro_batch_tokens=4096)), folder)
    whole = estimate(base.job, base.outline(base.config(), torch.float32), 1, True)
    # 6.74 billion weights, each with gradient and two moments in fp32: 107.8 GB (Rajbhandari et al. 2020, section 3.1).
    assert whole.state == pytest.approx(6_738_415_616 * 16)
    assert estimate(base.job, base.outline(base.config(), torch.float32), 8, True).state == whole.state // 8
    assert whole.checkpointed < whole.activations / 5
    adapters = Base(replace(base.job, method="lora"), folder)
    assert estimate(adapters.job, adapters.outline(base.config(), torch.float32), 1, True).state < whole.state / 6


def test_checkpoints_without_room_are_told_of(job, monkeypatch):
    import shutil
    from collections import namedtuple

    from alpaqual.trainers.fsdp_job.memory import space
    from alpaqual.trainers.fsdp_job.model import Base

    folder, made = job
    outline = Base(made, folder).outline(Base(made, folder).config(), torch.float32)
    one = 12 * sum(weight.numel() for weight in outline.parameters())
    often = replace(made, machine=replace(made.machine, checkpoint_steps=5, checkpoints_kept=2))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3 * one))
    assert space(often, outline, folder) == space(made, outline, folder) == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3 * one - 1))
    assert "up to 3 lie beside each other" in space(often, outline, folder)
    assert space(made, outline, folder) == ""


def test_operations_of_a_token_are_those_of_its_weights(job):
    from alpaqual.trainers.fsdp_job.measuring import flops_a_token
    from alpaqual.trainers.fsdp_job.model import Base

    outline = Base(job[1], job[0]).outline(Base(job[1], job[0]).config(), torch.float32)
    layers, head = flops_a_token(outline, 100.0)
    # A layer: q 64x64, k and v 64x32, o 64x64, three of 64x128.
    assert layers == 6 * 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128) + 6 * 2 * 64 * 100
    assert head == 6 * 64 * 512


@pytest.mark.filterwarnings("ignore")  # of what dynamo looks at
@pytest.mark.parametrize("checkpointing", [False, True])
def test_layers_are_really_compiled(checkpointing, job, ranks):
    from alpaqual.trainers.fsdp_job.batches import micro_batch
    from alpaqual.trainers.fsdp_job.loss import tensors
    from alpaqual.trainers.fsdp_job.model import blocks

    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    learner, _, _, data = built(job, ranks, checkpointing)
    learner.train()
    plain = learner(tensors(micro_batch(data.examples.all[:3]), ranks.device))
    plain.backward()
    learner.zero_grad()
    for block in blocks(learner.model):
        block.compile(backend=counting)
    loss = learner(tensors(micro_batch(data.examples.all[:3]), ranks.device))
    loss.backward()
    assert graphs
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
