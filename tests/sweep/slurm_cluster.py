"""A real Slurm of one node for tests: its controller, its daemon, accounting in a MariaDB, all on loopback.

Everything it keeps lies in one folder, and its ports are free ones, so that several can run beside each other. It needs
root (munge and MariaDB run as users of their own) and Debian's packages `PACKAGES`; neither systemd nor cgroups.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge", "slurmdbd", "mariadb-server")
DAEMONS = 5
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "sbatch", "sacct", "munged", "mariadbd", "mariadb-install-db")
SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits as long as a credential lives, plus a second: 120 s unless told otherwise, 5 at the least.
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/daemon
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={folder}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
# Not memory: a job that asks for none would be given all of it, and jobs would run one by one.
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={accounting}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/log/slurmdbd
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
"""

# Whatever CPUs the machine has, slurmd is told another number: without this it takes the node out of service.
SLURMD_PARAMETERS = "SlurmdParameters=config_overrides\n"


def lacking() -> str:
    """What this machine lacks for a cluster; empty where it lacks nothing."""
    if os.geteuid() != 0:
        return "a Slurm for tests is started by root"
    missing = [program for program in PROGRAMS if not shutil.which(program, path=SBIN)]
    return f"{', '.join(missing)} missing: apt-get install {' '.join(PACKAGES)}" if missing else ""


class Cluster:
    """A running cluster of `cpus` CPUs, kept in `folder`, which every user must be able to enter."""

    def __init__(self, folder: Path, cpus: int) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PATH": SBIN, "SLURM_CONF": str(folder / "slurm.conf")}
        host = socket.gethostname().partition(".")[0]
        names = ("controller", "daemon", "accounting", "database")
        self.values = {"folder": folder, "host": host, "cpus": cpus, **dict(zip(names, _free_ports(4), strict=True))}
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for name in ("controller", "daemon", "log"):
            (self.folder / name).mkdir()
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**self.values) + SLURMD_PARAMETERS)
        dbd_conf = self.folder / "slurmdbd.conf"
        dbd_conf.touch(mode=0o600)
        dbd_conf.write_text(SLURMDBD_CONF.format(**self.values))

        self._start_munge()
        self._start_database()
        self._spawn("slurmdbd", "-D")
        until("slurmdbd answers", lambda: self.run("sacctmgr", "--noheader", "show", "cluster", check=False)[1])
        self.run("sacctmgr", "--immediate", "add", "cluster", "test")
        self._spawn("slurmctld", "-D")
        self._spawn("slurmd", "-D")
        until("the node is idle", lambda: self.run("sinfo", "-h", "-o", "%T", check=False)[0].strip() == "idle")
        # An idle node may still be unable to run anything.
        self.run("srun", "--ntasks=1", "true")

    def stop(self) -> None:
        if len(self.daemons) == DAEMONS:
            self.run("scancel", "--user=root")
            until("no job is left", lambda: not self.run("squeue", "--noheader")[0])
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def signal(self, job: str, name: str) -> None:
        """Send a signal to what `job`, an array's, runs."""
        # To its step: told the task, scancel takes those that wait for a mistake, and tries for a minute.
        self.run("scancel", f"--signal={name}", f"{job}.0")

    def run(self, *command: str, check: bool = True) -> tuple[str, bool]:
        """What one of Slurm's commands prints, and whether it succeeded."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout, done.returncode == 0

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir()
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        for path in (folder, key):
            shutil.chown(path, "munge", "munge")
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={folder / name}" for option, name in files.items()]
        self._spawn("munged", "--foreground", *options, user="munge")
        until("munge answers", (folder / "socket").exists)

    def _start_database(self) -> None:
        data = self.folder / "database"
        data.mkdir()
        shutil.chown(data, "mysql", "mysql")
        common = ["--no-defaults", "--user=mysql", f"--datadir={data}"]
        self.run("mariadb-install-db", *common, "--auth-root-authentication-method=socket", "--skip-test-db")
        sock = data / "socket"
        self._spawn(
            "mariadbd",
            *common,
            f"--socket={sock}",
            "--bind-address=127.0.0.1",
            f"--port={self.values['database']}",
            "--innodb-flush-log-at-trx-commit=2",
        )

        def sql(statement: str) -> bool:
            return self.run("mariadb", "--no-defaults", f"--socket={sock}", "-e", statement, check=False)[1]

        until("the database answers", lambda: sql("select 1"))
        for host in ("127.0.0.1", "localhost"):
            assert sql(f"grant all on accounting.* to slurm@'{host}' identified by 'slurm'")

    def _spawn(self, program: str, *arguments: str, user: str | None = None) -> None:
        log = (self.folder / "log" / f"{program}.out").open("wb")
        self.daemons.append(
            subprocess.Popen(
                [shutil.which(program, path=SBIN) or program, *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                user=user,
                group=user,
                start_new_session=True,  # a Ctrl-C is the tests', not theirs
            )
        )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(what: str, holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)
