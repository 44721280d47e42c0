"""A real SLURM of one node on this machine, from Debian's packages; needs root."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
FOLDERS = ["/etc/slurm", "/var/spool/slurmctld", "/var/spool/slurmd", "/var/log/slurm", "/run/munge", "/etc/munge"]
CONFIG = """\
ClusterName=single
SlurmctldHost={host}(127.0.0.1)
MpiDefault=none
ProctrackType=proctrack/linuxproc
ReturnToService=2
SlurmdSpoolDir=/var/spool/slurmd
SlurmUser=root
StateSaveLocation=/var/spool/slurmctld
SwitchType=switch/none
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def start() -> str | None:
    """Start what does not run yet; return why that is not possible, or None when a node is there."""
    if has_node():
        return None
    if os.geteuid() != 0:
        return "starting SLURM needs root"
    if shutil.which("slurmctld") is None and (problem := _install()):
        return problem
    _configure()
    if _quiet("munge", "-n"):
        _quiet("runuser", "-u", "munge", "--", "munged", "--force")
    for daemon in ("slurmctld", "slurmd"):
        if _quiet("pgrep", "-x", daemon):
            _quiet(daemon)
            time.sleep(1)
    for _ in range(40):
        if has_node():
            return None
        time.sleep(0.5)
    return "SLURM was started, but has no node that takes jobs"


def has_node() -> bool:
    if shutil.which("sinfo") is None:
        return False
    states = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True).stdout.split()
    return any(state in ("idle", "mix", "alloc") for state in states)


def _install() -> str | None:
    if shutil.which("apt-get") is None:
        return "SLURM is not installed, and there is no apt"
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        if subprocess.run(["apt-get", *command], env=environment, capture_output=True).returncode:
            return f"apt-get {command[0]} failed"
    return None


def _configure() -> None:
    for folder in FOLDERS:
        Path(folder).mkdir(parents=True, exist_ok=True)
    key = Path("/etc/munge/munge.key")
    if not key.exists() or not key.stat().st_size:
        key.write_bytes(secrets.token_bytes(1024))
    owned = ["/etc/munge", "/run/munge", "/var/log/munge", "/var/lib/munge"]
    subprocess.run(["chown", "-R", "munge:munge", *owned], check=True)
    key.chmod(0o400)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10 // 2**20
    host = socket.gethostname().partition(".")[0]
    Path("/etc/slurm/slurm.conf").write_text(CONFIG.format(host=host, cpus=os.cpu_count(), memory=memory))


def _quiet(*command: str) -> int:
    return subprocess.run(command, capture_output=True).returncode
