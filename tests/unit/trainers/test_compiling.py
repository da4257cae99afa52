"""Layers as they run on CUDA: compiled, with torch's attention over packed rows, whose kernel is written out here for the CPU."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
varlen = pytest.importorskip("torch.nn.attention.varlen", reason="needs torch 2.10")
from test_checking import asking, built, job, ranks  # noqa: E402, F401
from training import TINY  # noqa: E402

from alpaqual.job import Model  # noqa: E402

pytestmark = pytest.mark.slow


def attend(query, key, value, starts, window):
    """(result, log-sum-exp) of rows that lie one behind the other, as softmax over products in fp32."""
    found, sums = [], []
    for start, end in pairwise(starts.tolist()):
        q, k, v = (each[start:end].float().transpose(0, 1) for each in (query, key, value))
        behind = torch.arange(end - start)[:, None] - torch.arange(end - start)[None]
        hidden = (behind < -window[1]) if window[1] >= 0 else torch.zeros_like(behind, dtype=torch.bool)
        if window[0] >= 0:
            hidden |= behind > window[0]
        products = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(hidden, -torch.inf)
        found.append((products.softmax(-1) @ v).transpose(0, 1))
        sums.append(products.logsumexp(-1))
    return torch.cat(found).to(query.dtype), torch.cat(sums, dim=1)


def forward(
    query,
    key,
    value,
    starts,
    more_starts,
    longest,
    more_longest,
    is_causal=False,
    scale=None,
    window_size=None,
    *more,
    **words,
):
    assert not any(more) and not any(words.values()) and scale in (None, query.shape[-1] ** -0.5)
    return *attend(query, key, value, starts, window_size or [-1, -1]), torch.zeros(2, dtype=torch.uint64)


def backward(
    grad,
    query,
    key,
    value,
    out,
    sums,
    starts,
    more_starts,
    longest,
    more_longest,
    is_causal,
    state,
    scale=None,
    window_size=None,
):
    grads = [torch.zeros_like(each) for each in (query, key, value)]
    for start, end in pairwise(starts.tolist()):
        q, k, v, g = (each[start:end].float().transpose(0, 1) for each in (query, key, value, grad))
        hidden = torch.ones(end - start, end - start, dtype=torch.bool).triu(1)
        shares = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(hidden, -torch.inf).softmax(-1)
        back = g @ v.mT
        back = shares * (back - (back * shares).sum(-1, keepdim=True)) * q.shape[-1] ** -0.5
        for into, part in zip(grads, (back @ k, back.mT @ q, shares.mT @ g), strict=True):
            into[start:end] = part.transpose(0, 1).to(into.dtype)
    return tuple(grads)


@pytest.fixture(scope="module", autouse=True)
def on_a_cpu():
    varlen._varlen_attn.register_kernel("cpu")(forward)
    varlen._varlen_attn_backward.register_kernel("cpu")(backward)


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_torchs_attention_over_packed_rows_keeps_them_apart(kind, job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.batches import micro_batch
    from alpaqual.trainers.fsdp_job.checking import prove
    from alpaqual.trainers.fsdp_job.loss import tensors

    # Several heads share keys; of mistral a token sees the eight before it.
    more = {"sliding_window": 8} if kind == "mistral" else {}
    model = Model(config={**TINY, "model_type": kind, **more}, tokenizer=job[1].model.tokenizer)
    learner, said, chosen, data = built(job, ranks, model=model)
    assert prove(learner, said, chosen, asking(job, attention="varlen"), ranks).startswith("attention varlen")
    found = data.examples.all[:5]
    packed = learner(tensors(micro_batch(found), ranks.device), logits=True).detach()
    learner.model.set_attn_implementation("eager")
    alone = torch.cat([learner.model(input_ids=torch.tensor([each.tokens])).logits[0].detach() for each in found])
    assert float((packed - alone).abs().max()) < 1e-5


@pytest.mark.parametrize("takes_scale", [False, True])
def test_an_older_torch_is_told_of_causality_as_it_asks(takes_scale, job, ranks, monkeypatch):  # noqa: F811
    from alpaqual.trainers.fsdp_job.checking import prove

    new = varlen.varlen_attn

    def old(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None):
        return new(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, window_size=(-1, 0 if is_causal else -1))

    def old_with_scale(
        query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None, scale=None
    ):
        assert scale is not None
        return old(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal)

    monkeypatch.setattr(varlen, "varlen_attn", old_with_scale if takes_scale else old)
    learner, said, chosen, _ = built(job, ranks)
    assert prove(learner, said, chosen, asking(job, attention="varlen"), ranks).startswith("attention varlen")


@pytest.mark.filterwarnings("ignore")  # of what dynamo looks at
def test_layers_are_compiled_whole_and_once_for_all_lengths(job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.attention import use
    from alpaqual.trainers.fsdp_job.batches import micro_batch
    from alpaqual.trainers.fsdp_job.loss import tensors
    from alpaqual.trainers.fsdp_job.model import blocks

    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    learner, _, _, data = built(job, ranks, precision="bf16")
    learner.train()
    use(learner, "varlen", 256)
    for block in blocks(learner.model):
        block.compile(backend=counting)
    seen = []
    for count in (1, 3, 2, 5, 4, 6):
        learner(tensors(micro_batch(data.examples.all[:count]), ranks.device)).backward()
        seen.append(len(graphs))
    # The first layer's input needs no gradient of what is before it, or lengths were one so far: two graphs, and then none.
    assert seen[-1] == seen[1] <= 3, seen
    assert not torch._dynamo.utils.counters["graph_break"]


def test_layers_over_four_bits_are_not_compiled_unless_asked_for(job):  # noqa: F811
    from types import SimpleNamespace

    from alpaqual.trainers.fsdp_job.memory import compiles

    cuda, cpu = (SimpleNamespace(device=torch.device(kind)) for kind in ("cuda", "cpu"))
    assert [compiles(replace(job[1], method=method), cuda) for method in ("full", "lora", "qlora")] == [
        True,
        True,
        False,
    ]
    assert not compiles(job[1], cpu)
    asked = replace(job[1], method="qlora", machine=replace(job[1].machine, compile=True))
    assert compiles(asked, cuda) and compiles(asked, cpu)


@pytest.mark.filterwarnings("ignore")  # of what inductor imports
def test_where_nothing_can_be_compiled_layers_are_not_and_it_is_said(job, ranks, monkeypatch):  # noqa: F811
    from alpaqual.trainers.fsdp_job.model import blocks, compile_layers

    def compile_nothing(*words, **more):
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    learner, _, _, _ = built(job, ranks)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "compile", compile_nothing)
        assert "Failed to find C compiler" in compile_layers(learner.model, None, ranks)
    assert all(block._compiled_call_impl is None for block in blocks(learner.model))
    # Asked for in a recipe it is not left out in silence: the first layer would say what is missing.
    assert compile_layers(learner.model, True, ranks) == ""
    assert all(block._compiled_call_impl is not None for block in blocks(learner.model))


def test_a_model_that_caps_attention_is_never_left_to_a_kernel_that_does_not(job, ranks, monkeypatch):  # noqa: F811
    from transformers import Gemma2ForCausalLM, Gemma2PreTrainedModel

    from alpaqual.trainers.fsdp_job.attention import use

    # transformers 5.17 says that it can.
    for kind in (Gemma2PreTrainedModel, Gemma2ForCausalLM):
        monkeypatch.setattr(kind, "_supports_sdpa", True)
    model = Model(config={**TINY, "model_type": "gemma2", "head_dim": 16}, tokenizer=job[1].model.tokenizer)
    learner, _, _, _ = built(job, ranks, model=model)
    assert learner.model.config._attn_implementation == "eager"
    with pytest.raises(ValueError, match="softcap"):
        use(learner, "sdpa", 256)
