"""JSON answers and tool calls. Values come from the request, so they must be copied, not remembered."""

import json

from draw import say, rough, a, cap, coin
import words as w
import chats


def dumps(value, r=None):
    if r is not None and r.random() < 0.1:
        return json.dumps(value, separators=(",", ":"))
    return json.dumps(value)


# --- JSON answers ---------------------------------------------------------------------------------------------------------

FIELDS = {
    "name": (chats.a_name, "is called {v}"), "age": (lambda r: r.randint(3, 99), "is {v} years old"), "city": (chats.a_city, "lives in {v}"),
    "job": (lambda r: r.choice(w.JOBS), "works as a {v}"), "pet": (lambda r: r.choice(w.PETS), "has a {v}"),
    "colour": (lambda r: r.choice(w.COLOURS), "likes the colour {v}"), "food": (lambda r: r.choice(w.FOODS), "likes {v}"),
    "hobby": (lambda r: r.choice(w.HOBBIES), "enjoys {v}"), "height": (lambda r: r.randint(90, 199), "is {v} cm tall"),
}
ASK = ["Give me a JSON object with {f}", "Write a JSON object with {f}", "Return JSON with {f}", "Make a JSON object with {f}", "Answer with a JSON object with {f}",
       "JSON with {f}", "Give me JSON with {f}", "Please write JSON with the fields {f}", "I need a JSON object with {f}", "Create a JSON object with the keys {f}"]


def _joined(names):
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def json_object(r):
    names = ["name"] + r.sample([f for f in FIELDS if f != "name"], r.choice([1, 1, 2, 3]))
    value = {f: FIELDS[f][0](r) for f in names}
    rest = names[1:]
    who = value["name"]
    told = [FIELDS[f][1].replace("{v}", str(value[f])) for f in rest]
    if rest[0] == "age" and r.random() < 0.35:
        told[0] = f"is {value['age']}"
    x = r.random()
    if x < 0.45:
        comma = r.choice([",", ",", ""])
        q = f"{r.choice(ASK).replace('{f}', _joined(names))} for {who}{comma} who {_joined(told)}."
    elif x < 0.75:
        q = f"{who} {_joined(told)}. {r.choice(ASK).replace('{f}', _joined(names))}."
    elif x < 0.83:
        q = r.choice(["Write this as JSON", "Turn this into JSON", "Make JSON of this", "As JSON, please", "Convert to JSON"]) + f": {who} {_joined(told)}."
    elif x < 0.91:
        q = r.choice(ASK).replace("{f}", _joined(names)) + ": " + ", ".join(str(value[f]) for f in names) + "."
    else:
        keep = r.sample(names, max(1, len(names) - 1))
        value = {f: value[f] for f in keep}
        q = f"{who} {_joined(told)}. {r.choice(ASK).replace('{f}', _joined(keep))}."
    return q, dumps(value), "json " + dumps(value)


def json_list(r):
    kind = r.randrange(3)
    if kind == 0:
        n = r.randint(2, 5)
        name, pool = r.choice([("colours", w.COLOURS[:8]), ("fruits", w.FRUITS), ("animals", w.ANIMALS[:20]), ("cities", w.CITIES[:14]), ("days of the week", w.DAYS), ("months", w.MONTHS)])
        got = pool[:n]
        q = say(r, "[Give me|Write|Return|Make] a JSON [list|array] of {n} {x}.", n=r.choice([n, w.NUMBER_WORDS[n]]), x=name)
    elif kind == 1:
        got = [coin(r) if r.random() < 0.3 else r.choice(w.THINGS + w.FRUITS + w.ANIMALS) for _ in range(r.randint(2, 5))]
        q = say(r, "[Write|Return|Put|Turn] [these|the following] [words|things] [as|into] a JSON [list|array]: ") + " " + ", ".join(got)
    else:
        n, m = r.randint(0, 20), r.randint(2, 8)
        got = list(range(n, n + m))
        q = say(r, "[Give me|Write|Return] a JSON [list|array] of the numbers from {a} to {b}.", a=n, b=n + m - 1)
    return q, dumps(got), "jsonlist " + dumps(got)


