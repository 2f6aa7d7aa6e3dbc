# SPDX-License-Identifier: BSD-2-Clause
"""The HTML report, in a real browser: what a click shows, the filter, the keys, and that it is quick
and asks nobody for anything.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import browser                                  # noqa: E402
from trapline import bugs                       # noqa: E402
from trapline.reports import html               # noqa: E402

BUGS = bugs.load(str(ROOT / "bugs.toml"))
CSS = (ROOT / "scripts/trapline/reports/page/style.css").read_text()
MACHINES = {"tcg": "QEMU 7.2.22", "kvm": "KVM of Linux 6.1, QEMU 7.2.22"}


def result(case="int3/int3_warm", environment="cpl0", machine="tcg", verdict="pass", **more):
    return {"case": case, "guest": case.partition("/")[0], "environment": environment,
            "machine": machine, "verdict": verdict, "expected": "#BP@after", "allowed": [],
            "observed": "#BP@after", "reason": "", "rule": "SDM 3A, #BP: a trap", "catches": [],
            "bug": "", "notes": [], "dump": [], "values": [], "where": "x86/int3/int3.c:120",
            "seconds": 0.001, **more}


def document(results):
    return {"trapline": "0.1", "host": {"cpu": "A CPU", "kernel": "Linux 6.1"}, "seconds": 1.5,
            "machines": {m: {"version": v, "command": f"qemu -bios build/GUEST.rom -accel {m}",
                             "seconds": 1.0} for m, v in MACHINES.items()},
            "interrupted": False, "results": results}


MIXED = document([
    result(),
    result(environment="cpl3", verdict="fail", observed="#UD@insn", catches=["kvm-sev-int3-ud"]),
    result("int3/into", machine="kvm", verdict="crash", observed="", expected="",
           reason="unexpected #PF(0x2,cr2=0x0) at 0x101234", dump=["panic rip 0x101234"]),
    result("int3/<script>alert(1)</script>", verdict="skip", reason="needs <b>2</b> CPUs & more"),
    result("shadow/sti", verdict="fail", expected="#DB[BS]@1, intr 0x21@2",
           observed="#DB[BS]@2, intr 0x21@2, nmi@2"),
    result("shadow/nmi", verdict="pass", expected="", observed="nmi@2",
           allowed=[{"trace": "nmi@2", "reference": "APM 2"}, {"trace": "nmi@1", "reference": "SDM"}]),
    result("shadow/rep", verdict="fail", expected="(#DB[BS]@1, #BP@2) x3 | cpu1: intr 0x15@wait",
           observed="(#DB[BS]@1, #BP@2) x2 | cpu1: intr 0x15(0xdead)@wait"),
])


@pytest.fixture(scope="module")
def chromium():
    if not browser.PROGRAM:
        pytest.skip("no Chromium")
    with browser.Browser() as running:
        yield running


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens a document; afterwards, nothing may have gone wrong in the page."""
    pages = []

    def open_(doc, fragment=""):
        file = tmp_path / "report.html"
        file.write_text(html.render(doc, BUGS), encoding="utf-8")
        page = chromium.open(f"file://{file}{fragment}")
        assert page.run("document.documentElement.dataset.ready") == "yes", page.errors
        pages.append(page)
        return page

    yield open_
    for page in pages:
        assert page.errors == []
        assert page.console == []
        assert [u for u in page.requests if not u.startswith(("file:///", "data:"))] == []
        assert len([u for u in page.requests if u.startswith("file:")]) == 1


def cell(doc, id_):
    """Selector of the cell of a result."""
    return f"td[data-i='{[html.identity(r) for r in doc['results']].index(id_)}']"


def shown_rows(page):
    return page.run("""[...document.querySelectorAll("section.guest tr")]
        .filter(r => r.checkVisibility()).map(r => r.cells[0].textContent)""")


