#!/usr/bin/env python3
"""ferrum bench beside llama.cpp and ik_llama.cpp: the same GGUF files, in turns on one machine.

Prompts of 512 tokens, generation of one sequence, also with 4096 tokens in the cache, and of 4, 16 and 32 sequences, each
256 tokens deep. A round runs every engine once for each test, so that a slow minute of a shared machine meets all. The peers have switches: -fa 0/1, and with ik_llama.cpp -rtr 0/1 (weights
repacked at load). The first round runs them all, the others the best for each test. Writes a Markdown table of
medians over the rounds, beside what the machine allows (`ferrum bench` measures it in each of its runs).

  bench/peers.py MODEL.gguf... --llama DIR --ik DIR [--rounds 5] [--tests pp512,tg64] [--under "quiet -t 60"] [--out bench/results/peers-DATE.md]

DIR is where llama-bench and llama-batched-bench are.
"""
import argparse
import itertools
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys

import report



class Test:
    """`prompt` tokens, or `tokens` each of `sequences` that have `depth` tokens in the cache."""

    def __init__(self, title, prompt=0, tokens=0, depth=0, sequences=1):
        self.title, self.prompt, self.tokens, self.depth, self.sequences = title, prompt, tokens, depth, sequences


TESTS = {
    "pp512": Test("prompt of 512", prompt=512),
    "tg64": Test("one sequence", tokens=64),
    "tg32@d4096": Test("one sequence, 4096 deep", tokens=32, depth=4096),
    **{f"tg32x{n}": Test(f"{n} sequences, 256 deep", tokens=32, depth=256, sequences=n) for n in (4, 16, 32)},
}


