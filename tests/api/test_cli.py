"""The command line: answers on standard output, messages on standard error, exit codes 0, 1 and 2."""

import json
import os
import pty
import select
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

from conftest import clean_environment

TEXT = "Hello, world! Zwölf Boxkämpfer 🙂\n"


def test_version_and_help(ferrum):
    assert ferrum("--version").stdout.startswith("ferrum ")
    result = ferrum("--help")
    assert result.returncode == 0
    for command in ("run", "serve", "inspect", "tokenize", "template", "perplexity", "logits"):
        assert command in result.stdout
    assert "--top-k" in ferrum("run", "--help").stdout
    assert "FERRUM_API_KEY" in ferrum("serve", "--help").stdout


def test_inspect(ferrum, model):
    table = ferrum("inspect", model)
    assert table.returncode == 0 and "llama" in table.stdout
    assert json.loads(ferrum("inspect", model, "--json").stdout)


def test_tokenize_from_text_file_and_stdin(ferrum, model, tmp_path):
    file = tmp_path / "text"
    file.write_text(TEXT)
    by_text = ferrum("tokenize", model, "--text", TEXT)
    assert by_text.returncode == 0
    ids = json.loads(by_text.stdout)
    assert all(isinstance(token, int) for token in ids)
    assert ferrum("tokenize", model, "--file", file).stdout == by_text.stdout
    assert ferrum("tokenize", model, stdin=TEXT).stdout == by_text.stdout
    plain = ferrum("tokenize", model, "--no-special", stdin=TEXT).stdout
    assert ferrum("tokenize", model, "--decode", stdin=plain).stdout == TEXT + "\n"


def test_no_special_takes_special_tokens_as_text(ferrum, model):
    special = json.loads(ferrum("tokenize", model, "--text", "<|im_end|>").stdout)
    literal = json.loads(ferrum("tokenize", model, "--text", "<|im_end|>", "--no-special").stdout)
    assert len(literal) > len(special)


def test_template(ferrum, model):
    conversation = json.dumps([{"role": "user", "content": "Hi"}])
    result = ferrum("template", model, stdin=conversation)
    assert result.returncode == 0 and "Hi" in result.stdout and "<|im_start|>" in result.stdout
    assert result.stdout.endswith("<|im_start|>assistant\n")
    without = ferrum("template", model, "--no-generation-prompt", stdin=conversation)
    assert result.stdout == without.stdout + "<|im_start|>assistant\n"
    as_object = ferrum("template", model, stdin=json.dumps({"messages": json.loads(conversation), "tools": None}))
    assert as_object.stdout == result.stdout


def test_run_once_from_prompt_and_stdin(ferrum, model):
    arguments = ("run", model, "--temp", "0", "-n", "16")
    by_flag = ferrum(*arguments, "--prompt", "What is Ferrum?")
    assert by_flag.returncode == 0 and by_flag.stdout.strip() and by_flag.stderr == ""
    assert ferrum(*arguments, stdin="What is Ferrum?\n").stdout == by_flag.stdout
    seeded = ("run", model, "--seed", "3", "-n", "16", "--prompt", "Tell me a story.")
    assert ferrum(*seeded).stdout == ferrum(*seeded).stdout
    verbose = ferrum(*arguments, "--prompt", "What is Ferrum?", "--verbose")
    assert verbose.stdout == by_flag.stdout and "tok/s" in verbose.stderr


def test_run_raw_json_system_and_stop(ferrum, model):
    raw = ferrum("run", model, "--raw", "--temp", "0", "-n", "8", "--prompt", "Once upon a time")
    assert raw.returncode == 0 and raw.stdout
    lines = [json.loads(line) for line in
             ferrum("run", model, "--raw", "--temp", "0", "-n", "8", "--json", "--prompt", "Once upon a time").stdout.splitlines()]
    assert "".join(line["text"] for line in lines[:-1]) + "\n" == raw.stdout
    assert lines[-1]["done"] is True and lines[-1]["finish_reason"] in ("length", "stop")
    assert lines[-1]["usage"]["completion_tokens"] <= 8
    word = raw.stdout.split()[1]
    stopped = ferrum("run", model, "--raw", "--temp", "0", "-n", "8", "--stop", word, "--prompt", "Once upon a time")
    assert stopped.stdout == raw.stdout[: raw.stdout.index(word)] + "\n"
    assert ferrum("run", model, "--system", "You are terse.", "--temp", "0", "-n", "8", "--prompt", "Hi").returncode == 0


