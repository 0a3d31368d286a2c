"""More requests than a server can take: refused in order, and nothing else suffers."""

import json
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

from conftest import Server


def resident_mib(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def post(server, body):
    request = urllib.request.Request(server.url + "/v1/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal), refusal.headers


def test_overload_is_refused_with_429_and_what_was_admitted_finishes(binary, model):
    server = Server("--max-seqs", "2", "--max-waiting", "4")
    post(server, {"prompt": "Once", "max_tokens": 8})
    before = resident_mib(server)
    answers = []

    def client():
        for _ in range(6):
            answers.append(post(server, {"prompt": "Once upon a time", "max_tokens": 60, "ignore_eos": True}))

    clients = [threading.Thread(target=client) for _ in range(20)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    codes = [code for code, _, _ in answers]
    assert set(codes) == {200, 429}, codes
    for code, body, headers in answers:
        if code == 200:
            assert body["usage"]["completion_tokens"] == 60
        else:
            assert body["error"]["code"] == "rate_limit_exceeded"
            assert 1 <= int(headers["Retry-After"]) <= 3600
    assert resident_mib(server) - before < 64
    assert post(server, {"prompt": "Once", "max_tokens": 8})[0] == 200
    assert server.stop() == 0


def test_time_that_is_up_ends_a_request(binary, model):
    server = Server("--max-seqs", "1", "--request-timeout", "3600")
    long = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True}
    code, body, _ = post(server, {**long, "timeout": 0.05})
    assert (code, body["choices"][0]["finish_reason"]) == (200, "timeout") if code == 200 else code == 504, body
    blocker = threading.Thread(target=post, args=(server, long))
    blocker.start()
    code, body, headers = post(server, {**long, "queue_timeout": 0.0001})
    assert code in (200, 504), body  # 200: the blocker was not there yet
    if code == 504:
        assert body["error"]["code"] == "deadline_exceeded" and int(headers["Retry-After"]) >= 1
    blocker.join()
    assert server.stop() == 0


def test_priority_is_refused_where_nobody_looks_at_it(binary, model):
    server = Server()
    code, body, _ = post(server, {"prompt": "Once", "max_tokens": 4, "priority": 1})
    assert code == 400 and body["error"]["param"] == "priority", body
    assert server.stop() == 0
    server = Server("--scheduling-policy", "fair", environment={"FERRUM_API_KEY": "a,b"})
    assert post(server, {"prompt": "Once"})[0] == 401
    assert server.stop() == 0
