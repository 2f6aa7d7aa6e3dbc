# SPDX-License-Identifier: BSD-2-Clause
"""./configure and scripts/install-deps: what they find, what they ask for, what they write."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
# What the scripts themselves call, and the tools that they look for.
SHELL_TOOLS = ["sh", "awk", "cat", "cmp", "cp", "dirname", "grep", "head", "id", "ls", "mktemp",
               "rm", "sed", "tr"]
BUILD_TOOLS = ["gcc", "as", "ld", "objcopy", "ar", "make"]


def tool(name):
    """Where the program `name` lies; the compiler itself, since ccache would look for another of that name in PATH."""
    return shutil.which(name, path=os.pathsep.join(folder for folder in os.get_exec_path() if "ccache" not in folder))


def write_script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


class Tree:
    """A copy of configure and scripts/, and a PATH that has only the tools it is given."""

    def __init__(self, folder):
        self.folder = folder / "tree"
        self.bin = folder / "bin"
        self.bin.mkdir()
        shutil.copytree(TOP / "scripts", self.folder / "scripts")
        shutil.copy(TOP / "configure", self.folder)
        self.give(*SHELL_TOOLS)
        self.os_release("debian")

    def give(self, *names):
        for name in names:
            found = tool(name)
            if not found:
                pytest.skip(f"{name} is not installed here")
            (self.bin / name).symlink_to(found)

    def os_release(self, family):
        (self.folder / "os-release").write_text(f'ID=some\nID_LIKE="{family}"\n')

    def run(self, *command):
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True,
                              env={"PATH": str(self.bin), "OS_RELEASE": str(self.folder / "os-release")})

    def config(self):
        lines = (self.folder / "config.mak").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.fixture
def full(tree):
    tree.give(*BUILD_TOOLS)
    return tree


@pytest.mark.parametrize("option, nearest", [
    ("--qmu=/usr/bin/qemu", "--qemu="),
    ("--instal-deps", "--install-deps"),
    ("--CC=gcc", "--cc="),
    ("--pyton=python3", "--python="),
    ("debug", "--debug"),
])
def test_unknown_option_names_the_nearest(full, option, nearest):
    done = full.run("./configure", option)
    assert done.returncode == 2
    assert done.stderr == f"configure: unknown option '{option}'; did you mean '{nearest}'?\n"
    assert done.stdout == ""
    assert not (full.folder / "config.mak").exists()


def test_option_without_a_value(full):
    done = full.run("./configure", "--cc")
    assert (done.returncode, done.stderr) == (2, "configure: --cc needs a value, as in --cc=...\n")


def test_config_is_written_once(full):
    assert full.run("./configure").returncode == 0
    config = full.folder / "config.mak"
    os.utime(config, (1, 1))
    assert "up to date" in full.run("./configure").stdout
    assert config.stat().st_mtime == 1
    assert full.run("./configure", "--debug").returncode == 0
    assert config.stat().st_mtime != 1
    assert full.config()["DEBUG"] == "yes"


def test_install_deps_alone_keeps_the_options(full):
    for name in "qemu-system-x86_64", "bochs", "gdb":
        write_script(full.bin / name, "exit 0\n")
    write_script(full.bin / "wrapper", 'exec "$@"\n')
    assert full.run("./configure", "--cc=wrapper gcc", "--debug").returncode == 0
    assert full.run("./configure", "--install-deps").returncode == 0
    assert (full.config()["CC"], full.config()["DEBUG"]) == ("wrapper gcc", "yes")
    assert full.run("./configure").returncode == 0
    assert (full.config()["CC"], full.config()["DEBUG"]) == ("gcc", "")
    assert full.run("./configure", "--install-deps").returncode == 0
    assert (full.config()["CC"], full.config()["DEBUG"]) == ("gcc", "")


def test_emulators_are_optional_but_not_when_named(full):
    done = full.run("./configure")
    assert done.returncode == 0
    assert "qemu      none: no tcg and kvm machines" in done.stdout
    assert "bochs     none: no bochs-svm and bochs-vmx machines" in done.stdout
    assert (full.config()["QEMU"], full.config()["BOCHS"]) == ("", "")

    done = full.run("./configure", "--qemu=/nowhere/qemu")
    assert done.returncode == 2
    assert "the QEMU given with --qemu= is not there" in done.stderr


def test_python_without_our_modules_in_front(full):
    """As with a pyenv shim: python3 in PATH runs, but is not the one that has pytest."""
    write_script(full.bin / "python3", 'exec /usr/bin/python3 -I -S "$@"\n')
    done = full.run("./configure")
    assert done.returncode == 0, done.stderr
    assert full.config()["PYTHON"] == "/usr/bin/python3"


def test_python_that_lacks_modules_is_named(full):
    write_script(full.bin / "bare", 'exec /usr/bin/python3 -I -S "$@"\n')
    done = full.run("./configure", "--python=bare")
    assert done.returncode == 2
    assert "python3 lacks pytest, elftools, jinja2, rich" in done.stderr


def test_missing_compiler_asks_for_one_command(tree):
    done = tree.run("./configure")
    assert done.returncode == 2
    assert "no usable C compiler: no gcc and no clang in PATH" in done.stderr
    assert "no GNU make" in done.stderr
    commands = done.stdout.splitlines()
    assert len(commands) == 1
    assert "apt-get install --no-install-recommends gcc binutils make " in commands[0]
    assert not (tree.folder / "config.mak").exists()


def test_old_compiler_is_refused(tree):
    tree.give(*BUILD_TOOLS[1:])
    gcc = tool("gcc")
    write_script(tree.bin / "gcc", f'exec {gcc} -U__GNUC__ -D__GNUC__=11 "$@"\n')
    done = tree.run("./configure")
    assert done.returncode == 2
    assert "no usable C compiler: gcc is a gcc older than 12" in done.stderr
    assert "apt-get install --no-install-recommends clang" in done.stdout


def test_compiler_of_two_words(full):
    write_script(full.bin / "wrapper", 'exec "$@"\n')
    assert full.run("./configure", "--cc=wrapper gcc").returncode == 0
    assert full.config()["CC"] == "wrapper gcc"


@pytest.mark.parametrize("family, command", [
    ("debian", "apt-get install --no-install-recommends gcc binutils make qemu-system-x86 "
               "bochs bochs-term gdb"),
    ("fedora", "dnf install --setopt=install_weak_deps=False gcc binutils make "
               "qemu-system-x86-core bochs gdb"),
    ("rhel fedora", "dnf install --setopt=install_weak_deps=False gcc binutils make qemu-kvm gdb"),
    ("arch", "pacman -S --needed gcc binutils make qemu-system-x86 gdb"),
])
def test_command_of_each_family(tree, family, command):
    tree.os_release(family)
    write_script(tree.bin / "python3", "exit 1\n")
    printed = tree.run("scripts/install-deps", "--print", "suite").stdout
    assert printed.split("&& ")[-1].replace("sudo ", "").strip() == command


def test_unknown_distribution(tree):
    tree.os_release("plan9")
    done = tree.run("scripts/install-deps", "suite")
    assert done.returncode == 2
    assert "not known for this distribution (some plan9)" in done.stderr


@pytest.fixture
def apt(full):
    """A recorder in place of apt-get; what it prints for `install` can be made to fail."""
    full.give("touch")
    full.log = full.folder / "apt.log"
    write_script(full.bin / "apt-get", f'echo "$*" >>{full.log}\n'
                 f'[ "$1" = update ] && touch {full.folder}/updated\n'
                 f'[ "$1" = update ] || [ ! -e {full.folder}/stale ] || [ -e {full.folder}/updated ]\n')
    return full


def installs(tree):
    return [line for line in tree.log.read_text().splitlines() if line.startswith("install")]


def as_user(tree, number):
    (tree.bin / "id").unlink()
    write_script(tree.bin / "id", f"echo {number}\n")


def test_install_says_what_it_does_and_does_it(apt):
    as_user(apt, 0)
    done = apt.run("./configure", "--install-deps")
    assert done.returncode == 0, done.stderr
    assert "install-deps: running: " in done.stdout.splitlines()[0]
    assert installs(apt) == ["install --no-install-recommends -y qemu-system-x86 bochs bochs-term gdb"]
    assert (apt.folder / "config.mak").exists()


def test_install_refreshes_stale_lists_once(apt):
    as_user(apt, 0)
    (apt.folder / "stale").touch()
    assert apt.run("scripts/install-deps", "suite").returncode == 0
    assert apt.log.read_text().splitlines()[-2:] == [
        "update", "install --no-install-recommends -y qemu-system-x86 bochs bochs-term gdb"]


def test_install_uses_sudo_when_not_root(apt):
    as_user(apt, 1000)
    done = apt.run("scripts/install-deps", "suite")
    assert done.returncode == 2
    assert "not root and no sudo; as root: " in done.stderr
    assert not apt.log.exists()

    write_script(apt.bin / "sudo", f'echo "sudo $*" >>{apt.log}\n')
    assert apt.run("scripts/install-deps", "suite").returncode == 0
    assert apt.log.read_text().splitlines()[-1] == (
        "sudo apt-get install --no-install-recommends -y qemu-system-x86 bochs bochs-term gdb")


def test_nothing_to_install(full):
    for name in "qemu-system-x86_64", "bochs", "gdb":
        write_script(full.bin / name, "exit 0\n")
    done = full.run("scripts/install-deps", "suite")
    assert (done.returncode, done.stdout) == (0, "install-deps: everything is there\n")
    assert full.run("scripts/install-deps", "--print", "suite").stdout == ""
