// keys.js lets a person do without a mouse; "?" tells how. It also copies commands, and filters while one types.
import { follow, halt } from "./live.js";

const pages = { o: "/admin/queues", t: "/admin/tasks", e: "/admin/events", w: "/admin/workers", p: "/admin/past" };
const help = document.getElementById("keys");
let leader = 0; // when "g" was pressed

const rows = () => [...document.querySelectorAll("main tbody tr, main .timeline > li")].filter((r) => r.offsetParent);

// step moves the focus by rows of a list.
function step(by) {
  const list = rows();
  if (!list.length) return;
  const here = list.findIndex((r) => r.contains(document.activeElement));
  const row = list[here < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(Math.max(here + by, 0), list.length - 1)];
  (row.querySelector("a, summary") ?? row).focus();
  row.scrollIntoView({ block: "nearest" });
}

addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = e.target.closest("input:not([type=checkbox]), select, textarea");
  if (typing) {
    if (e.key === "Escape") e.target.blur();
    return;
  }
  const led = e.timeStamp - leader < 1500;
  leader = 0;
  if (led && pages[e.key]) {
    location.assign(pages[e.key]);
  } else if (e.key === "g") {
    leader = e.timeStamp;
  } else if (e.key === "j" || e.key === "k") {
    step(e.key === "j" ? 1 : -1);
  } else if (e.key === "?") {
    help.open ? help.close() : help.showModal();
  } else if (e.key === "/") {
    const search = document.querySelector("main input[type=search]");
    if (search) search.select();
    else location.assign(pages.t + "#search");
  } else {
    return;
  }
  e.preventDefault();
});

// A filter is the address: while one types it changes, and the parts that it chooses come by the stream.
for (const form of document.querySelectorAll("form.filter")) {
  let wait;
  const apply = () => {
    const chosen = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    history.replaceState(null, "", form.action + (chosen.size ? "?" + chosen : ""));
    follow();
  };
  form.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(apply, 200); });
  form.addEventListener("submit", (e) => { e.preventDefault(); clearTimeout(wait); apply(); });
}

// The end of the log can be held still.
const pause = document.getElementById("pause");
if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    const held = pause.textContent === "Pause";
    pause.textContent = held ? "Go on" : "Pause";
    held ? halt() : follow();
  });
}

// A command is copied by a click or by Enter.
async function copy(e) {
  const command = e.target.closest("pre.command");
  if (!command || !getSelection().isCollapsed || !navigator.clipboard) return;
  await navigator.clipboard.writeText(command.textContent);
  command.classList.add("copied");
  setTimeout(() => command.classList.remove("copied"), 1500);
}
addEventListener("click", copy);
addEventListener("keydown", (e) => { if (e.key === "Enter") copy(e); });
for (const command of document.querySelectorAll("pre.command")) command.title = "click to copy";

if (location.hash === "#search") document.querySelector("main input[type=search]")?.focus();
document.documentElement.classList.add("scripted");
