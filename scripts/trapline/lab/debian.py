# SPDX-License-Identifier: BSD-2-Clause
"""Kernels from Debian's archive, through apt.

apt gets folders of its own for everything it reads or writes and does not see the system's
package lists, sources or hooks; no package is installed and no script of one is run. The mirror is
the one that this machine's own sources name, so nothing here knows a host. Index and packages are
verified by apt, by signature and hash.
"""

import os
import re
import subprocess

from ..errors import UsageError
from . import store

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SMALL, GENERIC = "cloud-amd64", "amd64"         # flavours of the kernel; SMALL has CONFIG_KVM_AMD_SEV off
NEWEST = "newest"
# Suites whose security fixes come from the security archive, and those that have point updates.
_PLAIN = ("sid", "unstable", "experimental")


def _environment():
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def _root():
    return os.path.join(store.root(), "apt")


def mirrors():
    """(base, security): addresses of Debian's two archives, from the machine's own sources."""
    try:
        text = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(LABEL)|$(SUITE)|$(RELEASE)|$(REPO_URI)",
             "Created-By: Packages"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        text = ""
    base = security = None
    for line in text.splitlines():
        label, _, release, address = line.split("|", 3)
        # Without package lists there is no label yet, only what the source line says.
        if label == "Debian-Security" or label.startswith("$") and "-security" in release:
            security = security or address
        elif label == "Debian" or label.startswith("$") and address.rstrip("/").endswith(
                "/debian"):
            base = base or address
    return base, security


def configure(suite, mirror=None, security=None, keyring=None, any_date=False):
    """Write apt's configuration for `suite`. `any_date`: the mirror stands still, and its lists are older than
    they say that they may be."""
    base, own_security = mirrors()
    base, security = mirror or base, security or (None if mirror else own_security)
    if not base:
        raise UsageError("this machine's apt names no Debian archive: give one with --mirror")
    keyring = keyring or KEYRING
    if not os.path.exists(keyring):
        raise UsageError(f"no {keyring}: install debian-archive-keyring, or give --keyring")
    plain = suite.partition("-")[0]
    entries = [(base, plain)]
    if plain not in _PLAIN:
        entries.append((base, f"{plain}-updates"))
        if security:
            entries.append((security, f"{plain}-security"))
        if suite.endswith("-backports"):
            entries = [(base, suite)]
    for folder in ("state/lists/partial", "cache/archives/partial", "parts"):
        os.makedirs(os.path.join(_root(), suite, folder), exist_ok=True)
    own = os.path.join(_root(), suite)
    with open(os.path.join(own, "state", "status"), "a", encoding="utf-8"):
        pass
    with open(os.path.join(own, "sources.list"), "w", encoding="utf-8") as file:
        for address, name in entries:
            file.write(f"deb [signed-by={keyring} arch=amd64] {address} {name} main\n")
    with open(os.path.join(_root(), "apt.conf"), "w", encoding="utf-8") as file:
        # #clear: hooks of the system's configuration act on the system's folders. Sandbox: the
        # user that apt fetches as, where it is root, may not look into a home directory.
        file.write(f"""\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
Dir::Etc::sourcelist "{own}/sources.list";
Dir::Etc::sourceparts "{own}/parts";
Dir::Etc::preferences "{own}/preferences";
Dir::Etc::preferencesparts "{own}/parts";
Dir::State "{own}/state";
Dir::State::status "{own}/state/status";
Dir::Cache "{own}/cache";
Debug::NoLocking "true";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Check-Valid-Until "{str(not any_date).lower()}";
Acquire::Check-Date "{str(not any_date).lower()}";
""")


def _apt(program, *words, quiet=True, **more):
    # -c is read after the system's configuration (a proxy, say, stays in force).
    return subprocess.run([program, "-c", os.path.join(_root(), "apt.conf"), *words], env=_environment(), text=True, check=False,
                          stdout=subprocess.PIPE if quiet else None,
                          stderr=subprocess.PIPE if quiet else None, **more)


def update():
    """Fetch the package lists."""
    done = _apt("apt-get", "-q", "update")
    errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err"))]
    if done.returncode or errors:
        raise UsageError("apt-get update failed: " + (errors[0] if errors else done.stderr[-300:]))


def packages(names):
    """Stanzas of the packages, as dicts, newest version first."""
    if not names:
        return []
    done = _apt("apt-cache", "show", *names)
    found = []
    for text in done.stdout.split("\n\n"):
        stanza = dict(re.findall(r"^([\w-]+): (.*)$", text, re.M))
        if "Package" in stanza and "Filename" in stanza:
            found.append(stanza)
    return found