def json_more(r):
    kind = r.randrange(6)
    if kind >= 4:
        people = [chats.a_name(r) for _ in range(r.randint(2, 4))]
        if kind == 4:
            return f"Give me a JSON object with the {r.choice(['list of names', 'names'])} {_joined(people)}.", dumps({"names": people}), "json " + dumps(people)
        ages = [r.randint(3, 99) for _ in people]
        value = [{"name": p, "age": n} for p, n in zip(people, ages)]
        return "Write a JSON list of people with name and age: " + ", ".join(f"{p} is {n}" for p, n in zip(people, ages)) + ".", dumps(value), "json " + dumps(value)
    if kind == 0:
        x, y = r.randint(0, 99), r.randint(0, 99)
        value = {"a": x, "b": y}
        q = say(r, "[Give me|Write|Return] a JSON object with a = {x} and b = {y}.", x=x, y=y)
    elif kind == 1:
        c, city = r.choice(list(w.CAPITALS.items()))
        c = c.removeprefix("the ")
        value = {"country": c, "capital": city}
        q = say(r, "[Give me|Write|Return] a JSON object with [the |]country and [the |]capital [for|of] {c}.", c=c)
    elif kind == 2:
        item, n, price = r.choice(list(w.PLURALS.values())), r.randint(1, 20), r.randint(1, 30)
        value = {"item": item, "count": n, "price": price}
        q = say(r, "[An order|Order]: {n} {i} for {p} [euros|dollars]. [Write|Give me|Return] it as JSON with item, count and price.", n=n, i=item, p=price)
    else:
        key, v = coin(r), r.choice([coin(r), r.randint(0, 99), r.choice(w.THINGS)])
        value = {key: v}
        q = say(r, "[Give me|Write|Return] a JSON object with [the key|the field|] {k} [and the value|set to] {v}.", k=key, v=v)
    return q, dumps(value), "json " + dumps(value)


def json_item(r):
    x = r.random()
    return json_object(r) if x < 0.6 else json_list(r) if x < 0.8 else json_more(r)


# --- Tools ----------------------------------------------------------------------------------------------------------------

def tool(name, description, /, **params):
    kinds = {"s": "string", "n": "number", "i": "integer"}
    props = {p: {"type": kinds[k]} for p, k in params.items()}
    return {"type": "function", "function": {"name": name, "description": description,
            "parameters": {"type": "object", "properties": props, "required": list(params)}}}


def _weather(r, args):
    t, sky = r.randint(-10, 38), r.choice(["sunny", "cloudy", "rainy", "windy", "snowy", "clear", "foggy"])
    return {"temperature": t, "condition": sky}, f"It is {sky} in {args['city']}, with {t} degrees."


def _time(r, args):
    t = f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}"
    return {"time": t}, f"It is {t} in {args['city']}."


def _ok(text):
    def result(r, args):
        out = text
        for k, v in args.items():
            out = out.replace("{" + k + "}", str(v))
        return {"status": "ok"}, out
    return result


def _number(key, text, low=1, high=999):
    def result(r, args):
        n = r.randint(low, high)
        out = text.replace("{r}", str(n))
        for k, v in args.items():
            out = out.replace("{" + k + "}", str(v))
        return {key: n}, out
    return result


