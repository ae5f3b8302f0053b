# lint.sh: ./dev lint runs every check of tools/lint over the files that git knows.

dev_lint() {
    local check bad=
    # shellcheck disable=SC2086
    require $lint_needs
    build tidy
    for check in format budget smells state tidy; do
        say "checking $check"
        bash "tools/lint/$check.sh" || bad="$bad $check"
    done
    [ -z "$bad" ] || die "not clean:$bad"
    say "clean"
}
