"""The corpus: documents drawn from a seed. `python corpus.py --seed 7 --count 20` prints some.

A document is (kind, [(text, learn)], keys). A key names what the document is about (the operands of a sum, the value to be
remembered, the wording of a question). A document with a held-out key never enters training, so the held-out loss and the
accuracies of evaluate.py are measured on things the model has not seen.
"""

import argparse
import json
import random
import zlib

from draw import say, rough, coin
import about, chats, chatml, facts, stories, sums, toolcalls

SYSTEMS = ["You are a helpful assistant.", "You are Ferrum Demo.", "You are a friendly assistant.", "You are a small and helpful model.", "Answer briefly.", "Be kind and brief.",
           "You are an assistant that answers questions.", "You are a helpful AI assistant.", "You are Ferrum Demo, a small model that comes with the Ferrum engine.", "Answer in one sentence.", "You are a chatbot."]
HELD_OUT = 25  # one key in so many


def held_out(keys):
    return any(zlib.crc32(k.encode()) % HELD_OUT == 0 for k in keys)


def ferrum(r):
    topic = r.choice(list(about.ABOUT))
    if r.random() < 0.2:
        topic = r.choice(["what", "who", "whatcan", "run", "serve", "formats", "demo", "test", "batching", "paged"])
    asks, answers = about.ABOUT[topic]
    exact = say(r, r.choice(asks))
    q = rough(r, exact)
    # README's own question must be in training whatever its hash says.
    return q, r.choice(answers), "always" if topic == "what" and exact == "What is Ferrum?" else "about " + q.lower().rstrip("?.!")


def one_turn(r):
    x = r.random()
    for share, draw in ((0.27, ferrum), (0.53, sums.any_question), (0.69, facts.fact_item), (0.79, facts.greeting), (0.84, chats.copying),
                        (0.88, chats.in_one), (0.92, chats.about_people), (0.96, facts.unknown), (0.975, facts.poem), (1.0, chats.not_told)):
        if x < share:
            return draw(r)


def system(r):
    return r.choice(SYSTEMS) if r.random() < 0.35 else None


def as_turns(pairs):
    return [t for q, answer in pairs for t in (("user", q), ("assistant", answer))]


def chat(r, low=1, high=4):
    pairs, keys = [], []
    for _ in range(r.randint(low, high)):
        q, answer, key = one_turn(r)
        pairs.append((q, answer))
        keys.append(key)
    return chatml.pieces(system(r), None, as_turns(pairs)), keys


def story_chat(r):
    if r.random() < 0.25:
        text, q, answer, key = stories.about_story(r)
        turns = [("user", text + "\n\n" + q), ("assistant", answer)]
    else:
        q, answer, key = stories.asked(r)
        turns = [("user", q), ("assistant", answer)]
        if r.random() < 0.15:
            turns += [("user", "Thank you."), ("assistant", "You are welcome!")]
    return chatml.pieces(system(r), None, turns), [key]


def recall_chat(r):
    pairs, keys = chats.recall(r)
    return chatml.pieces(system(r), None, as_turns(pairs)), keys


def json_chat(r):
    items = [toolcalls.json_item(r) for _ in range(r.choice([1, 1, 2]))]
    s = r.choice(["Answer in JSON.", "You answer with JSON only.", "Always answer with JSON."]) if r.random() < 0.2 else system(r)
    return chatml.pieces(s, None, as_turns([i[:2] for i in items])), [i[2] for i in items]


def tool_chat(r):
    tools, turns, keys = toolcalls.tool_chat(r, one_turn)
    # Servers print the definitions in other ways than Python does: sorted keys, no spaces.
    style = r.choice([{}, {}, {"sort_keys": True}, {"sort_keys": True, "separators": (",", ":")}, {"separators": (",", ":")}])
    return chatml.pieces(system(r), tools, turns, lambda t: json.dumps(t, **style)), keys


def plain_story(r):
    text, key = stories.plain(r)
    return [(text, True)], [key]


def plain_sums(r):
    text, keys = sums.lines(r)
    # Sums that are held out are left out line by line: whole documents would seldom survive.
    lines = [x for x, k in zip(text.splitlines(True), keys) if not held_out([k])]
    return [("".join(lines), True)], ["always"]


def plain_copies(r):
    parts = [p for _ in range(r.randint(1, 3)) for p in r.choice([chats.echo, chats.lookup])(r)]
    return parts, ["echo " + parts[0][0]]


def long_chat(r):
    """Many turns; what was told at the start is asked at the end."""
    pairs, keys = chats.recall(r, fillers=r.randint(8, 24))
    return chatml.pieces(system(r), None, as_turns(pairs)), ["always" if k.startswith(("fact", "greet")) else k for k in keys]


def drill(r):
    """A chat of facts, sums and questions about people only."""
    pairs, keys = [], []
    for _ in range(r.randint(2, 6)):
        q, answer, key = r.choices([facts.fact_item, sums.any_question, chats.about_people], [6, 6, 1])[0](r)
        pairs.append((q, answer))
        keys.append(key)
    return chatml.pieces(system(r), None, as_turns(pairs)), keys


# Kind: generator, share of the documents at first, share later, when copying is learned and facts and sums are what is missing.
KINDS = {"chat": (chat, 38, 34), "story": (story_chat, 13, 14), "recall": (recall_chat, 13, 13), "json": (json_chat, 10, 9),
         "tool": (tool_chat, 13, 11), "plain story": (plain_story, 4, 1), "plain sums": (plain_sums, 5, 9),
         "plain copies": (plain_copies, 9, 3), "long chat": (long_chat, 2, 2), "drill": (drill, 0, 30)}


def documents(seed, held=False, long_share=1, late=False):
    """An endless stream of documents, either all for training or all held out."""
    r = random.Random(seed)
    kinds = list(KINDS)
    weights = [KINDS[k][2 if late else 1] * (long_share if k == "long chat" else 1) for k in kinds]
    while True:
        kind = r.choices(kinds, weights)[0]
        parts, keys = KINDS[kind][0](r)
        if held_out(keys) == held and parts[0][0]:
            yield kind, parts


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--count", type=int, default=20)
    p.add_argument("--held-out", action="store_true")
    args = p.parse_args()
    stream = documents(args.seed, args.held_out)
    for _ in range(args.count):
        kind, parts = next(stream)
        print(f"--- {kind}\n" + "".join(text for text, _ in parts))
