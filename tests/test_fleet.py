# SPDX-License-Identifier: BSD-2-Clause
"""The bundle on a fleet: a Slurm of one node that does what a cluster does, and LAVA's signals."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from sources import unpack_bundle

ROOT = Path(__file__).resolve().parent.parent
QEMU = shutil.which("qemu-system-x86_64")
PATH = "/usr/sbin:/sbin:" + os.environ["PATH"]
SLURM = all(shutil.which(p, path=PATH) for p in ("slurmctld", "slurmd", "sbatch", "squeue"))
pytestmark = pytest.mark.full
needs_slurm = pytest.mark.skipif(
    not SLURM or os.geteuid() != 0 or not QEMU or not os.path.ismount("/sys/fs/cgroup"),
    reason="no Slurm, no QEMU, not root or no cgroups, without which Slurm does not start")
TASKS = 3
CONFIG = """\
ClusterName=trapline
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={ctld}
SlurmdPort={d}
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Runs a Slurm command on a cluster of our own."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(ctld=free_port(), d=free_port(), dir=folder,
                                    host=socket.gethostname().partition(".")[0],
                                    cpus=os.cpu_count()))
    environment = {**os.environ, "SLURM_CONF": str(config), "PATH": PATH}
    daemons = [subprocess.Popen([*command, "-D", "-f", config], env=environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for command in (["slurmctld"], ["slurmd", "-N", "localhost"])]

    def command(*words, **variables):
        return subprocess.run(list(map(str, words)), env={**environment, **variables},
                              capture_output=True, text=True, timeout=60, check=False)

    try:
        deadline = time.monotonic() + 60
        while (all(daemon.poll() is None for daemon in daemons)
               and time.monotonic() < deadline):
            if "idle" in command("sinfo", "-h", "-o", "%t").stdout:
                break
            time.sleep(0.2)
        else:
            logs = "".join(p.read_text()[-1500:] for p in folder.glob("*.log"))
            pytest.fail(f"the cluster does not come up:\n{logs}")
        yield command
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What all nodes see: the unpacked bundle, with a few guests for the test's sake."""
    folder = tmp_path_factory.mktemp("shared")
    config = unpack_bundle(folder) / "unittests.cfg"
    sections = config.read_text().split("\n[")
    keep = ("dummy]", "int3]", "vectors]", "shadow]")
    config.write_text(sections[0] + "".join("\n[" + s for s in sections if s.startswith(keep)))
    return folder


def ran(slurm, *words, **variables):
    """Submits an array, waits for its end; (the job's number, exit codes of the tasks)."""
    done = slurm("sbatch", "--parsable", "-o", "/dev/null", *words, **variables)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    for _ in range(600):
        if not slurm("squeue", "-h", "-j", job).stdout.strip():
            break
        time.sleep(0.2)
    else:
        pytest.fail("the job does not end")
    said = slurm("scontrol", "show", "job", job).stdout
    return job, [word.partition("=")[2] for word in said.split() if word.startswith("ExitCode=")]


@needs_slurm
def test_array_merged_is_the_whole(slurm, folder, tmp_path):
    job, codes = ran(slurm, f"--array=0-{TASKS - 1}", ROOT / "scripts/fleet/trapline.sbatch", folder,
                     "--machine", "tcg")
    out = folder / job
    assert codes == ["0:0"] * TASKS, codes
    assert sorted(p.name for p in out.glob("*.json")) == [f"{i}.json" for i in range(TASKS)]
    assert all(p.read_text().startswith("KTAP version 1") for p in out.glob("*.ktap"))
    merge = [ROOT / "scripts/fleet/merge", out]
    assert subprocess.run([*merge, str(TASKS)], check=False).returncode == 0
    assert subprocess.run([*merge, str(TASKS + 1)], check=False,
                          capture_output=True).returncode == 1
    whole = tmp_path / "whole.json"
    subprocess.run([folder / "trapline-bundle/run", "--machine", "tcg", "--json", whole],
                   check=True, stdout=subprocess.DEVNULL, timeout=200)

    def verdicts(path):
        return sorted((r["case"], r["environment"], r["machine"], r["verdict"])
                      for r in json.loads(path.read_text())["results"])

    assert verdicts(out / "all.json") == verdicts(whole)


@needs_slurm
def test_every_task_everything(slurm, folder):
    job, codes = ran(slurm, "--array=1-2", "--export=ALL,WHOLE=1",
                     ROOT / "scripts/fleet/trapline.sbatch", folder, "--machine", "tcg", "dummy")
    assert codes == ["0:0", "0:0"]
    assert subprocess.run([ROOT / "scripts/fleet/merge", folder / job, "2"],
                          check=False).returncode == 0
    (result,) = json.loads((folder / job / "all.json").read_text())["results"]
    # Two runs on one host are two runs of the same points.
    assert result["verdict"] == "pass" and result["runs"][0]["count"] == 2


@needs_slurm
def test_a_failing_task_fails(slurm, folder, tmp_path):
    _, codes = ran(slurm, "--array=0-1", "--export=ALL,WHOLE=1",
                   ROOT / "scripts/fleet/trapline.sbatch", folder, "--machine", "nonsense")
    assert codes == ["2:0", "2:0"]


def test_lava_signals():
    ktap = ("KTAP version 1\n1..3\nok 1 int3/a:cpl0@tcg\n# observed x\nnot ok 2 int3/b:cpl0@tcg\n"
            "ok 3 int3/c:cpl0@tcg # SKIP why\n# Totals: pass:1 fail:1 skip:1\n")
    said = subprocess.run([ROOT / "scripts/fleet/ktap-to-lava"], input=ktap, capture_output=True,
                          text=True, check=True).stdout.splitlines()
    signals = [line for line in said if line.startswith("<LAVA")]
    assert signals == [f"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=int3/{n}:cpl0@tcg RESULT={r}>"
                       for n, r in (("a", "pass"), ("b", "fail"), ("c", "skip"))]
    assert [line for line in said if not line.startswith("<LAVA")] == ktap.splitlines()


def test_lava_job_is_yaml():
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((ROOT / "scripts/fleet/lava.yaml").read_text())
    test = job["actions"][-1]["test"]["definitions"][0]
    steps = test["repository"]["run"]["steps"]
    assert steps[-1].endswith("trapline-bundle/ktap-to-lava")
    assert "trapline-bundle/run --machine auto" in steps[-1]