def test_prompt_cache_from_one_run_to_the_next(ferrum, model, tmp_path):
    file = tmp_path / "story.kv"
    story = "Once upon a time there was a small robot who lived in a house by the sea with an old clockmaker."
    arguments = ("run", model, "--raw", "--temp", "0", "-n", "24", "--json")

    def ask(prompt, *more):
        result = ferrum(*arguments, "--prompt", prompt, *more)
        assert result.returncode == 0, result.stderr
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return "".join(line["text"] for line in lines[:-1]), lines[-1]["usage"]

    text, usage = ask(story)
    assert ask(story, "--prompt-cache", file) == (text, usage) and usage["cached_tokens"] == 0
    saved = file.read_bytes()
    again, usage = ask(story, "--prompt-cache", file, "--prompt-cache-ro")
    assert again == text and usage["prompt_tokens"] - usage["cached_tokens"] <= 16
    assert file.read_bytes() == saved
    more = story + text + " One day a girl came to the door and asked the robot for a clock that could tell her when to go home."
    longer, usage = ask(more, "--prompt-cache", file)
    assert longer == ask(more)[0] and usage["cached_tokens"] > 0
    assert file.read_bytes() != saved and [path.name for path in tmp_path.iterdir()] == ["story.kv"]

    def refused(why, *more, path=file):
        result = ferrum(*arguments, "--prompt", story, "--prompt-cache", path, *more)
        assert result.returncode == 2 and why in result.stderr and result.stdout == "", result.stderr

    refused("KV of type F16, here it is F32", "--kv-dtype", "fp32")
    refused("the block size 16, here it is 8", "--block-size", "8")
    refused("the arithmetic 'cpu/1', here it is 'cpu-mmap/1'", "--mmap-only")
    refused("prefix cache", "--prefix-cache", "false")
    refused("cannot open", "--prompt-cache-ro", path=tmp_path / "absent")
    file.write_bytes(saved[:-1])
    refused("it was cut")
    file.write_bytes(saved[:-1] + bytes([saved[-1] ^ 1]))
    refused("damaged")
    assert ferrum(*arguments, "--prompt", story, "--prompt-cache-ro").returncode == 2


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_isa_gives_the_same_greedy_text(ferrum, model, isa):
    arguments = ("run", model, "--temp", "0", "-n", "32", "--prompt", "What is Ferrum?")
    result = ferrum(*arguments, environment={"FERRUM_CPU_ISA": isa})
    if result.returncode != 0:
        pytest.skip(result.stderr.strip())
    assert result.stdout == ferrum(*arguments).stdout


