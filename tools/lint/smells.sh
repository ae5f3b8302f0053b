#!/usr/bin/env bash
# smells.sh: what grep can see of the rules of the house. Each rule is a function call: a name, a
# pattern (extended regular expression) and the paths it holds for.
set -uo pipefail
bad=0

forbid() { # NAME PATTERN PATHSPEC..
    local name=$1 pattern=$2 hits
    shift 2
    hits=$(git grep -nE "$pattern" -- "$@")
    [ -z "$hits" ] && return
    printf '%s\n' "$hits" | sed "s/^/$name: /"
    bad=1
}

product=(base compiler passes codegen runtime cli)

# (unit tests and golden files may name an op: they are about one)
forbid 'op knowledge outside the table' '(case|[!=]=) OP_([ABD-Z]|C[A-NP-Z])' passes codegen runtime \
    tests/ops ':!passes/simplify.c'
forbid 'lists kept in step by hand' 'ORDER [A-Z]|[Kk]eep (this|these|in) .*sync|same order as' \
    '*.[ch]' '*.def'
forbid 'include that points up' '#include "(\.\./|passes|codegen|front|compile)' base compiler/ir runtime
forbid 'include by path' '#include "\.\./' "${product[@]}"
forbid 'extern in a .c file' '^extern ' '*.c'
forbid 'allocation outside the arena' '\b((m|c|re)alloc|free|strdup)\(' base compiler passes codegen \
    ':!base/arena.c' ':!*.h'
forbid 'exit in a library' '\b(exit|abort|perror)\(' base compiler passes codegen runtime \
    ':!base/bug.c' ':!base/arena.c'
forbid 'print in a library' 'fprintf\(stderr' base compiler passes codegen ':!base/bug.c' ':!base/arena.c'
forbid 'default: swallows the next enumerator' '^\s*default:' "${product[@]}"
forbid 'TODO without an issue' '\b(TODO|FIXME|XXX|HACK)\b([^(]|$)' '*.[chly]' '*.def' '*.mdl'
forbid 'commented-out code' '^\s*//.*;\s*$|^\s*#\s*if 0' '*.[chly]'
forbid 'output that depends on addresses or time' '%p\b|\brand\(\)|\btime\(NULL' base compiler passes codegen \
    ':!codegen/dialect*' # whose templates have a %p of their own
forbid 'goto out of a nest' '\blongjmp\(|\bsetjmp\(' "${product[@]}"
exit $bad
