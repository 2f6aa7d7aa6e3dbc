# SPDX-License-Identifier: BSD-2-Clause
"""The reader of a guest's KTAP: what it takes, what it refuses, and how much it keeps."""

import random

import pytest

from trapline import ktap
from trapline.text import clean, is_text, printable

NAMES = ["g/a:cpl0", "g/a:cpl3", "g/b:cpl0"]
HEAD = b"KTAP version 1\n1..3\n"
GOOD = HEAD + b"""\
# guest g, boot rom
# trace #BP@after
ok 1 g/a:cpl0
# expected #BP@after
# observed #UD@insn
# note free text
not ok 2 g/a:cpl3
ok 3 g/b:cpl0 # SKIP needs 2 CPUs, has 1
# Totals: pass:1 fail:1 skip:1
"""


def read(data, names=NAMES, end=True):
    stream = ktap.Stream(names)
    stream.feed(data)
    if end:
        stream.end()
    return stream


def test_good():
    stream = read(GOOD)
    assert stream.complete and stream.violation is None
    one, two, three = stream.results
    assert one.ok and one.trace == ["#BP@after"] and one.skip is None
    assert not two.ok and two.expected == ["#BP@after"] and two.observed == ["#UD@insn"]
    assert two.notes == ["free text"]
    assert three.ok and three.skip == "needs 2 CPUs, has 1"
    assert stream.banner == ["guest g, boot rom"]


def test_any_cut_reads_the_same():
    whole = read(GOOD)
    chance = random.Random(1)
    for step in (1, 2, 3, 7, 64):
        stream = ktap.Stream(NAMES)
        at = 0
        while at < len(GOOD):
            size = chance.randint(1, step)
            stream.feed(GOOD[at:at + size])
            at += size
        stream.end()
        assert stream.complete
        assert stream.results == whole.results


def test_progress_is_version_plan_and_result():
    stream = ktap.Stream(NAMES)
    assert not stream.feed(b"SeaBIOS\n")
    assert stream.feed(b"KTAP version 1\n")
    assert not stream.feed(b"# note x\n")
    assert stream.feed(b"1..3\n")
    assert not stream.feed(b"ok 1 g/a:cp")
    assert stream.feed(b"l0\n")


def test_firmware_may_talk_first():
    stream = read(b"\x1b[2J\x1b[01;01HBdsDxe: starting\r\n\x1b[0mKTAP version 1\r\n"
                  + GOOD.split(b"\n", 1)[1])
    assert stream.violation is None
    assert not read(b"xKTAP version 1\n").started


def test_every_prefix_is_incomplete():
    for cut in range(len(GOOD)):
        assert not read(GOOD[:cut]).complete or cut == len(GOOD)


def test_values_and_allowed():
    stream = read(HEAD + b"# allowed #DB@1 -- SDM 3A, x\n# allowed #DB@2 -- APM 2, y\n"
                  b"# observed #DB@2\n# value latency 12.5 cycles\n# value bad\nok 1 g/a:cpl0\n")
    said, = stream.results
    assert said.allowed == [("#DB@1", "SDM 3A, x"), ("#DB@2", "APM 2, y")]
    assert said.values == [("latency", 12.5, "cycles")]
    assert said.notes == ["value bad"]


