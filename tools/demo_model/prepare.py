"""Trains the vocabulary and turns the corpus into rows of tokens: tokenizer.json, train-*.npz and held-out.npz in --out."""

import argparse
import json
import pathlib
import time

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers, decoders

import chatml
import corpus

# The pre-tokenizer that GGUF files call "qwen2": words, single digits (which is what sums want), punctuation, white space.
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = [chatml.END, chatml.START, chatml.STOP]
MARKS = ["<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
OTHERS = 0.1  # weight of text that the model only reads: a little, since predicting it teaches the words


def train_tokenizer(seed, vocab, count=30000):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    stream = corpus.documents(seed)
    texts = ("".join(t for t, _ in next(stream)[1]) for _ in range(count))
    bare = (strip(t) for t in texts)
    trainer = trainers.BpeTrainer(vocab_size=vocab - len(MARKS), special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(bare, trainer)
    tok.add_tokens([AddedToken(m, normalized=False) for m in MARKS])
    return tok


def strip(text):
    for mark in SPECIAL + MARKS:
        text = text.replace(mark, "\n")
    return text


def encode(tok, docs):
    """[(ids, weights)], one per document, each begun after an end mark."""
    flat = [t for _, parts in docs for t, _ in parts]
    ids = iter(tok.encode_batch_fast(flat, add_special_tokens=False))
    out = []
    for _, parts in docs:
        tokens, weights = [], []
        for _, learn in parts:
            piece = next(ids).ids
            tokens += piece
            weights += [1.0 if learn else OTHERS] * len(piece)
        out.append((tokens + [0], weights + [1.0 if parts[0][1] else OTHERS]))
    return out


def rows(tok, stream, length, count):
    """Each row begins with a document, as a prompt does; later documents fill it up."""
    tokens = np.zeros((count, length + 1), np.uint16)
    weights = np.zeros((count, length + 1), np.float16)
    pool = []
    for i in range(count):
        at = 0
        while True:
            if len(pool) < 64:
                pool += encode(tok, [next(stream) for _ in range(512)])
            room = length + 1 - at
            # The oldest document starts the row; after it the first that fits (of the oldest ones) goes in.
            j = 0 if at == 0 else next((j for j, d in enumerate(pool[:64]) if len(d[0]) <= room), None)
            if j is None:
                break
            ids, w = pool.pop(j)
            n = min(len(ids), room)
            tokens[i, at:at + n], weights[i, at:at + n] = ids[:n], w[:n]
            at += n
            if room - n < 8:
                break
    return tokens, weights


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", type=pathlib.Path, required=True)
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--vocab", type=int, default=4096)
    p.add_argument("--short", type=int, nargs=2, default=(320, 30000), help="length and number of the short rows")
    p.add_argument("--long", type=int, nargs=2, default=(1024, 1200), help="the same of the long rows")
    p.add_argument("--late-from", type=int, default=20400, help="from which short row on the later mix of kinds is used")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    tok = train_tokenizer(args.seed, args.vocab)
    tok.save(str(args.out / "tokenizer.json"))
    print("vocabulary", tok.get_vocab_size(), f"{time.time() - start:.0f} s", flush=True)
    def train_short(length, count, late_from):
        early = rows(tok, corpus.documents(args.seed + 3, long_share=0), length, min(count, late_from))
        late = rows(tok, corpus.documents(args.seed + 5, long_share=0, late=True), length, max(0, count - late_from))
        return [np.concatenate(x) for x in zip(early, late)]

    sets = {"held-out": (corpus.documents(args.seed + 1, held=True, long_share=0), 512, 128),
            "held-out-long": (corpus.documents(args.seed + 2, held=True, long_share=20), 1024, 32),
            "train-long": (corpus.documents(args.seed + 4, long_share=8, late=True), *args.long)}
    made = {name: rows(tok, stream, length, count) for name, (stream, length, count) in sets.items()}
    made["train-short"] = train_short(*args.short, args.late_from)
    for name, (tokens, weights) in made.items():
        np.savez(args.out / f"{name}.npz", tokens=tokens, weights=weights)
        used = float((weights > 0).mean())
        print(f"{name}: {len(tokens)} rows of {tokens.shape[1] - 1}, {used:.1%} filled, {float((weights == 1).mean()):.1%} to learn, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
