"""What a running server shows of itself: /stats, `ferrum top`, the page, the trace and the profiles it leaves."""

import json
import time
import urllib.error
import urllib.request

from conftest import Server

PROMPT = "A sentence that nobody but its author should read. "


def fetch(url, body=None, key=None):
    """Status and text of a GET, or of a POST of JSON."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def complete(url, key=None):
    status, text = fetch(url + "/v1/completions", {"prompt": PROMPT, "max_tokens": 12, "ignore_eos": True}, key)
    assert status == 200, text
    return json.loads(text)


def stats_when(url, condition, key=None):
    """The text of /stats. The record of the last step comes just after its answer, so it is asked for repeatedly."""
    for _ in range(100):
        _, text = fetch(url + "/stats", key=key)
        if condition(json.loads(text)):
            return text
        time.sleep(0.05)
    raise AssertionError(text)


def test_stats_tell_of_requests_without_their_text(binary):
    server = Server()
    usage = complete(server.url)["usage"]
    text = stats_when(server.url, lambda s: s["totals"]["requests_finished"] == 1)
    assert "sentence" not in text and "author" not in text
    stats = json.loads(text)
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
    assert fetch(server.url + "/stats")[0] == 401
    refused = ferrum("top", server.url)
    assert refused.returncode == 2 and "FERRUM_API_KEY" in refused.stderr
    complete(server.url, key="secret")
    stats_when(server.url, lambda s: s["requests"] and s["requests"][0]["finished"], key="secret")
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
