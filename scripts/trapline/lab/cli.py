# SPDX-License-Identifier: BSD-2-Clause
"""scripts/lab: the kernels of the lab, and bisection over them."""

import argparse
import os
import re
import signal
import sys

from ..errors import UsageError
from . import bisect, deb, debian, emulator, kmod, modules, sevhost, source, store, table, tally, vmlinux, xens

_EPILOG = """\
examples:
  scripts/lab add 6.1 --debian bookworm         machine lab-6.1
  scripts/lab add 6.12 --debian trixie --sev    machines lab-6.12-sev, -qemu-sev, … as well
  scripts/lab add unstable --debian sid --version newest --sev
  scripts/lab add xen-4.17 --debian bookworm --xen
  scripts/lab add mine --kernel arch/x86/boot/bzImage --modules .
  ./run_tests.sh --machine lab-6.1
  scripts/lab bisect int3/int3_overlap --from 6.12.40 --to 6.12 --debian bookworm-backports,trixie
  scripts/lab bisect illegal/error_interrupt:cpl0 --xen --from 4.14 --to 4.20 --debian bullseye,bookworm,trixie
  git bisect run sh -c 'make -j8 bzImage modules || exit 125
      scripts/lab try int3/int3_overlap --kernel arch/x86/boot/bzImage --modules .'
"""


# Since Linux 7.0, Debian has the kernel beside its modules.
_VMLINUZ = re.compile(r"boot/vmlinuz-(.+)|(?:usr/)?lib/modules/([^/]+)/vmlinuz")
_KEPT = 75              # MB of each kernel, most of it vmlinux
_SEV_KINDS = ("sev", "sev-es", "sev-snp", "qemu-sev", "qemu-sev-es", "qemu-sev-snp")
KINDS = ("intel", "bochs", "amd", *_SEV_KINDS)      # machines/lab.py has their machines


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(message)


