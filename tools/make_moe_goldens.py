#!/usr/bin/env python3
"""Makes the tiny random mixture-of-experts models of tests/data/models/, and the logits Hugging Face computes for them.

Like make_model_goldens.py, whose page says what the files are; the weights of experts are stacked into the 3-d tensors
that GGUF has. Written for transformers 4.57, which has the experts as separate modules; versions are in
moe_manifest.json.

Needs torch, transformers, gguf, numpy:   python tools/make_moe_goldens.py [--out tests/data/models]
"""
import argparse
import json
import pathlib
import re

import gguf
import numpy as np
import torch
import transformers

from make_model_goldens import PROMPT_TOKENS, gguf_name, logits_of, pairs_to_neighbours, random_model

SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, use_cache=False,
             tie_word_embeddings=False, rope_theta=10000.0, bos_token_id=1, eos_token_id=2, pad_token_id=None)

# name -> (GGUF architecture, HF config class, what differs from SHAPE)
MODELS = {
    # Weights of the chosen experts sum to one, heads are normed one by one.
    "qwen3moe": ("qwen3moe", transformers.Qwen3MoeConfig, dict(
        head_dim=16, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=16, norm_topk_prob=True,
        intermediate_size=48, rope_theta=1000000.0)),
    # Weights as the softmax gives them, an expert for all with a gate, biases on Q, K and V.
    "qwen2moe": ("qwen2moe", transformers.Qwen2MoeConfig, dict(
        num_experts=6, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=40,
        norm_topk_prob=False, intermediate_size=48)),
    "mixtral": ("llama", transformers.MixtralConfig, dict(num_local_experts=4, num_experts_per_tok=2)),
    # Weights as the softmax gives them, Q and K normed over all heads at once.
    "olmoe": ("olmoe", transformers.OlmoeConfig, dict(num_experts=8, num_experts_per_tok=3, norm_topk_prob=False)),
}


LAYER_TENSORS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp", "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
}
EXPERT = re.compile(r"model\.layers\.(\d+)\.\w+\.experts\.(\d+)\.(\w+)\.weight")
EXPERT_ROLES = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down", "w1": "gate", "w3": "up", "w2": "down"}


def tensors_of(model, arch):
    """Names and arrays as GGUF has them: the experts of a role stacked."""
    config, stacks = model.config, {}
    for key, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        expert = EXPERT.fullmatch(key)
        if expert:
            layer, index, role = expert.groups()
            stack = stacks.setdefault(f"blk.{layer}.ffn_{EXPERT_ROLES[role]}_exps.weight", [])
            assert len(stack) == int(index), key
            stack.append(values)
            continue
        if arch == "llama" and "q_proj" in key:
            values = pairs_to_neighbours(values, config.num_attention_heads)
        if arch == "llama" and "k_proj" in key:
            values = pairs_to_neighbours(values, config.num_key_value_heads)
        yield gguf_name(key, LAYER_TENSORS), values.squeeze() if "shared_expert_gate" in key else values
    for name, stack in stacks.items():
        yield name, np.stack(stack)


def write_gguf(path, arch, model):
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_name(path.stem)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    if head_dim * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_expert_count(getattr(config, "num_experts", None) or config.num_local_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    if hasattr(config, "moe_intermediate_size"):
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if hasattr(config, "shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    for name, values in tensors_of(model, arch):
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check_routing(model, tokens, logits):
    """Every expert is chosen somewhere, and what is chosen shows in the logits."""
    chosen = set()
    hooks = []
    for layer, module in enumerate(model.model.layers):
        gate = (module.mlp if hasattr(module, "mlp") else module.block_sparse_moe).gate
        hooks.append(gate.register_forward_hook(
            lambda _m, _i, out, layer=layer: chosen.update(
                (layer, int(e)) for e in out.topk(model.config.num_experts_per_tok, dim=-1).indices.unique())))
    logits_of(model, tokens)
    for hook in hooks:
        hook.remove()
    experts = getattr(model.config, "num_experts", None) or model.config.num_local_experts
    assert len(chosen) == model.config.num_hidden_layers * experts, chosen
    used = model.config.num_experts_per_tok
    for module in model.model.layers:
        (module.mlp if hasattr(module, "mlp") else module.block_sparse_moe).top_k = 1
    assert np.abs(logits_of(model, tokens) - logits).max() > 0.1
    for module in model.model.layers:
        (module.mlp if hasattr(module, "mlp") else module.block_sparse_moe).top_k = used


def make(name, seed, out):
    arch, config_class, changes = MODELS[name]
    config = {**SHAPE, **changes}
    model = random_model(config_class(**config), seed)
    tokens = np.random.default_rng(seed).integers(0, SHAPE["vocab_size"], PROMPT_TOKENS).tolist()
    logits = logits_of(model, tokens)
    assert np.isfinite(logits).all() and logits.std() > 1, "weights too small: logits near uniform prove little"
    check_routing(model, tokens, logits)
    write_gguf(out / f"{name}.gguf", arch, model)
    np.asarray(tokens, "<i4").tofile(out / f"{name}.tokens.i32")
    logits.astype("<f4").tofile(out / f"{name}.logits.f32")
    print(f"{name:13} logits {logits.min():7.2f} .. {logits.max():6.2f}, standard deviation {logits.std():.2f}")
    return {"architecture": arch, "seed": seed, "config_class": config_class.__name__, "config": config,
            "prompt_tokens": PROMPT_TOKENS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "models"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    manifest = {"oracle": {"transformers": transformers.__version__, "torch": torch.__version__, "dtype": "float32",
                           "attention": "eager"},
                "models": {name: make(name, 200 + i, out) for i, name in enumerate(MODELS)}}
    (out / "moe_manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
