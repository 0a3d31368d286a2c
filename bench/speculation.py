#!/usr/bin/env python3
"""What speculation gains: `ferrum run` with each way to guess, in turns, same prompt and seeds, medians as Markdown.

    speculation.py --ferrum build/apps/cli/ferrum --model M.gguf [--draft D.gguf] --prompt TEXT [-n 128] [-r 5] [--temp 0,0.7]

The text must be the same in all modes, or the run fails. A token that a right guess gave needed no step of its own, so tokens
per step = tokens / (tokens - gained).
"""
import argparse
import json
import statistics
import subprocess
import sys


def run(a, mode, temp, seed):
    command = [a.ferrum, "run", a.model, "--raw", "--json", "-p", a.prompt, "--temp", str(temp), "--seed", str(seed),
               "--max-tokens", str(a.tokens), "--ignore-eos", "on", "--speculation", mode, *a.flags]
    if a.draft:
        command += ["--draft-model", a.draft]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return "".join(line["text"] for line in lines[:-1]), lines[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferrum", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--draft")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--temp", default="0")
    parser.add_argument("-n", "--tokens", type=int, default=128)
    parser.add_argument("-r", "--repeats", type=int, default=5)
    parser.add_argument("flags", nargs="*", help="further flags of `ferrum run`, behind --")
    a = parser.parse_args()
    modes = ["off", "ngram"] + (["draft", "both"] if a.draft else [])
    print("| temperature | guesses | tok/s | gain | tokens per step | guesses right |\n|---|---|---|---|---|---|")
    for temp in a.temp.split(","):
        results = {mode: [] for mode in modes}
        for seed in range(a.repeats):
            texts = set()
            for mode in modes:
                text, summary = run(a, mode, temp, seed)
                results[mode].append(summary)
                texts.add(text)
            if len(texts) != 1:
                sys.exit(f"temperature {temp}, seed {seed}: the text depends on how it was guessed")
        base = None
        for mode in modes:
            usages = [s["usage"] for s in results[mode]]
            # The first token comes out of the prompt's last step.
            speed = statistics.median((s["usage"]["completion_tokens"] - 1) / s["timings"]["decode_seconds"]
                                      for s in results[mode])
            base = base or speed
            tokens = sum(u["completion_tokens"] for u in usages)
            drafted, right = (sum(u[key] for u in usages) for key in ("drafted_tokens", "accepted_tokens"))
            share = f"{right} of {drafted}" if drafted else "-"
            print(f"| {temp} | {mode} | {speed:.1f} | {speed / base:.2f} | {tokens / (tokens - right):.2f} | {share} |",
                  flush=True)


if __name__ == "__main__":
    main()
