"""`ferrum serve` with the demo model, seen through OpenAI's own client."""

import concurrent.futures
import json
import socket
import time
import urllib.request

import openai
import pytest

from conftest import Server

QUESTION = [{"role": "user", "content": "What is Ferrum?"}]
LONG = "Once upon a time"


def ask(client, **parameters):
    return client.chat.completions.create(**{"model": "demo", "messages": QUESTION, "temperature": 0, "max_tokens": 24,
                                             **parameters})


def complete(client, **parameters):
    return client.completions.create(**{"model": "demo", "prompt": LONG, "temperature": 0, "max_tokens": 12,
                                        **parameters})


def test_models(client):
    assert [entry.id for entry in client.models.list()] == ["demo", "alias"]
    assert client.models.retrieve("alias").owned_by == "ferrum"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_chat(client):
    answer = ask(client)
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert choice.message.role == "assistant" and choice.message.content.strip()
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage.prompt_tokens > 0
    assert 0 < answer.usage.completion_tokens <= 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 <= answer.usage.prompt_tokens_details.cached_tokens < answer.usage.prompt_tokens
    assert answer.system_fingerprint.startswith("fp_")
    assert abs(answer.created - time.time()) < 600
    again = ask(client)
    assert again.choices[0].message.content == choice.message.content, "greedy answers repeat"
    # All full blocks of 16 tokens before the last token.
    assert again.usage.prompt_tokens_details.cached_tokens == (again.usage.prompt_tokens - 1) // 16 * 16


def test_stream_says_what_the_whole_answer_says(client):
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    without = list(ask(client, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in without)


def test_max_tokens_and_length(client):
    answer = ask(client, max_tokens=3)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 3
    assert ask(client, max_tokens=openai.omit, max_completion_tokens=3).usage.completion_tokens == 3


def test_stop_strings_end_the_text_before_the_match(client):
    full = ask(client, max_tokens=40).choices[0].message.content
    words = full.split()
    assert len(words) > 3, full
    stop = " " + words[2]
    answer = ask(client, max_tokens=40, stop=[stop])
    assert answer.choices[0].message.content == full[: full.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    across = full[2:9]  # begins and ends inside tokens
    cut = ask(client, max_tokens=40, stop=across).choices[0].message.content
    assert cut == full[: full.index(across)]
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in ask(client, max_tokens=40, stop=across, stream=True))
    assert streamed == cut, "a stream never shows a part of the stop string"


def test_seed_and_n(client):
    def texts(**parameters):
        return [choice.message.content for choice in ask(client, temperature=1.5, **parameters).choices]

    three = texts(n=3, seed=7)
    assert len(three) == 3 and len(set(three)) > 1
    assert three == texts(n=3, seed=7), "same seed, same answers"
    assert texts(n=1, seed=7) == three[:1], "alone or in company"
    answer = ask(client, n=2, temperature=1.0, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage.prompt_tokens == ask(client).usage.prompt_tokens, "the prompt counts once"
    streamed = {0: "", 1: ""}
    for chunk in ask(client, n=2, temperature=1.0, seed=1, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert [streamed[0], streamed[1]] == [choice.message.content for choice in answer.choices]


def test_chat_logprobs(client):
    answer = ask(client, logprobs=True, top_logprobs=3, max_tokens=8)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    assert bytes(byte for entry in content for byte in entry.bytes).decode() == answer.choices[0].message.content
    for entry in content:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].token == entry.token, "greedy takes the likeliest"
        values = [top.logprob for top in entry.top_logprobs]
        assert values == sorted(values, reverse=True)
    assert ask(client).choices[0].logprobs is None


def test_completion_logprobs_and_echo(client):
    answer = complete(client, logprobs=2, echo=True, max_tokens=4)
    choice = answer.choices[0]
    assert choice.text.startswith(LONG)
    logprobs = choice.logprobs
    count = answer.usage.prompt_tokens + 4
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.text_offset) == count
    assert logprobs.token_logprobs[0] is None and all(value <= 0 for value in logprobs.token_logprobs[1:])
    for token, offset in zip(logprobs.tokens, logprobs.text_offset):
        if token.isascii():
            assert choice.text[offset:].startswith(token), (token, offset)
    scored = complete(client, logprobs=0, echo=True, max_tokens=0)
    assert scored.choices[0].text == LONG and scored.usage.completion_tokens == 0
    assert scored.choices[0].logprobs.token_logprobs == logprobs.token_logprobs[: answer.usage.prompt_tokens]
    plain = complete(client, max_tokens=4)
    assert LONG + plain.choices[0].text == choice.text


def test_completion_prompt_forms(client, ferrum, model):
    ids = json.loads(ferrum("tokenize", model, "--text", LONG).stdout)
    as_text = complete(client).choices[0].text
    assert complete(client, prompt=ids).choices[0].text == as_text
    several = complete(client, prompt=[LONG, "One day", LONG], n=1)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert several.choices[0].text == several.choices[2].text == as_text
    assert complete(client, prompt=[ids, ids]).choices[1].text == as_text
    assert complete(client, max_tokens=openai.omit).usage.completion_tokens <= 16


def test_sampling_parameters_change_what_is_sampled(client):
    best = complete(client).choices[0].text
    first = json.loads(ask_raw(client, {"prompt": LONG, "temperature": 0, "max_tokens": 1, "logprobs": 1}))
    # Forbidding the likeliest first token changes the answer.
    token_text = first["choices"][0]["logprobs"]["tokens"][0]
    ids = tokenize(client, token_text)
    assert len(ids) == 1
    biased = complete(client, logit_bias={str(ids[0]): -100}, max_tokens=1).choices[0].text
    assert biased != token_text
    assert complete(client, temperature=5.0, extra_body={"top_k": 1}).choices[0].text == best
    assert complete(client, temperature=5.0, extra_body={"min_p": 1.0}).choices[0].text == best
    assert complete(client, temperature=5.0, top_p=1e-6).choices[0].text == best
    ignoring = complete(client, max_tokens=200, extra_body={"ignore_eos": True})
    assert ignoring.usage.completion_tokens == 200 and ignoring.choices[0].finish_reason == "length"


def ask_raw(client, body):
    request = urllib.request.Request(str(client.base_url) + "completions", json.dumps({"model": "demo", **body}).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return response.read()


def tokenize(client, text):
    answer = complete(client, prompt=text, echo=True, logprobs=0, max_tokens=0)
    # The ids are not part of the API; the bias needs one, so look it up with the binary the server runs.
    import subprocess

    from conftest import BINARY, MODEL, clean_environment
    out = subprocess.run([BINARY, "tokenize", MODEL, "--text", text, "--no-special"], capture_output=True, text=True,
                         env=clean_environment(), check=True).stdout
    assert len(json.loads(out)) == answer.usage.prompt_tokens
    return json.loads(out)


@pytest.mark.parametrize("parameters, param, code", [
    ({"model": "gpt-4"}, "model", "model_not_found"),
    ({"messages": []}, "messages", None),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
     "messages[0].content[0].type", "unsupported_value"),
    ({"temperature": -1}, "temperature", None),
    ({"top_p": 2}, "top_p", None),
    ({"n": 0}, "n", None),
    ({"n": 10**6}, "n", None),
    ({"max_tokens": 10**6}, "messages", "context_length_exceeded"),
    ({"logprobs": True, "top_logprobs": 1000}, "top_logprobs", None),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_value"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, "tool_choice",
     "unsupported_value"),
    ({"extra_body": {"no_such_field": 1}}, "no_such_field", "unknown_parameter"),
    ({"logit_bias": {"999999999": 1}}, "logit_bias", None),
    ({"stop": ["x"] * 100}, "stop", None),
])
def test_errors(client, parameters, param, code):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, **parameters)
    assert caught.value.status_code == (404 if code == "model_not_found" else 400)
    assert caught.value.param == param and caught.value.code == code
    assert caught.value.type == "invalid_request_error"
    assert ask(client, max_tokens=1).choices, "the server goes on serving"


