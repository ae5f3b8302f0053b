#!/usr/bin/env bash
# tidy.sh: clang-tidy over every source in the compile database of build/tidy that git knows, two
# or more at a time. A file that was clean is not looked at again until its preprocessed text or
# the settings change: the stamp is their hash.
set -uo pipefail
root=$PWD
stamps=$root/build/tidy/stamps
mkdir -p "$stamps"

tidy_one() { # FILE
    local file=$1 key dir command
    command=$(awk -v want="\"file\": \"$root/$file\"" '
        /"directory":/ {dir = $0} /"command":/ {command = $0}
        index($0, want) {print dir; print command; exit}' build/tidy/compile_commands.json)
    [ -n "$command" ] || return 0 # not part of this build
    dir=$(sed -n '1s/.*": "\(.*\)",$/\1/p' <<<"$command")
    command=$(sed -n '2s/.*"command": "\(.*\)",$/\1/p' <<<"$command" |
        sed -E 's/\\"/"/g; s/\\\\/\\/g; s/ -o [^ ]+//; s/ -c / -E /')
    key=$({ clang-tidy --version; cat .clang-tidy; (cd "$dir" && eval "$command") } 2>/dev/null |
        sha256sum | cut -c1-40)
    [ -e "$stamps/$key" ] && return 0
    clang-tidy --quiet -p build/tidy "$file" 2>/dev/null >"$stamps/$key.out"
    if [ $? = 0 ]; then
        rm -f "$stamps/$key.out"
        : >"$stamps/$key"
    else
        cat "$stamps/$key.out"
        rm -f "$stamps/$key.out"
        return 1
    fi
}
export -f tidy_one
export root stamps

git ls-files -z '*.c' | xargs -0 -r -n 1 -P "$(nproc)" bash -c 'tidy_one "$1"' tidy
