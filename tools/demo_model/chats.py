"""Dialogues in which the answer stands earlier in the conversation, and small tasks of copying."""

from draw import say, rough, a, cap, join, coin
import words as w
import facts, sums


def a_name(r):
    return coin(r).title() if r.random() < 0.4 else r.choice(w.NAMES)


def a_city(r):
    return coin(r).title() if r.random() < 0.25 else r.choice(w.CITIES)


# What the user tells: (topic, sentences, the model's reply, questions, answer, value)
TOLD = {
    "name": (["My name is {v}.", "I am {v}.", "I'm {v}.", "[Hi|Hello], [I am|I'm|my name is] {v}.", "[Hello|Hi]! My name is {v}.", "Call me {v}.", "You can call me {v}.", "[Please |]remember that my name is {v}.", "people call me {v}"],
             ["Nice to meet you, {v}!"], ["What is my name?", "What's my name?", "Who am I?", "Do you remember my name?", "Tell me my name.", "[Can you|Do you] [tell me|know|remember] my name?", "Say my name.", "And what is my name?", "How am I called?"],
             "Your name is {v}.", a_name),
    "colour": (["My favourite colour is {v}.", "My favorite color is {v}.", "I [like|love] the colour {v}.", "[Remember|Note] that my favourite colour is {v}.", "{v} is my favourite colour."],
               ["{V} is a nice colour."], ["What is my [favourite colour|favorite color]?", "Which colour do I like?", "What colour do I like best?", "Do you remember my favourite colour?", "Tell me my favourite colour."], "Your favourite colour is {v}.",
               lambda r: r.choice(w.COLOURS)),
    "pet": (["I have a {v}.", "My pet is a {v}.", "I have a pet {v}.", "At home I have a {v}."], ["A {v} is a lovely pet."],
            ["What pet do I have?", "Which pet do I have?", "What is my pet?", "Do you remember my pet?", "What animal do I have?"], "You have a {v}.", lambda r: r.choice(w.PETS)),
    "petname": (["My [dog|cat|pet] is [called|named] {v}.", "The name of my [dog|cat|pet] is {v}.", "My [dog's|cat's|pet's] name is {v}."], ["{v} is a good name."],
                ["What is my [dog's|cat's|pet's] name?", "What is the name of my [dog|cat|pet]?", "What is my [dog|cat|pet] called?"], "The name is {v}.", a_name),
    "city": (["I live in {v}.", "I come from {v}.", "My home is {v}.", "I am from {v}.", "I'm from {v}."], ["{v} sounds like a nice place."],
             ["Where do I live?", "Where am I from?", "Which city do I live in?", "In which city do I live?", "What city am I from?", "Where do I come from?"], "You live in {v}.", a_city),
    "age": (["I am {v} years old.", "I'm {v} years old.", "My age is {v}.", "I am {v}."], ["{v} is a fine age."], ["How old am I?", "What is my age?", "Do you know how old I am?", "Do you remember my age?"], "You are {v} years old.",
            lambda r: r.randint(4, 99)),
    "job": (["I am a {v}.", "I work as a {v}.", "My job is {v}.", "I'm a {v}."], ["Being a {v} is good work."], ["What is my job?", "What do I do?", "What do I work as?", "What is my work?"], "You are a {v}.",
            lambda r: r.choice([j for j in w.JOBS if j != "engineer"])),
    "hobby": (["My hobby is {v}.", "I like {v}.", "I love {v}.", "In my free time I enjoy {v}."], ["{V} is fun."], ["What is my hobby?", "What do I like?", "What do I like to do?"], "You like {v}.", lambda r: r.choice(w.HOBBIES)),
    "food": (["My favourite food is {v}.", "My favorite food is {v}.", "I like to eat {v}.", "I love to eat {v}."], ["{V} is very tasty."], ["What is my [favourite|favorite] food?", "What do I like to eat?", "Which food do I like?"],
             "Your favourite food is {v}.", lambda r: r.choice(w.FOODS)),
    "number": (["[Remember|Note|Keep in mind] the number {v}.", "My lucky number is {v}.", "My number is {v}.", "I am thinking of the number {v}."], ["I will remember {v}."],
               ["What is [my|the] number?", "What number did I tell you?", "Which number did I tell you?", "What was the number?"], "The number is {v}.", lambda r: r.randint(0, 999)),
    "word": (["[Remember|Note|Keep in mind] the word {v}.", "The [secret word|password|code word] is {v}.", "My word is {v}."], ["I will remember {v}."],
             ["What is the [secret |code |]word?", "What word did I tell you?", "Which word did I tell you?", "What was the word?", "What is the password?"], "The word is {v}.", lambda r: coin(r) if r.random() < 0.6 else r.choice(w.THINGS)),
    "code": (["The [code|key|PIN] is {v}.", "[Remember|Note] the code {v}."], ["I will remember {v}."], ["What is the [code|key|PIN]?", "What was the code?"], "The code is {v}.",
             lambda r: "".join(r.choice("ABCDEFGHJKLMNPRSTUVWXYZ0123456789") for _ in range(r.randint(3, 6)))),
}


