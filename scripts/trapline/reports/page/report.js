// SPDX-License-Identifier: BSD-2-Clause
"use strict";

// ---- Traces (docs/notation.md): text to events ------------------------------------------------

/* Splits at `separator` outside of brackets. */
function split(text, separator) {
	const parts = [];
	let depth = 0, start = 0;
	for (let i = 0; i < text.length; i++) {
		const c = text[i];
		if ("([{".includes(c)) depth++;
		else if (")]}".includes(c)) depth--;
		else if (depth <= 0 && text.startsWith(separator, i)) {
			parts.push(text.slice(start, i));
			start = i + separator.length;
			i = start - 1;
		}
	}
	parts.push(text.slice(start));
	return parts;
}

/* [{cpu, runs: [{times, events: [{text, what, place}]}]}]; an event that is no event has no place. */
function parseTrace(trace) {
	return split(trace, " | ").map((part, i) => {
		const named = /^(cpu\d+): (.*)$/s.exec(part);
		const runs = split(named ? named[2] : part, "; ").map(run => {
			const times = / x(\d+)$/.exec(run);
			let body = times ? run.slice(0, times.index) : run;
			if (times && /^\(.*\)$/s.test(body) && body !== "(none)") body = body.slice(1, -1);
			const events = split(body, ", ").filter(t => t).map(text => {
				const at = text.lastIndexOf("@");
				const place = at < 0 ? null : text.slice(at + 1).replace(/\{.*$/s, "");
				return {text, place, what: at < 0 ? text : text.slice(0, at)};
			});
			return {times: times ? Number(times[1]) : 1, events};
		});
		return {cpu: named ? named[1] : i ? "cpu?" : "cpu0", runs};
	});
}

/* The text cut into events and what stands between them: [{text, event}]. */
function tokens(trace) {
	const between = /^(?:; | \| (?:cpu\d+: )?|, |\)(?: x\d+)?| x\d+(?=; | \| |$))/;
	const list = [];
	let text = "", depth = 0;
	const flush = () => {
		if (text) list.push({text, event: true});
		text = "";
	};
	for (let i = 0; i < trace.length;) {
		const rest = trace.slice(i), found = depth ? null : between.exec(rest);
		if (found || !text && rest[0] === "(" && !rest.startsWith("(none)")) {
			flush();
			list.push({text: found ? found[0] : "(", event: false});
			i += found ? found[0].length : 1;
			continue;
		}
		depth += "([{".includes(rest[0]) ? 1 : ")]}".includes(rest[0]) ? -1 : 0;
		text += rest[0];
		i++;
	}
	flush();
	return list;
}

/* The events of one CPU in one list, each with its run. */
function flat(runs) {
	return runs.flatMap((run, number) => run.events.map(e => ({...e, run: number, times: run.times})));
}

/* Pairs of [expected, observed], either of which may be null, at the least cost. */
function align(a, b) {
	const cost = (x, y) => x.text === y.text ? 0 : x.place === y.place || x.what === y.what ? 1.2 : 1.6;
	const width = b.length + 1, table = new Float64Array((a.length + 1) * width);
	for (let i = 0; i <= a.length; i++)
		for (let j = 0; j <= b.length; j++) {
			let least = i || j ? Infinity : 0;
			if (i) least = Math.min(least, table[(i - 1) * width + j] + 1);
			if (j) least = Math.min(least, table[i * width + j - 1] + 1);
			if (i && j) least = Math.min(least, table[(i - 1) * width + j - 1] + cost(a[i - 1], b[j - 1]));
			table[i * width + j] = least;
		}
	const pairs = [];
	let i = a.length, j = b.length;
	const is = (value, p, q) => Math.abs(value - table[p * width + q]) < 1e-9;
	while (i || j) {
		const here = table[i * width + j];
		// What is too many or missing is the later one of two alike.
		if (j && is(here - 1, i, j - 1)) pairs.push([null, b[--j]]);
		else if (i && is(here - 1, i - 1, j)) pairs.push([a[--i], null]);
		else pairs.push([a[--i], b[--j]]);
	}
	return pairs.reverse();
}

