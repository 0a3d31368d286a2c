"""Little stories from a plot grammar: one hero, a place, a wish, a problem, a helper, an end. The parts refer to one another."""

from draw import say, rough, a, cap
import words as w

TRAITS = "little brave clever shy kind curious lazy old young hungry cheerful quiet proud lonely friendly".split()
PLACES = ["in a [green|dark|quiet|big] forest", "near a [blue|small|deep] lake", "on a [high|green|windy] hill", "in a small village", "by the [sea|river]",
          "on a farm", "in an old house", "in a [warm|green] valley", "at the edge of a [wood|town]", "in a garden full of flowers"]
ENDS = ["From that day on they were best friends.", "That night {n} slept very well.", "And {n} was happy.", "They laughed and went home together.",
        "{N} smiled all the way home.", "And they lived happily ever after.", "{N} never forgot that day."]
MORALS = ["A friend in need is a friend indeed.", "It is good to share.", "Being small does not mean being weak.", "It is never wrong to ask for help.",
          "Patience brings what haste cannot.", "A kind word costs nothing.", "The truth is always the best way."]
WEATHERS = ["The sun was shining", "It was raining", "Snow was falling", "The wind was blowing", "It was a warm morning", "It was a cold evening"]
HIDES = ["under a [bush|stone|bench]", "behind a [tree|wall|door]", "in the [tall grass|old well|hollow tree]", "on top of the hill", "near the bridge"]
THINGS = w.THINGS

INTRO = ["Once upon a time there was {a_hero} [named|called] {n}. {N} lived {place}.", "There once was {a_hero} [named|called] {n} who lived {place}.",
         "Once upon a time, {place}, there lived {a_hero}. [His|Her] name was {n}.", "{N} was {a_hero}. {P} lived {place}."]