def test_prompt_beyond_the_context(client):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, prompt="word " * 5000)
    assert caught.value.code == "context_length_exceeded" and "context" in caught.value.message


def test_tools_stand_in_the_prompt(client):
    tools = [{"type": "function", "function": {"name": "weather", "description": "Tells the weather.",
                                               "parameters": {"type": "object", "properties": {}}}}]
    without = ask(client).usage.prompt_tokens
    assert ask(client, tools=tools).usage.prompt_tokens >= without
    assert ask(client, tools=tools, tool_choice="none").usage.prompt_tokens == without


def test_concurrent_requests_agree_with_single_ones(client):
    prompts = [f"Story number {i}:" for i in range(8)]
    alone = [complete(client, prompt=prompt).choices[0].text for prompt in prompts]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda prompt: complete(client, prompt=prompt).choices[0].text, prompts))
    assert together == alone


def metric(server, name):
    with urllib.request.urlopen(server.url + "/metrics") as response:
        text = response.read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))


def test_a_client_that_leaves_cancels_its_request(client, server):
    before = metric(server, "vllm:request_success_total")
    stream = complete(client, max_tokens=900, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    end = time.time() + 30
    while metric(server, "vllm:num_requests_running") > 0:
        assert time.time() < end, "the request still runs"
        time.sleep(0.05)
    assert metric(server, "vllm:request_success_total") == before + 1
    with urllib.request.urlopen(server.url + "/metrics") as response:
        assert 'finished_reason="abort"' in response.read().decode()


def test_health_page_and_version(server):
    def get(path):
        with urllib.request.urlopen(server.url + path) as response:
            return response.read().decode()

    assert json.loads(get("/health"))["status"] == "ok"
    assert json.loads(get("/version"))["version"]
    assert "<!doctype html>" in get("/")
    assert metric(server, "vllm:time_to_first_token_seconds_count") > 0


def test_api_key(binary, model):
    server = Server(environment={"FERRUM_API_KEY": "secret"})
    try:
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0).models.list()
        assert len(list(openai.OpenAI(base_url=server.url + "/v1", api_key="secret", max_retries=0).models.list())) == 1
    finally:
        assert server.stop() == 0


def test_sigterm_drains_and_exits_0(binary, model):
    server = Server()
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)
    name = client.models.list().data[0].id
    stream = client.completions.create(model=name, prompt=LONG, max_tokens=300, temperature=0, stream=True,
                                       extra_body={"ignore_eos": True})
    chunks = iter(stream)
    next(chunks)
    server.process.terminate()
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons[-1] == "length", "the running answer was finished"
    assert server.process.wait(60) == 0


def test_a_second_signal_ends_at_once(binary, model):
    server = Server()
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": LONG, "max_tokens": 900, "ignore_eos": True, "temperature": 0, "n": 8})
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        time.sleep(0.3)
        server.process.terminate()
        time.sleep(0.1)
        if server.process.poll() is not None:
            pytest.skip("the answer was finished before the second signal")
        server.process.terminate()
        assert server.process.wait(10) in (143, -15, 0)


def test_a_taken_port_is_a_plain_failure(server, ferrum, model):
    port = server.url.rsplit(":", 1)[1]
    result = ferrum("serve", model, "--port", port)
    assert result.returncode == 1 and "taken" in result.stderr and port in result.stderr