def _told(r, topic, v):
    tell, reply, _, _, _ = TOLD[topic]
    return rough_keep(r, say(r, r.choice(tell)), v), say(r, reply[0], v=v, V=cap(str(v)))


def rough_keep(r, pattern, v):
    """Roughen the wording around a value, not the value: a name stays a name."""
    q = rough(r, pattern.replace("{v}", "\0")).replace("\0", str(v))
    return cap(q) if pattern.startswith("{v}") and r.random() < 0.5 else q


def _asked(r, topic, v):
    _, _, ask, answer, _ = TOLD[topic]
    return rough(r, say(r, r.choice(ask))), say(r, answer, v=v)


def filler(r):
    """A turn about something else."""
    x = r.random()
    if x < 0.3:
        q, answer, key = facts.greeting(r)
    elif x < 0.65:
        q, answer, key = facts.fact_item(r)
    else:
        q, answer, key = sums.question(r)
    return q, answer, key


def recall(r, fillers=None):
    """The user tells one to three things and asks for them later."""
    topics = r.sample(list(TOLD), r.choice([1, 1, 1, 2, 2, 3]))
    if r.random() < 0.4 and "name" not in topics:
        topics[0] = "name"
    values = {t: TOLD[t][4](r) for t in topics}
    turns, keys = [], [f"recall {t} {v}" for t, v in values.items()]
    for t in topics:
        if t == "word" and r.random() < 0.5 and turns:
            continue
        turns.append(_told(r, t, values[t]))
        if r.random() < 0.2:
            q, answer, key = filler(r)
            turns.append((q, answer))
            keys.append(key)
    said = topics if len(turns) >= len(topics) else []
    for _ in range(r.choice([0, 0, 0, 1, 1, 2, 3]) if fillers is None else fillers):
        q, answer, key = filler(r)
        turns.append((q, answer))
        keys.append(key)
    topics = [t for t in topics if any(str(values[t]) in q for q, _ in turns)]
    r.shuffle(topics)
    turns += [_asked(r, t, values[t]) for t in topics]
    if r.random() < 0.2 and "name" in topics:
        turns.append((rough(r, "Thank you."), f"You are welcome, {values['name']}!"))
    return turns, keys


def not_told(r):
    """The thing asked for was never said."""
    topic = r.choice(list(TOLD))
    thing = {"name": "your name", "colour": "your favourite colour", "pet": "which pet you have", "petname": "the name of your pet", "city": "where you live", "age": "how old you are", "job": "your job",
             "hobby": "what you like", "food": "your favourite food", "number": "the number", "word": "the word", "code": "the code"}[topic]
    q = rough(r, say(r, r.choice(TOLD[topic][2])))
    return q, f"You have not told me {thing}.", "nottold " + q


def in_one(r):
    """Told and asked in one message."""
    topic = r.choice(list(TOLD))
    v = TOLD[topic][4](r)
    tell = say(r, r.choice(TOLD[topic][0]), v=v).rstrip(".")
    return f"{tell}. {say(r, r.choice(TOLD[topic][2]))}", say(r, TOLD[topic][3], v=v), f"recall {topic} {v}"


