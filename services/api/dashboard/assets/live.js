// live.js keeps the page up: it opens the page's own address as an event stream, and puts the parts that
// the server sends in the place of those that are there. It says when that fails, and goes on by itself.
import { tell } from "./times.js";

const patience = 12_000; // ms without a sign of life; the server gives one every 5 s
const freshness = document.getElementById("freshness");
let source;
let silence; // timer
let retry; // timer
let since = new Date();

const clock = (date) => date.toLocaleTimeString([], { hour12: false });

function fresh(now) {
  since = new Date();
  if (freshness.className !== "fresh") {
    freshness.className = "fresh";
    freshness.textContent = "live";
  }
  tell(now - since.getTime());
  listen();
}

// listen takes a server that says nothing for too long for gone.
function listen() {
  clearTimeout(silence);
  silence = setTimeout(() => { lost("the server is silent"); follow(); }, patience);
}

function lost(reason) {
  const text = "not updating since " + clock(since) + ": " + reason;
  if (freshness.textContent === text) return; // a screen reader is told once
  freshness.className = "stale";
  freshness.textContent = text;
}

// quiet says nothing: the page has no part that could be old.
function quiet() {
  since = new Date();
  freshness.className = "quiet";
  freshness.textContent = "";
}

// follow opens the stream of the page's address as it is now.
export function follow() {
  source?.close();
  clearTimeout(retry);
  source = new EventSource(location.pathname + location.search);
  const mine = source;
  source.addEventListener("parts", (e) => {
    if (mine !== source) return;
    const { now, parts } = JSON.parse(e.data);
    for (const [id, html] of Object.entries(parts)) show(id, html);
    fresh(now);
  });
  source.addEventListener("trouble", (e) => {
    if (mine !== source) return;
    const { reason } = JSON.parse(e.data);
    listen();
    // A notice says itself what is wrong, and becomes the page when it is so no more.
    if (document.querySelector("main[data-notice] h1")?.textContent === reason) quiet();
    else lost(reason);
  });
  source.addEventListener("error", () => {
    if (mine !== source) return;
    lost("the server does not answer");
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(follow, 2000); // it would not try again
  });
}

// halt ends the stream until follow is called again.
export function halt() {
  source.close();
  clearTimeout(silence);
  clearTimeout(retry);
  freshness.className = "held";
  freshness.textContent = "paused at " + clock(since);
}

function show(id, html) {
  const old = document.getElementById(id);
  if (!old) {
    // The page was a notice of what was wrong, and is one no more.
    if (document.querySelector("main[data-notice]")) location.reload();
    return;
  }
  // Parsed into a document of its own, which runs nothing.
  const next = new DOMParser().parseFromString(html, "text/html").getElementById(id);
  if (next) morph(old, document.adoptNode(next));
}

// morph makes old what next is and touches only what differs, so that focus, selection, scroll positions
// and opened details stay.
function morph(old, next) {
  if (old.isEqualNode(next)) return;
  if (old.nodeName !== next.nodeName) {
    old.replaceWith(next);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name); // what a person opened stays so
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  let at = old.firstChild;
  for (const child of [...next.childNodes]) {
    const same = child.id ? [...old.children].find((c) => c.id === child.id) : at?.id ? null : at;
    if (!same) {
      old.insertBefore(child, at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    morph(same, child);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

follow();
// A page that comes back from the browser's memory has a stream that ended.
addEventListener("pageshow", (e) => { if (e.persisted) follow(); });
addEventListener("pagehide", halt);