/* How unlike two traces are: the allowed one that is nearest is drawn. */
function distance(a, b) {
	return align(flat(parseTrace(a)[0].runs), flat(parseTrace(b)[0].runs)).filter(([x, y]) => !x || !y || x.text !== y.text).length;
}

// ---- The picture: time runs to the right, the code's marks from top to bottom --------------------

const FIRST = ["start", "insn"], LAST = ["after", "behind", "end"];

/*
 * The marks in the order of the code, as far as names tell: the usual ones at their place, numbers by
 * value, "insn+1" behind "insn", addresses outside of the snippet last, the others as they come.
 */
function orderOfMarks(places) {
	const key = (place, i) => {
		const [, base, offset] = /^(.*?)(?:\+(?:0x)?([0-9a-f]+))?$/.exec(place);
		const add = offset ? parseInt(offset, 16) / 65536 : 0;
		if (FIRST.includes(base)) return FIRST.indexOf(base) - 20 + add;
		if (/^\d+$/.test(base)) return Number(base) / 1000 - 5 + add;
		if (LAST.includes(base)) return 1e6 + LAST.indexOf(base) + add;
		if (/^0x/.test(base) || base === "cold") return 2e6 + i;
		return places.findIndex(p => p.split("+")[0] === base) + add;
	};
	return places.map((p, i) => [key(p, i), p]).sort((x, y) => x[0] - y[0]).map(x => x[1]);
}

const SVG = "http://www.w3.org/2000/svg";

function svg(parent, name, attributes, text) {
	const element = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
	if (text !== undefined) element.textContent = text;
	if (parent) parent.append(element);
	return element;
}

/* [common head, what differs, common tail] of `text` beside `other`. */
function difference(text, other) {
	let head = 0, tail = 0;
	while (head < text.length && text[head] === other[head]) head++;
	while (tail < text.length - head && tail < other.length - head &&
	       text[text.length - 1 - tail] === other[other.length - 1 - tail]) tail++;
	return [text.slice(0, head), text.slice(head, text.length - tail), text.slice(text.length - tail)];
}

