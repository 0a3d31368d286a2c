#!/usr/bin/env python3
"""Ten times the sustainable rate: what a server does that is asked for more than it can give.

Starts `ferrum serve`, measures its best throughput with a closed loop (`ferrum bench-serve`), then offers a multiple of that
rate in an open loop, and watches memory, answers and throughput meanwhile. Prints a Markdown report and fails (exit code 1)
where the server crashed, an admitted request did not finish, a refusal had no Retry-After, memory grew beyond the bound, or
throughput fell by more than a tenth.

    bench/overload.py --model models/ferrum-demo.gguf --seconds 120 > bench/results/overload-$(date +%F).md

The load comes from the machine that serves, which a real one does not. So it has little weight (nice 10), its processor
time is told apart from the server's and, within that, HTTP from computing; and tokens per second of the server's own
processor time stand beside those per second of the clock.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from report import ROOT, machine


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build" / "ferrum"))
    parser.add_argument("--model", default=str(ROOT / "models" / "ferrum-demo.gguf"))
    parser.add_argument("--seconds", type=float, default=120, help="of overload")
    parser.add_argument("--times", type=float, default=10, help="the sustainable rate")
    parser.add_argument("--input", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--output", type=int, default=32, help="tokens of an answer")
    parser.add_argument("--best-seconds", type=float, default=30, help="about, for the best throughput")
    parser.add_argument("--max-growth-mib", type=float, default=256, help="of the server's memory under overload")
    parser.add_argument("--least-throughput", type=float, default=0.9, help="of the best; 0 = not looked at")
    parser.add_argument("serve", nargs="*", help="further arguments of `ferrum serve`, after --")
    return parser.parse_args()


class Server:
    def __init__(self, arguments):
        self.process = subprocess.Popen([arguments.binary, "serve", arguments.model, "--port", "0", "--log-level",
                                         "warn", *arguments.serve], stderr=subprocess.PIPE, text=True)
        self.url = None
        for line in self.process.stderr:
            found = re.search(r"listening on (http://\S+)", line)
            if found:
                self.url = found.group(1)
                break
        if not self.url:
            sys.exit("the server did not start")
        threading.Thread(target=lambda: sys.stderr.writelines(self.process.stderr), daemon=True).start()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read().decode()

    # Processor time of all threads, or of those with that name.
    def seconds(self, name=None):
        ticks = 0
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            comm, fields = (thread / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            ticks += sum(int(f) for f in fields.split()[11:13]) if name in (None, comm) else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    def sample(self):
        metrics = self.get("/metrics")
        codes = {code: float(n) for code, n in re.findall(r'http_responses_total{.*code="(\d+)"} (\S+)', metrics)}
        reasons = {r: float(n) for r, n in re.findall(r'request_success_total{.*finished_reason="(\w+)"} (\S+)', metrics)}
        one = lambda name: float(re.search(rf"^{name}{{.*}} (\S+)$", metrics, re.M).group(1))
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return {"time": time.monotonic(), "rss": int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024,
                "cpu": self.seconds(), "http": self.seconds("http"), "codes": codes, "reasons": reasons,
                "tokens": one("vllm:generation_tokens_total"), "waiting": one("vllm:num_requests_waiting"),
                "running": one("vllm:num_requests_running")}


class Watch:
    """Samples once a second while a load runs."""

    def __init__(self, server):
        self.server, self.samples, self.retry_after, self.stop = server, [server.sample()], [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop.wait(1):
            self.samples.append(self.server.sample())
            if self.samples[-1]["codes"].get("429", 0) > self.samples[-2]["codes"].get("429", 0):
                self.probe()

    # A refusal as a client sees it.
    def probe(self):
        body = json.dumps({"prompt": "x", "max_tokens": 1}).encode()
        request = urllib.request.Request(self.server.url + "/v1/completions", body, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=600).read()
        except urllib.error.HTTPError as refusal:
            if refusal.code == 429:
                self.retry_after.append(refusal.headers.get("Retry-After"))

    def end(self):
        self.stop.set()
        self.thread.join()
        self.samples.append(self.server.sample())
        return self


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # that have ended, so the server is not among them
    return used.ru_utime + used.ru_stime


def bench(arguments, server, *load):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = ["nice", "-n", 10, arguments.binary, "bench-serve", "--url", server.url, "--random-input", arguments.input,
                   "--random-output", arguments.output, "--repeats", 1, "--max-error-rate", "1", "--json", file.name, *load]
        before, began = children_seconds(), time.monotonic()
        run = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        cores = (children_seconds() - before) / (time.monotonic() - began)
        text = Path(file.name).read_text()
        if not text:
            sys.exit("bench-serve failed: " + run.stderr)
        return {**json.loads(text)["levels"][0], "cores": cores}


# Of the samples in which a load was at work: tokens per second of the clock (of the median second: on a shared machine some
# belong to others) and of the server's processor time, and how many cores the server kept busy, computing and with HTTP.
def rates(samples):
    busy = [s for s in samples if s["running"] > 0]
    first, last = busy[len(busy) // 10], busy[-1]
    tokens = last["tokens"] - first["tokens"]
    seconds = last["time"] - first["time"]
    rate = statistics.median((b["tokens"] - a["tokens"]) / (b["time"] - a["time"])
                             for a, b in zip(busy[len(busy) // 10:], busy[len(busy) // 10 + 1:]))
    spent, http = (last[key] - first[key] for key in ("cpu", "http"))
    return {"rate": rate, "per_cpu": tokens / spent, "computing": (spent - http) / seconds, "http": http / seconds}


def difference(samples, group):
    keys = set(samples[-1][group]) | set(samples[0][group])
    return {k: int(samples[-1][group].get(k, 0) - samples[0][group].get(k, 0)) for k in sorted(keys)}


def main():
    arguments = parse_arguments()
    server = Server(arguments)
    seats = json.loads(server.get("/stats"))["engine"]["max_seqs"]
    trial = bench(arguments, server, "--concurrency", 2 * seats, "--requests", 2 * seats)
    requests = max(4 * seats, int(trial["requests_per_second"]["mean"] * arguments.best_seconds))
    watch = Watch(server)
    best = bench(arguments, server, "--concurrency", 2 * seats, "--requests", requests, "--warm-up", seats)
    at_best = rates(watch.end().samples)
    sustainable = best["requests_per_second"]["mean"]
    offered = arguments.times * sustainable
    watch = Watch(server)
    load = bench(arguments, server, "--rate", offered, "--requests", max(1, int(offered * arguments.seconds)),
                 "--warm-up", 1, "--timeout", 3600, "--stall-timeout", 1800)
    deadline = time.monotonic() + 600
    while server.sample()["running"] + server.sample()["waiting"] > 0 and time.monotonic() < deadline:
        time.sleep(0.5)
    samples = watch.end().samples
    under_load = rates(samples)
    codes, reasons = difference(samples, "codes"), difference(samples, "reasons")
    answered = load["requests"] - load["failed"]
    growth = max(s["rss"] for s in samples) - samples[0]["rss"]
    server.process.terminate()
    exit_code = server.process.wait(120)
    waits = [int(w) for w in watch.retry_after if w]

    others = {c: n for c, n in codes.items() if c not in ("200", "429") and n > 0}
    broken = [reason for reason in reasons if reason not in ("stop", "length") and reasons[reason] > 0]
    verdicts = {
        "the server ran to its end (exit code 0)": exit_code == 0,
        "every refusal is a 429": not others,
        "refusals have a Retry-After": bool(watch.retry_after) and all(watch.retry_after),
        "every admitted request finished": not broken and load["wrong_token_counts"] == 0 and answered > 0
                                           and load["failed"] <= codes.get("429", 0),
        f"memory grew by less than {arguments.max_growth_mib:.0f} MiB": growth < arguments.max_growth_mib,
        f"throughput stays above {arguments.least_throughput:.0%} of the best, by processor time":
            under_load["per_cpu"] >= arguments.least_throughput * at_best["per_cpu"],
    }
    row = lambda *cells: print("| " + " | ".join(str(c) for c in cells) + " |")
    print(f"Machine: {machine()}. Model: {Path(arguments.model).name}. Prompts of {arguments.input} tokens, answers of "
          f"{arguments.output}, {seats} sequences at once, `ferrum serve {' '.join(arguments.serve)}`.\n")
    row("", "best (closed loop)", f"{arguments.times:g} times the rate for {arguments.seconds:g} s")
    row("---", "---", "---")
    row("requests offered per second", f"{sustainable:.2f}", f"{offered:.2f}")
    row("requests offered", best["requests"], load["requests"])
    row("answered", best["requests"] - best["failed"], answered)
    row("refused with 429", 0, codes.get("429", 0))
    for what, key in (("output tokens per second", "rate"),
                      ("output tokens per second of the server's processor time", "per_cpu")):
        row(what, f"{at_best[key]:.1f}", f"{under_load[key]:.1f} ({under_load[key] / at_best[key]:.1%})")
    row("cores busy: computing / HTTP / load generator",
        *(f"{r['computing']:.2f} / {r['http']:.2f} / {b['cores']:.2f}" for r, b in ((at_best, best), (under_load, load))))
    row("TTFT of the answered, p50 / p99, s", *(f"{b['ttft_seconds']['p50']:.2f} / {b['ttft_seconds']['p99']:.2f}"
                                                for b in (best, load)))
    row("resident memory, begin / most / end, MiB", "",
        f"{samples[0]['rss']:.0f} / {max(s['rss'] for s in samples):.0f} / {samples[-1]['rss']:.0f}")
    row("most waiting at once", "", int(max(s["waiting"] for s in samples)))
    row("Retry-After, least / most, s", "", f"{min(waits)} / {max(waits)}" if waits else "none seen")
    row("HTTP answers by status, those to /metrics included", "", codes)
    row("requests by finish reason", "", reasons)
    print()
    for what, holds in verdicts.items():
        print(f"- {'yes' if holds else 'NO'}: {what}")
    sys.exit(0 if all(verdicts.values()) else 1)


if __name__ == "__main__":
    main()
