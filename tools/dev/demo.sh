# demo.sh: ./dev demo builds and runs examples/digits from data to predictions.

dev_demo() {
    # shellcheck disable=SC2086
    require $build_needs
    [ -e examples/digits/demo.sh ] || die "examples/digits/demo.sh does not exist yet"
    build release
    PATH="$PWD/build/release/cli:$PATH" exec bash examples/digits/demo.sh "$PWD/build/release" "$@"
}
