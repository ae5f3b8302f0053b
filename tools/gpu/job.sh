# job.sh: one program with a time limit: its log, and its row of results.tsv. Sourced by run.sh.

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

# Until jobs that begin now have to end.
left() { echo $((until - SECONDS)); }

due=0 # rows that results.tsv should have: one of each job, and those of this shell

# In one write, since several jobs end at a time. A row without a note ends with a dash.
row() { # STAGE PROGRAM ISA STATUS PASSED FAILED SKIPPED SECONDS [NOTE]
    local note=${9:-} line
    [ "$BASHPID" != $$ ] || due=$((due + 1))
    note=${note//[$'\t\r\n']/ }
    printf -v line '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s' "${@:1:8}" "${note:--}"
    printf '%s\n' "$line" >>"$table"
    say "$(printf '%-8s %-30s %-7s %-8s %3s passed %3s failed %3s skipped %7.1f s  %s' "${@:1:8}" "${note:0:120}")"
}

# The first thing in a log that says what went wrong.
complaint() { # LOG
    grep -a -m1 -E '\[  ERROR   \] --- [^ ]|ERROR:|error:|BUG|CUDA_ERROR|[Ss]egmentation|terminate' "$1" ||
        tail -n 1 "$1"
}

# Counts of cmocka's report, as ./dev test counts them.
count_cases() { # LOG VERDICT
    {
        sed 's/^/1: /' "$1"
        echo
        echo "1/1 Test #1: program ... $2 0.00 sec"
    } | awk -v mode=count -f tools/dev/summary.awk | tr -d ','
}

# Runs a command within its limit and within the time that is left. Sets code, seconds and status (passed,
# failed, timeout, cut); output goes to the log.
timed() { # LIMIT LOG COMMAND..
    local limit=$1 log=$2 whole=$1 from=$EPOCHREALTIME
    shift 2
    [ "$limit" -le "$(left)" ] || limit=$(left)
    timeout -k 5 "$limit" "$@" >"$log" 2>&1 </dev/null &
    current=$!
    wait "$current"
    code=$?
    current=
    [ -z "$stopped" ] || code=124 whole=$((limit + 1))
    seconds=$(awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    case $code in
    0) status=passed ;;
    124 | 137) [ "$limit" -lt "$whole" ] && status='cut' || status='timeout' ;;
    *) status=failed ;;
    esac
}

# A cmocka program on the GPU.
test_job() { # STAGE PROGRAM ISA LIMIT
    local log=$out/logs/$1-$2-$3.log verdict passed failed skipped note='' code seconds status
    if [ "$(left)" -lt 2 ]; then
        row "$1" "$2" "$3" 'not run' 0 0 0 0 'no time was left'
        return
    fi
    timed "$4" "$log" env MDL_TEST_DEVICE=cuda MDL_TEST_ISA="$3" "bin/$2"
    case $status in
    passed) verdict=' Passed ' ;;
    failed) verdict='***Failed' ;;
    *) verdict='***Timeout' ;;
    esac
    read -r passed _ failed _ skipped _ <<<"$(count_cases "$log" "$verdict")"
    [ "$failed" = 0 ] || [ "$status" != passed ] || status=failed
    [ "$status" != passed ] || grep -a -q '^\[==========\] .* run\.' "$log" || status=failed failed=1 note='it reports nothing'
    [ "$passed" != 0 ] || [ "$status" != passed ] || status=skipped
    [ "$status" = cut ] && failed=0
    case $status in
    failed) note=${note:-$(complaint "$log")} ;;
    timeout) note="took more than $4 s" ;;
    cut) note='the time was up' ;;
    esac
    row "$1" "$2" "$3" "$status" "$passed" "$failed" "$skipped" "$seconds" "$note"
}

# ---- several at a time ----

stopped=
current= # the `timeout` of this shell; it passes signals on to its program
pids=()

start_job() { # COMMAND..
    due=$((due + 1))
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
        wait -n
    done
    {
        trap 'stopped=1; stop_current' TERM
        "$@"
    } &
    pids+=($!)
}

wait_jobs() {
    [ ${#pids[@]} = 0 ] || wait "${pids[@]}"
    pids=()
}

stop_current() {
    [ -z "$current" ] || kill "$current" 2>/dev/null
}

stop_jobs() {
    local pid
    trap '' INT TERM HUP
    stop_current
    for pid in $(jobs -rp); do
        kill "$pid" 2>/dev/null
    done
    wait
}
