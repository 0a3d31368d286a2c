#!/usr/bin/env python3
"""Time from process start to the first token, and peak memory, of ferrum and of peers on the same files.

    bench/startup.py [--ferrum build/ferrum] [--runs 9] [--peer 'llama-simple -m {model} -n 1 hello'] MODEL...

A run is a process of its own: `ferrum run MODEL --raw -p hello -n 1`. The clock runs from fork to the first byte on
standard output; memory is the process's peak of resident pages (VmHWM, mapped file pages included). The file is read
once before, so that the page cache is warm; programs take turns, so that a disturbance meets them all. Writes a table
in Markdown: median (least to most) milliseconds, and the largest peak.
"""
import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time

MIB = 1 << 20


def warm(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(8 * MIB):
            pass


def run(command):
    """Seconds to the first byte on standard output, and peak bytes."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    first = os.read(process.stdout.fileno(), 1)
    seconds = time.monotonic() - begin
    while os.read(process.stdout.fileno(), 1 << 16):
        pass
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if not first or process.returncode != 0:
        sys.exit(f"failed with exit code {process.returncode}: {shlex.join(command)}")
    return seconds, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--ferrum", default="build/ferrum", help="the program (default %(default)s)")
    parser.add_argument("--flags", default="", help="further flags of ferrum run")
    parser.add_argument("--peer", action="append", default=[], help="another program's command; {model} is the file")
    parser.add_argument("--runs", type=int, default=9, help="per model and program (default %(default)s)")
    args = parser.parse_args()

    own = f"{shlex.quote(args.ferrum)} run {{model}} --raw -p hello -n 1 {args.flags}"
    print("| model | program | to the first token, ms | peak memory, MiB | beyond the file, MiB |")
    print("|---|---|---|---|---|")
    for model in args.models:
        warm(model)
        commands = [shlex.split(text.replace("{model}", shlex.quote(model))) for text in [own, *args.peer]]
        results = [[] for _ in commands]
        for _ in range(args.runs):
            for command, result in zip(commands, results):
                result.append(run(command))
        for command, result in zip(commands, results):
            times = [1000 * seconds for seconds, _ in result]
            peak = max(memory for _, memory in result)
            beyond = (peak - os.path.getsize(model)) / MIB
            name = os.path.basename(command[0])
            print(f"| {os.path.basename(model)} | {name} | {statistics.median(times):.0f} "
                  f"({min(times):.0f} to {max(times):.0f}) | {peak / MIB:.0f} | {beyond:.0f} |", flush=True)


if __name__ == "__main__":
    main()
