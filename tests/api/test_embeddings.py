"""Input embeddings and /v1/embeddings of `ferrum serve`, seen through OpenAI's own client."""

import base64
import json
import math
import struct
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from conftest import MODEL, Server

HIDDEN = 256  # of the demo model
IDS = [(i * 37 + 11) % 3000 + 300 for i in range(70)]


@pytest.fixture(scope="module")
def embeds_client(binary, model):
    server = Server("--served-model-name", "demo", "--enable-prompt-embeds")
    yield openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)
    assert server.stop() == 0, "".join(server.lines)


@pytest.fixture(scope="module")
def table(model):
    """The rows of the demo model's embedding table, which is the file's first tensor, in Q8_0: exact in F32."""
    data = MODEL.read_bytes()
    at = data.index(b"token_embd.weight") + len("token_embd.weight")
    dims, width, rows, kind, offset = struct.unpack_from("<IQQIQ", data, at)
    assert (dims, width, rows, kind, offset) == (2, HIDDEN, 4096, 8, 0)
    bytes_per_row = HIDDEN // 32 * 34
    begin = end_of_header(data)

    def row(token):
        numbers = []
        for block in range(begin + token * bytes_per_row, begin + (token + 1) * bytes_per_row, 34):
            (scale,) = struct.unpack_from("<e", data, block)
            numbers += [scale * q for q in struct.unpack_from("<32b", data, block + 2)]
        return numbers

    return row


def end_of_header(data):
    position = 24
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def take(form):
        nonlocal position
        (value,) = struct.unpack_from("<" + form, data, position)
        position += struct.calcsize("<" + form)
        return value

    def skip(kind):
        nonlocal position
        if kind == 8:
            length = take("Q")  # first: += would add to the position before it
            position += length
        elif kind == 9:
            element, count = take("I"), take("Q")
            for _ in range(count):
                skip(element)
        else:
            position += sizes[kind]

    tensors, keys = struct.unpack_from("<QQ", data, 8)
    for _ in range(keys):
        skip(8)
        skip(take("I"))
    for _ in range(tensors):
        skip(8)
        dims = take("I")
        position += 8 * dims + 4 + 8
    return (position + 31) // 32 * 32


def safetensors(rows, dtype="F32", **changes):
    form = {"F32": "f", "F16": "e"}[dtype]
    numbers = [x for row in rows for x in row]
    data = struct.pack(f"<{len(numbers)}{form}", *numbers)
    entry = {"dtype": dtype, "shape": [len(rows), len(rows[0])], "data_offsets": [0, len(data)], **changes}
    header = json.dumps({"x": entry}).encode()
    return base64.b64encode(struct.pack("<Q", len(header)) + header + data).decode()


def complete(client, ids=None, embeds=None, **more):
    extra = {"prompt_embeds": embeds} if embeds else {}
    return client.completions.create(model="demo", prompt="" if embeds else ids, max_tokens=24, extra_body=extra,
                                     **{"temperature": 0, **more})


def test_rows_of_the_table_give_the_text_of_their_ids(embeds_client, table):
    rows = [table(token) for token in IDS]
    for more in ({}, {"temperature": 1, "seed": 7}, {"temperature": 1, "seed": 7, "n": 3}, {"logprobs": 2}):
        by_ids = complete(embeds_client, IDS, **more)
        by_rows = complete(embeds_client, embeds=safetensors(rows), **more)
        assert [choice.text for choice in by_rows.choices] == [choice.text for choice in by_ids.choices]
        assert by_rows.usage.prompt_tokens == by_ids.usage.prompt_tokens == len(IDS)
        if "logprobs" in more:
            assert by_rows.choices[0].logprobs.token_logprobs == by_ids.choices[0].logprobs.token_logprobs
    # Each is found in the cache as what it was.
    assert by_rows.usage.prompt_tokens_details.cached_tokens == 64
    other = complete(embeds_client, embeds=safetensors([[-x for x in rows[0]]] + rows[1:]))
    assert other.usage.prompt_tokens_details.cached_tokens == 0


def test_several_prompts_and_other_requests_at_once(embeds_client, table):
    pieces = [IDS[i : i + 20] for i in range(0, 60, 10)]
    alone = [complete(embeds_client, piece).choices[0].text for piece in pieces]
    files = [safetensors([table(token) for token in piece]) for piece in pieces]
    together = complete(embeds_client, embeds=files)
    assert [choice.text for choice in together.choices] == alone
    with ThreadPoolExecutor(12) as threads:
        by_ids = [threads.submit(complete, embeds_client, piece) for piece in pieces]
        by_rows = [threads.submit(complete, embeds_client, embeds=file) for file in files]
        assert [future.result().choices[0].text for future in by_ids] == alone
        assert [future.result().choices[0].text for future in by_rows] == alone


