"""Writes the checkpoint as a GGUF file: matrices Q8_0 (or F32 with --float), norms F32, vocabulary and ChatML template inside."""

import argparse
import json
import pathlib

import gguf
import jinja2
import numpy as np
import torch

import chatml
from prepare import MARKS, SPECIAL

MATRICES = {"token_embd", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}


def check_template():
    """The Jinja template and chatml.prompt must agree, or the model would meet prompts it was not trained on."""
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda v: json.dumps(v)
    template = env.from_string(chatml.TEMPLATE)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "Call f.")]
    text = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    call = [("assistant", text + "\n" + text), ("tool", '{"r": 2}'), ("tool", '{"r": 3}')]
    for system in (None, "Be kind."):
        for tools, more in ((None, []), ([tool], []), ([tool], call)):
            messages = [{"role": "system", "content": system}] if system else []
            messages += [{"role": r, "content": c} for r, c in turns]
            if more:
                made = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
                messages.append({"role": "assistant", "content": None, "tool_calls": [made, made]})
                messages += [{"role": "tool", "content": c} for _, c in more[1:]]
            got = template.render(messages=messages, tools=tools, add_generation_prompt=True)
            want = chatml.prompt(system, tools, turns + more)
            assert got == want, f"template differs:\n{got}\n---\n{want}"


def add_vocabulary(w, tokenizer):
    model = tokenizer["model"]
    ids = dict(model["vocab"])
    ids.update({t["content"]: t["id"] for t in tokenizer["added_tokens"]})
    tokens = sorted(ids, key=ids.get)
    assert [ids[t] for t in tokens] == list(range(len(tokens)))
    kind = {t: gguf.TokenType.CONTROL for t in SPECIAL} | {t: gguf.TokenType.USER_DEFINED for t in MARKS}
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types([kind.get(t, gguf.TokenType.NORMAL) for t in tokens])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    w.add_bos_token_id(ids[chatml.END])
    w.add_eos_token_id(ids[chatml.STOP])
    w.add_pad_token_id(ids[chatml.END])
    w.add_add_bos_token(False)
    w.add_chat_template(chatml.TEMPLATE)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", type=pathlib.Path, required=True)
    p.add_argument("--out", type=pathlib.Path, required=True)
    p.add_argument("--context", type=int, default=1024)
    p.add_argument("--float", action="store_true", help="F32 matrices")
    args = p.parse_args()
    check_template()
    state = torch.load(args.data / "checkpoint.pt", weights_only=False)
    s = state["shape"]
    w = gguf.GGUFWriter(str(args.out), "llama")
    w.add_name("Ferrum Demo")
    w.add_description("A small model trained from scratch for the Ferrum engine by the recipe in tools/demo_model")
    w.add_license("apache-2.0")
    w.add_languages(["en"])
    w.add_file_type(gguf.LlamaFileType.ALL_F32 if args.float else gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_context_length(args.context)
    w.add_embedding_length(s.dim)
    w.add_block_count(s.layers)
    w.add_feed_forward_length(s.ffn)
    w.add_head_count(s.heads)
    w.add_head_count_kv(s.kv_heads)
    w.add_layer_norm_rms_eps(s.eps)
    w.add_rope_freq_base(s.theta)
    w.add_rope_dimension_count(s.head_dim)
    w.add_vocab_size(s.vocab)
    add_vocabulary(w, json.loads((args.data / "tokenizer.json").read_text()))
    for name, p in state["model"].items():
        array = np.ascontiguousarray(p.float().numpy())
        if name.split(".")[-2] in MATRICES and not args.float:
            kind = gguf.GGMLQuantizationType.Q8_0
            w.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            w.add_tensor(name, array)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(args.out, args.out.stat().st_size, "bytes, trained for", state["step"], "steps,", state["tokens"], "tokens")


if __name__ == "__main__":
    main()
