"""`ferrum bench-serve` against `ferrum serve`, and against servers that are none."""

import http.server
import json
import threading
import xml.etree.ElementTree as ElementTree

import pytest


@pytest.fixture
def load(ferrum, server):
    """Runs the command against the server; few and short requests unless told otherwise."""

    def run(*arguments, url=server.url):
        return ferrum("bench-serve", "--url", url, "--requests", "4", "--repeats", "2", "--random-input", "12",
                      "--random-output", "6", *arguments)

    return run


def test_closed_loop_counts_every_token_and_writes_file_and_plot(load, tmp_path):
    result = load("--concurrency", "1,3", "--json", tmp_path / "r.json", "--plot", tmp_path / "r.svg")
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["workload"]["form"] == "tokens"
    assert [level["concurrency"] for level in document["levels"]] == [1, 3]
    for level in document["levels"]:
        assert (level["requests"], level["failed"], level["wrong_token_counts"]) == (8, 0, 0)
        output, total = (level[f"{kind}_tokens_per_second"]["mean"] for kind in ("output", "total"))
        assert total / output == pytest.approx((12 + 6) / 6)  # all prompts and all answers have their length
        assert level["requests_per_second"]["mean"] * 6 == pytest.approx(output)
        for name in ("ttft", "tpot", "itl", "e2e"):
            figures = level[name + "_seconds"]
            assert 0 < figures["p50"] <= figures["p90"] <= figures["p99"]
        assert level["ttft_seconds"]["p50"] < level["e2e_seconds"]["p50"]
    assert result.stdout.count("\n") == 4  # head, line, two levels
    ElementTree.parse(tmp_path / "r.svg")

    again = load("--concurrency", "2", "--plot", tmp_path / "both.svg", "--compare", tmp_path / "r.json", "--label", "two")
    assert again.returncode == 0, again.stderr
    assert ">two<" in (tmp_path / "both.svg").read_text()


@pytest.mark.parametrize("workload", [
    ("--rate", "50"),
    ("--prefix", "40", "--prefixes", "2"),
    ("--form", "text"),
    ("--form", "chat"),
    ("--turns", "3"),
    ("--random-spread", "0.5"),
])
def test_every_workload_runs_without_a_wrong_count(load, workload):
    result = load(*workload, *(() if "--rate" in workload else ("--concurrency", "2")))
    assert result.returncode == 0, result.stderr


def test_a_sharegpt_file_is_asked_and_answered_at_its_lengths(load, tmp_path):
    dialogs = [{"conversations": [{"from": "human", "value": "What is a lighthouse for?"},
                                  {"from": "gpt", "value": "x" * 32}]}]
    (tmp_path / "s.json").write_text(json.dumps(dialogs))
    result = load("--sharegpt", tmp_path / "s.json", "--concurrency", "2", "--json", tmp_path / "r.json")
    assert result.returncode == 0, result.stderr
    level = json.loads((tmp_path / "r.json").read_text())["levels"][0]
    assert level["output_tokens_per_second"]["mean"] / level["requests_per_second"]["mean"] == pytest.approx(8)


class Liar(http.server.BaseHTTPRequestHandler):
    """Serves one token where more were asked for."""

    def log_message(self, *_):
        pass

    def reply(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply("application/json", b'{"data":[{"id":"liar"}]}')

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        events = [{"choices": [{"text": "a"}]},
                  {"choices": [], "usage": {"prompt_tokens": len(asked["prompt"]), "completion_tokens": 1}}, "[DONE]"]
        lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
        self.reply("text/event-stream", "".join(f"data: {line}\n\n" for line in lines).encode())


def test_a_wrong_token_count_fails_the_run(load):
    liar = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=liar.serve_forever, daemon=True).start()
    try:
        result = load("--concurrency", "2", url=f"http://127.0.0.1:{liar.server_port}")
    finally:
        liar.shutdown()
    assert result.returncode == 1
    assert "8 of 8 requests had a wrong token count" in result.stderr


def test_failures_fail_the_run_unless_they_are_allowed(load):
    refused = load("--model", "no-such-model", "--concurrency", "1")
    assert refused.returncode == 1 and "no-such-model" in refused.stderr
    beyond_the_context = ("--prefix", "5000", "--concurrency", "1", "--warm-up", "0")
    failed = load(*beyond_the_context)
    assert failed.returncode == 1
    assert "8 of 8 requests failed" in failed.stderr and "8 x HTTP 400" in failed.stderr
    assert load(*beyond_the_context, "--max-error-rate", "1").returncode == 0


def test_bad_input_is_refused_before_anything_is_sent(ferrum, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    wrong = []
    for arguments, part in [
        (["--url", "https://x"], "https"),
        (["--url", "x"], "http://"),
        (["--concurrency", "0"], "--concurrency"),
        (["--concurrency", "1,,2"], "--concurrency"),
        (["--rate", "-1"], "--rate"),
        (["--rate", "1", "--concurrency", "1"], "--concurrency"),
        (["--form", "morse"], "morse"),
        (["--turns", "2", "--form", "tokens"], "--turns"),
        (["--random-output", "0"], "--random-output"),
        (["--random-spread", "1"], "--random-spread"),
        (["--token-ids", "9-3"], "--token-ids"),
        (["--repeats", "0"], "--repeats"),
        (["--timeout", "0"], "--timeout"),
        (["--sharegpt", tmp_path / "absent.json"], "absent.json"),
        (["--sharegpt", tmp_path / "bad.json"], "array of dialogs"),
        (["--compare", tmp_path / "bad.json"], "--plot"),
        (["--plot", tmp_path / "p.svg", "--compare", tmp_path / "bad.json"], "bad.json"),
    ]:
        result = ferrum("bench-serve", *arguments)
        if result.returncode != 2 or part not in result.stderr or result.stdout:
            wrong.append(f"{arguments}: exit {result.returncode}, no {part!r} in {result.stderr[-300:]!r}")
    assert not wrong, "\n".join(wrong)


def test_nobody_listening_is_exit_code_1(ferrum):
    result = ferrum("bench-serve", "--url", "http://127.0.0.1:9")
    assert result.returncode == 1 and "cannot connect" in result.stderr
