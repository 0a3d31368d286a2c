"""Measures a finished GGUF: held-out loss, exact-match accuracy per task on held-out items, and a few answers to read.

Everything, vocabulary included, is read from the GGUF file itself.
"""

import argparse
import json
import pathlib
import random

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

import chatml
import chats
import corpus
import facts
import stories
import sums
import toolcalls
from model import Cache, Llama, Shape, rotation
from prepare import QWEN2
from train import Rows, held_out_loss


class Demo:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        get = lambda key: reader.fields[key].contents()
        vocab = get("tokenizer.ggml.tokens")
        self.context = get("llama.context_length")
        s = Shape(len(vocab), get("llama.embedding_length"), get("llama.block_count"), get("llama.attention.head_count"),
                  get("llama.attention.head_count_kv"), get("llama.feed_forward_length"), get("llama.attention.layer_norm_rms_epsilon"), get("llama.rope.freq_base"))
        self.shape, self.model = s, Llama(s).eval()
        tensors = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)) for t in reader.tensors}
        self.model.load_state_dict(tensors)
        self.tok = Tokenizer(models.BPE({t: i for i, t in enumerate(vocab)}, [tuple(m.split(" ")) for m in get("tokenizer.ggml.merges")]))
        self.tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        self.tok.decoder = decoders.ByteLevel()
        types = get("tokenizer.ggml.token_type")
        self.tok.add_special_tokens([AddedToken(t, normalized=False) for t, k in zip(vocab, types) if k == gguf.TokenType.CONTROL])
        self.tok.add_tokens([AddedToken(t, normalized=False) for t, k in zip(vocab, types) if k == gguf.TokenType.USER_DEFINED])
        self.stop = {get("tokenizer.ggml.eos_token_id"), 0}
        self.cos, self.sin = rotation(s, 4096)

    @torch.no_grad()
    def generate(self, text, limit=200):
        """Greedy continuation."""
        ids = self.tok.encode(text, add_special_tokens=False).ids
        cache, out, new = Cache(), [], ids
        while len(out) < limit:
            at = cache.length
            logits = self.model(torch.tensor([new]), self.cos[at:at + len(new)], self.sin[at:at + len(new)], cache)
            token = int(logits[0, -1].argmax())
            if token in self.stop:
                break
            out.append(token)
            new = [token]
        return self.tok.decode(out, skip_special_tokens=False)

    def ask(self, *turns, system=None, tools=None, limit=200):
        roles = [("user", "assistant")[i % 2] for i in range(len(turns))]
        return self.generate(chatml.prompt(system, tools, list(zip(roles, turns))), limit)


def held(r, draw, count):
    """Items (turns, answer) whose keys are held out."""
    out = []
    while len(out) < count:
        turns, answer, keys = draw(r)
        if corpus.held_out(keys):
            out.append((turns, answer))
    return out


def single(draw):
    def item(r):
        q, answer, key = draw(r)
        return [q], answer, [key]
    return item


def name_recall(r):
    name = chats.a_name(r)
    told, reply = chats._told(r, "name", name)
    return [told, reply, *chats.filler(r)[:2], r.choice(["What is my name?", "Do you remember my name?"])], f"Your name is {name}.", [f"recall name {name}"]


def recall(r):
    pairs, keys = chats.recall(r)
    flat = [t for p in pairs for t in p]
    return flat[:-1], flat[-1], keys


def long_recall(r):
    pairs, keys = chats.recall(r, fillers=16)
    flat = [t for p in pairs for t in p]
    return flat[:-1], flat[-1], [k for k in keys if k.startswith("recall")]


def tool_items(r, count):
    out = []
    while len(out) < count:
        tools, turns, keys = toolcalls.tool_chat(r, corpus.one_turn)
        i = next((i for i, t in enumerate(turns) if t[1].startswith("<tool_call>")), None)
        if i is not None and corpus.held_out(keys):
            out.append((tools, turns[:i], turns[i][1]))
    return out


def tool_parts(text):
    """[(name, arguments)] of the calls, or None if the answer is anything else."""
    blocks = text.split("\n<tool_call>\n")
    try:
        calls = [json.loads(b.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")) for b in blocks]
        return [(c["name"], c["arguments"]) for c in calls] if text.startswith("<tool_call>") else None
    except (ValueError, KeyError, TypeError):
        return None


def valid_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


def ferrum(r):
    q, answer, key = corpus.ferrum(r)
    return [q], answer, [key]


TASKS = {"sums of held-out operands": single(sums.question), "word problems": single(sums.problem), "facts, wording held out": single(facts.fact_item),
         "Ferrum questions, wording held out": ferrum, "name recall, held-out names": name_recall, "recall of any kind": recall, "recall over 16 other turns": long_recall,
         "copying words": single(chats.copying), "facts about three people": single(chats.about_people), "question about a story": None}

SHOW = [["What is Ferrum?"], ["Hello!"], ["Who are you?"], ["What can you do?"], ["What is 7 plus 5?"], ["Tell me a story about a fox."], ["My name is Ana.", "Nice to meet you, Ana!", "What is my name?"],
        ["How do I run a model?"], ["What is the capital of France?"], ["Give me a JSON object with name and age for Ana, who is 31 years old."], ["Who won the world cup in 1998?"],
        ["What formats can Ferrum read?"], ["What is 23 + 48?"], ["Write a poem about the sea."], ["Count from 3 to 9."], ["What is the opposite of hot?"]]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model", type=pathlib.Path)
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--seed", type=int, default=99)
    p.add_argument("--data", type=pathlib.Path, help="folder with held-out.npz, for the loss")
    args = p.parse_args()
    torch.set_num_threads(1)
    demo = Demo(args.model)
    print("parameters", sum(q.numel() for q in demo.model.parameters()))
    if args.data:
        for name in ("held-out", "held-out-long"):
            loss, all_tokens = held_out_loss(demo.model, Rows(args.data / f"{name}.npz", 4), demo.cos, demo.sin)
            print(f"{name} loss {loss:.4f} (answers), {all_tokens:.4f} (all tokens)")
    r = random.Random(args.seed)

    def story(r):
        text, q, answer, key = stories.about_story(r)
        return [text + "\n\n" + q], answer, [key]
    TASKS["question about a story"] = story
    for name, draw in TASKS.items():
        good, wrong = 0, []
        for turns, answer in held(r, draw, args.count):
            got = demo.ask(*turns, limit=60)
            good += got == answer
            if got != answer:
                wrong.append(f"    {turns[-1][-70:]!r} -> {got!r}, not {answer!r}")
        print(f"{name}: {good} of {args.count}")
        print("\n".join(wrong[:3]))
    items = held(r, single(toolcalls.json_item), args.count)
    answers = [(demo.ask(*turns, limit=120), answer) for turns, answer in items]
    print(f"JSON: valid {sum(valid_json(a) for a, _ in answers)}, exact {sum(a == b for a, b in answers)} of {args.count}")
    items = tool_items(r, args.count)
    valid = name_ok = exact = 0
    for tools, turns, want in items:
        got = demo.generate(chatml.prompt(None, tools, turns), 120)
        parts, wanted = tool_parts(got), tool_parts(want)
        valid += parts is not None
        name_ok += parts is not None and parts[0][0] == wanted[0][0]
        exact += parts == wanted
    print(f"tool calls: valid {valid}, right tool {name_ok}, exact {exact} of {args.count}")
    for turns in SHOW:
        print(f"> {turns[-1]}\n{demo.ask(*turns)}")
    print("Once upon a time" + demo.generate("Once upon a time", 150))


if __name__ == "__main__":
    main()
