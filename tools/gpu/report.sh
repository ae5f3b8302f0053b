# report.sh: the table at the end, the file of results, and the exit code. Sourced by run.sh.

json_text() { # TEXT: as a JSON string
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//[$'\001'-$'\037']/ }"
}

# Rows of results.tsv as JSON, a line each.
json_rows() {
    awk -F '\t' '
        function quoted(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); gsub(/[^ -~]/, "?", s); return "\"" s "\"" }
        NR > 1 {
            printf "%s    {\"stage\": %s, \"program\": %s, \"isa\": %s, \"status\": %s, \"passed\": %d, \"failed\": %d, \"skipped\": %d, \"seconds\": %s, \"note\": %s}",
                (NR > 2 ? ",\n" : ""), quoted($1), quoted($2), quoted($3), quoted($4), $5, $6, $7, $8, quoted($9)
        }
        END { print "" }' "$table"
}

# What bench/gpu.sh says of its measurements (it writes one such file), or null.
json_bench() {
    local file
    for file in "$out"/bench/*.json; do
        [ ! -s "$file" ] || { cat "$file" && return; }
    done
    echo null
}

# And what could not be measured.
json_bench_errors() {
    [ ! -s "$out/bench/lines.jsonl" ] || grep -a '^{.*"error".*}$' "$out/bench/lines.jsonl" | sed 's/^/    /; $!s/$/,/'
}

# What is there, at once or not at all.
write_json() { # CODE
    local slug
    slug=$(printf '%s' "${gpu:-none}" | tr '[:upper:]' '[:lower:]' | sed 's/^nvidia //' | tr -cs 'a-z0-9' '-')
    file=$out/$slug-$(date +%Y-%m-%d).json
    json "$1" >"$file.new" && mv -f "$file.new" "$file"
}

# For whoever finds a run that was ended before it could say so.
so_far() { write_json 3; }

json() { # CODE
    cat <<END
{
  "schema": "mdl.gpu-run.1",
  "date": "$(date +%Y-%m-%d)",
  "host": {"gpu": $(json_text "$gpu"), "cpu": $(json_text "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sed -n 1p)"), "cpus": $(nproc)},
  "versions": {"mdl": $(json_text "$(timeout -k 1 5 bin/mdl --version | sed -n 1p)"), "driver": $(json_text "$driver"), "nvrtc": $(json_text "$nvrtc")},
  "command": {"only": "$only", "isas": $(json_text "$isas"), "seconds": $budget},
  "seconds": $SECONDS,
  "exit_code": $1,
  "tests": [
$(json_rows)
  ],
  "bench": $(json_bench),
  "bench_errors": [
$(json_bench_errors)
  ]
}
END
}

# The table; its exit code is that of the run.
summary() {
    awk -F '\t' -v due="$due" '
        NR == 1 {
            printf "\n%-9s %-30s %-7s %-8s %7s %7s %7s %8s\n", $1, $2, $3, $4, $5, $6, $7, $8
            next
        }
        {
            printf "%-9s %-30s %-7s %-8s %7d %7d %7d %8.1f%s\n", $1, $2, $3, $4, $5, $6, $7, $8, ($4 == "passed" ? "" : "  " substr($9, 1, 100))
            n[$4]++; p += $5; f += $6; s += $7; rows += NF == 9
            if ($1 != "doctor" && $5 > 0) some = 1
        }
        END {
            printf "\n%d programs passed, %d failed, %d timed out, %d skipped, %d cut, %d not run, %d absent; cases: %d passed, %d failed, %d skipped\n",
                n["passed"], n["failed"], n["timeout"], n["skipped"], n["cut"], n["not run"], n["absent"], p, f, s
            if (rows < due)
                printf "%d results are missing: %s could not be written: is the disk full?\n", due - rows, FILENAME
            exit rows < due || n["failed"] || n["timeout"] || !some ? 1 : n["cut"] || n["not run"] || n["skipped"] ? 3 : 0
        }' "$table"
}

report() {
    local code file
    summary
    code=$?
    case $code in
    0 | 1 | 3) ;;
    *)
        printf 'run: %s cannot be read: is the disk full?\n' "$table" >&2
        code=1
        ;;
    esac
    write_json $code || {
        printf 'run: %s cannot be written: is the disk full?\n' "$file" >&2
        code=1
    }
    case $code in
    0) echo "all passed in $SECONDS s: $file" ;;
    1) echo "FAILED: $file; logs are in $out/logs" ;;
    *) echo "INCOMPLETE: $file; logs are in $out/logs" ;;
    esac
    exit $code
}