def test_click_shows_traces_rule_bug_and_command(opened):
    page = opened(MIXED)
    page.click(cell(MIXED, "int3/int3_warm:cpl3@tcg"))
    text = page.run("document.querySelector('aside').innerText")
    for wanted in ("int3/int3_warm:cpl3", "fail", "#BP@after", "#UD@insn", "SDM 3A, #BP: a trap",
                   BUGS["kvm-sev-int3-ud"].title, BUGS["kvm-sev-int3-ud"].link,
                   "./run_tests.sh --machine tcg int3/int3_warm:cpl3", "x86/int3/int3.c:120"):
        assert wanted in text
    assert page.run("document.querySelector('.bug a').href") == BUGS["kvm-sev-int3-ud"].link
    pills = page.run("""[...document.querySelectorAll("aside .pill")]
        .map(g => [g.classList[1], g.querySelector("text").textContent])""")
    assert pills == [["exp", "#BP"], ["obs", "#UD"]]
    # insn stands above after, as in the code.
    tops = page.run("""["exp", "obs"].map(k =>
        document.querySelector(`aside .pill.${k}`).getBoundingClientRect().top)""")
    assert tops[0] > tops[1]
    page.click(cell(MIXED, "int3/int3_warm:cpl3@tcg"))
    assert page.run("document.querySelector('aside').hidden")


@pytest.mark.parametrize("id_, pills", [
    ("shadow/sti:cpl0@tcg", [["exp", "#DB[BS]"], ["obs", "#DB[BS]"], ["same", "intr 0x21"],
                             ["obs", "nmi"]]),
    ("shadow/nmi:cpl0@tcg", [["same", "nmi"]]),
    ("shadow/rep:cpl0@tcg", [["same", "#DB[BS]"], ["same", "#BP"], ["exp", "intr 0x15"],
                             ["obs", "intr 0x15(0xdead)"]]),
    ("int3/into:cpl0@kvm", [["dead", "the guest died"]]),
])
def test_picture(opened, id_, pills):
    page = opened(MIXED, f"#id={id_}")
    assert page.run("""[...document.querySelectorAll("aside .pill")]
        .map(g => [g.classList[1], g.querySelector("text").textContent])""") == pills
    boxes = page.run("""[...document.querySelectorAll("aside .pill rect")].map(r => {
        const b = r.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })""")
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3], "pills overlap"
    if "rep" in id_:
        assert "× 3 expected, × 2 observed" in page.run("document.querySelector('aside').textContent")


def test_filter_by_words_and_verdicts(opened):
    page = opened(MIXED)
    everything = shown_rows(page)
    assert len(everything) == 6
    page.click("#filter")
    page.type("shadow -nmi@2")
    assert shown_rows(page) == ["rep"]
    page.key("Escape")
    assert shown_rows(page) == everything
    page.click("#filter")
    page.type("kvm-sev-int3-ud")
    assert shown_rows(page) == ["int3_warm"]
    # The other environment of the row stays, but steps back.
    assert page.run(f"document.querySelector(\"{cell(MIXED, 'int3/int3_warm:cpl0@tcg')}\").classList.contains('out')")
    page.key("Escape")
    page.click(".chip[data-v='crash']")
    assert shown_rows(page) == ["into"]
    assert page.run("document.getElementById('shown').textContent") == "1 of 7 points"
    page.click(".chip[data-v='crash']")
    assert shown_rows(page) == everything
    page.click("#filter")
    page.type("nothing of the sort")
    assert shown_rows(page) == [] and not page.run("document.getElementById('none').hidden")
    page.click("#clear")
    assert shown_rows(page) == everything


def test_address_brings_filter_and_point_back(opened):
    page = opened(MIXED)
    page.click("#filter")
    page.type("shadow")
    page.key("Enter")
    fragment = page.run("location.hash")
    again = opened(MIXED, fragment)
    assert shown_rows(again) == ["sti", "nmi", "rep"]
    assert "shadow/sti:cpl0" in again.run("document.querySelector('aside h2').textContent")


