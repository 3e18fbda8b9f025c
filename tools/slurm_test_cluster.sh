#!/usr/bin/env bash
# A real SLURM cluster of 4 nodes on this machine alone, to try submission or to test it: no systemd,
# no cgroups, no database. It needs Debian's packages slurm-wlm and munge, and any user may start one.
#
#   eval "$(tools/slurm_test_cluster.sh start)"     # brings it up, or finds it up; then sinfo, sbatch, slurm.py
#   tools/slurm_test_cluster.sh status              # nodes and jobs
#   tools/slurm_test_cluster.sh stop                # ends its jobs and daemons, removes its directory
#
# Its keys, state and logs are in $KDASR_SLURM_LAB (default: /tmp/kdasr-slurm-UID). Clusters with different
# directories work side by side. Nodes n1 to n4 have the processors of this machine (two at least), n3 and n4 two "GPUs"
# each, which are no more than a number in CUDA_VISIBLE_DEVICES. Partitions: cpu (the default), gpu, and
# spare, whose jobs are requeued when a job of the other partitions needs their node.
set -euo pipefail
PATH="${PATH}:/usr/sbin:/sbin"

lab="${KDASR_SLURM_LAB:-/tmp/kdasr-slurm-$(id -u)}"
nodes=4
conf="${lab}/slurm.conf"
tries=60  # half seconds that a step of the start may take

say() { echo "${0##*/}: $*" >&2; }
die() {
    say "$*"
    exit 1
}

# alive DAEMON: whether the process of run/DAEMON.pid is there and is ours: its command line names our directory
alive() {
    local process
    process="$(cat "${lab}/run/$1.pid" 2>/dev/null)" || return 1
    [ -n "${process}" ] && tr '\0' ' ' 2>/dev/null <"/proc/${process}/cmdline" | grep -qF -- "${lab}/"
}

end() { # DAEMON
    local try
    alive "$1" || return 0
    kill "$(<"${lab}/run/$1.pid")" 2>/dev/null || return 0
    for ((try = 0; try < 20; try++)); do
        alive "$1" || return 0
        sleep 0.25
    done
    say "$1 does not end; killed"
    kill -KILL "$(<"${lab}/run/$1.pid")" 2>/dev/null || true
}

daemons() { # those that other daemons need come last
    local n
    for ((n = 1; n <= nodes; n++)); do echo "slurmd.n${n}"; done
    printf '%s\n' slurmctld munged
}

# free_ports N: that many neighbouring ports that nothing listens on, the first of them. Not those that the
# kernel gives to outgoing connections (32768 and above), which could be taken a moment later.
free_ports() {
    python3 -c '
import random, socket, sys
number = int(sys.argv[1])
while True:
    first = random.randrange(15000, 32000)
    held = []
    try:
        for port in range(first, first + number):
            held.append(socket.socket())
            held[-1].bind(("0.0.0.0", port))
    except OSError:
        continue
    print(first)
    break' "$1"
}

configure() {
    local host user port n gres processors
    processors="$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)" # which would obey these
    if ((processors < 2)); then processors=2; fi
    host="$(hostname -s)"
    user="$(id -un)"
    port="$(free_ports $((nodes + 1)))"
    {
        cat <<END
ClusterName=kdasr
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${port}
SlurmUser=${user}
SlurmdUser=${user}
AuthType=auth/munge
AuthInfo=socket=${lab}/run/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=${lab}/state
SlurmdSpoolDir=${lab}/spool/%n
SlurmctldPidFile=${lab}/run/slurmctld.pid
SlurmdPidFile=${lab}/run/slurmd.%n.pid
SlurmctldLogFile=${lab}/log/slurmctld.log
SlurmdLogFile=${lab}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=30
SlurmctldTimeout=30
InactiveLimit=0
KillWait=5
MinJobAge=300
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=5
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=${lab}/log/jobcomp.txt
SlurmdParameters=config_overrides
END
        for ((n = 1; n <= nodes; n++)); do
            gres=""
            if ((n > nodes - 2)); then gres=" Gres=gpu:2"; fi
            echo "NodeName=n${n} NodeHostname=${host} NodeAddr=127.0.0.1 Port=$((port + n))" \
                "CPUs=${processors} RealMemory=4000${gres} State=UNKNOWN"
        done
        echo "PartitionName=cpu Nodes=n[1-${nodes}] Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF"
        echo "PartitionName=gpu Nodes=n[$((nodes - 1))-${nodes}] MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF"
        echo "PartitionName=spare Nodes=n[1-${nodes}] MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE"
    } >"${conf}"
    # a GPU has to be a device; its number is the last figure of its name
    for ((n = 0; n < 2; n++)); do ln -sfn /dev/null "${lab}/dev/gpu${n}"; done
    echo "NodeName=n[$((nodes - 1))-${nodes}] Name=gpu File=${lab}/dev/gpu[0-1]" >"${lab}/gres.conf"
    echo "CgroupPlugin=autodetect" >"${lab}/cgroup.conf"
}

