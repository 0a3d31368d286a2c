#!/usr/bin/env python3
"""ferrum serve beside llama-server: the same GGUF, the same load (ferrum bench-serve), in turns on one machine.

Each round starts a fresh server of either kind for each workload, so that no cache outlives it and a slow minute of a shared
machine meets both. Writes a table of medians over the rounds as Markdown.

  bench/serve_peers.py MODEL.gguf --llama-server PATH [--rounds 3] [--out bench/results/serving-DATE.md]
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import report

WORKLOADS = {
    "random 256/128": ["--random-input", "256", "--random-output", "128"],
    "shared prefix 1024 + 64/64": ["--prefix", "1024", "--random-input", "64", "--random-output", "64"],
}
FIGURES = [  # title, path in the JSON of bench-serve, factor, whether larger is better
    ("output tok/s", ("output_tokens_per_second", "mean"), 1, True),
    ("TTFT p50 ms", ("ttft_seconds", "p50"), 1e3, False),
    ("TTFT p99 ms", ("ttft_seconds", "p99"), 1e3, False),
    ("ITL p50 ms", ("itl_seconds", "p50"), 1e3, False),
    ("ITL p99 ms", ("itl_seconds", "p99"), 1e3, False),
]


def workload_names(names):
    unknown = [name for name in names.split(",") if name not in WORKLOADS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no workload is called {unknown[0]}; there are {', '.join(WORKLOADS)}")
    return names.split(",")


def server_commands(args, context):
    """Name -> (command, port). Both with the same threads, and room for the same number of sequences."""
    threads, seqs = str(args.threads), str(args.concurrency)
    return {
        "ferrum": ([args.ferrum, "serve", args.model, "--port", "18080", "--threads", threads, "--max-seqs", seqs,
                    "--context", str(context)] + args.ferrum_args.split(), 18080),
        "llama-server": ([args.llama_server, "-m", args.model, "--port", "18081", "-t", threads, "-np", seqs,
                          "-c", str(context * args.concurrency)] + args.llama_args.split(), 18081),
    }


def wait_until_ready(process, port, log):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit("the server ended at once:\n" + "".join(open(log).readlines()[-5:]))
        try:
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit("the server was not ready after two minutes:\n" + "".join(open(log).readlines()[-5:]))


def measure(args, name, command, port, workload, folder):
    log, result = folder / f"{name}.log", folder / "report.json"
    with open(log, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        wait_until_ready(process, port, log)
        subprocess.run([args.ferrum, "bench-serve", "--url", f"http://127.0.0.1:{port}", "--label", name, *WORKLOADS[workload],
                        "--concurrency", str(args.concurrency), "--requests", str(args.requests), "--repeats", "1",
                        "--json", result], check=True, stdout=subprocess.DEVNULL)
        memory = next(line for line in open(f"/proc/{process.pid}/status") if line.startswith("VmHWM"))
    finally:
        process.terminate()
        process.wait(30)
    level = json.load(open(result))["levels"][0]
    return {**level, "peak_mib": int(memory.split()[1]) / 1024}


def row(workload, title, ours, theirs, larger_is_better):
    a, b = statistics.median(ours), statistics.median(theirs)
    ratio = a / b if larger_is_better else b / a
    return f"| {workload} | {title} | {report.spread(ours)} | {report.spread(theirs)} | {ratio:.2f}x |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--ferrum", default=str(report.ROOT / "build/ferrum"))
    parser.add_argument("--llama-server", required=True)
    parser.add_argument("--ferrum-args", default="", help="further flags of ferrum serve")
    parser.add_argument("--llama-args", default="", help="further flags of llama-server")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--workloads", type=workload_names, default=list(WORKLOADS), metavar="NAME,...",
                        help="of " + ", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--context", type=int, default=2048, help="tokens of one sequence")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()

    results = {(w, n): [] for w in args.workloads for n in ("ferrum", "llama-server")}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            for workload in args.workloads:
                for name, (command, port) in server_commands(args, args.context).items():
                    level = measure(args, name, command, port, workload, pathlib.Path(folder))
                    results[workload, name].append(level)
                    print(f"round {turn + 1}: {workload}: {name}: "
                          f"{level['output_tokens_per_second']['mean']:.1f} output tok/s", file=sys.stderr, flush=True)

    lines = [*report.heading("Serving beside llama-server"),
             f"Concurrency {args.concurrency}, {args.requests} requests, {args.rounds} rounds in turns, a fresh server each; "
             "median (smallest to largest). Ratio: above 1 is in Ferrum's favour.", "",
             "| workload | figure | ferrum | llama-server | ratio |", "|---|---|--:|--:|--:|"]
    for workload in args.workloads:
        ours, theirs = (results[workload, n] for n in ("ferrum", "llama-server"))
        for title, (figure, part), factor, larger in FIGURES:
            lines.append(row(workload, title, [r[figure][part] * factor for r in ours],
                             [r[figure][part] * factor for r in theirs], larger))
        lines.append(row(workload, "peak memory MiB", [r["peak_mib"] for r in ours], [r["peak_mib"] for r in theirs], False))
    report.write(lines, args.out)


if __name__ == "__main__":
    main()