# Each plot is a row of sentences; {h} is a helper's kind, {m} the helper's name, {t} a thing, {f} a food.
PLOTS = {
    "lost": ["One day {n} lost {ps} favourite {t}.", "{P} looked [everywhere|for it all day], but {p} could not find it.", "{N} was very sad.",
             "Then {p} met {a_h} named {m}.", "\"Why are you sad?\" asked {m}.", "\"I lost my {t},\" said {n}.", "\"I will help you,\" said {m}.",
             "They looked together, and there was the {t}, {hide}!", "\"Thank you, {m}!\" said {n}."],
    "hungry": ["One day {n} was very hungry, but there was no {f} in the house.", "{P} walked and walked until {p} met {a_h} named {m}.",
               "{M} had a big basket of {f}.", "\"May I have some of your {f}?\" asked {n}.", "\"Of course,\" said {m}. \"It is better to eat together.\"",
               "So they sat down and ate the {f}.", "[It tasted wonderful.|It was very good.]"],
    "afraid": ["{N} was afraid of {fear}.", "One evening {p} heard a strange sound.", "\"Who is there?\" asked {n}.", "It was only {a_h} named {m}, who could not find the way home.",
               "{N} was still afraid, but {p} wanted to help.", "{P} took {ps} {t} and showed {m} the way.", "\"You are very brave,\" said {m}.", "After that {n} was not afraid of {fear} any more."],
    "race": ["One day {a_h} named {m} came by.", "\"I am faster than you,\" said {m}.", "\"Let us race to the {goal},\" said {n}.", "{M} ran very fast, but soon {m} lay down to rest.",
             "{N} did not stop. {P} went on, step by step.", "When {m} woke up, {n} was already at the {goal}.", "\"You won,\" said {m}. \"Well done!\""],
    "wish": ["{N} wanted to {skill} more than anything.", "\"You are too small,\" said the others.", "But {a_h} named {m} said, \"Try it every day.\"", "So {n} tried every morning and every evening.",
             "The first day {p} failed. The second day {p} failed too.", "On the third day {p} could {skill}!", "Everyone clapped, and {m} was very proud."],
    "gift": ["It was the birthday of {m}, {a_h}.", "{N} had no money for a gift.", "So {p} made a {t} out of wood and painted it {colour}.", "\"Is this for me?\" asked {m}.", "\"Yes,\" said {n}. \"I made it for you.\"",
             "{M} looked at the {colour} {t} for a long time.", "\"It is the best gift of all,\" said {m}."],
    "rain": ["One day dark clouds came, and it began to rain.", "{N} was wet and cold.", "Then {p} saw a small house with a light in the window.", "{P} knocked at the door, and {a_h} named {m} opened it.",
             "\"Come in,\" said {m}. \"I have warm {f}.\"", "They sat by the fire and told stories until the rain stopped.", "\"Come again,\" said {m}."],
    "map": ["One morning {n} found an old map {hide}.", "\"It shows the way to a treasure,\" {p} said.", "{P} took {ps} {t} and went off with {ps} friend {m}, {a_h}.", "They crossed a river and climbed a hill.",
            "There they found a [box|chest], and in it was a golden {t2}.", "\"The treasure belongs to both of us,\" said {n}."],
    "truth": ["One day {n} broke the {t} of {m}, {a_h}.", "Nobody had seen it.", "{N} wanted to hide, but {p} felt bad.", "So {p} went to {m} and said, \"I broke your {t}. I am sorry.\"", "{M} was quiet for a moment.",
              "\"Thank you for telling the truth,\" said {m}. \"Let us mend it together.\"", "And they did."],
    "new": ["One day a new neighbour came. It was {a_h} named {m}.", "{M} did not know anybody and felt alone.", "{N} brought some {f} and said, \"Welcome!\"", "\"Would you like to play?\" asked {n}.",
            "\"Yes!\" said {m}. They played with the {t} until the sun went down."],
    "moon": ["Every night {n} looked at the moon.", "\"I want to visit the moon,\" {p} said.", "{M}, {a_h}, laughed. \"The moon is too far away.\"", "But {n} built a ladder, then a kite, then a little {colour} boat.",
             "None of them reached the moon.", "That evening {p} saw the moon in the lake, round and bright.", "\"Look, {m}!\" said {n}. \"The moon has come to visit me.\""],
    "robot": ["{N} was building a machine out of iron.", "It had a {colour} button and a small {t} on top.", "{M}, {a_h}, asked, \"What can it do?\"", "\"It can answer questions,\" said {n}.", "{M} pressed the button. \"What is two plus two?\"",
              "\"Four,\" said the machine, and a little light went on.", "They asked it questions until it was dark."],
}
FEARS = ["the dark", "the storm", "the night", "deep water", "loud sounds"]
GOALS = ["old tree", "bridge", "river", "big stone", "mill"]
SKILLS = ["swim", "fly a kite", "sing", "dance", "climb the tall tree", "whistle", "ride a bike", "jump over the stream"]
ASK = ["[Tell me|Can you tell me|Please tell me|Could you tell me|I want to hear|Write|Please write|Give me|Write me|Make up] a [|short |little |nice ]story[| about {topic}][.|, please.|]",
       "[Tell|Write] a [|short |little ]story about {topic}.", "[A story|Story] about {topic}[|, please][.|]", "Do you know a story about {topic}?", "Tell a story with {topic} in it.", "I would like a story about {topic}."]
ASK_ANY = ["[Tell me|Can you tell me|Please tell me|Write|I want to hear|Do you know] a [|short |little |nice |bedtime ]story[.|, please.|?|]", "Story, please.", "Tell me another story."]


