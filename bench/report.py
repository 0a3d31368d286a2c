"""What the reports of this directory have in common: which machine, which commit, medians and their spread."""
import datetime
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def machine():
    cpu = next(line.split(": ")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return f"{cpu}, {os.cpu_count()} CPUs"


def heading(title):
    """The first lines of a report: title with the date, machine, commit, command."""
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return [f"# {title}, {datetime.date.today()}", "",
            f"Machine: {machine()}. Commit: {commit}. Command: `{shlex.join(sys.argv)}`."]


def spread(values):
    """Median (smallest to largest)."""
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def write(lines, path):
    text = "\n".join(lines) + "\n"
    print(text)
    if path:
        path.write_text(text)
