#!/bin/sh
# nvcc.sh RESOURCES COMMAND...: runs the compiler, keeps ptxas' account of each kernel in the file RESOURCES, and shows
# what else it says.
resources=$1
shift
"$@" 2> "$resources"
status=$?
grep -v -e '^ptxas info' -e '^ *[0-9]* bytes stack frame' "$resources" >&2
exit $status
