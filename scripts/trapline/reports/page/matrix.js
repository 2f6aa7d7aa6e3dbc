/* SPDX-License-Identifier: BSD-2-Clause */
/* Filters of the matrix of --prove, its crosshair, light and dark. */
"use strict";
(function () {
	const $ = id => document.getElementById(id), root = document.documentElement;
	const table = document.querySelector(".proof");
	const heads = [...table.querySelectorAll("th.bug")];
	const rows = [...table.querySelectorAll("tr[data-case]")];
	const FIRST = 2; /* columns before the bugs */

	function matcher(text) {
		const words = text.toLowerCase().split(/\s+/).filter(Boolean);
		return name => words.every(w => w[0] === "-" ? !name.includes(w.slice(1)) : name.includes(w));
	}

	function filter() {
		const wantCase = matcher($("filter").value), wantBug = matcher($("bugfilter").value);
		const shown = heads.map(h => wantBug(h.dataset.bug));
		const someBug = $("bugfilter").value.trim() !== "";
		heads.forEach((h, i) => { h.hidden = !shown[i]; });
		for (const row of rows) {
			let met = !someBug;
			for (let i = 0; i < heads.length; i++) {
				const cell = row.cells[i + FIRST];
				cell.hidden = !shown[i];
				met = met || (shown[i] && cell.dataset.s);
			}
			row.hidden = !met || !wantCase(row.dataset.case);
		}
		for (const body of table.tBodies)
			body.hidden = [...body.rows].slice(1).every(r => r.hidden);
	}

	function theme() {
		const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
		root.dataset.theme = dark ? "light" : "dark";
	}

	let lit = null;
	table.addEventListener("mouseover", event => {
		const cell = event.target.closest("td[data-s]");
		if (lit) lit.classList.remove("lit");
		lit = cell ? heads[cell.cellIndex - FIRST] : null;
		if (lit) lit.classList.add("lit");
	});
	$("filter").addEventListener("input", filter);
	$("bugfilter").addEventListener("input", filter);
	$("theme").addEventListener("click", theme);
	addEventListener("keydown", event => {
		if (event.target.matches("input")) return;
		if (event.key === "/") { event.preventDefault(); $("filter").focus(); }
		if (event.key === "t") theme();
	});
})();
