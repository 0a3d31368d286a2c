#!/usr/bin/env python3
"""What ptxas says of the kernels, as a table; fails where one spills registers.

    tools/cuda_resources.py build/src/backend/cuda/device/*.resources

Shared memory is asked for at launch (kernels/*.h), so ptxas does not know it. A stack frame without spills is memory that the
source asks for (an array with a variable index; the slow path of cos and sin).
"""
import re
import subprocess
import sys

ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
PROPERTIES = re.compile(r"Function properties for (\S+)")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def kernels_in(text):
    """Yields (kernel, target, registers, stack, spilled bytes)."""
    entry = target = described = None
    stack = spilled = 0
    for line in text.splitlines():
        if match := ENTRY.search(line):
            entry, target = match.groups()
            stack = spilled = 0
        elif match := PROPERTIES.search(line):
            described = match[1]
        elif match := FRAME.search(line):
            spilled += int(match[2]) + int(match[3])  # also of functions that the kernel calls
            if described == entry:
                stack = int(match[1])
        elif (match := REGISTERS.search(line)) and entry:
            yield entry, target, int(match[1]), stack, spilled


def short(names):
    """Mangled names without namespaces and arguments."""
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r"(?<=>|\w)\(ferrum.*\)$|^void |ferrum::cuda::device::|\(int\)", "", line) for line in text.splitlines()]


def main():
    rows = {}
    targets = []
    spills = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            for entry, target, registers, stack, spilled in kernels_in(file.read()):
                rows.setdefault(entry, {})[target] = f"{registers}" + (f" +{stack} B" if stack else "")
                targets += [target] if target not in targets else []
                spills += [f"{entry} spills {spilled} bytes on {target}"] if spilled else []
    if not rows:
        sys.exit("cuda_resources: no kernels in " + " ".join(sys.argv[1:]))
    targets.sort()
    print("| kernel | " + " | ".join(f"{target}: registers" for target in targets) + " |")
    print("|---|" + "---|" * len(targets))
    for name, entry in sorted(zip(short(rows), rows)):
        print(f"| {name} | " + " | ".join(rows[entry].get(target, "") for target in targets) + " |")
    for spill in spills:
        print(spill, file=sys.stderr)
    return 1 if spills else 0


if __name__ == "__main__":
    sys.exit(main())
