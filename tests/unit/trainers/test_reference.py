"""Which models have a plain linear head: the chunked loss drops whatever else a model does to its logits."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
from training import TINY  # noqa: E402
from training.sharded import build, job, ranks, with_machine  # noqa: E402, F401

from alpaqual.errors import MachineError  # noqa: E402
from alpaqual.job import Model  # noqa: E402

pytestmark = pytest.mark.slow

IDS = torch.arange(3, 15)[None]
SMALL = {**TINY, "head_dim": 16, "pad_token_id": 0}
MINICPM3 = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}
PLAIN = {
    "llama": {},
    "tied": {"model_type": "llama", "tie_word_embeddings": True},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
    "olmo2": {},
    "phi": {"num_key_value_heads": 4},  # its head has a bias
    "gpt_neox": {},
    "gemma": {},
    "gemma2": {"final_logit_softcapping": None},
    "granite": {"logits_scaling": 1.0},
}
CHANGED = {
    "gemma2": {},  # caps at 30
    "a high cap": {"model_type": "gemma2", "final_logit_softcapping": 1000.0},
    "gemma3_text": {"final_logit_softcapping": 30.0},
    "cohere": {},
    "cohere2": {},
    "granite": {"logits_scaling": 4.0},
    "nearly one": {"model_type": "granite", "logits_scaling": 1.001},
    "granitemoe": {"logits_scaling": 2.0, "num_local_experts": 2, "num_experts_per_tok": 1},
    "minicpm3": {**MINICPM3, "dim_model_base": 32},  # scales the hidden state before the head
    "nanochat": {},
    "vaultgemma": {},
}


def tiny(name, changes, dtype=torch.float32):
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {**SMALL, "model_type": name, **changes}
    torch.manual_seed(0)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager").eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_plain_heads_are_linear(name, dtype):
    from alpaqual.trainers.fsdp_job.reference import has_linear_head

    assert has_linear_head(tiny(name, PLAIN[name], dtype), IDS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CHANGED)
def test_heads_that_change_logits_are_not(name, dtype):
    from alpaqual.trainers.fsdp_job.reference import has_linear_head

    assert not has_linear_head(tiny(name, CHANGED[name], dtype), IDS)


class Changed(torch.nn.Module):
    """A llama whose forward pass does something else to its logits."""

    def __init__(self, change):
        super().__init__()
        self.inner = tiny("llama", {})
        self.change = change

    def get_decoder(self):
        return self.inner.get_decoder()

    def get_output_embeddings(self):
        return self.inner.get_output_embeddings()

    def forward(self, **inputs):
        output = self.inner(**inputs)
        output.logits = self.change(output.logits)
        return output


@pytest.mark.parametrize(
    ("change", "linear"),
    [
        (lambda logits: logits, True),
        (lambda logits: logits.float(), True),
        (lambda logits: logits.mul_(0.5), False),
        (lambda logits: logits + 1e-3, False),
        (lambda logits: logits.roll(1, dims=1), False),
        (lambda logits: logits.detach(), False),
        # The same values with half of the gradient.
        (lambda logits: logits * 0.5 + logits.detach() * 0.5, False),
    ],
)
def test_values_and_gradients_are_compared(change, linear):
    from alpaqual.trainers.fsdp_job.reference import has_linear_head

    assert has_linear_head(Changed(change), IDS) is linear


def test_the_probe_leaves_the_model_as_it_was():
    from alpaqual.trainers.fsdp_job.reference import has_linear_head

    model = tiny("llama", {})
    with torch.no_grad():
        before = model(input_ids=IDS).logits
        has_linear_head(model, IDS)
        assert torch.equal(model(input_ids=IDS).logits, before)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["gemma2", "cohere", "granite", "minicpm3"])
def test_a_model_that_changes_its_logits_keeps_its_own_loss(name, precision, job, ranks):  # noqa: F811
    from alpaqual.trainers.fsdp_job.kernels import select_kernels

    model = Model(config={**SMALL, "model_type": name, **CHANGED[name]}, tokenizer=job[1].model.tokenizer)
    changed = replace(job[1], precision=precision)
    sharded, reference, sample, _ = build(job, ranks, model=model, precision=precision)
    assert select_kernels(sharded, reference, sample, changed, ranks).endswith("cross entropy model")
    with pytest.raises(MachineError, match="chunked is not correct for this model: the model scales, caps"):
        select_kernels(sharded, reference, sample, with_machine((None, changed), cross_entropy="chunked"), ranks)
