package dashboard_test

import (
	"net/url"
	"testing"

	"github.com/tasklog/tasklog/services/api"
)

var escaped = url.PathEscape(hostile)

// contrasts lists the texts of a page whose contrast is under that of WCAG 2.2 AA, 1.4.3: 4.5, or 3 for large ones.
const contrasts = `(() => {
	const parse = (c) => c.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => {
		const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
		return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
	};
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c;
		}
		return [255, 255, 255];
	};
	const low = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || !e.checkVisibility() || e.closest("svg, noscript, script")) continue;
		const style = getComputedStyle(e);
		const [a, b] = [light(parse(style.color)), light(ground(e))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const size = parseFloat(style.fontSize);
		const least = size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5;
		if (ratio < least) low.add(e.tagName + "." + e.className + ": " + ratio.toFixed(2) + " of " + style.color + ": " + walker.currentNode.data.trim().slice(0, 30));
	}
	return [...low];
})()`

// faults lists what a person with a screen reader or without a mouse would miss.
const faults = `(() => {
	const list = [];
	const check = (ok, what) => { if (!ok) list.push(what); };
	const name = (e) => e.getAttribute("aria-label") || e.textContent.trim() || e.getAttribute("title")
		|| (e.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("").trim()
		|| [...(e.labels ?? [])].map((l) => l.textContent).join("").trim();
	const visible = (e) => e.checkVisibility();
	check(document.documentElement.lang, "the page has no language");
	check(document.title.endsWith(" · Tasklog") && document.title.length > 12, "the title is " + document.title);
	check(document.querySelectorAll("h1").length === 1, "there is not one h1");
	for (const landmark of ["header", "main", "footer", "nav"]) check(document.querySelector("body " + landmark), "no " + landmark);
	const skip = document.querySelector("body > a");
	check(skip?.hash === "#main" && document.getElementById("main")?.tabIndex === -1, "the first link does not skip to the content");
	for (const e of document.querySelectorAll("nav, form, section, [role=group], dialog")) check(name(e), e.outerHTML.slice(0, 80) + " has no name");
	for (const e of document.querySelectorAll("a, button, input:not([type=hidden]), select, summary, [role=img], meter")) if (visible(e)) check(name(e), e.outerHTML.slice(0, 80) + " has no name");
	for (const e of document.querySelectorAll("th")) check(e.scope, "a head of a table has no scope: " + e.textContent);
	const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
	for (const id of ids) check(ids.indexOf(id) === ids.lastIndexOf(id), "two elements have the id " + id);
	for (const e of document.querySelectorAll("[aria-labelledby]")) check(document.getElementById(e.getAttribute("aria-labelledby")), "nothing has the id " + e.getAttribute("aria-labelledby"));
	for (const e of document.querySelectorAll("pre, .wide")) check(e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight || e.tabIndex === 0 || e.querySelector("a, summary, [tabindex]"), "what scrolls cannot be scrolled by keys: " + e.outerHTML.slice(0, 80));
	let level = 0;
	for (const e of document.querySelectorAll("h1, h2, h3")) { const l = Number(e.tagName[1]); check(l <= level + 1, "a heading is left out before " + e.textContent); level = l; }
	for (const e of document.querySelectorAll(".state")) if (visible(e)) check(e.textContent.trim() && getComputedStyle(e, "::before").width !== "0px", "a state is told by its colour alone");
	return list;
})()`

func TestPagesAreThereForEveryone(t *testing.T) {
	h := build(t, api.Config{})
	h.workload()
	for _, page := range everyPage {
		h.open(page.path)
		h.sees("the script ran", `document.documentElement.classList.contains("scripted")`)
		for _, fault := range eval[[]string](h, faults) {
			t.Errorf("%s: %s", page.name, fault)
		}
		// What has the focus can be seen.
		eval[bool](h, `(document.querySelector("header a").focus({ focusVisible: true }), true)`)
		if !eval[bool](h, `getComputedStyle(document.activeElement).outlineStyle === "solid"`) {
			t.Errorf("%s: what has the focus does not show it", page.name)
		}
	}
}