# Each tool: definition, requests, arguments, result with the final answer.
TOOLS = [
    (tool("get_weather", "Get the weather in a city", city="s"), ["What is the weather in {city}?", "What's the weather like in {city}[| today]?", "How is the weather in {city}?", "Is it [raining|sunny|cold|warm] in {city}?", "Tell me the weather in {city}.", "weather in {city}", "Weather {city}"],
     lambda r: {"city": chats.a_city(r)}, _weather),
    (tool("get_time", "Get the time in a city", city="s"), ["What time is it in {city}?", "What is the time in {city}?", "Tell me the time in {city}.", "time in {city}"], lambda r: {"city": chats.a_city(r)}, _time),
    (tool("add", "Add two numbers", a="n", b="n"), ["What is {a} plus {b}?", "Add {a} and {b}.", "How much is {a} + {b}?", "{a} + {b}"], lambda r: {"a": r.randint(0, 9999), "b": r.randint(0, 9999)},
     lambda r, x: ({"result": x["a"] + x["b"]}, f"{x['a']} plus {x['b']} is {x['a'] + x['b']}.")),
    (tool("multiply", "Multiply two numbers", a="n", b="n"), ["What is {a} times {b}?", "Multiply {a} by {b}.", "How much is {a} * {b}?"], lambda r: {"a": r.randint(2, 999), "b": r.randint(2, 999)},
     lambda r, x: ({"result": x["a"] * x["b"]}, f"{x['a']} times {x['b']} is {x['a'] * x['b']}.")),
    (tool("set_timer", "Start a timer", minutes="i"), ["Set a timer for {minutes} minutes.", "Start a timer of {minutes} minutes.", "Wake me in {minutes} minutes.", "timer {minutes} minutes"], lambda r: {"minutes": r.randint(1, 90)}, _ok("The timer runs for {minutes} minutes.")),
    (tool("send_message", "Send a message to somebody", to="s", text="s"), ["Send {to} the message: {text}", "Write to {to}: {text}", "Tell {to}: {text}", "Send a message to {to}: {text}"],
     lambda r: {"to": chats.a_name(r), "text": r.choice(["I am late", "Happy birthday", "See you tomorrow", "Call me", "Good night", "Dinner is ready", "Where are you", f"Bring the {r.choice(w.THINGS)}", f"I like {r.choice(w.FOODS)}"])}, _ok("I sent the message to {to}.")),
    (tool("play_music", "Play a song", song="s"), ["Play {song}.", "Play the song {song}.", "I want to hear {song}.", "Please play {song}."], lambda r: {"song": (coin(r) + " " + r.choice(w.THINGS)).title()}, _ok("Now playing {song}.")),
    (tool("turn_on_light", "Turn on the light in a room", room="s"), ["Turn on the light in the {room}.", "Light in the {room}, please.", "It is dark in the {room}.", "Switch on the {room} light."], lambda r: {"room": r.choice("kitchen bedroom bathroom hall garage office cellar garden".split())}, _ok("The light in the {room} is on.")),
    (tool("search", "Search for documents", query="s"), ["Search for {query}.", "Find documents about {query}.", "Look up {query}.", "search {query}"], lambda r: {"query": r.choice([coin(r), r.choice(w.THINGS) + " " + coin(r), r.choice(w.ANIMALS), "Ferrum"])}, _number("hits", "I found {r} documents about {query}.")),
    (tool("get_price", "Get the price of a product", product="s"), ["What does {a_product} cost?", "How much is {a_product}?", "What is the price of {a_product}?", "price of {a_product}"], lambda r: {"product": r.choice(w.THINGS + w.FRUITS)}, _number("price", "The price of the {product} is {r}.", 1, 99)),
    (tool("get_population", "Get the population of a city", city="s"), ["How many people live in {city}?", "What is the population of {city}?", "population of {city}"], lambda r: {"city": chats.a_city(r)}, _number("population", "{r} people live in {city}.", 1000, 99999)),
    (tool("book_table", "Book a table in a restaurant", restaurant="s", people="i"), ["Book a table for {people} at {restaurant}.", "I need a table for {people} at {restaurant}.", "Reserve {restaurant} for {people} people."], lambda r: {"restaurant": coin(r).title(), "people": r.randint(2, 12)}, _ok("A table for {people} at {restaurant} is booked.")),
    (tool("translate", "Translate a word into a language", word="s", language="s"), ["Translate {word} into {language}.", "What is {word} in {language}?", "How do you say {word} in {language}?"], lambda r: {"word": r.choice(w.THINGS + w.FRUITS + w.ANIMALS), "language": r.choice("German French Spanish Italian Latin Polish Dutch".split())},
     lambda r, x: (lambda t: ({"translation": t}, f"{cap(x['word'])} in {x['language']} is {t}."))(coin(r))),
]
VERBS = "get find open close start stop check book create delete read load save move".split()


def invented(r):
    """A tool nobody has seen: its name and its arguments stand only in the system prompt."""
    verb, noun, p = r.choice(VERBS), coin(r) if r.random() < 0.5 else r.choice(w.THINGS), r.choice(["name", "id", "city", "title", "number", "item", "place", coin(r)])
    number = p in ("id", "number")
    definition = tool(f"{verb}_{noun}", f"{cap(verb)} {a(noun)}", **{p: "i" if number else "s"})
    asks = [f"{cap(verb)} the {noun} with {p} {{{p}}}.", f"{cap(verb)} the {noun} {{{p}}}.", f"Please {verb} the {noun} {{{p}}}.", f"Can you {verb} {a(noun)} for {p} {{{p}}}?"]
    return definition, asks, lambda r: {p: r.randint(1, 999) if number else r.choice([coin(r), coin(r).title(), r.choice(w.THINGS)])}, _ok(f"I did it: {verb} {noun} {{{p}}}.")