def test_streams(embeds_client, table):
    file = safetensors([table(token) for token in IDS])
    chunks = complete(embeds_client, embeds=file, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == complete(embeds_client, IDS).choices[0].text


def test_halves_are_taken(embeds_client, table):
    file = safetensors([table(token) for token in IDS], "F16")
    assert complete(embeds_client, embeds=file).usage.prompt_tokens == len(IDS)


@pytest.mark.parametrize("file, words", [
    (lambda: safetensors([[0.0] * (HIDDEN - 1)]), "must be [1 or more tokens, 256]"),
    (lambda: safetensors([[math.nan] * HIDDEN]), "NaN or infinite at [0, 0]"),
    (lambda: safetensors([[0.0] * HIDDEN], dtype="F32", shape=[2**62, HIDDEN]), "bytes are there"),
    (lambda: safetensors([[0.0] * HIDDEN], data_offsets=[0, 2**63]), "data_offsets"),
    (lambda: safetensors([[0.0] * HIDDEN])[:-400], "data_offsets"),
    (lambda: safetensors([[0.0] * HIDDEN] * 1024), "context is 1024 tokens"),
    (lambda: base64.b64encode(b"PK\x03\x04" + bytes(400)).decode(), "torch.save"),
    (lambda: base64.b64encode(b"\x80\x02}q\x00.").decode(), "torch.save"),
    (lambda: "%%%%", "base64"),
])
def test_hostile_files_are_refused_and_the_server_lives(embeds_client, file, words):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(embeds_client, embeds=file())
    assert words in caught.value.body["message"]
    assert caught.value.body["param"] == "prompt_embeds"
    assert complete(embeds_client, IDS).usage.prompt_tokens == len(IDS)


def test_finite_numbers_of_any_size_disturb_nobody(embeds_client):
    expected = complete(embeds_client, IDS).choices[0].text
    largest = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
    for value in (largest, -largest, 1e30, 1e-45, 0.0):
        answer = complete(embeds_client, embeds=safetensors([[value, -value] * (HIDDEN // 2)] * 50), logprobs=1)
        assert answer.usage.prompt_tokens == 50
        assert complete(embeds_client, IDS).choices[0].text == expected


def test_they_are_off_by_default(client):
    with pytest.raises(openai.BadRequestError, match="--enable-prompt-embeds"):
        complete(client, embeds=safetensors([[0.0] * HIDDEN]))


# --- /v1/embeddings ---

TEXTS = ["The ship sailed west.", "A boat went to the west.", "Iron melts when it is hot."]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def embed(client, texts=TEXTS, **more):
    return client.embeddings.create(model="demo", input=texts, **more)


def test_embeddings(client):
    answer = embed(client)  # the client asks for base64
    assert answer.object == "list" and answer.model == "demo"
    assert [entry.index for entry in answer.data] == [0, 1, 2]
    rows = [entry.embedding for entry in answer.data]
    assert all(len(row) == HIDDEN and abs(dot(row, row) - 1) < 1e-5 for row in rows)
    assert len({tuple(row) for row in rows}) == 3
    assert answer.usage.total_tokens == answer.usage.prompt_tokens > 10
    as_floats = [entry.embedding for entry in embed(client, encoding_format="float").data]
    assert as_floats == rows
    assert [embed(client, text).data[0].embedding for text in TEXTS] == rows, "alone as in a batch, to the bit"
    assert embed(client, dimensions=HIDDEN).data[0].embedding == rows[0]


def test_pooling(client):
    last = [entry.embedding for entry in embed(client).data]
    mean = [entry.embedding for entry in embed(client, extra_body={"pooling": "mean"}).data]
    assert last != mean
    # Of one token both are the same.
    ids = [[1000]]
    assert embed(client, ids).data == embed(client, ids, extra_body={"pooling": "mean"}).data
    raw = embed(client, ids, extra_body={"normalize": False}).data[0].embedding
    length = math.sqrt(dot(raw, raw))
    assert all(abs(x / length - y) < 1e-6 for x, y in zip(raw, embed(client, ids).data[0].embedding))
    # A text that the cache holds in full is not pooled over what is left of it.
    long = "word " * 200
    first = embed(client, long, extra_body={"pooling": "mean"}).data[0].embedding
    assert embed(client, long, extra_body={"pooling": "mean"}).data[0].embedding == first
    assert embed(client, long).data[0].embedding == embed(client, long).data[0].embedding


def test_what_embeddings_cannot_be_is_refused(client):
    for more, param in (({"dimensions": 64}, "dimensions"), ({"encoding_format": "int8"}, "encoding_format"),
                        ({"extra_body": {"pooling": "cls"}}, "pooling"), ({"extra_body": {"truncate": 1}}, "truncate")):
        with pytest.raises(openai.BadRequestError) as caught:
            embed(client, **more)
        assert caught.value.body["param"] == param
    with pytest.raises(openai.BadRequestError, match="context is 1024"):
        embed(client, "word " * 2000)
    with pytest.raises(openai.BadRequestError):
        embed(client, "")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="other", input="hi")
