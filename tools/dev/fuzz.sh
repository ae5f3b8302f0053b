# fuzz.sh: ./dev fuzz [SECONDS [TARGET..]] runs every fuzz target for that long (default 60).
#
# New inputs go to build/fuzz/corpus/TARGET, beside the ones in tests/fuzz/corpus, which seed it.
# A finding is kept in build/fuzz/findings; put it into tests/fuzz/corpus with its fix.

require_fuzzer() { # clang's runtime is a package of its own on some releases
    local probe=build/fuzzer-probe
    mkdir -p build
    printf '#include <stddef.h>\nint LLVMFuzzerTestOneInput(const char *p, size_t n);\nint LLVMFuzzerTestOneInput(const char *p, size_t n) { return p && n > 1u << 30; }\n' >$probe.c
    clang -fsanitize=fuzzer,address $probe.c -o $probe 2>/dev/null ||
        install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
    rm -f $probe $probe.c
}

# entropic=0: its book-keeping of features takes most of the time where an input has thousands of them.
fuzz_one() { # PROGRAM SECONDS
    local name corpus
    name=$(basename "$1" | sed 's/^fuzz_//')
    corpus="build/fuzz/corpus/$name"
    mkdir -p "$corpus" "tests/fuzz/corpus/$name" build/fuzz/findings
    say "fuzzing $name for $2 s"
    "$1" -max_total_time="$2" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 -entropic=0 \
        -artifact_prefix="build/fuzz/findings/$name-" "$corpus" "tests/fuzz/corpus/$name" \
        </dev/null >"build/fuzz/$name.log" 2>&1 && {
        grep -E 'number_of_executed_units' "build/fuzz/$name.log" >&2 || true
        return 0
    }
    tail -n 60 "build/fuzz/$name.log" >&2
    say "$name: found something; the input is in build/fuzz/findings"
    return 1
}

dev_fuzz() {
    local seconds=${1:-60} program name found=0 bad=0
    [ $# -eq 0 ] || shift
    case $seconds in *[!0-9]* | '') die "usage: ./dev fuzz [SECONDS [TARGET..]]" ;; esac
    # shellcheck disable=SC2086
    require $fuzz_needs
    require_fuzzer
    build fuzz
    for program in build/fuzz/tests/fuzz/fuzz_*; do
        [ -f "$program" ] && [ -x "$program" ] || continue
        name=$(basename "$program" | sed 's/^fuzz_//')
        case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
        found=1
        fuzz_one "$program" "$seconds" || bad=1
    done
    [ $found = 1 ] || die "no such fuzz target"
    [ $bad = 0 ] || exit 1
    say "no findings"
}