def story(r, hero=None, helper=None, name=None, plot=None, chapters=1):
    """The text and what it is about. Each further chapter is another plot of the same hero."""
    human = hero in ("girl", "boy") or (hero is None and r.random() < 0.3)
    if human:
        hero = hero or r.choice(["girl", "boy"])
    hero = hero or r.choice(w.ANIMALS)
    she = hero == "girl" or (hero != "boy" and r.random() < 0.5)
    name = name or r.choice(w.GIRLS if she else w.BOYS)
    helper = helper or r.choice([x for x in w.ANIMALS if x != hero])
    m = r.choice([x for x in w.NAMES if x != name])
    plot = plot or r.choice(list(PLOTS))
    t, t2 = r.sample(THINGS, 2)
    trait = r.choice(TRAITS)
    values = dict(n=name, N=name, m=m, M=m, p="she" if she else "he", P="She" if she else "He", ps="her" if she else "his",
                  a_hero=a(f"{trait} {hero}"), a_h=a(helper), h=helper, t=t, t2=t2, f=r.choice([x for x in w.FOODS if x not in ("eggs", "beans", "noodles", "pancakes", "potatoes")]), colour=r.choice(w.COLOURS[:9]),
                  place=say(r, r.choice(PLACES)), hide=say(r, r.choice(HIDES)), fear=r.choice(FEARS), goal=r.choice(GOALS), skill=r.choice(SKILLS))
    intro = r.choice(INTRO).replace("[His|Her]", "Her" if she else "His")
    def fill(sentences):
        return " ".join(cap(say(r, s, **values)) for s in sentences)

    body = [intro] + ([r.choice(WEATHERS) + "."] if r.random() < 0.25 and plot not in ("rain", "moon") else []) + PLOTS[plot] + [r.choice(ENDS)]
    if r.random() < 0.25:
        body.append("The moral: " + r.choice(MORALS))
    text = fill(body)
    for other in r.sample([x for x in PLOTS if x != plot], chapters - 1):
        m2, helper2 = r.choice([x for x in w.NAMES if x not in (name, m)]), r.choice([x for x in w.ANIMALS if x != hero])
        values.update(m=m2, M=m2, h=helper2, a_h=a(helper2), t=r.choice(THINGS), hide=say(r, r.choice(HIDES)))
        text += "\n\n" + r.choice(["But that is not all. ", "And there is more to tell. ", "That was not the end of it. "]) + fill(PLOTS[other] + [r.choice(ENDS)])
    return text, dict(hero=hero, helper=helper, name=name, m=m, plot=plot, thing=t, place=values["place"])


def key(about):
    return "story {hero} {helper} {plot}".format(**about)


def plain(r):
    text, about = story(r)
    return text + "\n", key(about)


def asked(r):
    """A request in a chat, and a story that keeps to it."""
    x = r.random()
    if x < 0.08:
        text, about = story(r, chapters=r.choice([2, 2, 3]))
        q = say(r, "[Tell me|Write|Please tell me] a long story[| about {x}][.|]", x=a(about["hero"]))
        if a(about["hero"]) not in q and about["hero"] in ("girl", "boy"):
            q = "Tell me a long story."
        return rough(r, q), text, key(about)
    if x < 0.2:
        q = r.choice(ASK_ANY)
        text, about = story(r)
        return rough(r, say(r, q)), text, key(about)
    text, about = story(r)
    hero, helper = about["hero"], about["helper"]
    topic = a(hero)
    if x < 0.35:
        topic = f"{a(hero)} and {a(helper)}"
    elif x < 0.5:
        topic = f"{a(hero)} [named|called] {about['name']}"
    elif x < 0.56 and hero not in ("girl", "boy"):
        topic = f"[the|my] {hero}"
    elif x < 0.6:
        topic = f"{about['name']} the {hero}" if hero not in ("girl", "boy") else f"{about['name']}, a {hero}"
    q = r.choice(ASK[:1] * 2 + ASK[1:])
    q = q.replace("[| about {topic}]", " about {topic}")
    q = say(r, q.replace("{topic}", topic))
    return rough(r, q), text, key(about)


def about_story(r):
    """A story in the context, then a question about it: reading, not remembering."""
    text, s = story(r)
    hero = s["hero"]
    qs = [("What is the name of the {h}?", f"The name of the {hero} is {s['name']}."), ("Who is {n}?", f"{s['name']} is {a(hero)}."),
          ("Who is {m}?", f"{s['m']} is {a(s['helper'])}."), ("Where did {n} live?", f"{s['name']} lived {s['place']}.")]
    q, ans = r.choice(qs)
    q = say(r, q, h=hero, n=s["name"], m=s["m"])
    return text, q, ans, key(s)
