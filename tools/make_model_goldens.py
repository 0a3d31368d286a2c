#!/usr/bin/env python3
"""Makes tests/data/models/: tiny random models of each family as GGUF, and the logits Hugging Face computes for them.

The oracle is Hugging Face transformers in float32 with eager attention on the CPU. Each model is small enough to commit;
its weights are scaled so that logits are far from uniform, its norm weights and biases are random too, so that leaving
one out, or using the wrong one, shows. For each model NAME the folder gets

    NAME.gguf          F32 weights, laid out as the usual converters do (Q and K of architecture "llama" permuted)
    NAME.tokens.i32    the prompt, little-endian int32
    NAME.logits.f32    logits at every position, row-major [tokens, vocab], little-endian float32
    manifest.json      configurations and versions, and the perplexity of the prompt as llama-perplexity defines it

Needs torch, transformers, gguf, numpy:   python tools/make_model_goldens.py [--out tests/data/models]
"""
import argparse
import json
import pathlib

import gguf
import numpy as np
import torch
import transformers

PROMPT_TOKENS = 40
PERPLEXITY_CONTEXT = 16
SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, use_cache=False,
             bos_token_id=1, eos_token_id=2, pad_token_id=None)

# name -> (GGUF architecture, HF config class, what differs from SHAPE)
MODELS = {
    # Llama 3.1's scaling with the original context between the wavelengths of the pairs, so that all three bands of the
    # rule occur: kept, ramped, divided.
    "llama3": ("llama", transformers.LlamaConfig, dict(
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=64))),
    # Biases on every projection, no grouped heads, tied head, linear scaling, another base.
    "llama_linear": ("llama", transformers.LlamaConfig, dict(
        num_key_value_heads=4, attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="linear", rope_theta=500.0, factor=4.0))),
    "llama_yarn": ("llama", transformers.LlamaConfig, dict(
        num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, beta_fast=8.0, beta_slow=1.0,
                             original_max_position_embeddings=64))),
    "mistral": ("llama", transformers.MistralConfig, dict(sliding_window=8, tie_word_embeddings=False, head_dim=8)),
    "qwen2": ("qwen2", transformers.Qwen2Config, dict(
        tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1000000.0))),
    "qwen3": ("qwen3", transformers.Qwen3Config, dict(
        head_dim=16, tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=1000000.0))),
}


def random_model(config, seed):
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if key.endswith("norm.weight"):
                parameter.copy_(1 + 0.3 * noise)
            elif key.endswith("bias"):
                parameter.copy_(0.5 * noise)
            elif "embed_tokens" in key:
                parameter.copy_(noise)
            else:
                parameter.copy_(noise * 1.5 / parameter.shape[1] ** 0.5)
    return model


def make_model(name, seed):
    _, config_class, changes = MODELS[name]
    return random_model(config_class(**{**SHAPE, **changes}), seed)


def logits_of(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].numpy()


def pairs_to_neighbours(weight, heads):
    """Rows (0, d/2, 1, d/2 + 1, ...) of each head: GGUF's order of Q and K for architecture "llama"."""
    shape = weight.shape
    return weight.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


LAYER_TENSORS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
TOP_TENSORS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(key, layer_tensors=LAYER_TENSORS):
    stem, kind = key.rsplit(".", 1)
    if stem in TOP_TENSORS:
        return f"{TOP_TENSORS[stem]}.{kind}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{layer_tensors[rest]}.{kind}"


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
    if head_dim * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    add_rope(writer, model, head_dim)
    for key, parameter in model.named_parameters():  # a tied head appears once, as the embedding
        values = parameter.detach().numpy()
        if arch == "llama" and "q_proj" in key:
            values = pairs_to_neighbours(values, config.num_attention_heads)
        if arch == "llama" and "k_proj" in key:
            values = pairs_to_neighbours(values, config.num_key_value_heads)
        writer.add_tensor(gguf_name(key), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_rope(writer, model, head_dim):
    rope = model.config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "llama3":  # as a tensor: what each pair's frequency is divided by
        plain = rope["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim)
        divisors = plain / model.model.rotary_emb.inv_freq.numpy()
        bands = {"kept": divisors < 1.001, "divided": divisors > 0.999 * rope["factor"]}
        assert bands["kept"].any() and bands["divided"].any() and not (bands["kept"] | bands["divided"]).all(), divisors
        writer.add_tensor("rope_freqs.weight", divisors.astype(np.float32))
    elif rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_float32(f"{writer.arch}.rope.scaling.yarn_beta_fast", rope["beta_fast"])
        writer.add_float32(f"{writer.arch}.rope.scaling.yarn_beta_slow", rope["beta_slow"])
    else:
        assert rope["rope_type"] == "default", rope


def check_window(model, tokens, logits):
    """The window shows: nothing changes while the prompt is inside it, much does afterwards."""
    window = model.config.sliding_window
    model.config.sliding_window = None
    without = logits_of(model, tokens)
    model.config.sliding_window = window
    difference = np.abs(without - logits).max(axis=1)
    assert difference[:window].max() < 1e-4 and difference[2 * window:].min() > 0.1, difference


def perplexity_of(model, tokens, context):
    """Chunks of `context` that start with BOS, the second half scored; a rest that fills no chunk left out."""
    nll = []
    for begin in range(0, len(tokens) - context + 1, context):
        chunk = [model.config.bos_token_id] + tokens[begin + 1:begin + context]
        log_probabilities = torch.log_softmax(torch.tensor(logits_of(model, chunk)).double(), dim=1)
        nll += [-float(log_probabilities[p, chunk[p + 1]]) for p in range(context // 2, context - 1)]
    mean, error = np.mean(nll), np.std(nll) / (len(nll) - 1) ** 0.5
    return {"context": context, "tokens": len(nll), "mean_nll": mean, "uncertainty": float(np.exp(mean) * error)}


def make(name, seed, out):
    arch = MODELS[name][0]
    model = make_model(name, seed)
    tokens = np.random.default_rng(seed).integers(0, SHAPE["vocab_size"], PROMPT_TOKENS).tolist()
    logits = logits_of(model, tokens)
    assert np.isfinite(logits).all() and logits.std() > 1, "weights too small: logits near uniform prove little"
    if getattr(model.config, "sliding_window", None):
        check_window(model, tokens, logits)
    write_gguf(out / f"{name}.gguf", arch, model)
    np.asarray(tokens, "<i4").tofile(out / f"{name}.tokens.i32")
    logits.astype("<f4").tofile(out / f"{name}.logits.f32")
    print(f"{name:13} logits {logits.min():7.2f} .. {logits.max():6.2f}, standard deviation {logits.std():.2f}")
    return {"architecture": arch, "seed": seed, "config_class": MODELS[name][1].__name__,
            "config": {**SHAPE, **MODELS[name][2]}, "prompt_tokens": PROMPT_TOKENS,
            "perplexity": perplexity_of(model, tokens, PERPLEXITY_CONTEXT)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "models"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    manifest = {"oracle": {"transformers": transformers.__version__, "torch": torch.__version__, "dtype": "float32",
                           "attention": "eager"},
                "models": {name: make(name, 100 + i, out) for i, name in enumerate(MODELS)}}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
