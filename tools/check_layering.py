#!/usr/bin/env python3
"""Checks that includes point downwards only, that getenv stays in src/config, and that no two types share a name.

The order is DESIGN.md's: a directory may include what its row names, and nothing else of ours. The linker enforces most of
this; the script also catches headers that need no linking, and says it before a build.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

ALLOWED = {
    "base": set(),
    "types": {"base"},
    "moe": {"base", "types"},
    "config": {"base", "types", "moe"},
    "tensor": {"base"},
    "quant": {"base", "tensor"},
    "io": {"base", "tensor"},
    "text": {"base", "types", "io"},
    "ops": {"base", "tensor", "types"},
    "backend": {"base", "tensor", "types", "quant", "moe", "ops"},
    "models": {"base", "tensor", "types", "moe", "ops", "io"},
    "kv": {"base", "types"},
    "sched": {"base", "types", "kv"},
    "speculation": {"base", "types"},
    "trace": {"base", "types"},
    "runner": {"base", "tensor", "types", "ops", "models", "kv"},
    "engine": {"base", "config", "types", "tensor", "quant", "io", "text", "ops", "backend", "models", "kv", "sched",
               "speculation", "trace", "runner"},
    "apps": {"base", "config", "types", "tensor", "text", "trace", "engine"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
# Tests may reach down to whatever makes their point.
TEST_EXTRA = {"quant", "io", "backend", "models", "runner"}


def layer_of(path):
    parts = path.relative_to(ROOT).parts
    return "apps" if parts[0] == "apps" else parts[1]


def problems_in(path):
    layer = layer_of(path)
    allowed = ALLOWED[layer] | {layer}
    if "_test" in path.stem:
        allowed = allowed | TEST_EXTRA | {"types"}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.relative_to(ROOT)}:{number}"
        match = INCLUDE.match(line)
        if match and "/" in match[1]:
            target = match[1].split("/")[0]
            if target not in ALLOWED:
                yield f"{where}: includes {match[1]}, which is in no layer"
            elif target not in allowed:
                yield f"{where}: {layer} must not include {target} ({match[1]})"
        elif match and not (path.parent / match[1]).exists():
            yield f"{where}: {match[1]} is not beside the file; write the path from src/"
        if re.search(r"\b(secure_)?getenv\s*\(", line) and layer != "config":
            yield f"{where}: getenv belongs to src/config"


NAMESPACE = re.compile(r"^(?:inline )?namespace\s*([\w:]*)\s*{|^}  // namespace", re.MULTILINE)
TYPE = re.compile(r"^(?:struct|class)\s+(?:alignas\(\w+\)\s+)?(\w+)(?:\s+final)?\s*(?:[{]|:[^:])", re.MULTILINE)


def types_in(path):
    """Qualified names of the types defined at namespace scope with external linkage."""
    text = path.read_text()
    marks = sorted([*NAMESPACE.finditer(text), *TYPE.finditer(text)], key=lambda match: match.start())
    open_namespaces = []
    for mark in marks:
        if mark.re is TYPE:
            if "" not in open_namespaces:  # the nameless namespace
                yield "::".join([*open_namespaces, mark[1]])
        elif mark[1] is None:
            open_namespaces = open_namespaces[:-1]
        else:
            open_namespaces.append(mark[1])


def shared_names(files):
    """Two types of one name break the one-definition rule: the linker keeps the inline functions of either for both."""
    first = {}
    for path in files:
        for name in types_in(path):
            if "FERRUM_ISA_NAMESPACE" not in name and first.setdefault(name, path) != path:
                yield f"{path.relative_to(ROOT)}: {name} is also defined in {first[name].relative_to(ROOT)}"


def main():
    files = sorted(p for top in ("src", "apps") for p in (ROOT / top).rglob("*") if p.suffix in (".h", ".cc", ".cu", ".cuh"))
    found = [problem for path in files for problem in problems_in(path)]
    unknown = {p.name for p in (ROOT / "src").iterdir() if p.is_dir()} - set(ALLOWED)
    found += [f"src/{name}: not in the table of layers" for name in sorted(unknown)]
    found += shared_names(files)
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"layering: {len(files)} files, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