def call_text(name, args):
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": args}) + "\n</tool_call>"


# Other names for the same things: what a tool and its parameters are called has to be read, not remembered.
OTHER_TOOL = {"get_weather": ["weather", "get_current_weather", "current_weather", "lookup_weather"], "get_time": ["current_time", "get_current_time", "clock"],
              "add": ["sum", "add_numbers", "plus"], "multiply": ["mul", "product", "times"], "set_timer": ["start_timer", "timer"], "send_message": ["send_sms", "message", "send_text"],
              "play_music": ["play_song", "play"], "turn_on_light": ["light_on", "switch_light"], "search": ["find", "lookup", "search_documents", "web_search"],
              "get_price": ["price", "lookup_price"], "translate": ["translate_word"], "book_table": ["reserve_table", "reserve"], "get_population": ["population"]}
OTHER_PARAM = {"city": ["location", "place", "town", "city_name"], "a": ["x", "first", "left"], "b": ["y", "second", "right"], "minutes": ["duration", "time"], "to": ["recipient", "name", "person"],
               "text": ["message", "body", "content"], "song": ["title", "name", "track"], "room": ["place", "location", "where"], "query": ["q", "text", "term", "topic"], "product": ["item", "name", "article"],
               "restaurant": ["name", "place"], "people": ["guests", "seats", "count"], "word": ["text", "source"], "language": ["target", "to"]}


def varied(r, entry):
    """The tool under other names: (definition, requests, arguments, result, function name, parameter names)."""
    definition, asks, draw_args, result = entry
    f = definition["function"]
    name, props = f["name"], f["parameters"]["properties"]
    new = r.choice(OTHER_TOOL[name]) if name in OTHER_TOOL and r.random() < 0.4 else name
    rename = {p: r.choice(OTHER_PARAM[p]) if p in OTHER_PARAM and r.random() < 0.4 else p for p in props}
    if len(set(rename.values())) < len(rename):
        rename = {p: p for p in props}
    described = r.random() < 0.3
    props = {rename[p]: dict(v, description=f"The {rename[p].replace('_', ' ')}") if described else v for p, v in props.items()}
    parameters = {"type": "object", "properties": props}
    if r.random() < 0.85:
        parameters["required"] = list(props)
    body = {"name": new, "description": f["description"], "parameters": parameters}
    if r.random() < 0.15:
        del body["description"]
    return {"type": "function", "function": body}, asks, draw_args, result, new, rename


def asked(r, asks, args):
    q = say(r, r.choice(asks))
    for k, v in args.items():
        q = q.replace("{a_" + k + "}", a(str(v))).replace("{" + k + "}", str(v))
    return q


def tool_chat(r, plain_turn):
    """Tools in the system prompt; a request that needs one, or an ordinary turn that does not."""
    n = r.choice([1, 1, 1, 2, 2, 3])
    chosen = [varied(r, invented(r) if r.random() < 0.25 else t) for t in r.sample(TOOLS, n)]
    if len({t[4] for t in chosen}) < n:
        return tool_chat(r, plain_turn)
    turns, keys = [], []
    if r.random() < 0.15:
        q, answer, key = plain_turn(r)
        turns += [("user", q), ("assistant", answer)]
        keys.append(key)
        if r.random() < 0.6:
            return [t[0] for t in chosen], turns, keys
    for _ in range(r.choice([1, 1, 1, 2])):
        _, asks, draw_args, result, name, rename = r.choice(chosen)
        args = [draw_args(r)]
        q = asked(r, asks, args[0])
        if list(args[0]) == ["city"] and r.random() < 0.25:
            # Two cities: two calls in one answer.
            args.append(draw_args(r))
            q = say(r, r.choice(asks[:2]), city=args[0]["city"] + " and " + args[1]["city"])
        got = [result(r, x) for x in args]
        calls = [call_text(name, {rename[k]: v for k, v in x.items()}) for x in args]
        turns += [("user", q), ("assistant", "\n".join(calls))]
        turns += [("tool", dumps(g, r)) for g, _ in got]
        turns.append(("assistant", " ".join(final for _, final in got)))
        keys += [f"tool {name} {json.dumps(x)}" for x in args]
    return [t[0] for t in chosen], turns, keys