class Engine:
    """One engine with one setting of its switches: runs a test of a model once and says tokens per second."""

    def __init__(self, name, args):
        self.name, self.args = name, args

    def run(self, command):
        done = subprocess.run(shlex.split(self.args.under) + command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{shlex.join(command)} failed:\n" + "\n".join(done.stderr.splitlines()[-5:]))
        return done.stdout


class Ferrum(Engine):
    def measure(self, model, test):
        shape = ["-p", test.prompt, "-n", test.tokens, "-d", test.depth, "--parallel", test.sequences]
        command = [self.args.ferrum, "bench", model, *map(str, shape), "-r", "1", "-o", "json", "-t", str(self.args.threads)]
        self.row = json.loads(self.run(command))[0]
        return self.row["median_ts"]


class Peer(Engine):
    def __init__(self, name, args, folder, flags):
        super().__init__(name, args)
        self.folder, self.flags = folder, flags
        self.takes_depth = name == "llama.cpp"  # ik_llama.cpp's llama-bench has no -d

    def switches(self, as_numbers):
        """All take 0 or 1 in llama-bench. In llama-batched-bench -fa is on or off, and -rtr there or not."""
        words = []
        for flag, value in self.flags.items():
            if as_numbers:
                words += [flag, str(value)]
            elif flag == "-fa":
                words += [flag, "on" if value else "off"]
            elif value:
                words.append(flag)
        return words

    def measure(self, model, test):
        threads = ["-m", model, "-t", str(self.args.threads)]
        if test.sequences == 1 and (test.depth == 0 or self.takes_depth):
            shape = ["-p", test.prompt, "-n", test.tokens, *(["-d", test.depth] if test.depth > 0 else [])]
            return json.loads(self.run([f"{self.folder}/llama-bench", *threads, *map(str, shape), "-r", "1", "-o", "json",
                                        *self.switches(True)]))[0]["avg_ts"]
        context = test.sequences * (test.depth + test.tokens)
        shape = ["-c", context, "-b", 2048, "-npp", test.depth, "-ntg", test.tokens, "-npl", test.sequences]
        text = self.run([f"{self.folder}/llama-batched-bench", *threads, *map(str, shape), *self.switches(False)])
        # |    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
        row = re.search(rf"^\|\s*{test.depth}\s*\|\s*{test.tokens}\s*\|\s*{test.sequences}\s*\|(.*)\|$", text, re.M)
        return float(row[1].split("|")[4])


def test_names(names):
    unknown = [name for name in names.split(",") if name not in TESTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no test is called {unknown[0]}; there are {', '.join(TESTS)}")
    return names.split(",")


def variants(args):
    """Name -> its engines, one per setting of its switches."""
    engines = {"ferrum": [Ferrum("ferrum", args)]}
    for name, folder, flags in (("llama.cpp", args.llama, ["-fa"]), ("ik_llama.cpp", args.ik, ["-fa", "-rtr"])):
        if folder:
            engines[name] = [Peer(name, args, folder, dict(zip(flags, values)))
                             for values in itertools.product((1, 0), repeat=len(flags))]
    return engines


def measure_model(args, model):
    """(test, name) -> list of tokens per second, the switches they were got with, and ferrum's last row per test."""
    rates, best, limits = {}, {}, {}
    engines = variants(args)
    for turn in range(args.rounds):
        for test, name in itertools.product(args.tests, engines):
            tried = engines[name] if turn == 0 else [best[test, name]]
            results = [(engine.measure(model, TESTS[test]), index) for index, engine in enumerate(tried)]
            rate, index = max(results)
            best[test, name] = tried[index]
            rates.setdefault((test, name), []).append(rate)
            if name == "ferrum":
                limits.setdefault(test, []).append(tried[index].row)
            print(f"round {turn + 1}: {pathlib.Path(model).name}: {TESTS[test].title}: {name}: {rate:.1f} tok/s", file=sys.stderr,
                  flush=True)
    return rates, best, limits


def rows_of(args, model, rates, best, limits):
    for test in args.tests:
        ours, names = rates[test, "ferrum"], [name for (t, name) in rates if t == test and name != "ferrum"]
        theirs = {name: statistics.median(rates[test, name]) for name in names}
        switches = {name: " ".join(f"{flag} {value}" for flag, value in best[test, name].flags.items()) for name in names}
        cells = [f"{report.spread(rates[test, name])} with {switches[name]}" for name in names]
        share = statistics.median(row["fraction_of_limit"] for row in limits[test])
        bound = limits[test][0]["limited_by"]
        ratio = f"{statistics.median(ours) / max(theirs.values()):.2f}x" if theirs else "-"
        yield " | ".join(["", pathlib.Path(model).stem, TESTS[test].title, report.spread(ours), *cells, ratio,
                          f"{100 * share:.0f} % ({bound})", ""]).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--ferrum", default=str(report.ROOT / "build/ferrum"))
    parser.add_argument("--llama", help="where llama.cpp's programs are")
    parser.add_argument("--ik", help="where ik_llama.cpp's programs are")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tests", type=test_names, default=list(TESTS), help="of " + ", ".join(TESTS))
    parser.add_argument("--under", default="", help="what runs each measurement, such as a program that stops all others")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()

    table, machine = [], []
    for model in args.models:
        rates, best, limits = measure_model(args, model)
        names = [name for name in ("llama.cpp", "ik_llama.cpp") if (args.tests[0], name) in rates]
        table = table or ["| model | test | ferrum, tok/s | " + "".join(f"{name}, tok/s | " for name in names) +
                          "to the better | of the limit |", "|---|---|--:|" + "--:|" * len(names) + "--:|--:|"]
        table += rows_of(args, model, rates, best, limits)
        machine += [row for rows in limits.values() for row in rows]
    bandwidth, peak = (statistics.median(row[key] for row in machine) / 1e9 for key in ("read_bandwidth", "peak_int8"))
    report.write([*report.heading("Beside llama.cpp and ik_llama.cpp"),
                  f"{args.threads} threads, {args.rounds} rounds in turns; median (smallest to largest). Measured in the same runs: "
                  f"reading memory {bandwidth:.1f} GB/s, int8 {peak:.0f} GOP/s (VNNI).", "", *table], args.out)


if __name__ == "__main__":
    main()
