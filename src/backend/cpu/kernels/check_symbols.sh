#!/bin/sh
# check_symbols.sh LIBRARY: fails if the objects compiled for more than the baseline define a weak function outside their own
# namespace. The linker keeps one copy of such a function for the whole program; if it were theirs, the program would die
# of an illegal instruction on a machine without it.
set -eu
found=$(nm -C --defined-only "$1" | awk '
  /^kernels_.*\.o:$/ { member = $0; wide = member ~ /a[vm]x|neon/; seen += wide }
  /^[^ ]*:$/ && !/^kernels_/ { wide = 0 }
  wide && $2 == "W" && $0 !~ /ferrum::cpu_(avx|neon)/ { print member, $0 }
  END { if (seen < 2) print "no such objects in the library" }')
if [ -n "$found" ]; then
  echo "$found"
  exit 1
fi
