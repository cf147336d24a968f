// live.js fetches the page again while somebody looks at it, and puts the new <main> in the place of
// the old one. It says when that fails. Without it the page refreshes itself as a whole.
"use strict";

const period = 1500; // ms
const patience = 5000; // ms
const freshness = document.getElementById("freshness");
let since = new Date();
let timer;

const clock = (date) => date.toLocaleTimeString([], { hour12: false });

function fresh() {
  since = new Date();
  freshness.className = "fresh";
  freshness.textContent = "live";
  freshness.title = "updated " + clock(since);
}

function stale(reason) {
  freshness.className = "stale";
  freshness.textContent = "not updating since " + clock(since) + ": " + reason;
}

async function load() {
  let response;
  try {
    response = await fetch(location.pathname, { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(patience) });
  } catch {
    throw new Error("the server does not answer");
  }
  // Parsed into a document of its own, which runs nothing.
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const main = page.getElementById("live");
  if (!response.ok) {
    throw new Error(main?.querySelector("h1")?.textContent || "status " + response.status);
  }
  if (!main) {
    throw new Error("the answer is not this page");
  }
  return main;
}

// show replaces what changed, and keeps the focus of whoever uses the keyboard.
function show(main) {
  const live = document.getElementById("live");
  if (live.innerHTML === main.innerHTML) return;
  const focus = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  live.replaceChildren(...document.adoptNode(main).childNodes);
  if (focus !== null) {
    live.querySelector('a[href="' + CSS.escape(focus) + '"]')?.focus({ preventScroll: true });
  }
}

async function refresh() {
  clearTimeout(timer);
  if (document.visibilityState !== "visible") return; // visibilitychange calls again
  try {
    const main = await load();
    // What is being selected stays, so that it can be copied.
    if (getSelection().isCollapsed) show(main);
    fresh();
  } catch (error) {
    stale(error.message);
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, period);
}

document.addEventListener("visibilitychange", refresh);
timer = setTimeout(refresh, period);