def test_keys(opened):
    page = opened(MIXED)
    seen = []
    for _ in range(5):
        page.key("n")
        seen.append(page.run("document.querySelector('aside h2').textContent"))
    assert seen == ["int3/int3_warm:cpl3", "int3/into:cpl0", "shadow/sti:cpl0", "shadow/rep:cpl0",
                    "int3/int3_warm:cpl3"]
    page.key("ArrowLeft")
    assert page.run("document.querySelector('aside h2').textContent") == "int3/int3_warm:cpl0"
    page.key("ArrowDown")
    assert page.run("document.activeElement.dataset.i") == "2"
    page.key("Escape")
    assert page.run("document.querySelector('aside').hidden")
    assert page.run("document.activeElement.dataset.i") == "2"
    page.key("Enter")
    assert not page.run("document.querySelector('aside').hidden")
    page.key("?")
    assert page.run("document.getElementById('keys').open")
    page.key("Escape")
    page.key("/")
    assert page.run("document.activeElement.id") == "filter"


def test_folding(opened):
    page = opened(MIXED)
    page.click("section.guest[data-guest='int3'] .folder")
    assert shown_rows(page) == ["sti", "nmi", "rep"]
    page.click("#fold")
    assert shown_rows(page) == []
    assert page.run("document.getElementById('fold').textContent") == "unfold all"
    page.key("n")       # what is folded unfolds when it is gone to
    assert "int3_warm" in shown_rows(page)


def test_what_a_guest_says_is_text(opened):
    page = opened(MIXED, "#id=int3/%3Cscript%3Ealert(1)%3C/script%3E:cpl0@tcg")
    assert "needs <b>2</b> CPUs & more" in page.run("document.querySelector('aside').innerText")
    assert page.run("document.querySelectorAll('main script, aside b.x, aside .reason b').length") == 0
    evil = document([result(reason="</script><script>document.title='taken'</script>",
                            verdict="crash", observed="<img src=x onerror=\"document.title='taken'\">")])
    page = opened(evil, "#id=int3/int3_warm:cpl0@tcg")
    assert page.run("document.title") != "taken"


def test_light_and_dark(opened):
    page = opened(MIXED)

    def background():
        return page.run("getComputedStyle(document.body).backgroundColor")

    page.dark(False)
    light = background()
    page.dark(True)
    assert background() != light
    page.key("t")
    assert background() == light


@pytest.mark.full
def test_5000_rows_open(opened, tmp_path):
    """1.7 s and 0.2 s on two cores that were not idle; work that grows with the square of the rows would take minutes."""
    results = [result(f"guest{i // 250}/case_with_a_usual_name_{i}", e, m,
                      "fail" if i % 50 == 3 else "pass",
                      observed="#UD@insn" if i % 50 == 3 else "#BP@after")
               for i in range(5000) for e in ("cpl0", "cpl3") for m in MACHINES]
    page = opened(document(results))
    url = page.run("location.href")
    page.goto("about:blank")
    page.requests.clear()
    seconds = page.goto(url)
    assert page.run("document.documentElement.dataset.ready") == "yes"
    page.settle()
    assert seconds < 30, f"{seconds:.2f} s"
    took = page.run("""new Promise(done => { const start = performance.now();
        document.getElementById("filter").value = "case_with_a_usual_name_4003 cpl3";
        document.getElementById("filter").dispatchEvent(new Event("input"));
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start))); })""")
    assert page.run("document.getElementById('shown').textContent") == "2 of 20000 points"
    assert took < 10_000, f"{took:.0f} ms for the filter"
    print(f"5,000 rows: {seconds:.2f} s, filter {took:.0f} ms")


def test_layers_are_rows_and_filters_unfold(opened):
    results = [result("int3/warm", e, verdict="fail" if e == "svm-cpl3" else "pass")
               for e in ("cpl0", "cpl3", "svm-cpl0", "svm-cpl3", "svm-nonpt-cpl3")]
    doc = document(results + [result("int3-svm/warm", "svm-cpl0")])
    page = opened(doc)
    assert shown_rows(page) == ["warm ", "warm svm", "warm svm-nonpt", "warm"] or \
        shown_rows(page) == ["warm", "warm svm", "warm svm-nonpt", "warm"]
    assert page.run("document.querySelectorAll('.envs th').length") == 2
    page.click(cell(doc, "int3/warm:svm-cpl3@tcg"))
    assert page.run("document.querySelector('aside h2').textContent") == "int3/warm:svm-cpl3"
    page.click("#fold")
    page.click("#filter")
    page.type("svm-nonpt")
    assert shown_rows(page) == ["warm svm-nonpt"]