def parser():
    p = _Parser(prog="scripts/lab", epilog=_EPILOG, allow_abbrev=False,
                description="Kernels to judge the KVM of, and Xens, without virtualization hardware.",
                formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND",
                                parser_class=_Parser)

    add = commands.add_parser("add", help="make the machines of a kernel, or of a Xen, known to run_tests.sh")
    add.add_argument("name", metavar="NAME", help="a version such as 6.1, or any name")
    add.add_argument("--debian", metavar="SUITE",
                     help="the newest kernel of version NAME in this suite of Debian")
    add.add_argument("--version", metavar="V", help="that version instead of NAME, or \"newest\"")
    flavour = add.add_mutually_exclusive_group()
    flavour.add_argument("--flavour", metavar="F", help=f"Debian's flavour (default: {debian.SMALL})")
    flavour.add_argument("--sev", action="store_true",
                         help=f"flavour {debian.GENERIC}: larger, but its KVM has SEV")
    add.add_argument("--mirror", metavar="URL", help="archive to use instead of this machine's")
    add.add_argument("--keyring", metavar="F", help="keys that sign it")
    add.add_argument("--any-date", action="store_true",
                     help="whatever date the mirror's lists say that they are good until")
    add.add_argument("--deb", nargs="+", metavar="FILE", help="kernel packages already here")
    add.add_argument("--kernel", metavar="FILE", help="bzImage or vmlinuz, with --modules")
    add.add_argument("--modules", metavar="DIR",
                     help="folder below which its modules lie: a build tree or /lib/modules/…")
    add.add_argument("--xen", nargs="?", const=True, metavar="FILE",
                     help="a Xen: that of --debian or --deb, or FILE (xen.gz); NAME begins with xen-")
    add.add_argument("-n", "--dry-run", action="store_true",
                     help="say what would be fetched, and stop")

    qemu = commands.add_parser("qemu", help="fetch a newer QEMU for the lab, next to the system's")
    qemu.add_argument("--debian", metavar="SUITE", required=True)
    qemu.add_argument("-n", "--dry-run", action="store_true",
                      help="say what would be fetched, and stop")

    commands.add_parser("list", help="show the kernels and their machines")

    remove = commands.add_parser("remove", help="forget kernels")
    remove.add_argument("names", nargs="*", metavar="NAME")
    remove.add_argument("--all", action="store_true", help="all of them, and every download")

    update = commands.add_parser("update", help="fetch newer packages of Debian's kernels")
    update.add_argument("names", nargs="*", metavar="NAME", help="default: all from Debian")

    search = commands.add_parser("bisect", help="find the kernel, or Xen, that a case's verdict changed in")
    search.add_argument("case", metavar="CASE", help="GUEST/CASE or GUEST/CASE:ENVIRONMENT")
    search.add_argument("--from", dest="first", required=True, metavar="V")
    search.add_argument("--to", dest="last", required=True, metavar="V",
                        help="a version; 6.1 means all of 6.1")
    search.add_argument("--xen", action="store_true", help="over Xens, not over kernels")
    search.add_argument("--debian", metavar="SUITE,…",
                        help="also every kernel, or Xen, of these suites, fetched when needed")
    search.add_argument("--flavour", metavar="F", help=f"default: {debian.SMALL}, with --kind sev, sev-es or sev-snp "
                        f"{debian.GENERIC}")
    _kind(search)
    search.add_argument("--params", nargs="+", default=[], metavar="P=V",
                        help="parameters of the KVM modules, or Xen's, or nested")

    tables = commands.add_parser("table", help="run what catches KVM's, or Xen's, bugs on the kernels, or Xens, and "
                                 "print which has which, as Markdown")
    tables.add_argument("bugs", nargs="*", metavar="BUG", help="ids of bugs.toml (default: KVM's, or Xen's)")
    tables.add_argument("--cases", nargs="+", default=[], metavar="CASE",
                        help="more cases, for the table of differences")
    tables.add_argument("--xen", action="store_true", help="of Xen's bugs on the Xens, not of KVM's")
    tables.add_argument("--kernels", metavar="NAME,…", help="default: all")
    tables.add_argument("--machines", metavar="NAME,…",
                        help="these machines of the lab instead: lab-6.1,lab-6.1-intel+ept=0")
    tables.add_argument("--params", nargs="+", default=[], metavar="P=V",
                        help="parameters of the KVM modules")
    tables.add_argument("--keep", metavar="DIR", help="keep each machine's report there, and take what is "
                        "there already")
    tables.add_argument("--brief", action="store_true", help="bugs only, not each case")
    tables.add_argument("--write", metavar="F", help="put it into this file, between its marks")

    tallied = commands.add_parser("tally", help="run guests on machines of the lab, and print what became of "
                                  "their points, as Markdown")
    tallied.add_argument("guests", nargs="*", metavar="GUEST")
    tallied.add_argument("--groups", metavar="GROUP,…", help="a row for each of these groups as well")
    tallied.add_argument("--machines", metavar="NAME,…", required=True)
    tallied.add_argument("--keep", metavar="DIR", help="keep each machine's report there, and take what is "
                         "there already")
    tallied.add_argument("--write", metavar="F", help="put it into this file, between its marks")

    sources = commands.add_parser("source", help="fetch KVM's source of a kernel of Debian's, and what its "
                                  "modules are built against")
    sources.add_argument("name", metavar="NAME", help="a kernel of scripts/lab list")

    build = commands.add_parser("modules", help="build KVM's modules alone, for a kernel of Debian's: a new "
                                "kernel of the lab")
    build.add_argument("name", metavar="NAME", help="a kernel of scripts/lab list")
    build.add_argument("--as", dest="new", metavar="NAME", required=True, help="what the new one is called")
    build.add_argument("--tree", metavar="DIR", help="source tree of Linux (default: that of scripts/lab source)")
    build.add_argument("--vendor", choices=("amd", "intel"), default="amd")
    build.add_argument("-j", "--jobs", type=int, metavar="N", default=os.cpu_count())

    attempt = commands.add_parser("try", help="run one case on a kernel just built: exit status 0 "
                                  "good, 1 bad, 125 cannot tell, for git bisect run")
    attempt.add_argument("case", metavar="CASE")
    attempt.add_argument("--kernel", metavar="FILE", required=True)
    attempt.add_argument("--modules", metavar="DIR", required=True)
    _kind(attempt)
    return p


