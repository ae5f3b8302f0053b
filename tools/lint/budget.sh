#!/usr/bin/env bash
# budget.sh: files of at most 800 lines, functions of at most 60.
set -uo pipefail
bad=0
git ls-files '*.c' '*.h' '*.l' '*.y' '*.def' '*.sh' '*.cmake' '*.mdl' | xargs -r wc -l |
    awk '$2 != "total" && $1 > 800 {print "budget: " $2 ": " $1 " lines"; bad = 1} END {exit bad}' ||
    bad=1
git ls-files '*.c' '*.h' | ctags --languages=C --kinds-C=f --fields=+ne -f - -L - | awk -F'\t' '
    {
        first = last = 0
        for (i = 4; i <= NF; i++) {
            if ($i ~ /^line:/) first = substr($i, 6)
            if ($i ~ /^end:/) last = substr($i, 5)
        }
        if (last - first >= 60) {
            print "budget: " $2 ":" first ": " $1 " has " last - first + 1 " lines"; bad = 1
        }
    }
    END {exit bad}' || bad=1
exit $bad
