#!/usr/bin/env python3
"""What the prefix cache saves: time to the first token of a long prompt the first and the second time, and the tokens that
the second turn of a chat computes.

Each round asks for one token after a random prefix and a random suffix, then for one after the same prefix and another suffix.
The chat's answers are sent back as clients do, as text. Prints a Markdown report and fails (exit code 1) where the second
request gains less than --least, or a second turn computes more than what is new and the block before it.

    bench/prefix.py --model MODEL.gguf --chat-model models/ferrum-demo.gguf
"""

import argparse
import http.client
import json
import random
import statistics
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

from overload import Server
from report import ROOT, machine, spread

SUFFIX = 16  # tokens
BLOCK = 16   # the engine's default


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build" / "ferrum"))
    parser.add_argument("--model", required=True, help="for the time to the first token")
    parser.add_argument("--chat-model", default=str(ROOT / "models" / "ferrum-demo.gguf"), help="with a chat template")
    parser.add_argument("--prefix", type=int, default=2000, help="tokens")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--least", type=float, default=10, help="times sooner")
    parser.add_argument("serve", nargs="*", help="further arguments of `ferrum serve`, after --")
    return parser.parse_args()


# Seconds to the first event, the text and the usage of a streamed answer.
def ask(server, path, body):
    connection = http.client.HTTPConnection(urlparse(server.url).netloc, timeout=600)
    body = {**body, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0}
    began, first, text, usage = time.monotonic(), None, "", {}
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(answer.read().decode())
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            piece = choice.get("text") or choice.get("delta", {}).get("content") or ""
            text += piece
            if first is None and (piece or choice.get("finish_reason")):
                first = time.monotonic() - began
    connection.close()
    return first, text, usage


def cached(usage):
    return usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)


def first_tokens(server, arguments):
    draw = random.Random(1)
    ids = lambda count: [draw.randint(100, 999) for _ in range(count)]
    rounds = []
    for _ in range(arguments.rounds):
        prefix = ids(arguments.prefix)
        times, found = [], 0
        for _ in range(2):
            seconds, _, usage = ask(server, "/v1/completions", {"prompt": prefix + ids(SUFFIX), "max_tokens": 1})
            times.append(seconds)
            found = cached(usage)
        rounds.append((*times, found))
    return rounds


# Per round: tokens of the second turn's prompt, those that were found, those of the first turn (prompt and answer).
def second_turns(server, arguments):
    rounds = []
    for i in range(arguments.rounds):
        messages = [{"role": "user", "content": f"Tell me story number {i} about a fox and a river."}]
        _, text, first = ask(server, "/v1/chat/completions", {"messages": messages, "max_tokens": 48})
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And what came next?"}]
        _, _, second = ask(server, "/v1/chat/completions", {"messages": messages, "max_tokens": 8})
        rounds.append((second["prompt_tokens"], cached(second), first["prompt_tokens"] + first["completion_tokens"]))
    return rounds


def run(model, arguments, measure, *serve):
    server = Server(argparse.Namespace(binary=arguments.binary, model=model, serve=[*arguments.serve, *serve]))
    try:
        return measure(server, arguments)
    finally:
        server.process.terminate()
        server.process.wait(60)


def main():
    arguments = parse_arguments()
    context = str(arguments.prefix + SUFFIX + 64)
    times = run(arguments.model, arguments, first_tokens, "--context", context)
    turns = run(arguments.chat_model, arguments, second_turns)
    ratio = statistics.median(first / second for first, second, _ in times)
    print(f"Machine: {machine()}. Median of {arguments.rounds} rounds (smallest to largest).\n")
    print(f"| {Path(arguments.model).name}, prefix of {arguments.prefix} tokens and {SUFFIX} of its own | |")
    print("|---|--:|")
    print(f"| time to the first token, first request | {spread([1e3 * t[0] for t in times])} ms |")
    print(f"| second request | {spread([1e3 * t[1] for t in times])} ms |")
    print(f"| tokens found by the second | {spread([t[2] for t in times])} |")
    print(f"| sooner by | {ratio:.1f}x |\n")
    print(f"| {Path(arguments.chat_model).name}, second turn of a chat | |")
    print("|---|--:|")
    print(f"| tokens of its prompt | {spread([t[0] for t in turns])} |")
    print(f"| of them in the first turn, its answer included | {spread([t[2] for t in turns])} |")
    print(f"| found | {spread([t[1] for t in turns])} |")
    print(f"| computed | {spread([t[0] - t[1] for t in turns])} |\n")
    # What is new, and of the first turn what does not fill a block.
    only_new = all(prompt - found <= prompt - before + BLOCK for prompt, found, before in turns)
    for what, holds in ((f"at least {arguments.least:g} times sooner", ratio >= arguments.least),
                        ("a second turn computes what is new and at most a block before it", only_new)):
        print(f"- {'yes' if holds else 'NO'}: {what}")
    sys.exit(0 if ratio >= arguments.least and only_new else 1)


if __name__ == "__main__":
    main()
