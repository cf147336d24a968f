// times.js tells times in the zone of who looks, with the absolute time on hover, and lets ages grow.
let ahead = 0; // ms that Redis' clock is ahead of ours

const units = [["d", 86_400_000, 2], ["h", 3_600_000, 1], ["min", 60_000, 1], ["s", 1000, 0]];

function age(ms) {
  const d = Date.now() + ahead - ms;
  if (Math.abs(d) < 1000) return "now";
  for (const [unit, size, least] of units) {
    const n = Math.floor(Math.abs(d) / size);
    if (n >= Math.max(least, 1)) return d < 0 ? "in " + n + " " + unit : n + " " + unit + " ago";
  }
}

const pad = (n, width = 2) => String(n).padStart(width, "0");
const day = (t) => t.getFullYear() + "-" + pad(t.getMonth() + 1) + "-" + pad(t.getDate());
const clock = (t) => pad(t.getHours()) + ":" + pad(t.getMinutes()) + ":" + pad(t.getSeconds()) + "." + pad(t.getMilliseconds(), 3);

const minute = (t) => pad(t.getHours()) + ":" + pad(t.getMinutes());
const month = (t) => t.getDate() + " " + t.toLocaleString("en", { month: "short" }) + " " + minute(t);

// axis tells a time at the axis of a chart as the server did, like "15:04", "15:04:05" or "2 Jan 15:04".
function axis(t, like) {
  if (like.includes(" ")) return month(t);
  return like.length > 5 ? minute(t) + ":" + pad(t.getSeconds()) : minute(t);
}

// tell writes every time of the page. lead says how far Redis' clock is ahead of ours, in ms.
export function tell(lead = ahead) {
  ahead = lead;
  for (const e of document.querySelectorAll("time[data-form]")) {
    const t = new Date(e.dateTime);
    if (isNaN(t)) continue;
    const text = { age: () => age(t.getTime()), for: () => age(t.getTime()).replace(" ago", ""), clock: () => clock(t), stamp: () => day(t) + " " + clock(t) }[e.dataset.form]();
    if (e.textContent !== text) e.textContent = text;
    e.title = day(t) + " " + clock(t) + " here, " + e.dateTime + " in UTC";
  }
  for (const e of document.querySelectorAll(".chart [data-at]")) {
    const t = new Date(e.dataset.at);
    const text = e.dataset.like ? axis(t, e.dataset.like) : day(t) + " " + minute(t) + ":" + pad(t.getSeconds()) + " — " + e.dataset.text;
    if (e.textContent !== text) e.textContent = text;
  }
}

tell();
setInterval(tell, 1000);