# until_alive DAEMON: wait until it has written its process number
until_alive() {
    local try
    for ((try = 0; try < tries; try++)); do
        ! alive "$1" || return 0
        sleep 0.5
    done
    return 1
}

idle_nodes() {
    timeout 10 sinfo -h -p cpu -t idle,mix,alloc,comp -o %D 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }'
}

# Start what does not run, and wait until all nodes have answered.
launch() {
    local n try quiet=0 force=()
    if [ "$(id -u)" = 0 ]; then force=(--force); fi # munged does not like to be root
    alive munged ||
        munged "${force[@]}" --key-file="${lab}/run/munge.key" --socket="${lab}/run/munge.socket" \
            --pid-file="${lab}/run/munged.pid" --log-file="${lab}/log/munged.log" \
            --seed-file="${lab}/run/munged.seed" >&2 9>&- || return 1
    alive slurmctld || slurmctld -f "${conf}" >&2 9>&- || return 1
    until_alive slurmctld || return 1
    for ((n = 1; n <= nodes; n++)); do
        mkdir -p "${lab}/spool/n${n}"
        alive "slurmd.n${n}" || slurmd -f "${conf}" -N "n${n}" >&2 9>&- || return 1
    done
    for ((try = 0; try < tries; try++)); do
        # slurmctld leaves its terminal before it reads its configuration: look whether it has ended since
        if alive slurmctld; then quiet=0; elif ((++quiet > 2)); then return 1; fi
        if alive slurmctld && [ "$(idle_nodes)" = "${nodes}" ]; then return 0; fi
        sleep 0.5
    done
    return 1
}

start() {
    local program attempt
    for program in munged slurmctld slurmd sbatch; do
        command -v "${program}" >/dev/null ||
            die "${program}: not found; as root: apt-get install -y --no-install-recommends slurm-wlm munge"
    done
    [ "${#lab}" -le 80 ] || die "${lab}: too long for the name of a socket; set KDASR_SLURM_LAB to a shorter path"
    [[ "${lab}" == /* && "${lab}" != *[[:space:]]* ]] || die "KDASR_SLURM_LAB=${lab}: expected an absolute path without blanks"
    if [ -e "${lab}" ] && [ -n "$(ls -A "${lab}")" ] && [ ! -e "${lab}/kdasr-slurm-lab" ]; then
        die "${lab}: holds other things; set KDASR_SLURM_LAB to another directory"
    fi
    (umask 022 && mkdir -p "${lab}"/{state,log,run,spool,dev})
    : >"${lab}/kdasr-slurm-lab"
    exec 9>"${lab}/lock"
    flock 9 # two starts at once: the second one finds the first one's cluster
    export SLURM_CONF="${conf}"
    if alive munged && alive slurmctld; then
        launch || die "the cluster in ${lab} does not answer; its logs are in ${lab}/log; ${0##*/} stop ends it"
    else
        for attempt in 1 2 3; do # another program may have taken a port in between
            end_all
            (umask 077 && head -c 1024 /dev/urandom >"${lab}/run/munge.key")
            configure
            if launch; then break; fi
            if ((attempt == 3)); then
                tail -n 5 "${lab}"/log/*.log >&2 || true
                end_all
                die "the cluster did not come up; the ends of its logs are above, all of them in ${lab}/log"
            fi
        done
    fi
    echo "export SLURM_CONF=${conf}"
}

end_all() {
    local daemon
    for daemon in $(daemons); do end "${daemon}"; done
}

# What a job of this cluster runs: its environment names our configuration and a node (that of a user's shell
# names no node).
job_processes() {
    local file
    for file in /proc/[0-9]*/environ; do
        if tr '\0' '\n' 2>/dev/null <"${file}" | grep -cxF -e "SLURM_CONF=${conf}" -e "SLURM_JOB_USER=$(id -un)" |
            grep -qx 2; then
            file="${file#/proc/}"
            echo "${file%/environ}"
        fi
    done
}

stop() {
    local try
    [ -e "${lab}/kdasr-slurm-lab" ] || return 0
    export SLURM_CONF="${conf}"
    if alive slurmctld && alive munged; then
        timeout 10 scancel --user="$(id -un)" || true
        for ((try = 0; try < 40; try++)); do
            [ -n "$(timeout 10 squeue -h 2>/dev/null)" ] || break
            sleep 0.25
        done
    fi
    end_all
    # shellcheck disable=SC2046  # process numbers
    kill -KILL $(job_processes) 2>/dev/null || true
    rm -rf "${lab}"
}

status() {
    alive slurmctld || die "no cluster runs in ${lab}; ${0##*/} start brings one up"
    export SLURM_CONF="${conf}"
    timeout 20 sinfo --Node --long
    timeout 20 squeue
    echo "export SLURM_CONF=${conf}"
}

case "${1:-}" in
    start | stop | status) "$1" ;;
    *)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