def _kind(command):
    command.add_argument("--kind", choices=KINDS, metavar="KIND", help="the machine lab-NAME-KIND instead of "
                         f"lab-NAME: {', '.join(KINDS)}")


def main(argv):
    """Run scripts/lab; its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        options = parser().parse_args(argv)
        return globals()[f"_{options.command}"](options) or 0
    except UsageError as error:
        sys.stderr.write(f"scripts/lab: {error}\n")
        return 2
    except BrokenPipeError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    except KeyboardInterrupt:
        sys.stderr.write("scripts/lab: interrupted; the same command goes on where it was\n")
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return 2


def size(count):
    return f"{int(count) / 1e6:.1f} MB"


def _check_name(name):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or \
            name.endswith(tuple(f"-{kind}" for kind in KINDS)):
        raise UsageError(f"'{name}' cannot be the name of a kernel")


def _add(options):
    _check_name(options.name)
    if options.xen:
        return _add_xen(options)
    if options.name.startswith(xens.PREFIX):
        raise UsageError(f"'{options.name}' is the name of a Xen: say --xen")
    sources = [bool(options.debian), bool(options.deb), bool(options.kernel or options.modules)]
    if sum(sources) != 1:
        raise UsageError("add needs one of --debian SUITE, --deb FILE…, or --kernel FILE "
                         "--modules DIR")
    if (options.sev or options.flavour) and not options.debian:
        raise UsageError("--sev and --flavour choose among Debian's kernels: they need --debian SUITE")
    if options.kernel and not options.modules or options.modules and not options.kernel:
        raise UsageError("--kernel and --modules go together")
    with store.locked():
        if options.debian:
            kernel = _add_debian(options.name, options)
        elif options.deb:
            kernel = _unpack(options.name, options.deb, ", ".join(
                os.path.basename(p) for p in options.deb))
        else:
            kernel = _add_built(options.name, options)
    if kernel:
        if getattr(options, "sev", False) and (reason := sevhost.missing(kernel, "sev")):
            raise UsageError(reason)
        print(f"lab-{kernel.name}: Linux {kernel.version} ({kernel.release}), "
              f"{', '.join(m for m in store.MODULES if m in kernel.modules)}")
    return 0


def _add_xen(options):
    if not options.name.startswith(xens.PREFIX):
        raise UsageError(f"the name of a Xen begins with '{xens.PREFIX}', as in xen-4.17")
    if options.kernel or options.modules:
        raise UsageError("--kernel and --modules are not for a Xen, whose dom0 is Trapline's own")
    if sum((bool(options.debian), bool(options.deb), options.xen is not True)) != 1:
        raise UsageError("add --xen needs one of --debian SUITE, --deb FILE, or a FILE of its own")
    with store.locked():
        if options.debian:
            xen = xens.add_debian(options.name, options.debian, options.version, options.mirror, options.keyring,
                                  options.dry_run, lambda line: print(line, flush=True))
        elif options.deb:
            if len(options.deb) != 1:
                raise UsageError("add --xen --deb takes one package")
            xen = xens.add_package(options.name, options.deb[0], os.path.basename(options.deb[0]))
        else:
            xen = xens.add_file(options.name, options.xen, options.version)
    if xen:
        print(f"lab-{xen.name}: Xen {xen.version} ({xen.release})")
    return 0


def _add_debian(name, options, quiet=False):
    """Kernel `name` from Debian. `quiet`: the package lists are new, and what is fetched need not be
    told."""
    debian.configure(options.debian, options.mirror, keyring=options.keyring, any_date=options.any_date)
    flavour = options.flavour or (debian.GENERIC if options.sev else debian.SMALL)
    if options.sev and not quiet:
        print(f"flavour {flavour}: KVM of {debian.SMALL} has no SEV", flush=True)
    if not quiet:
        print(f"package lists of {options.debian}: some 10 MB", flush=True)
        debian.update()
    stanzas = debian.choose(options.version or name, flavour)
    for stanza in stanzas if not quiet else ():
        print(f"{stanza['Package']} {stanza['Version']}: {size(stanza['Size'])} to fetch, of "
              f"which some {_KEPT} MB are kept", flush=True)
    if options.dry_run:
        return None
    try:
        old = store.load(name)
    except UsageError:
        old = None
    versions = {s["Package"]: s["Version"] for s in stanzas}
    if old and old.debian.get("packages") == versions:
        print(f"{name} is up to date")
        return old
    paths = debian.download(stanzas, quiet)
    kernel = _unpack(name, paths, f"Debian {options.debian}", {
        "suite": options.debian, "flavour": flavour, "packages": versions,
        "version": options.version or name, "mirror": options.mirror,
        "keyring": options.keyring, "any_date": options.any_date})
    for path in paths:
        os.unlink(path)
    return kernel


def _unpack(name, paths, source, debian_facts=None):
    """Kernel `name` out of packages."""
    image, release, modules = None, "", {}
    for path in paths:
        for member, read in deb.members(path):
            if found := _VMLINUZ.fullmatch(member):
                image, release = read(), found[1] or found[2]
            elif (module := kmod.name_of(member)) and "/arch/x86/kvm/" in member or \
                    module in ("irqbypass", "ccp"):
                modules[module] = kmod.unpacked(member, read())
            elif module and "/drivers/crypto/ccp/" in member:
                modules[module] = kmod.unpacked(member, read())
    return _store(name, image, release, modules, source, debian_facts)


def _add_built(name, options):
    modules, found = {}, {}
    for folder, _, files in os.walk(options.modules):
        for file in files:
            module = kmod.name_of(file)
            if module in (*store.MODULES, "kvm", "irqbypass", "ccp") or \
                    module and "/arch/x86/kvm" in folder:
                path = os.path.join(folder, file)
                if module in found:
                    raise UsageError(f"two modules {module}: {found[module]} and {path}")
                found[module] = path
                with open(path, "rb") as opened:
                    modules[module] = kmod.unpacked(path, opened.read())
    try:
        with open(options.kernel, "rb") as file:
            image = file.read()
    except OSError as error:
        raise UsageError(f"{options.kernel}: {error.strerror}") from None
    return _store(name, image, "", modules, os.path.abspath(options.kernel))


def _store(name, image, release, modules, source, debian_facts=None):
    if not image:
        raise UsageError(f"no vmlinuz in {source}")
    at = image[0x202:0x204] and int.from_bytes(image[0x20e:0x210], "little") + 0x200
    if image[0x202:0x206] != b"HdrS":
        text = b""
    else:
        text = image[at:at + 512].partition(b"\0")[0]
    if not text:
        raise UsageError(f"{source}: is no bootable x86 Linux kernel")
    text = text.decode("ascii", "replace")
    release = text.split()[0]
    infos = {module: kmod.info(elf) for module, elf in modules.items()}
    loaded = kmod.closure(store.MODULES, infos)
    if not loaded:
        raise UsageError(f"{source}: has neither module {' nor '.join(store.MODULES)}")
    for module in loaded:
        if infos[module]["vermagic"].split(" ")[0] != release:
            raise UsageError(f"{module} is for {infos[module]['vermagic'].split(' ')[0]}, the "
                             f"kernel is {release}")
    # Debian names its own version at the end: "#1 SMP … Debian 6.1.137-1 (2025-05-07)".
    version = re.search(r"Debian (\d+(?:\.\d+)+)", text) or re.match(r"(\d+(?:\.\d+)+)", release)
    kernel = store.Kernel(
        name, release, version[1], source, {m: infos[m]["depends"] for m in loaded},
        {m: infos[m]["params"] for m in loaded}, debian_facts or {})
    with store.new(name) as folder:
        for module in loaded:
            with open(os.path.join(folder, module + ".ko"), "wb") as file:
                file.write(modules[module])
        with open(os.path.join(folder, "vmlinuz"), "wb") as file:
            file.write(image)
        elf = vmlinux.unpacked(image)
        if elf and vmlinux.has_pvh_entry(elf):
            with open(os.path.join(folder, "vmlinux"), "wb") as file:
                file.write(elf)
        store.save(folder, kernel)
    return kernel


def _qemu(options):
    with store.locked():
        path = emulator.add(options.debian, lambda line: print(line, flush=True), options.dry_run)
    if path:
        print(f"the lab's machines use {path}")


def _list(_options):
    rows = [("kernel, Xen", "version", "machine", "kept", "from")]
    for name in store.names():
        kernel = store.load(name)
        kept = sum(os.path.getsize(os.path.join(kernel.folder, f))
                   for f in os.listdir(kernel.folder))
        machines = [f"lab-{name}"] * ("kvm-amd" in kernel.modules) + \
            [f"lab-{name}-intel"] * ("kvm-intel" in kernel.modules) + \
            [f"lab-{name}-{kind}" for kind in ("bochs", "amd")] * ("kvm-amd" in kernel.modules) + \
            [f"lab-{name}-{kind}" for kind in _SEV_KINDS
             if not sevhost.missing(kernel, kind.removeprefix("qemu-"))]
        rows.append((name, kernel.version, " ".join(machines), size(kept), kernel.source))
    for name in xens.names():
        xen = xens.load(name)
        rows.append((name, xen.version, f"lab-{name} lab-{name}-intel", size(os.path.getsize(xen.path)), xen.source))
    if len(rows) == 1:
        print("no kernels yet: scripts/lab add 6.1 --debian bookworm")
        return
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _remove(options):
    if bool(options.names) == options.all:
        raise UsageError("remove needs names, or --all")
    if options.all:
        import shutil

        with store.locked():
            pass
        shutil.rmtree(store.root(), ignore_errors=True)
        return
    with store.locked():
        kind = {name: xens if name.startswith(xens.PREFIX) else store for name in options.names}
        for name in kind:
            kind[name].load(name)
        for name in kind:
            kind[name].remove(name)


def _update(options):
    with store.locked():
        for name in options.names or store.names() + xens.names():
            if name.startswith(xens.PREFIX):
                _update_xen(name, bool(options.names))
                continue
            kernel = store.load(name)
            if not kernel.debian:
                if options.names:
                    raise UsageError(f"{name} does not come from Debian's archive")
                continue
            facts = kernel.debian
            _add_debian(name, argparse.Namespace(
                debian=facts["suite"], flavour=facts["flavour"], sev=False, version=facts["version"],
                mirror=facts["mirror"], keyring=facts["keyring"],
                any_date=facts.get("any_date", False), dry_run=False))
            print(f"lab-{name}: Linux {store.load(name).version}")


def _update_xen(name, named):
    facts = xens.load(name).debian
    if facts:
        xen = xens.add_debian(name, facts["suite"], facts["version"], facts["mirror"], facts["keyring"],
                              say=lambda line: print(line, flush=True))
        print(f"lab-{name}: Xen {xen.version}")
    elif named:
        raise UsageError(f"{name} does not come from Debian's archive")


def _bisect(options):
    if options.xen:
        if options.flavour or options.kind not in (None, "intel"):
            raise UsageError("--xen goes with no flavour and with no kind but intel")
        return bisect.command(options, bisect.Xens())
    options.flavour = options.flavour or (debian.GENERIC if options.kind in _SEV_KINDS else debian.SMALL)

    def add(name, version, suite):
        with store.locked():
            _add_debian(name, argparse.Namespace(
                debian=suite, flavour=options.flavour, sev=False, version=version, mirror=None, keyring=None,
                any_date=False, dry_run=False), quiet=True)
    return bisect.command(options, bisect.Kernels(options.flavour, add))


def _try(options):
    def add_built(name):
        with store.locked():
            _add_built(name, options)
    return bisect.attempt(options, add_built)


def _tally(options):
    return tally.command(options)


def _source(options):
    with store.locked():
        folder = source.fetch(store.load(options.name), lambda line: print(line, flush=True))
    print(os.path.join(folder, "tree"))


def _modules(options):
    _check_name(options.new)
    with store.locked():
        base = store.load(options.name)
        folder = source.fetch(base, lambda line: print(line, flush=True))
        tree = options.tree or os.path.join(folder, "tree")
        kernel = modules.add(options.new, base, modules.build(base, tree, options.vendor, options.jobs), tree)
    print(f"lab-{kernel.name}: Linux {kernel.version} ({kernel.release}), {', '.join(kernel.modules)}")


def _table(options):
    return table.command(options)
