#!/usr/bin/env python3
"""Writes tests/data/template/language.json: our own templates and what Jinja2 makes of them.

Jinja2 is set up as Hugging Face's apply_chat_template does it (sandboxed, trim_blocks, lstrip_blocks, loop controls, a
tojson that is json.dumps), so the file says what a model's author saw. Run it with jinja2 >= 3.1.6:

    python tools/make_template_vectors.py

Each vector has the template, a context ("" for the common one), and the output or "error": true. Cases where we differ
from Jinja2 on purpose are not here; docs/templates.md lists them.
"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2025, 7, 10, 12, 0, 0)
OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/template/language.json"

COMMON = {
    "bos_token": "<s>", "eos_token": "</s>", "s": "Hello, World", "u": "Grüße, 世界! 🦀", "empty": "", "n": 7, "neg": -3,
    "f": 2.5, "yes": True, "no": False, "nil": None, "nums": [3, 1, 2], "words": ["pear", "Apple", "fig"],
    "nested": [[1, 2], [3, [4, 5]]], "d": {"b": 1, "a": "two", "c": [1, 2], "e": {"x": None}}, "html": "<a href=\"x\">&'</a>",
    "users": [{"name": "Bo", "age": 30, "tags": ["x"]}, {"name": "al", "age": 25}, {"name": "Cy", "age": 30, "admin": True}],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  Hi \n"},
                 {"role": "assistant", "content": None,
                  "tool_calls": [{"function": {"name": "f", "arguments": {"q": "a\"b", "n": 1.0, "ok": True}}}]},
                 {"role": "tool", "content": "42"}],
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}, {"v": 5, "kids": []}],
}

# Expressions, each rendered as "{{ ... }}".
EXPRESSIONS = r"""
1 + 2 * 3|(1 + 2) * 3|7 // 2|-7 // 2|7 // -2|7 % 3|-7 % 3|7 % -3|7 / 2|6 / 2|2 ** 10|2 ** -1|-2 ** 2|2 ** 3 ** 2|7.5 // 2|-7.5 % 2
7.0 // 0.1|1 / 3|0.1 + 0.2|1e16|1e15|123456789.0|1e-5|0.0001|1.5e300 * 1e10|-0.0|100 * 1.1|3.0|1_000|0x1f + 0o17 + 0b11|5 - -3|+4|- 4|--4
1 + true|true + true|true * 3|1 == 1.0|1 == true|"1" == 1|nil == none|0.5 < 1|1 < 2 < 3|1 < 3 < 2|3 > 2 >= 2 != 1|"a" < "b"|"Z" < "a"|"ä" > "z"
[1, 2] < [1, 3]|(1, 2) == (1, 2)|[1, 2] == (1, 2)|{"a": 1} == {"a": 1.0}|[1, [2]] == [1, [2]]|1 in [1, 2]|"a" in "cat"|"b" not in d|3 in (1, 2)
not 1 in [1]|not true and false|true or false and false|1 and 2|0 or "x"|"" or none|not ""|not none|nil and x.y|yes or x.y
"a" ~ 1 ~ none ~ true ~ 2.5|"a" + "b" ~ "c"|1 ~ 2 + 3|"ab" * 3|3 * "ab"|"x" * 0|"x" * -1|[0] * 3|[1] + [2, 3]|(1,) + (2,)|[] * 5
"a" if yes else "b"|"a" if no else "b"|"a" if no|1 if no else 2 if no else 3|("a" if yes else "b") ~ "c"
s|s[0]|s[-1]|s[99]|s[1:4]|s[:5]|s[-5:]|s[::-1]|s[::2]|s[5:1:-1]|s[10:2]|s[-100:100]|s[:-1]|s[7:][0]
u[0:5]|u[7]|u[-1]|u[::-1]|u|u|length|u.upper()|u.lower()|u.find("世")|u.split(" ")|u|list|u[7:9] ~ "x"
nums[0]|nums[-1]|nums[10]|nums[1:]|nums[::-1]|nums[:2]|nums[0:3:2]|nums[-2:]|nums["0"]|nums[true]
d.b|d["b"]|d["zz"]|d.zz is defined|d.e.x|d["e"]["x"] is none|d.get("a")|d.get("z")|d.get("z", 5)|d.c[1]|d.c.1|nested.1.1.0|nested[1][1][0]|d|list
d.items()|list|d.keys()|list|d.values()|list|d|length|d.items|d.keys()|d.items()|d.values()|d|dictsort|d.copy()|d
x|x is defined|x is undefined|x ~ "a"|x or "d"|x == y|x == none|not x|x is none|x|length|x|list|x|default("q")|x in [1]|1 in x|x|upper|x|join(",")
x.y|x[0]|x + 1|x()|-x|x < 1|x > 1|x * 2|x|int|x|abs|x|tojson|[x]|{"a": x}|x.items()|x is iterable|x is string|x is sequence|x is mapping|x is number
nil.x|nil.x.y|nil["a"]|nil[0]|n.x|n[0]|s.foo|nums.foo|s.upper|none is none|nil + "a"|"a" + nil|"a" + 1|1 + "a"|[] + ()|{} + {}|none|length|5|length
true|false|none|True|False|None|[true, none, 1.0, "a'b"]|(1,)|()|(1, 2)|{}|{"a": {"b": [1, "x"]}}|["it's", 'say "hi"', 'both \' and "']|["\n\t\\\r\x00\x7f"]|["é\u200b\ufeff"]
"a\nb"|'a\tb'|"\x41\u00e9\U0001F980"|"\101"|"\q"|'it\'s'|"a" "b" 'c'|"\\n"|"\
x"|"{{ }}"|"%}"
"  a b ".strip()|"xxaxx".strip("x")|"  a ".lstrip()|"  a ".rstrip()|"abcba".lstrip("ab")|"abc".strip("")|"\u00a0a\u3000".strip()|"\n\na\n".strip("\n")
"a,b,c".split(",")|"a b  c".split()|" a  b ".split()|"a b c d".split(" ", 2)|"a b c d".split(none, 1)|" a b  ".split(none, 1)|"a--b--c".split("--")|"a,b,c".rsplit(",", 1)|" a b c ".rsplit(none, 1)|"".split()|"".split(",")|"abc".split("")|"a,b".split(sep=",", maxsplit=1)
"a\nb\r\nc\n".splitlines()|"a\nb\n".splitlines(true)|"".splitlines()|"a\x0bb\x0cc".splitlines()|"a=b=c".partition("=")|"a=b=c".rpartition("=")|"abc".partition("x")
"hello".startswith("he")|"hello".startswith(("x", "he"))|"hello".endswith("lo")|"hello".endswith(("a", "b"))|"hello".startswith("l", 2)|"hello".endswith("l", 0, 4)|"a".startswith("")|"abc".startswith("", 5)
"aXbX".replace("X", "y")|"aaa".replace("a", "b", 2)|"abc".replace("", "-")|"abc".replace("b", "")|"hello".find("l")|"hello".find("z")|"hello".rfind("l")|"hello".index("e")|"hello".index("z")|"hello".find("l", 3)|"hello".find("l", -2)|"banana".count("an")|"banana".count("")|"aaa".count("aa")
"hello wORLD".title()|"it's a-b".title()|"hELLO".capitalize()|"AbC".swapcase()|"straße".upper()|"ÄÖ".lower()|"abc".upper()|"-".join(["a", "b"])|"-".join("abc")|"-".join([])|"-".join([1])|", ".join(d)
"abc".isalpha()|"ab1".isalnum()|"12".isdigit()|"".isdigit()|"1.5".isdigit()|" \n".isspace()|"ABC".isupper()|"A1".isupper()|"1".isupper()|"abc".islower()|"Ab Cd".istitle()|"é".isalpha()|"_".isalnum()
"ab".center(6)|"ab".center(5)|"abc".center(6)|"ab".ljust(4) ~ "|"|"ab".rjust(4, "*")|"42".zfill(5)|"-42".zfill(5)|"abcd".removeprefix("ab")|"abcd".removesuffix("cd")|"abc".removeprefix("x")
"{} {}".format("a", 1)|"{1} {0}".format("a", "b")|"{x} {y!r}".format(x=1, y="q")|"{:>5}|{:<5}|{:^5}".format("a", "b", "c")|"{:05d} {:+d} {:x} {:#x} {:b}".format(42, 42, 255, 255, 5)|"{:.2f} {:8.3f} {:e} {:g}".format(3.14159, 2.5, 12345.678, 0.0001)|"{:,}".format(1234567)|"{:.3}".format("abcdef")|"{0[a]} {0[c][1]}".format(d)|"{{}} {}".format(1)|"{:*^9}".format("mid")|"{:%}".format(0.25)|"{:.1%}".format(0.256)|"{:,.2f}".format(1234567.891)|"{} {}".format(1)
"%s and %s" % ("a", 1)|"%d%%" % 50|"%5.2f|%-6s|%06d" % (3.14159, "ab", 42)|"%(a)s" % {"a": 1}|"%x %X %o" % (255, 255, 8)|"%r" % "a"|"%s" % none|"%s" % [1]|"%d" % "x"|"%s %s" % "a"|"%e" % 12345.678|"%g" % 1e10|"%c" % "x"|"%+d" % 5|"%s"|format("z")|"%s-%s"|format(1, 2)|"%(k)s"|format(k="v")
"abc"|upper|"ABC"|lower|"hello world"|title|"hello wORLD"|capitalize|"it's o'neil (foo) [bar] <baz>"|title|"  x  "|trim|"xxaxx"|trim("x")|12|string ~ "x"|1.0|string|true|string|nil|string|[1]|string
"abc"|length|[1,2]|count|{"a":1}|length|""|length|(1,2,3)|length|range(5)|length|"abc"|first|"abc"|last|[1,2]|first|[1,2]|last|[]|first|[]|last|"abc"|reverse|[1,2,3]|reverse|list|d|first
[1,2]|join|[1,2]|join("-")|users|join(", ", attribute="name")|"abc"|join(".")|[none, true, 1.5]|join("|")|[[1], {"a": 2}]|join(";")|d|join
nums|sort|nums|sort(reverse=true)|words|sort|words|sort(case_sensitive=true)|users|sort(attribute="age")|map(attribute="name")|list|users|sort(attribute="age,name")|map(attribute="name")|list|users|sort(true, attribute="name")|map(attribute="name")|list|[1, "a"]|sort|[[2, 1], [1, 5]]|sort|[3, 1.5, true]|sort|"hello"|sort|d|sort
[1, 2, 1, 3]|unique|list|["a", "A", "b"]|unique|list|["a", "A"]|unique(case_sensitive=true)|list|users|unique(attribute="age")|map(attribute="name")|list|[1, 1.0, true]|unique|list|[[1]]|unique|list
nums|min|nums|max|words|min|words|max|[]|max|users|max(attribute="age")|users|min(attribute="age")|["a", 1]|min|nums|sum|users|sum(attribute="age")|[]|sum|[1.5, 2]|sum|[[1],[2]]|sum(start=[])|["a"]|sum|nums|sum(start=10)
[1,2,3,4,5]|batch(2)|list|[1,2,3]|batch(2, "x")|list|[1,2,3,4,5]|slice(2)|list|[1,2,3,4]|slice(3, "x")|list|[]|batch(2)|list
users|groupby("age")|list|users|groupby("name")|map(attribute="grouper")|list|users|groupby("admin", default=false)|map("first")|list|users|groupby("age")|map(attribute="list")|map("length")|list|["a"]|map("upper")|first
users|map(attribute="name")|list|users|map(attribute="admin")|list|users|map(attribute="admin", default="-")|list|users|map(attribute="tags.0")|list|words|map("upper")|list|["a", "b"]|map("replace", "a", "z")|list|[1,2]|map("string")|join|[[1,2],[3]]|map("sum")|list|["x"]|map("nofilter")|list|[1]|map|list
nums|select("odd")|list|nums|reject("odd")|list|[0, 1, "", "a", none]|select|list|[0, 1, "", "a", none]|reject|list|nums|select(">", 1)|list|nums|select("gt", 1)|list|nums|select("in", [1, 3])|list|nums|select("divisibleby", 3)|list|words|select("equalto", "fig")|list|nums|select("nope")|list
users|selectattr("admin")|map(attribute="name")|list|users|rejectattr("admin")|map(attribute="name")|list|users|selectattr("age", "equalto", 30)|map(attribute="name")|list|users|selectattr("admin", "defined")|list|length|users|rejectattr("admin", "undefined")|list|length|users|selectattr("tags.0", "eq", "x")|list|length
messages|selectattr("role", "equalto", "user")|map(attribute="content")|first|trim|messages|rejectattr("role", "in", ["system", "tool"])|list|length|(messages|map(attribute="role")|list)[-1]|messages|map(attribute="role")|join(",")
"abc" if nums|select("gt", 5) else "none"|"abc" if nums|select("gt", 5)|list else "none"
d|items|list|{"b": 1, "A": 2}|dictsort|{"b": 1, "A": 2}|dictsort(true)|{"b": 1, "A": 2}|dictsort(by="value")|{"b": 1, "a": 2}|dictsort(reverse=true)|{"b": 1}|items|list|x|items|list|5|items|{"x": 1}|dictsort(by="z")
"5"|int|"5.7"|int|"x"|int|"x"|int(3)|"0x1f"|int(base=16)|"1f"|int(0, 16)|"0b11"|int(base=2)|3.9|int|-3.9|int|true|int|none|int|" 12 "|int|"1_000"|int|"1e3"|int|[]|int(9)|"-7"|int|"12a"|int|"0x1f"|int(base=0)
"5"|float|"1e3"|float|"x"|float|"x"|float(1.5)|3|float|"inf"|float|none|float|" 2.5 "|float|true|float|".5"|float|"5."|float
-5|abs|-2.5|abs|(-5)|abs|true|abs|2.5|round|3.5|round|2.675|round(2)|42.55|round(1, "floor")|42.55|round(1, "ceil")|1234.5|round(-2)|5|round|5|round(1)|-2.5|round|1e20|round|"a"|abs|2.5|round(method="x")|7|round(0, "floor")
"a\nb\n\nc"|indent|"a\nb\n\nc"|indent(2, true)|"a\nb\n\nc"|indent(2, blank=true)|"a\nb"|indent("> ")|"a\nb"|indent(width=2, first=true)|""|indent|"a\n"|indent(2)|""|indent(2, true)|"a\n\n"|indent(2, true, true)
"foo bar baz qux"|truncate(9)|"foo bar baz qux"|truncate(9, true)|"foo bar baz qux"|truncate(11)|"foo bar baz qux"|truncate(11, false, "...", 0)|"foobarbazqux"|truncate(5)|"a b"|truncate(1, leeway=0)
"Hello World foo"|wordcount|"a-b c_d é1"|wordcount|"aXbX"|replace("X", "")|"aXbX"|replace("X", "y", 1)|12321|replace("2", "x")|"ab"|center(6) ~ "|"|"x"|center(4)|["a"]|replace("a", "b")
html|escape|html|e|"a<b"|forceescape|html|safe|"<b>x</b>  y &amp;&lt;"|striptags|"<p>a <!-- c > --> b</p>"|striptags|"a b/c?ü&"|urlencode|{"a b": "c&d", "e": 1}|urlencode|[["x", "y z"]]|urlencode|5|urlencode
d|tojson|users|tojson|u|tojson|u|tojson(ensure_ascii=true)|d|tojson(indent=2)|d|tojson(indent=0)|[]|tojson(indent=2)|{}|tojson(indent=2)|[[], {}]|tojson(indent=1)|d|tojson(separators=(",", ":"))|d|tojson(sort_keys=true)|d|tojson(indent=4, sort_keys=true)|"</script>"|tojson|[1.0, 1e100, -0.0, 1e-7]|tojson|{1: 2, none: 3, true: 4, 1.5: 5}|tojson|(1, 2)|tojson|"\x00\x1f\x7f\u2028"|tojson|d|tojson(indent="--")|d|tojson(true)|nil|tojson|[x]|tojson|html|tojson
1000|filesizeformat|1|filesizeformat|999|filesizeformat|123456789|filesizeformat|1024|filesizeformat(true)|"1500"|filesizeformat|0|filesizeformat|x|filesizeformat
nil|default("a")|nil|default("a", true)|""|d("e", true)|no|default("z")|no|default("z", boolean=true)|x.y|default("a")|d.zz|default("a")|0|default(5, true)
d|attr("b")|d|attr("keys") is callable|s|attr("zz") is defined|nums|nofilter|n is nofilter
n is odd|n is even|n is divisibleby 7|n is divisibleby(2)|n is number|n is integer|f is float|f is integer|yes is integer|yes is number|yes is boolean|n is boolean|s is string|d is mapping|nums is mapping|nums is iterable|n is iterable|s is iterable|d is sequence|nums is sequence|s is sequence|(1,) is sequence|nil is none|n is none|"a" is lower|"A" is upper|"1" is lower|yes is true|yes is false|1 is true|n is sameas n|none is sameas none|d is sameas d|[] is sameas []|n is eq 7|n is ne 7|n is gt 3|n is ge(7)|n is lt 3|n is le 7|n is in [7, 8]|"a" is in "abc"|n is not in [1]|range is callable|s.upper is callable|n is callable|"upper" is filter|"zz" is filter|"odd" is test|"zz" is test|n is equalto 7|n is not odd|not n is odd|n is defined and n is odd|n is odd or x.y|1.5 is odd|"a" is odd|range(2) is sequence|range(2) is iterable|d.keys() is iterable|d.items() is sequence|x is not defined|x.y is defined|d.b is defined|html is escaped
range(5)|list|range(2, 5)|list|range(5, 0, -2)|list|range(0)|list|range(3)|range(1, 3)|range(0, 5, 2)|range(100001)|range(0, 5, 0)|range(1.5)|range(-3)|list|range(3)[1]|range(10)[2:4]|list|2 in range(3)|range(3)|sum|range(4)|reverse|list
dict(a=1, b="x")|dict([["k", 1], ["j", 2]])|dict({"a": 1}, b=2)|dict()|dict(a=1).a|{"a": 1, "a": 2}|{1: "a", 1.0: "b"}|{(1, 2): "t"}[(1, 2)]|{[1]: 2}|{none: 1}[none]|{"x": 1}.x|{"items": 1}.items is callable|{"items": 1}["items"]
strftime_now("%Y-%m-%d")|strftime_now("%d %b %Y")|strftime_now("%d %B %Y, %H:%M:%S")|strftime_now("%A %j %y %I %p %%")|strftime_now("%-d")|strftime_now("")
[1, 2, 3][1:][0]|"abc"[1:]|first|(nums|sort)[0]|d.c|last|nums|sort|first + 1|-n|abs|-n is number|2 * n|string|"a" ~ "b"|upper|not nums|length|(1, 2)|join|1, 2, 3|(1, 2,)|[1, 2,]|{"a": 1,}|nums[n - 6]|nums[-1:][0]|[[1, 2], [3, 4]][1][0]
[n, s, yes]|string|(n, [s])|{"k": (1,)}|[1.0, 2.50, 1e20]|[none]|["ü", "世", "🦀"]|{"ü": 1}
""|default("x", true)|upper|"a"|default(y.z)|"x" in [1, "x"]|"x" in {"x": 1}|1 in {"x": 1}|[1] in [[1]]|{} in [{}]|[1] in {"x": 1}|n in "7"|none in [none]|"" in ""|"lo, W" in s|"a" not in "b" and 1
0 is defined|[][0] is defined|"".x is defined|messages[9].content|messages[9]|messages[0].content|messages[0]["content"][:2]|messages[-1].role|messages[1:][0].content|trim|messages|length - 1|messages[2].tool_calls[0].function.arguments|tojson|messages[2].content is none|messages[2].tool_calls is defined and messages[2].tool_calls|messages[2]["tool_calls"][0]["function"]["name"]|messages[2].content or ""|messages|last|tojson
nums.index(1)|nums.count(3)|nums.index(9)|(1, 2).index(2)|(1, 1).count(1)|nums.copy()|"%s" % (1, 2)|"a" % 1|"%q" % 1|5 % 0|5 // 0|5 / 0|5.0 % 0|0 ** -1|1.5 ** 2|10 ** 18|2 ** 62
nil|map("upper")|list|0|select|list|no|map(attribute="a")|list|no|selectattr("a")|list|d[1:]|n[1:]|nil[1:]|"é" % x|"é" % [1]|x is callable|"abc"|filesizeformat|d|filesizeformat|tree|urlencode|"%s" is odd|"%s" is divisibleby 2|x|truncate(3)|[none] < [none]|"a" in none
1.|a..b|"abc|(1|[1|{"a"}|{1:}|1 +|* 2|a b|foo(a=1, 2)|foo(**1)|"a"|upper(1)|"a"|replace("a")|"a"|trim(1, 2)|1 is|1 | 2|1 ! 2|a.|a[|a[]|not|in|()()|s.upper(1)|s.split(foo=1)|dict(1)|namespace(1)|x is is|n is odd is even
""".strip("\n")

# Whole templates; blank-line separated would not do, since white space is what many of them are about.
TEMPLATES = [
    "Hello\n", "Hello\n\n", "\n", "", "a\r\nb\rc\n", "{{ 1 }}\n", "  {{ 1 }}  \n  x", "{# c #}x", "a {# c #} b", "a\n  {# c #}\nb",
    "a {#- c -#} b", "a\n\n {#- c -#} \n\n b", "{#- a -#}\n\nb", "a{##}b", "a{#+ x +#}\nb", "   {#+ x #}\nb",
    "{% if yes %}\nx\n{% endif %}\ny", "  {% if yes %}\n  x\n  {% endif %}\ny", "a {% if yes %} b {% endif %} c",
    "a\n{%- if yes -%}\n  b\n{%- endif -%}\nc", "a\n  {%+ if yes %}\nb{% endif %}", "a{% if yes +%}\nb{% endif %}",
    "{% if yes %}a{% endif %}\n\nb", "{{- 1 -}}\n x", "a \n {{- 1 }} b", "a {{ 1 -}} \n b", "x\n\t{% set a = 1 %}\n\t{{ a }}\n",
    "{% set a = 1 -%}\n   y{{ a }}", "\t  {% if yes %}x{% endif %}", "a  {% if yes %}x{% endif %}", "é  \n  {% if yes %}x{% endif %}",
    "{{ '{{' }}{{ '}}' }}{{ '{%' }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a': {}} }}", "{ { }} %} #}", "{{'a'}}{{'b'}}",
    "{% raw %}{{ x }}{% if %}{% endraw %}", "a {%- raw -%} {{ x }} {%- endraw -%} b", "{% raw %}\n{{ x }}\n{% endraw %}\nz",
    "  {% raw %} a {% endraw %}  b", "{%raw%}{#{%endraw%}", "{% raw %}a", "{# a", "{{ a", "{% if", "{% if yes %}a", "{% endif %}",
    "{% for x in nums %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}empty{% endfor %}", "{% for x in nil %}{% endfor %}",
    "{% for x in undefd %}a{% else %}e{% endfor %}", "{% for c in 'añ' %}[{{ c }}]{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for a, b in nested %}{{ a }}-{{ b }};{% endfor %}", "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [[1]] %}x{% endfor %}", "{% for a, b in [1] %}x{% endfor %}", "{% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}",
    "{% for x in nums if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}", "{% for x in nums if x > 9 %}a{% else %}none{% endfor %}",
    "{% for x in 5 %}{% endfor %}", "{% for x in range(3) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for x in nums %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in nums %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for x in [1,1,2,2,1] %}{{ loop.changed(x) }} {% endfor %}", "{% for x in range(5) %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in nums %}{% for y in nums %}{{ loop.index }}{{ loop.depth }} {% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in nums %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ y }} {% endfor %}{% endfor %}",
    "{% for n in tree recursive %}{{ n.v }}@{{ loop.depth }}{% if n.kids %}({{ loop(n.kids) }}){% endif %}{% endfor %}",
    "{% for x in nums %}{{ loop(x) }}{% endfor %}", "{{ loop }}", "{{ loop.index }}", "{% for x in nums %}{{ loop.foo }}{% endfor %}",
    "{% for x in range(5) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in nums %}{% break %}{% else %}e{% endfor %}", "{% for x in nums %}{% for y in nums %}{% break %}{% endfor %}{{ x }}{% endfor %}",
    "{% break %}", "{% for x in nums %}{% endfor %}{% continue %}",
    "{% for x in nums %}{% set y = x %}{% endfor %}{{ y is defined }}", "{% set y = 0 %}{% for x in nums %}{% set y = y + x %}{{ y }} {% endfor %}{{ y }}",
    "{% set ns = namespace(t=0) %}{% for x in nums %}{% set ns.t = ns.t + x %}{% endfor %}{{ ns.t }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}",
    "{% set ns = namespace() %}{% set ns.x, ns.y = 1, 2 %}{{ ns.x }}{{ ns.y }}", "{% set d.x = 1 %}", "{% set zz.x = 1 %}", "{% set ns = namespace() %}{{ ns.q.r }}",
    "{% if yes %}{% set z = 1 %}{% endif %}{{ z }}", "{% if no %}{% set z = 1 %}{% endif %}{{ z is defined }}", "{% for x in nums %}{% if x is defined %}{{ q is defined }}{% endif %}{% set q = 1 %}{% endfor %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = nums %}", "{% set a = 1, 2 %}{{ a }}", "{% set (a, b) = (1, 2) %}{{ a + b }}", "{% set a %}x{{ n }}y{% endset %}[{{ a }}]",
    "{% set a | upper | trim %} abc {% endset %}[{{ a }}]", "{% set a %}{% set b = 1 %}{% endset %}{{ b is defined }}", "{% set ns = namespace() %}{% set ns.t %}hey{% endset %}{{ ns.t }}",
    "{% set true = 1 %}", "{% set 1 = 2 %}", "{% set if = 2 %}{{ if }}", "{% set x = [] %}{{ x }}{% set x = [1] + x %}{{ x }}",
    "{% if no %}a{% elif n == 7 %}b{% else %}c{% endif %}", "{% if no %}a{% elif no %}b{% elif nil %}c{% else %}d{% endif %}", "{% if 1, %}t{% endif %}", "{% if nums and not no %}t{% endif %}",
    "{% if a.b %}{% endif %}", "{% if x %}t{% else %}f{% endif %}", "{% if 'a' in 'abc' and 1 not in [2] %}t{% endif %}", "{% if n is odd and n > 3 or x.y %}t{% endif %}", "{% if ' ' %}t{% endif %}{% if 0.0 %}t{% endif %}{% if [] %}t{% endif %}{% if {} %}t{% endif %}{% if (0,) %}u{% endif %}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(1, 2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ kwargs.z }}{% endmacro %}{{ m(1, z=2) }}{{ m(1) }}", "{% macro m(a) %}x{% endmacro %}{{ m(q=1) }}", "{% macro m(a) %}x{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m() %}{{ n }}{{ x is defined }}{% endmacro %}{% set x = 1 %}{{ m() }}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}", "{% macro m() %}  a  {% endmacro %}[{{ m()|trim }}]{{ m() is string }}", "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% macro m(x) %}{% set y = x %}{{ y }}{% endmacro %}{{ m(1) }}{{ y is defined }}", "{% macro m() %}{{ caller() }}!{% endmacro %}{% call m() %}hi {{ n }}{% endcall %}", "{% macro m(xs) %}{% for x in xs %}<{{ caller(x, loop.index) }}>{% endfor %}{% endmacro %}{% call(v, i) m(nums) %}{{ i }}:{{ v }}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", "{% call n %}{% endcall %}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(1, *[2]) }}",
    "{% macro m(a) %}{% endmacro %}{{ m.name }}{{ m.arguments }}", "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{% for x in nums %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}o{% endmacro %}{{ outer() }}{{ inner is defined }}", "{% macro m(s) %}{{ s|upper }}{% endmacro %}{{ ['a', 'b']|map('upper')|map('lower')|join }}{{ m('x') ~ 'y' }}",
    "{% filter upper %}a{{ s }}b{% endfilter %}", "{% filter replace('a', 'b')|upper %}banana{% endfilter %}", "{% filter trim %}  x {% endfilter %}y", "{% filter nofilter %}a{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}", "{% with a = n, b = a %}{{ b is defined }}{% endwith %}",
    "{% generation %}a{{ n }}{% endgeneration %}b", "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}{% endfor %}", "{% generation %}{% set q = 1 %}{% endgeneration %}{{ q is defined }}",
    "{{ raise_exception('no ' ~ s) }}", "{% if no %}{{ raise_exception('x') }}{% endif %}ok", "{{ 'a' if yes else raise_exception('x') }}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% nope %}", "{% %}", "{{ }}", "{% set %}", "{% for %}", "{% if %}{% endif %}", "{% macro %}",
    "{{ ''.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ d.__init__.__globals__ }}", "{{ m.__globals__ }}", "{{ nums.__len__() }}", "{{ s.format.__globals__ }}", "{{ '{0.__class__}'.format(1) }}", "{{ '{0.__class__.__mro__}'.format(1) }}", "{{ range.__self__.x }}",
    "{% set x = 'a' %}{% for i in nums %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "{% set x = 1 %}{% with x = 2 %}{{ x }}{% endwith %}{{ x }}",
    "{% set x = 1 %}{% if yes %}{% set x = 2 %}{{ x }}{% endif %}{{ x }}", "{% for i in nums %}{% if loop.first %}{% set v = 'f' %}{% endif %}{{ v }}|{% endfor %}", "{% set a = nums|map('string') %}{{ a|join }}|{{ a|join }}", "{% set g = nums|select('odd') %}{% for x in g %}{{ x }}{% endfor %}{% for x in g %}{{ x }}{% else %}gone{% endfor %}",
    "{{ nums|map('string')|list|length }}{{ (nums|reverse|list)[0] }}", "{% for u in users|sort(attribute='name') %}{{ u.name }} {% endfor %}", "{% for g in users|groupby('age') %}{{ g.grouper }}:{{ g.list|length }} {% endfor %}", "{% for age, us in users|groupby('age') %}{{ age }}={{ us|map(attribute='name')|join('+') }};{% endfor %}",
    "{%- for m in messages %}\n  {%- if m.role == 'user' %}\n    {{- '<|user|>' + m.content | trim + '\\n' }}\n  {%- elif m.tool_calls %}\n    {%- for c in m.tool_calls %}\n      {{- c.function | tojson }}\n    {%- endfor %}\n  {%- else %}\n    {{- m['role'] ~ ': ' ~ m['content'] }}\n  {%- endif %}\n{%- endfor %}",
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + (message['content'] or '') + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set sys = messages[0]['content'] %}{% else %}{% set sys = false %}{% endif %}{{ sys }}{{ loop_messages|length }}",
    "{{ bos_token }}{% for m in messages if m.role != 'system' %}{{ loop.index0 % 2 == 0 }}{{ m.role }} {% endfor %}{{ eos_token }}", "{{ messages | selectattr('role', 'equalto', 'tool') | list | length }} tools", "{%- set ns = namespace(last=-1) -%}{%- for m in messages[::-1] -%}{%- set index = (messages|length - 1) - loop.index0 -%}{%- if m.role == 'user' and ns.last < 0 -%}{%- set ns.last = index -%}{%- endif -%}{%- endfor -%}{{ ns.last }}",
    "{%- macro render(v, depth=0) -%}{%- if v is mapping -%}{{ '{' }}{%- for k, x in v|dictsort -%}{{ k }}:{{ render(x, depth + 1) }}{%- if not loop.last -%},{%- endif -%}{%- endfor -%}{{ '}' }}{%- elif v is iterable and v is not string -%}[{%- for x in v -%}{{ render(x, depth + 1) }}{%- if not loop.last %}, {% endif -%}{%- endfor -%}]{%- else -%}{{ v|string }}@{{ depth }}{%- endif -%}{%- endmacro -%}{{ render(d) }}",
    "{{ 'a' 'b' }}{{ \"x\" ~ 'y' }}", "{{ 1 }}{{ 2 }}\n{{ 3 }}", "line1\n{% set a = 1 %}\nline2\n", "{% set a = 1 %}{# c #}\n\n{{ a }}", "{{ '\n' }}x", "{{ 'a\nb' }}", "{{ s }}{# {{ n }} #}{{ n }}", "{%set a=1%}{{a}}", "{%-set a=1-%}{{a}}", "{{s|upper|lower|title}}", "{{ s | replace ( 'l' , 'L' ) }}",
    "{% for x in nums -%}\n  {{ x }}\n{%- endfor %}", "{% for x in nums %}\n  {{ x }}\n{% endfor %}\nend", "{% for x in nums -%} {{ x }} {%- if not loop.last %}, {% endif -%} {% endfor %}", "{% if yes -%}\n\n  a  \n\n{%- endif %}\n\nb", "a{% if yes %}{% endif %}\n{% if yes %}{% endif %}b",
]


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def split_expressions(line):
    """Cuts at the bars that stand between two cases: those with a balanced, quoted-string-free left side that is not a
    filter. A case is recognised by trying: a bar followed by the name of a filter stays."""
    parts, depth, quote, start, i = [], 0, "", 0, 0
    while i < len(line):
        c = line[i]
        if quote:
            if c == "\\":
                i += 1
            elif c == quote:
                quote = ""
        elif c in "\"'":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "|" and depth <= 0 and not is_filter(line[i + 1:]):
            parts.append(line[start:i])
            start = i + 1
        i += 1
    return parts + [line[start:]]


def is_filter(rest):
    name = ""
    for c in rest:
        if not (c.isalnum() or c == "_"):
            break
        name += c
    return (name in jinja2.filters.FILTERS or name == "nofilter") and not name == "d" or rest.startswith("d(")


def render(env, template, context):
    try:
        return {"output": env.from_string(template).render(**context)}
    except Exception as error:  # whatever it is, the author would have seen an error
        return {"error": True, "why": f"{type(error).__name__}: {error}"[:120]}


# What Jinja2 does there is an accident of CPython, and ours is said in docs/templates.md.
SKIP_IF_WHY = ("has no len()", "not subscriptable", "takes no keyword arguments")
SKIP_IF_OUTPUT = (" object at 0x", "<built-in", "<generator", "<function", "<bound method", "<class", "<Macro")


def main():
    env = environment()
    templates = ["{{ " + e + " }}" for line in EXPRESSIONS.split("\n") for e in split_expressions(line)] + TEMPLATES
    vectors, seen = [], set()
    for template in templates:
        if template in seen:
            continue
        seen.add(template)
        result = render(env, template, COMMON)
        if any(text in result.get("why", "") for text in SKIP_IF_WHY):
            continue
        if any(text in result.get("output", "") for text in SKIP_IF_OUTPUT):
            continue
        vectors.append({"template": template, **result})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with OUT.open("w") as out:
        out.write('{"context": ' + json.dumps(COMMON, ensure_ascii=False) + ',\n "vectors": [\n')
        out.write(",\n".join("  " + json.dumps(v, ensure_ascii=False) for v in vectors))
        out.write("\n]}\n")
    print(f"{len(vectors)} vectors, {sum('error' in v for v in vectors)} of them errors, to {OUT}")


if __name__ == "__main__":
    main()