def test_a_closed_pipe_ends_run_quietly(binary, model):
    process = subprocess.Popen([binary, "run", model, "--raw", "--ignore-eos", "-n", "500", "--prompt", "Once"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait(60) in (0, -signal.SIGPIPE, 128 + signal.SIGPIPE)
    assert process.stderr.read() == b""


def test_perplexity(ferrum, model, tmp_path):
    text = tmp_path / "text"
    text.write_text("Once upon a time there was a little engine. It liked to run and to serve. " * 40)
    result = ferrum("perplexity", model, "-f", text, "-c", "64")
    assert result.returncode == 0, result.stderr
    value = float(result.stdout.split()[1])
    assert 1 < value < 4096, "better than guessing among 4096 tokens"
    as_json = json.loads(ferrum("perplexity", model, "-f", text, "-c", "64", "--json").stdout)
    assert abs(as_json["perplexity"] - value) < 1e-3 and as_json["context"] == 64


def test_logits_is_a_numpy_file(ferrum, model, tmp_path):
    out = tmp_path / "logits.npy"
    result = ferrum("logits", model, "--tokens", "1,2,3", "--out", out)
    assert result.returncode == 0, result.stderr
    data = out.read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    (length,) = struct.unpack("<H", data[8:10])
    header = data[10:10 + length].decode()
    assert "'<f4'" in header and "(3, " in header
    columns = int(header.split("(3, ")[1].split(")")[0])
    assert len(data) == 10 + length + 3 * columns * 4


def bad_inputs(model, folder):
    empty = folder / "empty.gguf"
    empty.touch()
    garbage = folder / "garbage.gguf"
    garbage.write_bytes(b"not a model at all" * 100)
    cut = folder / "cut.gguf"
    cut.write_bytes(Path(model).read_bytes()[:100_000])
    (folder / "none").mkdir()
    (folder / "two").mkdir()
    for name in ("a.gguf", "b.gguf"):
        (folder / "two" / name).write_bytes(b"GGUF")
    (folder / "hf").mkdir()
    (folder / "hf" / "config.json").write_text("{}")
    invalid = folder / "invalid.txt"
    invalid.write_bytes(b"abc \xff\xfe")
    short = folder / "short.txt"
    short.write_text("short")
    run = ["run", model, "--prompt", "x"]
    return [
        # arguments, environment, a part of the message
        ([], {}, "Usage"),
        (["fly"], {}, "fly"),
        (["run"], {}, "MODEL"),
        (["run", folder / "absent.gguf"], {}, "no model at"),
        (["run", folder / "none"], {}, "no .gguf file"),
        (["run", folder / "two"], {}, "2 models"),
        (["run", folder / "hf"], {}, "Hugging Face"),
        (["run", empty, "--prompt", "x"], {}, "empty.gguf"),
        (["run", garbage, "--prompt", "x"], {}, "garbage.gguf"),
        (["run", cut, "--prompt", "x"], {}, "cut.gguf"),
        (["inspect", garbage], {}, "garbage.gguf"),
        (["run", model, "--prompt", ""], {}, "empty"),
        ([*run, "--temp", "-1"], {}, "temp"),
        ([*run, "--temp", "hot"], {}, "hot"),
        ([*run, "--top-k", "-5"], {}, "top-k"),
        ([*run, "--top-p", "7"], {}, "top-p"),
        ([*run, "--seed", "x"], {}, "seed"),
        ([*run, "-n", "99999999999999999999"], {}, "max-tokens"),
        ([*run, "--no-such-flag"], {}, "no-such-flag"),
        ([*run, "--threads", "-1"], {}, "--threads"),
        ([*run, "--isa", "sse9"], {}, "sse9"),
        ([*run, "--backend", "abacus"], {}, "abacus"),
        ([*run, "--kv-dtype", "q9"], {}, "q9"),
        (run, {"FERRUM_THREADS": "many"}, "FERRUM_THREADS"),
        (run, {"FERRUM_THREDS": "2"}, "FERRUM_THREADS"),
        (["run", model, "--prompt", "word " * 5000], {}, "context"),
        (["tokenize", model, "--file", folder / "absent.txt"], {}, "absent.txt"),
        (["tokenize", model, "--file", invalid], {}, "UTF-8"),
        (["tokenize", model, "--text", "no json", "--decode"], {}, "JSON array"),
        (["tokenize", model, "--text", "[1, 99999999]", "--decode"], {}, "token id"),
        (["tokenize", model, "--text", "x", "--file", invalid], {}, "--text"),
        (["template", model, "--file", short], {}, "JSON"),
        (["perplexity", model, "-f", short, "-c", "64"], {}, "tokens"),
        (["perplexity", model, "-f", short, "-c", "0"], {}, "context"),
        (["perplexity", model, "-f", folder / "absent.txt"], {}, "absent.txt"),
        (["logits", model, "--tokens", "1,x", "--out", folder / "o"], {}, "--tokens"),
        (["logits", model, "--tokens", "99999999", "--out", folder / "o"], {}, "99999999"),
        (["logits", model, "--tokens", "", "--out", folder / "o"], {}, "--tokens"),
        (["bench", model, "-p", "many"], {}, "many"),
        (["bench", model, "-p", "0", "-n", "0"], {}, "nothing to measure"),
        (["bench", model, "-p", "512,,1"], {}, "--n-prompt"),
        (["bench", model, "--pg", "5"], {}, "--pg"),
        (["bench", model, "-o", "xml"], {}, "jsonl"),
        (["bench", model, "-r", "0"], {}, "-r"),
        (["bench", model, "--parallel", "600"], {}, "600 sequences"),
        (["bench", model, "-p", "5000"], {}, "1024"),
        (["bench", model, "--max-seqs", "4"], {}, "--max-seqs has no effect"),
        (["bench", model, "-t", "1", "--threads", "1"], {}, "--threads"),
        (["serve", model, "--port", "99999"], {}, "--port"),
        (["serve", model, "--host", "no-such-host.invalid", "--port", "0"], {}, "no-such-host"),
    ]


def test_bad_inputs_get_a_message_and_exit_code_2(ferrum, model, tmp_path):
    wrong = []
    for arguments, environment, part in bad_inputs(model, tmp_path):
        result = ferrum(*arguments, environment=environment)
        if result.returncode != 2 or part not in result.stderr or result.stdout:
            wrong.append(f"{arguments[:6]} {environment}: exit {result.returncode}, no {part!r} in {result.stderr[-300:]!r}")
    assert not wrong, "\n".join(wrong)


def test_an_output_that_cannot_be_written_is_exit_code_1(ferrum, model, tmp_path):
    result = ferrum("logits", model, "--tokens", "1", "--out", tmp_path / "no" / "such" / "folder" / "x.npy")
    assert result.returncode == 1 and "x.npy" in result.stderr


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, arguments, home):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            sanitizers = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
            os.environ.clear()
            os.environ.update(sanitizers)
            os.environ.update({"TERM": "xterm", "PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"})
            os.execv(arguments[0], arguments)
        self.output = ""

    def wait_for(self, text, seconds=60):
        end = time.time() + seconds
        while text not in self.output:
            assert time.time() < end, f"no {text!r} in {self.output!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.output += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    assert text in self.output, f"ended without {text!r}: {self.output!r}"
        before, _, self.output = self.output.partition(text)
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def exit_code(self, seconds=30):
        end = time.time() + seconds
        while time.time() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError("still running")


@pytest.fixture
def terminal(binary, model, tmp_path):
    def start(*more):
        return Terminal([str(binary), "run", str(model), "--temp", "0", *more], tmp_path)

    return start


def test_interactive_chat(terminal, tmp_path):
    chat = terminal("-n", "20")
    chat.wait_for(">>> ")
    chat.type("What is Ferrum?\r")
    answer = chat.wait_for(">>> ")
    assert len(answer.replace("What is Ferrum?", "").strip()) > 5
    chat.type("/set top-k 5\r")
    chat.wait_for(">>> ")
    chat.type("/set\r")
    assert "top-k" in chat.wait_for(">>> ")
    chat.type("/set tpo-k 5\r")
    assert "top-k" in chat.wait_for(">>> ")
    chat.type("/system Be brief.\r")
    chat.wait_for(">>> ")
    chat.type("/stats\r")
    assert "tok/s" in chat.wait_for(">>> ")
    chat.type("/wrong\r")
    assert "/help" in chat.wait_for(">>> ")
    chat.type('"""first\r')
    chat.wait_for("... ")
    chat.type('second"""\r')
    chat.wait_for(">>> ")
    chat.type("/clear\r")
    assert "forgotten" in chat.wait_for(">>> ")
    chat.type("/bye\r")
    assert chat.exit_code() == 0
    history = tmp_path / ".local" / "state" / "ferrum" / "history"
    assert "Ferrum" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_ctrl_c_interrupts_the_answer_and_not_the_program(terminal):
    chat = terminal("--ignore-eos", "on", "--raw")
    chat.wait_for(">>> ")
    chat.type("Once upon a time\r")
    chat.wait_for("time\r\n")
    for _ in range(5):
        chat.wait_for(" ")  # in the middle of an answer of a thousand tokens
    chat.type("\x03")
    chat.wait_for("(interrupted)")
    chat.wait_for(">>> ")
    chat.type("\x03")  # at the prompt
    chat.wait_for("/bye")
    chat.wait_for(">>> ")
    chat.type("half a line\x03")
    chat.wait_for(">>> ")
    chat.type("\x04")
    assert chat.exit_code() == 0


def test_bench_gives_a_row_per_test_beside_the_limit_of_the_machine(ferrum, model):
    result = ferrum("bench", model, "-p", "24", "-n", "3", "--parallel", "1,2", "-r", "2", "-o", "jsonl")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["test"], row["n_parallel"]) for row in rows] == [("pp24", 1), ("tg3", 1), ("pp24", 2), ("tg3", 2)]
    for row in rows:
        assert len(row["samples_ts"]) == 2 and row["avg_ts"] > 0
        assert row["read_bandwidth"] > 0 and row["peak_int8"] > 0 and row["limit_ts"] > 0
        assert row["limited_by"] in ("memory", "compute")
    assert "measuring the machine" in result.stderr


def test_a_flag_is_a_switch_only_where_the_command_says_so(ferrum):
    # `serve` has a switch --warm-up, `bench-serve` a number of that name.
    result = ferrum("bench-serve", "--url", "http://127.0.0.1:1", "--warm-up", "16")
    assert "cannot connect" in result.stderr and "convert" not in result.stderr, result.stderr
