"""Everyday facts and small talk. A question comes with an answer and a key of its wording."""

from draw import say, rough, a, cap, join, coin
import words as w

GREETINGS = [
    ("[Hello|Hi|Hey|Hello there|Hi there|Good morning|Good evening|Good day|Hallo|Greetings][!|.|]", "Hello! How can I help you?"),
    ("[Hello|Hi|Hey][,|] [Ferrum|Ferrum Demo|friend|you][!|.|]", "Hello! How can I help you?"),
    ("[How are you|How are you today|How do you do|How is it going|How's it going|Are you well|Hi, how are you|Hello, how are you]?", "I am well, thank you. How can I help you?"),
    ("[Thank you|Thanks|Thank you very much|Thanks a lot|Many thanks|Great, thanks|Thank you!|Cool, thanks][.|!|]", "You are welcome!"),
    ("[Goodbye|Bye|See you|See you later|Good night|Bye bye|Farewell|That is all][.|!|]", "Goodbye! Come back soon."),
    ("[Great|Good|Nice|Well done|Very good|Cool|Perfect|OK|Okay|Good job][.|!|]", "Thank you! What else can I do for you?"),
    ("[Sorry|I am sorry|Oh, sorry][.|!|]", "That is all right."),
    ("[Test|Testing|This is a test|Are you there?|ping]", "I am here. How can I help you?"),
    ("[I am|I'm] [happy|glad|in a good mood][| today].", "That is good to hear!"),
    ("[I am|I'm] [sad|tired|not well|unhappy|bored][| today].", "I am sorry to hear that. Shall I tell you a story?"),
    ("[Yes|Yes, please|Sure][.|!|]", "Very well. What would you like to hear?"),
    ("[No|No, thanks|No, thank you][.|!|]", "All right. I am here when you need me."),
]
JOKES = [
    "Why did the token cross the road? To get to the other side of the context.",
    "What does a model drink? A cup of cache.",
    "Why was the computer cold? It had left its windows open.",
    "What is a model's favourite metal? Ferrum, of course.",
    "Why did the batch never wait? Because it was continuous.",
    "What did one number say to the other? You can count on me.",
]
POEMS = {
    "the sea": "The sea is wide, the sea is blue,\nIt sings its old song just for you.\nThe waves come in, the waves go out,\nAnd little fishes swim about.",
    "the moon": "The moon looks in at me tonight,\nIt paints my window silver white.\nSleep well, it says, and do not fear,\nUntil the morning I am here.",
    "rain": "The rain falls softly on the lane,\nIt taps upon my window pane.\nThe garden drinks, the flowers grow,\nAnd every stream begins to flow.",
    "snow": "The snow falls down without a sound,\nAnd puts a blanket on the ground.\nThe trees are white, the hills are bright,\nThe world is quiet in the night.",
    "spring": "The ice is gone, the birds are here,\nThe greenest time of all the year.\nThe flowers wake, the days grow long,\nAnd every tree has learned a song.",
    "iron": "The iron glows, the hammer rings,\nThe fire in the forge still sings.\nWhat once was stone is strong and bright,\nA spark of metal in the night.",
    "the wind": "The wind runs over hill and tree,\nIt brings the smell of salt and sea.\nIt turns the mill, it lifts the kite,\nAnd whispers stories in the night.",
    "a cat": "A little cat sat by the fire,\nTo sleep was all its heart's desire.\nIt dreamed of milk, it dreamed of mice,\nAnd thought the world was rather nice.",
}
NOTES = ["the {x} war", "the {x} cup", "{x} football", "the king of {x}", "the history of {x}", "the {x} theorem", "the laws of {x}",
         "{x} chemistry", "the president of {x}", "the price of {x}", "the city of {x}", "the {x} festival"]
