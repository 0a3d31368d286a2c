"""How a conversation becomes text. The Jinja template that the GGUF file carries must give the same text: export.py checks it."""

import json

END = "<|endoftext|>"
START, STOP = "<|im_start|>", "<|im_end|>"

TEMPLATE = """{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}
{{- messages[0].content + '\\n\\n' }}
{%- endif %}
{{- 'Tools:\\n<tools>' }}
{%- for tool in tools %}
{{- '\\n' }}
{{- tool | tojson }}
{%- endfor %}
{{- '\\n</tools>\\nTo call a tool, answer with its name and arguments in <tool_call></tool_call>.<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
{{- '<|im_start|>user' }}
{%- endif %}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- elif message.role == 'assistant' and message.tool_calls %}
{{- '<|im_start|>assistant\\n' }}
{%- if message.content %}
{{- message.content + '\\n' }}
{%- endif %}
{%- for call in message.tool_calls %}
{%- set function = call.function if call.function else call %}
{{- '<tool_call>\\n{"name": "' + function.name + '", "arguments": ' }}
{%- if function.arguments is string %}
{{- function.arguments }}
{%- else %}
{{- function.arguments | tojson }}
{%- endif %}
{{- '}\\n</tool_call>' }}
{%- if not loop.last %}
{{- '\\n' }}
{%- endif %}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role != 'system' or not loop.first %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def pieces(system, tools, turns, dumps=json.dumps):
    """[(text, learn)]: what the model reads, and whether it should learn to write it. Turns are (role, content)."""
    out = []
    if tools:
        head = system + "\n\n" if system else ""
        listed = "".join("\n" + dumps(t) for t in tools)
        head += f"Tools:\n<tools>{listed}\n</tools>\nTo call a tool, answer with its name and arguments in <tool_call></tool_call>."
        out.append((f"{START}system\n{head}{STOP}\n", False))
    elif system:
        out.append((f"{START}system\n{system}{STOP}\n", False))
    for i, (role, content) in enumerate(turns):
        if role == "tool":
            # Results that follow one another share a turn.
            first, last = i == 0 or turns[i - 1][0] != "tool", i + 1 == len(turns) or turns[i + 1][0] != "tool"
            out.append(((f"{START}user" if first else "") + f"\n<tool_response>\n{content}\n</tool_response>" + (f"{STOP}\n" if last else ""), False))
        elif role == "user":
            out.append((f"{START}user\n{content}{STOP}\n", False))
        else:
            out += [(f"{START}assistant\n", False), (content + STOP, True), ("\n", False)]
    return out


def prompt(system, tools, turns):
    """The text before an answer."""
    return "".join(t for t, _ in pieces(system, tools, turns)) + f"{START}assistant\n"
