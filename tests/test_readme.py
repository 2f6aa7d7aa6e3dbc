# SPDX-License-Identifier: BSD-2-Clause
"""What README.md and docs/ tell a reader to type works, in the order that they tell it.

Fenced blocks, by the words after the fence:

    sh              commands, run with `sh -e` in a copy of the tree
    sh ci           a command that CI itself runs, checked to be there
    sh lab          commands that fetch kernels: only with TRAPLINE_LAB=1 in the environment
    sh qemu-tree    commands for a QEMU tree, run in a stand-in for one
    ... file=PATH   the text of a file, written to the copy
    ... append=PATH what is added to a file of the copy

All other blocks are output or excerpts.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import full_but

TOP = Path(__file__).parent.parent
PAGES = sorted(["README.md", *(str(p.relative_to(TOP)) for p in TOP.glob("docs/*.md"))])


def blocks(page):
    """(words after the fence, text) of each fenced block."""
    text = (TOP / page).read_text()
    return [(words.split(), body) for words, body in
            re.findall(r"^```([^\n]+)\n(.*?)^```$", text, re.M | re.S)]


def options(words):
    return dict(word.split("=", 1) for word in words if "=" in word)


def is_run(words):
    return words == ["sh"] or words == ["sh", "lab"] and "TRAPLINE_LAB" in os.environ


def to_run(page):
    return [b for b in blocks(page) if is_run(b[0])]


def copy(tree):
    shutil.copytree(TOP, tree, ignore=shutil.ignore_patterns(".git", "__pycache__", "build-*"))


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PYTEST"))}


def sh(text, folder):
    done = subprocess.run(["sh", "-e", "-c", text], cwd=folder, env=environment(),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, text
    return done.stdout


@pytest.mark.parametrize("page", full_but([p for p in PAGES if to_run(p)], ("docs/reports.md",)))
def test_page(page, tmp_path):
    tree = tmp_path / "tree"
    copy(tree)
    for words, text in blocks(page):
        if "file" in options(words):
            file = tree / options(words)["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif "append" in options(words):
            with open(tree / options(words)["append"], "a") as file:
                file.write("\n" + text)
        elif is_run(words):
            sh(text, tree)


# A QEMU "tree" whose build makes a wrapper of the real one; the bad ones lack long mode.
GOOD = """#!/bin/sh
exec {qemu} "$@"
"""
BAD = """#!/bin/sh
case $* in *-bios*) set -- "$@" -cpu 486 ;; esac
exec {qemu} "$@"
"""


@pytest.mark.parametrize("page", full_but(["README.md", "docs/bisect.md"], ("README.md",)))
def test_bisection_finds_the_commit(page, tmp_path):
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu or not shutil.which("git"):
        pytest.skip("no QEMU or no git")
    (command,) = [text for words, text in blocks(page) if "qemu-tree" in words]
    copy(tmp_path / "trapline")
    tree = tmp_path / "qemu"
    tree.mkdir()
    (tree / "configure").write_text("#!/bin/sh\ncp $(dirname $0)/meson.build Makefile\n")
    (tree / "configure").chmod(0o755)
    (tree / "meson.build").write_text("qemu-system-x86_64: ../source\n\tinstall -m755 $< $@\n")
    git = "git -c user.name=me -c user.email=me@localhost"
    sh("git init -q -b master", tree)
    for number in range(8):
        source = (GOOD if number < 5 else BAD) + f"# {number}\n"
        (tree / "source").write_text(source.format(qemu=qemu))
        sh(f"git add -A; {git} commit -qm 'commit {number}'", tree)
        if number == 0:
            sh("git tag v9.0.0", tree)
    said = sh(command, tree)
    assert re.search(r"is the first bad commit\n(.*\n)*.*commit 5\n", said)


def test_the_two_commands():
    commands = [text.strip() for words, text in blocks("README.md") if words == ["sh", "ci"]]
    assert commands == ["./run_tests.sh --install-deps", "make check INSTALL_DEPS=1"]
    assert commands[0] in (TOP / "scripts/check").read_text()
    assert f"\n{commands[1]} || status=1\n" in (TOP / ".ci/run").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (TOP / page).read_text()):
        assert (TOP / page).parent.joinpath(target).exists(), target


def test_ci_examples_say_what_the_runner_knows():
    """The commands of the YAML examples: every option in them is one of ours."""
    from subprocess import run

    text = (TOP / "docs/ci.md").read_text()
    commands = re.findall(r"^ *- (?:run: )?(\./run_tests\.sh .*)$", text, re.M)
    assert len(commands) == 2
    known = run([TOP / "run_tests.sh", "--help"], capture_output=True, text=True).stdout
    for command in commands:
        for option in re.findall(r"--[a-z-]+", command):
            assert option in known or option == "--install-deps", option


@pytest.mark.full
def test_ci_example_in_one_job(tmp_path):
    """GitHub's command, as it stands there, on a tree with a baseline."""
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("no QEMU")
    tree = tmp_path / "tree"
    copy(tree)
    (command,) = re.findall(r"^ *- (\./run_tests\.sh .*)$", (TOP / "docs/ci.md").read_text(), re.M)
    command = command.replace("--install-deps ", "")
    sh("./run_tests.sh -q --machine tcg --save-baseline baseline.json dummy int3", tree)
    sh(command + " -q dummy int3", tree)
    assert (tree / "report.html").exists() and (tree / "junit.xml").exists()
