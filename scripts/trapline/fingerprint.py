# SPDX-License-Identifier: BSD-2-Clause
"""What a run depends on besides the guests: the host, the machines' programs, our own source."""

import hashlib
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import time


def now():
    """The time as reports give it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


def host():
    """What this host is: CPU, kernel, and its KVM modules with their parameters."""
    cpu = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read(65536)
        for key in ("model name", "microcode", "flags"):
            match = re.search(rf"^{key}\s*:\s*(.*)$", text, re.M)
            cpu[key] = match[1].strip() if match else ""
    except OSError:
        pass
    uname = platform.uname()
    modules = {}
    for module in ("kvm", "kvm_amd", "kvm_intel", "kvm_pvm"):
        directory = f"/sys/module/{module}/parameters"
        if os.path.isdir(f"/sys/module/{module}"):
            modules[module] = {}
            for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
                try:
                    with open(f"{directory}/{name}", encoding="utf-8") as file:
                        modules[module][name] = file.read().strip()
                except OSError:
                    modules[module][name] = None
    return {"cpu": cpu.get("model name", ""), "microcode": cpu.get("microcode", ""),
            "virtualized": "hypervisor" in cpu.get("flags", "").split(),
            "kernel": f"{uname.system} {uname.release} {uname.version}",
            "arch": uname.machine, "cpus": os.cpu_count(), "kvm_modules": modules}


def program(path):
    """{"path", "build_id" or "sha256"} of the program behind a machine, or None."""
    found = path and shutil.which(path)
    if not found:
        return None
    try:
        with open(found, "rb") as file:
            head = file.read(1 << 16)
            build_id = _build_id(head)
            if build_id:
                return {"path": found, "build_id": build_id}
            digest = hashlib.sha256(head)
            while block := file.read(1 << 20):
                digest.update(block)
        return {"path": found, "sha256": digest.hexdigest()}
    except OSError:
        return {"path": found}


def _build_id(head):
    """The linker's build id from the first bytes of an ELF file, or None."""
    if head[:5] != b"\x7fELF\x02" or len(head) < 64:
        return None
    offset, = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    for i in range(count):
        at = offset + i * size
        if at + 56 > len(head):
            break
        kind, = struct.unpack_from("<I", head, at)
        where, = struct.unpack_from("<Q", head, at + 8)
        length, = struct.unpack_from("<Q", head, at + 32)
        if kind != 4:                   # PT_NOTE
            continue
        note = head[where:where + length]
        while len(note) >= 12:
            name, desc, type_ = struct.unpack_from("<III", note)
            start = 12 + (name + 3) // 4 * 4
            if type_ == 3 and note[12:12 + name] == b"GNU\0":
                return note[start:start + desc].hex()
            note = note[start + (desc + 3) // 4 * 4:]
    return None


def commit(root):
    """The commit of our own source, with "+" if it was changed since; "" if that is not known."""
    try:
        with open(os.path.join(root, "COMMIT"), encoding="utf-8") as file:
            return file.read().strip()          # of a bundle
    except OSError:
        pass
    if not os.path.exists(os.path.join(root, ".git")):
        return ""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty=+", "--abbrev=12"], cwd=root,
                              capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def digest(host_, machines):
    """A short name for a host with its machines: two runs with the same one are comparable."""
    what = {"host": host_, "machines": {n: {k: m.get(k) for k in ("version", "program", "host")}
                                        for n, m in machines.items()}}
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