def about_people(r):
    """Facts about others, one of them asked for."""
    people = list({a_name(r): 0 for _ in range(3)})
    kind = r.randrange(4)
    if kind == 0:
        vals = r.sample(w.THINGS, len(people))
        text = " ".join(f"{p} has {a(v)}." for p, v in zip(people, vals))
        i = r.randrange(len(people))
        q, ans = (f"What does {people[i]} have?", f"{people[i]} has {a(vals[i])}.") if r.random() < 0.6 else (f"Who has the {vals[i]}?", f"{people[i]} has the {vals[i]}.")
    elif kind == 1:
        vals = [a_city(r) for _ in people]
        text = " ".join(f"{p} lives in {v}." for p, v in zip(people, vals))
        i = r.randrange(len(people))
        q, ans = f"Where does {people[i]} live?", f"{people[i]} lives in {vals[i]}."
    elif kind == 2:
        vals = r.sample(w.COLOURS, len(people))
        text = " ".join(f"{p} likes {v}." for p, v in zip(people, vals))
        i = r.randrange(len(people))
        q, ans = (f"Which colour does {people[i]} like?", f"{people[i]} likes {vals[i]}.") if r.random() < 0.6 else (f"Who likes {vals[i]}?", f"{people[i]} likes {vals[i]}.")
    else:
        vals = r.sample(range(5, 90), len(people))
        text = " ".join(f"{p} is {v} years old." for p, v in zip(people, vals))
        i = r.randrange(len(people))
        q, ans = f"How old is {people[i]}?", f"{people[i]} is {vals[i]} years old."
    return f"{text} {q}", ans, "people " + text + q


def echo(r):
    """Bare text that says things twice. Nothing teaches a young model to copy faster: [(text, learn)]."""
    pool = w.THINGS + w.FRUITS + w.ANIMALS + w.COLOURS + w.NAMES + w.CITIES
    parts = []
    for _ in range(r.randint(3, 7)):
        words = [coin(r) if r.random() < 0.5 else str(r.randint(0, 999)) if r.random() < 0.2 else r.choice(pool) for _ in range(r.randint(2, 8))]
        text = " ".join(words)
        parts += [(text + "\n", False), (text + "\n", True)]
    return parts


def lookup(r):
    """Bare lists of names and values, then the values by name: [(text, learn)]."""
    n = r.randint(2, 7)
    names = list({a_name(r): 0 for _ in range(n)})
    draw = r.choice([lambda: r.choice(w.COLOURS), lambda: coin(r), lambda: str(r.randint(0, 99)), lambda: a_city(r), lambda: r.choice(w.THINGS)])
    value = {x: draw() for x in names}
    verb = r.choice([":", " is", " has", " likes"])
    parts = [(" ".join(f"{x}{verb} {value[x]}." for x in names) + "\n", False)]
    for _ in range(r.randint(2, 6)):
        x = r.choice(names)
        parts += [(f"{x}{verb}", False), (f" {value[x]}.\n", True)]
    return parts


def copying(r):
    """Repeat, count, reverse, pick: pure work on the words of the request."""
    kind = r.randrange(8)
    pool = w.THINGS + w.FRUITS + w.ANIMALS + w.COLOURS
    words = [coin(r) if r.random() < 0.3 else r.choice(pool) for _ in range(r.randint(2, 6))]
    if kind <= 1:
        text = " ".join(words)
        return say(r, "[Repeat after me|Say|Repeat|Please repeat|Echo|Write exactly]: ") + " " + text, text, "copy " + text
    if kind == 2:
        n = r.randint(2, 5)
        q = say(r, "[Say|Write|Repeat] [|the word ]{x} {n} times[.|]", x=words[0], n=r.choice([n, w.NUMBER_WORDS[n]]))
        return q, " ".join([words[0]] * n), f"times {words[0]} {n}"
    if kind == 3:
        which, i = r.choice([("first", 0), ("last", -1), ("second", 1)])
        return say(r, "What is the {k} word[| in this list| of this list]: ", k=which) + " " + ", ".join(words) + "?", f"The {which} word is {words[i]}.", "nth " + " ".join(words)
    if kind == 4:
        who = a_name(r)
        return say(r, r.choice(["Say hello to {x}.", "[Greet|Please greet|Say hi to] {x}[.|]"]), x=who), f"Hello, {who}! Nice to meet you.", "hello " + who
    if kind == 5:
        return say(r, "How many words are [here|in this list]: ") + " " + " ".join(words), f"There are {w.NUMBER_WORDS[len(words)]} words.", "howmany " + " ".join(words)
    if kind == 6:
        x = r.choice(pool)
        return say(r, "[Spell|Can you spell|Please spell] [the word |]{x}[.|]", x=x), "-".join(x), "spell " + x + str(r.randrange(30))
    x = words[0]
    return say(r, "[Use|Write a sentence with] [the word |]{x}" + r.choice(["."]), x=x).replace("Use", "Make a sentence with"), f"I have seen the word {x} today.", "sentence " + x
