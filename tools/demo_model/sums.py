"""Arithmetic: every item has a key made of its operands, so that held-out sums are never seen in any wording."""

from draw import say, rough, cap
import words as w

OPS = {
    "+": ["What is {a} plus {b}?", "{a} + {b}", "What is {a} + {b}?", "{a} plus {b}", "Add {a} and {b}.", "How much is {a} plus {b}?",
          "[Calculate|Compute] {a} + {b}[|.]", "{a} + {b} =", "What do you get when you add {a} and {b}?", "Can you add {a} and {b}?",
          "What's {a}+{b}?", "{a}+{b}", "{a}+{b}=?", "What is the sum of {a} and {b}?", "[Please |]tell me {a} plus {b}."],
    "-": ["What is {a} minus {b}?", "{a} - {b}", "What is {a} - {b}?", "{a} minus {b}", "Subtract {b} from {a}.", "How much is {a} minus {b}?",
          "[Calculate|Compute] {a} - {b}[|.]", "{a} - {b} =", "Take {b} away from {a}.", "What's {a}-{b}?", "{a}-{b}", "What is the difference of {a} and {b}?"],
    "*": ["What is {a} times {b}?", "{a} * {b}", "What is {a} x {b}?", "{a} times {b}", "Multiply {a} by {b}.", "Multiply {a} and {b}.", "How much is {a} times {b}?",
          "[Calculate|Compute] {a} * {b}[|.]", "{a} * {b} =", "What's {a}*{b}?", "{a}*{b}", "{a} x {b} =", "What is the product of {a} and {b}?"],
    "/": ["What is {a} divided by {b}?", "{a} / {b}", "What is {a} / {b}?", "Divide {a} by {b}.", "How much is {a} divided by {b}?", "[Calculate|Compute] {a} / {b}[|.]"],
}
NAMES = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}


def operands(r):
    op = r.choice("++++---**/")
    if op == "+":
        n = r.choice([9, 20, 99, 99])
        a, b = r.randint(0, n), r.randint(0, n if r.random() < 0.7 else 9)
        return a, op, b, a + b
    if op == "-":
        n = r.choice([10, 20, 99, 99])
        a = r.randint(0, n)
        b = r.randint(0, a)
        return a, op, b, a - b
    a, b = r.randint(0, 10), r.randint(0, 10)
    if op == "*":
        return a, op, b, a * b
    b = max(b, 1)
    return a * b, op, b, a


def key(a, op, b):
    # a + b and b + a are the same fact; a * b too.
    if op in "+*":
        a, b = sorted((a, b))
    return f"sum {a}{op}{b}"


def question(r):
    a, op, b, c = operands(r)
    q = say(r, r.choice(OPS[op]), a=a, b=b)
    return rough(r, q), f"{a} {NAMES[op]} {b} is {c}.", key(a, op, b)


def lines(r):
    """Bare sums as plain text: many facts in few tokens."""
    out, keys = [], []
    for _ in range(r.randint(5, 24)):
        a, op, b, c = operands(r)
        if r.random() < 0.5:
            out.append(f"{a} {op} {b} = {c}")
        else:
            out.append(f"{a} {NAMES[op]} {b} is {c}.")
        keys.append(key(a, op, b))
    return "\n".join(out) + "\n", keys


def problem(r):
    who = r.choice(w.NAMES)
    thing = r.choice(list(w.PLURALS.values()))
    if r.random() < 0.5:
        a, b = r.randint(2, 20), r.randint(1, 15)
        more = say(r, "[{p} [finds|gets|buys] {b} more|A friend gives {p} {b} more|Then {p} [finds|gets|buys] {b} more].", p=who, b=b)
        q = f"{who} has {a} {thing}. {more} How many {thing} does {who} have now?"
        return rough(r, q), f"{a} plus {b} is {a + b}. {who} has {a + b} {thing}.", key(a, "+", b)
    a = r.randint(3, 20)
    b = r.randint(1, a - 1)
    less = say(r, "[{p} [loses|gives away|sells] {b}|{p} gives {b} to a friend|Then {p} [loses|gives away|sells] {b}].", p=who, b=b)
    q = f"{who} has {a} {thing}. {less} How many {thing} does {who} have [now|left]?"
    q = say(r, q)
    return rough(r, q), f"{a} minus {b} is {a - b}. {who} has {a - b} {thing} left.", key(a, "-", b)


def compare(r):
    a, b = r.sample(range(0, 100), 2)
    big = r.random() < 0.5
    q = say(r, "Which [number |]is [bigger|larger|greater], {a} or {b}?" if big else "Which [number |]is [smaller|less], {a} or {b}?", a=a, b=b)
    x, y = (max(a, b), min(a, b)) if big else (min(a, b), max(a, b))
    return rough(r, q), f"{x} is {'bigger' if big else 'smaller'} than {y}.", f"cmp {a},{b}"


def sequence(r):
    kind = r.randrange(5)
    if kind == 0:
        n = r.randint(0, 98)
        return rough(r, f"What number comes after {n}?"), f"{n + 1} comes after {n}.", f"succ {n}"
    if kind == 1:
        n = r.randint(1, 99)
        return rough(r, f"What number comes before {n}?"), f"{n - 1} comes before {n}.", f"pred {n}"
    if kind == 2:
        a = r.choice([1, 1, r.randint(0, 60)])
        b = a + r.choice([r.randint(3, 12), r.randint(3, 12), r.choice([9, 19, 29])])
        q = say(r, "[Count|Please count|Can you count] from {a} to {b}[.|]", a=a, b=b)
        return rough(r, q), ", ".join(map(str, range(a, b + 1))) + ".", f"count {a} {b}"
    if kind == 3:
        n = r.randint(0, 20)
        return rough(r, say(r, "[Write|Spell] the number {n} [in words|as a word].", n=n)), f"{n} is {w.NUMBER_WORDS[n]}.", f"word {n}"
    n, step = r.randint(0, 20), r.choice([1, 2, 3, 5, 10])
    seen = [n + i * step for i in range(4)]
    q = say(r, "What comes next[ in this row|]: ", ) + " " + ", ".join(map(str, seen)) + "?"
    return rough(r, q), f"The next number is {seen[-1] + step}.", f"row {n} {step}"


def any_question(r):
    x = r.random()
    if x < 0.68:
        return question(r)
    if x < 0.82:
        return problem(r)
    if x < 0.88:
        return compare(r)
    return sequence(r)
