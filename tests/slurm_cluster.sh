#!/usr/bin/env bash
# A whole Slurm on this machine: one node, eight CPUs and two GPUs that it only says it has.
# Runs inside private mount, network and process namespaces (see tests/slurm_cluster.py), so that
# the machine's own /etc/slurm, ports and processes stay as they are.
#
#   slurm_cluster.sh FOLDER       says "ready", then waits; its end is the cluster's end
set -euo pipefail
folder=$1
host=$(hostname -s)
mkdir -p "$folder"/{etc,run,state,spool,log,munge}
chmod 755 "$folder" "$folder/run"
chmod 700 "$folder/munge" "$folder/log"

# Slurm looks names up with AI_ADDRCONFIG: one address that is not 127.* must exist.
ip link set lo up
ip addr add 10.255.255.1/32 dev lo

cat >"$folder/hosts" <<HOSTS
127.0.0.1 localhost $host
HOSTS
cat >"$folder/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=/run/munge/munge.socket.2
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/log/slurmctld.pid
SlurmdPidFile=$folder/log/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,requeue_delay=1
KillWait=2
MinJobAge=300
ReturnToService=2
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=200000 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
echo "NodeName=$host Name=gpu Type=fake File=/dev/tty[0-1]" >"$folder/etc/gres.conf"

mkdir -p /etc/slurm /run/munge
mount --bind "$folder/hosts" /etc/hosts
mount --bind "$folder/etc" /etc/slurm
mount --bind "$folder/run" /run/munge
dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 status=none
chmod 600 "$folder/munge/key"

munged --force --key-file="$folder/munge/key" --log-file="$folder/log/munged.log" \
  --pid-file="$folder/run/munged.pid" --seed-file="$folder/munge/seed" --num-threads=2
slurmctld
slurmd
for _ in $(seq 100); do
  if timeout 5 sinfo --noheader --format %t 2>/dev/null | grep -q idle; then
    echo ready
    exec sleep infinity
  fi
  sleep 0.1
done
sinfo
tail "$folder"/log/*.log
exit 1