def named(expression):
    """Names of the packages that the regular expression fits."""
    done = _apt("apt-cache", "search", "--names-only", expression)
    return [line.split()[0] for line in done.stdout.splitlines()]


def kernel_packages(flavour):
    """Stanzas of all kernel image packages of `flavour` ("cloud-amd64", "amd64")."""
    names = named(r"^linux-image-[0-9]")
    names = [n for n in names if re.fullmatch(
        r"linux-image-\d[^-]*(-\d+|-rt\d+)?(\.\w+)*(\+\w[\w.]*)?-" + re.escape(flavour), n)
        or re.fullmatch(r"linux-image-\d\S*?" + re.escape("-" + flavour), n)
        and not re.search(r"-(unsigned|dbg|rt|cloud)\b", n.removesuffix("-" + flavour))]
    return packages(names)


def version_key(version):
    """Sort key of a Debian kernel version; kernels have no epochs and few letters."""
    return [(0 if part == "~" else 1, int(part) if part.isdigit() else 0, part)
            for part in re.findall(r"~|\d+|[a-z]+", version)]


def upstream(version):
    """"6.1.137" of "6.1.137-1~deb11u1"."""
    return re.match(r"[\d.]*", version)[0].rstrip(".")


def choose(version, flavour):
    """The newest kernel package whose version begins with `version`, or is any (NEWEST), with what it
    needs."""
    every = kernel_packages(flavour)
    fitting = [s for s in every if version == NEWEST or (s["Version"] + ".").startswith(version + ".")
               or s["Version"].startswith(version + "-")]
    if not fitting:
        have = sorted({s["Version"] for s in every}, key=version_key)
        raise UsageError(f"no kernel {version} of flavour {flavour} in this suite"
                         + (f"; there are {', '.join(have)}" if have else ""))
    image = max(fitting, key=lambda s: version_key(s["Version"]))
    # Since Linux 7.0 the image's files are in two packages that it depends on.
    parts = re.findall(r"(linux-(?:binary|modules|image)-\d[\w.+~-]*)", image.get("Depends", ""))
    rest = [max((s for s in packages([p]) if s["Version"] == image["Version"]), default=None,
                key=lambda s: s["Version"]) for p in dict.fromkeys(parts)]
    return [image, *(s for s in rest if s)]


def download(stanzas, quiet=False):
    """Paths of the packages, fetched where they are not there yet."""
    folder = os.path.join(store.root(), "debs")
    os.makedirs(folder, exist_ok=True)
    wanted = [f"{s['Package']}={s['Version']}" for s in stanzas]
    # It keeps a partial file and goes on from there, and keeps a whole one if its hash is right.
    done = _apt("apt-get", "-q", "download", *wanted, quiet=quiet, cwd=folder)
    if done.returncode:
        raise UsageError("apt-get download failed; run the same command again to go on")
    paths = []
    for stanza in stanzas:
        name = f"{stanza['Package']}_{stanza['Version'].replace(':', '%3a')}_{stanza['Architecture']}.deb"
        paths.append(os.path.join(folder, name))
        _verify(paths[-1], stanza)
    return paths


def closure(package):
    """(file name, bytes) of a package and all that it needs."""
    done = _apt("apt-get", "install", "-y", "--no-install-recommends", "--print-uris", package)
    return [(name, int(size)) for name, size in
            re.findall(r"^'[^']+' (\S+) (\d+) ", done.stdout, re.M)]


def fetch_closure(package):
    """Paths of the same, fetched and verified; apt keeps what came before an interruption."""
    done = _apt("apt-get", "-q", "install", "-y", "--no-install-recommends", "--download-only",
                package)
    if done.returncode:
        raise UsageError("the download failed; run the same command again to go on: "
                         + done.stderr.strip()[-200:])
    folder = subprocess.run(
        ["apt-config", "-c", os.path.join(_root(), "apt.conf"), "shell", "D",
         "Dir::Cache::archives/d"], capture_output=True, text=True, check=True).stdout
    folder = re.search(r"D='(.*)'", folder)[1]
    return [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.endswith(".deb")]


def _verify(path, stanza):
    import hashlib

    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if stanza.get("SHA256") and digest.hexdigest() != stanza["SHA256"]:
        os.unlink(path)
        raise UsageError(f"{path}: does not have the hash of the index; removed, try again")