# -- Colours --------------------------------------------------------------------------------------

# Viénot-style projections as published by Machado, Oliveira and Fernandes (2009), severity 1.
BLIND = {
    "nobody": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}


def linear(colour):
    colour = colour.lstrip("#")
    channels = [int(colour[i:i + 2], 16) / 255 for i in (0, 2, 4)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def lab(rgb, matrix):
    r, g, b = (min(1, max(0, sum(m * c for m, c in zip(row, rgb)))) for row in matrix)
    xyz = (0.4124 * r + 0.3576 * g + 0.1805 * b, 0.2126 * r + 0.7152 * g + 0.0722 * b,
           0.0193 * r + 0.1192 * g + 0.9505 * b)
    f = [v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116
         for v in (x / w for x, w in zip(xyz, (0.9505, 1, 1.089)))]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def themes():
    light, dark = re.findall(r':root(?:\[data-theme="dark"\])? \{(.*?)\}', CSS, re.S)
    return {name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
            for name, block in (("light", light), ("dark", dark))}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eyes", BLIND)
def test_verdicts_differ_for_all_eyes(theme, eyes):
    colours = themes()[theme]
    names = ["pass", "fail", "crash", "known", "fixed"]
    for i, a in enumerate(names):
        for b in names[:i]:
            one, two = (lab(linear(colours[f"{n}-bg"]), BLIND[eyes]) for n in (a, b))
            apart = sum((x - y) ** 2 for x, y in zip(one, two)) ** 0.5
            assert apart > 15, f"{a} and {b} are {apart:.0f} apart"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable(theme):
    colours = themes()[theme]
    colours.setdefault("card", "#ffffff")

    def luminance(colour):
        r, g, b = linear(colour)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    white = {"#fff": "#ffffff"}
    for front, back in [(f"{v}-fg", f"{v}-bg") for v in ("pass", "fail", "crash", "known", "fixed")] \
            + [("fg", "bg"), ("soft", "bg"), ("soft", "card"), ("link", "card"),
               ("expected", "bg"), ("observed", "bg")]:
        one, two = sorted(luminance(white.get(c, c)) for c in (
            colours.get(front, "#ffffff"), colours[back]))
        ratio = (two + 0.05) / (one + 0.05)
        assert ratio >= 4.5, f"{front} on {back}: {ratio:.1f}"


def test_dark_is_the_same_twice():
    """The system's choice and the button give the same colours."""
    media = re.search(r':root:not\(\[data-theme="light"\]\) \{(.*?)\}', CSS, re.S)[1]
    button = re.search(r':root\[data-theme="dark"\] \{(.*?)\}', CSS, re.S)[1]
    assert set(re.findall(r"--[\w-]+: [^;]+", media)) == set(re.findall(r"--[\w-]+: [^;]+", button))


def test_runner_writes_it(tmp_path):
    if not (ROOT / "config.mak").exists():
        pytest.skip("not configured")
    file = tmp_path / "run.html"
    done = subprocess.run([ROOT / "run_tests.sh", "--machine", "tcg", "--html", file, "dummy"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert text.startswith("<!doctype html>") and "All 1 points as expected" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert len(data["results"]) == 1


def test_bugs_seen_and_what_a_machine_lacks():
    doc = document([result(verdict="known", bug="tcg-icebp"), result(verdict="known", bug="tcg-icebp", environment="cpl3"),
                    result("int3/into", verdict="known", bug="tcg-icebp"), result("int3/x", verdict="known", bug="tcg-rf")])
    doc["machines"]["tcg"] |= {"lacks": {"VMX": 5414, "x2APIC": 7}, "given_up": ["int3: nothing <arrives>"]}
    text = html.render(doc, BUGS)
    assert "2 known bugs seen" in text and "has no VMX, x2APIC" in text
    seen = re.findall(r'<li><a href="#v=known&amp;q=([a-z-]+)">.*?<span>(.*?)</span>', text)
    assert seen == [("tcg-icebp", "2 cases"), ("tcg-rf", "1 case")]
    assert "<b>Cut short:</b> int3: nothing &lt;arrives&gt;" in text
    assert "known bugs seen" not in html.render(document([result()]), BUGS)
