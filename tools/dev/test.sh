# test.sh: ./dev test builds with sanitizers and in release and runs every test of both.
#
# The last line counts test cases, not programs: summary.awk reads the programs' own reports and
# compares them with what ctest saw, so that a crash or a timeout is never lost.
# --long: with over a thousand kills of runs and saves in place of fifty.

run_ctest() { # PRESET
    local log="build/$1/test.log"
    say "testing build/$1 (output in $log)"
    # one more at a time than there are processors, since some only wait
    env -u CMOCKA_MESSAGE_OUTPUT -u CMOCKA_TEST_ABORT UBSAN_OPTIONS=print_stacktrace=1 \
        ctest --test-dir "build/$1" -V -j "$(($(jobs) + 1))" --timeout "${MDL_LONG:-280}" </dev/null 2>&1 |
        tee "$log" | grep --line-buffered -E '^ *[0-9]+/[0-9]+ Test +#|^No tests' >&2 || true
    awk -v mode=failures -f tools/dev/summary.awk "$log" >&2
}

dev_test() { # [--long]
    if [ "${1:-}" = --long ]; then
        export MDL_LONG=3600 # the timeout of one program, in seconds
    elif [ $# -gt 0 ]; then
        usage >&2
        exit 2
    fi
    # shellcheck disable=SC2086
    require $test_needs
    rm -f build/debug/test.log build/release/test.log
    build debug
    build release
    run_ctest debug
    run_ctest release
    awk -v mode=count -f tools/dev/summary.awk build/debug/test.log build/release/test.log
}
