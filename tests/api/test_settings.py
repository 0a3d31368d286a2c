"""Settings as users give them: a file, the environment, flags; a server's own; completion."""

import http.client
import json
import subprocess

import pytest
from conftest import Server


def effective(ferrum, model, *arguments, environment=None):
    result = ferrum("config", model, "--json", *arguments, environment=environment)
    assert result.returncode == 0, result.stderr
    return {entry["key"]: (entry["effective_value"], entry["source"]) for entry in json.loads(result.stdout)["entries"]}


def test_flags_win_over_environment_and_that_over_the_file(ferrum, model, tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[cpu]\nthreads = 1\n[scheduler]\nmax_seqs = 2\nmax_waiting = 3\n")
    entries = effective(ferrum, model, "--config", file, "--max-seqs", "4", environment={"FERRUM_MAX_SEQS": "3",
                                                                                        "FERRUM_THREADS": "2"})
    assert entries["FERRUM_PAGED_MAX_SEQS"] == ("4", "cli")
    assert entries["FERRUM_THREADS"] == ("2", "env")
    assert entries["FERRUM_MAX_WAITING"] == ("3", "config_file")


def test_the_users_own_file_is_found(ferrum, model, tmp_path):
    (tmp_path / "ferrum").mkdir()
    (tmp_path / "ferrum" / "ferrum.toml").write_text("[cpu]\nthreads = 1\n")
    entries = effective(ferrum, model, environment={"XDG_CONFIG_HOME": str(tmp_path)})
    assert entries["FERRUM_THREADS"] == ("1", "config_file")


@pytest.mark.parametrize("text, parts", [
    ("[cpu]\nthreads = \n", [":2:", "malformed"]),
    ("[cpu]\nthread = 1\n", [":2:1", "did you mean cpu.threads?"]),
    ("[cpu]\nthreads = 'two'\n", [":2:11", "expected an integer"]),
    ("[cuda]\ngraph = true\n", ["FERRUM_CUDA_GRAPH", "config_file", "none of the CUDA kernels"]),
])
def test_a_bad_file_is_exit_code_2_with_its_place(ferrum, model, tmp_path, text, parts):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    result = ferrum("run", model, "--prompt", "x", "--config", file)
    assert result.returncode == 2 and not result.stdout
    for part in parts:
        assert part in result.stderr


def test_a_mistyped_flag_gets_a_suggestion(ferrum, model):
    result = ferrum("run", model, "--prompt", "x", "--thread", "2")
    assert result.returncode == 2 and "did you mean --threads?" in result.stderr
    result = ferrum("run", model, "--prompt", "x", "--config", "/no/such.toml")
    assert result.returncode == 2 and "/no/such.toml" in result.stderr


def test_bash_completes_commands_flags_and_values(ferrum, tmp_path):
    script = tmp_path / "completion"
    script.write_text(ferrum("completion", "bash").stdout + """
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _ferrum; echo "${COMPREPLY[*]}"; }
try ferrum ser
try ferrum serve --isa av
try ferrum serve --drain
try ferrum completion f
""")
    out = subprocess.run(["bash", script], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["serve", "avx2 avx512", "--drain-seconds", "fish"]
    for shell in ("zsh", "fish"):
        assert "drain-seconds" in ferrum("completion", shell).stdout
    assert ferrum("completion", "tcsh").returncode == 2


def test_a_server_takes_its_lists_and_limits_from_the_environment(binary, model):
    server = Server(environment={"FERRUM_SERVED_MODEL_NAME": "one, two", "FERRUM_CORS_ORIGIN": "https://a.example",
                                 "FERRUM_ALLOWED_HOST": "friend.example", "FERRUM_MAX_CONNECTIONS": "1",
                                 "FERRUM_DRAIN_SECONDS": "7"})
    host = server.url.removeprefix("http://")
    try:
        first = http.client.HTTPConnection(host, timeout=60)
        first.request("GET", "/v1/models", headers={"Origin": "https://a.example", "Host": "friend.example"})
        answer = first.getresponse()
        assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert {entry["id"] for entry in json.load(answer)["data"]} == {"one", "two"}
        second = http.client.HTTPConnection(host, timeout=60)  # the first is still open
        second.request("GET", "/v1/models")
        assert second.getresponse().status == 503
        second.close()
        first.request("GET", "/v1/models", headers={"Host": "foe.example"})
        assert first.getresponse().status == 403
        first.close()
    finally:
        assert server.stop() == 0
    assert any("up to 7 s" in line for line in server.lines)