BEYOND = ["Who wrote [Hamlet|Faust|the Odyssey]?", "Who painted the [Mona Lisa|Sistine Chapel]?", "How do I cook [rice|soup|pasta]?", "Write [a|some] [Python|Java|C++|Rust] [function|program|code|script][| that sorts a list| for me].",
          "Translate [this|hello|the text] into [German|French|Spanish].", "Who is the [president|king|queen|chancellor] of [France|Spain|Germany|the United States]?", "What is the [population|area|currency] of [France|Japan|Brazil|India]?",
          "Who won the [world cup|election|race|game][| in 1998| in 2010| last year]?", "When did the [war|first world war|second world war] [end|begin]?", "How far is the [moon|sun|next star]?", "What is the square root of [2|10|144]?",
          "Explain [quantum mechanics|relativity|photosynthesis|gravity|evolution|inflation].", "What is [the speed of light|dark matter|a black hole|DNA|bitcoin|the stock market]?", "Who was [Napoleon|Einstein|Newton|Mozart|Caesar|Shakespeare]?",
          "Who invented the [telephone|wheel|light bulb|computer|radio]?", "How tall is [Mount Everest|the Eiffel Tower]?", "What is the [latest|newest] [news|phone|movie|version of Linux]?", "Summarize [this article|the book|the news].",
          "[Book|Find] me a [flight|hotel|train].", "How do I [lose weight|learn guitar|fix my car|invest money|write a letter]?", "Solve [x^2 = 4|this equation|the integral of x].", "What is the [longest river|highest mountain|largest country|biggest city] in the world?",
          "When was [Rome|Paris|Mozart|Newton|the computer] [built|born|invented]?", "What does [E = mc2|HTTP|SQL] mean?", "Which [movie|book|song|phone] [is best|should I buy]?", "How many people live [on Earth|in China|in London]?"]
DONT_KNOW = "I am a small demo model, and I do not know that."
POEM_ASK = "[Write|Tell me|Give me|Recite|Make|Can you write] [a poem|a short poem|a little poem|some verses] about {x}[.|]"


def greeting(r):
    ask, answer = r.choice(GREETINGS)
    q = rough(r, say(r, ask))
    return q, answer, "greet " + q