function drawStaff(pairs, described) {
	const NOWHERE = "no event";
	const place = e => e.place === null ? NOWHERE : e.place;
	const events = pairs.flat().filter(e => e);
	const marks = orderOfMarks([...new Set(events.map(place).filter(p => p !== NOWHERE))]);
	if (events.some(e => place(e) === NOWHERE)) marks.push(NOWHERE);
	const CHAR = 7.6, PILL = 22, PAD = 9;
	const TOP = events.some(e => e.times > 1) ? 26 : 6;
	const left = 22 + CHAR * Math.max(...marks.map(m => m.length));
	const label = e => e.text.replace(/@[^{@]*(?=\{|$)/, "");
	const stacked = new Set();	// marks where an expected and an observed pill share a column
	for (const [a, b] of pairs)
		if (a && b && a.text !== b.text && place(a) === place(b)) stacked.add(place(a));
	const rows = new Map();
	let y = TOP;
	for (const mark of marks) {
		const height = stacked.has(mark) ? 2 * PILL + 20 : PILL + 16;
		rows.set(mark, y + height / 2);
		y += height;
	}
	const bottom = y;
	let x = left;
	const columns = pairs.map(([a, b]) => {
		const wide = Math.max(...[a, b].filter(e => e).map(e => label(e).length)) * CHAR + 2 * PAD;
		const column = {x: x + 14 + wide / 2, wide};
		x += wide + 28;
		return column;
	});
	const width = Math.max(x + 6, left + 60);
	const root = svg(null, "svg", {class: "staff", width, height: bottom + 22, viewBox: `0 0 ${width} ${bottom + 22}`,
		role: "img", "aria-label": described});
	svg(root, "title", {}, described);
	for (const mark of marks) {
		const at = rows.get(mark);
		svg(root, "line", {x1: left, x2: width - 4, y1: at, y2: at});
		svg(root, "text", {class: "mark", x: left - 8, y: at + 4, "text-anchor": "end"}, mark);
	}
	// Where one run ends and the next begins, and what is repeated.
	const runOf = ([a, b]) => (b || a).run;
	for (let i = 0; i < pairs.length;) {
		let j = i;
		while (j < pairs.length && runOf(pairs[j]) === runOf(pairs[i])) j++;
		const from = columns[i].x - columns[i].wide / 2 - 5, to = columns[j - 1].x + columns[j - 1].wide / 2 + 5;
		if (i) svg(root, "line", {class: "cut", x1: from - 9, x2: from - 9, y1: 6, y2: bottom});
		const [a, b] = pairs[i];
		const times = [a, b].filter(e => e && e.run === runOf(pairs[i])).map(e => e.times);
		if (times.some(t => t > 1)) {
			svg(root, "path", {class: "times", d: `M${from} 20v-4H${to}v4`});
			svg(root, "text", {class: "tick", x: (from + to) / 2, y: 11},
			    times.length === 2 && times[0] !== times[1] ? `× ${times[0]} expected, × ${times[1]} observed` : `× ${times[0]}`);
		}
		i = j;
	}
	// Offsets of the pills from their row: two in one place stand above each other.
	const spot = (pair, who) => {
		const [a, b] = pair, e = pair[who], at = rows.get(place(e));
		return a && b && a.text !== b.text && place(a) === place(b) ? at + (who ? 1 : -1) * (PILL / 2 + 3) : at;
	};
	const way = pairs.map((pair, i) => pair[1] ? `${columns[i].x},${spot(pair, 1)}` : null).filter(p => p);
	if (way.length > 1) svg(root, "polyline", {class: "path", points: way.join(" ")});
	pairs.forEach((pair, i) => {
		const [a, b] = pair, {x: middle} = columns[i];
		const same = a && b && a.text === b.text;
		if (a && b && !same && place(a) !== place(b)) {
			const [y1, y2] = [spot(pair, 0), spot(pair, 1)], s = Math.sign(y2 - y1) * PILL / 2;
			svg(root, "line", {class: "moved", x1: middle, x2: middle, y1: y1 + s, y2: y2 - s});
		}
		const pill = (e, who, kind, other) => {
			const wide = label(e).length * CHAR + 2 * PAD, at = spot(pair, who);
			const g = svg(root, "g", {class: `pill ${e.dead ? "dead" : kind}`});
			svg(g, "rect", {x: middle - wide / 2, y: at - PILL / 2, width: wide, height: PILL, rx: 6});
			const text = svg(g, "text", {x: middle, y: at + .5});
			const parts = other ? difference(label(e), label(other)) : ["", "", label(e)];
			if (!parts[1]) text.textContent = label(e);
			else parts.forEach((part, n) => part && svg(text, "tspan", n === 1 ? {class: "diff"} : {}, part));
			svg(g, "title", {}, `${same ? "expected and observed" : who ? "observed" : "expected"}: ${e.text}`);
		};
		if (same) pill(b, 1, "same");
		else {
			if (a) pill(a, 0, "exp", b && place(a) === place(b) ? b : null);
			if (b) pill(b, 1, "obs", a && place(a) === place(b) ? a : null);
		}
		svg(root, "text", {class: "tick", x: middle, y: bottom + 15}, i + 1);
	});
	return root;
}

/* One staff per CPU. `expected` may be "", `dead` is what ended the guest or "". */
function drawTraces(expected, observed, dead) {
	const a = expected ? parseTrace(expected) : [], b = observed ? parseTrace(observed) : [];
	if (dead) {
		if (!b.length) b.push({cpu: "cpu0", runs: []});
		const runs = b[0].runs;
		runs.push({times: 1, events: [{text: dead, what: dead, place: null, dead: true}]});
	}
	const cpus = [...new Set([...a, ...b].map(p => p.cpu))];
	return cpus.map(cpu => {
		const of = side => flat((side.find(p => p.cpu === cpu) || {runs: []}).runs);
		const pairs = expected ? align(of(a), of(b)) : of(b).map(e => [e, e]);
		if (!expected && dead) pairs[pairs.length - 1][0] = null;
		const title = `${cpus.length > 1 ? cpu + ": " : ""}expected ${expected || "(not said)"}, observed ${observed || "(nothing said)"}`;
		return {cpu, picture: drawStaff(pairs, title)};
	});
}

if (typeof module !== "undefined") module.exports = {split, parseTrace, tokens, align, flat, orderOfMarks, distance, difference};
if (typeof document !== "undefined") page();

// ---- The page -----------------------------------------------------------------------------------

function page() {
	const $ = id => document.getElementById(id);
	const data = JSON.parse($("data").textContent), s = data.strings;
	const results = data.results.map(r => ({
		case: s[r[0]], environment: s[r[1]], machine: s[r[2]], verdict: s[r[3]], expected: s[r[4]],
		observed: s[r[5]], reason: s[r[6]], rule: s[r[7]], bug: s[r[8]], where: s[r[9]], seconds: r[10],
		catches: r[11].map(n => s[n]), allowed: r[12], notes: r[13], dump: r[14], values: r[15], runs: r[16],
	}));
	results.forEach(r => {
		r.point = `${r.case}:${r.environment}`;
		r.id = `${r.point}@${r.machine}`;
	});
	const byId = new Map(results.map((r, i) => [r.id, i]));
	const BAD = new Set(["fail", "crash", "flaky", "missing", "untried"]);
	const make = (name, attributes, ...children) => {
		const element = document.createElement(name);
		for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
		element.append(...children);
		return element;
	};

	// The table, as it stands in the file.
	const cells = new Array(results.length);
	const groups = [...document.querySelectorAll("section.guest")].map(part => {
		const body = part.querySelector("table");
		return {part, body, button: part.querySelector(".folder"),
			rows: [...body.rows].map(tr => ({tr, cells: [...tr.cells].slice(1, -1).map(td => {
				const i = td.dataset.i;
				if (i !== undefined) cells[i] = td;
				return i === undefined ? null : Number(i);
			})}))};
	});
	const groupOf = new Map();
	groups.forEach(g => g.rows.forEach(row => row.cells.forEach(i => i !== null && groupOf.set(i, g))));

	// -- Folding
	const folded = g => g.body.hidden;
	function fold(g, on) {
		g.body.hidden = on;
		g.button.setAttribute("aria-expanded", String(!on));
		$("fold").textContent = groups.every(folded) ? "unfold all" : "fold all";
	}
	groups.forEach(g => g.button.addEventListener("click", () => fold(g, !folded(g))));
	$("fold").addEventListener("click", () => {
		const on = !groups.every(folded);
		groups.forEach(g => fold(g, on));
	});

	// -- Filter
	const input = $("filter"), chips = [...document.querySelectorAll(".chip")];
	const texts = [];
	const textOf = i => texts[i] ??= [results[i].id, results[i].verdict, results[i].rule, results[i].expected,
		results[i].observed, results[i].reason, results[i].bug, ...results[i].catches].join("\n").toLowerCase();
	let matching = new Set(results.keys());
	function filter() {
		const words = input.value.toLowerCase().split(/\s+/).filter(w => w && w !== "-");
		const verdicts = new Set(chips.filter(c => c.getAttribute("aria-pressed") === "true").map(c => c.dataset.v));
		matching = new Set();
		results.forEach((r, i) => {
			if (verdicts.has(r.verdict) && words.every(w => w[0] === "-" ? !textOf(i).includes(w.slice(1)) : textOf(i).includes(w)))
				matching.add(i);
		});
		const all = matching.size === results.length;
		for (const g of groups) {
			let any = false;
			for (const row of g.rows) {
				const shown = all || row.cells.some(i => matching.has(i));
				row.tr.hidden = !shown;
				any ||= shown;
				if (shown)
					for (const i of row.cells)
						if (i !== null) cells[i].classList.toggle("out", !all && !matching.has(i));
			}
			g.part.hidden = !any;
		}
		// What was looked for is not hidden in a fold, as long as it is not half of the report.
		if (!all && matching.size <= 2000)
			for (const g of groups)
				if (!g.part.hidden && folded(g)) fold(g, false);
		$("shown").value = all ? `${results.length} points` : `${matching.size} of ${results.length} points`;
		$("none").hidden = matching.size !== 0;
		remember();
	}
	let due = 0;
	input.addEventListener("input", () => {
		cancelAnimationFrame(due);
		due = requestAnimationFrame(filter);
	});
	chips.forEach(chip => chip.addEventListener("click", event => {
		const on = c => c.getAttribute("aria-pressed") === "true";
		if (event.shiftKey || event.altKey || chips.every(on)) {
			// From "everything", the first click means "only this one".
			const alone = chips.filter(on).length === 1 && on(chip);
			chips.forEach(c => c.setAttribute("aria-pressed", String(alone || c === chip)));
		} else {
			chip.setAttribute("aria-pressed", String(!on(chip)));
			if (!chips.some(on)) chips.forEach(c => c.setAttribute("aria-pressed", "true"));
		}
		filter();
	}));
	function clear() {
		input.value = "";
		chips.forEach(c => c.setAttribute("aria-pressed", "true"));
		filter();
	}
	$("clear").addEventListener("click", clear);

	// -- The chosen point
	const panel = $("panel");
	let chosen = null;
	const again = r => `./run_tests.sh --machine ${r.machine} ${r.point}`;
	function copier(text) {
		const button = make("button", {type: "button", class: "copy"}, "copy");
		button.addEventListener("click", () => copy(text, button));
		return button;
	}
	function copy(text, button) {
		const said = ok => { if (button) button.textContent = ok ? "copied" : "select it and press Ctrl+C"; };
		const old = () => {
			const area = make("textarea", {style: "position:fixed;opacity:0"});
			area.value = text;
			document.body.append(area);
			area.select();
			const ok = document.execCommand("copy");
			area.remove();
			said(ok);
		};
		if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(() => said(true), old);
		else old();
	}
	/* A trace with what is not in the other one marked. */
	function marked(trace, other, kind) {
		const dd = make("dd", {class: `mono ${kind}`});
		if (!other || trace === other) {
			dd.append(trace);
			return dd;
		}
		const mine = tokens(trace), events = list => list.filter(t => t.event);
		const partner = new Map(align(events(mine), events(tokens(other))).filter(p => p[0]));
		for (const token of mine) {
			const twin = partner.get(token);
			if (!token.event || twin && twin.text === token.text) {
				dd.append(token.text);
				continue;
			}
			let [head, middle, tail] = twin ? difference(token.text, twin.text) : ["", token.text, ""];
			if (head.length + tail.length < middle.length) [head, middle, tail] = ["", token.text, ""];
			dd.append(head);
			if (middle) dd.append(make("mark", {}, middle));
			dd.append(tail);
		}
		return dd;
	}
	function section(title, ...content) {
		return [make("h3", {}, title), ...content];
	}
	function show(i, focus) {
		const r = results[i];
		if (chosen !== null && cells[chosen]) cells[chosen].classList.remove("chosen");
		chosen = i;
		cells[i].classList.add("chosen");
		panel.replaceChildren();
		const close = make("button", {type: "button", class: "close", "aria-label": "Close (Esc)"}, "×");
		close.addEventListener("click", hide);
		panel.append(close, make("h2", {tabindex: "-1"}, r.point),
			make("p", {class: "sub"}, make("span", {class: `badge ${r.verdict}`}, r.verdict), `on ${r.machine}`,
				r.seconds >= 0.0005 ? ` · ${(r.seconds * 1000).toFixed(r.seconds < 0.01 ? 1 : 0)} ms` : "", r.where ? ` · ${r.where}` : ""));
		if (r.reason) panel.append(make("p", {}, r.reason));
		const expected = r.expected || (r.allowed.length ? r.allowed.map(a => a[0]).reduce((x, y) =>
			distance(y, r.observed) < distance(x, r.observed) ? y : x) : "");
		const dead = r.verdict === "crash" ? "the guest died" : "";
		if (r.observed || dead) {
			const staffs = drawTraces(expected, r.observed, dead);
			panel.append(...section("Trace", ...staffs.map(({cpu, picture}) => {
				const box = make("div", {class: "picture", tabindex: "0"}, picture);
				if (staffs.length > 1) box.prepend(make("div", {class: "sub"}, cpu));
				return box;
			})));
			const legend = make("div", {class: "legend"});
			const same = expected === r.observed || !expected;
			for (const [kind, text] of same ? [["s", "delivered, as expected"]] :
				[["e", "expected"], ["o", "observed"], ["s", "both"]])
				legend.append(make("span", {}, make("i", {class: kind}), text));
			legend.append(make("span", {}, "time → · code ↓"));
			panel.append(legend);
		}
		const list = make("dl", {class: "trace", style: "margin-top:12px"});
		const line = (word, dd) => list.append(make("dt", {}, word), dd);
		if (r.expected) line("expected", marked(r.expected, r.observed, "exp"));
		for (const [trace, reference] of r.allowed)
			line("allowed", make("dd", {class: "mono"}, trace + " ", make("span", {class: "ref"}, `— ${reference}`)));
		if (r.observed) line("observed", marked(r.observed, expected, "obs"));
		if (list.children.length) panel.append(list);
		if (r.runs.length) {
			const table = make("table", {class: "values"});
			for (const run of r.runs)
				table.append(make("tr", {}, make("td", {}, `${run.count} × ${run.verdict}`), make("td", {class: "mono"}, run.observed || "")));
			panel.append(...section("Repetitions", table));
		}
		panel.append(...section("Rule", make("p", {}, r.rule)));
		if (r.notes.length) panel.append(...section("Notes", ...r.notes.map(n => make("p", {class: "mono"}, n))));
		if (r.values.length) {
			const table = make("table", {class: "values"});
			for (const [name, number, unit] of r.values)
				table.append(make("tr", {}, make("td", {}, name), make("td", {}, `${number.toLocaleString("en")} ${unit}`)));
			panel.append(...section("Measured", table));
		}
		if (r.dump.length) panel.append(...section("Register dump", make("pre", {class: "dump"}, r.dump.join("\n"))));
		const bugs = [...new Set([...(r.bug ? [r.bug] : []), ...r.catches])];
		if (bugs.length) panel.append(...section(bugs.length > 1 ? "Bugs" : "Bug", ...bugs.map(id => bug(id, id === r.bug))));
		const command = again(r);
		panel.append(...section("Run it again", make("div", {class: "cmd"}, make("pre", {}, command), copier(command))));
		const machine = data.machines[r.machine];
		if (machine && machine.command) {
			const by = machine.command.replaceAll("build/GUEST.rom", `build/${r.case.split("/")[0]}.rom`);
			const details = make("details", {}, make("summary", {class: "sub"}, "the whole guest by hand"),
				make("div", {class: "cmd"}, make("pre", {}, by), copier(by)));
			panel.append(details);
		}
		panel.hidden = false;
		panel.scrollTop = 0;
		if (focus) panel.querySelector("h2").focus();
		remember();
	}
	function bug(id, met) {
		const b = data.bugs[id], box = make("div", {class: "bug"});
		if (!b) {
			box.append(make("b", {}, id));
			return box;
		}
		box.append(make("b", {class: "mono"}, id), met ? " — this is what failed here" : "", make("div", {}, b.title));
		const list = make("dl");
		for (const word of ["trigger", "right", "buggy", "versions"]) list.append(make("dt", {}, word), make("dd", {}, b[word]));
		if (/^https?:\/\//.test(b.link))
			list.append(make("dt", {}, "link"), make("dd", {}, make("a", {href: b.link, rel: "noreferrer noopener", target: "_blank"}, b.link)));
		box.append(list);
		return box;
	}
	function hide() {
		panel.hidden = true;
		if (chosen !== null) {
			cells[chosen].classList.remove("chosen");
			cells[chosen].focus({preventScroll: true});
		}
		chosen = null;
		remember();
	}

	// -- What is chosen and filtered is part of the address, so that it can be passed on.
	let quiet = false;
	function remember() {
		if (quiet) return;
		const off = chips.filter(c => c.getAttribute("aria-pressed") !== "true").length;
		const parts = [];
		if (input.value) parts.push(`q=${encodeURIComponent(input.value)}`);
		if (off) parts.push(`v=${chips.filter(c => c.getAttribute("aria-pressed") === "true").map(c => c.dataset.v).join(",")}`);
		if (chosen !== null) parts.push(`id=${encodeURIComponent(results[chosen].id)}`);
		const hash = parts.length ? `#${parts.join("&")}` : "";
		if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
	}
	function recall() {
		const wanted = new URLSearchParams(location.hash.slice(1));
		quiet = true;
		input.value = wanted.get("q") || "";
		const verdicts = wanted.get("v") ? wanted.get("v").split(",") : null;
		chips.forEach(c => c.setAttribute("aria-pressed", String(!verdicts || verdicts.includes(c.dataset.v))));
		filter();
		const i = byId.get(wanted.get("id"));
		if (i !== undefined) {
			show(i);
			reveal(i);
		}
		quiet = false;
	}
	window.addEventListener("hashchange", recall);

	// -- Keys: one cell of the grid takes the focus, the arrows move it.
	let current = null;
	function focusCell(i) {
		if (current !== null) cells[current].tabIndex = -1;
		current = i;
		cells[i].tabIndex = 0;
	}
	function reveal(i) {
		const g = groupOf.get(i);
		if (folded(g)) fold(g, false);
		focusCell(i);
		cells[i].focus({preventScroll: true});
		cells[i].scrollIntoView({block: "nearest", inline: "nearest"});
	}
	function visibleRows() {
		return groups.filter(g => !folded(g) && !g.part.hidden).flatMap(g => g.rows.filter(row => !row.tr.hidden));
	}
	function move(down, right) {
		const rows = visibleRows();
		if (!rows.length) return;
		let y = rows.findIndex(row => row.cells.includes(current));
		if (y < 0) return void step(rows, 0, 0, 1);
		let x = rows[y].cells.indexOf(current);
		step(rows, y + down, x + right, right || 0, x);
	}
	/* The cell at (y, x), or the nearest to it that is one. */
	function step(rows, y, x, direction) {
		if (y < 0 || y >= rows.length) return;
		const row = rows[y].cells;
		for (let d = 0; d < row.length; d++)
			for (const at of direction ? [x + direction * d] : [x - d, x + d])
				if (at >= 0 && at < row.length && row[at] !== null) {
					reveal(row[at]);
					if (!panel.hidden) show(row[at]);
					return;
				}
	}
	const inOrder = groups.flatMap(g => g.rows.flatMap(row => row.cells.filter(i => i !== null)));
	const position = new Map(inOrder.map((i, at) => [i, at]));
	function nextBad(direction) {
		const bad = inOrder.filter(i => BAD.has(results[i].verdict) && matching.has(i));
		if (!bad.length) return;
		const here = chosen === null ? (direction > 0 ? -1 : 0) : position.get(chosen);
		const at = direction > 0 ? bad.find(i => position.get(i) > here) ?? bad[0]
			: bad.findLast(i => position.get(i) < here) ?? bad[bad.length - 1];
		reveal(at);
		show(at);
	}
	const table = $("matrix");
	table.addEventListener("click", event => {
		const td = event.target.closest("td[data-i]");
		if (!td) return;
		const i = Number(td.dataset.i);
		focusCell(i);
		td.focus({preventScroll: true});
		if (chosen === i) hide();
		else show(i);
	});
	table.addEventListener("mouseover", event => {
		const td = event.target.closest("td[data-i]");
		if (td && !td.title) {
			const r = results[td.dataset.i];
			td.title = `${r.id}: ${r.verdict}${r.reason ? `, ${r.reason}` : ""}`;
		}
	});
	table.addEventListener("focusin", event => {
		const td = event.target.closest("td[data-i]");
		if (td && !td.ariaLabel) {
			const r = results[td.dataset.i];
			td.ariaLabel = `${r.id}: ${r.verdict}`;
		}
	});
	document.addEventListener("keydown", event => {
		const typing = event.target === input, key = event.key;
		if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
		if (key === "Escape") {
			if (typing && input.value) clear();
			else if (!panel.hidden) hide();
			else if (typing) input.blur();
			else if (input.value) clear();
			else return;
		} else if (typing) {
			if (key !== "Enter" && key !== "ArrowDown") return;
			const first = visibleRows().flatMap(row => row.cells).find(i => i !== null && matching.has(i));
			if (first === undefined) return;
			reveal(first);
			if (key === "Enter") show(first);
		} else if (key === "/") {
			input.focus();
			input.select();
		} else if (key === "?") $("keys").showModal();
		else if (key === "n" || key === "p") nextBad(key === "n" ? 1 : -1);
		else if (key === "t") theme();
		else if (key === "c" && chosen !== null) copy(again(results[chosen]), panel.querySelector(".copy"));
		else if (event.target.closest("td[data-i]") || event.target === document.body) {
			if (key === "ArrowDown") move(1, 0);
			else if (key === "ArrowUp") move(-1, 0);
			else if (key === "ArrowRight") move(0, 1);
			else if (key === "ArrowLeft") move(0, -1);
			else if ((key === "Enter" || key === " ") && current !== null) show(current, key === "Enter");
			else return;
		} else return;
		event.preventDefault();
	});
	$("help").addEventListener("click", () => $("keys").showModal());

	// What sticks below the tools, and the panel, must know how high they are.
	const tools = document.querySelector(".tools");
	new ResizeObserver(() => document.documentElement.style.setProperty("--tools", `${tools.offsetHeight}px`)).observe(tools);

	// -- Light and dark
	const root = document.documentElement;
	function theme() {
		const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
		root.dataset.theme = dark ? "light" : "dark";
		try { localStorage.setItem("trapline-theme", root.dataset.theme); } catch { /* not kept, then */ }
	}
	try { if (localStorage.getItem("trapline-theme")) root.dataset.theme = localStorage.getItem("trapline-theme"); } catch { /* as the system has it */ }
	$("theme").addEventListener("click", theme);

	// A long report opens with what went well folded away.
	if (results.length > 3000)
		groups.forEach(g => {
			if (g.rows.every(row => row.cells.every(i => i === null || !BAD.has(results[i].verdict)))) fold(g, true);
		});
	const start = inOrder.find(i => BAD.has(results[i].verdict)) ?? inOrder[0];
	if (start !== undefined) focusCell(start);
	recall();
	root.dataset.ready = "yes";
}
