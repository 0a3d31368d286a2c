"""config, plan, doctor, and the record that run and serve write."""

import hashlib
import json
import socket
import urllib.request

from conftest import Server


def decisions_of(document):
    return {d["selection"]: d for d in document["decisions"]}


def test_config_shows_every_decision_with_its_source_and_what_lost(ferrum, model):
    table = ferrum("config", model, "--threads", "1")
    assert table.returncode == 0, table.stderr
    assert "threads" in table.stdout and "cli (FERRUM_THREADS)" in table.stdout
    assert "not reference: slow on purpose" in table.stdout
    document = json.loads(ferrum("config", model, "--json", "--threads", "1").stdout)
    assert document["schema_version"] == 1
    assert decisions_of(document)["threads"]["selected"] == "1"
    assert document["model_capabilities"]["num_hidden_layers"] > 0
    entries = json.dumps(document["entries"], separators=(",", ":"), ensure_ascii=False)
    assert document["env_hash"] == "sha256:" + hashlib.sha256(entries.encode()).hexdigest()
    trace = [json.loads(line) for line in ferrum("config", model, "--trace", "--threads", "1").stdout.splitlines()]
    assert trace == document["decisions"]


def test_config_without_a_model_and_with_a_contradiction(ferrum):
    assert ferrum("config").returncode == 0
    wrong = ferrum("config", "--max-seqs", "8", "--max-batched-tokens", "4")
    assert wrong.returncode == 2 and "FERRUM_MAX_BATCHED_TOKENS" in wrong.stderr


def test_plan_adds_up_and_says_what_to_change(ferrum, model):
    plan = json.loads(ferrum("plan", model, "--json", "--max-seqs", "2", "--context", "512").stdout)
    assert plan["fits"] and plan["max_sequences"] == 2 and plan["max_model_len"] == 512
    assert sum(p["bytes"] for p in plan["parts"] if p["kind"] != "device") == plan["host_bytes"]
    assert "It fits." in ferrum("plan", model).stdout
    small = ferrum("plan", model, "--vram", "1G")
    assert small.returncode == 1 and "It does not fit" in small.stdout
    assert ferrum("plan", model, "--vram", "24G").returncode == 0
    huge = ferrum("plan", model, "--kv-blocks", "60000000")
    assert huge.returncode == 1 and "kv_blocks" in huge.stdout
    assert ferrum("plan", model, "--vram", "lots").returncode == 2


def test_a_plan_that_cannot_fit_does_not_start(ferrum, model):
    refused = ferrum("run", model, "--prompt", "hi", "--kv-blocks", "60000000")
    assert refused.returncode != 0 and "FERRUM_KV_MAX_BLOCKS" in refused.stderr


def test_doctor_looks_at_the_port(ferrum):
    good = ferrum("doctor", "--port", "0")
    assert good.returncode == 0, good.stdout
    for word in ("instruction set", "memory", "huge pages", "GPU", "build", "hub", "what limits speed"):
        assert word in good.stdout
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bad = ferrum("doctor", "--port", str(taken.getsockname()[1]))
    assert bad.returncode == 1 and "BAD" in bad.stdout


def test_run_and_serve_write_what_they_resolved(ferrum, binary, model, tmp_path):
    document, trace = tmp_path / "config.json", tmp_path / "trace.jsonl"
    ran = ferrum("run", model, "--prompt", "hi", "-n", "1", "--effective-config", document, "--decision-trace", trace)
    assert ran.returncode == 0, ran.stderr
    record = json.loads(document.read_text())
    assert [json.loads(line) for line in trace.read_text().splitlines()] == record["decisions"]
    server = Server("--effective-config", document, "--max-seqs", "3")
    try:
        with urllib.request.urlopen(server.url + "/health") as answer:
            shown = json.load(answer)["configuration"]
        decisions = decisions_of(json.loads(document.read_text()))
        assert shown == {name: d["selected"] for name, d in decisions.items()}
        assert shown["max_sequences"] == "3"
        assert any("max_sequences = 3, from cli (FERRUM_PAGED_MAX_SEQS)" in line for line in server.lines)
    finally:
        server.stop()


def test_the_log_level_decides_what_is_said(ferrum, model):
    quiet = ferrum("run", model, "--prompt", "hi", "-n", "1", "--log-level", "error")
    loud = ferrum("run", model, "--prompt", "hi", "-n", "1", environment={"FERRUM_LOG_LEVEL": "debug"})
    assert quiet.returncode == 0 and quiet.stderr == ""
    assert "parity gate:" in loud.stderr
