#!/usr/bin/env bash
# Plan a rollout, or ask for one and wait for its end: what the GitHub Action and the Azure DevOps template run.
# It reads COMMAND, CONFIG, MODEL, WHY, REQUEST_ID, WAIT, TIMEOUT_MINUTES; it writes the file REPORT, which is there
# whatever comes of it, and ends with saferollout's exit code.
set -uo pipefail

printed="$REPORT.printed" log="$REPORT.log" flow_run=""
rm -f "$REPORT" "$log"

# what it prints goes to a file, what it says to the job's log, and to another file
saferollout_kept() {
  saferollout "$@" 2>&1 >"$printed" | tee -a "$log" >&2
  return "${PIPESTATUS[0]}"
}

refuse() {
  echo "error: $1" | tee -a "$log" >&2
  code=2
}

submitted() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1])).get(sys.argv[2], ""))' "$printed" "$1"
}

code=0
what=("$CONFIG")
if [ -n "$MODEL" ]; then what+=(--model "$MODEL"); fi
if ! [[ "$TIMEOUT_MINUTES" =~ ^[1-9][0-9]{0,4}$ ]]; then
  refuse "timeout-minutes: '$TIMEOUT_MINUTES' is not a number of minutes; write 1 to 99999"
elif [ "$COMMAND" = plan ]; then
  saferollout_kept plan "${what[@]}" --report "$REPORT" || code=$?
elif [ "$COMMAND" != submit ]; then
  refuse "command: '$COMMAND' is not known; write plan or submit"
else
  saferollout_kept submit "${what[@]}" --why "$WHY" --request-id "$REQUEST_ID" --json || code=$?
  if [ "$code" = 0 ]; then
    flow_run=$(submitted flow_run)
    link=$(submitted link)
    echo "submitted: $link" >&2
    if [ "$WAIT" = true ]; then
      saferollout_kept wait "$flow_run" --timeout-s "$((TIMEOUT_MINUTES * 60))" --report "$REPORT" || code=$?
    else
      printf '# Submitted: %s\n' "$(submitted endpoint)" >"$REPORT"
    fi
  fi
fi
if [ ! -s "$REPORT" ]; then
  printf '# ❌ saferollout %s: exit code %s\n\n' "$COMMAND" "$code" >"$REPORT"
  sed -n 's/^error: /- /p' "$log" >>"$REPORT"
fi
if [ -n "$flow_run" ]; then printf '\n[Flow run](%s)\n' "$link" >>"$REPORT"; fi
cat "$REPORT"

if [ -n "${GITHUB_OUTPUT:-}" ]; then
  printf '%s\n' "exit-code=$code" "flow-run=$flow_run" "report=$REPORT" >>"$GITHUB_OUTPUT"
elif [ -n "${TF_BUILD:-}" ]; then
  echo "##vso[task.setvariable variable=exitCode;isOutput=true]$code"
  echo "##vso[task.setvariable variable=flowRun;isOutput=true]$flow_run"
fi
exit "$code"
