# bench.sh: ./dev bench measures on the CPU, beside the peers that are on this machine.

dev_bench() {
    # shellcheck disable=SC2086
    require $build_needs
    [ -e bench/run.sh ] || die "bench/run.sh does not exist yet"
    build release
    bash bench/check.sh "$PWD/build/release"
    exec bash bench/run.sh "$PWD/build/release" "$@"
}
