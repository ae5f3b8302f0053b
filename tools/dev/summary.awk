# summary.awk: reads logs of `ctest -V` over cmocka programs.
#   -v mode=count     prints `N passed, N failed, N skipped` in test cases; exit 1 unless some
#                     passed and none failed
#   -v mode=failures  prints the output of the programs that did not pass
#
# ctest prefixes each line of a program with its number, `12: `, and reports it as
# ` 3/40 Test #12: name ....   Passed`. cmocka (1.1.5 to 2) prints `[  PASSED  ] 14 test(s).` and,
# with or without a group name, `[  FAILED  ] 2 test(s), listed below:`. A program that ctest saw
# fail without a failed case (crash, leak, timeout, not built) counts as one failed case besides
# the cases it passed before; one that passes without cases is one case.

function cases(text) {
    return match(text, /[0-9]+ test\(s\)/) ? substr(text, RSTART, RLENGTH) + 0 : 0
}

function finish_file(    id, name) {
    for (id in verdict) {
        if (verdict[id] == "skip" && !seen[id])
            skipped[id] = 1
        else if (verdict[id] == "ok" && !seen[id])
            passed[id] = 1
        else if (verdict[id] == "bad" && !failed[id])
            failed[id] = 1
        if (!summed[id])
            passed[id] += ok[id]
        npassed += passed[id]; nfailed += failed[id]; nskipped += skipped[id]
        if (mode == "failures" && verdict[id] == "bad")
            printf "---- %s ----\n%s", title[id], output[id]
    }
    delete verdict; delete seen; delete summed; delete ok; delete title; delete output
    delete passed; delete failed; delete skipped
}

FNR == 1 { finish_file() }

/^[0-9]+: / {
    id = $0; sub(/:.*/, "", id)
    text = $0; sub(/^[0-9]+: /, "", text)
    if (mode == "failures" && length(output[id]) < 20000)
        output[id] = output[id] text "\n"
    if (text ~ /\[ +OK +\]/) { ok[id]++; seen[id] = 1 }
    if (text ~ /\[  PASSED  \].*[0-9]+ test\(s\)/) {
        passed[id] += cases(text); seen[id] = 1; summed[id] = 1
    }
    if (text ~ /\[  FAILED  \].*[0-9]+ test\(s\)/) failed[id] += cases(text)
    if (text ~ /\[  SKIPPED \].*[0-9]+ test\(s\)/) { skipped[id] += cases(text); seen[id] = 1 }
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