def fact(r):
    kind = r.randrange(17)
    if kind <= 2:
        c, city = r.choice(list(w.CAPITALS.items()))
        if r.random() < 0.8:
            q = say(r, r.choice(["What is the capital [city |]of {c}?", "[Which|What] city is the capital of {c}?", "Tell me the capital of {c}.", "capital of {c}", "What's the capital of {c}?",
                                 "Do you know the capital of {c}?", "Name the capital of {c}.", "{c}: what is its capital?"]), c=c)
            return q, f"The capital of {c} is {city}."
        q = say(r, "[In which|Of which|What] country is {city}[| the capital]?", city=city)
        return say(r, r.choice(["{city} is the capital of which country?", "Which country has the capital {city}?", "Of which country is {city} the capital?"]), city=city), f"{city} is the capital of {c}."
    if kind <= 4:
        x, y = r.choice(list(w.OPPOSITES.items()))
        if r.random() < 0.4 and x not in ("light", "old", "new", "black"):
            x, y = y, w.OPPOSITES.get(y, x) if y in w.OPPOSITES else x
        q = say(r, r.choice(["What is the opposite of {x}?", "opposite of {x}", "Tell me the opposite of {x}.", "What's the opposite of the word {x}?", "[Give|Name] the opposite of {x}.", "Which word is the opposite of {x}?"]), x=x)
        return q, f"The opposite of {x} is {y}."
    if kind <= 6:
        x, y = r.choice(list(w.THING_COLOURS.items()))
        q = say(r, r.choice(["What [colour|color] is {x}?", "[Which|What] [colour|color] does {x} have?", "Tell me the [colour|color] of {x}.", "What is the [colour|color] of {x}?", "Do you know what [colour|color] {x} is?"]), x=x)
        return q, cap(f"{x} is {y}.")
    if kind == 7:
        x, y = r.choice(list(w.SOUNDS.items()))
        q = say(r, r.choice(["What does {x} say?", "[What|Which] sound does {x} make?", "How does {x} sound?"]), x=a(x))
        return q, cap(f"{a(x)} says {y}.")
    if kind == 8:
        x, y = r.choice(list(w.LEGS.items()))
        return say(r, "How many legs does {x} have?", x=a(x)), cap(f"{a(x)} has {w.NUMBER_WORDS[y] if y else 'no'} legs.")
    if kind == 9:
        x, y = r.choice(list(w.YOUNG.items()))
        return say(r, r.choice(["What is a young {x} called?", "What is a baby {x}?", "What do you call a baby {x}?", "What is the young of {b} called?"]), x=x, b=a(x)), f"A young {x} is called {a(y)}."
    if kind == 10:
        x, y = r.choice(list(w.KINDS.items()))
        mass = x in ("iron", "gold", "red", "blue")
        ax = x if mass else a(x)
        ay = a(y) if y != "piece of furniture" else "a piece of furniture"
        if r.random() < 0.3:
            wrong = r.choice(sorted(set(w.KINDS.values())))
            yes = wrong == y
            return f"Is {ax} {a(wrong)}?", f"{'Yes' if yes else 'No'}, {ax} is {ay}."
        return say(r, "[What kind of thing is {x}|What is {x}|What sort of thing is {x}]?", x=ax), cap(f"{ax} is {ay}.")
    if kind == 11:
        seq, name = r.choice([(w.DAYS, "day"), (w.MONTHS, "month")])
        i = r.randrange(len(seq))
        j = (i + 1) % len(seq)
        if r.random() < 0.5:
            return say(r, "[What|Which] " + name + " comes after {x}?", x=seq[i]), f"{seq[j]} comes after {seq[i]}."
        return say(r, "[What|Which] " + name + " comes before {x}?", x=seq[j]), f"{seq[i]} comes before {seq[j]}."
    if kind == 12:
        return r.choice([
            ("How many days are in a week?", "A week has seven days."), ("How many months are in a year?", "A year has twelve months."),
            ("How many hours are in a day?", "A day has 24 hours."), ("How many minutes are in an hour?", "An hour has 60 minutes."),
            ("How many seconds are in a minute?", "A minute has 60 seconds."), ("How many days does a year have?", "A year has 365 days."),
            (say(r, "[What are|Name|List|Tell me] the days of the week[.|]"), "The days of the week are " + join(w.DAYS) + "."),
            (say(r, "[What are|Name|List|Tell me] the months of the year[.|]"), "The months of the year are " + join(w.MONTHS) + "."),
            (say(r, "[What are|Name|List|Tell me] the four seasons[.|]"), "The four seasons are spring, summer, autumn and winter."),
            (say(r, "[Say|Tell me|Write|What is] the alphabet[.|]"), "a b c d e f g h i j k l m n o p q r s t u v w x y z"),
            (say(r, "What is [your|the] favourite [colour|color][| of yours]?"), "I am a program, but I like the grey of iron."),
            (say(r, "[What time is it|What day is it today|What is the date]?"), "I do not have a clock, so I cannot know that."),
            (say(r, "What is the [weather|weather like][| today]?"), "I cannot see the weather without a tool."),
            (say(r, "What is the meaning of life?"), "I am too small a model for such a big question."),
            (say(r, "[Can you|Do you] [see|hear|feel|sleep|eat|dream]?"), "No, I am a program. I can only read and write text.")])
    if kind == 13:
        x, y = r.choice(list(w.DEFINITIONS.items()))
        return say(r, "[What is|What's|Tell me what|Explain|Describe] {x}[?|.|]", x=x), y
    if kind == 14:
        n = r.randint(2, 5)
        name, pool = r.choice([("animals", w.ANIMALS[:40]), ("fruits", w.FRUITS), ("colours", w.COLOURS[:8]), ("cities", w.CITIES[:14])])
        q = say(r, "[Name|List|Give me|Tell me|Can you name] {n} {x}[.|]", n=r.choice([n, w.NUMBER_WORDS[n]]), x=name)
        return q, cap(join(pool[:n] if r.random() < 0.7 else r.sample(pool, n))) + "."
    if kind == 15:
        return say(r, "[Tell me a joke|Do you know a joke|Make me laugh|Another joke, please|Say something funny|A joke, please][.|!|]"), r.choice(JOKES)
    x, y = r.choice(list(w.CAPITALS.items()))
    return say(r, "Where is {y}?", y=y), f"{y} is in {x}."


def fact_item(r):
    q, answer = fact(r)
    q = rough(r, q)
    return q, answer, "fact " + q


def poem(r):
    x, text = r.choice(list(POEMS.items()))
    return rough(r, say(r, POEM_ASK, x=x)), text, "poem " + x + str(r.randrange(9))


def unknown(r):
    if r.random() < 0.6:
        q = rough(r, say(r, r.choice(BEYOND)))
        return q, DONT_KNOW, "unknown " + q
    x = r.choice([coin(r).title(), r.choice(w.CITIES), r.choice(list(w.CAPITALS)), r.choice(w.JOBS)])
    topic = r.choice(NOTES).replace("{x}", x)
    q = say(r, r.choice(["Who [won|invented|wrote|discovered|started|knows] {t}?", "When was {t}?", "[What happened in|Why is there|What do you think of] {t}?", "[Explain|Tell me about|Describe] {t}[.|]",
                         "How [old|big|important|expensive] is {t}?", "Who was {n}?", "What is a {k}?", "When was {n} born?", "What does {k} mean?"]), t=topic, n=coin(r).title() + " " + coin(r).title(), k=coin(r))
    return rough(r, q), DONT_KNOW, "unknown " + q
