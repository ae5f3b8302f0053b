# summary.awk: reads logs of `ctest -V` over cmocka programs.
#   -v mode=count     prints `N passed, N failed, N skipped` in test cases; exit 1 unless some
#                     passed and none failed
#   -v mode=failures  prints what the programs that did not pass said at last, and their complaints
#
# ctest prefixes each line of a program with its number, `12: `, and reports it as
# ` 3/40 Test #12: name ....   Passed`. cmocka (1.1.5 to 2) prints `[==========] Running 16 test(s).`,
# `[==========] 16 test(s) run.`, `[  PASSED  ] 14 test(s).` and, some of them with a group's name,
# `[  FAILED  ] 2 test(s), listed below:`; two of these may share a line, for they go to stdout and
# stderr. A group that does not end, and a program that ctest saw fail without a failed case (crash,
# leak, timeout, not built), count as one failed case besides the cases passed before; a program
# that passes without cases is one case.

# The number in `MARK [group: ]N test(s)`, or 0.
function cases(text, mark,    found) {
    if (!match(text, mark " ([^ ]+: )?[0-9]+ test\\(s\\)"))
        return 0
    found = substr(text, RSTART, RLENGTH)
    match(found, /[0-9]+ test\(s\)/)
    return substr(found, RSTART) + 0
}

function show(id,    i) {
    printf "---- %s ----\n", title[id]
    for (i = 1; i <= lines[id]; i++)
        if (i > lines[id] - 40 || output[id, i] ~ /\[  (ERROR|FAILED)  \]|\[   LINE   \]|ERROR: /)
            print output[id, i]
}

function finish_file(    id) {
    for (id in verdict) {
        if (verdict[id] == "skip" && !seen[id])
            skipped[id] = 1
        else if (verdict[id] == "ok" && !seen[id])
            passed[id] = 1
        failed[id] += begun[id] > ended[id]
        if (verdict[id] == "bad" && !failed[id])
            failed[id] = 1
        if (begun[id] > ended[id])
            passed[id] = ok[id]
        npassed += passed[id]; nfailed += failed[id]; nskipped += skipped[id]
        if (mode == "failures" && failed[id])
            show(id)
    }
    delete verdict; delete seen; delete begun; delete ended; delete ok; delete title; delete lines
    delete passed; delete failed; delete skipped
}

FNR == 1 { finish_file() }

/^[0-9]+: / {
    id = $0; sub(/:.*/, "", id)
    text = $0; sub(/^[0-9]+: /, "", text)
    if (mode == "failures")
        output[id, ++lines[id]] = text
    if (text ~ /\[ +OK +\]/) { ok[id]++; seen[id] = 1 }
    begun[id] += text ~ /\[==========\].* Running [0-9]+ test/
    ended[id] += text ~ /\[==========\].* [0-9]+ test\(s\) run/
    if ((n = cases(text, "\\[  PASSED  \\]")) > 0) { passed[id] += n; seen[id] = 1 }
    if ((n = cases(text, "\\[  SKIPPED \\]")) > 0) { skipped[id] += n; seen[id] = 1 }
    failed[id] += cases(text, "\\[  FAILED  \\]")
}

/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
    id = $0; sub(/^[^#]*#/, "", id); title[id + 0] = id; id += 0
    verdict[id] = /\*\*\*Skipped/ ? "skip" : / Passed / ? "ok" : "bad"
}

END {
    finish_file()
    if (mode == "count") {
        printf "%d passed, %d failed, %d skipped\n", npassed, nfailed, nskipped
        exit !(npassed > 0 && nfailed == 0)
    }
}
