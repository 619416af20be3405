# Queues for the tests of executors; sourced after cli.sh.
#
# Slurm's commands in front of a process beside the runner that runs what stands in its folder, $SPOOL. Files there make it behave
# otherwise: `hold` (it begins no job), `down` (it cannot be reached), `slow` (sbatch does not come back), `no_json`.
#
#   box LINE...        the description of an executor `box` without a program: a job is a session of its own, known by its process
#   until_true CMD...  waits until a command succeeds
#   sent               how many jobs were submitted by sbatch
#   fresh              nothing has happened yet
#   minute             shell text that lasts for a minute, and ends by itself

SPOOL=$folder/spool
export SPOOL
mkdir "$SPOOL" bin
PATH=$folder/bin:$PATH
trap 'touch "$SPOOL/stop"; for one in $(cat "$SPOOL"/*.pid "$SPOOL/sub.pids" 2>/dev/null); do kill -s KILL -- "-$one" 2>/dev/null; done; rm -rf "$folder"' EXIT

given bin/queue <<'END_OF_FILE'
#!/bin/sh
turns=0
while [ "$turns" -lt 6000 ] && [ -d "$SPOOL" ] && [ ! -e "$SPOOL/stop" ]; do
  turns=$((turns + 1))
  for job in "$SPOOL"/*.new; do
    [ -e "$job" ] && [ ! -e "$SPOOL/hold" ] || continue
    id=${job%.new}
    mv "$job" "$id.run" || continue
    ( setsid /bin/sh "$(head -n 1 "$id.run")" & echo $! >"$id.pid"; wait $!; rm -f "$id.pid"; mv "$id.run" "$id.done" ) &
  done
  sleep 0.02
done
END_OF_FILE

given bin/sbatch <<'END_OF_FILE'
#!/bin/sh
[ ! -e "$SPOOL/down" ] || { echo "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)" >&2; exit 1; }
echo "$*" >>"$SPOOL/sbatch.log"
for word in "$@"; do
  case $word in
    --comment=*) comment=${word#*=} ;;
    --partition=nowhere) echo "sbatch: error: invalid partition specified: nowhere" >&2; exit 1 ;;
  esac
done
id=1
until mkdir "$SPOOL/$id.taken" 2>/dev/null; do id=$((id + 1)); done
printf '%s\n%s\n' "$word" "$comment" >"$SPOOL/$id.writing"
mv "$SPOOL/$id.writing" "$SPOOL/$id.new"
[ ! -e "$SPOOL/slow" ] || sleep 30
echo "$id"
END_OF_FILE

given bin/squeue <<'END_OF_FILE'
#!/bin/sh
[ ! -e "$SPOOL/down" ] || { echo "slurm_load_jobs error: Unable to contact slurm controller (connect failure)" >&2; exit 1; }
echo "$*" >>"$SPOOL/squeue.log"
form=columns
[ "$1" != --json ] || form=json
[ "$form" != json ] || [ ! -e "$SPOOL/no_json" ] || { echo "squeue: error: no serializer plugin" >&2; exit 1; }
[ "$form" != json ] || printf '{"jobs": ['
between=
for job in "$SPOOL"/*.taken; do
  id=$(basename "${job%.*}")
  for state in PENDING:new RUNNING:run COMPLETED:done; do # as it moves on
    comment=$(sed -n 2p "$SPOOL/$id.${state#*:}" 2>/dev/null) && break
  done
  [ -n "$comment" ] || continue
  state=${state%:*}
  if [ "$form" = json ]; then
    printf '%s{"job_id": %s, "job_state": "%s", "comment": "%s"}' "$between" "$id" "$state" "$comment"
    between=,
  else
    echo "$id|$state|$comment"
  fi
done
[ "$form" != json ] || echo ']}'
exit 0
END_OF_FILE

given bin/scancel <<'END_OF_FILE'
#!/bin/sh
echo "$*" >>"$SPOOL/scancel.log"
signal=TERM
for word in "$@"; do
  case $word in
    --signal=*) signal=${word#*=} ;;
    --*) ;;
    *) rm -f "$SPOOL/$word.new"
       [ ! -e "$SPOOL/$word.pid" ] || kill -s "$signal" -- "-$(cat "$SPOOL/$word.pid")" ;;
  esac
done
exit 0
END_OF_FILE
chmod +x bin/*
queue >/dev/null 2>&1 </dev/null &

until_true() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ "$tries" -lt 1500 ] || { fail "waited in vain for: $*"; return; }
    sleep 0.02
  done
}
sent() { cat "$SPOOL/sbatch.log" 2>/dev/null | wc -l; }
fresh() { rm -rf .perilune; rm -f "$SPOOL/sbatch.log" "$SPOOL/squeue.log" "$SPOOL/scancel.log" "$SPOOL"/*.done count told ended go asked; }

given bin/sub <<'END_OF_FILE'
#!/bin/sh
setsid /bin/sh "$1" >/dev/null 2>&1 </dev/null &
echo $! >>"$SPOOL/sub.pids"
echo $!
END_OF_FILE
chmod +x bin/sub
box() {
  printf '[executors.box]\nkind = "command"\nsubmit = ["sub", "${job.script}"]\n'
  printf '%s\n' "$@"
}
minute='i=0; while [ $i -lt 300 ]; do i=$((i + 1)); sleep 0.2; done'