@pytest.mark.parametrize("data, sentence", [
    (b"KTAP version 2\n", "KTAP version 2, not 1"),
    (b"KTAP version 1\nok 1 g/a:cpl0\n", "a result before the plan"),
    (b"KTAP version 1\n1..4\n", "plan 1..4, but 3 points were asked for"),
    (HEAD + b"1..3\n", "a second plan, 1..3"),
    (HEAD + b"KTAP version 1\n", "a second version line"),
    (HEAD + b"ok 2 g/a:cpl3\n", "result 2 where 1 was due"),
    (HEAD + b"ok 1 g/a:cpl0\nok 1 g/a:cpl0\n", "result 1 where 2 was due"),
    (HEAD + b"ok 1 g/x:cpl0\n", "result of g/x:cpl0 where g/a:cpl0 was due"),
    (HEAD + b"hello\n", "a line that is not KTAP: 'hello'"),
    (HEAD + b"ok 1\n", "a line that is not KTAP: 'ok 1'"),
    (HEAD + b"not ok 1 g/a:cpl0 trailing\n", "a line that is not KTAP: 'not ok 1 g/a:cpl0 trailing'"),
    (HEAD + b"# \x1b[2J\n", r"bytes that are no text: '# \x1b[2J'"),
    (HEAD + b"\xff\xfe\n", r"bytes that are no text: '\xff\xfe'"),
    (HEAD + b"# Totals: pass:1\n", "closing line after 0 of 3 results"),
    (GOOD + b"ok 4 g/c:cpl0\n", "output after the closing line: 'ok 4 g/c:cpl0'"),
    (GOOD + b"x", "output after the closing line: 'x'"),
    (GOOD.replace(b"fail:1", b"fail:0"), "closing line is wrong: pass:1 fail:0 skip:1"),
    (GOOD.replace(b" fail:1", b""), "closing line is wrong: pass:1 skip:1"),
    (GOOD.replace(b"pass:1", b"pass:x"), "a closing line that cannot be read: "
     "'# Totals: pass:x fail:1 skip:1'"),
])
def test_violations(data, sentence):
    stream = read(data)
    assert stream.violation == sentence
    assert not stream.complete


def test_violation_ends_reading():
    stream = read(HEAD + b"rubbish\nok 1 g/a:cpl0\n")
    assert stream.results == [] and not stream.feed(b"ok 1 g/a:cpl0\n")


def test_results_before_a_violation_count():
    stream = read(HEAD + b"ok 1 g/a:cpl0\n\x00\n")
    assert [s.name for s in stream.results] == ["g/a:cpl0"]


def test_bail_out_and_panic():
    stream = read(HEAD + b"# note before\n# panic rip 0x1234\n# panic rsp 0x10\n"
                  b"Bail out! unexpected #PF at 0x1234\nany\x00thing\n")
    assert stream.bail == "unexpected #PF at 0x1234"
    assert stream.panic == ["panic rip 0x1234", "panic rsp 0x10"]
    assert stream.pending.notes == ["before"]
    assert not stream.complete


def test_memory_is_bounded():
    stream = ktap.Stream(NAMES)
    stream.feed(HEAD)
    fed = 0
    while not stream.violation and fed < 100_000_000:
        stream.feed(b"# note 456789\n" * 1000)
        fed += 14_000
    assert fed <= ktap.MAX_POINT + 14_000
    assert len(stream.pending.notes) <= ktap.KEPT_LINES and stream.pending.dropped > 1000

    stream = ktap.Stream(NAMES)
    for _ in range(1000):
        stream.feed(b"x" * 1000)
    assert len(stream._line) <= ktap.MAX_LINE + 1001 and stream.violation

    stream = ktap.Stream(NAMES)
    stream.feed(HEAD + b"# " + b"x" * 1021 + b"\n")
    assert stream.violation is None
    stream.feed(b"# " + b"x" * 1022 + b"\n")
    assert "more than 1023 bytes" in stream.violation


def test_nothing_raw_comes_out():
    """Whatever bytes a guest prints, no string the reader keeps holds a control character."""
    chance = random.Random(2)
    for _ in range(300):
        noise = bytes(chance.choices(range(256), k=40))
        for data in (noise, HEAD + noise + b"\n", HEAD + b"# note " + noise + b"\n",
                     HEAD + b"ok 1 " + noise + b"\n", HEAD + b"Bail out! " + noise + b"\n"):
            stream = read(data)
            for text in (stream.violation, stream.bail, stream.unfinished, stream.preamble(),
                         *stream.pending.notes, *stream.panic):
                assert text is None or clean(text) == text and text.isascii()


def test_text():
    assert printable(b"a\tb\x1b\x9b\xff") == r"a b\x1b\x9b\xff"
    assert printable(b"abcdef", 3) == "abc..."
    assert is_text(b"a\tb") and not is_text(b"a\rb")
    assert clean("a\u202eb\x85c\x1b") == "a?b?c?"
