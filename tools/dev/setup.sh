# setup.sh: installing what a verb needs, and building. Sourced by ./dev.
#
# A need is "how to see it:package". Seen means: there is such a command or header; then
# nothing is installed, and with nothing missing neither apt nor the network is touched.

build_needs='cmd/gcc:gcc inc/stdio.h:libc6-dev cmd/cmake:cmake cmd/ninja:ninja-build
    cmd/flex:flex cmd/bison:bison inc/jansson.h:libjansson-dev inc/xxhash.h:libxxhash-dev
    inc/zlib.h:zlib1g-dev'
test_needs="$build_needs inc/cmocka.h:libcmocka-dev"
lint_needs="$test_needs cmd/git:git cmd/clang:clang cmd/clang-format:clang-format
    cmd/clang-tidy:clang-tidy cmd/objdump:binutils uctags:universal-ctags"
fuzz_needs="$build_needs cmd/clang:clang"

say() { printf '%s\n' "dev: $*" >&2; }

die() {
    say "$*"
    exit 1
}

have_header() {
    local dir
    for dir in /usr/include /usr/local/include /usr/include/*-linux-gnu; do
        [ -e "$dir/$1" ] && return
    done
    return 1
}

have() { # cmd/NAME | inc/HEADER | uctags
    case $1 in
    cmd/*) command -v "${1#cmd/}" >/dev/null ;;
    inc/*) have_header "${1#inc/}" ;;
    uctags) command -v ctags >/dev/null && [[ $(ctags --version) == *Universal* ]] ;;
    esac
}

can_apt() { # Debian 12 or Ubuntu 24.04
    [ -r /etc/os-release ] && command -v apt-get >/dev/null || return 1
    case $(. /etc/os-release && echo "$ID-${VERSION_ID:-}") in
    debian-12 | ubuntu-24.04) ;;
    *) return 1 ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null
}

install() { # PACKAGE..
    can_apt || die "this machine lacks (by their Debian names): $*; install them and run again"
    say "installing: $*"
    mkdir -p build
    { apt update && apt install -y --no-install-recommends "$@"; } >build/apt.log 2>&1 && return
    tail -n 20 build/apt.log >&2
    die "could not install; as root: apt-get install $*"
}

require() { # NEED..
    local need missing=
    for need in "$@"; do
        have "${need%%:*}" || missing="$missing ${need#*:}"
    done
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || install $missing
}

jobs() { nproc 2>/dev/null || echo 2; }

build() { # PRESET
    local log="build/$1.log"
    mkdir -p build
    say "building build/$1"
    { cmake --preset "$1" && cmake --build --preset "$1" -j "$(jobs)"; } >"$log" 2>&1 </dev/null || {
        awk '/^(FAILED|CMake Error|ninja: error)/ {on = 1} on && !/^\[/' "$log" | head -n 100 >&2
        die "the build failed; its output is in $log"
    }
}
