"""What a running server shows of itself: /stats, `ferrum top`, the page, the trace and the profiles it leaves."""

import json
import time

import requests
from conftest import Server

PROMPT = "A sentence that nobody but its author should read. "


def complete(url, key=None, **fields):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"prompt": PROMPT, "max_tokens": 12, "ignore_eos": True, **fields}
    answer = requests.post(url + "/v1/completions", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def stats_when(url, condition, headers=None):
    """The record of the last step comes just after its answer."""
    for _ in range(100):
        answer = requests.get(url + "/stats", headers=headers, timeout=10)
        if condition(answer.json()):
            return answer
        time.sleep(0.05)
    raise AssertionError(answer.text)


def test_stats_tell_of_requests_without_their_text(binary):
    server = Server()
    usage = complete(server.url)["usage"]
    answer = stats_when(server.url, lambda s: s["totals"]["requests_finished"] == 1)
    assert "sentence" not in answer.text and "author" not in answer.text
    stats = answer.json()
    request = stats["requests"][0]
    assert request["finished"] and request["state"] == "length"
    assert request["prompt_tokens"] == usage["prompt_tokens"]
    assert request["generated"] == usage["completion_tokens"] == 12
    assert [part["phase"] for part in request["timeline"]] == ["queued", "prefill", "decode"]
    assert abs(sum(part["seconds"] for part in request["timeline"]) - request["seconds"]) < 1e-6
    assert sum(step["generated"] for step in stats["steps"]) == 12
    for step in stats["steps"]:
        assert abs(sum(step["phases_ms"].values()) - step["ms"]) < 1e-6
    assert server.stop() == 0


def test_stats_and_top_want_the_key(binary, ferrum):
    server = Server(environment={"FERRUM_API_KEY": "secret"})
    assert requests.get(server.url + "/stats", timeout=10).status_code == 401
    refused = ferrum("top", server.url)
    assert refused.returncode == 2 and "FERRUM_API_KEY" in refused.stderr
    complete(server.url, key="secret")
    stats_when(server.url, lambda s: s["requests"] and s["requests"][0]["finished"], {"Authorization": "Bearer secret"})
    shown = ferrum("top", server.url, "--once", environment={"FERRUM_API_KEY": "secret"})
    assert shown.returncode == 0, shown.stderr
    assert "tokens/s" in shown.stdout and "length" in shown.stdout
    assert "sentence" not in shown.stdout
    assert server.stop() == 0


def test_top_says_what_is_wrong(ferrum, server):
    assert ferrum("top", "http://127.0.0.1:1").returncode == 1
    assert ferrum("top", "ftp://x/y").returncode == 2


def test_a_server_leaves_a_trace_and_its_profiles(binary, tmp_path):
    trace = tmp_path / "trace.json"
    server = Server("--trace-file", trace, "--decode-op-profile", "true", "--decode-layer-profile", "true")
    complete(server.url)
    stats_when(server.url, lambda s: s["profile"] and s["profile"][0]["steps"] == 11)
    assert server.stop() == 0
    events = json.loads(trace.read_text())["traceEvents"]
    names = {event["name"] for event in events}
    assert {"step", "forward", "attention", "queued", "prefill", "decode", "rows", "kv"} <= names
    printed = "".join(server.lines)
    assert "decode operations, 11 steps" in printed and "layer 0" in printed


def test_a_trace_that_cannot_be_written_is_refused_at_the_start(ferrum, model, tmp_path):
    result = ferrum("run", model, "--prompt", "x", "--trace-file", tmp_path / "no" / "dir.json")
    assert result.returncode == 1 and "dir.json" in result.stderr and result.stdout == ""
