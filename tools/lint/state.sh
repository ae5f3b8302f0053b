#!/usr/bin/env bash
# state.sh: no mutable file-scope variables, not even static, in the objects of build/tidy.
# (objdump, not nm: under PIE nm shows const tables of pointers as writable data.) Exempt are what
# bison writes, and the flag that a signal handler sets, which has nowhere else to live.
set -uo pipefail
bad=0
while IFS= read -r object; do
    objdump -t "$object" | awk -v object="$object" '
        $NF == "interrupted" && object ~ /interrupt/ {next}
        / O \.(data|bss)/ && !/rel\.ro/ {print "state: " object ": " $NF; bad = 1}
        END {exit bad}' || bad=1
done < <(find build/tidy -name '*.o' -not -path '*/tests/*' -not -name '*.tab.c.o')
exit $bad
