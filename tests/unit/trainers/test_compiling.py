"""Layers as on CUDA: compiled, with torch's variable-length attention, whose kernel is implemented here for the CPU."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
varlen = pytest.importorskip("torch.nn.attention.varlen", reason="needs torch 2.10")
from training import TINY  # noqa: E402
from training.sharded import build, job, ranks, with_machine  # noqa: E402, F401

from alpaqual.job import Model  # noqa: E402

pytestmark = pytest.mark.slow


def attend(query, key, value, starts, window):
    """(output, log-sum-exp) of attention over packed rows, in fp32."""
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
def cpu_kernels():
    varlen._varlen_attn.register_kernel("cpu")(forward)
    varlen._varlen_attn_backward.register_kernel("cpu")(backward)


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_varlen_attention_keeps_packed_rows_apart(kind, job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.batches import pack
    from alpaqual.trainers.fsdp_job.kernels import select_kernels
    from alpaqual.trainers.fsdp_job.loss import to_device

    # Grouped-query attention; mistral with a sliding window of eight.
    more = {"sliding_window": 8} if kind == "mistral" else {}
    model = Model(config={**TINY, "model_type": kind, **more}, tokenizer=job[1].model.tokenizer)
    sharded, reference, sample, data = build(job, ranks, model=model)
    assert select_kernels(sharded, reference, sample, with_machine(job, attention="varlen"), ranks).startswith(
        "attention varlen"
    )
    found = data.examples.all[:5]
    packed = sharded(to_device(pack(found), ranks.device), return_logits=True).detach()
    sharded.model.set_attn_implementation("eager")
    alone = torch.cat([sharded.model(input_ids=torch.tensor([each.tokens])).logits[0].detach() for each in found])
    assert float((packed - alone).abs().max()) < 1e-5


@pytest.mark.parametrize("takes_scale", [False, True])
def test_older_torch_gets_is_causal(takes_scale, job, ranks, monkeypatch):  # noqa: F811
    from alpaqual.trainers.fsdp_job.kernels import select_kernels

    new = varlen.varlen_attn

    def old(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None):
        return new(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, window_size=(-1, 0 if is_causal else -1))

    def old_with_scale(
        query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None, scale=None
    ):
        assert scale is not None
        return old(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal)

    monkeypatch.setattr(varlen, "varlen_attn", old_with_scale if takes_scale else old)
    sharded, reference, sample, _ = build(job, ranks)
    assert select_kernels(sharded, reference, sample, with_machine(job, attention="varlen"), ranks).startswith(
        "attention varlen"
    )


@pytest.mark.filterwarnings("ignore")  # dynamo's own
def test_layers_compile_without_graph_breaks_and_once_for_all_lengths(job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.attention import set_attention
    from alpaqual.trainers.fsdp_job.batches import pack
    from alpaqual.trainers.fsdp_job.loss import to_device
    from alpaqual.trainers.fsdp_job.model import layers_of

    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    sharded, _, _, data = build(job, ranks, precision="bf16")
    sharded.train()
    set_attention(sharded, "varlen", 256)
    for layer in layers_of(sharded.model):
        layer.compile(backend=counting)
    seen = []
    for count in (1, 3, 2, 5, 4, 6):
        sharded(to_device(pack(data.examples.all[:count]), ranks.device)).backward()
        seen.append(len(graphs))
    # Two graphs: the first layer's input needs no gradient, and the first length is compiled as a constant.
    assert seen[-1] == seen[1] <= 3, seen
    assert not torch._dynamo.utils.counters["graph_break"]


def test_layers_in_four_bits_are_compiled_only_on_request(job):  # noqa: F811
    from types import SimpleNamespace

    from alpaqual.trainers.fsdp_job.memory import should_compile

    cuda, cpu = (SimpleNamespace(device=torch.device(kind)) for kind in ("cuda", "cpu"))
    assert [should_compile(replace(job[1], method=method), cuda) for method in ("full", "lora", "qlora")] == [
        True,
        True,
        False,
    ]
    assert not should_compile(job[1], cpu)
    requested = replace(job[1], method="qlora", machine=replace(job[1].machine, compile=True))
    assert should_compile(requested, cuda) and should_compile(requested, cpu)


@pytest.mark.filterwarnings("ignore")  # inductor's own
def test_without_a_compiler_layers_stay_as_they_are_with_a_reason(job, ranks, monkeypatch):  # noqa: F811
    from alpaqual.trainers.fsdp_job.model import compile_layers, layers_of

    def compile_nothing(*words, **more):
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    sharded, _, _, _ = build(job, ranks)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "compile", compile_nothing)
        assert "Failed to find C compiler" in compile_layers(sharded.model, None, ranks)
    assert all(layer._compiled_call_impl is None for layer in layers_of(sharded.model))
    # On request layers are compiled, and the first step fails with the compiler's error.
    assert compile_layers(sharded.model, True, ranks) == ""
    assert all(layer._compiled_call_impl is not None for layer in layers_of(sharded.model))


def test_a_model_that_caps_attention_gets_no_kernel_without_the_cap(job, ranks, monkeypatch):  # noqa: F811
    from transformers import Gemma2ForCausalLM, Gemma2PreTrainedModel

    from alpaqual.trainers.fsdp_job.attention import set_attention

    # transformers 5.17 declares support for it.
    for kind in (Gemma2PreTrainedModel, Gemma2ForCausalLM):
        monkeypatch.setattr(kind, "_supports_sdpa", True)
    model = Model(config={**TINY, "model_type": "gemma2", "head_dim": 16}, tokenizer=job[1].model.tokenizer)
    sharded, _, _, _ = build(job, ranks, model=model)
    assert sharded.model.config._attn_implementation == "eager"
    with pytest.raises(ValueError, match="softcap"):
        set_attention(sharded, "sdpa", 256)
