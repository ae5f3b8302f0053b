# gpu.sh: ./dev gpu tests and measures on the NVIDIA GPU of this machine; ./dev gpu --pack [DIR] makes a folder
# that does so on a machine which lacks what building needs.
#
# Both make the same folder (cmake/pack.cmake), and its `run` (tools/gpu/run.sh) is what runs here, too.

pack_limit=60 # MB unpacked, 40 as .tar.gz

make_pack() { # DIR
    # shellcheck disable=SC2086
    require $test_needs
    build pack
    say "making $1"
    mkdir -p "$1"
    find "$1" -mindepth 1 -maxdepth 1 ! -name kernel-cache ! -name results -exec rm -rf {} +
    cmake --install build/pack --component pack --strip --prefix "$1" >build/pack-install.log 2>&1 || {
        tail -n 20 build/pack-install.log >&2
        die "the pack could not be made; the output is in build/pack-install.log"
    }
}

dev_pack() { # DIR
    local dir=$1 size packed
    [ ! -e "$dir" ] || [ -x "$dir/run" ] || [ -z "$(ls -A "$dir")" ] || die "$dir holds something else"
    make_pack "$dir"
    rm -rf "$dir"/{kernel-cache,results}
    tar -C "$(dirname "$dir")" -czf "$dir.tar.gz" "$(basename "$dir")"
    size=$(du -sm --apparent-size "$dir" | cut -f 1)
    packed=$(du -sm --apparent-size "$dir.tar.gz" | cut -f 1)
    say "$dir: $size MB; $dir.tar.gz: $packed MB. There: ./run"
    [ "$size" -lt $pack_limit ] && [ "$packed" -lt 40 ] || die "too large: $pack_limit and 40 MB are the limits"
}

dev_gpu() { # [--pack [DIR]] | [OPTION OF run..]
    local code=0 file
    if [ "${1:-}" = --pack ]; then
        [ $# -le 2 ] || die "usage: ./dev gpu --pack [DIR]"
        dev_pack "$(realpath -m "${2:-build/mdl-gpu}")"
        return
    fi
    make_pack build/gpu
    rm -rf build/gpu/results
    build/gpu/run "$@" || code=$?
    case " $* " in *' --only '* | *' --match '*) exit $code ;; esac # part of a run is no result of this GPU
    for file in build/gpu/results/*.json; do
        case $file in
        */none-* | *'*'*) ;;
        *) cp "$file" bench/results/ && say "written: bench/results/${file##*/}" ;;
        esac
    done
    exit $code
}
