#!/usr/bin/env python3
"""A model whose experts do not all have a place in memory: speed by the size of the expert cache, beside what `ferrum plan` expects.

While a figure is taken, the system is asked ten times a second to forget its pages of the model file, so that what the
cache does not hold comes from the disk, as on a machine whose memory is full. (A page cache that holds the file makes a
miss several times cheaper; --keep-pages measures that.) What was read ahead and is not packed yet is forgotten, too, and read
twice. The table has what misses needed and what the process really read from the disk, its start included: if the
second were less, the system would have kept pages.

  bench/expert_cache.py MODEL.gguf --shares 25,50,75,100 [--rounds 5] [--under "quiet -t 60"] [--out bench/results/moe-cache-DATE.md]
"""
import argparse
import json
import os
import pathlib
import re
import resource
import shlex
import subprocess
import threading

import report

TESTS = {"one sequence": ["-p", "0", "-n", "16"], "prompt of 512": ["-p", "512", "-n", "0"],
         "32 sequences": ["-p", "0", "-n", "2", "-d", "16", "--parallel", "32"]}


class ForgottenPages:
    """The system keeps no pages of this file while the block runs."""

    def __init__(self, path):
        self.path, self.done = path, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def run(self):
        with open(self.path, "rb") as file:
            while not self.done.wait(0.1):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(args, words):
    return subprocess.run(shlex.split(args.under) + words, capture_output=True, text=True, check=True)


def bench(args, mib, test):
    """The row of the bench, the share of hits in percent, bytes that misses needed, and bytes from the disk."""
    words = [args.ferrum, "bench", args.model, *TESTS[test], "-r", str(args.rounds), "-o", "json", "-t", str(args.threads)]
    if mib:
        words += ["--expert-cache", str(mib)]
    blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock
    if args.keep_pages:
        done = run(args, words)
    else:
        with ForgottenPages(args.model):
            done = run(args, words)
    row = json.loads(done.stdout)[0]
    counts = re.search(r"(\d+) hits, (\d+) misses, (\d+) bytes read", done.stderr)
    hits, misses, read = map(int, counts.groups()) if counts else (1, 0, 0)
    blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock - blocks
    return row, 100 * hits / (hits + misses), read, 512 * blocks


def plan(args, mib):
    words = [args.ferrum, "plan", args.model, "--json", "--single-user", "--threads", str(args.threads)]
    done = subprocess.run(shlex.split(args.under) + words + (["--expert-cache", str(mib)] if mib else []), capture_output=True,
                          text=True)
    return json.loads(done.stdout)["expert_streaming"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--ferrum", default=str(report.ROOT / "build/ferrum"))
    parser.add_argument("--shares", default="25,50,75,100", help="of the experts' bytes, in percent; 100 = no cache")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep-pages", action="store_true", help="let the system keep the file's pages")
    parser.add_argument("--under", default="", help="what runs each measurement, such as a program that stops all others")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()

    smallest = plan(args, 1 << 10)
    per_expert = smallest["cache_bytes"] / smallest["places"]  # of all layers
    table = ["| places of experts | cache | test | tok/s | plan expects | hits | misses, GB | from the disk, GB |",
             "|--:|--:|---|--:|--:|--:|--:|--:|"]
    for share in map(int, args.shares.split(",")):
        mib = 0 if share == 100 else round(smallest["experts"] * share / 100 * per_expert) // (1 << 20) + 1
        expected = plan(args, mib) if mib else None
        for test in TESTS:
            row, hits, read, disk = bench(args, mib, test)
            estimate = f"{expected['tokens_per_second']:.2f}" if expected and test == "one sequence" else ""
            places = expected["places"] if expected else smallest["experts"]
            table.append(f"| {places} of {smallest['experts']} | {mib or 'all'} MiB | {test} | {report.spread(row['samples_ts'])} | "
                         f"{estimate} | {hits:.0f} % | {read / 1e9:.1f} | {disk / 1e9:.1f} |")
            print(table[-1], flush=True)
    pages = "The system keeps the file's pages." if args.keep_pages else "The system forgets the file's pages ten times a second."
    report.write([*report.heading("Experts that do not fit in memory"),
                  f"{args.threads} threads, {args.rounds} repetitions; median (smallest to largest). {pages} A layer's experts of one token "
                  f"take {smallest['hit_ms']:.2f} ms in memory and {smallest['miss_ms']:.2f} ms from the disk (`ferrum plan`).", "",
                  *table], args.out)


if __name__ == "__main__":
    main()
